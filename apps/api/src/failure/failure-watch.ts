import { NODE_DOWN_AFTER_MS } from '@drvs/contracts';
import { Injectable, Logger } from '@nestjs/common';
import { SYSTEM } from '../auth/actor.js';
import { Database, type Transaction } from '../database/database.js';
import { aboutDrvm } from '../events/about-drvm.js';
import type { NodeFailure, NodePower, Prisma } from '../gen/client.js';
import { LedgerSession } from '../jobs/ledger-session.js';
import { Recurring } from '../jobs/recurring.js';
import { RecurringService } from '../jobs/recurring-service.js';
import { cordon } from '../nodes/cordon.js';
import { uncordon } from '../nodes/uncordon.js';
import { PlansService } from '../plans/plans.service.js';
import { PowerService } from '../power/power.service.js';
import { columnsOf, recordOf } from './failure-rows.js';
import { FailureSettings } from './failure-settings.js';
import {
  type FailureAction,
  type FailureMode,
  type FailureSight,
  type FailureStep,
  look,
  type Verdict,
  WELL,
} from './failure-state.js';
import { Witnesses } from './witnesses.js';

const LOOK_EVERY_MS = 2_000;
/** A look that comes so late says that this API was away itself. */
const AWAY_AFTER_MS = 10_000;
/** After it was away, agents get so long to connect again before their silence is theirs. */
const RECONNECT_MS = 15_000;
const LOCK = 'failure-watch';
const FENCE_WITHIN_MS = 55_000;
const OFF_ON_PURPOSE: ReadonlySet<string> = new Set([
  'powering-off',
  'off',
  'powering-on',
  'joining',
  'quarantined',
]);

const watched = {
  id: true,
  name: true,
  lastSeenAt: true,
  wantedState: true,
  power: true,
  failure: true,
  _count: { select: { slices: true } },
} satisfies Prisma.NodeSelect;
type WatchedNode = Prisma.NodeGetPayload<{ select: typeof watched }>;

/** What came of an action that takes time, until the next look takes it. */
interface Findings {
  verdict: Verdict | null;
  fence: FailureSight['fence'];
}

/**
 * Looks at all nodes every two seconds, and does what the state machine says about those that fell silent. Of several API
 * processes one does it. What takes time (asking others, cutting power) goes on beside the looks; what it found is taken
 * by the next one.
 */
@Injectable()
export class FailureWatch extends RecurringService {
  readonly #logger = new Logger('Failure');
  readonly #findings = new Map<string, Findings>();
  readonly #underWay = new Map<string, Promise<void>>();
  protected readonly rounds = new Recurring(
    LOOK_EVERY_MS,
    () => this.#look(),
    (error) => this.#warn(error),
  );
  #lookedAt: number | null = null;
  #judgesFrom = 0;
  #asked = 0;

  constructor(
    private readonly database: Database,
    private readonly session: LedgerSession,
    private readonly settings: FailureSettings,
    private readonly witnesses: Witnesses,
    private readonly power: PowerService,
    private readonly plans: PlansService,
  ) {
    super();
  }

  override async stop(): Promise<void> {
    await super.stop();
    await Promise.allSettled(this.#underWay.values());
    await this.session.unlock(LOCK);
  }

  async #look(): Promise<void> {
    if (!(await this.session.lead(LOCK))) return;
    const now = Date.now();
    if (!this.#wasHereBefore(now)) return;
    const silentSince = new Date(now - NODE_DOWN_AFTER_MS);
    const nodes = await this.database.unrestricted.node.findMany({
      where: {
        lastSeenAt: { not: null },
        OR: [{ lastSeenAt: { lt: silentSince } }, { failure: { phase: { not: 'well' } } }],
      },
      select: watched,
    });
    if (nodes.length === 0) return;
    const { mode } = await this.settings.kept();
    const isApiAlone = await this.#isApiAlone(silentSince);
    for (const node of nodes) {
      await this.#step(node, isApiAlone, mode).catch((error: unknown) => this.#warn(error));
    }
  }

  /**
   * Whether agents had the time to be heard by this process: those that it could not hear, since it began only now or
   * was asleep, have not come back when it hears them, and are not held out for coming and going.
   */
  #wasHereBefore(now: number): boolean {
    const wasAway = this.#lookedAt === null || now - this.#lookedAt > AWAY_AFTER_MS;
    this.#lookedAt = now;
    if (wasAway) this.#judgesFrom = now + RECONNECT_MS;
    // A clock that was set back makes nobody wait for longer.
    this.#judgesFrom = Math.min(this.#judgesFrom, now + RECONNECT_MS);
    return now >= this.#judgesFrom;
  }

