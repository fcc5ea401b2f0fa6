import type { PlanStep } from '../plan/plan.js';
import type { Rejections } from '../plan/rejections.js';
import { makeRoom, moveSlice } from '../plan/slice-step.js';
import type { PlannerPolicy } from '../planner-policy.js';
import { CLASS_COUNT, describeAmounts } from '../snapshot/amounts.js';
import { type Ledger, read } from '../snapshot/ledger.js';
import { sliceName } from '../snapshot/order.js';
import { explainNoTarget, findTarget, type TargetWish } from '../snapshot/target.js';
import { wakeFor } from './wake-for.js';

/**
 * Steps that bring a slice somewhere else because it cannot stay: to a node with room that stays below the hot mark;
 * to one with room; to one where borrowers give back; to one that is off and is switched on for it. None where it
 * cannot be, and then `rejections` says why.
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
