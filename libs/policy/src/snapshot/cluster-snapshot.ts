import type { ResourceAmounts } from '@drvs/contracts';

/**
 * The cluster as the planners see it: plain values, no references between them, so that a snapshot can be stored,
 * sent, and replayed. Amounts, loads and bytes are whole numbers; times are milliseconds of one clock.
 */
export interface ClusterSnapshot {
  /** Names this state (a generation or a hash); a plan says from which one it was made. */
  id: string;
  atMs: number;
  nodes: NodeRecord[];
  drvms: DrvmRecord[];
  slices: SliceRecord[];
  processes: ProcessRecord[];
  /** Moves of slices and processes that were begun in the hour before `atMs`: they count against the churn budget. */
  movesLastHour: number;
}

export type NodePowerState = 'up' | 'down' | 'off' | 'powering-on';

/** A node as a resource provider: what may be given of a class is (total - reserved) x ratio, rounded down. */
export interface NodeRecord {
  id: string;
  name: string;
  state: NodePowerState;
  /** Keeps what it has and gets nothing new. */
  isCordoned: boolean;
  /** Whether it is proven that a node which is `down` no longer runs anything (power cut, lease expired, operator). */
  isFenced: boolean;
  total: ResourceAmounts;
  reserved: ResourceAmounts;
  /** Allocation ratio by class; above 1 is overcommitment. */
  ratio: ResourceAmounts;
  /** For instance `arch=x64`, `ssd`. */
  traits: string[];
  /** Only a DRVM that tolerates each of them gets a slice here. */
  taints: string[];
  /** Failure domain: what shares a power line, a rack or a switch. */
  domain: string;
  power: PowerModel;
  /** Since when its load has been above the hot mark, below the cold mark; null when it is not. */
  hotSinceMs: number | null;
  coldSinceMs: number | null;
}

/** Measured, or stated where nothing measures: draw is linear in CPU utilisation between idle and full. */
export interface PowerModel {
  idleWatts: number;
  fullWatts: number;
  offWatts: number;
  bootSeconds: number;
  /** Something can switch it on again, and its owner lets it be switched off. */
  isControlled: boolean;
  /** It once failed to come back: it is not switched off or counted upon until somebody has looked. */
  hasFailedToWake: boolean;
}

export interface DrvmRecord {
  id: string;
  name: string;
  tenant: string;
  /** Share of what is lent, relative to others'. */
  weight: number;
  /** No other DRVM on its nodes. */
  isExclusive: boolean;
  /** Traits that its nodes must have. */
  requires: string[];
  /** Taints of nodes that it puts up with. */
  tolerates: string[];
  /** Ids of DRVMs that may not share a node with it. */
  avoids: string[];
  /** What two replicas of a group may not share. */
  replicasApart: 'node' | 'domain';
}

/** What a DRVM has on a node; at most one per DRVM and node. In every class guaranteed <= held <= ceiling. */
export interface SliceRecord {
  drvmId: string;
  nodeId: string;
  guaranteed: ResourceAmounts;
  /** Up to this it may borrow. */
  ceiling: ResourceAmounts;
  /** The limit in force now: the guarantee and what is borrowed. */
  held: ResourceAmounts;
  used: ResourceAmounts;
  /** What it would use with no limit: what it uses and what waits. */
  wanted: ResourceAmounts;
  /** Since when it has wanted clearly less than it holds; null when it does not. */
  idleSinceMs: number | null;
  movedAtMs: number | null;
  /**
   * Why it cannot move for now, whatever is in it: it has a device of its node, its DRVM is busy or silent, or stopped
   * with its files there.
   */
  stays?: 'pinned-process' | 'busy' | 'stopped-home';
  /** The servers and files of its DRVM are in it: they are lost with its node. */
  isHome?: boolean;
  /** Bytes that go with it besides its processes, where they are more than SLICE_STATE_BYTES: the files of a home. */
  stateBytes?: number;
}

export interface ProcessRecord {
  drvmId: string;
  /** Unique in its DRVM. */
  pid: number;
  nodeId: string;
  /** CPU that it wants, in thousandths of a vCPU; part of what its slice wants. */
  cpuMilli: number;
  /** What a migration sends; part of the memory that its slice uses. */
  imageBytes: number;
  /** Replicas of one group stay apart. */
  replicaGroup: string | null;
  /** A process that holds a device of its node stays there. */
  isPinned: boolean;
  movedAtMs: number | null;
}

/** A slice with no process in it takes less than a container of its own; this many bytes of state go with a slice. */
export const SLICE_STATE_BYTES = 1 << 20;
