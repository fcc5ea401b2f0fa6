import { DrvsError, type PlannerKind } from '@drvs/contracts';
import { Injectable, Logger } from '@nestjs/common';
import { systemActor } from '../auth/actor.js';
import { Database } from '../database/database.js';
import { LedgerSession } from '../jobs/ledger-session.js';
import { Recurring } from '../jobs/recurring.js';
import { RecurringService } from '../jobs/recurring-service.js';
import { LoadMarks } from './load-marks.js';
import { type KeptSettings, modeOf, policyOf } from './planner-settings.js';
import { PlannerSettings } from './planner-settings.service.js';
import { quietBecause } from './planner-window.js';
import { PlansService } from './plans.service.js';

/** How often the load is looked at. */
const LOOK_EVERY_MS = 15_000;
/** How often each planner that acts by itself is asked. */
const PLAN_EVERY_MS = 60_000;
/** What is missing is helped first, and what is too much is put away last. */
const ORDER: readonly PlannerKind[] = ['power', 'balance', 'reallocate', 'consolidate'];

const PLANNER = systemActor('planner');

/**
 * Balances, lends, consolidates and wakes without being asked, as far as the administrator lets it: only kinds that are
 * `automatic`, only inside their windows, one plan of a kind at a time, and within the policy's limits on churn. Of
 * several API processes one does it.
 */
@Injectable()
export class PlannerLoop extends RecurringService {
  readonly #logger = new Logger('Planner');
  readonly #askedAt = new Map<PlannerKind, number>();
  protected readonly rounds = new Recurring(
    LOOK_EVERY_MS,
    (signal) => this.round(Date.now(), false, signal),
    ({ message }) => this.#logger.warn(message),
  );

  constructor(
    private readonly database: Database,
    private readonly session: LedgerSession,
    private readonly settings: PlannerSettings,
    private readonly marks: LoadMarks,
    private readonly plans: PlansService,
  ) {
    super();
  }

  /** One look and, where it is time for it, one plan of each kind. @param force asks each planner now */
  async round(nowMs = Date.now(), force = false, signal?: AbortSignal): Promise<void> {
    await this.session.alone('planner', () => this.#roundAlone(nowMs, force, signal));
  }

  async #roundAlone(nowMs: number, force: boolean, signal?: AbortSignal): Promise<void> {
    const kept = await this.settings.kept();
    await this.marks.look(policyOf(kept));
    for (const kind of ORDER) {
      if (signal?.aborted) return;
      if (modeOf(kept, kind) !== 'automatic') continue;
      // By a clock that only goes forward: one that was put back would stop the planner for as long.
      const asked = this.#askedAt.get(kind);
      if (!force && asked !== undefined && performance.now() - asked < PLAN_EVERY_MS) continue;
      this.#askedAt.set(kind, performance.now());
      await this.#plan(kind, kept, nowMs);
    }
  }

  async #plan(kind: PlannerKind, { windows }: KeptSettings, nowMs: number): Promise<void> {
    if (quietBecause(windows, kind, nowMs) !== null) return;
    const underWay = await this.database.unrestricted.operation.findFirst({
      where: { kind: 'plan.apply', state: { in: ['queued', 'running'] }, subject: `plan/${kind}` },
      select: { id: true },
    });
    if (underWay) return;
    try {
      const plan = await this.plans.make(PLANNER, { kind }, 'automatic');
      if (plan.steps.length === 0) {
        // Plans that nobody asked for and that say nothing are not kept: there would be one a minute.
        await this.database.unrestricted.plan.deleteMany({ where: { id: plan.id, appliedAt: null } });
        return;
      }
      const { id } = await this.plans.apply(PLANNER, plan.id);
      this.#logger.log(`${kind}: ${plan.steps.length} steps, ${plan.gain.summary}; operation ${id}`);
    } catch (thrown) {
      const error = DrvsError.from(thrown);
      // Somebody else is at it, or the cluster has changed under the plan: the next round plans again.
      if (error.code === 'OperationUnderWay' || error.code === 'StaleGeneration') return;
      this.#logger.warn(`${kind}: ${error.code}: ${error.message}`);
    }
  }
}
