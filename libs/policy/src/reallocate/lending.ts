import { MIN_SLICE_CPU_MILLI, NO_RESOURCES, type ResourceAmounts } from '@drvs/contracts';
import { ClusterState } from '../plan/cluster-state.js';
import { plannerPolicy } from '../planner-policy.js';
import { bareDrvm, bareNode } from '../snapshot/bare-records.js';
import type { ClusterSnapshot } from '../snapshot/cluster-snapshot.js';
import { planReallocation } from './reallocate.js';

/** What one DRVM has of a node's CPU, in thousandths of a vCPU. */
export interface CpuSlice {
  id: string;
  nodeId: string;
  drvmId: string;
  tenantId: string;
  /** Of the tenant: of what several want, weight 2 gets twice what weight 1 gets. */
  weight: number;
  guaranteed: number;
  ceiling: number;
  /** The limit in force now. */
  held: number;
  used: number;
  /** Since when it has used clearly less than it holds; null when it does not. */
  idleSinceMs: number | null;
  /** It neither lends nor borrows now, for instance because it is being started or moved. */
  isFixed: boolean;
  /** Nothing runs there, and nothing can begin to without being started first. */
  isStopped: boolean;
}

export interface CpuChange {
  id: string;
  nodeId: string;
  from: number;
  to: number;
}

/** Whoever uses this share of what it holds would use more if it had more. */
const PRESSED = 0.85;
/** An owner that uses less than this share of what it holds is idle. */
const IDLE = 0.6;
/** So long it must have been idle before its guarantee is lent: a program that reads a file is not asleep. */
const IDLE_HOLD_MS = 3_000;
/** Of what it is guaranteed an idle owner keeps so much, so that it shows at once that it wakes. */
const KEPT = 0.2;
/** What is used may grow by this much before it is pressed again. */
const MARGIN = 0.4;
const STEP_MILLI = 10;

export const isPressed = ({ used, held }: Pick<CpuSlice, 'used' | 'held'>): boolean => used >= PRESSED * held;
export const isIdle = ({ used, held, guaranteed }: Pick<CpuSlice, 'used' | 'held' | 'guaranteed'>): boolean =>
  used < IDLE * Math.min(held, guaranteed);

/**
 * What each slice should hold of its node's CPU now: only those that change.
 *
 * - Who is pressed and holds less than its guarantee gets all of it back at once, whoever has it.
 * - Who is pressed and holds its guarantee wants more, up to its ceiling; what several want is shared by dominant-resource
 *   fairness with their tenants' weights, each tenant's between those of its DRVMs that want (planReallocation).
 * - For this, first what is free is lent; and of those that have been idle for a while what they are guaranteed above
 *   their need, as much as is missing.
 * - What nobody misses goes back to its owners.
 *
 * On no node the sum grows above its capacity, and nobody that wants its guarantee holds less. Slices that are fixed hold
 * what they are guaranteed. Memory and disk are not lent: what somebody has filled could not be given back in time.
 * @param capacity what may be held of each node
 */
export function planLending(
  slices: readonly CpuSlice[],
  capacity: ReadonlyMap<string, number>,
  atMs: number,
): CpuChange[] {
  const open = slices.filter(({ nodeId }) => capacity.has(nodeId));
  // Most nodes have nobody who wants or owes anything.
  const restless = new Set(open.filter(isRestless).map(({ nodeId }) => nodeId));
  const concerned = open.filter(({ nodeId }) => restless.has(nodeId));
  if (concerned.length === 0) return [];
  const least = new Map(concerned.map((slice) => [slice.id, leastOf(slice, atMs)]));
  const held = recalled(concerned, least, capacity);
  const wanting = new Map<string, Set<string>>();
  for (const { tenantId, drvmId } of concerned.filter(wantsMore))
    wanting.set(tenantId, (wanting.get(tenantId) ?? new Set()).add(drvmId));
  const snapshot = snapshotOf(concerned, held, least, capacity, wanting, atMs);
  const state = new ClusterState(snapshot);
  for (const step of planReallocation({ snapshot, policy: POLICY, seed: 1 }).steps) state.apply(step);
  const shared = new Map(
    state.snapshot().slices.map(({ drvmId, nodeId, held: has }) => [`${drvmId}/${nodeId}`, has.cpuMilli]),
  );
  for (const { id, drvmId, nodeId } of concerned) held.set(id, shared.get(`${drvmId}/${nodeId}`) ?? 0);
  giveBackTheRest(concerned, held, capacity);
  return concerned.flatMap(({ id, nodeId, held: from }) => {
    const to = held.get(id) ?? from;
    return to === from ? [] : [{ id, nodeId, from, to }];
  });
}

const POLICY = plannerPolicy({ reallocate: { cpuStepMilli: STEP_MILLI, margin: 0, idleHoldSeconds: 30 } });

const wantsMore = (slice: CpuSlice): boolean =>
  !slice.isFixed && !slice.isStopped && isPressed(slice) && slice.held < slice.ceiling;

const isRestless = (slice: CpuSlice): boolean => slice.held !== slice.guaranteed || wantsMore(slice);

