import { DrvsError, RESOURCE_CLASSES, type ResourceAmounts, type ResourceClass } from '@drvs/contracts';
import { searchSets } from './candidate-search.js';
import { matchDevices } from './device-match.js';
import { reject } from './eligibility.js';
import { chooseNodes, sumFree } from './node-choice.js';
import {
  type DeviceNeed,
  MAX_SLICES,
  MIN_SLICE,
  type NodeSnapshot,
  type PlacementRequest,
  type RejectedNode,
  type RejectionRule,
} from './placement-request.js';

/** Nodes listed by name at most; the counts by rule cover all. */
const NODES_LISTED = 50;

export interface ClassShortage {
  class: ResourceClass;
  requested: number;
  available: number;
  missing: number;
}

export interface DeviceShortage {
  type: string;
  traits: readonly string[];
  requested: number;
  available: number;
}

/** The largest request not above this one that would be accepted now. */
export type NearestRequest = ResourceAmounts & {
  nodes: number;
  devices?: { type: string; count: number; traits: readonly string[] }[];
};

/** The details of InsufficientResources. */
export interface PlacementRefusal extends Record<string, unknown> {
  /** `never`: proven that this cluster could not hold it either if it were empty, up and open. */
  verdict: 'not-now' | 'never';
  /** Which classes are short, and by how much, on the nodes that qualify. */
  short: ClassShortage[];
  shortDevices: DeviceShortage[];
  nodes: { wanted: number | null; qualify: number; total: number };
  /** On how many nodes which rule failed, in words, and what would change it. */
  rules: { rule: RejectionRule; nodes: number; words: string; change: string }[];
  rejected: RejectedNode[];
  /** Null when nothing like it would be accepted. */
  nearest: NearestRequest | null;
}

const UNITS: Record<ResourceClass, (amount: number) => string> = {
  cpuMilli: (amount) => `${amount / 1000} vCPU`,
  memoryMiB: (amount) => `${amount} MiB of memory`,
  diskGiB: (amount) => `${amount} GiB of disk`,
  networkMbps: (amount) => `${amount} Mbit/s of network`,
};

const RULES: Record<RejectionRule, { words: string; change: string }> = {
  'not-up': { words: 'not up', change: 'bring the node back' },
  cordoned: { words: 'cordoned for a drain', change: 'restore the node' },
  'held-out': {
    words: 'held out for coming and going',
    change: 'wait until it has stayed for long enough, or let it in (`drvs node release`)',
  },
  probation: { words: 'on probation', change: 'wait for its burn-in check, or accept it' },
  tainted: { words: 'tainted', change: 'tolerate the taint, or take it off' },
  'trait-missing': { words: 'without a required trait', change: 'require less, or add the trait' },
  'trait-forbidden': { words: 'of a forbidden trait', change: 'forbid less' },
  'not-together': { words: 'without the DRVM that it is to be with', change: 'drop the affinity' },
  'not-apart': { words: 'taken by a DRVM that it is to be apart from', change: 'drop the anti-affinity' },
  'exclusive-to-another': { words: 'exclusive to another DRVM', change: 'wait until it is given back' },
  'not-empty': { words: 'not empty, so not to be had exclusively', change: 'ask without --exclusive' },
  cpu: { words: 'too little CPU free for a slice', change: 'free some CPU there' },
  memory: { words: 'too little memory free for a slice', change: 'free some memory there' },
  'not-named': { words: 'not asked for', change: 'name it' },
  'not-needed': { words: 'not needed', change: 'nothing' },
};

/**
 * Says which class is short, by how much, on how many nodes which rule failed, and what would fit.
 * @param candidates the nodes that were asked about: all of the snapshot, or those named
 * @param tried the set that came nearest
 */
