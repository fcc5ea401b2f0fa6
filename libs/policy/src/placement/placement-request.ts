import { MIN_SLICE_CPU_MILLI, MIN_SLICE_MEMORY_MIB, type ResourceAmounts } from '@drvs/contracts';

export type PlacementPolicy = 'spread' | 'pack';

export interface PlacementRequest {
  total: ResourceAmounts;
  /** How many nodes, or which ones by name; null leaves the number to the policy. */
  nodes: number | readonly string[] | null;
  /** No other DRVM on its nodes. */
  exclusive: boolean;
  policy: PlacementPolicy;
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
  /** Held by one DRVM alone. */
  isExclusive: boolean;
}

export interface PlannedSlice {
  nodeId: string;
  node: string;
  /** 0 is the home node. */
  index: number;
  amounts: ResourceAmounts;
  exclusive: boolean;
  reason: string;
}

export interface RejectedNode {
  node: string;
  rule: RejectionRule;
  reason: string;
}

export type RejectionRule =
  | 'not-up'
  | 'cordoned'
  | 'exclusive-to-another'
  | 'not-empty'
  | 'cpu'
  | 'memory'
  | 'not-named'
  | 'not-needed';

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