  /** It hears less than half of the nodes that should be up. */
  async #isApiAlone(silentSince: Date): Promise<boolean> {
    const [counts] = await this.database.unrestricted.$queryRaw<{ wanted: number; heard: number }[]>`
      SELECT count(*)::int AS wanted, (count(*) FILTER (WHERE n.last_seen_at >= ${silentSince}::timestamptz))::int AS heard
      FROM node n LEFT JOIN node_power p ON p.node_id = n.id
      WHERE n.last_seen_at IS NOT NULL AND n.wanted_state <> 'off'
        AND NOT coalesce(p.state = ANY(${[...OFF_ON_PURPOSE]}), false)`;
    return counts !== undefined && counts.heard * 2 < counts.wanted;
  }

  async #step(node: WatchedNode, isApiAlone: boolean, mode: FailureMode): Promise<void> {
    const now = Date.now();
    const { failure } = node;
    const record = failure ? recordOf(failure) : { ...WELL, sinceMs: now, lookedAtMs: now };
    const findings = this.#findings.get(node.id);
    this.#findings.delete(node.id);
    const step = look(
      record,
      node.name,
      {
        isHeard: isHeard(node, now),
        silentMs: now - (node.lastSeenAt?.getTime() ?? now),
        isExpectedAway: isExpectedAway(node),
        isApiAlone,
        verdict: findings?.verdict ?? null,
        fence: findings?.fence ?? null,
        canFence: record.phase === 'confirmed' && (await this.#canFence(node.id)),
        evacuation: await this.#evacuation(failure),
        isEmpty: node._count.slices === 0,
      },
      now,
      mode,
    );
    if (!(await this.write(node, failure, step))) return;
    for (const action of step.actions) this.begin(action, node.id);
  }

  /** False when somebody else changed it meanwhile: the next look sees what it is then. */
  async write(
    node: Pick<WatchedNode, 'id' | 'name'>,
    before: NodeFailure | null,
    step: FailureStep,
  ): Promise<boolean> {
    return this.database.system(async (tx) => {
      await tx.$executeRaw`INSERT INTO node_failure (node_id) VALUES (${node.id}::uuid) ON CONFLICT DO NOTHING`;
      const { count } = await tx.nodeFailure.updateMany({
        where: { nodeId: node.id, ...(before ? { generation: before.generation } : { phase: 'well' }) },
        data: { ...columnsOf(step.record), generation: { increment: 1 } },
      });
      if (count === 0) return false;
      if (step.actions.includes('close')) await cordon(tx, node.id, 'the watch over failures');
      if (step.actions.includes('open')) await uncordon(tx, node.id, 'the watch over failures');
      if (step.told) {
        await tx.event.create({ data: { ...step.told, nodeId: node.id, node: node.name } });
        if (step.told.kind === 'node.lost' || step.told.kind === 'node.fenced') {
          await tellDrvms(tx, node, step.told.kind);
        }
      }
      return true;
    });
  }

  /** Begins what takes time, once at a time for a node. */
  begin(action: FailureAction, nodeId: string): void {
    if (action === 'close' || action === 'open' || this.#underWay.has(nodeId)) return;
    const work = this.#do(action, nodeId)
      .catch((error: unknown) => this.#warn(error))
      .finally(() => this.#underWay.delete(nodeId));
    this.#underWay.set(nodeId, work);
  }

  async #do(action: Exclude<FailureAction, 'close' | 'open'>, nodeId: string): Promise<void> {
    const { signal } = this.rounds;
    switch (action) {
      case 'ask-witnesses': {
        const key = `witness.${nodeId}.${Date.now()}.${this.#asked++}`;
        this.#found(nodeId, { verdict: await this.witnesses.ask(nodeId, key, signal) });
        return;
      }
      case 'fence': {
        const within = AbortSignal.any([signal, AbortSignal.timeout(FENCE_WITHIN_MS)]);
        const fence = await this.power
          .fence(nodeId, within)
          .catch((error: unknown) => ({ isOff: false, says: (error as Error).message }));
        signal.throwIfAborted();
        this.#found(nodeId, { fence });
        return;
      }
      case 'evacuate':
        await this.#evacuate(nodeId);
    }
  }

  #found(nodeId: string, found: Partial<Findings>): void {
    this.#findings.set(nodeId, { verdict: null, fence: null, ...this.#findings.get(nodeId), ...found });
  }

  async #evacuate(nodeId: string): Promise<void> {
    const plan = await this.plans.make(SYSTEM, { kind: 'evacuate', node: nodeId }, 'automatic');
    if (plan.steps.length === 0) {
      const why = plan.rejected.map(({ what, reason }) => `${what}: ${reason}`).join('; ');
      this.#logger.warn(`nothing of ${plan.node} can be made anew elsewhere: ${why}`);
      return;
    }
    const { id } = await this.plans.apply(SYSTEM, plan.id);
    await this.database.unrestricted.nodeFailure.updateMany({ where: { nodeId }, data: { operationId: id } });
  }

  async #evacuation(failure: NodeFailure | null): Promise<FailureSight['evacuation']> {
    if (!failure?.operationId || (failure.phase !== 'fenced' && failure.phase !== 'evacuating')) return null;
    const operation = await this.database.unrestricted.operation.findUnique({
      where: { id: failure.operationId },
      select: { state: true, createdAt: true },
    });
    if (!operation) return null;
    if (operation.state === 'queued' || operation.state === 'running') return 'under-way';
    return operation.state === 'succeeded' ? 'succeeded' : 'failed';
  }

  async #canFence(nodeId: string): Promise<boolean> {
    const { driver } = await this.power.driver(nodeId);
    return driver.canCut;
  }

  #warn(error: unknown): void {
    if (!this.rounds.signal.aborted) this.#logger.warn((error as Error).message);
  }
}

