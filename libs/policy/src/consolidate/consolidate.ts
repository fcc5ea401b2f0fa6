import { movesLeft } from '../plan/churn-budget.js';
import { completePlan, type PlanInput } from '../plan/complete-plan.js';
import type { Plan, PlanStep } from '../plan/plan.js';
import { Rejections } from '../plan/rejections.js';
import { wattsOf } from '../plan/score.js';
import { rankBySeed } from '../plan/seed.js';
import { moveSlice, sliceMoveCost } from '../plan/slice-step.js';
import { CLASS_COUNT, CPU, MEMORY } from '../snapshot/amounts.js';
import { hasCooled, hasHeld } from '../snapshot/freshness.js';
import { Ledger, type Relocation } from '../snapshot/ledger.js';
import { bySizeDescending, sizeOf, sliceName } from '../snapshot/order.js';
import { explainNoTarget, findTarget, type TargetWish } from '../snapshot/target.js';
import { Headroom } from './headroom.js';

export interface ConsolidateInput extends PlanInput {
  /** CPU that is expected to be wanted at most while the nodes are off; null when nobody knows more than the present. */
  forecastCpuMilli?: number | null;
}

interface Emptying extends ConsolidateInput {
  ledger: Ledger;
  headroom: Headroom;
  rejections: Rejections;
  /** 1 for nodes that are no targets: emptied. */
  except: Uint8Array;
  /** 1 for these, and for nodes that are likely to be emptied yet. */
  leaving: Uint8Array;
  /** Slices that moved in this plan stay where they came to. */
  moved: Uint8Array;
  wish: TargetWish;
  budget: { moves: number; switches: number };
}

/**
 * Empties nodes and switches them off, those with the least on them first, onto the fullest that have room. A node
 * is emptied as a whole or not at all; none is made hot; headroom, a minimum of nodes and what is forecast stay on;
 * and what is saved while the node is off must be several times what emptying and booting it costs.
 */
export function planConsolidation(input: ConsolidateInput): Plan {
  const { snapshot, policy, seed } = input;
  const ledger = new Ledger(snapshot);
  const except = new Uint8Array(snapshot.nodes.length);
  const rank = rankBySeed(snapshot.nodes.length, seed);
  const emptying: Emptying = {
    ...input,
    ledger,
    headroom: new Headroom(ledger, policy, input.forecastCpuMilli ?? 0),
    rejections: new Rejections(),
    except,
    leaving: new Uint8Array(snapshot.nodes.length),
    moved: new Uint8Array(snapshot.slices.length),
    wish: {
      taste: 'tightest',
      utilisationMax: policy.hotUtilisation,
      room: 'free',
      isGentle: true,
      except,
      rank,
    },
    budget: { moves: movesLeft(snapshot, policy), switches: policy.power.switchesMax },
  };
  const steps: PlanStep[] = [];
  for (let emptied = -1; emptied !== 0; ) {
    // What one pass could not empty, the next might, with the others gone; a pass that empties nothing is the last.
    emptied = 0;
    emptying.rejections = new Rejections();
    const candidates = coldNodes(emptying).sort(
      (a, b) => worthKeeping(ledger, a) - worthKeeping(ledger, b) || rank[a] - rank[b],
    );
    markLeaving(emptying, candidates);
    for (const node of candidates) {
      const done = empty(emptying, node);
      steps.push(...done);
      if (done.length > 0) emptied++;
    }
  }
  return completePlan('consolidate', input, steps, emptying.rejections);
}

/** Nodes that may go, as far as they themselves are concerned. */
function coldNodes({ ledger, snapshot, policy, rejections, except }: Emptying): number[] {
  const cold: number[] = [];
  for (let node = 0; node < ledger.nodeCount; node++) {
    const { name, state, isCordoned, power, coldSinceMs } = ledger.nodes[node];
    if (state !== 'up' || isCordoned || except[node] === 1) continue;
    if (ledger.utilisationOf(node) >= policy.coldUtilisation) continue;
    if (!power.isControlled) rejections.add(name, 'no-power-control');
    else if (power.hasFailedToWake) rejections.add(name, 'failed-to-wake');
    else if (!hasHeld(coldSinceMs, snapshot.atMs, policy.coldHoldSeconds))
      rejections.add(name, 'not-long-enough', `${policy.coldHoldSeconds} s below the cold mark`);
    else cold.push(node);
  }
  return cold;
}

/** What a node offers and what would have to be moved off it, in CPU, for each watt that it draws when idle. */
function worthKeeping(ledger: Ledger, node: number): number {
  const { idleWatts, offWatts } = ledger.nodes[node].power;
  const filled = ledger.slicesOn[node].reduce((sum, slice) => sum + sizeOf(ledger, slice), 0);
  return (ledger.capacity[node * CLASS_COUNT + CPU] * (1 + filled)) / Math.max(1, idleWatts - offWatts);
}

/** Marks those that headroom lets go, were it for that alone: nothing moves there as long as others have room. */
function markLeaving(
  { snapshot, policy, ledger, except, leaving, forecastCpuMilli }: Emptying,
  candidates: readonly number[],
): void {
  const headroom = new Headroom(ledger, policy, forecastCpuMilli ?? 0);
  for (let node = 0; node < snapshot.nodes.length; node++) if (except[node] === 1) headroom.remove(node);
  leaving.set(except);
  for (const node of candidates) {
    if (headroom.refusalWithout(node) !== null) continue;
    headroom.remove(node);
    leaving[node] = 1;
  }
}

