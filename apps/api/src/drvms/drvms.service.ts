import {
  type DrvmView,
  DrvsError,
  type OperationView,
  type Page,
  type ResourceAmounts,
} from '@drvs/contracts';
import {
  isEligible,
  type NodeSnapshot,
  type PlacementPlan,
  type PlacementRequest,
  placeDrvm,
} from '@drvs/policy';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { sumAmounts } from '../allocations/amounts.js';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission, seesWholeCluster } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';
import {
  CAPACITY_EXCEEDED,
  DEVICE_NOT_TO_BE_HAD,
  EXCLUSIVITY_VIOLATED,
  NOT_APART,
  NOT_IN_STEP,
  sqlState,
  violates,
} from '../database/sql-state.js';
import { EventsService } from '../events/events.service.js';
import type { Prisma, Tenant } from '../gen/client.js';
import { requireGeneration } from '../http/etag.js';
import { decodeCursor, PageQuery, pageOf } from '../http/paging.js';
import { isId } from '../http/reference.js';
import { leaseColumns } from '../leases/lease-request.js';
import type { PlanView } from '../openapi/answers.js';
import { OperationsService } from '../operations/operations.service.js';
import { requireNothingUnderWay } from '../reconfigure/change-records.js';
import { requireDeviceQuota } from '../tenants/device-quota.js';
import { findTenant, quotaOf, usedByTenant } from '../tenants/tenants.service.js';
import { claimedPlan } from './candidate-store.js';
import { clusterSnapshot } from './cluster-snapshot.js';
import { type BatchMember, type NewDrvms, type PlacedMember, placeAll, stillFits } from './drvm-batch.js';
import { DrvmReads } from './drvm-reads.js';
import { amountsOf, NewDrvm, placementRequestOf, planViewOf, withoutNodes } from './drvm-request.js';
import { DRVM_FIELDS, type DrvmRow, drvmViewOf, findDrvm, SLICE_FIELDS, WITH_SLICES } from './drvm-view.js';
import { type Affinities, devicesAsked } from './placement-terms.js';
import {
  ceilingColumns,
  resolveAffinities,
  writeAffinities,
  writeDevices,
  writeLease,
} from './placement-writes.js';
import { requireQuota } from './quota.js';

export const DrvmQuery = PageQuery.extend({ tenant: z.string().max(100).optional() });

/** Plans made without locks that may be overtaken by others; after these one is made under the lock of the ledger. */
const OPTIMISTIC_PLANS = 2;

/** Why the ledger refused a plan that was good when it was made. */
const OVERTAKEN_STATES = [
  CAPACITY_EXCEEDED,
  EXCLUSIVITY_VIOLATED,
  NOT_IN_STEP,
  NOT_APART,
  DEVICE_NOT_TO_BE_HAD,
];

function isOvertaken(error: unknown): boolean {
  if (error instanceof PlanOvertaken) return true;
  const state = sqlState(error);
  return (
    (state !== null && OVERTAKEN_STATES.includes(state)) ||
    violates(error, 'device_allocation') ||
    violates(error, 'identity')
  );
}

function candidateOvertaken(cause: unknown): DrvsError {
  return new DrvsError(
    'StateConflict',
    'this candidate was overtaken: what it counted on has been given meanwhile',
    {
      field: 'candidate',
      hint: 'List the candidates again (`drvs drvm candidates`), or create it without one.',
      cause,
    },
  );
}

const deviceTypesOf = ({ devices = [] }: PlacementRequest): string[] => devices.map(({ type }) => type);

/** The plan was overtaken: what it counted on has been given to somebody else meanwhile. */
class PlanOvertaken extends Error {}

const DRVM_VIEW = Object.fromEntries(DRVM_FIELDS.map((field) => [field, true])) as Record<
  (typeof DRVM_FIELDS)[number],
  true
>;
const SLICE_VIEW = {
  ...(Object.fromEntries(SLICE_FIELDS.map((field) => [field, true])) as Record<
    (typeof SLICE_FIELDS)[number],
    true
  >),
  id: true,
  nodeId: true,
} as const;

/** A DRVM of a batch, and the operation that builds it. */
export interface CreatedDrvm {
  operationId: string;
  drvm: DrvmView;
}

