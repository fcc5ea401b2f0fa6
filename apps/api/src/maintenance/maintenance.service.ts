import { Injectable, Logger } from '@nestjs/common';
import { Database } from '../database/database.js';
import { Recurring } from '../jobs/recurring.js';
import { RecurringService } from '../jobs/recurring-service.js';
import { SettingsService } from '../settings/settings.service.js';
import { removeExpired } from './retention.js';

const SWEEP_EVERY_MS = 10 * 60_000;
const IDEMPOTENCY_KEPT_MS = 24 * 3_600_000;
const EVENTS_KEPT_MS = 90 * 86_400_000;
const PLANS_KEPT_MS = 30 * 86_400_000;
const DEAD_TOKENS_KEPT_MS = 30 * 86_400_000;
/** Three years and a bit: a year can be compared with the one before. The forecast looks back four weeks. */
const ENERGY_KEPT_MS = 1_100 * 86_400_000;
const DEMAND_KEPT_MS = 35 * 86_400_000;

/** Removes what has run out: sessions, keys of idempotency, tokens, old events and plans. The audit stays. */
@Injectable()
export class Maintenance extends RecurringService {
  readonly #logger = new Logger('Maintenance');
  protected readonly rounds = new Recurring(
    SWEEP_EVERY_MS,
    () => this.sweep(),
    ({ message }) => this.#logger.warn(`the sweep failed: ${message}`),
  );

  constructor(
    private readonly database: Database,
    private readonly settings: SettingsService,
  ) {
    super();
  }

  async sweep(now = Date.now()): Promise<void> {
    const { unrestricted } = this.database;
    const before = (age: number) => ({ lt: new Date(now - age) });
    await unrestricted.session.deleteMany({ where: { expiresAt: before(0) } });
    await unrestricted.idempotencyKey.deleteMany({ where: { createdAt: before(IDEMPOTENCY_KEPT_MS) } });
    await unrestricted.enrolmentToken.deleteMany({ where: { expiresAt: before(DEAD_TOKENS_KEPT_MS) } });
    await unrestricted.apiToken.deleteMany({
      where: { OR: [{ revokedAt: before(DEAD_TOKENS_KEPT_MS) }, { expiresAt: before(DEAD_TOKENS_KEPT_MS) }] },
    });
    await unrestricted.plan.deleteMany({ where: { createdAt: before(PLANS_KEPT_MS) } });
    await unrestricted.event.deleteMany({ where: { at: before(EVENTS_KEPT_MS) } });
    await unrestricted.energyHour.deleteMany({ where: { hour: before(ENERGY_KEPT_MS) } });
    await unrestricted.energyShare.deleteMany({ where: { hour: before(ENERGY_KEPT_MS) } });
    await unrestricted.demandHour.deleteMany({ where: { hour: before(DEMAND_KEPT_MS) } });
    await removeExpired(this.database, this.settings, now);
  }
}
