import { isDeepStrictEqual } from 'node:util';
import type { AlertMetric } from '@drvs/contracts';
import { Injectable, Logger } from '@nestjs/common';
import { Database, type Transaction } from '../database/database.js';
import type { Alert, AlertRule } from '../gen/client.js';
import { LedgerSession } from '../jobs/ledger-session.js';
import { Recurring } from '../jobs/recurring.js';
import { RecurringService } from '../jobs/recurring-service.js';
import { DEFAULT_RULES } from './default-rules.js';
import { type AlertStep, evaluate, type OpenAlert } from './evaluate.js';
import { type Measurement, measure } from './measurements.js';

const LOOK_EVERY_MS = 5_000;
const LOCK = 'alerts';

type Rule = AlertRule & { tenant: { name: string } | null };

/**
 * Looks at what the rules watch, in one API process at a time. What a rule finds changes, is told and is sent in one
 * transaction: an alert that fires has its event, its mail and its deliveries, or none of them.
 */
@Injectable()
export class AlertWatch extends RecurringService {
  readonly #logger = new Logger('Alerts');
  protected readonly rounds = new Recurring(
    LOOK_EVERY_MS,
    () => this.session.alone(LOCK, () => this.look(Date.now())),
    ({ message }) => this.#logger.warn(`alerts were not judged: ${message}`),
  );

  constructor(
    private readonly database: Database,
    private readonly session: LedgerSession,
  ) {
    super();
  }

  override async onApplicationBootstrap(): Promise<void> {
    await this.#addDefaults();
    super.onApplicationBootstrap();
  }

  async #addDefaults(): Promise<void> {
    await this.database.unrestricted.alertRule.createMany({
      data: DEFAULT_RULES.map((rule) => ({
        ...rule,
        comparison: 'above',
        isDefault: true,
        createdBy: 'system',
      })),
      skipDuplicates: true,
    });
  }

  /** @param now milliseconds since 1970 */
  async look(now: number): Promise<void> {
    const rules = await this.database.unrestricted.alertRule.findMany({
      where: { enabled: true },
      include: { tenant: { select: { name: true } } },
    });
    const byMetric = Map.groupBy(rules, ({ metric }) => metric as AlertMetric);
    for (const [metric, watching] of byMetric) {
      await this.database.system(async (tx) => {
        const measurements = await measure(tx, metric);
        for (const rule of watching) await this.#judge(tx, rule, measurements, now);
      });
    }
    await this.#closeDisabled(now);
  }

  async #judge(tx: Transaction, rule: Rule, all: readonly Measurement[], now: number): Promise<void> {
    const mine = all.filter(
      ({ subject, tenantId }) =>
        (rule.tenantId === null || rule.tenantId === tenantId) &&
        (rule.subject === null || rule.subject === subject),
    );
    const values = new Map(mine.map((measurement) => [measurement.subject, measurement]));
    const open = await tx.alert.findMany({ where: { ruleId: rule.id, state: { not: 'resolved' } } });
    const alerts = new Map(open.map((alert) => [alert.subject, alert]));
    for (const subject of new Set([...values.keys(), ...alerts.keys()])) {
      const alert = alerts.get(subject) ?? null;
      const measurement = values.get(subject) ?? null;
      const step = evaluate(
        { ...rule, comparison: rule.comparison as 'above' | 'below', forMs: rule.forSeconds * 1_000 },
        alert && openAlert(alert),
        measurement?.value ?? null,
        now,
      );
      await this.#take(tx, rule, { subject, alert, measurement, step, now });
    }
  }

  async #take(
    tx: Transaction,
    rule: Rule,
    {
      subject,
      alert,
      measurement,
      step,
      now,
    }: {
      subject: string;
      alert: Alert | null;
      measurement: Measurement | null;
      step: AlertStep;
      now: number;
    },
  ): Promise<void> {
    const value = measurement?.value ?? alert?.value ?? null;
    if (step.to === 'none') {
      if (alert) await tx.alert.delete({ where: { id: alert.id } });
      return;
    }
    if (step.to === 'resolved') {
      if (!alert) return;
      const at = new Date(Math.max(now, alert.since.getTime()));
      await tx.alert.update({ where: { id: alert.id }, data: { state: 'resolved', resolvedAt: at, value } });
      await tell(tx, rule, alert, subject, value, 'resolved', now);
      return;
    }
    const data = {
      state: step.to,
      since: new Date(step.since),
      firedAt: step.to === 'firing' ? new Date(step.firedAt) : null,
      value,
    };
    const isSame =
      alert !== null &&
      isDeepStrictEqual(data, {
        state: alert.state,
        since: alert.since,
        firedAt: alert.firedAt,
        value: alert.value,
      });
    if (isSame) return;
    const row = alert
      ? await tx.alert.update({ where: { id: alert.id }, data })
      : await tx.alert.create({
          data: {
            ...data,
            ruleId: rule.id,
            subject,
            tenantId: rule.tenantId ?? measurement?.tenantId ?? null,
          },
        });
    if (step.to === 'firing' && step.isNew) await tell(tx, rule, row, subject, value, 'raised', now);
  }

  /** A rule that is switched off watches nothing: what it found is over, without a word. */
  async #closeDisabled(now: number): Promise<void> {
    await this.database.unrestricted.alert.updateMany({
      where: { rule: { enabled: false }, state: { not: 'resolved' } },
      data: { state: 'resolved', resolvedAt: new Date(now) },
    });
  }
}

