import { capacityOf } from '../snapshot/amounts.js';
import type { ClusterSnapshot, NodeRecord } from '../snapshot/cluster-snapshot.js';
import { strainOf } from '../snapshot/strain.js';

export interface ClusterScore {
  /** Processes waiting for a CPU, over nodes and slices. */
  strain: number;
  watts: number;
  nodesOn: number;
  unmetCpuMilli: number;
}

/** Sums are of whole millionths: exact, in whatever order the records come. */
const MILLION = 1e6;
const inMillionths = (value: number): number => Math.round(value * MILLION);

/** Reckoned anew from the records: what plans promise is compared with this. */
export function scoreOf(snapshot: ClusterSnapshot): ClusterScore {
  const load = new Map<string, number>();
  const score: ClusterScore = { strain: 0, watts: 0, nodesOn: 0, unmetCpuMilli: 0 };
  for (const { nodeId, wanted, held, ceiling } of snapshot.slices) {
    const cpuMilli = Math.min(wanted.cpuMilli, ceiling.cpuMilli);
    load.set(nodeId, (load.get(nodeId) ?? 0) + cpuMilli);
    score.strain += inMillionths(strainOf(cpuMilli, held.cpuMilli));
    score.unmetCpuMilli += Math.max(0, cpuMilli - held.cpuMilli);
  }
  for (const node of snapshot.nodes) {
    const cpuMilli = load.get(node.id) ?? 0;
    const capacity = capacityOf(node).cpuMilli;
    if (node.state === 'up') score.strain += inMillionths(strainOf(cpuMilli, capacity));
    if (node.state === 'up' || node.state === 'powering-on') score.nodesOn++;
    score.watts += inMillionths(wattsOf(node, capacity === 0 ? 0 : cpuMilli / capacity));
  }
  score.strain /= MILLION;
  score.watts /= MILLION;
  return score;
}

/** Draw of a node at this CPU utilisation. */
export function wattsOf({ state, power }: NodeRecord, utilisation: number): number {
  if (state === 'off') return power.offWatts;
  if (state === 'down') return 0;
  return power.idleWatts + (power.fullWatts - power.idleWatts) * Math.min(1, utilisation);
}
