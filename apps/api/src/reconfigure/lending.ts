import { type CpuChange, type CpuSlice, isIdle, planLending } from '@drvs/policy';
import { Injectable, Logger } from '@nestjs/common';
import { SpecPush } from '../agents/spec-push.js';
import { Database, type Transaction } from '../database/database.js';
import { CAPACITY_EXCEEDED, sqlState } from '../database/sql-state.js';
import { LedgerSession } from '../jobs/ledger-session.js';
import { Recurring } from '../jobs/recurring.js';
import { RecurringService } from '../jobs/recurring-service.js';
import { SettingsService } from '../settings/settings.service.js';
import { SliceChanges } from './slice-changes.js';

const LOOK_EVERY_MS = 500;
const ORPHANS_EVERY_MS = 10_000;
const ORPHAN_MS = 60_000;
const LOCK = 'drvs.lending';
/** In the ledger while there may be loans of CPU that are lending's to take back. */
const LENDS = 'lending.lends';

interface LendingRow {
  id: string;
  node_id: string;
  node: string;
  drvm_id: string;
  drvm: string;
  tenant_id: string;
  tenant: string;
  weight: number;
  guaranteed: number;
  ceiling: number;
  held: number;
  used: number;
  capacity: number;
  is_fixed: boolean;
  is_stopped: boolean;
}

/** Its guarantee, its ceiling or what it holds has changed since the plan was made. */
class Overtaken extends Error {}

/**
 * Lends what idle DRVMs do not use of their CPU to those that want more, and gives it back: one API process of all looks
 * at what is used every LOOK_EVERY_MS and changes what slices hold in the ledger, where the database refuses that more is
 * held of a node than it has. The containers get their new limits at once, by whichever process holds the channel of
 * their node; those that cannot be reached get them with the next report (Reconciliation).
 *
 * What is held of CPU has one master: this, while lending is on. Switched off, it takes back what was lent, once, and
 * from then on leaves to plans what is held.
 */
@Injectable()
export class Lending extends RecurringService {
  readonly #logger = new Logger('Lending');
  readonly #idleSince = new Map<string, number>();
  protected readonly rounds = new Recurring(
    LOOK_EVERY_MS,
    (signal) => this.#look(signal),
    ({ message }) => this.#logger.warn(message),
  );
  #orphansAt = 0;
  #isMarked = false;

  constructor(
    private readonly database: Database,
    private readonly session: LedgerSession,
    private readonly settings: SettingsService,
    private readonly specs: SpecPush,
    private readonly changes: SliceChanges,
  ) {
    super();
  }

  override async stop(): Promise<void> {
    await super.stop();
    await this.session.unlock(LOCK);
  }

  async #look(signal: AbortSignal): Promise<void> {
    if (!(await this.session.lead(LOCK))) return;
    const now = Date.now();
    if (now - this.#orphansAt >= ORPHANS_EVERY_MS) {
      this.#orphansAt = now;
      await this.changes.endOrphans({
        key: `orphans.${now}`,
        withinMs: ORPHAN_MS,
        signal,
      });
    }
    const isOn = await this.settings.get('lending.enabled');
    if (isOn) await this.#mark();
    else if (!(await this.#mayHaveLent())) return;
    const hasChanged = await this.#change(isOn, now, signal);
    if (!isOn && !hasChanged) await this.#unmark();
  }

  /** False when everybody holds what they should. */
  async #change(isOn: boolean, now: number, signal: AbortSignal): Promise<boolean> {
    const rows = await this.#rows(isOn);
    this.#watchIdle(rows, now);
    const slices = rows.map((row) => sliceOf(row, isOn, this.#idleSince.get(row.id) ?? null));
    const capacity = new Map(rows.map((row) => [row.node_id, row.capacity]));
    const plan = planLending(slices, capacity, now);
    const byId = new Map(rows.map((row) => [row.id, row]));
    for (const [nodeId, changes] of Map.groupBy(plan, (change) => change.nodeId)) {
      signal.throwIfAborted();
      if (await this.#write(nodeId, changes, byId)) await this.#push(nodeId, changes, byId);
    }
    return plan.length > 0;
  }

  async #mark(): Promise<void> {
    if (this.#isMarked) return;
    const row = { key: LENDS, value: true };
    await this.database.unrestricted.setting.upsert({ where: { key: LENDS }, create: row, update: row });
    this.#isMarked = true;
  }

  async #unmark(): Promise<void> {
    this.#isMarked = false;
    await this.database.unrestricted.setting.deleteMany({ where: { key: LENDS } });
  }

  async #mayHaveLent(): Promise<boolean> {
    return this.#isMarked || (await this.database.unrestricted.setting.count({ where: { key: LENDS } })) > 0;
  }

  /** Of nodes that are up: all slices where somebody may borrow, or has; nobody else is concerned. */
  #rows(isOn: boolean): Promise<LendingRow[]> {
    return this.database.unrestricted.$queryRaw<LendingRow[]>`
      WITH concerned AS (
        SELECT DISTINCT node_id FROM slice
        WHERE held_cpu_milli <> cpu_milli OR (${isOn} AND ceiling_cpu_milli > cpu_milli AND container_state = 'running')
      )
      SELECT s.id::text, s.node_id::text, n.name AS node, s.drvm_id::text, d.name AS drvm, s.tenant_id::text,
        t.name AS tenant, t.weight, s.cpu_milli AS guaranteed, s.ceiling_cpu_milli AS ceiling,
        s.held_cpu_milli AS held, s.used_cpu_milli AS used,
        floor((i.total - i.reserved) * i.allocation_ratio)::int AS capacity,
        (s.leaving OR s.certificate IS NULL OR d.state = 'creating' OR EXISTS (
          SELECT FROM slice_change c WHERE c.drvm_id = d.id AND c.ended_at IS NULL) OR EXISTS (
          SELECT FROM operation o WHERE o.drvm_id = d.id AND o.state IN ('queued', 'running') AND o.kind LIKE 'drvm.%'))
          AS is_fixed,
        d.wanted_state = 'stopped' AND d.state = 'stopped' AS is_stopped
      FROM slice s
        JOIN concerned USING (node_id)
        JOIN node n ON n.id = s.node_id
        JOIN drvm d ON d.id = s.drvm_id
        JOIN tenant t ON t.id = s.tenant_id
        JOIN inventory i ON i.node_id = s.node_id AND i.class = 'cpuMilli'
      ORDER BY s.node_id, s.id`;
  }

