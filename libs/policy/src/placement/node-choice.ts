import { RESOURCE_CLASSES, type ResourceAmounts } from '@drvs/contracts';
import type { NodeSnapshot, PlacementPolicy } from './placement-request.js';

/** Sets looked at one by one at most, where the cluster is small; beyond, local search alone decides. */
const EXHAUSTIVE_SETS = 20_000;
/** Swaps looked at in local search at most: about 20 ms. */
const SWAPS_TRIED = 400_000;

/** Whether the free amounts of these nodes add up to `total` in every class. */
export function coversAll(nodes: readonly NodeSnapshot[], total: ResourceAmounts): boolean {
  return shortage(sumFree(nodes), total) === 0;
}

export function sumFree(nodes: readonly NodeSnapshot[]): ResourceAmounts {
  const sum = { cpuMilli: 0, memoryMiB: 0, diskGiB: 0, networkMbps: 0 };
  for (const node of nodes) for (const name of RESOURCE_CLASSES) sum[name] += Math.max(0, node.free[name]);
  return sum;
}

/** What is missing, as the sum over the classes of the missing part of each; 0 when nothing is. */
function shortage(free: ResourceAmounts, total: ResourceAmounts): number {
  let missing = 0;
  for (const name of RESOURCE_CLASSES) {
    if (free[name] < total[name]) missing += (total[name] - free[name]) / total[name];
  }
  return missing;
}

/**
 * `count` of the nodes whose free amounts cover `total`, by the policy's taste; when there is none (or none was
 * found), the set with the least shortage. Deterministic.
 */
export function chooseNodes(
  nodes: readonly NodeSnapshot[],
  count: number,
  total: ResourceAmounts,
  policy: PlacementPolicy,
): NodeSnapshot[] {
  const ordered = byTaste(nodes, count, total, policy);
  const chosen = ordered.slice(0, count);
  if (coversAll(chosen, total)) return policy === 'pack' ? fullestFirst(chosen, total) : chosen;
  const improved = improve(ordered, count, total);
  const best = coversAll(improved, total) ? improved : (exhaustive(ordered, count, total) ?? improved);
  return policy === 'pack' ? fullestFirst(best, total) : best;
}

/** How much of the request a node could take, by its scarcest class. */
function fit(node: NodeSnapshot, total: ResourceAmounts): number {
  let least = Number.POSITIVE_INFINITY;
  for (const name of RESOURCE_CLASSES) {
    if (total[name] > 0) least = Math.min(least, node.free[name] / total[name]);
  }
  return least;
}

/**
 * `spread`: those with the most room first. `pack`: those that just suffice for their share first (best fit), so that
 * large holes stay whole; then, if none suffices alone, the largest.
 */
function byTaste(
  nodes: readonly NodeSnapshot[],
  count: number,
  total: ResourceAmounts,
  policy: PlacementPolicy,
): NodeSnapshot[] {
  const share = 1 / count;
  const rated = nodes.map((node) => ({ node, fit: fit(node, total) }));
  rated.sort((a, b) => {
    if (policy === 'pack') {
      const suffices = Number(b.fit >= share) - Number(a.fit >= share);
      if (suffices !== 0) return suffices;
      if (a.fit >= share && a.fit !== b.fit) return a.fit - b.fit;
    }
    return b.fit - a.fit || compareNames(a.node.name, b.node.name);
  });
  return rated.map(({ node }) => node);
}

/** node2 before node10. One collator for all: to make one for each comparison takes far longer than the comparison. */
export const compareNames = new Intl.Collator('en', { numeric: true }).compare;

function fullestFirst(nodes: readonly NodeSnapshot[], total: ResourceAmounts): NodeSnapshot[] {
  return [...nodes].sort((a, b) => fit(b, total) - fit(a, total) || compareNames(a.name, b.name));
}

/** Swaps one node in for one out as long as that lessens the shortage (steepest descent, bounded). */
function improve(ordered: readonly NodeSnapshot[], count: number, total: ResourceAmounts): NodeSnapshot[] {
  const inside = ordered.slice(0, count);
  const outside = ordered.slice(count);
  const sum = sumFree(inside);
  let missing = shortage(sum, total);
  let tried = 0;
  const trial = { ...sum };
  while (missing > 0 && tried < SWAPS_TRIED) {
    let bestOut = -1;
    let bestIn = -1;
    let bestMissing = missing;
    for (let out = 0; out < inside.length; out++) {
      for (let into = 0; into < outside.length; into++) {
        tried++;
        for (const name of RESOURCE_CLASSES) {
          const leaves = Math.max(0, (inside[out] as NodeSnapshot).free[name]);
          const comes = Math.max(0, (outside[into] as NodeSnapshot).free[name]);
          trial[name] = sum[name] - leaves + comes;
        }
        const left = shortage(trial, total);
        if (left < bestMissing - 1e-12) {
          bestMissing = left;
          bestOut = out;
          bestIn = into;
        }
      }
    }
    if (bestOut < 0) break;
    const leaves = inside[bestOut] as NodeSnapshot;
    const comes = outside[bestIn] as NodeSnapshot;
    inside[bestOut] = comes;
    outside[bestIn] = leaves;
    for (const name of RESOURCE_CLASSES) {
      sum[name] += Math.max(0, comes.free[name]) - Math.max(0, leaves.free[name]);
    }
    missing = shortage(sum, total);
  }
  return inside;
}

/** Every set of `count` nodes in the order of taste; null when none covers, or there are too many to look at. */
function exhaustive(
  ordered: readonly NodeSnapshot[],
  count: number,
  total: ResourceAmounts,
): NodeSnapshot[] | null {
  if (combinations(ordered.length, count) > EXHAUSTIVE_SETS) return null;
  const places = Array.from({ length: count }, (_, place) => place);
  for (;;) {
    const set = places.map((place) => ordered[place] as NodeSnapshot);
    if (coversAll(set, total)) return set;
    let moved = count - 1;
    while (moved >= 0 && places[moved] === ordered.length - count + moved) moved--;
    if (moved < 0) return null;
    places[moved] = (places[moved] as number) + 1;
    for (let later = moved + 1; later < count; later++) places[later] = (places[later - 1] as number) + 1;
  }
}

function combinations(n: number, k: number): number {
  let sets = 1;
  for (let factor = 0; factor < Math.min(k, n - k); factor++) {
    sets = (sets * (n - factor)) / (factor + 1);
    if (sets > EXHAUSTIVE_SETS) return Number.POSITIVE_INFINITY;
  }
  return sets;
}
