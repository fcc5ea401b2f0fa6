import { Injectable, Logger } from '@nestjs/common';
import { Database } from '../database/database.js';
import { eachAtMost } from '../jobs/each-at-most.js';
import { LedgerSession } from '../jobs/ledger-session.js';
import { Recurring } from '../jobs/recurring.js';
import { RecurringService } from '../jobs/recurring-service.js';
import { CALL_WITHIN_MS } from '../power/drivers/power-driver.js';
import { PowerService } from '../power/power.service.js';
import { byHour, energyOf } from './energy-account.js';
import { NodeDraws, type SeenHolder, type SeenNode } from './node-draws.js';

const SAMPLE_EVERY_MS = 10_000;
/** After a longer pause (a machine that slept, a database that was away) nobody knows what was drawn. */
const COUNTS_AT_MOST_MS = 60_000;
const METERS_EVERY_MS = 60_000;
const METERS_AT_ONCE = 8;
const WITH_METERS = ['ipmi', 'redfish', 'command'];
const LOCK = 'energy-sampler';

/**
 * Adds up what is drawn, hour by hour, in the ledger. One API process does it, the one that holds the lock; when it
 * ends another takes over, and the seconds in between are missed rather than counted twice.
 */
@Injectable()
export class EnergySampler extends RecurringService {
  readonly #logger = new Logger('Energy');
  protected readonly rounds = new Recurring(
    SAMPLE_EVERY_MS,
    (signal) => this.#round(signal),
    ({ message }) => this.#logger.warn(message),
  );
  /** Of the process's own clock, which does not jump. */
  #sampledAt: number | null = null;
  #metersAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly database: Database,
    private readonly session: LedgerSession,
    private readonly draws: NodeDraws,
    private readonly power: PowerService,
  ) {
    super();
  }

  override async stop(): Promise<void> {
    await super.stop();
    await this.session.unlock(LOCK);
  }

  async #round(signal: AbortSignal): Promise<void> {
    if (!(await this.session.lead(LOCK))) return;
    const now = performance.now();
    const passedMs = this.#sampledAt === null ? 0 : Math.min(COUNTS_AT_MOST_MS, now - this.#sampledAt);
    this.#sampledAt = now;
    await this.sample(passedMs);
    if (now - this.#metersAt < METERS_EVERY_MS) return;
    this.#metersAt = now;
    await this.#readMeters(signal);
  }

  /** Counts the time up to now at what is drawn now. */
  async sample(passedMs: number, nowMs = Date.now()): Promise<void> {
    const { nodes, holders } = await this.draws.look(nowMs);
    for (const { hourMs, seconds } of byHour(nowMs - passedMs, nowMs)) {
      await this.#add(new Date(hourMs), seconds, nodes, holders);
    }
  }

  async #add(
    hour: Date,
    seconds: number,
    nodes: readonly SeenNode[],
    holders: ReadonlyMap<string, SeenHolder>,
  ): Promise<void> {
    const shares = new Map<string, number>();
    const rows = nodes.map((node) => {
      const energy = energyOf(node, seconds);
      for (const [drvmId, joules] of energy.byDrvm) shares.set(drvmId, (shares.get(drvmId) ?? 0) + joules);
      const { joules, measuredJoules, allOnJoules, onSeconds, offSeconds } = energy;
      return { node_id: node.nodeId, joules, measuredJoules, allOnJoules, onSeconds, offSeconds };
    });
    const parts = [...shares].flatMap(([drvmId, joules]) => {
      const holder = holders.get(drvmId);
      return holder ? [{ drvm_id: drvmId, drvm: holder.drvm, tenant_id: holder.tenantId, joules }] : [];
    });
    const demandMilli = Math.round(
      nodes.reduce((sum, node) => sum + node.holders.reduce((used, { usedMilli }) => used + usedMilli, 0), 0),
    );
    await this.database.system(async (tx) => {
      // Nodes and departments may have gone since they were looked at.
      await tx.$executeRaw`
        INSERT INTO energy_hour (hour, node_id, joules, measured_joules, all_on_joules, on_seconds, off_seconds)
        SELECT ${hour}::timestamptz, r.node_id, r.joules, r."measuredJoules", r."allOnJoules", r."onSeconds", r."offSeconds"
        FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) AS r (node_id uuid, joules float8,
          "measuredJoules" float8, "allOnJoules" float8, "onSeconds" float8, "offSeconds" float8)
        JOIN node n ON n.id = r.node_id ORDER BY r.node_id
        ON CONFLICT (hour, node_id) DO UPDATE SET joules = energy_hour.joules + EXCLUDED.joules,
          measured_joules = energy_hour.measured_joules + EXCLUDED.measured_joules,
          all_on_joules = energy_hour.all_on_joules + EXCLUDED.all_on_joules,
          on_seconds = energy_hour.on_seconds + EXCLUDED.on_seconds,
          off_seconds = energy_hour.off_seconds + EXCLUDED.off_seconds`;
      await tx.$executeRaw`
        INSERT INTO energy_share (hour, drvm_id, drvm, tenant_id, joules)
        SELECT ${hour}::timestamptz, r.drvm_id, r.drvm, r.tenant_id, r.joules
        FROM jsonb_to_recordset(${JSON.stringify(parts)}::jsonb) AS r (drvm_id uuid, drvm text, tenant_id uuid, joules float8)
        JOIN tenant t ON t.id = r.tenant_id ORDER BY r.drvm_id
        ON CONFLICT (hour, drvm_id) DO UPDATE SET joules = energy_share.joules + EXCLUDED.joules, drvm = EXCLUDED.drvm`;
      await tx.$executeRaw`
        INSERT INTO demand_hour (hour, seconds, milli_seconds, peak_milli)
        VALUES (${hour}::timestamptz, ${seconds}::float8, ${demandMilli * seconds}::float8, ${demandMilli}::int)
        ON CONFLICT (hour) DO UPDATE SET seconds = demand_hour.seconds + EXCLUDED.seconds,
          milli_seconds = demand_hour.milli_seconds + EXCLUDED.milli_seconds,
          peak_milli = greatest(demand_hour.peak_milli, EXCLUDED.peak_milli)`;
    });
  }

  /** Asks the drivers that may have a meter; one that has none answers with no watts. */
  async #readMeters(signal: AbortSignal): Promise<void> {
    const rows = await this.database.unrestricted.nodePower.findMany({
      where: { driver: { in: WITH_METERS } },
      select: { nodeId: true },
    });
    await eachAtMost(METERS_AT_ONCE, rows, ({ nodeId }) =>
      this.#readMeter(nodeId, signal).catch((error: unknown) => {
        if (!signal.aborted) this.#logger.warn((error as Error).message);
      }),
    );
  }

  async #readMeter(nodeId: string, signal: AbortSignal): Promise<void> {
    const { driver } = await this.power.driver(nodeId);
    const within = AbortSignal.any([signal, AbortSignal.timeout(CALL_WITHIN_MS)]);
    const { watts } = await driver.status(within);
    if (watts === null) return;
    await this.database.unrestricted.nodePower.updateMany({
      where: { nodeId },
      data: { watts, wattsSource: 'driver', wattsAt: new Date() },
    });
  }
}
