import { DrvsError, RESOURCE_CLASSES, type ResourceAmounts, type ResourceClass } from '@drvs/contracts';
import { chooseNodes, sumFree } from './node-choice.js';
import {
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

/** The details of InsufficientResources. */
export interface PlacementRefusal extends Record<string, unknown> {
  /** Which classes are short, and by how much, on the nodes that qualify. */
  short: ClassShortage[];
  nodes: { wanted: number | null; qualify: number; total: number };
  /** On how many nodes which rule failed. */
  rules: { rule: RejectionRule; nodes: number }[];
  rejected: RejectedNode[];
  /** The largest request not above this one that would be accepted now; null when none would. */
  nearest: (ResourceAmounts & { nodes: number }) | null;
}

const UNITS: Record<ResourceClass, (amount: number) => string> = {
  cpuMilli: (amount) => `${amount / 1000} vCPU`,
  memoryMiB: (amount) => `${amount} MiB of memory`,
  diskGiB: (amount) => `${amount} GiB of disk`,
  networkMbps: (amount) => `${amount} Mbit/s of network`,
};

const RULES: Record<RejectionRule, string> = {
  'not-up': 'not up',
  cordoned: 'cordoned for a drain',
  'exclusive-to-another': 'exclusive to another DRVM',
  'not-empty': 'not empty, so not to be had exclusively',
  cpu: 'too little CPU free for a slice',
  memory: 'too little memory free for a slice',
  'not-named': 'not asked for',
  'not-needed': 'not needed',
};

/** Says which class is short, by how much, on how many nodes which rule failed, and what would fit. */
export function refuse(
  request: PlacementRequest,
  snapshot: readonly NodeSnapshot[],
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
  const rules = [...counts].map(([rule, nodes]) => ({ rule, nodes })).sort((a, b) => b.nodes - a.nodes);
  const nearest = nearestFit(request, eligible, tried);
  const details: PlacementRefusal = {
    short,
    nodes: { wanted, qualify: eligible.length, total: snapshot.length },
    rules,
    rejected: rejected.slice(0, NODES_LISTED),
    nearest,
  };
  return new DrvsError('InsufficientResources', messageOf(details, tried.length), {
    hint: hintOf(details),
    details,
  });
}

function wantedNodes({ nodes }: PlacementRequest): number | null {
  return nodes === null || typeof nodes === 'number' ? nodes : nodes.length;
}

function messageOf({ short, nodes, rules }: PlacementRefusal, tried: number): string {
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
  for (const { rule, nodes: count } of rules)
    parts.push(`${count} node${count === 1 ? ' is' : 's are'} ${RULES[rule]}`);
  return parts.join('; ');
}

function hintOf({ nearest }: PlacementRefusal): string {
  if (nearest === null) return 'Nothing like it fits now: free something (`drvs drvm list`), or add a node.';
  const { nodes, ...amounts } = nearest;
  const listed = RESOURCE_CLASSES.filter((name) => amounts[name] > 0).map((name) =>
    UNITS[name](amounts[name]),
  );
  return `This would fit: ${listed.join(', ')} on ${nodes} node${nodes === 1 ? '' : 's'}. Or free something, or add a node.`;
}

/** By construction it fits: each class is cut to what the very set of nodes that was tried has. */
function nearestFit(
  request: PlacementRequest,
  eligible: readonly NodeSnapshot[],
  tried: readonly NodeSnapshot[],
): PlacementRefusal['nearest'] {
  const most = Math.min(
    eligible.length,
    Math.floor(request.total.cpuMilli / MIN_SLICE.cpuMilli),
    Math.floor(request.total.memoryMiB / MIN_SLICE.memoryMiB),
  );
  if (most < 1) return null;
  const wanted = Math.min(wantedNodes(request) ?? tried.length, most);
  const set = tried.length === wanted ? tried : chooseNodes(eligible, wanted, request.total, request.policy);
  const free = sumFree(set);
  const fits = { cpuMilli: 0, memoryMiB: 0, diskGiB: 0, networkMbps: 0, nodes: set.length };
  for (const name of RESOURCE_CLASSES) fits[name] = Math.min(request.total[name], free[name]);
  return fits;
}
