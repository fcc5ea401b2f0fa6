import { DrvsError, type ResourceAmounts } from '@drvs/contracts';
import type { PlacementPlan } from '@drvs/policy';
import type { Actor } from '../auth/actor.js';
import type { Database, Transaction } from '../database/database.js';
import { leaseColumns } from '../leases/lease-request.js';
import { findDrvm } from './drvm-view.js';
import type { Affinities, PlacementTerms } from './placement-terms.js';

/** @throws DrvsError NotFound for a DRVM that the actor may not see */
export async function resolveAffinities(
  database: Database,
  actor: Actor,
  { affinity = [], antiAffinity = [] }: PlacementTerms,
): Promise<Affinities> {
  if (affinity.length === 0 && antiAffinity.length === 0) return { together: [], apart: [] };
  return database.as(actor, async (tx) => {
    const ids = async (references: readonly string[]) => {
      const found: string[] = [];
      for (const reference of references) found.push((await findDrvm(tx, reference)).id);
      return [...new Set(found)];
    };
    const together = await ids(affinity);
    const apart = await ids(antiAffinity);
    if (together.some((id) => apart.includes(id))) {
      throw new DrvsError('InvalidInput', 'a DRVM is named in both affinity and antiAffinity', {
        field: 'antiAffinity',
        hint: 'It cannot be with it and apart from it.',
      });
    }
    return { together, apart };
  });
}

interface NewRow {
  id: string;
  tenantId: string;
}

/** In the order of their ids, as everybody takes their locks. */
export async function writeDevices(tx: Transaction, drvm: NewRow, plan: PlacementPlan): Promise<void> {
  const given = plan.slices
    .flatMap(({ nodeId, devices = [] }) => devices.map(({ id }) => ({ nodeId, deviceId: id })))
    .sort((a, b) => (a.deviceId < b.deviceId ? -1 : 1));
  for (const { nodeId, deviceId } of given) {
    await tx.deviceAllocation.create({
      data: { deviceId, nodeId, drvmId: drvm.id, tenantId: drvm.tenantId },
      select: { id: true },
    });
  }
}

export async function writeLease(tx: Transaction, drvm: NewRow, { lease }: PlacementTerms): Promise<void> {
  if (!lease) return;
  await tx.lease.create({
    data: { drvmId: drvm.id, tenantId: drvm.tenantId, ...leaseColumns(lease, new Date()) },
    select: { drvmId: true },
  });
}

export function ceilingColumns(ceiling: ResourceAmounts | undefined) {
  if (!ceiling) return {};
  return {
    ceilingCpuMilli: ceiling.cpuMilli,
    ceilingMemoryMiB: ceiling.memoryMiB,
    ceilingDiskGiB: ceiling.diskGiB,
    ceilingNetworkMbps: ceiling.networkMbps,
  };
}
