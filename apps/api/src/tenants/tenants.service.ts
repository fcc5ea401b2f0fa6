import {
  type Amounts,
  DrvsError,
  NO_RESOURCES,
  type Page,
  type ResourceAmounts,
  type TenantView,
} from '@drvs/contracts';
import { dominantShare } from '@drvs/policy';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { cpuToMilli, toAmounts } from '../allocations/amounts.js';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';
import { sqlState, UNIQUE_VIOLATION } from '../database/sql-state.js';
import type { Prisma, Tenant } from '../gen/client.js';
import { requireGeneration } from '../http/etag.js';
import { decodeCursor, type PageQuery, pageOf } from '../http/paging.js';
import { byReference, isId } from '../http/reference.js';
import { CHANGE_QUOTA, type ChangedTenant } from './change-quota.js';
import { clusterTotals } from './cluster-totals.js';
import { DeviceQuota, deviceQuotaOf, devicesByTenant, MAX_DEVICE_TYPES } from './device-quota.js';

const NAME_PATTERN = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
export const Name = z
  .string()
  .regex(
    NAME_PATTERN,
    'a name has 1 to 63 of the characters a-z, 0-9 and -, and begins and ends with a letter or digit',
  );

const MAX_AMOUNT = 2_000_000_000;
const MAX_WEIGHT = 1_000;
/** Shares are told of what the cluster had so long ago at most. */
const TOTALS_KEPT_MS = 2_000;
const limit = z.int().min(0).max(MAX_AMOUNT).nullable().optional();
/** A class that is left out stays as it was; null lifts its limit. */
const Quota = z.strictObject({
  cpu: z
    .number()
    .min(0)
    .max(MAX_AMOUNT / 1000)
    .nullable()
    .optional(),
  memoryMiB: limit,
  diskGiB: limit,
  networkMbps: limit,
});
type Quota = z.infer<typeof Quota>;

const Weight = z.number().gt(0).max(MAX_WEIGHT);
export const NewTenant = z.strictObject({
  name: Name,
  quota: Quota.default({}),
  devices: DeviceQuota.default({}),
  weight: Weight.default(1),
});
/** What is left out stays; a type of device that is null has no limit any more. */
export const TenantChange = z.strictObject({
  quota: Quota.optional(),
  devices: z.record(z.string().max(40), z.int().min(0).max(100_000).nullable()).optional(),
  weight: Weight.optional(),
});

/** Departments and their quotas. */
@Injectable()
export class TenantsService {
  #totalsRead: { at: number; totals: Promise<Readonly<Record<string, number>>> } | null = null;

  constructor(
    private readonly database: Database,
    private readonly audit: AuditService,
  ) {}

  async list(actor: Actor, { limit, cursor }: PageQuery): Promise<Page<TenantView>> {
    requirePermission(actor, 'tenant:read');
    const after = decodeCursor(cursor);
    return this.database.as(actor, async (tx) => {
      const rows = await tx.tenant.findMany({
        where: after === null ? {} : { name: { gt: after } },
        orderBy: { name: 'asc' },
        take: limit + 1,
      });
      const views = await this.#views(tx, rows);
      return pageOf(
        rows,
        limit,
        (row) => row.name,
        (row) => views.get(row.id) as TenantView,
      );
    });
  }

  async show(actor: Actor, reference: string): Promise<TenantView> {
    requirePermission(actor, 'tenant:read');
    return this.database.as(actor, async (tx) => {
      return this.#view(tx, await findTenant(tx, reference));
    });
  }

  async create(
    actor: Actor,
    { name, quota, devices, weight }: z.infer<typeof NewTenant>,
  ): Promise<TenantView> {
    requirePermission(actor, 'tenant:write');
    try {
      return await this.database.as(actor, async (tx) => {
        const data = { name, ...quotaColumns(quota), quotaDevices: devices, weight };
        const row = await tx.tenant.create({ data });
        await this.audit.append(tx, actor, 'tenant.create', `tenant/${name}`, row.id, {
          quota,
          devices,
          weight,
        });
        return this.#view(tx, row);
      });
    } catch (error) {
      if (sqlState(error) !== UNIQUE_VIOLATION) throw error;
      throw new DrvsError('AlreadyExists', `there is a tenant named ${name}`, {
        field: 'name',
        cause: error,
      });
    }
  }

