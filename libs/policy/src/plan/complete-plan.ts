import type { PlannerPolicy } from '../planner-policy.js';
import type { ClusterSnapshot } from '../snapshot/cluster-snapshot.js';
import { ClusterState } from './cluster-state.js';
import type { Plan, PlanCost, PlanKind, PlanStep } from './plan.js';
import type { Rejections } from './rejections.js';
import { type ClusterScore, scoreOf } from './score.js';
import { fingerprint } from './seed.js';

/** What every planner is given. The same input gives the same plan, to the last digit. */
export interface PlanInput {
  snapshot: ClusterSnapshot;
  policy: PlannerPolicy;
  /** Decides between equals. */
  seed: number;
}

/** Tries the steps on a copy of the cluster, each one, and says what they bring and cost. */
export function completePlan(
  kind: PlanKind,
  { snapshot, policy, seed }: PlanInput,
  steps: PlanStep[],
  rejections: Rejections,
): Plan {
  const before = scoreOf(snapshot);
  let after = before;
  if (steps.length > 0) {
    const moves = steps.some((step) => 'bytes' in step);
    const state = new ClusterState(moves ? snapshot : { ...snapshot, processes: [] });
    for (const step of steps) state.apply(step);
    after = scoreOf(state.snapshot());
  }
  const cost = costOf(steps);
  return {
    id: `${kind}-${fingerprint(JSON.stringify([kind, snapshot.id, snapshot.atMs, policy, seed, steps.length, after]))}`,
    kind,
    snapshot: snapshot.id,
    steps,
    gain: {
      strainBefore: before.strain,
      strainAfter: after.strain,
      wattsBefore: before.watts,
      wattsAfter: after.watts,
      nodesOnBefore: before.nodesOn,
      nodesOnAfter: after.nodesOn,
      unmetCpuMilliBefore: before.unmetCpuMilli,
      unmetCpuMilliAfter: after.unmetCpuMilli,
      summary: steps.length === 0 ? 'nothing to do' : summaryOf(before, after),
    },
    cost,
    rejected: rejections.list(),
  };
}

function costOf(steps: readonly PlanStep[]): PlanCost {
  const cost = { moves: 0, bytes: 0, pauseMs: 0, seconds: 0, summary: '' };
  for (const step of steps) {
    if ('bytes' in step) {
      cost.moves++;
      cost.bytes += step.bytes;
      cost.pauseMs += step.pauseMs;
    }
    if ('seconds' in step) cost.seconds += step.seconds;
  }
  cost.pauseMs = Math.round(cost.pauseMs * 10) / 10;
  cost.seconds = Math.round(cost.seconds * 1000) / 1000;
  cost.summary =
    cost.moves === 0
      ? `${steps.length} step${steps.length === 1 ? '' : 's'}, nothing moves`
      : `${cost.moves} move${cost.moves === 1 ? '' : 's'}, ${(cost.bytes / (1 << 20)).toFixed(1)} MiB, ${cost.pauseMs.toFixed(0)} ms of pauses in all`;
  return cost;
}

function summaryOf(before: ClusterScore, after: ClusterScore): string {
  const parts: string[] = [];
  const change = (name: string, from: number, to: number, digits: number): void => {
    if (from.toFixed(digits) !== to.toFixed(digits))
      parts.push(`${name} ${from.toFixed(digits)} to ${to.toFixed(digits)}`);
  };
  change('processes waiting', before.strain, after.strain, 2);
  change('vCPU wanted and not held', before.unmetCpuMilli / 1000, after.unmetCpuMilli / 1000, 2);
  change('nodes on', before.nodesOn, after.nodesOn, 0);
  change('watts', before.watts, after.watts, 0);
  return parts.length === 0 ? 'no change of load or power' : parts.join('; ');
}
