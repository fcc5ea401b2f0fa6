import { DrvsError, RESOURCE_CLASSES, type ResourceAmounts } from '@drvs/contracts';
import { searchSets } from './candidate-search.js';
import { reject } from './eligibility.js';
import { chooseNodes, compareNames, coversAll } from './node-choice.js';
import {
  MAX_SLICES,
  MIN_SLICE,
  type NodeSnapshot,
  type PlacementPlan,
  type PlacementRequest,
  type PlannedSlice,
  type RejectedNode,
} from './placement-request.js';
import { refuse } from './refusal.js';
import { ceilingOf, splitEvenly, splitPacked } from './split.js';

/**
 * Placement of a new DRVM: a pure function from a request and a snapshot of the ledger to slices on nodes.
 *
 * A DRVM's amounts may be split over nodes as one likes, class by class, as long as each slice can live (a smallest
 * amount of CPU and memory). So for a *given* set of nodes the classes do not bind each other, and the set is good if
 * and only if in each class the free amounts add up to what is asked. What is left is the choice of the set: greedy by
 * the policy's taste, mended by local search, exhaustive where the cluster is small enough (`node-choice.ts`).
 *
 * Invariants of a plan: the slices add up to the request exactly; no slice exceeds what its node has free; each slice
 * is at least MIN_SLICE; no node twice; all or nothing.
 */
/** Left to itself, `spread` makes slices of at least this, so that the DVOS's own part does not eat them up. */
export const SPREAD_SLICE_CPU_MILLI = 250;
export const SPREAD_SLICE_MEMORY_MIB = 256;

/**
 * @returns the slices, home node first, and why the other nodes were left out.
 * @throws DrvsError InvalidInput when no cluster could hold it as asked, NotFound for an unknown node's name,
 * InsufficientResources when this cluster cannot now; its details are a `PlacementRefusal`.
 */
export function placeDrvm(request: PlacementRequest, snapshot: readonly NodeSnapshot[]): PlacementPlan {
  requireSound(request);
  const candidates = namedNodes(request, snapshot) ?? snapshot;
  const rejected: RejectedNode[] = [];
  const eligible: NodeSnapshot[] = [];
  for (const node of candidates) {
    const rejection = reject(node, request);
    if (rejection) rejected.push(rejection);
    else eligible.push(node);
  }
  const slices = needsSetSearch(request, eligible)
    ? (searchSets(request, eligible, { seed: 0, wanted: 1 })[0]?.slices ?? null)
    : chooseAndSplit(request, eligible);
  if (slices === null)
    throw refuse(request, snapshot, candidates, eligible, rejected, choose(request, eligible) ?? eligible);
  const judged = new Set([...slices.map(({ node }) => node), ...rejected.map(({ node }) => node)]);
  for (const node of snapshot) {
    if (judged.has(node.name)) continue;
    const isNamed = candidates !== snapshot;
    rejected.push({
      node: node.name,
      rule: isNamed ? 'not-named' : 'not-needed',
      reason: isNamed ? 'other nodes were asked for by name' : `${request.policy} prefers the nodes chosen`,
    });
  }
  return { slices, rejected };
}

/** Rules that bind the nodes of a set to each other, which the choice by taste does not know. */
function needsSetSearch(request: PlacementRequest, eligible: readonly NodeSnapshot[]): boolean {
  return (
    (request.devices?.length ?? 0) > 0 ||
    (request.spreadOver ?? 'node') !== 'node' ||
    eligible.some(({ step }) => RESOURCE_CLASSES.some((name) => step[name] > 1))
  );
}

function chooseAndSplit(request: PlacementRequest, eligible: readonly NodeSnapshot[]): PlannedSlice[] | null {
  const chosen = choose(request, eligible);
  return chosen !== null && coversAll(chosen, request.total) ? slicesOn(chosen, request) : null;
}

/** @throws DrvsError InvalidInput when no cluster could hold it as asked */
export function requireSound({ total, nodes, ceiling }: PlacementRequest): void {
  const count = typeof nodes === 'number' ? nodes : (nodes?.length ?? 1);
  if (!Number.isInteger(count) || count < 1 || count > MAX_SLICES) {
    throw new DrvsError('InvalidInput', `a DRVM is on 1 to ${MAX_SLICES} nodes, not on ${count}`, {
      field: 'nodes',
    });
  }
  for (const [name, field, unit] of [
    ['cpuMilli', 'cpu', 'thousandths of a vCPU'],
    ['memoryMiB', 'memoryMiB', 'MiB'],
  ] as const) {
    const least = MIN_SLICE[name] * count;
    if (total[name] >= least) continue;
    const most = Math.floor(total[name] / MIN_SLICE[name]);
    throw new DrvsError(
      'InvalidInput',
      `${count === 1 ? 'a DRVM needs' : `${count} nodes need`} at least ${least} ${unit}; ${total[name]} were asked for`,
      {
        field,
        hint:
          most >= 1 ? `Ask for more, or for at most ${most} node${most === 1 ? '' : 's'}.` : 'Ask for more.',
        details: { class: name, requested: total[name], minimum: least },
      },
    );
  }
  const low = ceiling && RESOURCE_CLASSES.find((name) => ceiling[name] < total[name]);
  if (ceiling && low) {
    throw new DrvsError(
      'InvalidInput',
      `the ceiling of ${low}, ${ceiling[low]}, is below the ${total[low]} guaranteed`,
      {
        field: 'ceiling',
        hint: 'A ceiling is at least what is guaranteed.',
        details: { class: low, ceiling: ceiling[low], guaranteed: total[low] },
      },
    );
  }
}

