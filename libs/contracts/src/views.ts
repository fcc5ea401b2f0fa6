/**
 * The shapes that REST answers and the CLI prints with --json (interfaces that users' scripts rely on: fields may be
 * added, never renamed). Times are ISO 8601 in UTC.
 */

import type { Probation } from './inventory-views.js';
import type { OperationKind, OperationState } from './jobs.js';
import type { Device, NetworkInterface, NodeInventory } from './resources.js';

export const ROLES = ['supra-admin', 'tenant-admin', 'member', 'auditor'] as const;
export type Role = (typeof ROLES)[number];

/** `cpu` in vCPUs, which may be a fraction. */
export interface Amounts {
  cpu: number;
  memoryMiB: number;
  diskGiB: number;
  networkMbps: number;
}

export interface NodeView {
  name: string;
  id: string;
  state: 'up' | 'down' | 'draining' | 'drained' | 'off';
  capacity: Amounts;
  /** Not free: given to DRVMs or held back for the host. `capacity - reserved` is what a new DRVM can get. */
  reserved: Amounts;
  /** Given to DRVMs. */
  allocated: Amounts;
  /** Measured. */
  used: Amounts;
  exclusiveTo: string | null;
  /** Unless it is `passed` or `accepted` the node gets nothing new. */
  probation: Probation;
  taints: string[];
  rack: string | null;
  site: string | null;
  labels: Record<string, string>;
  lastSeenAt: string | null;
  agentVersion: string;
  generation: number;
}

/** `node show`. */
export interface NodeDetailView extends NodeView {
  host: Amounts;
  interfaces: NetworkInterface[];
  devices: Device[];
  traits: string[];
  enforcement: NodeInventory['enforcement'];
  allocations: AllocationView[];
}

export interface AllocationView {
  id: string;
  drvm: string;
  drvmId: string;
  tenant: string;
  node: string;
  index: number;
  cpu: number;
  memoryMiB: number;
  diskGiB: number;
  networkMbps: number;
  exclusive: boolean;
}

/** What a slice of a DRVM lends of its guaranteed CPU on a node now, or borrows above it. */
export interface LoanView {
  /** The slice's. */
  id: string;
  node: string;
  drvm: string;
  drvmId: string;
  tenant: string;
  side: 'lends' | 'borrows';
  /** vCPUs lent or borrowed. */
  cpu: number;
  guaranteedCpu: number;
  heldCpu: number;
  ceilingCpu: number;
  since: string;
}

export interface TenantView {
  id: string;
  name: string;
  quota: Partial<Amounts>;
  used: Amounts;
  /** By type of device; a type that is not in `quota` has no limit. */
  devices: { quota: Record<string, number>; used: Record<string, number> };
  /** Of what all want, weight 2 is due twice what weight 1 is. */
  weight: number;
  /** Its largest part of any one class of what the cluster has, 0 to 1, and which class that is. */
  dominantShare: { share: number; class: string | null };
  generation: number;
}

export interface UserView {
  id: string;
  name: string;
  tenant: string | null;
  role: Role;
  createdAt: string;
  generation: number;
  /** Only in the answer to its creation, when it was made by the system. */
  password?: string;
}

export interface TokenView {
  id: string;
  name: string;
  tenant: string | null;
  role: Role;
  createdAt: string;
  expiresAt: string | null;
  lastUsedAt: string | null;
}

export interface NewTokenView {
  token: string;
  id: string;
  expiresAt: string | null;
}

export type DrvmState = 'creating' | 'running' | 'stopped' | 'degraded' | 'failed';

export interface DrvmView {
  name: string;
  id: string;
  tenant: string;
  dvos: string;
  state: DrvmState;
  /** Why it is not as wanted. */
  detail: string;
  nodes: {
    node: string;
    index: number;
    cpu: number;
    memoryMiB: number;
    diskGiB: number;
    state: string;
    isolation: string;
    /** It runs the DRVM's servers, and its files are there. */
    isHome: boolean;
    /** vCPUs up to which it may borrow, and those that are in force now. */
    ceilingCpu: number;
    heldCpu: number;
  }[];
  createdAt: string;
  generation: number;
}

