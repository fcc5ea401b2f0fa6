import { DrvsError, type UsageRow, type UsageView } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { Gauge, Registry } from 'prom-client';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';
import { JOULES_PER_KWH } from '../energy/energy-account.js';
import { findTenant } from '../tenants/tenants.service.js';
import { dayOf, HeldIntegral, type HeldSpan, keyOf, keyText, type UsageKey } from './integrate.js';

const MAX_DAYS = 800;
const DAY_MS = 86_400_000;
/** Spans read at once: however many there are, only so many are in memory. */
const SPANS_AT_ONCE = 5_000;
const MS_PER_HOUR = 3_600_000;

export const USAGE_BY = ['tenant', 'drvm', 'day'] as const;
export const UsageQuery = z.object({
  tenant: z.string().max(100).optional(),
  /** Without it the first of this month, in UTC. */
  from: z.coerce.date().optional(),
  /** Without it now. */
  to: z.coerce.date().optional(),
  by: z.enum(USAGE_BY).default('tenant'),
  format: z.enum(['json', 'csv']).default('json'),
});
export type UsageQuery = Pick<z.infer<typeof UsageQuery>, 'tenant' | 'from' | 'to' | 'by'>;

interface SpanRow {
  id: bigint;
  tenant: string;
  drvm: string;
  cpu_milli: number;
  memory_mib: number;
  disk_gib: number;
  network_mbps: number;
  from_at: Date;
  to_at: Date | null;
}
interface MeasuredRow {
  tenant: string;
  drvm: string;
  day: Date;
  cpu_ms: number;
  memory_mib_ms: number;
  read_bytes: number;
  written_bytes: number;
  io_operations: number;
  received_bytes: number;
  sent_bytes: number;
}
interface EnergyRow {
  tenant: string;
  drvm: string;
  day: Date;
  joules: number;
}
interface Window {
  from: Date;
  to: Date;
  now: Date;
  tenantId: string | null;
}

/**
 * What departments held and used. What was held is exact to the millisecond; what was measured is summed by the hour,
 * and counts with the hours that begin in the time asked for.
 */
@Injectable()
export class UsageService {
  constructor(private readonly database: Database) {}

  async usage(actor: Actor, query: UsageQuery): Promise<UsageView> {
    requirePermission(actor, 'usage:read');
    return this.database.as(actor, async (tx) => {
      const window = await windowOf(tx, query);
      const rows = new Map<string, UsageRow>();
      const rowOf = (key: UsageKey): UsageRow => {
        const name = keyText(key);
        const row = rows.get(name) ?? { ...key, ...NOTHING };
        rows.set(name, row);
        return row;
      };
      const integral = new HeldIntegral(
        { from: window.from.getTime(), to: window.to.getTime() },
        query.by,
        window.now.getTime(),
      );
      for await (const span of spansOf(tx, window)) integral.add(span);
      for (const { key, held } of integral.rows()) Object.assign(rowOf(key), held);
      for (const measured of await measuredOf(tx, window)) {
        addMeasured(
          rowOf(keyOf(query.by, measured.tenant, measured.drvm, dayOf(measured.day.getTime()))),
          measured,
        );
      }
      for (const { tenant, drvm, day, joules } of await energyOf(tx, window)) {
        const row = rowOf(keyOf(query.by, tenant, drvm, dayOf(day.getTime())));
        row.energyKWh = (row.energyKWh ?? 0) + joules / JOULES_PER_KWH;
      }
      const items = [...rows.values()].sort(byKey).map(rounded);
      return {
        from: window.from.toISOString(),
        to: window.to.toISOString(),
        by: query.by,
        items,
        total: totalOf(items),
      };
    });
  }

