import { type AlertMetric, type AlertSeverity, NODE_DOWN_AFTER_MS } from '@drvs/contracts';

export interface DefaultRule {
  name: string;
  metric: AlertMetric;
  threshold: number;
  clearThreshold: number;
  forSeconds: number;
  severity: AlertSeverity;
}

/** What every installation watches over from its first start. They may be changed and switched off, and stay so. */
export const DEFAULT_RULES: readonly DefaultRule[] = [
  {
    name: 'node-down',
    metric: 'node.down',
    threshold: (2 * NODE_DOWN_AFTER_MS) / 1_000,
    clearThreshold: NODE_DOWN_AFTER_MS / 1_000,
    forSeconds: 0,
    severity: 'critical',
  },
  {
    name: 'disk-full',
    metric: 'node.disk',
    threshold: 90,
    clearThreshold: 85,
    forSeconds: 300,
    severity: 'warning',
  },
  {
    name: 'quota-nearly-used',
    metric: 'tenant.quota',
    threshold: 90,
    clearThreshold: 85,
    forSeconds: 60,
    severity: 'info',
  },
  {
    name: 'operation-failed',
    metric: 'operation.failed',
    threshold: 0,
    clearThreshold: 0,
    forSeconds: 0,
    severity: 'warning',
  },
  {
    name: 'power-failed',
    metric: 'power.failed',
    threshold: 0,
    clearThreshold: 0,
    forSeconds: 0,
    severity: 'critical',
  },
];
