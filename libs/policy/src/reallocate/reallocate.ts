import { completePlan, type PlanInput } from '../plan/complete-plan.js';
import type { Plan, PlanStep } from '../plan/plan.js';
import type { StepReason } from '../plan/reasons.js';
import { Rejections } from '../plan/rejections.js';
import { sameAmounts } from '../plan/slice-step.js';
import type { PlannerPolicy } from '../planner-policy.js';
import {
  CLASS_COUNT,
  CPU,
  describeAmounts,
  MEMORY,
  mapAmounts,
  subtractAmounts,
} from '../snapshot/amounts.js';
import { hasHeld } from '../snapshot/freshness.js';
import { Ledger, read } from '../snapshot/ledger.js';
import { sliceName } from '../snapshot/order.js';
import { BorrowedShares } from './borrowed-shares.js';

/** Disk is not lent (it cannot be taken back), nor is network (it is shared by weight as it comes). */
const LENT = [CPU, MEMORY] as const;
/** Rounds over the cluster at most: shares that change on one node matter on others. */
const ROUNDS_MAX = 16;

/**
 * Lends on each node what is free, and what others hold above their need, to those that want more than they hold, up to
 * their ceilings. Who has borrowed the least of the cluster for its weight comes first (dominant resource fairness,
 * Ghodsi et al. 2011, over what is held above guarantees), also at the cost of who has borrowed more; but only as
 * long as it then has not more than the other, so two can never take from each other in turn. No slice falls below
 * its guarantee, or below the memory that it uses; all that is given back comes before all that is given.
 * @param lendsCpu false where somebody else decides what is held of CPU (see planLending): it stays as it is
 */
export function planReallocation(input: PlanInput, lendsCpu = true): Plan {
  const { snapshot, policy } = input;
  const ledger = new Ledger(snapshot, { moves: false });
  const shares = new BorrowedShares(ledger);
  const rejections = new Rejections();
  const before = ledger.sliceHeld.slice();
  const needs = needsOf(ledger, policy);
  const ceded = new Uint8Array(snapshot.slices.length);
  const nodes = ledger.nodes.flatMap(({ state }, node) => (state === 'up' ? [node] : []));
  for (let round = 0, isChanging = true; isChanging && round < ROUNDS_MAX; round++) {
    isChanging = false;
    for (const node of nodes) {
      if (ledger.slicesOn[node].length === 0) continue;
      for (const c of lendsCpu ? LENT : [MEMORY]) {
        const market = { ledger, policy, needs, shares, node, c, ceded };
        if (giveBack(market) || lend(market) || cede(market)) isChanging = true;
      }
    }
  }
  const steps: PlanStep[] = [];
  for (const node of nodes) {
    for (const slice of ledger.slicesOn[node]) {
      const record = snapshot.slices[slice];
      const less = mapAmounts((name) => Math.min(record.held[name], read(ledger.sliceHeld, slice)[name]));
      if (sameAmounts(less, record.held)) continue;
      steps.push(
        resize(
          ledger,
          slice,
          record.held,
          less,
          ceded[slice] === 1 ? 'owner-comes-first' : 'holds-more-than-it-needs',
        ),
      );
    }
    for (const slice of ledger.slicesOn[node]) {
      const after = read(ledger.sliceHeld, slice);
      const less = mapAmounts((name) => Math.min(snapshot.slices[slice].held[name], after[name]));
      if (!sameAmounts(less, after)) steps.push(resize(ledger, slice, less, after, 'needs-more'));
    }
  }
  sayWhoGoesWithout(ledger, needs, before, policy, lendsCpu, rejections);
  return completePlan('reallocate', input, steps, rejections);
}

interface Market {
  ledger: Ledger;
  policy: PlannerPolicy;
  /** What each slice needs of each class, between its guarantee and its ceiling. */
  needs: Float64Array;
  shares: BorrowedShares;
  node: number;
  c: number;
  /** 1 for slices that gave up to somebody who had borrowed less. */
  ceded: Uint8Array;
}

const stepOf = ({ reallocate }: PlannerPolicy, c: number): number =>
  c === CPU ? reallocate.cpuStepMilli : reallocate.memoryStepMiB;

/** The need: what is wanted with a margin, in whole steps, so that a flutter of load changes nothing. */
function needsOf(ledger: Ledger, policy: PlannerPolicy): Float64Array {
  const needs = ledger.sliceFloor.slice();
  for (let slice = 0; slice < ledger.sliceNode.length; slice++) {
    for (const c of LENT) {
      const at = slice * CLASS_COUNT + c;
      const step = stepOf(policy, c);
      const wanted = Math.ceil((ledger.sliceLoad[at] * (1 + policy.reallocate.margin)) / step) * step;
      needs[at] = Math.max(ledger.sliceFloor[at], Math.min(ledger.sliceCeiling[at], wanted));
    }
  }
  return needs;
}

function change({ ledger, shares, c }: Market, slice: number, amount: number): void {
  shares.add(ledger.sliceDrvm[slice], c, amount - ledger.sliceHeld[slice * CLASS_COUNT + c]);
  ledger.hold(slice, c, amount);
}

function needy({ ledger, needs, node, c }: Market): number[] {
  return ledger.slicesOn[node].filter(
    (slice) => ledger.sliceHeld[slice * CLASS_COUNT + c] < needs[slice * CLASS_COUNT + c],
  );
}

