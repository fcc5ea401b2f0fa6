import type { RejectionRule } from '../plan/reasons.js';
import type { PlannerPolicy } from '../planner-policy.js';
import { CLASS_COUNT, CPU, MEMORY } from '../snapshot/amounts.js';
import type { Ledger } from '../snapshot/ledger.js';

/** What the nodes that are on have in sum, and whether one of them can be spared. */
export class Headroom {
  readonly #ledger: Ledger;
  readonly #policy: PlannerPolicy;
  readonly #demandMilli: number;
  #nodes = 0;
  #cpuMilli = 0;
  #memoryMiB = 0;
  #guaranteedMilli = 0;
  #guaranteedMiB = 0;

  constructor(ledger: Ledger, policy: PlannerPolicy, forecastCpuMilli: number) {
    this.#ledger = ledger;
    this.#policy = policy;
    let load = 0;
    for (let node = 0; node < ledger.nodeCount; node++) {
      if (ledger.nodes[node].state !== 'up') continue;
      this.#nodes++;
      this.#cpuMilli += ledger.capacity[node * CLASS_COUNT + CPU];
      this.#memoryMiB += ledger.capacity[node * CLASS_COUNT + MEMORY];
      this.#guaranteedMilli +=
        ledger.capacity[node * CLASS_COUNT + CPU] - ledger.floorFree[node * CLASS_COUNT + CPU];
      this.#guaranteedMiB +=
        ledger.capacity[node * CLASS_COUNT + MEMORY] - ledger.floorFree[node * CLASS_COUNT + MEMORY];
      load += ledger.load[node * CLASS_COUNT + CPU];
    }
    this.#demandMilli = Math.max(load, forecastCpuMilli);
  }

  /** The least share of a class that is free: of CPU by demand and by guarantee, of memory by guarantee. */
  free(cpuMilli = this.#cpuMilli, memoryMiB = this.#memoryMiB): number {
    if (cpuMilli <= 0 || memoryMiB <= 0) return 0;
    return Math.min(
      1 - this.#demandMilli / cpuMilli,
      1 - this.#guaranteedMilli / cpuMilli,
      1 - this.#guaranteedMiB / memoryMiB,
    );
  }

  refusalWithout(node: number): { rule: RejectionRule; words: string } | null {
    const { nodesMin, headroomKept } = this.#policy.power;
    if (this.#nodes - 1 < nodesMin) return { rule: 'minimum-nodes', words: `${nodesMin}` };
    const cpuMilli = this.#cpuMilli - this.#ledger.capacity[node * CLASS_COUNT + CPU];
    const memoryMiB = this.#memoryMiB - this.#ledger.capacity[node * CLASS_COUNT + MEMORY];
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
    this.#nodes--;
    this.#cpuMilli -= this.#ledger.capacity[node * CLASS_COUNT + CPU];
    this.#memoryMiB -= this.#ledger.capacity[node * CLASS_COUNT + MEMORY];
  }
}
