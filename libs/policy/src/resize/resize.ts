import {
  DrvsError,
  MIN_SLICE_CPU_MILLI,
  MIN_SLICE_MEMORY_MIB,
  RESOURCE_CLASSES,
  type ResourceAmounts,
  type ResourceClass,
} from '@drvs/contracts';
import { MAX_SLICES } from '../placement/placement-request.js';
import { describeAmounts, mapAmounts } from '../snapshot/amounts.js';
import { distribute } from './distribute.js';

/** A slice as it is, with what of its guarantee cannot be taken from it because it is in use. */
export interface ResizableSlice {
  nodeId: string;
  node: string;
  guaranteed: ResourceAmounts;
  ceiling: ResourceAmounts;
  inUse: ResourceAmounts;
  processes: number;
  /** It runs the DRVM's servers. */
  isHome: boolean;
}

/** What a node could give besides what it has given; may be negative where hardware was lost. */
export interface ResizeNode {
  id: string;
  name: string;
  free: ResourceAmounts;
  capacity: ResourceAmounts;
  /** Null when the DRVM may get something new there; else why not. */
  closed: string | null;
}

export interface ResizeRequest {
  /** New sums over the DRVM; classes left out stay as they are. */
  total: Partial<ResourceAmounts>;
  /** New sums of the ceilings; those left out keep what they are above the guarantees. */
  ceiling: Partial<ResourceAmounts>;
  /** How many nodes, or ids of nodes to come and to go. */
  nodes: number | { add: readonly string[]; remove: readonly string[] } | null;
}

export interface ResizedSlice {
  nodeId: string;
  node: string;
  /** Null for a slice that comes. */
  before: { guaranteed: ResourceAmounts; ceiling: ResourceAmounts } | null;
  /** Null for a slice that goes. */
  after: { guaranteed: ResourceAmounts; ceiling: ResourceAmounts } | null;
  reason: string;
}

export interface ResizePlan {
  /** Those that come first, then those that stay and change, then those that go. */
  slices: ResizedSlice[];
  /** Nodes that were not chosen, and why. */
  rejected: { node: string; reason: string }[];
}

const LEAST: ResourceAmounts = {
  cpuMilli: MIN_SLICE_CPU_MILLI,
  memoryMiB: MIN_SLICE_MEMORY_MIB,
  diskGiB: 0,
  networkMbps: 0,
};

/**
 * How a DRVM's slices are to change so that together they are what is asked for. Slices that stay keep their proportions
 * to each other, as far as what is in use and what their nodes have free allow; one that comes gets an average part.
 *
 * @throws DrvsError InvalidInput for a request that can never be met (unknown or doubled nodes, no node left, less than
 * the least slice); StateConflict for less than is in use; InsufficientResources for more than the nodes have free. The
 * last two say in their details, by class, what was asked for and what would fit.
 */