/** What binds the nodes that a DRVM may be on, and which of it its present slices break. */
export interface DrvmRulesView {
  drvm: string;
  drvmId: string;
  /** DRVMs, by name (of another department `tenant~name`): only where all of these are, and nowhere where one of those is. */
  affinity: string[];
  antiAffinity: string[];
  /** Traits that its nodes have, and have not; taints that it puts up with. */
  require: string[];
  forbid: string[];
  tolerate: string[];
  /** Nothing moves because a rule has changed: a balance mends what it can. */
  broken: { node: string; rule: string; reason: string }[];
  /** Of the DRVM. */
  generation: number;
}

export interface OperationView {
  id: string;
  kind: OperationKind;
  state: OperationState;
  progress: number;
  /** What it works on, for instance `drvm/fisica` or `drvm/fisica/pid/12`. */
  subject: string;
  steps: {
    name: string;
    state: 'pending' | 'running' | 'succeeded' | 'failed' | 'skipped' | 'compensated';
    startedAt: string | null;
    endedAt: string | null;
    error: string | null;
  }[];
  result: unknown;
  error: { code: string; message: string; hint?: string } | null;
  requestedBy: string;
  /** What has not ended by then is ended and undone. */
  deadlineAt?: string | null;
  /** Nodes on which somebody works, and of whom it waits to be told that the work is done (`continue`). */
  awaits?: string[];
  createdAt: string;
  endedAt: string | null;
}

export const PLAN_KINDS = [
  'balance',
  'consolidate',
  'reallocate',
  'power',
  'drain',
  'restore',
  'evacuate',
  'undo',
] as const;
export type PlanKindName = (typeof PLAN_KINDS)[number];

/** Of a restore: what left comes back, stays where it went, or load comes as a balance finds it. */
export const RESTORE_MODES = ['return', 'stay', 'rebalance'] as const;

interface PlanStepBase {
  reason: string;
  /** The same for programs: a code of a closed vocabulary and the figures behind it. */
  why?: { code: string; data: Record<string, string | number> };
  /** Steps of one phase run beside each other; the next begins when all have ended. From 0. */
  phase?: number;
}

/** What of a DRVM goes from node to node: amounts, and the processes in it. */
export interface SliceMove {
  drvm: string;
  drvmId: string;
  from: string;
  fromId: string;
  to: string;
  toId: string;
  guaranteed: Amounts;
  ceiling: Amounts;
  /** The limits in force after the move. */
  held: Amounts;
  pids: number[];
  /** The DRVM has a slice there, which grows by this one. */
  merges: boolean;
  /** Only so much of the slice goes; the rest stays. */
  isPart: boolean;
  /** The DRVM's servers and files are in it. */
  isHome: boolean;
  bytes: number;
  pauseMs: number;
  seconds: number;
}

/** What moves and why; ids beside names, since names may be given anew. */
export type ClusterPlanStep = PlanStepBase &
  (
    | { action: 'cordon' | 'uncordon' | 'remove-node'; node: string; nodeId: string }
    | { action: 'power-off' | 'power-on'; node: string; nodeId: string; watts: number; seconds: number }
    | {
        action: 'migrate-process';
        drvm: string;
        drvmId: string;
        pid: number;
        command: string;
        from: string;
        to: string;
        /** vCPUs that it uses or waits for. */
        cpu: number;
        bytes: number;
        pauseMs: number;
      }
    | ({ action: 'move-slice' | 'rebuild-slice' } & SliceMove)
    | {
        action: 'resize-slice';
        drvm: string;
        drvmId: string;
        node: string;
        nodeId: string;
        /** The limits in force. */
        before: Amounts;
        after: Amounts;
      }
  );

/** What a plan decided against. */
export interface PlanRejectionView {
  what: string;
  reason: string;
  /** A closed vocabulary; missing where it is not a rule that stands in the way. */
  rule?: string;
  /** `never`: no change of load makes it possible, only another cluster or another request does. */
  when?: 'not-now' | 'never';
  /** What somebody could change. */
  advice?: string;
}

/** A plan over the running cluster; what is not to be done, or cannot be, is in `rejected`. */
export interface ClusterPlanView {
  id: string;
  kind: PlanKindName;
  /** Of a drain, a restore, an evacuation: the node. */
  node: string | null;
  /** Names the state of the cluster that it was made from. */
  snapshot: string;
  steps: ClusterPlanStep[];
  /** As reckoned, before and after: processes waiting for a CPU, watts, nodes on, vCPUs wanted and not held. */
  gain: {
    strainBefore: number;
    strainAfter: number;
    wattsBefore: number;
    wattsAfter: number;
    nodesOnBefore: number;
    nodesOnAfter: number;
    unmetCpuBefore: number;
    unmetCpuAfter: number;
    summary: string;
  };
  cost: { moves: number; bytes: number; pauseMs: number; seconds: number; summary: string };
  rejected: PlanRejectionView[];
  /** A request, the planner by itself, or a schedule. */
  origin: 'request' | 'automatic' | 'schedule';
  requestedBy: string;
  createdAt: string;
  /** After this it is refused, and is to be made anew. */
  expiresAt: string;
  /** The operation that carries it out. */
  operation: string | null;
}

