import {
  type DrvmView,
  DrvsError,
  NODE_DOWN_AFTER_MS,
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
import { fromAmounts, sumAmounts } from '../allocations/amounts.js';
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
import { aboutDrvm } from '../events/about-drvm.js';
import { EventsService } from '../events/events.service.js';
import { requireGeneration } from '../http/etag.js';
import { decodeCursor, PageQuery, pageOf } from '../http/paging.js';
import { isId } from '../http/reference.js';
import { leaseColumns } from '../leases/lease-request.js';
import type { PlanView } from '../openapi/answers.js';
import { OperationsService } from '../operations/operations.service.js';
import { requireNothingUnderWay } from '../reconfigure/change-records.js';
import { requireDeviceQuota } from '../tenants/device-quota.js';
import { findTenant, quotaOf, readTenant, usedBy } from '../tenants/tenants.service.js';
import { claimedPlan } from './candidate-store.js';
import { clusterSnapshot, type SealedNode } from './cluster-snapshot.js';
import {
  Creation,
  type CreationTenant,
  type CreatorNames,
  LEDGER_CREATE,
  type LedgerAnswer,
  nameTaken,
  PlanOvertaken,
} from './creation.js';
import { type BatchMember, type NewDrvms, type PlacedMember, placeAll } from './drvm-batch.js';
import { DrvmReads } from './drvm-reads.js';
import { NewDrvm, placementRequestOf, planViewOf, tenantAsked, withoutNodes } from './drvm-request.js';
import { type DrvmRow, drvmViewOf, findDrvm, WITH_SLICES } from './drvm-view.js';
import { type Affinities, devicesAsked, NO_AFFINITIES } from './placement-terms.js';
import { resolveAffinities, writeDevices, writeLease } from './placement-writes.js';
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
    violates(error, 'identity') ||
    violates(error, 'slice_exclusive_node')
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

interface Created {
  operation: OperationView;
  drvm: DrvmView;
}

/** The nodes as they were seen, what the DRVMs are bound to, and what the audit says. */
type WhatWasSeen = [seen: readonly SealedNode[], affinities: Affinities, names: CreatorNames];

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
      await this.#requireQuota(tx, tenant.id, fromAmounts(input));
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
  async create(actor: Actor, input: NewDrvm): Promise<Created> {
    requirePermission(actor, 'drvm:write');
    const tenant = await this.#tenantFor(actor, input);
    const affinities = await resolveAffinities(this.database, actor, input);
    const request = placementRequestOf(input, affinities);
    if (input.lease) leaseColumns(input.lease, new Date());
    for (let attempt = 0; ; attempt++) {
      // A candidate is what was chosen: when it is overtaken no other one takes its place.
      const isLast = attempt >= OPTIMISTIC_PLANS || input.candidate !== undefined;
      try {
        return await this.#tryCreate(actor, tenant, { input, request }, affinities, isLast);
      } catch (error) {
        if (!isOvertaken(error)) throw error;
        if (isLast) throw input.candidate === undefined ? error : candidateOvertaken(error);
      }
    }
  }

  async #tryCreate(
    actor: Actor,
    tenant: CreationTenant,
    member: BatchMember,
    affinities: Affinities,
    underLock: boolean,
  ): Promise<Created> {
    const { input, request } = member;
    let seen: SealedNode[] = [];
    let planned: PlacementPlan | null = null;
    if (input.candidate !== undefined) {
      planned = await claimedPlan(this.database, tenant.id, input, request);
    } else if (!underLock) {
      seen = await this.#snapshotFor(this.database.unrestricted, request, affinities);
      planned = place(actor, request, seen);
    }
    const creationOf = (plan: PlacementPlan) => this.#creation(actor, tenant, [{ ...member, plan }]);
    const namesOf = ({ slices }: PlacementPlan) => ({
      label: actorLabel(actor),
      action: 'drvm.create' as const,
      object: `drvm/${input.name}`,
      details: { ...request.total, nodes: slices.map(({ node }) => node), exclusive: request.exclusive },
    });
    const isAlone = input.devices === undefined && input.lease === undefined && !isBound(affinities);
    if (planned && isAlone && input.candidate === undefined) {
      const creation = creationOf(planned);
      const [made] = await this.#write(creation, seen, affinities, namesOf(planned));
      return made!;
    }
    return this.database.system(async (tx) => {
      // The tenant's row orders creations of one tenant, so that its quota is not passed by two at once.
      await tx.$queryRaw`SELECT 1 FROM tenant WHERE id = ${tenant.id}::uuid FOR UPDATE`;
      await refuseTakenName(tx, tenant, input.name);
      await this.#requireQuota(tx, tenant.id, request.total);
      await requireDeviceQuota(tx, tenant.id, devicesAsked(input));
      const plan = planned ?? (await this.#planUnderLock(tx, actor, request, affinities));
      const now = await requireStillFree(tx, plan, request);
      const creation = creationOf(plan);
      const [made] = await this.#writeIn(tx, creation, now, affinities, namesOf(plan));
      const drvm = { id: made!.drvm.id, tenantId: tenant.id };
      await writeDevices(tx, drvm, plan);
      await writeLease(tx, drvm, input);
      return made!;
    });
  }

  #creation(actor: Actor, tenant: CreationTenant, placed: readonly PlacedMember[]): Creation {
    return new Creation(tenant, placed, (drvm, slices) =>
      this.operations.rowsOf({
        kind: 'drvm.create',
        subject: `drvm/${drvm.name}`,
        tenantId: tenant.id,
        drvmId: drvm.id,
        params: {},
        actor,
        slices,
      }),
    );
  }

  /** One statement, which is a transaction by itself: no lock is held while the disk turns. */
  async #write(creation: Creation, ...how: WhatWasSeen): Promise<Created[]> {
    const values = [jsonOf(creation, how)];
    const [row] = await this.database.systemChange<{ answer: LedgerAnswer }>(LEDGER_CREATE, values);
    const made = creation.made(row!.answer);
    this.operations.admitSoon();
    return made;
  }

  /** The same within a transaction in which more is written. */
  async #writeIn(tx: Transaction, creation: Creation, ...how: WhatWasSeen): Promise<Created[]> {
    const [row] = await tx.$queryRaw<{ answer: LedgerAnswer }[]>`
      SELECT ledger_create(${jsonOf(creation, how)}::jsonb) AS answer`;
    const made = creation.made(row!.answer);
    this.database.afterCommit(tx, () => this.operations.admitSoon());
    return made;
  }

  /**
   * Creates several DRVMs of a tenant, all or none: planned one after another on one snapshot, written down by one
   * statement. As for one, a plan that was overtaken is made again, at last under the lock of the whole ledger.
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
        const made = await this.#tryCreateMany(actor, tenant, members, isLast);
        return made.map(({ operation, drvm }) => ({ operationId: operation.id, drvm }));
      } catch (error) {
        if (!isOvertaken(error) || isLast) throw error;
      }
    }
  }

  async #tryCreateMany(
    actor: Actor,
    tenant: CreationTenant,
    members: readonly BatchMember[],
    underLock: boolean,
  ): Promise<Created[]> {
    const placeEach = (request: PlacementRequest, snapshot: readonly NodeSnapshot[]) =>
      place(actor, request, snapshot);
    const total = sumAmounts(members.map(({ request }) => request.total));
    const names = {
      label: actorLabel(actor),
      action: 'drvm.create-many' as const,
      object: `tenant/${tenant.name}`,
      details: { drvms: members.map(({ input }) => input.name), total: { ...total } },
    };
    if (!underLock) {
      const seen = await clusterSnapshot(this.database.unrestricted, undefined, Date.now(), [], []);
      const creation = this.#creation(actor, tenant, placeAll(members, seen, placeEach));
      return this.#write(creation, seen, NO_AFFINITIES, names);
    }
    return this.database.system(async (tx) => {
      await tx.$queryRaw`SELECT 1 FROM tenant WHERE id = ${tenant.id}::uuid FOR UPDATE`;
      await this.#requireQuota(tx, tenant.id, total);
      await tx.$queryRaw`SELECT 1 FROM inventory ORDER BY node_id, class FOR UPDATE`;
      const seen = await clusterSnapshot(tx, undefined, Date.now(), [], []);
      const creation = this.#creation(actor, tenant, placeAll(members, seen, placeEach));
      return this.#writeIn(tx, creation, seen, NO_AFFINITIES, names);
    });
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
        ...aboutDrvm(drvm),
        text: `${actorLabel(actor)} ${verb} ${drvm.name}`,
      });
      await this.audit.append(tx, actor, kind, `drvm/${drvm.name}`, drvm.tenantId, {
        operation: operation.id,
      });
      return operation.id;
    });
    return this.operations.show(actor, operationId);
  }

  async #tenantFor(actor: Actor, input: NewDrvm): Promise<CreationTenant> {
    return readTenant(this.database, actor, tenantAsked(actor, input));
  }

  async #requireQuota(tx: Transaction, tenantId: string, asked: ResourceAmounts): Promise<void> {
    const tenant = await tx.tenant.findUnique({ where: { id: tenantId } });
    if (!tenant) throw new DrvsError('NotFound', 'the tenant was removed meanwhile', { field: 'tenant' });
    requireQuota(tenant.name, quotaOf(tenant), await usedBy(tx, tenantId), asked);
  }

  /** Where nodes are named no others matter. */
  #snapshotFor(
    tx: Transaction,
    request: PlacementRequest,
    affinities: Affinities,
    isOfAll = false,
  ): Promise<SealedNode[]> {
    const only =
      Array.isArray(request.nodes) && !isOfAll ? { names: request.nodes as readonly string[] } : undefined;
    const about = [...affinities.together, ...affinities.apart];
    return clusterSnapshot(tx, only, Date.now(), deviceTypesOf(request), about);
  }

  /** Nobody else can give or free anything until this transaction ends; all take these locks in the same order. */
  async #planUnderLock(
    tx: Transaction,
    actor: Actor,
    request: PlacementRequest,
    affinities: Affinities,
  ): Promise<PlacementPlan> {
    await tx.$queryRaw`SELECT 1 FROM inventory ORDER BY node_id, class FOR UPDATE`;
    return place(actor, request, await this.#snapshotFor(tx, request, affinities, true));
  }
}

