import { DrvsError, DVOS_MEMORY_MIB, RESOURCE_CLASSES, type ResourceAmounts } from '@drvs/contracts';
import { MIN_SLICE } from '../placement/placement-request.js';
import type { ClusterState } from '../plan/cluster-state.js';
import { migrationCost } from '../plan/migration-cost.js';
import type { PlanStep } from '../plan/plan.js';
import type { RejectionRule } from '../plan/reasons.js';
import type { MigrationModel } from '../planner-policy.js';
import { amountsFit, describeAmounts, mapAmounts, subtractAmounts } from '../snapshot/amounts.js';
import { type ProcessRecord, SLICE_STATE_BYTES, type SliceRecord } from '../snapshot/cluster-snapshot.js';

const MIB = 1 << 20;

/** What once went from one node to another: a slice or a part of one. */
export interface Departure {
  drvm: string;
  from: string;
  to: string;
  guaranteed: ResourceAmounts;
  ceiling: ResourceAmounts;
  pids: readonly number[];
  /** It came to a slice that its DRVM had there. */
  merges: boolean;
}

export type BroughtBack = { step: PlanStep } | { rule: RejectionRule; words: string };

/**
 * The step, already applied to `state`, that brings back what departed: the slice as it is now where it still is one
 * of its own, else so much of it and those of its processes that are still there. Or why it cannot be.
 */
export function bringBack(
  state: ClusterState,
  departure: Departure,
  model: MigrationModel,
  because: Pick<PlanStep, 'reason' | 'why'>,
): BroughtBack {
  const { drvm, from: home, to: away } = departure;
  const slice = state.nodes.has(away) ? state.findSlice(drvm, away) : undefined;
  if (!state.drvms.has(drvm) || !slice) return { rule: 'moved-on', words: '' };
  if (slice.stays !== undefined) return { rule: slice.stays, words: '' };
  const unsuited = unsuitable(state, drvm, home);
  if (unsuited !== null) return unsuited;
  const here = [...state.processesOf(drvm)].filter(({ nodeId }) => nodeId === away);
  const isWhole = !departure.merges && amountsFit(slice.guaranteed, departure.guaranteed);
  const part = isWhole
    ? { guaranteed: slice.guaranteed, ceiling: slice.ceiling, held: slice.held, processes: here }
    : partOf(slice, departure, here, state.findSlice(drvm, home) === undefined);
  if (part === null) return { rule: 'moved-on', words: 'too little of it would be left behind' };
  const free = state.freeOn(home);
  const least = mapAmounts((name) =>
    name === 'memoryMiB' && isWhole
      ? Math.max(part.guaranteed[name], slice.used[name])
      : part.guaranteed[name],
  );
  if (!amountsFit(least, free)) {
    return { rule: 'no-room', words: `${describeAmounts(least)} needed, ${describeAmounts(free)} free` };
  }
  const cost = migrationCost(
    part.processes.map(({ imageBytes }) => imageBytes),
    isWhole ? (slice.stateBytes ?? SLICE_STATE_BYTES) : SLICE_STATE_BYTES,
    part.processes.reduce((sum, { cpuMilli }) => sum + cpuMilli, 0),
    model,
  );
  const step: PlanStep = {
    action: 'move-slice',
    drvm,
    from: away,
    to: home,
    guaranteed: part.guaranteed,
    ceiling: part.ceiling,
    held: mapAmounts((name) => Math.max(least[name], Math.min(part.held[name], free[name]))),
    pids: part.processes.map(({ pid }) => pid),
    merges: state.findSlice(drvm, home) !== undefined,
    bytes: cost.bytes,
    pauseMs: cost.pauseMs,
    seconds: cost.seconds,
    ...because,
  };
  try {
    state.apply(step);
    return { step };
  } catch (thrown) {
    const { code, message } = DrvsError.from(thrown);
    if (code !== 'StateConflict') throw thrown;
    return { rule: 'no-longer-so', words: message };
  }
}

/** What of the present slice can go back without leaving less than a slice behind; null when nothing can. */
function partOf(
  slice: SliceRecord,
  departure: Departure,
  here: readonly ProcessRecord[],
  isNew: boolean,
): {
  guaranteed: ResourceAmounts;
  ceiling: ResourceAmounts;
  held: ResourceAmounts;
  processes: ProcessRecord[];
} | null {
  const guaranteed = mapAmounts((name) =>
    Math.min(departure.guaranteed[name], slice.guaranteed[name] - MIN_SLICE[name]),
  );
  if (RESOURCE_CLASSES.some((name) => guaranteed[name] < (isNew ? MIN_SLICE[name] : 0))) return null;
  const spare = subtractAmounts(slice.ceiling, slice.guaranteed);
  const ceiling = mapAmounts(
    (name) => guaranteed[name] + Math.min(spare[name], departure.ceiling[name] - departure.guaranteed[name]),
  );
  const wanted = new Set(departure.pids);
  const mayGo = here.filter(({ pid, isPinned }) => wanted.has(pid) && !isPinned);
  // The part needs memory of its own besides the images; and as little as stays must hold what stays in use.
  let room = guaranteed.memoryMiB - (isNew ? DVOS_MEMORY_MIB : 0);
  const processes: ProcessRecord[] = [];
  for (const process of mayGo) {
    const memoryMiB = Math.ceil(process.imageBytes / MIB);
    if (memoryMiB > room) continue;
    room -= memoryMiB;
    processes.push(process);
  }
  const gone = processes.reduce((sum, { imageBytes }) => sum + Math.ceil(imageBytes / MIB), 0);
  const left = Math.max(
    slice.guaranteed.memoryMiB - guaranteed.memoryMiB,
    slice.held.memoryMiB - guaranteed.memoryMiB,
  );
  return left < slice.used.memoryMiB - gone ? null : { guaranteed, ceiling, held: guaranteed, processes };
}

function unsuitable(
  state: ClusterState,
  drvmId: string,
  nodeId: string,
): { rule: RejectionRule; words: string } | null {
  const node = state.nodes.get(nodeId);
  const drvm = state.drvms.get(drvmId);
  if (!node || !drvm || node.state !== 'up') return { rule: 'not-up', words: '' };
  if (
    !drvm.requires.every((trait) => node.traits.includes(trait)) ||
    !node.taints.every((taint) => drvm.tolerates.includes(taint))
  ) {
    return { rule: 'not-eligible', words: '' };
  }
  for (const { drvmId: other } of state.slicesOn(nodeId)) {
    if (other === drvmId) continue;
    const neighbour = state.drvms.get(other);
    const apart =
      drvm.isExclusive ||
      neighbour?.isExclusive ||
      drvm.avoids.includes(other) ||
      neighbour?.avoids.includes(drvmId);
    if (apart) return { rule: 'exclusive', words: neighbour?.name ?? other };
  }
  return null;
}