@Injectable()
export class DrvmsService {
  readonly #reads: DrvmReads;

  constructor(
    private readonly database: Database,
    private readonly operations: OperationsService,
    private readonly events: EventsService,
    private readonly audit: AuditService,
  ) {
    this.#reads = new DrvmReads(database);
  }

  async list(actor: Actor, query: z.infer<typeof DrvmQuery>): Promise<Page<DrvmView>> {
    requirePermission(actor, 'drvm:read');
    const after = decodeCursor(query.cursor, z.uuid());
    return this.database.as(actor, async (tx) => {
      const tenantId = query.tenant === undefined ? undefined : (await findTenant(tx, query.tenant)).id;
      const rows = await tx.drvm.findMany({
        where: { tenantId, ...(after === null ? {} : { id: { gt: after } }) },
        orderBy: { id: 'asc' },
        take: query.limit + 1,
        include: WITH_SLICES,
      });
      return pageOf(rows, query.limit, (row) => row.id, drvmViewOf);
    });
  }

  async show(actor: Actor, reference: string): Promise<DrvmView> {
    requirePermission(actor, 'drvm:read');
    const view = isId(reference) ? await this.#reads.view(actor, reference) : undefined;
    return view ?? drvmViewOf(await this.resolve(actor, reference));
  }

  /** The row behind a reference. @throws DrvsError NotFound, also for what the actor may not see. */
  async resolve(actor: Actor, reference: string): Promise<DrvmRow> {
    requirePermission(actor, 'drvm:read');
    return this.database.as(actor, (tx) => findDrvm(tx, reference));
  }

  /** Where it would be placed now; nothing is changed. */
  async plan(actor: Actor, input: NewDrvm): Promise<PlanView> {
    requirePermission(actor, 'drvm:write');
    const tenant = await this.#tenantFor(actor, input);
    const affinities = await resolveAffinities(this.database, actor, input);
    return this.database.system(async (tx) => {
      await refuseTakenName(tx, tenant, input.name);
      await this.#requireQuota(tx, tenant.id, amountsOf(input));
      await requireDeviceQuota(tx, tenant.id, devicesAsked(input));
      const request = placementRequestOf(input, affinities);
      const snapshot = await clusterSnapshot(tx, undefined, Date.now(), deviceTypesOf(request));
      return planViewOf(place(actor, request, snapshot), snapshot, seesWholeCluster(actor));
    });
  }