  /** Departments by name, in the text format of Prometheus: for those who may see them. */
  async metrics(actor: Actor): Promise<string> {
    const { items } = await this.usage(actor, { by: 'tenant', from: new Date(Date.now() - 90 * DAY_MS) });
    const registry = new Registry();
    const gauge = (name: string, help: string, value: (row: UsageRow) => number | null): void => {
      const made = new Gauge({ name, help, labelNames: ['tenant'], registers: [registry] });
      for (const row of items) {
        const found = value(row);
        if (found !== null) made.set({ tenant: row.tenant }, found);
      }
    };
    gauge('drvs_tenant_core_hours', 'Guaranteed, over 90 days', (row) => row.coreHours);
    gauge('drvs_tenant_memory_gib_hours', 'Guaranteed, over 90 days', (row) => row.memoryGiBHours);
    gauge('drvs_tenant_disk_gib_hours', 'Guaranteed, over 90 days', (row) => row.diskGiBHours);
    gauge('drvs_tenant_used_core_hours', 'Measured, over 90 days', (row) => row.usedCoreHours);
    gauge('drvs_tenant_used_memory_gib_hours', 'Measured, over 90 days', (row) => row.usedMemoryGiBHours);
    gauge(
      'drvs_tenant_disk_bytes',
      'Read and written, over 90 days',
      (row) => row.readBytes + row.writtenBytes,
    );
    gauge('drvs_tenant_disk_operations', 'Reads and writes, over 90 days', (row) => row.ioOperations);
    gauge(
      'drvs_tenant_network_bytes',
      'Received and sent, over 90 days',
      (row) => row.receivedBytes + row.sentBytes,
    );
    gauge('drvs_tenant_network_received_bytes', 'From peers, over 90 days', (row) => row.receivedBytes);
    gauge('drvs_tenant_network_sent_bytes', 'To peers, over 90 days', (row) => row.sentBytes);
    gauge('drvs_tenant_disk_read_bytes', 'Over 90 days', (row) => row.readBytes);
    gauge('drvs_tenant_disk_written_bytes', 'Over 90 days', (row) => row.writtenBytes);
    gauge('drvs_tenant_energy_kwh', 'Its share of what the nodes drew, over 90 days', (row) => row.energyKWh);
    const held = await this.database.as(
      actor,
      (tx) => tx.$queryRaw<
        { tenant: string; cpu: number; memory: number; used_cpu: number; used_memory: number }[]
      >`
        SELECT t.name AS tenant, sum(s.cpu_milli)::float8 AS cpu, sum(s.memory_mib)::float8 AS memory,
          sum(s.used_cpu_milli)::float8 AS used_cpu, sum(s.used_memory_mib)::float8 AS used_memory
        FROM slice s JOIN tenant t ON t.id = s.tenant_id GROUP BY t.name`,
    );
    const now = new Gauge({
      name: 'drvs_tenant_now',
      help: 'Now: guaranteed and used, cpu in vCPUs and memory in MiB',
      labelNames: ['tenant', 'class', 'what'],
      registers: [registry],
    });
    for (const { tenant, cpu, memory, used_cpu, used_memory } of held) {
      now.set({ tenant, class: 'cpu', what: 'guaranteed' }, cpu / 1_000);
      now.set({ tenant, class: 'cpu', what: 'used' }, used_cpu / 1_000);
      now.set({ tenant, class: 'memoryMiB', what: 'guaranteed' }, memory);
      now.set({ tenant, class: 'memoryMiB', what: 'used' }, used_memory);
    }
    return registry.metrics();
  }
}

const NOTHING: Omit<UsageRow, keyof UsageKey> = {
  coreHours: 0,
  memoryGiBHours: 0,
  diskGiBHours: 0,
  networkMbpsHours: 0,
  usedCoreHours: 0,
  usedMemoryGiBHours: 0,
  readBytes: 0,
  writtenBytes: 0,
  ioOperations: 0,
  receivedBytes: 0,
  sentBytes: 0,
  energyKWh: null,
};

/** By the database's clock, which the spans are written with. */
async function windowOf(tx: Transaction, { from, to, tenant }: UsageQuery): Promise<Window> {
  const [clock] = await tx.$queryRaw<
    { now: Date }[]
  >`SELECT date_trunc('milliseconds', clock_timestamp()) AS now`;
  const now = clock!.now;
  const end = to ?? now;
  const begin = from ?? new Date(Date.UTC(end.getUTCFullYear(), end.getUTCMonth(), 1));
  if (begin >= end)
    throw new DrvsError('InvalidInput', 'the time asked for ends before it begins', { field: 'from' });
  if (end.getTime() - begin.getTime() > MAX_DAYS * DAY_MS) {
    throw new DrvsError('InvalidInput', `usage is summed over ${MAX_DAYS} days at most`, { field: 'from' });
  }
  const tenantId = tenant === undefined ? null : (await findTenant(tx, tenant)).id;
  return { from: begin, to: end, now, tenantId };
}