export function planResize(
  request: ResizeRequest,
  slices: readonly ResizableSlice[],
  nodes: readonly ResizeNode[],
): ResizePlan {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const { comes, goes, rejected } = chooseNodes(request, slices, nodes, byId);
  const stays = slices.filter(({ nodeId }) => !goes.includes(nodeId));
  const parts = [...stays.map(({ nodeId }) => nodeId), ...comes];
  const guaranteed = parts.map(() => ({ ...LEAST }));
  for (const name of RESOURCE_CLASSES) {
    const amounts = distributeClass(name, request, slices, stays, comes, byId);
    for (const [index, amount] of amounts.entries()) guaranteed[index]![name] = amount;
  }
  const ceilings = ceilingsOf(request, slices, stays, guaranteed, parts, byId);
  const after = parts.map((_, index) => ({ guaranteed: guaranteed[index]!, ceiling: ceilings[index]! }));
  return {
    slices: [
      ...comes.map((nodeId, index): ResizedSlice => {
        const terms = after[stays.length + index]!;
        return {
          nodeId,
          node: byId.get(nodeId)?.name ?? nodeId,
          before: null,
          after: terms,
          reason: `comes with ${describeAmounts(terms.guaranteed)}, an average part; the node has room for it`,
        };
      }),
      ...stays.flatMap((slice, index): ResizedSlice[] => {
        const { nodeId, node } = slice;
        const before = { guaranteed: slice.guaranteed, ceiling: slice.ceiling };
        const terms = after[index]!;
        if (isSame(before, terms)) return [];
        return [{ nodeId, node, before, after: terms, reason: describeChange(before, terms) }];
      }),
      ...slices
        .filter(({ nodeId }) => goes.includes(nodeId))
        .map(
          ({ nodeId, node, guaranteed: has, ceiling, processes, isHome }): ResizedSlice => ({
            nodeId,
            node,
            before: { guaranteed: has, ceiling },
            after: null,
            reason: `goes; ${processes === 0 ? 'nothing runs there' : `its ${processes} process${processes === 1 ? '' : 'es'} move to the others first`}${isHome ? ', and the servers with the files too' : ''}`,
          }),
        ),
    ],
    rejected,
  };
}

function chooseNodes(
  { nodes: wish }: ResizeRequest,
  slices: readonly ResizableSlice[],
  nodes: readonly ResizeNode[],
  byId: ReadonlyMap<string, ResizeNode>,
): { comes: string[]; goes: string[]; rejected: ResizePlan['rejected'] } {
  const has = new Set(slices.map(({ nodeId }) => nodeId));
  if (wish === null) return { comes: [], goes: [], rejected: [] };
  if (typeof wish !== 'number') {
    const comes = [...new Set(wish.add)];
    const goes = [...new Set(wish.remove)];
    for (const id of comes) {
      const node = byId.get(id);
      if (has.has(id)) throw invalid(`the DRVM is on ${node?.name ?? id} already`);
      if (goes.includes(id)) throw invalid(`${node?.name ?? id} is to come and to go`);
      if (node === undefined || node.closed !== null)
        throw closed(node?.name ?? id, node?.closed ?? 'it is not known');
    }
    const foreign = goes.find((id) => !has.has(id));
    if (foreign !== undefined) throw invalid(`the DRVM is not on ${byId.get(foreign)?.name ?? foreign}`);
    requireCount(slices.length + comes.length - goes.length);
    return { comes, goes, rejected: [] };
  }
  requireCount(wish);
  if (wish <= slices.length) {
    // The home goes last, and of the others those from which the least has to move.
    const order = [...slices].sort(
      (a, b) =>
        Number(a.isHome) - Number(b.isHome) ||
        a.processes - b.processes ||
        a.guaranteed.cpuMilli - b.guaranteed.cpuMilli ||
        (a.node < b.node ? 1 : -1),
    );
    return {
      comes: [],
      goes: order.slice(0, slices.length - wish).map(({ nodeId }) => nodeId),
      rejected: [],
    };
  }
  const rejected: ResizePlan['rejected'] = [];
  const candidates: ResizeNode[] = [];
  for (const node of nodes) {
    if (has.has(node.id)) continue;
    const lacking = RESOURCE_CLASSES.filter((name) => node.free[name] < LEAST[name]);
    if (node.closed !== null) rejected.push({ node: node.name, reason: node.closed });
    else if (lacking.length > 0)
      rejected.push({ node: node.name, reason: `has only ${describeAmounts(node.free)} free` });
    else candidates.push(node);
  }
  const missing = wish - slices.length;
  candidates.sort((a, b) => b.free.cpuMilli - a.free.cpuMilli || (a.name < b.name ? -1 : 1));
  if (candidates.length < missing) {
    throw new DrvsError(
      'InsufficientResources',
      `${missing} more node${missing === 1 ? '' : 's'} asked for, ${candidates.length} of ${rejected.length + candidates.length} others can take a slice`,
      {
        field: 'nodes',
        hint: `Ask for at most ${slices.length + candidates.length} nodes, or bring more up.`,
        details: { rejected, fits: { nodes: slices.length + candidates.length } },
      },
    );
  }
  for (const node of candidates.slice(missing))
    rejected.push({ node: node.name, reason: 'others have more CPU free' });
  return { comes: candidates.slice(0, missing).map(({ id }) => id), goes: [], rejected };
}

