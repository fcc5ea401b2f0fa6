import type { NodeCheckItem } from './node-check.js';
import type { ResourceClass } from './resources.js';
import type { Amounts } from './views.js';

/** Views of single resources, and of who may have them; the rules of `views.ts` hold. */

export const PROBATIONS = ['pending', 'passed', 'failed', 'accepted'] as const;
/** Burn-in: a node gets something new when its check has passed, or when somebody has accepted it. */
export type Probation = (typeof PROBATIONS)[number];

/** What a node offers of one class, in the class's own unit (thousandths of a vCPU, MiB, GiB, Mbit/s). */
export interface InventoryView {
  class: ResourceClass;
  /** As the agent found it. */
  total: number;
  /** Held back for the host. */
  reserved: number;
  /** What may be given is (total - reserved) x ratio, rounded down. */
  ratio: number;
  /** Given in multiples of it. */
  step: number;
  capacity: number;
  given: number;
  /** 0 where more is given than there is. */
  free: number;
  generation: number;
}

export interface NodeInventoryView {
  node: string;
  nodeId: string;
  classes: InventoryView[];
  /** Of all of it: the sum of the classes' generations; the ETag. */
  generation: number;
}

export interface NodeRulesView {
  node: string;
  nodeId: string;
  /** As the agent found them. */
  found: string[];
  /** Set by hand. */
  set: string[];
  taints: string[];
  rack: string | null;
  site: string | null;
  probation: Probation;
  /** Null when it was never checked. */
  check: { at: string; items: NodeCheckItem[] } | null;
  generation: number;
}

export interface DeviceView {
  id: string;
  node: string;
  nodeId: string;
  /** Stable within the node. */
  key: string;
  type: string;
  name: string;
  path: string | null;
  sizeBytes: number | null;
  traits: string[];
  total: number;
  /** As many as `total`: out of service. */
  reserved: number;
  /** False when the agent no longer finds it. */
  present: boolean;
  /** The DRVM that has it. */
  drvm: string | null;
  drvmId: string | null;
  tenant: string | null;
  generation: number;
}

export interface TopologyView {
  /** Null: nodes that say none. */
  sites: {
    site: string | null;
    racks: { rack: string | null; nodes: { name: string; id: string; state: string; taints: string[] }[] }[];
  }[];
}

export interface CandidateView {
  /** To be claimed by `drvm create --candidate`. */
  id: string;
  rank: number;
  slices: {
    node: string;
    index: number;
    cpu: number;
    memoryMiB: number;
    diskGiB: number;
    networkMbps: number;
    devices: { key: string; type: string }[];
  }[];
  /** Each from 0 to 1. */
  scores: {
    fit: number;
    domains: number;
    network: number;
    fragmentation: number;
    energy: number;
    total: number;
  };
}

export interface CandidatesView {
  tenant: string;
  /** With the same seed on the same cluster the same candidates come. */
  seed: number;
  snapshot: string;
  expiresAt: string;
  candidates: CandidateView[];
  /** Nodes left out, by rule. */
  rules: { rule: string; nodes: number }[];
}

/** Whether a request could be met, and if not, why and what would change it. */
export interface ExplanationView {
  verdict: 'now' | 'not-now' | 'never';
  message: string;
  hint: string | null;
  quota: { class: string; quota: number; used: number; requested: number }[];
  short: { class: string; requested: number; available: number }[];
  rules: { rule: string; nodes: number; words: string; change: string }[];
  nearest: (Amounts & { nodes: number; devices: { type: string; count: number }[] }) | null;
  best: Omit<CandidateView, 'id'> | null;
}

export interface WaitingView {
  id: string;
  tenant: string;
  name: string;
  state: 'waiting' | 'admitted' | 'refused' | 'cancelled';
  /** In the order of admission, from 1; null when it no longer waits. */
  position: number | null;
  reason: string;
  attempts: number;
  notBefore: string | null;
  nextLookAt: string | null;
  requestedBy: string;
  createdAt: string;
  endedAt: string | null;
  drvm: string | null;
  operation: string | null;
}

export const IDLE_ACTIONS = ['stop', 'shrink', 'notify'] as const;
export type IdleAction = (typeof IDLE_ACTIONS)[number];

export interface LeaseView {
  drvm: string;
  drvmId: string;
  tenant: string;
  state: 'active' | 'ended';
  startsAt: string;
  endsAt: string;
  /** Files are deleted then; null while it is active. */
  filesUntil: string | null;
  keepSeconds: number;
  idleAction: IdleAction | null;
  idleAfterSeconds: number | null;
  idleSince: string | null;
  extensions: number;
  generation: number;
}

export interface TemplateView {
  id: string;
  name: string;
  /** Null: for all departments. */
  tenant: string | null;
  description: string;
  /** What a creation takes, but name and department. */
  body: Record<string, unknown>;
  createdBy: string;
  createdAt: string;
  generation: number;
}

/** One line of an import. */
export interface ImportRowView {
  row: number;
  name: string;
  outcome: 'created' | 'waiting' | 'fits' | 'refused';
  nodes: string[];
  operation: string | null;
  error: { code: string; message: string; hint?: string } | null;
}