/** The result of an operation `plan.apply`, also of one that failed or was cancelled. */
export interface PlanOutcome {
  plan: string;
  kind: ClusterPlanView['kind'];
  node: string | null;
  moved: { drvm: string; pid: number; from: string; to: string; bytes: number; pauseMs: number }[];
  slices: {
    drvm: string;
    from: string;
    to: string;
    processes: number;
    bytes: number;
    pauseMs: number;
    home: boolean;
  }[];
  resized: { drvm: string; node: string; before: Amounts; after: Amounts }[];
  /** Nodes that were closed, opened, switched or removed. */
  nodes: { node: string; change: 'closed' | 'opened' | 'off' | 'on' | 'removed' }[];
  skipped: { step: string; reason: string }[];
  /** What failed, and what was not begun because of a cancellation. */
  notDone: { step: string; reason: string }[];
  /** What the plan left where it is, and why. */
  stays: PlanRejectionView[];
}

/** The result of a `node.maintain`, of each node in the order in which they were named. */
export interface MaintenanceOutcome {
  nodes: {
    node: string;
    /** done; or as it was left: closed and not empty, drained, open again before its turn was over, or not begun. */
    state: 'done' | 'closed' | 'drained' | 'opened' | 'untouched';
    /** Why it was not finished. */
    reason: string | null;
    drained: PlanOutcome | null;
    restored: PlanOutcome | null;
  }[];
}

export interface EventView {
  id: string;
  at: string;
  kind: string;
  tenant: string | null;
  drvm: string | null;
  node: string | null;
  text: string;
}

export interface Page<T> {
  items: T[];
  nextCursor: string | null;
}

/** application/problem+json (RFC 9457). */
export interface Problem {
  type: string;
  title: string;
  status: number;
  code: string;
  detail: string;
  hint?: string;
  field?: string;
  details?: Record<string, unknown>;
}

/** When a plan is made and carried out by itself. */
export interface ScheduleView {
  name: string;
  id: string;
  /** Five fields of cron, in the time zone. */
  cron: string;
  timeZone: string;
  /** As `POST plans` takes it: {kind, node?, mode?}. */
  plan: { kind: string; node?: string; mode?: string; remove?: boolean };
  enabled: boolean;
  /** What becomes of runs whose time passed while nobody was there to see it. */
  missed: 'skip' | 'run-once';
  /** The next five times; empty where the expression names none that is to come, or it is not enabled. */
  nextRuns: string[];
  lastRunAt: string | null;
  lastOutcome: 'started' | 'nothing-to-do' | 'refused' | 'missed' | null;
  lastDetail: string;
  lastOperation: string | null;
  createdBy: string;
  createdAt: string;
  generation: number;
}

export const PLANNER_KINDS = ['balance', 'consolidate', 'reallocate', 'power'] as const;
export type PlannerKind = (typeof PLANNER_KINDS)[number];
export const PLANNER_MODES = ['off', 'manual', 'automatic'] as const;
export type PlannerMode = (typeof PLANNER_MODES)[number];

/** When plans that nobody asked for may be carried out. */
export interface PlannerWindow {
  kinds: PlannerKind[];
  /** `quiet`: not in it; `only`: not outside of it. */
  effect: 'only' | 'quiet';
  days: ('mon' | 'tue' | 'wed' | 'thu' | 'fri' | 'sat' | 'sun')[];
  /** HH:MM. One that ends before it begins runs past midnight, and belongs to the day on which it begins. */
  from: string;
  to: string;
  timeZone: string;
}

/** What the planners go by. */
export interface PlannerSettingsView {
  modes: Record<PlannerKind, PlannerMode>;
  /** All values, by their names of docs/policies.md. */
  policy: Record<string, number | Record<string, number>>;
  /** Those of them that are not the default. */
  changed: string[];
  windows: PlannerWindow[];
  generation: number;
  updatedBy: string | null;
  updatedAt: string | null;
}