const isBound = ({ together, apart }: Affinities): boolean => together.length > 0 || apart.length > 0;

function jsonOf(creation: Creation, [seen, affinities, names]: WhatWasSeen): string {
  return creation.toJson(seen, Date.now() - NODE_DOWN_AFTER_MS, affinities, names);
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

function inNodeOrder(plan: PlacementPlan): PlacementPlan['slices'] {
  return [...plan.slices].sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
}

/** Locks the inventories of the plan's nodes and looks again. @returns them as they are now. @throws PlanOvertaken */
async function requireStillFree(
  tx: Transaction,
  plan: PlacementPlan,
  request: PlacementRequest,
): Promise<SealedNode[]> {
  const ids = inNodeOrder(plan).map(({ nodeId }) => nodeId);
  await tx.$queryRaw`SELECT 1 FROM inventory WHERE node_id = ANY(${ids}::uuid[]) ORDER BY node_id, class FOR UPDATE`;
  const nodes = await clusterSnapshot(tx, ids);
  const now = new Map(nodes.map((node) => [node.id, node]));
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
  return nodes;
}

async function refuseTakenName(tx: Transaction, tenant: CreationTenant, name: string): Promise<void> {
  const taken = await tx.drvm.findUnique({ where: { tenantId_name: { tenantId: tenant.id, name } } });
  if (taken) throw nameTaken(tenant, name);
}

async function refuseWhenLeaseEnded(tx: Transaction, { id, name }: DrvmRow): Promise<void> {
  const lease = await tx.lease.findUnique({ where: { drvmId: id }, select: { state: true } });
  if (lease?.state !== 'ended') return;
  throw new DrvsError('StateConflict', `the lease of ${name} has ended`, {
    hint: `Extend it first: \`drvs drvm lease ${name} --extend 7d\`.`,
  });
}