function openAlert({ state, since, firedAt }: Alert): OpenAlert {
  return {
    state: state as OpenAlert['state'],
    since: since.getTime(),
    firedAt: firedAt?.getTime() ?? null,
  };
}

/** The event goes to webhooks that listen to alerts by itself; those of the rule get it whatever they listen to. */
async function tell(
  tx: Transaction,
  rule: Rule,
  alert: Alert,
  subject: string,
  value: number | null,
  what: 'raised' | 'resolved',
  now: number,
): Promise<void> {
  if (alert.silencedUntil !== null && alert.silencedUntil.getTime() > now) return;
  const measured =
    value === null ? 'no longer measured' : `${rule.metric} is ${Math.round(value * 100) / 100}`;
  const limit =
    what === 'raised' ? `, ${rule.comparison} ${rule.threshold}` : `, it ends at ${rule.clearThreshold}`;
  const text = `${what === 'raised' ? rule.severity : 'resolved'}: ${rule.name} of ${subject}: ${measured}${limit}`;
  const tenant = alert.tenantId
    ? await tx.tenant.findUnique({ where: { id: alert.tenantId }, select: { name: true } })
    : null;
  const event = await tx.event.create({
    data: {
      kind: `alert.${what}`,
      text,
      tenantId: alert.tenantId,
      tenant: tenant?.name ?? null,
      node: subject.startsWith('node/') ? subject.slice('node/'.length) : null,
    },
    select: { id: true },
  });
  if (rule.webhookIds.length > 0) {
    await tx.$executeRaw`
      INSERT INTO webhook_delivery (webhook_id, tenant_id, event_id, kind, event)
      SELECT w.id, w.tenant_id, e.id, e.kind, jsonb_build_object('id', e.id::text,
        'at', to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'kind', e.kind,
        'tenant', e.tenant, 'drvm', e.drvm, 'node', e.node, 'text', e.text)
      FROM webhook w, event e WHERE w.id = ANY(${rule.webhookIds}::uuid[]) AND w.enabled AND e.id = ${event.id}
      ON CONFLICT (webhook_id, event_id) DO NOTHING`;
  }
  if (rule.mailTo.length > 0) {
    const lines = [
      text,
      '',
      `Rule: ${rule.name}`,
      `Subject: ${subject}`,
      `Since: ${alert.since.toISOString()}`,
    ];
    await tx.$executeRaw`
      INSERT INTO mail_outbox (tenant_id, recipients, subject, body)
      VALUES (${alert.tenantId}::uuid, ${rule.mailTo}::text[], ${`[DRVS] ${text}`.slice(0, 200)}, ${lines.join('\n')})`;
  }
}