  /** A quota below what is held stops new requests and takes nothing away. */
  async change(
    actor: Actor,
    reference: string,
    change: z.infer<typeof TenantChange>,
    generation: number | null,
  ): Promise<TenantView> {
    requirePermission(actor, 'tenant:write');
    const { quota = {}, devices, weight } = change;
    if (devices !== undefined || weight !== undefined) return this.#set(actor, reference, change, generation);
    const columns = quotaColumns(quota);
    const [row] = await this.database.change<ChangedTenant>(actor, CHANGE_QUOTA, [
      isId(reference) ? reference : null,
      isId(reference) ? null : reference,
      generation,
      ...[
        columns.quotaCpuMilli,
        columns.quotaMemoryMiB,
        columns.quotaDiskGiB,
        columns.quotaNetworkMbps,
      ].flatMap((value) => [value !== undefined, value ?? null]),
      actorLabel(actor),
      JSON.stringify({ quota }),
    ]);
    if (!row) throw noTenant(reference);
    requireGeneration(`the tenant ${row.name}`, generation, row.generationBefore);
    const { usedCpuMilli, usedMemoryMiB, usedDiskGiB, usedNetworkMbps, usedDevices } = row;
    const used = {
      cpuMilli: usedCpuMilli,
      memoryMiB: usedMemoryMiB,
      diskGiB: usedDiskGiB,
      networkMbps: usedNetworkMbps,
    };
    return viewOf(row, used, usedDevices, await this.#totals());
  }

  /** Weight and limits of devices, which are changed seldom. */
  async #set(
    actor: Actor,
    reference: string,
    { quota, devices, weight }: z.infer<typeof TenantChange>,
    generation: number | null,
  ): Promise<TenantView> {
    return this.database.as(actor, async (tx) => {
      const { id } = await findTenant(tx, reference);
      await tx.$queryRaw`SELECT 1 FROM tenant WHERE id = ${id}::uuid FOR UPDATE`;
      const before = await tx.tenant.findUniqueOrThrow({ where: { id } });
      requireGeneration(`the tenant ${before.name}`, generation, before.generation);
      const row = await tx.tenant.update({
        where: { id },
        data: {
          ...(quota ? quotaColumns(quota) : {}),
          ...(devices ? { quotaDevices: changedDeviceQuota(deviceQuotaOf(before), devices) } : {}),
          weight,
          generation: { increment: 1 },
        },
      });
      await this.audit.append(tx, actor, 'tenant.set', `tenant/${row.name}`, id, { quota, devices, weight });
      return this.#view(tx, row);
    });
  }

  async #view(tx: Transaction, row: Tenant): Promise<TenantView> {
    return (await this.#views(tx, [row])).get(row.id) as TenantView;
  }

  async #views(tx: Transaction, rows: readonly Tenant[]): Promise<Map<string, TenantView>> {
    const ids = rows.map(({ id }) => id);
    const used = await usedByTenant(tx, ids);
    const devices = await devicesByTenant(tx, ids);
    const there = await this.#totals();
    return new Map(rows.map((row) => [row.id, viewOf(row, used.get(row.id), devices.get(row.id), there)]));
  }

  /** What the cluster has in all is not for departments to read; their part of it is. */
  async #totals(): Promise<Readonly<Record<string, number>>> {
    const now = Date.now();
    if (this.#totalsRead === null || now - this.#totalsRead.at > TOTALS_KEPT_MS) {
      this.#totalsRead = { at: now, totals: clusterTotals(this.database.unrestricted) };
      this.#totalsRead.totals.catch(() => {
        this.#totalsRead = null;
      });
    }
    return this.#totalsRead.totals;
  }

  async remove(actor: Actor, reference: string, generation: number | null): Promise<void> {
    requirePermission(actor, 'tenant:write');
    await this.database.as(actor, async (tx) => {
      const row = await findTenant(tx, reference);
      requireGeneration(`the tenant ${row.name}`, generation, row.generation);
      const [drvms, users] = [
        await tx.drvm.count({ where: { tenantId: row.id } }),
        await tx.user.count({ where: { tenantId: row.id } }),
      ];
      if (drvms > 0 || users > 0) {
        throw new DrvsError(
          'StateConflict',
          `the tenant ${row.name} still has ${drvms} DRVMs and ${users} users`,
          {
            hint: 'Delete or move them first.',
            details: { drvms, users },
          },
        );
      }
      await tx.tenant.delete({ where: { id: row.id } });
      await this.audit.append(tx, actor, 'tenant.delete', `tenant/${row.name}`, null, {});
    });
  }
}

/** @throws DrvsError NotFound, also for a tenant that the transaction's actor may not see. */
export async function findTenant(tx: Transaction, reference: string): Promise<Tenant> {
  const row = await tx.tenant.findFirst({ where: byReference(reference) });
  if (row) return row;
  throw noTenant(reference);
}