/** @throws DrvsError InvalidInput, NotFound */
export function namedNodes(
  { nodes }: PlacementRequest,
  snapshot: readonly NodeSnapshot[],
): NodeSnapshot[] | null {
  if (nodes === null || typeof nodes === 'number') return null;
  if (new Set(nodes).size !== nodes.length) {
    throw new DrvsError('InvalidInput', 'a node is named twice', {
      field: 'nodes',
      hint: 'A DRVM has one slice on a node; ask for a larger one instead.',
    });
  }
  const byName = new Map(snapshot.map((node) => [node.name, node]));
  return nodes.map((name) => {
    const node = byName.get(name);
    if (node) return node;
    throw new DrvsError('NotFound', `there is no node named ${name}`, {
      field: 'nodes',
      hint: snapshot.length === 0 ? 'No node has joined yet.' : `See \`drvs node list\`.`,
    });
  });
}

/** The nodes to use; null when there are too few of them. */
function choose(request: PlacementRequest, eligible: readonly NodeSnapshot[]): NodeSnapshot[] | null {
  const { nodes, total, policy } = request;
  if (nodes !== null && typeof nodes !== 'number')
    return eligible.length === nodes.length ? [...eligible] : null;
  if (typeof nodes === 'number') {
    return eligible.length < nodes ? null : chooseNodes(eligible, nodes, total, policy);
  }
  const most = Math.min(
    eligible.length,
    MAX_SLICES,
    Math.floor(total.cpuMilli / MIN_SLICE.cpuMilli),
    Math.floor(total.memoryMiB / MIN_SLICE.memoryMiB),
  );
  if (most < 1) return null;
  const wanted =
    policy === 'pack'
      ? 1
      : Math.min(
          most,
          Math.max(
            1,
            Math.min(
              Math.floor(total.cpuMilli / SPREAD_SLICE_CPU_MILLI),
              Math.floor(total.memoryMiB / SPREAD_SLICE_MEMORY_MIB),
            ),
          ),
        );
  const first = Math.max(wanted, fewestNodes(eligible, total));
  let best: NodeSnapshot[] | null = null;
  for (let count = Math.min(first, most); count <= most; count++) {
    best = chooseNodes(eligible, count, total, policy);
    if (coversAll(best, total)) return best;
    // Where even the best sets of one size fail, larger ones seldom fail by little: look a bit further, then at all.
    if (count - first > COUNTS_TRIED && count < most) count = most - 1;
  }
  return best;
}

const COUNTS_TRIED = 32;

/** No set smaller than this can do: in each class even the nodes with the most free would not add up. */
function fewestNodes(eligible: readonly NodeSnapshot[], total: ResourceAmounts): number {
  let fewest = 1;
  for (const name of RESOURCE_CLASSES) {
    // Mostly one node is enough; then there is nothing to sort.
    if (eligible.some((node) => node.free[name] >= total[name])) continue;
    const free = eligible.map((node) => node.free[name]).sort((a, b) => b - a);
    let sum = 0;
    let count = 0;
    while (count < free.length && sum < total[name]) sum += Math.max(0, free[count++] ?? 0);
    fewest = Math.max(fewest, count);
  }
  return fewest;
}

function slicesOn(chosen: NodeSnapshot[], request: PlacementRequest): PlannedSlice[] {
  const { total, exclusive, policy } = request;
  const split = policy === 'pack' ? splitPacked : splitEvenly;
  const shares = chosen.map(() => ({ cpuMilli: 0, memoryMiB: 0, diskGiB: 0, networkMbps: 0 }));
  for (const name of RESOURCE_CLASSES) {
    const parts = split(
      total[name],
      chosen.map((node) => Math.max(0, node.free[name])),
      MIN_SLICE[name],
      1,
    );
    for (const [place, part] of parts.entries()) (shares[place] as ResourceAmounts)[name] = part;
  }
  const slices = chosen.map((node, place) => ({ node, amounts: shares[place] as ResourceAmounts }));
  // Where the user named nodes, the first named is the home; else the one with the most memory, which the servers use.
  if (request.nodes === null || typeof request.nodes === 'number') {
    slices.sort(
      (a, b) =>
        b.amounts.memoryMiB - a.amounts.memoryMiB ||
        b.amounts.cpuMilli - a.amounts.cpuMilli ||
        compareNames(a.node.name, b.node.name),
    );
  }
  return slices.map(({ node, amounts }, index) => ({
    nodeId: node.id,
    node: node.name,
    index,
    amounts,
    ...ceilingOf(amounts, request),
    exclusive,
    reason: reasonFor(request, slices.length),
  }));
}

/** Says nothing of what the node has besides: the plan may be shown to whoever asked for it. */
function reasonFor(request: PlacementRequest, count: number): string {
  if (request.nodes !== null && typeof request.nodes !== 'number') return 'asked for by name';
  if (request.policy === 'pack') return `pack takes the fewest nodes that suffice (${count})`;
  return `spread over ${count} node${count === 1 ? '' : 's'}, those with the most free first`;
}