/** What is held above the need becomes free: after a while, or at once when somebody here wants more than is free. */
function giveBack(market: Market): boolean {
  const { ledger, policy, needs, node, c } = market;
  const { atMs, slices } = ledger.snapshot;
  const missing = needy(market).reduce(
    (sum, slice) => sum + needs[slice * CLASS_COUNT + c] - ledger.sliceHeld[slice * CLASS_COUNT + c],
    0,
  );
  const isMissed = missing > ledger.free[node * CLASS_COUNT + c];
  let hasChanged = false;
  for (const slice of ledger.slicesOn[node]) {
    const at = slice * CLASS_COUNT + c;
    if (ledger.sliceHeld[at] - needs[at] < stepOf(policy, c)) continue;
    if (!isMissed && !hasHeld(slices[slice].idleSinceMs, atMs, policy.reallocate.idleHoldSeconds)) continue;
    change(market, slice, needs[at]);
    hasChanged = true;
  }
  return hasChanged;
}

/** What is free goes, a step at a time, to whoever has borrowed least. */
function lend(market: Market): boolean {
  const { ledger, policy, needs, shares, node, c } = market;
  const step = stepOf(policy, c);
  const room = (): number => ledger.free[node * CLASS_COUNT + c];
  const gap = (slice: number): number =>
    needs[slice * CLASS_COUNT + c] - ledger.sliceHeld[slice * CLASS_COUNT + c];
  let hasChanged = false;
  let waiting = needy(market);
  while (waiting.length > 0) {
    const slice = shares.poorest(waiting);
    const given = Math.min(step, gap(slice));
    if (given > room()) waiting = waiting.filter((other) => other !== slice);
    else {
      change(market, slice, ledger.sliceHeld[slice * CLASS_COUNT + c] + given);
      hasChanged = true;
      if (gap(slice) === 0) waiting = waiting.filter((other) => other !== slice);
    }
  }
  return hasChanged;
}

/** Who has borrowed more cedes to who has borrowed less, as long as that makes them more equal. */
function cede(market: Market): boolean {
  const { ledger, policy, needs, shares, node, c, ceded } = market;
  const step = stepOf(policy, c);
  const loan = (slice: number): number =>
    ledger.sliceHeld[slice * CLASS_COUNT + c] - ledger.sliceFloor[slice * CLASS_COUNT + c];
  let hasChanged = false;
  for (;;) {
    const waiting = needy(market).filter(
      (slice) => needs[slice * CLASS_COUNT + c] - ledger.sliceHeld[slice * CLASS_COUNT + c] >= step,
    );
    const lenders = ledger.slicesOn[node].filter((slice) => loan(slice) >= step);
    if (waiting.length === 0 || lenders.length === 0) return hasChanged;
    const poor = shares.poorest(waiting);
    const rich = shares.richest(lenders);
    if (!shares.wouldBeFair(rich, poor, c, step)) return hasChanged;
    change(market, rich, ledger.sliceHeld[rich * CLASS_COUNT + c] - step);
    change(market, poor, ledger.sliceHeld[poor * CLASS_COUNT + c] + step);
    ceded[rich] = 1;
    hasChanged = true;
  }
}

function resize(
  ledger: Ledger,
  slice: number,
  before: ReturnType<typeof read>,
  after: ReturnType<typeof read>,
  code: StepReason,
): PlanStep {
  const wanted = ledger.sliceLoad[slice * CLASS_COUNT + CPU] / 1000;
  const isMore = code === 'needs-more';
  const amount = describeAmounts(isMore ? subtractAmounts(after, before) : subtractAmounts(before, after));
  const words: Partial<Record<StepReason, string>> = {
    'needs-more': `wants ${wanted} vCPU and gets ${amount} more`,
    'owner-comes-first': `gives ${amount} back to those who have borrowed less`,
  };
  return {
    action: 'resize-slice',
    drvm: ledger.drvms[ledger.sliceDrvm[slice]].id,
    node: ledger.nodes[ledger.sliceNode[slice]].id,
    before,
    after,
    reason: `${sliceName(ledger, slice)} ${words[code] ?? `gives ${amount} back, which it does not need`}`,
    why: {
      code,
      data: { cpuMilli: after.cpuMilli - before.cpuMilli, memoryMiB: after.memoryMiB - before.memoryMiB },
    },
  };
}

function sayWhoGoesWithout(
  ledger: Ledger,
  needs: Float64Array,
  before: Float64Array,
  policy: PlannerPolicy,
  lendsCpu: boolean,
  rejections: Rejections,
): void {
  for (let slice = 0; slice < ledger.sliceNode.length; slice++) {
    if (ledger.nodes[ledger.sliceNode[slice]].state !== 'up') continue;
    for (const c of LENT) {
      const at = slice * CLASS_COUNT + c;
      if (c === CPU && !lendsCpu) {
        const missing = needs[at] - ledger.sliceHeld[at];
        if (Math.abs(missing) >= stepOf(policy, c))
          rejections.add(sliceName(ledger, slice), 'lending', '', { missing });
      } else if (needs[at] - ledger.sliceHeld[at] >= stepOf(policy, c)) {
        rejections.add(sliceName(ledger, slice), 'nothing-to-lend', '', {
          missing: needs[at] - ledger.sliceHeld[at],
        });
      } else if (
        ledger.sliceHeld[at] === ledger.sliceCeiling[at] &&
        ledger.sliceLoad[at] === ledger.sliceCeiling[at] &&
        before[at] === ledger.sliceHeld[at]
      ) {
        rejections.add(sliceName(ledger, slice), 'at-ceiling');
      }
    }
  }
}
