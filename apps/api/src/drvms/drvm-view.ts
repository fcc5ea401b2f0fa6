import { type DrvmView, DrvsError } from '@drvs/contracts';
import type { Transaction } from '../database/database.js';
import type { Drvm, Node, Slice, Tenant } from '../gen/client.js';
import { isId } from '../http/reference.js';

export const WITH_SLICES = {
  tenant: true,
  slices: {
    // Not the whole node: its inventory is large, and here only names are needed.
    include: { node: { select: { id: true, name: true, lastSeenAt: true, wantedState: true } } },
    orderBy: { index: 'asc' as const },
  },
} as const;

export type DrvmRow = Drvm & {
  tenant: Tenant;
  slices: (Slice & { node: Pick<Node, 'id' | 'name' | 'lastSeenAt' | 'wantedState'> })[];
};

/** The columns that the view is made of: those of the reads that are asked most often. */
export const DRVM_FIELDS = ['id', 'name', 'dvos', 'state', 'detail', 'createdAt', 'generation'] as const;
export const SLICE_FIELDS = [
  'drvmId',
  'index',
  'cpuMilli',
  'memoryMiB',
  'diskGiB',
  'containerState',
  'isolation',
  'isHome',
  'ceilingCpuMilli',
  'heldCpuMilli',
] as const;
export type DrvmViewRow = Pick<Drvm, (typeof DRVM_FIELDS)[number]> & {
  tenant: Pick<Tenant, 'name'>;
  slices: (Pick<Slice, (typeof SLICE_FIELDS)[number]> & { node: Pick<Node, 'name'> })[];
};

export function drvmViewOf(row: DrvmViewRow): DrvmView {
  return {
    name: row.name,
    id: row.id,
    tenant: row.tenant.name,
    dvos: row.dvos,
    state: row.state,
    detail: row.detail,
    nodes: row.slices.map((slice) => ({
      node: slice.node.name,
      index: slice.index,
      cpu: slice.cpuMilli / 1000,
      memoryMiB: slice.memoryMiB,
      diskGiB: slice.diskGiB,
      state: slice.containerState,
      isolation: slice.isolation,
      isHome: slice.isHome,
      ceilingCpu: slice.ceilingCpuMilli / 1000,
      heldCpu: slice.heldCpuMilli / 1000,
    })),
    createdAt: row.createdAt.toISOString(),
    generation: row.generation,
  };
}

/**
 * A DRVM by id, by name, or by `tenant~name` where several tenants have one of that name.
 * @throws DrvsError NotFound, also for what the transaction's actor may not see; InvalidInput when the name is ambiguous.
 */
export async function findDrvm(tx: Transaction, reference: string): Promise<DrvmRow> {
  const [tenant, name] = reference.includes('~')
    ? (reference.split('~', 2) as [string, string])
    : [null, reference];
  const rows = await tx.drvm.findMany({
    where: isId(reference)
      ? { id: reference }
      : { name, ...(tenant === null ? {} : { tenant: { name: tenant } }) },
    include: WITH_SLICES,
    take: 2,
  });
  const [row, other] = rows;
  if (!row)
    throw new DrvsError('NotFound', `there is no DRVM ${reference}`, { hint: 'See `drvs drvm list`.' });
  if (other) {
    throw new DrvsError('InvalidInput', `several tenants have a DRVM named ${reference}`, {
      field: 'drvm',
      hint: `Name it with its tenant, for instance ${row.tenant.name}~${row.name}.`,
    });
  }
  return row;
}
