import { type Amounts, DrvsError, type Page, type ResourceAmounts, type TenantView } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { cpuToMilli, toAmounts } from '../allocations/amounts.js';
import { AuditService } from '../audit/audit.service.js';
import type { Actor } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';
import { sqlState, UNIQUE_VIOLATION } from '../database/sql-state.js';
import type { Prisma, Tenant } from '../gen/client.js';
import { requireGeneration } from '../http/etag.js';
import { decodeCursor, type PageQuery, pageOf } from '../http/paging.js';
import { byReference } from '../http/reference.js';

const NAME_PATTERN = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
export const Name = z
  .string()
  .regex(
    NAME_PATTERN,
    'a name has 1 to 63 of the characters a-z, 0-9 and -, and begins and ends with a letter or digit',
  );

const MAX_AMOUNT = 2_000_000_000;
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

export const NewTenant = z.strictObject({ name: Name, quota: Quota.default({}) });
export const TenantChange = z.strictObject({ quota: Quota });

/** Departments and their quotas. */
@Injectable()
export class TenantsService {
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
      const used = await usedByTenant(
        tx,
        rows.map(({ id }) => id),
      );
      return pageOf(
        rows,
        limit,
        (row) => row.name,
        (row) => viewOf(row, used.get(row.id)),
      );
    });
  }

  async show(actor: Actor, reference: string): Promise<TenantView> {
    requirePermission(actor, 'tenant:read');
    return this.database.as(actor, async (tx) => {
      const row = await findTenant(tx, reference);
      return viewOf(row, (await usedByTenant(tx, [row.id])).get(row.id));
    });
  }

  async create(actor: Actor, { name, quota }: z.infer<typeof NewTenant>): Promise<TenantView> {
    requirePermission(actor, 'tenant:write');
    try {
      return await this.database.as(actor, async (tx) => {
        const row = await tx.tenant.create({ data: { name, ...quotaColumns(quota) } });
        await this.audit.append(tx, actor, 'tenant.create', `tenant/${name}`, row.id, { quota });
        return viewOf(row, undefined);
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
    { quota }: z.infer<typeof TenantChange>,
    generation: number | null,
  ): Promise<TenantView> {
    requirePermission(actor, 'tenant:write');
    return this.database.as(actor, async (tx) => {
      const { id } = await findTenant(tx, reference);
      await tx.$queryRaw`SELECT 1 FROM tenant WHERE id = ${id}::uuid FOR UPDATE`;
      const before = await tx.tenant.findUniqueOrThrow({ where: { id } });
      requireGeneration(`the tenant ${before.name}`, generation, before.generation);
      const row = await tx.tenant.update({
        where: { id },
        data: { ...quotaColumns(quota), generation: { increment: 1 } },
      });
      await this.audit.append(tx, actor, 'tenant.quota', `tenant/${row.name}`, id, { quota });
      return viewOf(row, (await usedByTenant(tx, [id])).get(id));
    });
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
  throw new DrvsError('NotFound', `there is no tenant ${reference}`, {
    field: 'tenant',
    hint: 'See `drvs tenant list`.',
  });
}

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
  used: ResourceAmounts = { cpuMilli: 0, memoryMiB: 0, diskGiB: 0, networkMbps: 0 },
): TenantView {
  const quota: Partial<Amounts> = {};
  if (row.quotaCpuMilli !== null) quota.cpu = row.quotaCpuMilli / 1000;
  if (row.quotaMemoryMiB !== null) quota.memoryMiB = row.quotaMemoryMiB;
  if (row.quotaDiskGiB !== null) quota.diskGiB = row.quotaDiskGiB;
  if (row.quotaNetworkMbps !== null) quota.networkMbps = row.quotaNetworkMbps;
  return { id: row.id, name: row.name, quota, used: toAmounts(used), generation: row.generation };
}