  /**
   * Takes the resources and accepts the operation that builds the DRVM, in one transaction. Several may compete for
   * the last free resources: a plan that was overtaken is made again from what is left, at last under the lock of the
   * whole ledger, so that whoever is refused is refused for a reason that was true at that moment.
   */
  async create(actor: Actor, input: NewDrvm): Promise<{ operation: OperationView; drvm: DrvmView }> {
    requirePermission(actor, 'drvm:write');
    const tenant = await this.#tenantFor(actor, input);
    const affinities = await resolveAffinities(this.database, actor, input);
    const request = placementRequestOf(input, affinities);
    if (input.lease) leaseColumns(input.lease, new Date());
    for (let attempt = 0; ; attempt++) {
      // A candidate is what was chosen: when it is overtaken no other one takes its place.
      const isLast = attempt >= OPTIMISTIC_PLANS || input.candidate !== undefined;
      try {
        const { operationId, drvmId } = await this.#tryCreate(
          actor,
          tenant,
          input,
          { request, affinities },
          isLast,
        );
        const [operation, drvm] = [
          await this.operations.show(actor, operationId),
          await this.show(actor, drvmId),
        ];
        return { operation, drvm };
      } catch (error) {
        if (!isOvertaken(error)) throw error;
        if (isLast) throw input.candidate === undefined ? error : candidateOvertaken(error);
      }
    }
  }

  async #tryCreate(
    actor: Actor,
    tenant: Tenant,
    input: NewDrvm,
    { request, affinities }: { request: PlacementRequest; affinities: Affinities },
    underLock: boolean,
  ): Promise<{ operationId: string; drvmId: string }> {
    const planned =
      input.candidate !== undefined
        ? await claimedPlan(this.database, tenant.id, input, request)
        : underLock
          ? null
          : await this.#planNow(actor, request);
    return this.database.system(async (tx) => {
      // The tenant's row orders creations of one tenant, so that its quota is not passed by two at once.
      await tx.$queryRaw`SELECT 1 FROM tenant WHERE id = ${tenant.id}::uuid FOR UPDATE`;
      await refuseTakenName(tx, tenant, input.name);
      await this.#requireQuota(tx, tenant.id, request.total);
      await requireDeviceQuota(tx, tenant.id, devicesAsked(input));
      const plan = planned ?? (await this.#planUnderLock(tx, actor, request));
      await requireStillFree(tx, plan, request);
      const { total, exclusive } = request;
      const drvm = await tx.drvm.create({
        data: {
          tenantId: tenant.id,
          name: input.name,
          dvos: input.dvos,
          request: requestColumn(request),
          detail: 'being created',
        },
      });
      await writeAffinities(tx, drvm, affinities);
      // In the order of the nodes' ids, as everybody takes their locks.
      const slices = await tx.slice.createManyAndReturn({
        data: inNodeOrder(plan).map((slice) => ({
          drvmId: drvm.id,
          tenantId: tenant.id,
          nodeId: slice.nodeId,
          index: slice.index,
          ...slice.amounts,
          ...ceilingColumns(slice.ceiling),
          exclusive: slice.exclusive,
        })),
        select: { id: true, nodeId: true, index: true },
      });
      await writeDevices(tx, drvm, plan);
      await writeLease(tx, drvm, input);
      const nameOf = new Map(plan.slices.map(({ nodeId, node }) => [nodeId, node]));
      const [operation] = await this.operations.startMany(tx, [
        {
          kind: 'drvm.create',
          subject: `drvm/${drvm.name}`,
          tenantId: tenant.id,
          drvmId: drvm.id,
          params: {},
          actor,
          slices: slices
            .sort((a, b) => a.index - b.index)
            .map(({ id, nodeId, index }) => ({
              sliceId: id,
              nodeId,
              nodeName: nameOf.get(nodeId) ?? '',
              index,
            })),
        },
      ]);
      await this.events.record(tx, {
        kind: 'drvm.create',
        tenantId: tenant.id,
        tenant: tenant.name,
        drvmId: drvm.id,
        drvm: drvm.name,
        text: `${actorLabel(actor)} creates ${drvm.name} on ${plan.slices.map(({ node }) => node).join(', ')}`,
      });
      await this.audit.append(tx, actor, 'drvm.create', `drvm/${drvm.name}`, tenant.id, {
        ...total,
        nodes: plan.slices.map(({ node }) => node),
        exclusive,
      });
      return { operationId: operation!.id, drvmId: drvm.id };
    });
  }

  /**
   * Creates several DRVMs of a tenant, all or none: planned one after another on one snapshot, written down in a few
   * statements. As for one, a plan that was overtaken is made again, at last under the lock of the whole ledger.
   */
  async createMany(actor: Actor, input: NewDrvms): Promise<CreatedDrvm[]> {
    requirePermission(actor, 'drvm:write');
    const members = input.drvms.map((one) => {
      const member = NewDrvm.parse({ ...one, tenant: input.tenant });
      return { input: member, request: placementRequestOf(member) };
    });
    const tenant = await this.#tenantFor(actor, members[0]!.input);
    for (let attempt = 0; ; attempt++) {
      const isLast = attempt >= OPTIMISTIC_PLANS;
      try {
        return await this.#tryCreateMany(actor, tenant, members, isLast);
      } catch (error) {
        if (!isOvertaken(error) || isLast) throw error;
      }
    }
  }

  async #tryCreateMany(
    actor: Actor,
    tenant: Tenant,
    members: readonly BatchMember[],
    underLock: boolean,
  ): Promise<CreatedDrvm[]> {
    const placeEach = (request: PlacementRequest, snapshot: readonly NodeSnapshot[]) =>
      place(actor, request, snapshot);
    const planned = underLock
      ? null
      : placeAll(members, await clusterSnapshot(this.database.unrestricted), placeEach);
    return this.database.system(async (tx) => {
      await tx.$queryRaw`SELECT 1 FROM tenant WHERE id = ${tenant.id}::uuid FOR UPDATE`;
      const names = members.map(({ input: { name } }) => name);
      const taken = await tx.drvm.findFirst({ where: { tenantId: tenant.id, name: { in: names } } });
      if (taken) throw nameTaken(tenant, taken.name);
      await this.#requireQuota(tx, tenant.id, sumAmounts(members.map(({ request: { total } }) => total)));
      if (underLock) await tx.$queryRaw`SELECT 1 FROM inventory ORDER BY node_id, class FOR UPDATE`;
      const placed = planned ?? placeAll(members, await clusterSnapshot(tx), placeEach);
      const ids = [...new Set(placed.flatMap(({ plan }) => plan.slices.map(({ nodeId }) => nodeId)))].sort();
      await tx.$queryRaw`SELECT 1 FROM inventory WHERE node_id = ANY(${ids}::uuid[]) ORDER BY node_id, class FOR UPDATE`;
      if (!stillFits(placed, await clusterSnapshot(tx, ids)))
        throw new PlanOvertaken('a node no longer has what the plans counted on');
      return this.#writeMany(tx, actor, tenant, placed);
    });
  }

  async #writeMany(
    tx: Transaction,
    actor: Actor,
    tenant: Tenant,
    placed: readonly PlacedMember[],
  ): Promise<CreatedDrvm[]> {
    const drvms = await tx.drvm.createManyAndReturn({
      data: placed.map(({ input, request }) => ({
        tenantId: tenant.id,
        name: input.name,
        dvos: input.dvos,
        request: requestColumn(request),
        detail: 'being created',
      })),
      select: DRVM_VIEW,
    });
    const planOf = new Map(placed.map(({ input, plan }) => [input.name, plan]));
    const slices = await tx.slice.createManyAndReturn({
      data: drvms
        .flatMap((drvm) => (planOf.get(drvm.name)?.slices ?? []).map((slice) => ({ drvm, slice })))
        // In the order of the nodes' ids, as everybody takes their locks.
        .sort((a, b) => (a.slice.nodeId < b.slice.nodeId ? -1 : 1))
        .map(({ drvm, slice }) => ({
          drvmId: drvm.id,
          tenantId: tenant.id,
          nodeId: slice.nodeId,
          index: slice.index,
          ...slice.amounts,
          ...ceilingColumns(slice.ceiling),
          exclusive: slice.exclusive,
        })),
      select: SLICE_VIEW,
    });
    const nodeNames = new Map(
      placed.flatMap(({ plan }) => plan.slices.map(({ nodeId, node }) => [nodeId, node])),
    );
    const slicesOf = new Map<string, typeof slices>();
    for (const slice of slices.sort((a, b) => a.index - b.index)) {
      const list = slicesOf.get(slice.drvmId);
      if (list) list.push(slice);
      else slicesOf.set(slice.drvmId, [slice]);
    }
    const nameOf = (nodeId: string): string => nodeNames.get(nodeId) ?? '';
    const operations = await this.operations.startMany(
      tx,
      drvms.map((drvm) => ({
        kind: 'drvm.create',
        subject: `drvm/${drvm.name}`,
        tenantId: tenant.id,
        drvmId: drvm.id,
        params: {},
        actor,
        slices: (slicesOf.get(drvm.id) ?? []).map(({ id, nodeId, index }) => ({
          sliceId: id,
          nodeId,
          nodeName: nameOf(nodeId),
          index,
        })),
      })),
    );
    await this.events.recordMany(
      tx,
      drvms.map((drvm) => ({
        kind: 'drvm.create',
        tenantId: tenant.id,
        tenant: tenant.name,
        drvmId: drvm.id,
        drvm: drvm.name,
        text: `${actorLabel(actor)} creates ${drvm.name} on ${(slicesOf.get(drvm.id) ?? []).map(({ nodeId }) => nameOf(nodeId)).join(', ')}`,
      })),
    );
    await this.audit.append(tx, actor, 'drvm.create-many', `tenant/${tenant.name}`, tenant.id, {
      drvms: drvms.map(({ name }) => name),
      total: { ...sumAmounts(placed.map(({ request: { total } }) => total)) },
    });
    const operationOf = new Map(operations.map(({ id, drvmId }) => [drvmId, id]));
    return drvms.map((drvm) => ({
      operationId: operationOf.get(drvm.id) as string,
      drvm: drvmViewOf({
        ...drvm,
        tenant,
        slices: (slicesOf.get(drvm.id) ?? []).map((slice) => ({
          ...slice,
          node: { name: nameOf(slice.nodeId) },
        })),
      }),
    }));
  }

  async start(actor: Actor, reference: string, generation: number | null): Promise<OperationView> {
    return this.#command(actor, reference, generation, 'drvm.start');
  }

  async stop(actor: Actor, reference: string, generation: number | null): Promise<OperationView> {
    return this.#command(actor, reference, generation, 'drvm.stop');
  }

  /** The operation stops its containers, removes its files, gives its resources back, and at last removes its row. */
  async remove(actor: Actor, reference: string, generation: number | null): Promise<OperationView> {
    return this.#command(actor, reference, generation, 'drvm.delete');
  }

  async #command(
    actor: Actor,
    reference: string,
    generation: number | null,
    kind: 'drvm.start' | 'drvm.stop' | 'drvm.delete',
  ): Promise<OperationView> {
    requirePermission(actor, 'drvm:write');
    const { id } = await this.resolve(actor, reference);
    const operationId = await this.database.system(async (tx) => {
      await tx.$queryRaw`SELECT 1 FROM drvm WHERE id = ${id}::uuid FOR UPDATE`;
      const drvm = await findDrvm(tx, id);
      requireGeneration(`the DRVM ${drvm.name}`, generation, drvm.generation);
      await requireNothingUnderWay(tx, drvm.id, null);
      if (kind === 'drvm.start') await refuseWhenLeaseEnded(tx, drvm);
      if (kind === 'drvm.start' && drvm.state === 'running') {
        throw new DrvsError('StateConflict', `${drvm.name} is running already`, {
          hint: `See \`drvs drvm show ${drvm.name}\`.`,
        });
      }
      if (kind === 'drvm.stop' && drvm.state === 'stopped') {
        throw new DrvsError('StateConflict', `${drvm.name} is stopped already`, {
          hint: `Start it with \`drvs drvm start ${drvm.name}\`.`,
        });
      }
      await tx.drvm.update({
        where: { id },
        data: { wantedState: kind === 'drvm.start' ? 'running' : 'stopped', generation: { increment: 1 } },
        select: { id: true },
      });
      const operation = await this.operations.start(tx, {
        kind,
        subject: `drvm/${drvm.name}`,
        tenantId: drvm.tenantId,
        drvmId: drvm.id,
        params: { wantedBefore: drvm.wantedState },
        actor,
      });
      const verb = { 'drvm.start': 'starts', 'drvm.stop': 'stops', 'drvm.delete': 'deletes' }[kind];
      await this.events.record(tx, {
        kind,
        tenantId: drvm.tenantId,
        tenant: drvm.tenant.name,
        drvmId: drvm.id,
        drvm: drvm.name,
        text: `${actorLabel(actor)} ${verb} ${drvm.name}`,
      });
      await this.audit.append(tx, actor, kind, `drvm/${drvm.name}`, drvm.tenantId, {
        operation: operation.id,
      });
      return operation.id;
    });
    return this.operations.show(actor, operationId);
  }

  async #tenantFor(actor: Actor, input: NewDrvm): Promise<Tenant> {
    const reference = input.tenant ?? actor.tenantId;
    if (reference === null) {
      throw new DrvsError('InvalidInput', 'a DRVM belongs to a tenant', {
        field: 'tenant',
        hint: 'Name the tenant; see `drvs tenant list`.',
      });
    }
    return this.database.as(actor, (tx) => findTenant(tx, reference));
  }

  async #requireQuota(tx: Transaction, tenantId: string, asked: ResourceAmounts): Promise<void> {
    const tenant = await tx.tenant.findUnique({ where: { id: tenantId } });
    if (!tenant) throw new DrvsError('NotFound', 'the tenant was removed meanwhile', { field: 'tenant' });
    const used = (await usedByTenant(tx, [tenantId])).get(tenantId);
    requireQuota(
      tenant.name,
      quotaOf(tenant),
      used ?? { cpuMilli: 0, memoryMiB: 0, diskGiB: 0, networkMbps: 0 },
      asked,
    );
  }

  async #planNow(actor: Actor, request: PlacementRequest): Promise<PlacementPlan> {
    const types = deviceTypesOf(request);
    // Where nodes are named no others matter.
    const only = Array.isArray(request.nodes) ? { names: request.nodes as readonly string[] } : undefined;
    return place(actor, request, await clusterSnapshot(this.database.unrestricted, only, Date.now(), types));
  }

  /** Nobody else can give or free anything until this transaction ends; all take these locks in the same order. */
  async #planUnderLock(tx: Transaction, actor: Actor, request: PlacementRequest): Promise<PlacementPlan> {
    await tx.$queryRaw`SELECT 1 FROM inventory ORDER BY node_id, class FOR UPDATE`;
    return place(actor, request, await clusterSnapshot(tx, undefined, Date.now(), deviceTypesOf(request)));
  }
}