export function refuse(
  request: PlacementRequest,
  snapshot: readonly NodeSnapshot[],
  candidates: readonly NodeSnapshot[],
  eligible: readonly NodeSnapshot[],
  rejected: readonly RejectedNode[],
  tried: readonly NodeSnapshot[],
): DrvsError {
  const wanted = wantedNodes(request);
  const free = sumFree(tried);
  const short = RESOURCE_CLASSES.filter((name) => free[name] < request.total[name]).map((name) => ({
    class: name,
    requested: request.total[name],
    available: free[name],
    missing: request.total[name] - free[name],
  }));
  const counts = new Map<RejectionRule, number>();
  for (const { rule } of rejected) counts.set(rule, (counts.get(rule) ?? 0) + 1);
  const details: PlacementRefusal = {
    verdict: isNever(request, candidates) ? 'never' : 'not-now',
    short,
    shortDevices: shortDevices(request, eligible),
    nodes: { wanted, qualify: eligible.length, total: snapshot.length },
    rules: [...counts]
      .map(([rule, nodes]) => ({ rule, nodes, ...RULES[rule] }))
      .sort((a, b) => b.nodes - a.nodes),
    rejected: rejected.slice(0, NODES_LISTED),
    nearest: nearestFit(request, eligible, tried),
  };
  return new DrvsError('InsufficientResources', messageOf(request, details, eligible, tried.length), {
    hint: hintOf(details),
    details,
  });
}

function wantedNodes({ nodes }: PlacementRequest): number | null {
  return nodes === null || typeof nodes === 'number' ? nodes : nodes.length;
}

function messageOf(
  request: PlacementRequest,
  { short, shortDevices, nodes, rules }: PlacementRefusal,
  eligible: readonly NodeSnapshot[],
  tried: number,
): string {
  const parts: string[] = [];
  if (nodes.wanted !== null && nodes.qualify < nodes.wanted) {
    parts.push(`${nodes.wanted} nodes were asked for and ${nodes.qualify} of ${nodes.total} qualify`);
  } else if (nodes.qualify === 0) {
    parts.push(
      nodes.total === 0 ? 'no node has joined the cluster' : `none of ${nodes.total} nodes qualifies`,
    );
  }
  for (const { class: name, requested, available, missing } of short) {
    parts.push(
      `short by ${UNITS[name](missing)}: ${UNITS[name](requested)} asked for, ${UNITS[name](available)} free on ${tried} node${tried === 1 ? '' : 's'}`,
    );
  }
  for (const { type, traits, requested, available } of shortDevices) {
    const named = traits.length === 0 ? type : `${type} (${traits.join(', ')})`;
    parts.push(`${requested} device${requested === 1 ? '' : 's'} ${named} asked for, ${available} free`);
  }
  const domains = domainsOf(request, eligible);
  if (domains !== null && domains.size < (nodes.wanted ?? 1)) {
    parts.push(
      `no two slices in one ${request.spreadOver}: ${nodes.wanted} asked for, ${domains.size} ${request.spreadOver}s qualify`,
    );
  }
  for (const { nodes: count, words } of rules)
    parts.push(`${count} node${count === 1 ? ' is' : 's are'} ${words}`);
  return parts.join('; ') || 'no set of nodes was found that keeps all that was asked for together';
}

function hintOf({ nearest, verdict, rules }: PlacementRefusal): string {
  const never = verdict === 'never' ? 'This cluster could not hold it even when empty. ' : '';
  const changes = rules.map(({ change }) => change).filter((change) => change !== 'nothing');
  if (nearest === null) {
    const first = changes[0] === undefined ? '' : ` Or: ${[...new Set(changes)].slice(0, 3).join('; ')}.`;
    return `${never}Nothing like it fits now: free something (\`drvs drvm list\`), or add a node.${first}`;
  }
  const { nodes, devices = [], ...amounts } = nearest;
  const listed = RESOURCE_CLASSES.filter((name) => amounts[name] > 0).map((name) =>
    UNITS[name](amounts[name]),
  );
  for (const { type, count } of devices) if (count > 0) listed.push(`${count} ${type}`);
  return `${never}This would fit: ${listed.join(', ')} on ${nodes} node${nodes === 1 ? '' : 's'}. Or free something, or add a node.`;
}

function shortDevices(
  { devices = [] }: PlacementRequest,
  nodes: readonly NodeSnapshot[],
  isEver = false,
): DeviceShortage[] {
  return devices.flatMap(({ type, traits, count }) => {
    const available = matching({ type, traits, count }, nodes, isEver);
    return available < count ? [{ type, traits, requested: count, available }] : [];
  });
}