function distributeClass(
  name: ResourceClass,
  request: ResizeRequest,
  slices: readonly ResizableSlice[],
  stays: readonly ResizableSlice[],
  comes: readonly string[],
  byId: ReadonlyMap<string, ResizeNode>,
): number[] {
  const now = slices.reduce((sum, { guaranteed }) => sum + guaranteed[name], 0);
  const asked = request.total[name];
  const total = asked ?? now;
  const mean = now / slices.length;
  const free = (nodeId: string): number => Math.max(0, byId.get(nodeId)?.free[name] ?? 0);
  const shares = [
    ...stays.map(({ nodeId, guaranteed, inUse }) => ({
      least: Math.min(Math.max(LEAST[name], inUse[name]), guaranteed[name] + free(nodeId)),
      most: guaranteed[name] + free(nodeId),
      weight: guaranteed[name],
    })),
    ...comes.map((nodeId) => ({
      least: Math.min(LEAST[name], free(nodeId)),
      most: free(nodeId),
      weight: mean,
    })),
  ];
  const least = shares.reduce((sum, share) => sum + share.least, 0);
  const most = shares.reduce((sum, share) => sum + share.most, 0);
  const parts = distribute(
    total,
    shares.every(({ weight }) => weight === 0) ? shares.map((share) => ({ ...share, weight: 1 })) : shares,
  );
  if (parts !== null) return parts;
  const words = describeAmounts({ ...NOTHING, [name]: total });
  const fits = describeAmounts({ ...NOTHING, [name]: total < least ? least : most });
  const details = { class: name, requested: total, fits: total < least ? least : most };
  if (total < least) {
    const used = stays
      .filter(({ inUse }) => inUse[name] > LEAST[name])
      .map(({ node, inUse }) => `${describeAmounts({ ...NOTHING, [name]: inUse[name] })} on ${node}`);
    if (used.length === 0) {
      throw new DrvsError('InvalidInput', `${words} is less than ${shares.length} slices of the least size`, {
        field: name,
        hint: `Ask for at least ${fits}, or for fewer nodes.`,
        details,
      });
    }
    throw new DrvsError('StateConflict', `${words} is less than is in use: ${used.join(', ')}`, {
      field: name,
      hint: `${fits} would fit now. End or move some of its processes to go below that.`,
      details: {
        ...details,
        inUse: Object.fromEntries(stays.map(({ node, inUse }) => [node, inUse[name]])),
      },
    });
  }
  throw new DrvsError(
    'InsufficientResources',
    asked === undefined
      ? `the ${words} of the slices that go do not fit on the nodes that stay`
      : `${words} asked for, and its nodes have room for ${fits}`,
    {
      field: name,
      hint: `Ask for at most ${fits}, or for more nodes (nodes=+NAME).`,
      details: {
        ...details,
        free: Object.fromEntries(
          [...stays.map(({ nodeId }) => nodeId), ...comes].map((id) => [byId.get(id)?.name ?? id, free(id)]),
        ),
      },
    },
  );
}