/** Plans for the actor: a refusal tells a tenant nothing about nodes that it may not see. */
function place(actor: Actor, request: PlacementRequest, snapshot: readonly NodeSnapshot[]): PlacementPlan {
  try {
    return placeDrvm(request, snapshot);
  } catch (error) {
    if (error instanceof DrvsError && !seesWholeCluster(actor)) throw withoutNodes(error);
    throw error;
  }
}

/** What was asked for, as it is kept with the DRVM. */
function requestColumn(request: PlacementRequest): Prisma.InputJsonObject {
  const { policy, nodes, exclusive, total, ceiling, require, forbid, tolerate, spreadOver } = request;
  return {
    ...total,
    policy,
    exclusive,
    nodes: nodes === null ? null : typeof nodes === 'number' ? nodes : [...nodes],
    ...(JSON.parse(JSON.stringify({ ceiling, require, forbid, tolerate, spreadOver })) as object),
  };
}

function inNodeOrder(plan: PlacementPlan): PlacementPlan['slices'] {
  return [...plan.slices].sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
}

/** Locks the inventories of the plan's nodes and looks again. @throws PlanOvertaken */
async function requireStillFree(
  tx: Transaction,
  plan: PlacementPlan,
  request: PlacementRequest,
): Promise<void> {
  const ids = inNodeOrder(plan).map(({ nodeId }) => nodeId);
  await tx.$queryRaw`SELECT 1 FROM inventory WHERE node_id = ANY(${ids}::uuid[]) ORDER BY node_id, class FOR UPDATE`;
  const now = new Map<string, NodeSnapshot>((await clusterSnapshot(tx, ids)).map((node) => [node.id, node]));
  for (const { nodeId, amounts, exclusive } of plan.slices) {
    const node = now.get(nodeId);
    const fits =
      node !== undefined &&
      isEligible(node, { ...request, exclusive }) &&
      node.free.cpuMilli >= amounts.cpuMilli &&
      node.free.memoryMiB >= amounts.memoryMiB &&
      Math.max(0, node.free.diskGiB) >= amounts.diskGiB &&
      Math.max(0, node.free.networkMbps) >= amounts.networkMbps;
    if (!fits) throw new PlanOvertaken(`node ${nodeId} no longer has what the plan counted on`);
  }
}

async function refuseTakenName(tx: Transaction, tenant: Tenant, name: string): Promise<void> {
  const taken = await tx.drvm.findUnique({ where: { tenantId_name: { tenantId: tenant.id, name } } });
  if (taken) throw nameTaken(tenant, name);
}

function nameTaken(tenant: Tenant, name: string): DrvsError {
  return new DrvsError('AlreadyExists', `the tenant ${tenant.name} has a DRVM named ${name}`, {
    field: 'name',
    hint: 'Choose another name, or delete that one first.',
  });
}

async function refuseWhenLeaseEnded(tx: Transaction, { id, name }: DrvmRow): Promise<void> {
  const lease = await tx.lease.findUnique({ where: { drvmId: id }, select: { state: true } });
  if (lease?.state !== 'ended') return;
  throw new DrvsError('StateConflict', `the lease of ${name} has ended`, {
    hint: `Extend it first: \`drvs drvm lease ${name} --extend 7d\`.`,
  });
}
