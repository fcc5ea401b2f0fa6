import type { AlertMetric } from '@drvs/contracts';
import type { Transaction } from '../database/database.js';

/** One value of a metric. */
export interface Measurement {
  /** For instance `node/node1`, `drvm/physics/fisica`, `tenant/physics`. */
  subject: string;
  tenantId: string | null;
  value: number;
}

/** What is counted over a time is counted over this one. */
const WINDOW = '15 minutes';
/** The metrics, and what each value means. Those of nodes are for rules of the cluster; a tenant has no nodes. */
export const METRIC_MEANING: Readonly<Record<AlertMetric, string>> = {
  'node.down': 'seconds since the node was heard last, if it is to be on',
  'node.cpu': 'per cent of its vCPUs in use',
  'node.memory': 'per cent of its memory in use',
  'node.disk': 'per cent of its disk in use',
  'tenant.quota': 'per cent of the quota that is given, of the class of which the most is',
  'drvm.cpu': 'per cent of its guaranteed vCPUs in use',
  'drvm.memory': 'per cent of its guaranteed memory in use',
  'drvm.degraded': '1 while it is degraded or has failed, else 0',
  'operation.failed': 'operations that failed within 15 minutes',
  'power.failed': 'times within 15 minutes that a node was not switched as it should',
  'webhook.dead': 'deliveries given up and not sent again',
};

const SQL: Readonly<Record<AlertMetric, string>> = {
  'node.down': `SELECT 'node/' || name AS subject, NULL::text AS tenant_id,
    greatest(0, extract(epoch FROM now() - last_seen_at))::float8 AS value
    FROM node WHERE last_seen_at IS NOT NULL AND wanted_state <> 'off'`,
  'node.cpu': ofNode('cpuMilli'),
  'node.memory': ofNode('memoryMiB'),
  'node.disk': ofNode('diskGiB'),
  'tenant.quota': `SELECT 'tenant/' || t.name AS subject, t.id::text AS tenant_id, greatest(
      100.0 * coalesce(sum(s.cpu_milli), 0) / nullif(t.quota_cpu_milli, 0),
      100.0 * coalesce(sum(s.memory_mib), 0) / nullif(t.quota_memory_mib, 0),
      100.0 * coalesce(sum(s.disk_gib), 0) / nullif(t.quota_disk_gib, 0),
      100.0 * coalesce(sum(s.network_mbps), 0) / nullif(t.quota_network_mbps, 0), 0)::float8 AS value
    FROM tenant t LEFT JOIN slice s ON s.tenant_id = t.id GROUP BY t.id`,
  'drvm.cpu': ofDrvm('100.0 * sum(s.used_cpu_milli) / nullif(sum(s.cpu_milli), 0)'),
  'drvm.memory': ofDrvm('100.0 * sum(s.used_memory_mib) / nullif(sum(s.memory_mib), 0)'),
  'drvm.degraded': `SELECT 'drvm/' || t.name || '/' || d.name AS subject, d.tenant_id::text AS tenant_id,
    (CASE WHEN d.state IN ('degraded', 'failed') THEN 1 ELSE 0 END)::float8 AS value
    FROM drvm d JOIN tenant t ON t.id = d.tenant_id`,
  'operation.failed': `SELECT CASE WHEN t.name IS NULL THEN 'cluster' ELSE 'tenant/' || t.name END AS subject,
    o.tenant_id::text AS tenant_id, count(*)::float8 AS value
    FROM operation o LEFT JOIN tenant t ON t.id = o.tenant_id
    WHERE o.ended_at > now() - interval '${WINDOW}' AND o.state IN ('failed', 'compensated') GROUP BY o.tenant_id, t.name`,
  'power.failed': `SELECT 'node/' || coalesce(node, '-') AS subject, NULL::text AS tenant_id, count(*)::float8 AS value
    FROM event WHERE kind IN ('node.power-failed', 'node.quarantined') AND at > now() - interval '${WINDOW}' GROUP BY node`,
  'webhook.dead': `SELECT 'webhook/' || webhook_id AS subject, tenant_id::text AS tenant_id, count(*)::float8 AS value
    FROM webhook_delivery WHERE state = 'dead' GROUP BY webhook_id, tenant_id`,
};

export async function measure(tx: Transaction, metric: AlertMetric): Promise<Measurement[]> {
  const rows = await tx.$queryRawUnsafe<
    { subject: string; tenant_id: string | null; value: number | null }[]
  >(SQL[metric]);
  return rows.map(({ subject, tenant_id, value }) => ({ subject, tenantId: tenant_id, value: value ?? 0 }));
}

function ofNode(name: 'cpuMilli' | 'memoryMiB' | 'diskGiB'): string {
  return `SELECT 'node/' || n.name AS subject, NULL::text AS tenant_id,
    (100.0 * (n.used ->> '${name}')::float8 / nullif((n.inventory -> 'host' ->> '${name}')::float8, 0))::float8 AS value
    FROM node n WHERE n.last_seen_at > now() - interval '1 minute'`;
}

function ofDrvm(value: string): string {
  return `SELECT 'drvm/' || t.name || '/' || d.name AS subject, d.tenant_id::text AS tenant_id, (${value})::float8 AS value
    FROM drvm d JOIN tenant t ON t.id = d.tenant_id JOIN slice s ON s.drvm_id = d.id
    WHERE d.state = 'running' GROUP BY d.id, t.name`;
}
