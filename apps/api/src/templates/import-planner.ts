import { DrvsError, RESOURCE_CLASSES, type ResourceAmounts } from '@drvs/contracts';
import { type NodeSnapshot, type PlacementPlan, placeDrvm } from '@drvs/policy';
import { Injectable } from '@nestjs/common';
import { sumAmounts } from '../allocations/amounts.js';
import type { Actor } from '../auth/actor.js';
import { seesWholeCluster } from '../auth/permissions.js';
import { Database } from '../database/database.js';
import { clusterSnapshot } from '../drvms/cluster-snapshot.js';
import { type NewDrvm, placementRequestOf, withoutNodes } from '../drvms/drvm-request.js';
import { devicesAsked } from '../drvms/placement-terms.js';
import { resolveAffinities } from '../drvms/placement-writes.js';
import { requireQuota } from '../drvms/quota.js';
import { requireDeviceQuota } from '../tenants/device-quota.js';
import { findTenant, quotaOf, usedBy } from '../tenants/tenants.service.js';

/** Plans one creation after another on a copy of the ledger, of which each takes its part. */
export interface ForkedLedger {
  /** @returns the nodes. @throws DrvsError as the creation would */
  place(request: NewDrvm): Promise<string[]>;
}

@Injectable()
export class ImportPlanner {
  constructor(private readonly database: Database) {}

  async begin(actor: Actor): Promise<ForkedLedger> {
    const { unrestricted: tx } = this.database;
    const types = await tx.providedDevice.findMany({ distinct: ['type'], select: { type: true } });
    let nodes: NodeSnapshot[] = await clusterSnapshot(
      tx,
      undefined,
      Date.now(),
      types.map(({ type }) => type),
    );
    const taken = new Map<string, { amounts: ResourceAmounts; devices: Record<string, number> }>();
    return {
      place: async (request) => {
        const reference = request.tenant ?? actor.tenantId;
        if (reference === null) {
          throw new DrvsError('InvalidInput', 'a DRVM belongs to a tenant', {
            field: 'tenant',
            hint: 'Name it in a column `tenant`, or use a template of a department.',
          });
        }
        const tenant = await this.database.as(actor, (own) => findTenant(own, reference));
        const exists = await tx.drvm.count({ where: { tenantId: tenant.id, name: request.name } });
        if (exists > 0) {
          throw new DrvsError('AlreadyExists', `the tenant ${tenant.name} has a DRVM named ${request.name}`, {
            field: 'name',
          });
        }
        const before = taken.get(tenant.id) ?? {
          amounts: await usedBy(tx, tenant.id),
          devices: {},
        };
        const placement = placementRequestOf(request, await resolveAffinities(this.database, actor, request));
        requireQuota(tenant.name, quotaOf(tenant), before.amounts, placement.total);
        const devices = sum(before.devices, devicesAsked(request));
        await requireDeviceQuota(tx, tenant.id, devices);
        const plan = placed(actor, () => placeDrvm(placement, nodes));
        nodes = afterPlan(nodes, plan);
        const amounts = sumAmounts([before.amounts, placement.total]);
        taken.set(tenant.id, { amounts, devices });
        return plan.slices.map(({ node }) => node);
      },
    };
  }
}

function placed(actor: Actor, work: () => PlacementPlan): PlacementPlan {
  try {
    return work();
  } catch (error) {
    if (error instanceof DrvsError && !seesWholeCluster(actor)) throw withoutNodes(error);
    throw error;
  }
}

function afterPlan(nodes: readonly NodeSnapshot[], { slices }: PlacementPlan): NodeSnapshot[] {
  const byNode = new Map(slices.map((slice) => [slice.nodeId, slice]));
  return nodes.map((node) => {
    const slice = byNode.get(node.id);
    if (!slice) return node;
    const free = { ...node.free };
    for (const name of RESOURCE_CLASSES) free[name] -= slice.amounts[name];
    const given = new Set((slice.devices ?? []).map(({ id }) => id));
    return {
      ...node,
      free,
      slices: node.slices + 1,
      isExclusive: node.isExclusive || slice.exclusive,
      devices: (node.devices ?? []).map((device) => ({
        ...device,
        isFree: device.isFree && !given.has(device.id),
      })),
    };
  });
}

function sum(
  a: Readonly<Record<string, number>>,
  b: Readonly<Record<string, number>>,
): Record<string, number> {
  const all: Record<string, number> = { ...a };
  for (const [name, count] of Object.entries(b)) all[name] = (all[name] ?? 0) + count;
  return all;
}
