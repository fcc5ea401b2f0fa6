import { RESOURCE_CLASSES, type ResourceAmounts } from '@drvs/contracts';
import { completePlan, type PlanInput } from '../plan/complete-plan.js';
import type { Plan, PlanStep } from '../plan/plan.js';
import type { StepReason } from '../plan/reasons.js';
import { Rejections } from '../plan/rejections.js';
import { rankBySeed } from '../plan/seed.js';
import { CLASS_COUNT, CPU, describeAmounts, MEMORY } from '../snapshot/amounts.js';
import { Ledger } from '../snapshot/ledger.js';
import { clusterSums } from './cluster-sums.js';

export interface WakeInput extends PlanInput {
  /** CPU that is expected to be wanted when a node that is woken now would be up; null when nobody knows. */
  forecastCpuMilli?: number | null;
  /** Requests that wait for room: each a list of slices, which go to nodes of their own. */
  waiting?: readonly (readonly ResourceAmounts[])[];
}

/**
 * Switches nodes on before they are missed: when demand, present or forecast, is above the hot mark of what is on, when
 * less than the least headroom is free, when fewer are on than are to be, or when a request waits. As many as bring demand down to the target; those
 * with the lowest idle draw for their CPU first. Nodes on their way up count as up.
 */
export function planWake(input: WakeInput): Plan {
  const { snapshot, policy, seed } = input;
  const ledger = new Ledger(snapshot, { moves: false });
  const rejections = new Rejections();
  const rank = rankBySeed(snapshot.nodes.length, seed);
  const on = clusterSums(ledger, true);
  const asleep: number[] = [];
  for (let node = 0; node < ledger.nodeCount; node++) {
    const { state, name, power } = ledger.nodes[node];
    if (state !== 'off') continue;
    if (!power.isControlled) rejections.add(name, 'no-power-control');
    else if (power.hasFailedToWake) rejections.add(name, 'failed-to-wake');
    else asleep.push(node);
  }
  const demand = Math.max(on.loadMilli, input.forecastCpuMilli ?? 0);
  const { hotUtilisation, targetUtilisation, power } = policy;
  const lacks = (utilisation: number, headroom: number): boolean =>
    demand > utilisation * on.cpuMilli ||
    on.guaranteedMilli > (1 - headroom) * on.cpuMilli ||
    on.guaranteedMiB > (1 - headroom) * on.memoryMiB;
  const wattsPerCpu = (node: number): number =>
    ledger.nodes[node].power.idleWatts / Math.max(1, ledger.capacity[node * CLASS_COUNT + CPU]);
  asleep.sort((a, b) => wattsPerCpu(a) - wattsPerCpu(b) || rank[a] - rank[b]);
  const steps: PlanStep[] = [];
  const wake = (node: number, code: StepReason, reason: string): void => {
    const { id, power } = ledger.nodes[node];
    steps.push({
      action: 'power-on',
      node: id,
      watts: power.idleWatts - power.offWatts,
      seconds: power.bootSeconds,
      reason,
      why: { code, data: { demandCpuMilli: demand, onCpuMilli: on.cpuMilli } },
    });
    on.nodes++;
    on.cpuMilli += ledger.capacity[node * CLASS_COUNT + CPU];
    on.memoryMiB += ledger.capacity[node * CLASS_COUNT + MEMORY];
  };
  if (lacks(hotUtilisation, power.headroomLeast)) {
    while (asleep.length > 0 && lacks(targetUtilisation, power.headroomLeast)) {
      if (steps.length >= power.switchesMax) {
        rejections.add(`${asleep.length} nodes`, 'surge-limit');
        break;
      }
      const node = asleep.shift() as number;
      wake(
        node,
        'demand-rises',
        `${(demand / 1000).toFixed(1)} vCPU are wanted or expected of ${(on.cpuMilli / 1000).toFixed(1)} that are on; ${ledger.nodes[node].name} draws the least for its size`,
      );
    }
  }
  // So many are on whatever the load; where there are fewer in all, all of them.
  while (on.nodes < power.nodesMin && asleep.length > 0 && steps.length < power.switchesMax) {
    const node = asleep.shift() as number;
    const reason = `${power.nodesMin} nodes are to be on, and ${on.nodes} are; ${ledger.nodes[node].name} draws the least for its size`;
    wake(node, 'too-few-on', reason);
  }
  if (power.nodesMin > ledger.nodeCount) {
    const words = `${power.nodesMin}, and there are ${ledger.nodeCount}: all are to be on`;
    rejections.add('power.nodesMin', 'minimum-nodes', words);
  }
  for (const request of input.waiting ?? []) {
    const taken = new Set<number>();
    for (const amounts of request) {
      const node = placeOrWake(amounts, taken);
      if (node < 0) continue;
      taken.add(node);
      ledger.deduct(
        node,
        Float64Array.from(RESOURCE_CLASSES, (name) => amounts[name]),
        0,
      );
    }
  }
  return completePlan('power', input, steps, rejections);

  /** A node that is on or coming and has room, or else one that is woken for it; -1 for none. */
  function placeOrWake(amounts: ResourceAmounts, taken: ReadonlySet<number>): number {
    const fits = (room: Float64Array, node: number): boolean =>
      RESOURCE_CLASSES.every((name, c) => amounts[name] <= room[node * CLASS_COUNT + c]);
    const present = ledger.nodes.findIndex(
      ({ state }, node) =>
        (ledger.isOpen[node] === 1 || state === 'powering-on') &&
        !taken.has(node) &&
        fits(ledger.floorFree, node),
    );
    if (present >= 0) return present;
    if (steps.length >= power.switchesMax) {
      rejections.add(describeAmounts(amounts), 'surge-limit');
      return -1;
    }
    const at = asleep.findIndex((sleeper) => fits(ledger.capacity, sleeper));
    if (at < 0) {
      rejections.add(describeAmounts(amounts), asleep.length === 0 ? 'no-room' : 'too-large');
      return -1;
    }
    const [node] = asleep.splice(at, 1);
    ledger.isOpen[node] = 1;
    wake(node, 'request-waits', `${describeAmounts(amounts)} are asked for and fit on no node that is on`);
    return node;
  }
}