function matching({ type, traits }: DeviceNeed, nodes: readonly NodeSnapshot[], isEver: boolean): number {
  let count = 0;
  for (const { devices = [] } of nodes) {
    for (const device of devices) {
      if ((isEver || device.isFree) && device.type === type && traits.every((t) => device.traits.includes(t)))
        count++;
    }
  }
  return count;
}

/** The failure domains of these nodes, where the request spreads over more than nodes; else null. */
function domainsOf(
  { spreadOver = 'node' }: PlacementRequest,
  nodes: readonly NodeSnapshot[],
): Set<string> | null {
  if (spreadOver === 'node') return null;
  return new Set(nodes.map((node) => node[spreadOver] ?? `node ${node.id}`));
}

/** Only what is proven: each test is of something that any set at all would have to pass. */
function isNever(request: PlacementRequest, candidates: readonly NodeSnapshot[]): boolean {
  if (candidates.some(({ capacity }) => capacity === undefined)) return false;
  const ever = candidates.filter((node) => reject(node, request, true) === null);
  const wanted = wantedNodes(request);
  if (ever.length < (wanted ?? 1)) return true;
  const most = wanted ?? Math.min(ever.length, MAX_SLICES);
  for (const name of RESOURCE_CLASSES) {
    const room = ever.map(({ capacity }) => capacity?.[name] ?? 0).sort((a, b) => b - a);
    if (room.slice(0, most).reduce((sum, amount) => sum + Math.max(0, amount), 0) < request.total[name])
      return true;
    if (request.total[name] % ever.map(({ step }) => step[name]).reduce(commonDivisor, 0) !== 0) return true;
  }
  const domains = domainsOf(request, ever);
  return shortDevices(request, ever, true).length > 0 || (domains !== null && domains.size < (wanted ?? 1));
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}

/** Each class cut to what the set that came nearest has; where its nodes bind each other, tried before it is said. */
function nearestFit(
  request: PlacementRequest,
  eligible: readonly NodeSnapshot[],
  tried: readonly NodeSnapshot[],
): NearestRequest | null {
  const most = Math.min(
    eligible.length,
    domainsOf(request, eligible)?.size ?? eligible.length,
    Math.floor(request.total.cpuMilli / MIN_SLICE.cpuMilli),
    Math.floor(request.total.memoryMiB / MIN_SLICE.memoryMiB),
  );
  if (most < 1) return null;
  const wanted = Math.min(wantedNodes(request) ?? tried.length, most);
  const set = tried.length === wanted ? tried : chooseNodes(eligible, wanted, request.total, request.policy);
  const free = sumFree(set);
  const fits = { cpuMilli: 0, memoryMiB: 0, diskGiB: 0, networkMbps: 0, nodes: set.length };
  for (const name of RESOURCE_CLASSES) {
    const step = set.reduce((largest, node) => Math.max(largest, node.step[name]), 1);
    fits[name] = Math.floor(Math.min(request.total[name], free[name]) / step) * step;
  }
  const isPlain =
    !request.devices?.length &&
    (request.spreadOver ?? 'node') === 'node' &&
    set.every(({ step }) => RESOURCE_CLASSES.every((name) => step[name] === 1));
  if (isPlain) return fits;
  const devices = (request.devices ?? []).map((need) => ({
    ...need,
    count: Math.min(need.count, matching(need, set, false)),
  }));
  const { nodes, ...total } = fits;
  const smaller = {
    ...request,
    total,
    nodes,
    ceiling: undefined,
    devices: devices.filter(({ count }) => count > 0),
  };
  const works =
    matchDevices(smaller.devices, set) !== null &&
    total.cpuMilli >= MIN_SLICE.cpuMilli * nodes &&
    total.memoryMiB >= MIN_SLICE.memoryMiB * nodes &&
    searchSets(smaller, eligible, { seed: 0, wanted: 1 }).length > 0;
  return works ? { ...fits, devices } : null;
}
