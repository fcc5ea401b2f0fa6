import { MIN_SLICE_CPU_MILLI, MIN_SLICE_MEMORY_MIB, type ResourceAmounts } from '@drvs/contracts';

export type PlacementPolicy = 'spread' | 'pack';

export interface PlacementRequest {
  total: ResourceAmounts;
  /** How many nodes, or which ones by name; null leaves the number to the policy. */
  nodes: number | readonly string[] | null;
  /** No other DRVM on its nodes. */
  exclusive: boolean;
  policy: PlacementPolicy;
  /** Up to this it may borrow; at least `total` in every class. Without it, no more than `total`. */
  ceiling?: ResourceAmounts;
  /** Traits that each of its nodes must have, or must not have. */
  require?: readonly string[];
  forbid?: readonly string[];
  /** Taints that it puts up with: `key`, `key=value`, or `*` for all. */
  tolerate?: readonly string[];
  /** No two of its slices in one rack, or in one site; by itself no two are on one node. */
  spreadOver?: FailureDomain;
  /** Ids of DRVMs: only on nodes that hold all of the first, on none that holds one of the second. */
  togetherWith?: readonly string[];
  apartFrom?: readonly string[];
  /** Devices, which its slices have between them. */
  devices?: readonly DeviceNeed[];
}

export type FailureDomain = 'node' | 'rack' | 'site';

export interface DeviceNeed {
  /** For instance `gpu`. */
  type: string;
  count: number;
  traits: readonly string[];
}

export interface DeviceSnapshot {
  id: string;
  /** Stable within the node. */
  key: string;
  type: string;
  traits: readonly string[];
  /** Nobody has it, and it is in service. */
  isFree: boolean;
}

export interface NodeSnapshot {
  id: string;
  name: string;
  /** Only nodes that are `up` get new slices. */
  state: 'up' | 'down' | 'draining' | 'drained' | 'off';
  /** What can still be given, by class; negative where a node has lost hardware. */
  free: ResourceAmounts;
  /** Amounts of a class are given in multiples of this. */
  step: ResourceAmounts;
  /** Slices of any DRVM on it. */
  slices: number;
  /** Why it is kept from what is new although it is heard: it came and went too often, or came back after it was fenced. */
  heldOut?: string | null;
  /** Held by one DRVM alone. */
  isExclusive: boolean;
  /** What it could give if nothing were given; without it, it is never said that something can never be. */
  capacity?: ResourceAmounts;
  /** Its burn-in check has not been passed, or not yet. */
  isOnProbation?: boolean;
  traits?: readonly string[];
  /** `key=value:NoSchedule`. */
  taints?: readonly string[];
  /** A node that says none is a rack, or a site, of its own. */
  rack?: string | null;
  site?: string | null;
  /** The DRVMs that have a slice on it. */
  drvmIds?: readonly string[];
  devices?: readonly DeviceSnapshot[];
  /** Draw when idle; without it a node that wakes from holding nothing is reckoned like any other. */
  idleWatts?: number;
}

export interface PlannedSlice {
  nodeId: string;
  node: string;
  /** 0 is the home node. */
  index: number;
  amounts: ResourceAmounts;
  /** Up to this the slice may borrow, where the request says so. */
  ceiling?: ResourceAmounts;
  /** Devices of the node that it is given. */
  devices?: { id: string; key: string; type: string }[];
  exclusive: boolean;
  reason: string;
}

export interface RejectedNode {
  node: string;
  rule: RejectionRule;
  reason: string;
}

/** Why a node is left out: the whole vocabulary. */
export const REJECTION_RULES = [
  'not-up',
  'cordoned',
  'held-out',
  'probation',
  'tainted',
  'trait-missing',
  'trait-forbidden',
  'not-together',
  'not-apart',
  'exclusive-to-another',
  'not-empty',
  'cpu',
  'memory',
  'not-named',
  'not-needed',
] as const;
export type RejectionRule = (typeof REJECTION_RULES)[number];

export interface PlacementPlan {
  slices: PlannedSlice[];
  rejected: RejectedNode[];
}

/** Containers of one DRVM at most (`ContainerSpec.index`). */
export const MAX_SLICES = 1024;

export const MIN_SLICE: ResourceAmounts = {
  cpuMilli: MIN_SLICE_CPU_MILLI,
  memoryMiB: MIN_SLICE_MEMORY_MIB,
  diskGiB: 0,
  networkMbps: 0,
};
