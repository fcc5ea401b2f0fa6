import type { PlanStep } from '../plan/plan.js';
import { Rejections } from '../plan/rejections.js';
import { makeRoom, moveSlice } from '../plan/slice-step.js';
import type { PlannerPolicy } from '../planner-policy.js';
import { CLASS_COUNT, describeAmounts } from '../snapshot/amounts.js';
import { type Ledger, read } from '../snapshot/ledger.js';
import { sliceName } from '../snapshot/order.js';
import { explainNoTarget, findTarget, type TargetWish } from '../snapshot/target.js';
import { partsFor, type SlicePart } from './split-slice.js';
import { wakeFor } from './wake-for.js';

/**
 * Brings all these slices somewhere else, in this order. One for which there was no way is tried again when others have
 * gone: a node may have been switched on for them.
 */
export function moveAllAnyway(
  slices: readonly number[],
  move: (slice: number, rejections: Rejections) => PlanStep[],
): { steps: PlanStep[]; rejections: Rejections } {
  const steps: PlanStep[] = [];
  for (let left = [...slices]; ; ) {
    const rejections = new Rejections();
    const stuck = left.filter((slice) => {
      const made = move(slice, rejections);
      steps.push(...made);
      return made.length === 0;
    });
    if (stuck.length === 0 || stuck.length === left.length) return { steps, rejections };
    left = stuck;
  }
}

/**
 * Steps that bring a slice somewhere else because it cannot stay: to a node with room that stays below the hot mark;
 * to one with room; to one where borrowers give back; to one that is off and is switched on for it; in parts to several.
 * None where it cannot be, and then `rejections` says why.
 */
export function moveAnyway(
  ledger: Ledger,
  slice: number,
  policy: PlannerPolicy,
  rank: Uint32Array,
  because: Pick<PlanStep, 'reason' | 'why'>,
  action: 'move-slice' | 'rebuild-slice',
  rejections: Rejections,
): PlanStep[] {
  const wish = (room: TargetWish['room'], utilisationMax: number): TargetWish => ({
    taste: 'coolest',
    utilisationMax,
    room,
    isGentle: Number.isFinite(utilisationMax),
    rank,
  });
  const steps: PlanStep[] = [];
  let target = findTarget(ledger, slice, wish('free', policy.hotUtilisation));
  if (target < 0) target = findTarget(ledger, slice, wish('free', Number.POSITIVE_INFINITY));
  const last = wish('floorFree', Number.POSITIVE_INFINITY);
  if (target < 0) target = findTarget(ledger, slice, last);
  if (target < 0) {
    const woken = wakeFor(ledger, slice, rank);
    const parts = woken === null ? partsFor(ledger, slice) : null;
    if (parts !== null) return moveInParts(ledger, slice, parts, policy, because, action);
    if (woken === null) {
      const { rule, words, counts } = explainNoTarget(ledger, slice, last);
      const needed = describeAmounts(read(ledger.sliceFloor, slice));
      rejections.add(sliceName(ledger, slice), rule, `${needed} needed; ${words}`, counts);
      return [];
    }
    steps.push(woken.step);
    target = woken.node;
  }
  steps.push(...makeRoom(ledger, target, ledger.sliceFloor, slice * CLASS_COUNT));
  steps.push(moveSlice(ledger, slice, target, policy.migration, because, action));
  return steps;
}

/** Parts that a plan may cut slices into: room for them is kept in the ledger. */
export const PARTS_PER_PLAN_MAX = 256;

function moveInParts(
  ledger: Ledger,
  slice: number,
  parts: readonly SlicePart[],
  policy: PlannerPolicy,
  because: Pick<PlanStep, 'reason' | 'why'>,
  action: 'move-slice' | 'rebuild-slice',
): PlanStep[] {
  const reason = `${because.reason}; no node has room for it whole, so it goes in ${parts.length} parts`;
  return parts.flatMap(({ target, amounts, processes }, place) => {
    const part = place === parts.length - 1 ? slice : ledger.splitOff(slice, amounts, processes);
    return [
      ...makeRoom(ledger, target, ledger.sliceFloor, part * CLASS_COUNT),
      moveSlice(ledger, part, target, policy.migration, { ...because, reason }, action),
    ];
  });
}