/** What it must hold whoever else wants something. */
function leastOf(slice: CpuSlice, atMs: number): number {
  const { guaranteed, used, idleSinceMs, isFixed, isStopped } = slice;
  if (isFixed) return guaranteed;
  if (isStopped) return Math.min(guaranteed, MIN_SLICE_CPU_MILLI);
  const hasSlept = idleSinceMs !== null && atMs - idleSinceMs >= IDLE_HOLD_MS;
  if (!hasSlept || isPressed(slice)) return guaranteed;
  return Math.min(guaranteed, Math.max(MIN_SLICE_CPU_MILLI, Math.ceil(guaranteed * KEPT), needOf(used)));
}

/** In whole steps, so that a flutter of load changes nothing. */
const needOf = (used: number): number => Math.ceil((used * (1 + MARGIN)) / STEP_MILLI) * STEP_MILLI;

/** What each holds after those that must have more have got it, from those that hold more than they must, in proportion. */
function recalled(
  slices: readonly CpuSlice[],
  least: ReadonlyMap<string, number>,
  capacity: ReadonlyMap<string, number>,
): Map<string, number> {
  const held = new Map(
    slices.map((slice) => [
      slice.id,
      slice.isFixed ? slice.guaranteed : Math.max(slice.held, least.get(slice.id) ?? 0),
    ]),
  );
  for (const [nodeId, here] of Map.groupBy(slices, (slice) => slice.nodeId)) {
    const sum = here.reduce((total, { id }) => total + held.get(id)!, 0);
    let over = sum - (capacity.get(nodeId) ?? 0);
    if (over <= 0) continue;
    // What is borrowed goes back before anything that is guaranteed is lent.
    for (const bound of [(slice: CpuSlice) => slice.guaranteed, (slice: CpuSlice) => least.get(slice.id)!]) {
      const spare = here.map((slice) =>
        Math.max(0, held.get(slice.id)! - Math.max(bound(slice), least.get(slice.id)!)),
      );
      const all = spare.reduce((total, amount) => total + amount, 0);
      if (all === 0 || over <= 0) continue;
      const part = Math.min(1, over / all);
      for (const [index, { id }] of here.entries()) {
        const taken = Math.min(spare[index]!, Math.ceil(spare[index]! * part), Math.max(0, over));
        held.set(id, held.get(id)! - taken);
        over -= taken;
      }
    }
  }
  return held;
}

function snapshotOf(
  slices: readonly CpuSlice[],
  held: ReadonlyMap<string, number>,
  least: ReadonlyMap<string, number>,
  capacity: ReadonlyMap<string, number>,
  wanting: ReadonlyMap<string, ReadonlySet<string>>,
  atMs: number,
): ClusterSnapshot {
  const cpu = (cpuMilli: number): ResourceAmounts => ({ ...NO_RESOURCES, cpuMilli });
  const nodeIds = [...new Set(slices.map(({ nodeId }) => nodeId))];
  const drvms = new Map(slices.map((slice) => [slice.drvmId, slice]));
  return {
    id: 'lending',
    atMs,
    nodes: nodeIds.map((id) => bareNode(id, cpu(capacity.get(id) ?? 0))),
    drvms: [...drvms.values()].map(({ drvmId, tenantId, weight }) => ({
      ...bareDrvm(drvmId, tenantId),
      weight: weight / Math.max(1, wanting.get(tenantId)?.size ?? 1),
    })),
    slices: slices.map((slice) => {
      const { id, drvmId, nodeId, used, idleSinceMs } = slice;
      const floor = Math.min(least.get(id)!, held.get(id)!);
      const ceiling = Math.max(slice.isFixed ? floor : slice.ceiling, held.get(id)!);
      const wants = slice.isStopped || slice.isFixed ? 0 : wantsMore(slice) ? ceiling : needOf(used);
      return {
        drvmId,
        nodeId,
        guaranteed: cpu(floor),
        ceiling: cpu(ceiling),
        held: cpu(held.get(id)!),
        used: cpu(Math.min(Math.round(used), ceiling)),
        wanted: cpu(Math.max(wants, Math.round(used))),
        // What is guaranteed and not missed stays with its owner.
        idleSinceMs: held.get(id)! > slice.guaranteed ? idleSinceMs : null,
        movedAtMs: null,
      };
    }),
    processes: [],
    movesLastHour: 0,
  };
}

/** Owners have first call on what is left. */
function giveBackTheRest(
  slices: readonly CpuSlice[],
  held: Map<string, number>,
  capacity: ReadonlyMap<string, number>,
): void {
  for (const [nodeId, here] of Map.groupBy(slices, (slice) => slice.nodeId)) {
    let free = (capacity.get(nodeId) ?? 0) - here.reduce((sum, { id }) => sum + held.get(id)!, 0);
    for (const { id, guaranteed } of here) {
      const back = Math.min(Math.max(0, free), Math.max(0, guaranteed - held.get(id)!));
      held.set(id, held.get(id)! + back);
      free -= back;
    }
  }
}