const TENANT_BY_ID = { name: 'tenant-by-id', text: 'SELECT id, name FROM tenant WHERE id = $1::uuid' };
const TENANT_BY_NAME = { name: 'tenant-by-name', text: 'SELECT id, name FROM tenant WHERE name = $1' };

/** As `findTenant`, by one statement, for what is asked often. @throws DrvsError NotFound */
export async function readTenant(
  database: Database,
  actor: Actor,
  reference: string,
): Promise<{ id: string; name: string }> {
  const statement = isId(reference) ? TENANT_BY_ID : TENANT_BY_NAME;
  const [row] = await database.read<{ id: string; name: string }>(actor, statement, [reference]);
  if (row) return row;
  throw noTenant(reference);
}

const noTenant = (reference: string): DrvsError =>
  new DrvsError('NotFound', `there is no tenant ${reference}`, {
    field: 'tenant',
    hint: 'See `drvs tenant list`.',
  });

/** What the DRVMs of each tenant hold. */
export async function usedByTenant(tx: Transaction, ids: string[]): Promise<Map<string, ResourceAmounts>> {
  const rows = await tx.slice.groupBy({
    by: ['tenantId'],
    where: { tenantId: { in: ids } },
    _sum: { cpuMilli: true, memoryMiB: true, diskGiB: true, networkMbps: true },
  });
  return new Map(
    rows.map(({ tenantId, _sum }) => [
      tenantId,
      {
        cpuMilli: _sum.cpuMilli ?? 0,
        memoryMiB: _sum.memoryMiB ?? 0,
        diskGiB: _sum.diskGiB ?? 0,
        networkMbps: _sum.networkMbps ?? 0,
      },
    ]),
  );
}

/** What the DRVMs of one tenant hold. */
export async function usedBy(tx: Transaction, tenantId: string): Promise<ResourceAmounts> {
  return (await usedByTenant(tx, [tenantId])).get(tenantId) ?? NO_RESOURCES;
}

/** The tenant's limit of each class; null is no limit. */
export function quotaOf(row: Tenant): Record<keyof ResourceAmounts, number | null> {
  return {
    cpuMilli: row.quotaCpuMilli,
    memoryMiB: row.quotaMemoryMiB,
    diskGiB: row.quotaDiskGiB,
    networkMbps: row.quotaNetworkMbps,
  };
}

function quotaColumns({ cpu, memoryMiB, diskGiB, networkMbps }: Quota) {
  return {
    quotaCpuMilli: cpu === null || cpu === undefined ? cpu : cpuToMilli(cpu),
    quotaMemoryMiB: memoryMiB,
    quotaDiskGiB: diskGiB,
    quotaNetworkMbps: networkMbps,
  } satisfies Prisma.TenantUpdateInput;
}

function viewOf(
  row: Tenant,
  used: ResourceAmounts = NO_RESOURCES,
  devices: Record<string, number> = {},
  there: Readonly<Record<string, number>> = {},
): TenantView {
  const quota: Partial<Amounts> = {};
  if (row.quotaCpuMilli !== null) quota.cpu = row.quotaCpuMilli / 1000;
  if (row.quotaMemoryMiB !== null) quota.memoryMiB = row.quotaMemoryMiB;
  if (row.quotaDiskGiB !== null) quota.diskGiB = row.quotaDiskGiB;
  if (row.quotaNetworkMbps !== null) quota.networkMbps = row.quotaNetworkMbps;
  const { share, class: dominant } = dominantShare({ ...used, ...devices }, there);
  return {
    id: row.id,
    name: row.name,
    quota,
    used: toAmounts(used),
    devices: { quota: deviceQuotaOf(row), used: devices },
    weight: row.weight,
    dominantShare: { share: Math.round(share * 10_000) / 10_000, class: dominant },
    generation: row.generation,
  };
}

function changedDeviceQuota(
  before: Readonly<Record<string, number>>,
  change: Readonly<Record<string, number | null>>,
): Record<string, number> {
  const after: Record<string, number> = { ...before };
  for (const [type, most] of Object.entries(change)) {
    if (most === null) delete after[type];
    else after[type] = most;
  }
  const parsed = DeviceQuota.safeParse(after);
  if (parsed.success && Object.keys(after).length <= MAX_DEVICE_TYPES) return after;
  throw new DrvsError(
    'InvalidInput',
    `a quota names at most ${MAX_DEVICE_TYPES} types of device, such as gpu`,
    {
      field: 'devices',
    },
  );
}
