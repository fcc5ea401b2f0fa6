import type { RejectionRule } from '../plan/reasons.js';
import type { PlannerPolicy } from '../planner-policy.js';
import { type ClusterSums, clusterSums } from '../power/cluster-sums.js';
import { CLASS_COUNT, CPU, MEMORY } from '../snapshot/amounts.js';
import type { Ledger } from '../snapshot/ledger.js';

/** What the nodes that are on have in sum, and whether one of them can be spared. */
export class Headroom {
  readonly #ledger: Ledger;
  readonly #policy: PlannerPolicy;
  readonly #demandMilli: number;
  readonly #sums: ClusterSums;

  constructor(ledger: Ledger, policy: PlannerPolicy, forecastCpuMilli: number) {
    this.#ledger = ledger;
    this.#policy = policy;
    this.#sums = clusterSums(ledger, false);
    this.#demandMilli = Math.max(this.#sums.loadMilli, forecastCpuMilli);
  }

  /** The least share of a class that is free: of CPU by demand and by guarantee, of memory by guarantee. */
  free(cpuMilli = this.#sums.cpuMilli, memoryMiB = this.#sums.memoryMiB): number {
    if (cpuMilli <= 0 || memoryMiB <= 0) return 0;
    return Math.min(
      1 - this.#demandMilli / cpuMilli,
      1 - this.#sums.guaranteedMilli / cpuMilli,
      1 - this.#sums.guaranteedMiB / memoryMiB,
    );
  }

  refusalWithout(node: number): { rule: RejectionRule; words: string } | null {
    const { nodesMin, headroomKept } = this.#policy.power;
    if (this.#sums.nodes - 1 < nodesMin) {
      const known = this.#ledger.nodeCount;
      const words = nodesMin > known ? `${nodesMin}, and there are ${known}: all stay on` : `${nodesMin}`;
      return { rule: 'minimum-nodes', words };
    }
    const cpuMilli = this.#sums.cpuMilli - this.#ledger.capacity[node * CLASS_COUNT + CPU];
    const memoryMiB = this.#sums.memoryMiB - this.#ledger.capacity[node * CLASS_COUNT + MEMORY];
    const free = this.free(cpuMilli, memoryMiB);
    if (free < headroomKept) {
      return {
        rule: 'headroom',
        words: `${(free * 100).toFixed(1)} % would be free, ${headroomKept * 100} % are to be`,
      };
    }
    if (this.#demandMilli > this.#policy.targetUtilisation * cpuMilli) {
      return {
        rule: 'would-be-hot',
        words: `demand of ${(this.#demandMilli / 1000).toFixed(0)} vCPU would exceed ${this.#policy.targetUtilisation * 100} % of the nodes that stay on`,
      };
    }
    return null;
  }

  remove(node: number): void {
    this.#sums.nodes--;
    this.#sums.cpuMilli -= this.#ledger.capacity[node * CLASS_COUNT + CPU];
    this.#sums.memoryMiB -= this.#ledger.capacity[node * CLASS_COUNT + MEMORY];
  }
}