/** The steps that empty a node and switch it off; none, and everything as before, when that cannot be. */
function empty(emptying: Emptying, node: number): PlanStep[] {
  const { ledger, snapshot, policy, rejections, headroom, except, moved, budget } = emptying;
  const { id, name, power } = ledger.nodes[node];
  if (budget.switches === 0) {
    rejections.add(name, 'surge-limit');
    return [];
  }
  const refusal = headroom.refusalWithout(node);
  if (refusal !== null) {
    rejections.add(name, refusal.rule, refusal.words);
    return [];
  }
  const slices = bySizeDescending(ledger, ledger.slicesOn[node]);
  if (slices.length > budget.moves) {
    rejections.add(name, 'churn-budget', `${slices.length} slices, ${budget.moves} moves left`);
    return [];
  }
  let joules = power.bootSeconds * power.fullWatts;
  for (const slice of slices) {
    const stays = ledger.whyItStays(slice);
    if (stays !== null) {
      rejections.add(name, stays, sliceName(ledger, slice));
      return [];
    }
    const hasMoved = moved[slice] === 1;
    if (hasMoved || !hasCooled(snapshot.slices[slice].movedAtMs, snapshot.atMs, policy.coolDownSeconds)) {
      rejections.add(name, 'cooling-down', sliceName(ledger, slice));
      return [];
    }
    const cores = Math.max(1, ledger.capacity[node * CLASS_COUNT + CPU] / 1000);
    joules += (sliceMoveCost(ledger, slice, policy.migration).coreSeconds * power.fullWatts) / cores;
  }
  const watts = wattsOf(ledger.nodes[node], ledger.utilisationOf(node)) - power.offWatts;
  const steps = moveAll(emptying, node, slices, watts, joules);
  if (steps === null) return [];
  except[node] = 1;
  emptying.leaving[node] = 1;
  headroom.remove(node);
  budget.moves -= slices.length;
  budget.switches--;
  for (const slice of slices) moved[slice] = 1;
  const cordon: PlanStep = {
    action: 'cordon',
    node: id,
    reason: `${name} is to be emptied and gets nothing new`,
    why: { code: 'node-can-be-emptied', data: { slices: slices.length } },
  };
  return [
    cordon,
    ...steps,
    {
      action: 'power-off',
      node: id,
      watts: Math.round(watts),
      seconds: 0,
      reason: `${name} is empty; the others suffice, with ${(headroom.free() * 100).toFixed(0)} % left free`,
      why: { code: 'empty-node', data: { savedWatts: Math.round(watts) } },
    },
  ];
}

/**
 * @param watts what the node itself draws more than when it is off
 * @param joules what emptying and booting it costs
 */
function moveAll(
  emptying: Emptying,
  node: number,
  slices: readonly number[],
  watts: number,
  joules: number,
): PlanStep[] | null {
  const { ledger, policy, rejections, wish, except, leaving } = emptying;
  const { name } = ledger.nodes[node];
  const undo: Relocation[] = [];
  const targets: number[] = [];
  const draw = (target: number) => wattsOf(ledger.nodes[target], ledger.utilisationOf(target));
  /** Of the nodes that take something over, before they do. */
  const drawBefore = new Map<number, number>();
  except[node] = 1;
  for (const slice of slices) {
    let target = findTarget(ledger, slice, { ...wish, except: leaving });
    if (target < 0) target = findTarget(ledger, slice, wish);
    if (target < 0) {
      const { rule, words, counts } = explainNoTarget(ledger, slice, wish);
      rejections.add(name, rule, `${sliceName(ledger, slice)}: ${words}`, counts);
      for (const relocation of undo.reverse()) ledger.undo(relocation);
      except[node] = 0;
      return null;
    }
    targets.push(target);
    if (!drawBefore.has(target)) drawBefore.set(target, draw(target));
    undo.push(ledger.relocate(slice, target));
  }
  // The load goes on elsewhere, where it may cost more watts than here: what counts is what the cluster draws.
  let savedWatts = watts;
  for (const [target, before] of drawBefore) savedWatts -= draw(target) - before;
  if (savedWatts <= 0 || savedWatts * policy.power.offSeconds < policy.power.payback * joules) {
    rejections.add(
      name,
      'no-payback',
      `${((savedWatts * policy.power.offSeconds) / 1000).toFixed(0)} kJ saved, ${(joules / 1000).toFixed(0)} kJ spent`,
    );
    for (const relocation of undo.reverse()) ledger.undo(relocation);
    except[node] = 0;
    return null;
  }
  // Once it is sure that all fit: back, and forth again with the steps that say so.
  for (const relocation of undo.reverse()) ledger.undo(relocation);
  return slices.map((slice, place) =>
    moveSlice(ledger, slice, targets[place], policy.migration, {
      reason: `${name} can be emptied; ${ledger.nodes[targets[place]].name} has room and leaves the least of it unused`,
      why: {
        code: 'node-can-be-emptied',
        data: { memoryMiB: ledger.sliceFloor[slice * CLASS_COUNT + MEMORY] },
      },
    }),
  );
}
