import type { Database } from '../database/database.js';
import type { SettingsService } from '../settings/settings.service.js';

const DAY_MS = 86_400_000;
const ALERTS_KEPT_DAYS = 90;
const MAIL_KEPT_DAYS = 30;
/** What was not measured for so long has no counter any more; if it comes back it begins at nought. */
const COUNTERS_KEPT_DAYS = 90;
/** Subjects go after the last of what was measured of them. */
const SUBJECTS_KEPT_DAYS = 410;

/** Removes what is older than the settings say: operations with their logs, deliveries, alerts, mail, usage. */
export async function removeExpired(
  database: Database,
  settings: SettingsService,
  now: number,
): Promise<void> {
  const before = (days: number) => new Date(now - days * DAY_MS);
  const operations = before(await settings.get('operations.keptDays'));
  const deliveries = before(await settings.get('webhooks.keptDays'));
  const usage = before(await settings.get('usage.keptDays'));
  const { unrestricted } = database;
  await unrestricted.operation.deleteMany({ where: { endedAt: { lt: operations } } });
  await unrestricted.webhookDelivery.deleteMany({ where: { endedAt: { lt: deliveries } } });
  await unrestricted.alert.deleteMany({ where: { resolvedAt: { lt: before(ALERTS_KEPT_DAYS) } } });
  await unrestricted.$executeRaw`DELETE FROM mail_outbox WHERE created_at < ${before(MAIL_KEPT_DAYS)}`;
  await unrestricted.$executeRaw`DELETE FROM usage_span WHERE to_at < ${usage}`;
  await unrestricted.$executeRaw`DELETE FROM usage_measured WHERE hour < ${usage}`;
  await unrestricted.$executeRaw`DELETE FROM usage_counter WHERE at < ${before(COUNTERS_KEPT_DAYS)}`;
  await unrestricted.$executeRaw`DELETE FROM telemetry_subject WHERE last_at < ${before(SUBJECTS_KEPT_DAYS)}`;
}