async function* spansOf(tx: Transaction, { from, to, tenantId }: Window): AsyncGenerator<HeldSpan> {
  for (let last = 0n; ; ) {
    const rows = await tx.$queryRaw<SpanRow[]>`
      SELECT id, tenant, drvm, cpu_milli, memory_mib, disk_gib, network_mbps, from_at, to_at FROM usage_span
      WHERE id > ${last} AND from_at < ${to} AND (to_at IS NULL OR to_at > ${from})
        AND (${tenantId}::uuid IS NULL OR tenant_id = ${tenantId}::uuid)
      ORDER BY id LIMIT ${SPANS_AT_ONCE}`;
    for (const row of rows) {
      yield {
        tenant: row.tenant,
        drvm: row.drvm,
        cpuMilli: row.cpu_milli,
        memoryMiB: row.memory_mib,
        diskGiB: row.disk_gib,
        networkMbps: row.network_mbps,
        from: row.from_at.getTime(),
        to: row.to_at?.getTime() ?? null,
      };
    }
    if (rows.length < SPANS_AT_ONCE) return;
    last = rows.at(-1)!.id;
  }
}

const measuredOf = (tx: Transaction, { from, to, tenantId }: Window): Promise<MeasuredRow[]> =>
  tx.$queryRaw<MeasuredRow[]>`
    SELECT tenant, drvm, date_trunc('day', hour, 'UTC') AS day, sum(cpu_ms) AS cpu_ms, sum(memory_mib_ms) AS memory_mib_ms,
      sum(read_bytes) AS read_bytes, sum(written_bytes) AS written_bytes, sum(io_operations) AS io_operations,
      sum(received_bytes) AS received_bytes, sum(sent_bytes) AS sent_bytes
    FROM usage_measured WHERE hour >= date_trunc('hour', ${from}::timestamptz, 'UTC') AND hour < ${to}
      AND (${tenantId}::uuid IS NULL OR tenant_id = ${tenantId}::uuid)
    GROUP BY 1, 2, 3`;

/** What the nodes drew is divided over the DRVMs by the hour. */
const energyOf = (tx: Transaction, { from, to, tenantId }: Window): Promise<EnergyRow[]> =>
  tx.$queryRaw<EnergyRow[]>`
    SELECT t.name AS tenant, e.drvm, date_trunc('day', e.hour, 'UTC') AS day, sum(e.joules) AS joules
    FROM energy_share e JOIN tenant t ON t.id = e.tenant_id
    WHERE e.hour >= date_trunc('hour', ${from}::timestamptz, 'UTC') AND e.hour < ${to}
      AND (${tenantId}::uuid IS NULL OR e.tenant_id = ${tenantId}::uuid)
    GROUP BY 1, 2, 3`;

function addMeasured(row: UsageRow, measured: MeasuredRow): void {
  row.usedCoreHours += measured.cpu_ms / MS_PER_HOUR;
  row.usedMemoryGiBHours += measured.memory_mib_ms / 1_024 / MS_PER_HOUR;
  row.readBytes += measured.read_bytes;
  row.writtenBytes += measured.written_bytes;
  row.ioOperations += measured.io_operations;
  row.receivedBytes += measured.received_bytes;
  row.sentBytes += measured.sent_bytes;
}

function totalOf(items: readonly UsageRow[]): UsageView['total'] {
  const total: UsageView['total'] = { ...NOTHING };
  for (const item of items) {
    for (const name of Object.keys(NOTHING) as (keyof UsageView['total'])[]) {
      const value = item[name];
      if (value !== null) total[name] = (total[name] ?? 0) + value;
    }
  }
  return rounded(total);
}

/** To a billionth: what is left beyond it is the noise of binary fractions. */
function rounded<T extends object>(row: T): T {
  const entries = Object.entries(row).map(([name, value]) => [
    name,
    typeof value === 'number' ? Math.round(value * 1e9) / 1e9 : value,
  ]);
  return Object.fromEntries(entries) as T;
}

const byKey = (a: UsageKey, b: UsageKey): number =>
  a.tenant.localeCompare(b.tenant) ||
  (a.day ?? '').localeCompare(b.day ?? '') ||
  (a.drvm ?? '').localeCompare(b.drvm ?? '');
