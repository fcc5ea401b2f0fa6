import { RESOURCE_CLASSES, type ResourceAmounts } from '@drvs/contracts';
import type { MigrationModel } from '../planner-policy.js';
import { addAmounts, CLASS_COUNT, CPU } from '../snapshot/amounts.js';
import { SLICE_STATE_BYTES } from '../snapshot/cluster-snapshot.js';
import { type Ledger, read } from '../snapshot/ledger.js';
import { type MigrationCost, migrationCost } from './migration-cost.js';
import type { PlanStep } from './plan.js';

/** What moving a slice, with all its processes, costs. */
export function sliceMoveCost(ledger: Ledger, slice: number, model: MigrationModel): MigrationCost {
  const images = ledger.processesIn[slice].map((process) => ledger.snapshot.processes[process].imageBytes);
  const stateBytes = ledger.snapshot.slices[slice]?.stateBytes ?? SLICE_STATE_BYTES;
  return migrationCost(images, stateBytes, ledger.sliceLoad[slice * CLASS_COUNT + CPU], model);
}

/**
 * Moves a slice in the ledger and gives the step that says so. Slices of one DRVM that have met on the source node
 * in this same ledger are one slice to whoever carries the plan out, so planners never move a slice twice.
 */
export function moveSlice(
  ledger: Ledger,
  slice: number,
  target: number,
  model: MigrationModel,
  because: Pick<PlanStep, 'reason' | 'why'>,
  action: 'move-slice' | 'rebuild-slice' = 'move-slice',
): PlanStep {
  const drvm = ledger.sliceDrvm[slice];
  const merges = ledger.slicesOn[target].some((other) => ledger.sliceDrvm[other] === drvm);
  const { bytes, pauseMs, seconds } = sliceMoveCost(ledger, slice, model);
  const from = ledger.nodes[ledger.sliceNode[slice]].id;
  ledger.relocate(slice, target);
  return {
    action,
    drvm: ledger.drvms[drvm].id,
    from,
    to: ledger.nodes[target].id,
    guaranteed: read(ledger.sliceGuaranteed, slice),
    ceiling: read(ledger.sliceCeiling, slice),
    held: read(ledger.sliceHeld, slice),
    pids: ledger.processesIn[slice].map((process) => ledger.snapshot.processes[process].pid),
    merges,
    bytes,
    pauseMs,
    seconds,
    ...because,
  };
}

/**
 * Takes back what borrowers on a node hold above their floors until `amounts` (one number per class, at `offset`) are
 * free there: the largest loan first. The caller has seen that it suffices.
 */
export function makeRoom(ledger: Ledger, node: number, amounts: Float64Array, offset: number): PlanStep[] {
  const others = [...ledger.slicesOn[node]];
  const before = heldByDrvm(ledger, others);
  for (let c = 0; c < CLASS_COUNT; c++) {
    const at = node * CLASS_COUNT + c;
    const needed = amounts[offset + c];
    const loanOf = (other: number): number =>
      ledger.sliceHeld[other * CLASS_COUNT + c] - ledger.sliceFloor[other * CLASS_COUNT + c];
    others.sort((a, b) => loanOf(b) - loanOf(a) || a - b);
    for (const other of others) {
      const given = Math.min(needed - ledger.free[at], loanOf(other));
      if (given > 0) ledger.hold(other, c, ledger.sliceHeld[other * CLASS_COUNT + c] - given);
    }
  }
  const after = heldByDrvm(ledger, others);
  const steps: PlanStep[] = [];
  for (const [drvm, held] of before) {
    const left = after.get(drvm) as ResourceAmounts;
    if (sameAmounts(held, left)) continue;
    const { id, name } = ledger.drvms[drvm];
    steps.push({
      action: 'resize-slice',
      drvm: id,
      node: ledger.nodes[node].id,
      before: held,
      after: left,
      reason: `${name} gives back on ${ledger.nodes[node].name} what it borrowed, to make room for a guarantee`,
      why: {
        code: 'makes-room',
        data: { cpuMilli: held.cpuMilli - left.cpuMilli, memoryMiB: held.memoryMiB - left.memoryMiB },
      },
    });
  }
  return steps;
}

/** What each DRVM holds by these slices of one node: what the ledger has apart may have met there. */
function heldByDrvm(ledger: Ledger, slices: readonly number[]): Map<number, ResourceAmounts> {
  const held = new Map<number, ResourceAmounts>();
  for (const slice of [...slices].sort((a, b) => a - b)) {
    const drvm = ledger.sliceDrvm[slice];
    const amounts = read(ledger.sliceHeld, slice);
    const sum = held.get(drvm);
    held.set(drvm, sum ? addAmounts(sum, amounts) : amounts);
  }
  return held;
}

export const sameAmounts = (a: ResourceAmounts, b: ResourceAmounts): boolean =>
  RESOURCE_CLASSES.every((name) => a[name] === b[name]);
