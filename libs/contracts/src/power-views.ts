/** What REST answers about power, energy and failed nodes. Fields may be added, never renamed. Watts, kWh, ISO 8601. */

export const POWER_STATES = [
  'on',
  'powering-off',
  'off',
  'powering-on',
  'joining',
  'failed',
  'quarantined',
] as const;
export type PowerState = (typeof POWER_STATES)[number];

export const POWER_DRIVERS = ['none', 'wol', 'ipmi', 'redfish', 'command', 'local'] as const;
export type PowerDriverName = (typeof POWER_DRIVERS)[number];

/** Draw by CPU use: points of (share of the CPUs in use, watts), linear between them. */
export interface PowerModelView {
  idleWatts: number;
  fullWatts: number;
  offWatts: number;
  bootSeconds: number;
  /** Added to what the processor counts, for the rest of the machine. */
  restWatts: number;
  curve: { use: number; watts: number }[];
  /** Where the figures come from: `stated` by default, `configured` by an administrator. */
  origin: 'stated' | 'configured';
}

export interface NodePowerView {
  node: string;
  state: PowerState;
  since: string;
  /** Of a state that must end: when it is given up if nothing happens until then. */
  deadline: string | null;
  attempts: number;
  /** Times in a row that it failed to come back. */
  failures: number;
  reason: string;
  driver: PowerDriverName;
  /** The driver's settings, without its secrets. */
  settings: Record<string, unknown>;
  hasSecret: boolean;
  /** Whether planners may switch it. */
  automatic: boolean;
  model: PowerModelView;
  /** Drawn now, and by what that is known. */
  watts: number;
  source: 'driver' | 'rapl' | 'command' | 'model';
  generation: number;
}

export interface PowerReadingView {
  node: string;
  driver: PowerDriverName;
  power: 'on' | 'off' | 'unknown';
  watts: number | null;
  detail: string;
  milliseconds: number;
}

export interface EnergySpan {
  from: string;
  to: string;
  kWh: number;
  /** What all nodes would have drawn, had none been switched off. */
  allOnKWh: number;
  savedKWh: number;
  /** Share of the energy that was measured and not reckoned from a model, 0..1. */
  measured: number;
}

export interface EnergyReportView {
  now: { watts: number; nodesOn: number; nodesOff: number };
  today: EnergySpan;
  month: EnergySpan;
  nodes: {
    node: string;
    state: PowerState;
    watts: number;
    source: NodePowerView['source'];
    todayKWh: number;
    monthKWh: number;
    savedKWh: number;
  }[];
  /** By DRVM, this month: its share by use, and its part of what the nodes draw idle. */
  drvms: { drvm: string; tenant: string; todayKWh: number; monthKWh: number }[];
  tenants: { tenant: string; todayKWh: number; monthKWh: number }[];
  /** Of nobody: idle draw of nodes that held nothing. */
  unallocatedKWh: number;
  formula: string;
  /** What is expected of the cluster's CPU, in vCPUs, for each of the next hours. */
  forecast: { at: string; cpu: number; basis: string }[];
}

/** What could be switched off now, and why the rest could not. */
export interface EnergyRecommendationsView {
  recommendations: { node: string; savedWatts: number; moves: number; reason: string }[];
  rejected: { what: string; reason: string }[];
  summary: string;
}

export const FAILURE_PHASES = [
  'well',
  'suspect',
  'confirmed',
  'fencing',
  'fenced',
  'evacuating',
  'evacuated',
  'held-out',
] as const;
export type FailurePhase = (typeof FAILURE_PHASES)[number];

export interface NodeFailureView {
  node: string;
  phase: FailurePhase;
  since: string;
  deadline: string | null;
  reason: string;
  /** What proves it, in the order in which it was found. */
  evidence: { at: string; by: string; says: string }[];
  /** Returns in the time in which flapping is counted. */
  returns: string[];
  heldUntil: string | null;
  operation: string | null;
}