/** Above its guarantee a slice may borrow: so much in all as is asked for, in proportion to the guarantees. */
function ceilingsOf(
  request: ResizeRequest,
  slices: readonly ResizableSlice[],
  stays: readonly ResizableSlice[],
  guaranteed: readonly ResourceAmounts[],
  parts: readonly string[],
  byId: ReadonlyMap<string, ResizeNode>,
): ResourceAmounts[] {
  const ceilings = guaranteed.map((amounts) => ({ ...amounts }));
  for (const name of RESOURCE_CLASSES) {
    const asked = request.ceiling[name];
    const spareOf = ({ guaranteed: has, ceiling }: ResizableSlice): number => ceiling[name] - has[name];
    if (asked === undefined) {
      for (const [index, slice] of stays.entries()) ceilings[index]![name] += spareOf(slice);
      // What a slice that goes might have borrowed, those that come may.
      const left = slices
        .filter((slice) => !stays.includes(slice))
        .reduce((sum, slice) => sum + spareOf(slice), 0);
      const newcomers = parts.length - stays.length;
      for (let index = stays.length; index < parts.length && newcomers > 0; index++)
        ceilings[index]![name] += Math.floor(left / newcomers);
      continue;
    }
    const total = guaranteed.reduce((sum, amounts) => sum + amounts[name], 0);
    if (asked < total) {
      throw new DrvsError(
        'InvalidInput',
        `a ceiling of ${describeAmounts({ ...NOTHING, [name]: asked })} is below the guarantee of ${describeAmounts({ ...NOTHING, [name]: total })}`,
        { field: `ceiling.${name}`, hint: 'A ceiling is at least what is guaranteed.' },
      );
    }
    const shares = parts.map((id, index) => ({
      least: guaranteed[index]![name],
      most: Math.max(guaranteed[index]![name], byId.get(id)?.capacity[name] ?? 0),
      weight: Math.max(1, guaranteed[index]![name]),
    }));
    const most = shares.reduce((sum, share) => sum + share.most, 0);
    const distributed = distribute(asked, shares);
    if (distributed === null) {
      throw new DrvsError(
        'InvalidInput',
        `a ceiling of ${describeAmounts({ ...NOTHING, [name]: asked })} is more than its nodes have in all`,
        {
          field: `ceiling.${name}`,
          hint: `Ask for at most ${describeAmounts({ ...NOTHING, [name]: most })}.`,
          details: { class: name, requested: asked, fits: most },
        },
      );
    }
    for (const [index, amount] of distributed.entries()) ceilings[index]![name] = amount;
  }
  return ceilings;
}

const NOTHING: ResourceAmounts = { cpuMilli: 0, memoryMiB: 0, diskGiB: 0, networkMbps: 0 };

type Terms = { guaranteed: ResourceAmounts; ceiling: ResourceAmounts };

const isSame = (a: Terms, b: Terms): boolean =>
  RESOURCE_CLASSES.every(
    (name) => a.guaranteed[name] === b.guaranteed[name] && a.ceiling[name] === b.ceiling[name],
  );

function describeChange(before: Terms, after: Terms): string {
  const part = (from: ResourceAmounts, to: ResourceAmounts): string => {
    const changed = RESOURCE_CLASSES.filter((name) => from[name] !== to[name]);
    const only = (amounts: ResourceAmounts): string =>
      describeAmounts(mapAmounts((name) => (changed.includes(name) ? amounts[name] : 0)));
    return changed.length === 0 ? '' : `${only(from)} → ${only(to)}`;
  };
  const guarantee = part(before.guaranteed, after.guaranteed);
  const ceiling = part(before.ceiling, after.ceiling);
  return [
    guarantee && `its part in proportion: ${guarantee}`,
    ceiling && ceiling !== guarantee && `ceiling ${ceiling}`,
  ]
    .filter(Boolean)
    .join('; ');
}

function requireCount(count: number): void {
  if (count >= 1 && count <= MAX_SLICES) return;
  throw invalid(`a DRVM has 1 to ${MAX_SLICES} nodes, and it would have ${count}`);
}

const invalid = (message: string): DrvsError =>
  new DrvsError('InvalidInput', message, { field: 'nodes', hint: 'See `drvs drvm show`.' });

const closed = (node: string, why: string): DrvsError =>
  new DrvsError('InsufficientResources', `${node} can take nothing new: ${why}`, {
    field: 'nodes',
    hint: 'Choose another node; see `drvs node list`.',
  });
