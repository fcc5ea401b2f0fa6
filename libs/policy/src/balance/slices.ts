import type { PlanStep } from '../plan/plan.js';
import { moveSlice, sliceMoveCost } from '../plan/slice-step.js';
import { CLASS_COUNT, CPU } from '../snapshot/amounts.js';
import { hasCooled, hasHeld } from '../snapshot/freshness.js';
import type { Ledger } from '../snapshot/ledger.js';
import { sliceName } from '../snapshot/order.js';
import { strainOf } from '../snapshot/strain.js';
import type { Balancing } from './balance.js';
import { isWorth } from './worth.js';

/** Slices of a hot node that are looked at in a round, those that want the most first. */
const SLICES_TRIED = 16;
/** Targets that have room, the coolest first, that are compared for a slice. */
const TARGETS_TRIED = 12;

/** Moves slices off hot nodes, the most strained node first, until no move is worth its cost. */
export function moveSlices(balancing: Balancing): PlanStep[] {
  const { ledger, input, rank, rejections } = balancing;
  const { snapshot, policy } = input;
  const steps: PlanStep[] = [];
  const { movedSlices, movedProcesses } = balancing;
  const hot: number[] = [];
  for (let node = 0; node < ledger.nodeCount; node++) {
    if (ledger.nodes[node].state !== 'up' || ledger.utilisationOf(node) <= policy.hotUtilisation) continue;
    if (hasHeld(ledger.nodes[node].hotSinceMs, snapshot.atMs, policy.hotHoldSeconds)) hot.push(node);
    else
      rejections.add(
        ledger.nodes[node].name,
        'not-long-enough',
        `${policy.hotHoldSeconds} s above the hot mark`,
      );
  }
  hot.sort((a, b) => ledger.nodeStrain(b) - ledger.nodeStrain(a) || rank[a] - rank[b]);
  const cool = new CoolestFirst(ledger, rank);
  for (let isMoving = true; isMoving; ) {
    isMoving = false;
    for (const node of hot) {
      for (;;) {
        if (ledger.utilisationOf(node) <= policy.hotUtilisation) break;
        const move = best(balancing, node, cool);
        if (move === null) break;
        if (balancing.budget.moves === 0) {
          rejections.add(sliceName(ledger, move.slice), 'churn-budget');
          return steps;
        }
        balancing.budget.moves--;
        const reason = `${ledger.nodes[node].name} is wanted to ${percent(ledger, node)}, ${ledger.nodes[move.target].name} to ${percent(ledger, move.target)}; ${move.relief.toFixed(2)} processes fewer wait`;
        steps.push(
          moveSlice(ledger, move.slice, move.target, policy.migration, {
            reason,
            why: { code: 'hot-node', data: { relief: move.relief } },
          }),
        );
        movedSlices[move.slice] = 1;
        for (const process of ledger.processesIn[move.slice]) movedProcesses.add(process);
        cool.changed(move.target);
        cool.changed(node);
        isMoving = true;
      }
    }
  }
  for (const node of hot) {
    if (ledger.utilisationOf(node) > policy.hotUtilisation)
      rejections.add(ledger.nodes[node].name, 'no-payback', 'it stays hot: no move off it earns its cost');
  }
  return steps;
}

const percent = (ledger: Ledger, node: number): string =>
  `${(ledger.utilisationOf(node) * 100).toFixed(0)} %`;

function best(
  { ledger, input, movedSlices }: Balancing,
  node: number,
  cool: CoolestFirst,
): { slice: number; target: number; relief: number } | null {
  const { snapshot, policy } = input;
  const loadOf = (slice: number): number => ledger.sliceLoad[slice * CLASS_COUNT + CPU];
  const mayMove = (slice: number): boolean =>
    loadOf(slice) > 0 &&
    movedSlices[slice] === 0 &&
    ledger.whyItStays(slice) === null &&
    hasCooled(snapshot.slices[slice].movedAtMs, snapshot.atMs, policy.coolDownSeconds);
  const slices = ledger.slicesOn[node]
    .filter(mayMove)
    .sort((a, b) => loadOf(b) - loadOf(a) || a - b)
    .slice(0, SLICES_TRIED);
  const at = node * CLASS_COUNT + CPU;
  let chosen: { slice: number; target: number; relief: number } | null = null;
  for (const slice of slices) {
    const load = loadOf(slice);
    const eligible = ledger.eligibleFor(ledger.sliceDrvm[slice]);
    const freed = ledger.nodeStrain(node) - strainOf(ledger.load[at] - load, ledger.capacity[at]);
    let tried = 0;
    for (const target of cool.order) {
      const to = target * CLASS_COUNT + CPU;
      // The order is by utilisation, so none further on could take it either, unless it is larger.
      if (tried >= TARGETS_TRIED || ledger.utilisationOf(target) > policy.hotUtilisation) break;
      if (target === node || eligible[target] === 0 || !takesAll(ledger, slice, target)) continue;
      if (ledger.load[to] + load > policy.hotUtilisation * ledger.capacity[to]) continue;
      if (hasOwn(ledger, slice, target) || ledger.isKeptOut(slice, target)) continue;
      if (!ledger.keepsReplicasApart(slice, target)) continue;
      tried++;
      const relief =
        freed - (strainOf(ledger.load[to] + load, ledger.capacity[to]) - ledger.nodeStrain(target));
      if (chosen !== null && relief <= chosen.relief) continue;
      if (isWorth(relief, sliceMoveCost(ledger, slice, policy.migration), policy))
        chosen = { slice, target, relief };
    }
  }
  return chosen;
}

/** A balancing move takes nothing from anybody: all that is held now must be free there. */
function takesAll({ sliceHeld, free }: Ledger, slice: number, target: number): boolean {
  for (let c = 0; c < CLASS_COUNT; c++) {
    if (sliceHeld[slice * CLASS_COUNT + c] > free[target * CLASS_COUNT + c]) return false;
  }
  return true;
}

/** Two slices of a DRVM are not brought together for the sake of balance. */
const hasOwn = ({ slicesOn, sliceDrvm }: Ledger, slice: number, target: number): boolean =>
  slicesOn[target].some((other) => sliceDrvm[other] === sliceDrvm[slice]);

/** The open nodes by utilisation, kept in order as loads change. */
class CoolestFirst {
  readonly order: number[];
  readonly #before: (a: number, b: number) => number;

  constructor(ledger: Ledger, rank: Uint32Array) {
    this.#before = (a, b) => ledger.utilisationOf(a) - ledger.utilisationOf(b) || rank[a] - rank[b];
    this.order = [];
    for (let node = 0; node < ledger.nodeCount; node++) if (ledger.isOpen[node] === 1) this.order.push(node);
    this.order.sort(this.#before);
  }

  /** The load of a node has changed: it goes to its new place. */
  changed(node: number): void {
    const at = this.order.indexOf(node);
    if (at < 0) return;
    this.order.splice(at, 1);
    let low = 0;
    let high = this.order.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#before(this.order[middle], node) < 0) low = middle + 1;
      else high = middle;
    }
    this.order.splice(low, 0, node);
  }
}