function isHeard({ lastSeenAt }: Pick<WatchedNode, 'lastSeenAt'>, nowMs: number): boolean {
  return lastSeenAt !== null && nowMs - lastSeenAt.getTime() <= NODE_DOWN_AFTER_MS;
}

function isExpectedAway({ wantedState, power }: { wantedState: string; power: NodePower | null }): boolean {
  return wantedState === 'off' || (power !== null && OFF_ON_PURPOSE.has(power.state));
}

/** Those whose servers and files were on it are told of it by name. */
async function tellDrvms(
  tx: Transaction,
  node: Pick<WatchedNode, 'id' | 'name'>,
  kind: 'node.lost' | 'node.fenced',
): Promise<void> {
  const slices = await tx.slice.findMany({
    where: { nodeId: node.id },
    select: {
      index: true,
      drvm: {
        select: { id: true, name: true, homeIndex: true, tenantId: true, tenant: { select: { name: true } } },
      },
    },
  });
  for (const { index, drvm } of slices) {
    const isHome = index === drvm.homeIndex;
    if (kind === 'node.fenced' && !isHome) continue;
    const text =
      kind === 'node.lost'
        ? `${drvm.name} has lost what it had on ${node.name}${isHome ? ', where its servers and files are' : ''}`
        : `the home of ${drvm.name} was on ${node.name}: its files are there. Wait until the node is back, or restore a snapshot elsewhere`;
    await tx.event.create({
      data: {
        kind: isHome ? 'drvm.home-lost' : 'drvm.slice-lost',
        nodeId: node.id,
        node: node.name,
        ...aboutDrvm(drvm),
        text,
      },
    });
  }
}
