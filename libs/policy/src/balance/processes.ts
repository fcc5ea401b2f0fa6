import { migrationCost } from '../plan/migration-cost.js';
import type { PlanStep } from '../plan/plan.js';
import { CLASS_COUNT, CPU, MEMORY } from '../snapshot/amounts.js';
import { hasCooled } from '../snapshot/freshness.js';
import { sliceName } from '../snapshot/order.js';
import { strainOf } from '../snapshot/strain.js';
import type { Balancing } from './balance.js';
import { isWorth } from './worth.js';

const MIB = 1 << 20;
/** Processes of a slice that are looked at in a round, those that want the most first. */
const PROCESSES_TRIED = 16;

/** Moves processes between the slices of each DRVM, the best move first, until none is worth its cost. */
export function moveProcesses(balancing: Balancing): PlanStep[] {
  const { ledger } = balancing;
  const slicesOf: number[][] = ledger.drvms.map(() => []);
  for (let slice = 0; slice < ledger.sliceDrvm.length; slice++) {
    if (ledger.nodes[ledger.sliceNode[slice]].state === 'up') slicesOf[ledger.sliceDrvm[slice]].push(slice);
  }
  const steps: PlanStep[] = [];
  for (let isMoving = true; isMoving; ) {
    // A move of one DRVM cools a node that another shares, so the DRVMs are gone through until nothing changes.
    isMoving = false;
    for (const slices of slicesOf) {
      if (slices.length < 2) continue;
      for (let step = best(balancing, slices); step !== null; step = best(balancing, slices)) {
        steps.push(step);
        isMoving = true;
      }
    }
  }
  return steps;
}

/** Makes the most relieving move among these slices and says what it is, or null. */
function best(balancing: Balancing, slices: readonly number[]): PlanStep | null {
  const { ledger, input, budget, movedSlices, movedProcesses, rejections } = balancing;
  const { snapshot, policy } = input;
  const targets = slices.filter((slice) => isCool(balancing, slice));
  if (targets.length === 0) return null;
  let chosen: { process: number; source: number; target: number; relief: number } | null = null;
  for (const source of slices) {
    const strain = ledger.sliceStrain(source) + ledger.nodeStrain(ledger.sliceNode[source]);
    if (strain < policy.balance.gainMin) continue;
    const candidates = ledger.processesIn[source]
      .filter((process) => {
        const { isPinned, movedAtMs } = snapshot.processes[process];
        if (isPinned || movedProcesses.has(process)) return false;
        return hasCooled(movedAtMs, snapshot.atMs, policy.coolDownSeconds);
      })
      .sort((a, b) => snapshot.processes[b].cpuMilli - snapshot.processes[a].cpuMilli || a - b)
      .slice(0, PROCESSES_TRIED);
    for (const process of candidates) {
      if (snapshot.processes[process].cpuMilli === 0) continue;
      for (const target of targets) {
        if (target === source || !mayMove(balancing, process, source, target)) continue;
        const relief = reliefOf(balancing, process, source, target);
        if (chosen === null || relief > chosen.relief) chosen = { process, source, target, relief };
      }
    }
  }
  if (chosen === null) return null;
  const { process, source, target, relief } = chosen;
  const { drvmId, pid, cpuMilli, imageBytes } = snapshot.processes[process];
  const cost = migrationCost([imageBytes], 0, cpuMilli, policy.migration);
  if (!isWorth(relief, cost, policy)) return null;
  const name = `${ledger.drvms[ledger.sliceDrvm[source]].name}/${pid}`;
  if (budget.moves === 0) {
    rejections.add(name, 'churn-budget');
    return null;
  }
  budget.moves--;
  const from = ledger.nodes[ledger.sliceNode[source]];
  const to = ledger.nodes[ledger.sliceNode[target]];
  const reason = `${sliceName(ledger, source)} wants ${cpu(ledger.sliceLoad, source)} of its ${cpu(ledger.sliceHeld, source)} vCPU, ${sliceName(ledger, target)} ${cpu(ledger.sliceLoad, target)} of ${cpu(ledger.sliceHeld, target)}; ${relief.toFixed(2)} processes fewer wait`;
  ledger.moveProcess(process, source, target);
  movedProcesses.add(process);
  movedSlices[source] = 1;
  movedSlices[target] = 1;
  return {
    action: 'migrate-process',
    drvm: drvmId,
    pid,
    from: from.id,
    to: to.id,
    bytes: cost.bytes,
    pauseMs: cost.pauseMs,
    seconds: cost.seconds,
    reason,
    why: { code: 'hot-slice', data: { cpuMilli, relief } },
  };
}

const cpu = (amounts: Float64Array, slice: number): string =>
  (amounts[slice * CLASS_COUNT + CPU] / 1000).toFixed(2);

/** Whether a slice and its node could take anything at all without becoming hot. */
function isCool({ ledger, input }: Balancing, slice: number): boolean {
  const node = ledger.sliceNode[slice];
  const at = slice * CLASS_COUNT + CPU;
  return (
    ledger.isOpen[node] === 1 &&
    ledger.sliceLoad[at] < input.policy.hotUtilisation * ledger.sliceHeld[at] &&
    ledger.utilisationOf(node) < input.policy.hotUtilisation
  );
}

function mayMove({ ledger, input }: Balancing, process: number, source: number, target: number): boolean {
  const to = ledger.sliceNode[target];
  const { hotUtilisation } = input.policy;
  const more = input.snapshot.processes[process].cpuMilli;
  const atSlice = target * CLASS_COUNT + CPU;
  const atNode = to * CLASS_COUNT + CPU;
  // Neither the slice nor its node may become hot by what comes.
  if (ledger.sliceLoad[atSlice] + more > hotUtilisation * ledger.sliceHeld[atSlice]) return false;
  if (ledger.load[atNode] + more > hotUtilisation * ledger.capacity[atNode]) return false;
  const memoryMiB = Math.ceil(input.snapshot.processes[process].imageBytes / MIB);
  if (ledger.sliceUsedMiB[target] + memoryMiB > ledger.sliceHeld[target * CLASS_COUNT + MEMORY]) return false;
  return ledger.mayReplicaMove(process, ledger.sliceNode[source], to);
}

function reliefOf({ ledger, input }: Balancing, process: number, source: number, target: number): number {
  const { cpuMilli } = input.snapshot.processes[process];
  const from = source * CLASS_COUNT + CPU;
  const to = target * CLASS_COUNT + CPU;
  const sourceLoad = ledger.wantedAfter(source, -cpuMilli);
  const targetLoad = ledger.wantedAfter(target, cpuMilli);
  const sourceNode = ledger.sliceNode[source] * CLASS_COUNT + CPU;
  const targetNode = ledger.sliceNode[target] * CLASS_COUNT + CPU;
  const after =
    strainOf(sourceLoad, ledger.sliceHeld[from]) +
    strainOf(targetLoad, ledger.sliceHeld[to]) +
    strainOf(ledger.load[sourceNode] + sourceLoad - ledger.sliceLoad[from], ledger.capacity[sourceNode]) +
    strainOf(ledger.load[targetNode] + targetLoad - ledger.sliceLoad[to], ledger.capacity[targetNode]);
  const before =
    ledger.sliceStrain(source) +
    ledger.sliceStrain(target) +
    ledger.nodeStrain(ledger.sliceNode[source]) +
    ledger.nodeStrain(ledger.sliceNode[target]);
  return before - after;
}