  #watchIdle(rows: readonly LendingRow[], now: number): void {
    const seen = new Set<string>();
    for (const { id, used, held, guaranteed } of rows) {
      seen.add(id);
      if (!isIdle({ used, held, guaranteed })) this.#idleSince.delete(id);
      else if (!this.#idleSince.has(id)) this.#idleSince.set(id, now);
    }
    for (const id of this.#idleSince.keys()) if (!seen.has(id)) this.#idleSince.delete(id);
  }

  /** False when the ledger has changed meanwhile: the next look plans anew. */
  async #write(
    nodeId: string,
    changes: readonly CpuChange[],
    rows: ReadonlyMap<string, LendingRow>,
  ): Promise<boolean> {
    try {
      await this.database.system(async (tx) => {
        await tx.$queryRaw`SELECT 1 FROM inventory WHERE node_id = ${nodeId}::uuid ORDER BY class FOR UPDATE`;
        // What is given back first makes room for what is given.
        for (const change of [...changes].sort((a, b) => a.to - a.from - (b.to - b.from))) {
          const row = rows.get(change.id)!;
          const { count } = await tx.slice.updateMany({
            where: {
              id: change.id,
              heldCpuMilli: change.from,
              cpuMilli: row.guaranteed,
              ceilingCpuMilli: row.ceiling,
              leaving: false,
            },
            data: { heldCpuMilli: change.to },
          });
          if (count === 0) throw new Overtaken();
          await tell(tx, row, change);
        }
      });
      return true;
    } catch (error) {
      if (error instanceof Overtaken || sqlState(error) === CAPACITY_EXCEEDED) return false;
      throw error;
    }
  }

  /** What shrinks first, so that a node is not asked for more than it has. */
  async #push(
    nodeId: string,
    changes: readonly CpuChange[],
    rows: ReadonlyMap<string, LendingRow>,
  ): Promise<void> {
    for (const shrinks of [true, false]) {
      const now = changes.filter(({ from, to }) => to < from === shrinks);
      await Promise.all(now.map(({ id }) => this.specs.push(rows.get(id)!.drvm_id, nodeId)));
    }
  }
}

function sliceOf(row: LendingRow, isOn: boolean, idleSinceMs: number | null): CpuSlice {
  const { id, weight, guaranteed, ceiling, held, used, is_fixed: isFixed, is_stopped: isStopped } = row;
  return {
    id,
    nodeId: row.node_id,
    drvmId: row.drvm_id,
    tenantId: row.tenant_id,
    weight,
    guaranteed,
    ceiling,
    held,
    used,
    idleSinceMs,
    // Switched off, everybody gets back to what is guaranteed.
    isFixed: isFixed || !isOn,
    isStopped,
  };
}

const vcpus = (milli: number): string => `${milli / 1000} vCPU`;

/** Told where a loan begins and ends, of each side by itself: one tenant learns nothing about the other. */
async function tell(tx: Transaction, row: LendingRow, { from, to }: CpuChange): Promise<void> {
  const { guaranteed, drvm, node } = row;
  const side = (held: number): number => Math.sign(held - guaranteed);
  if (side(from) === side(to)) return;
  const about = {
    tenantId: row.tenant_id,
    tenant: row.tenant,
    drvmId: row.drvm_id,
    drvm,
    nodeId: row.node_id,
    node,
  };
  const ended = {
    '-1': `${drvm} has all of its ${vcpus(guaranteed)} on ${node} again`,
    '1': `${drvm} has given back the ${vcpus(from - guaranteed)} that it had borrowed on ${node}`,
  }[String(side(from))];
  if (ended !== undefined) await tx.event.create({ data: { ...about, kind: 'loan.returned', text: ended } });
  const begun = {
    '-1': `${vcpus(guaranteed - to)} that ${drvm} does not use on ${node} are lent until it does`,
    '1': `${drvm} borrows ${vcpus(to - guaranteed)} on ${node}: it wants more than its ${vcpus(guaranteed)}`,
  }[String(side(to))];
  if (begun !== undefined) await tx.event.create({ data: { ...about, kind: 'loan.lent', text: begun } });
}
