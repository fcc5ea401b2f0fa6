import { CLASS_COUNT, CPU, MEMORY } from '../snapshot/amounts.js';
import type { Ledger } from '../snapshot/ledger.js';

/** What is asked of the cluster, and what the nodes that take new slices have for it. */
export interface ClusterSums {
  nodes: number;
  cpuMilli: number;
  memoryMiB: number;
  /** Of all slices, also those on nodes that are cordoned or down: they will want a place. */
  loadMilli: number;
  guaranteedMilli: number;
  guaranteedMiB: number;
}

/** Both the planner that switches nodes off and the one that wakes them reckon with these, so that they agree. */
export function clusterSums(ledger: Ledger, countsComing: boolean): ClusterSums {
  const sums = { nodes: 0, cpuMilli: 0, memoryMiB: 0, loadMilli: 0, guaranteedMilli: 0, guaranteedMiB: 0 };
  for (let node = 0; node < ledger.nodeCount; node++) {
    const cpu = node * CLASS_COUNT + CPU;
    const memory = node * CLASS_COUNT + MEMORY;
    sums.loadMilli += ledger.load[cpu];
    sums.guaranteedMilli += ledger.capacity[cpu] - ledger.floorFree[cpu];
    sums.guaranteedMiB += ledger.capacity[memory] - ledger.floorFree[memory];
    const { state, isCordoned } = ledger.nodes[node];
    if (isCordoned || (state !== 'up' && !(countsComing && state === 'powering-on'))) continue;
    sums.nodes++;
    sums.cpuMilli += ledger.capacity[cpu];
    sums.memoryMiB += ledger.capacity[memory];
  }
  return sums;
}
