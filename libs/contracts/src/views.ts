/**
 * The shapes that REST answers and the CLI prints with --json (interfaces that users' scripts rely on: fields may be
 * added, never renamed). Times are ISO 8601 in UTC.
 */

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

export interface TenantView {
  id: string;
  name: string;
  quota: Partial<Amounts>;
  used: Amounts;
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
  }[];
  createdAt: string;
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
  createdAt: string;
  endedAt: string | null;
}

/** What moves and why; ids beside names, since names may be given anew. */
export type ClusterPlanStep =
  | { action: 'cordon'; node: string; nodeId: string; reason: string }
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
      reason: string;
    };

/** A plan over the running cluster; what is not to be done, or cannot be yet, is in `rejected`. */
export interface ClusterPlanView {
  id: string;
  kind: 'balance' | 'drain';
  /** Of a drain: the node. */
  node: string | null;
  /** Names the state of the cluster that it was made from. */
  snapshot: string;
  steps: ClusterPlanStep[];
  /** Processes waiting for a CPU, as reckoned, before and after. */
  gain: { strainBefore: number; strainAfter: number; summary: string };
  cost: { moves: number; bytes: number; pauseMs: number; seconds: number; summary: string };
  rejected: { what: string; reason: string }[];
  requestedBy: string;
  createdAt: string;
  /** After this it is refused, and is to be made anew. */
  expiresAt: string;
  /** The operation that carries it out. */
  operation: string | null;
}

/** The result of an operation `plan.apply`. */
export interface PlanOutcome {
  plan: string;
  kind: ClusterPlanView['kind'];
  node: string | null;
  moved: { drvm: string; pid: number; from: string; to: string; bytes: number; pauseMs: number }[];
  skipped: { step: string; reason: string }[];
  /** What the plan left where it is, and why. */
  stays: { what: string; reason: string }[];
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
