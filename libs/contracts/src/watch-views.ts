/**
 * The shapes of what watches over the cluster: settings, logs of operations, webhooks, alerts, telemetry and usage.
 * Times are ISO 8601 in UTC.
 */

/** What a supra-administrator may set. */
export interface SettingView {
  key: string;
  /** Secrets in it are not shown. */
  value: unknown;
  isDefault: boolean;
  about: string;
}

/** A line of what an operation did. */
export interface OperationLogView {
  id: string;
  at: string;
  /** Name of the step; null about the operation as a whole. */
  step: string | null;
  level: 'info' | 'warn' | 'error';
  text: string;
}

export interface OperationLogPage {
  items: OperationLogView[];
  /** Where the next page begins: there may be more of it later, until `ended`. */
  nextCursor: string;
  /** The operation has ended, and nothing comes after this page. */
  ended: boolean;
}

export interface WebhookView {
  id: string;
  /** Null: it gets the events of the whole cluster. */
  tenant: string | null;
  url: string;
  /** Kinds of events; a star stands for any ending. */
  events: string[];
  description: string;
  enabled: boolean;
  state: 'ok' | 'retrying' | 'disabled';
  pending: number;
  /** Given up and not delivered; to be sent again on demand. */
  dead: number;
  /** Failed attempts since the last success. */
  failures: number;
  lastSuccessAt: string | null;
  lastError: string | null;
  createdBy: string;
  createdAt: string;
}

/** The secret is shown in the answer to the creation, and never again. */
export interface NewWebhookView extends WebhookView {
  secret: string;
}

export interface WebhookDeliveryView {
  id: string;
  webhook: string;
  /** Number of the event. */
  event: string;
  kind: string;
  state: 'pending' | 'delivered' | 'dead';
  attempts: number;
  /** HTTP status of the last attempt, where there was an answer. */
  status: number | null;
  error: string | null;
  createdAt: string;
  endedAt: string | null;
}

export interface WebhookTestView {
  delivered: boolean;
  status: number | null;
  error: string | null;
  milliseconds: number;
}

export const ALERT_METRICS = [
  'node.down',
  'node.cpu',
  'node.memory',
  'node.disk',
  'tenant.quota',
  'drvm.cpu',
  'drvm.memory',
  'drvm.degraded',
  'operation.failed',
  'power.failed',
  'webhook.dead',
] as const;
export type AlertMetric = (typeof ALERT_METRICS)[number];
export const ALERT_SEVERITIES = ['info', 'warning', 'critical'] as const;
export type AlertSeverity = (typeof ALERT_SEVERITIES)[number];

export interface AlertRuleView {
  id: string;
  name: string;
  tenant: string | null;
  metric: AlertMetric;
  comparison: 'above' | 'below';
  threshold: number;
  /** It ends only when the value is on the other side of this. */
  clearThreshold: number;
  forSeconds: number;
  severity: AlertSeverity;
  /** For instance `node/node1`; null: all that the rule may see. */
  subject: string | null;
  mailTo: string[];
  webhooks: string[];
  enabled: boolean;
  isDefault: boolean;
  createdBy: string;
  createdAt: string;
}

export interface AlertView {
  id: string;
  rule: string;
  metric: AlertMetric;
  severity: AlertSeverity;
  tenant: string | null;
  subject: string;
  state: 'pending' | 'firing' | 'resolved';
  value: number | null;
  threshold: number;
  since: string;
  firedAt: string | null;
  resolvedAt: string | null;
  silencedUntil: string | null;
}

export const TELEMETRY_METRICS = ['cpu', 'memoryMiB', 'diskGiB', 'networkMbps', 'load', 'processes'] as const;
export type TelemetryMetric = (typeof TELEMETRY_METRICS)[number];

/** Of a node, or of what a DRVM has on a node. `cpu` in vCPUs. */
export interface TelemetrySeries {
  node: string;
  drvm: string | null;
  metric: TelemetryMetric;
  /** Start of each step, mean and greatest value in it. Steps without a sample are left out. */
  points: { at: string; mean: number; max: number }[];
}

export interface TelemetryView {
  from: string;
  to: string;
  stepSeconds: number;
  /** Seconds between the samples that it was made from. */
  resolutionSeconds: number;
  series: TelemetrySeries[];
}

/** What was held, and what was used of it. */
export interface UsageRow {
  tenant: string;
  /** Null when summed over DRVMs. */
  drvm: string | null;
  /** `2026-11-24`, in UTC; null when summed over days. */
  day: string | null;
  /** Guaranteed, by the time it was. */
  coreHours: number;
  memoryGiBHours: number;
  diskGiBHours: number;
  networkMbpsHours: number;
  /** Measured. */
  usedCoreHours: number;
  usedMemoryGiBHours: number;
  readBytes: number;
  writtenBytes: number;
  ioOperations: number;
  receivedBytes: number;
  sentBytes: number;
  /** Null where nothing measures or reckons it. */
  energyKWh: number | null;
}

export interface UsageView {
  from: string;
  to: string;
  by: 'tenant' | 'drvm' | 'day';
  items: UsageRow[];
  total: Omit<UsageRow, 'tenant' | 'drvm' | 'day'>;
}
