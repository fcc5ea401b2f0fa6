import { columnsOf } from '../database/columns.js';
import { Prisma, type Tenant } from '../gen/client.js';

/** A tenant after its quota was changed, or as it was when somebody else had changed it before. */
export type ChangedTenant = Tenant & {
  generationBefore: number;
  usedCpuMilli: number;
  usedMemoryMiB: number;
  usedDiskGiB: number;
  usedNetworkMbps: number;
  /** By type. */
  usedDevices: Record<string, number>;
};

/**
 * A change of a quota with its entry in the audit, as one statement: the chain of the audit is locked for no longer
 * than the database needs to write both down.
 *
 * Parameters: the tenant's id or its name; the generation that was read, or null; for each class whether it is
 * changed, and to what; who changes it; the details for the audit. No row when there is no such tenant; unchanged, with
 * its generation before, when that is not the one that was read.
 */
export const CHANGE_QUOTA = {
  name: 'tenant-change-quota',
  text: `
    WITH before AS MATERIALIZED (
      SELECT * FROM tenant WHERE id = $1::uuid OR name = $2 FOR UPDATE
    ), changed AS MATERIALIZED (
      UPDATE tenant SET
        quota_cpu_milli = CASE WHEN $4::boolean THEN $5::int ELSE before.quota_cpu_milli END,
        quota_memory_mib = CASE WHEN $6::boolean THEN $7::int ELSE before.quota_memory_mib END,
        quota_disk_gib = CASE WHEN $8::boolean THEN $9::int ELSE before.quota_disk_gib END,
        quota_network_mbps = CASE WHEN $10::boolean THEN $11::int ELSE before.quota_network_mbps END,
        generation = before.generation + 1
      FROM before
      WHERE tenant.id = before.id AND ($3::int IS NULL OR before.generation = $3::int)
      RETURNING tenant.*
    ), written AS MATERIALIZED (
      SELECT audit_append($12, 'tenant.quota', 'tenant/' || name, id, $13::jsonb) FROM changed
    ), now AS (
      SELECT * FROM changed UNION ALL SELECT * FROM before WHERE NOT EXISTS (SELECT FROM changed)
    )
    SELECT ${columnsOf('tenant', 'now', Object.keys(Prisma.TenantScalarFieldEnum))},
      before.generation AS "generationBefore",
      used.cpu AS "usedCpuMilli", used.memory AS "usedMemoryMiB", used.disk AS "usedDiskGiB",
      used.network AS "usedNetworkMbps", held.devices AS "usedDevices", (SELECT count(*) FROM written)::int AS "entries"
    FROM now, before, LATERAL (
      SELECT coalesce(sum(cpu_milli), 0)::float8 AS cpu, coalesce(sum(memory_mib), 0)::float8 AS memory,
        coalesce(sum(disk_gib), 0)::float8 AS disk, coalesce(sum(network_mbps), 0)::float8 AS network
      FROM slice WHERE tenant_id = now.id
    ) AS used, LATERAL (
      SELECT coalesce(jsonb_object_agg(type, many), '{}') AS devices FROM (
        SELECT d.type, count(*)::int AS many FROM device_allocation a JOIN device d ON d.id = a.device_id
        WHERE a.tenant_id = now.id GROUP BY d.type
      ) AS by_type
    ) AS held`,
} as const;
