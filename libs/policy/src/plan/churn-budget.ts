import type { PlannerPolicy } from '../planner-policy.js';
import type { ClusterSnapshot } from '../snapshot/cluster-snapshot.js';

/** Moves that a plan may still make in this hour; drains and evacuations do not ask. */
export function movesLeft({ nodes, movesLastHour }: ClusterSnapshot, policy: PlannerPolicy): number {
  return Math.max(0, Math.floor(policy.movesPerHourPerNode * nodes.length) - movesLastHour);
}
