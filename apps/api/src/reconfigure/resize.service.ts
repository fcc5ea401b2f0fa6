import {
  DrvsError,
  DVOS_MEMORY_MIB,
  NO_RESOURCES,
  type OperationView,
  type ProcessRow,
  RESOURCE_CLASSES,
  type ResourceAmounts,
} from '@drvs/contracts';
import {
  type PlacementRequest,
  planResize,
  type ResizableSlice,
  type ResizeNode,
  type ResizePlan,
  whyNotEligible,
} from '@drvs/policy';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { AgentLinks } from '../agents/agent-links.js';
import { sumAmounts, toAmounts } from '../allocations/amounts.js';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission, seesWholeCluster } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';
import { clusterSnapshot } from '../drvms/cluster-snapshot.js';
import { type DrvmRow, findDrvm } from '../drvms/drvm-view.js';
import { homeSliceOf } from '../drvms/home-slice.js';
import { requireQuota } from '../drvms/quota.js';
import { aboutDrvm } from '../events/about-drvm.js';
import { EventsService } from '../events/events.service.js';
import { requireGeneration } from '../http/etag.js';
import type { PlanView } from '../openapi/answers.js';
import { OperationsService } from '../operations/operations.service.js';
import { quotaOf, usedBy } from '../tenants/tenants.service.js';
import { requireNothingUnderWay } from './change-records.js';
import { ceilingOf, guaranteedOf, termsOf, WITH_SPEC } from './container-spec.js';
import { type ResizeDrvm, totalsOf } from './resize-request.js';
import type { ResizeChange } from './resize-work.js';
import { endLoansOn, insertSlice, largest, writeTerms } from './slice-changes.js';

const LIST_TIMEOUT_MS = 10_000;
const MIB = 1_048_576;

/** What the programs of a DRVM use on each of its nodes, by the node's name; null for one that is stopped. */
type Use = ReadonlyMap<string, { memoryMiB: number; processes: number }> | null;

/** Takes requests to make DRVMs larger or smaller, or to bring them to other nodes. */
@Injectable()
export class ResizeService {
  constructor(
    private readonly database: Database,
    private readonly links: AgentLinks,
    private readonly operations: OperationsService,
    private readonly events: EventsService,
    private readonly audit: AuditService,
  ) {}

  /** What it would come to now; nothing is changed. */
  async plan(
    actor: Actor,
    reference: string,
    input: ResizeDrvm,
    generation: number | null,
  ): Promise<PlanView> {
    const { id } = await this.#resolve(actor, reference);
    const use = await this.#use(id);
    return this.database.system(async (tx) => {
      const { drvm, plan, nodes } = await this.#prepare(tx, actor, id, input, generation, use);
      return planViewOf(drvm, plan, nodes, seesWholeCluster(actor));
    });
  }

  /**
   * In one transaction: the plan is made on the locked ledger, what grows and what comes is taken in it, and the
   * operation that does the rest is queued.
   */
  async resize(
    actor: Actor,
    reference: string,
    input: ResizeDrvm,
    generation: number | null,
  ): Promise<OperationView> {
    const { id } = await this.#resolve(actor, reference);
    const use = await this.#use(id);
    const operationId = await this.database.system(async (tx) => {
      const { drvm, plan } = await this.#prepare(tx, actor, id, input, generation, use);
      const changes = await takeGrowth(tx, id, plan);
      await tx.drvm.update({ where: { id }, data: { generation: { increment: 1 } } });
      const isElsewhere = changes.some(({ kind }) => kind !== 'resize');
      const kind = isElsewhere ? 'drvm.reconfigure' : 'drvm.resize';
      const operation = await this.operations.start(tx, {
        kind,
        subject: `drvm/${drvm.name}`,
        tenantId: drvm.tenantId,
        drvmId: id,
        params: { changes: JSON.parse(JSON.stringify(changes)) },
        actor,
      });
      const words = plan.slices.map(({ node, reason }) => `${node}: ${reason}`).join('; ');
      await this.events.record(tx, {
        kind,
        ...aboutDrvm(drvm),
        text: `${actorLabel(actor)} resizes ${drvm.name}: ${words}`,
      });
      await this.audit.append(tx, actor, kind, `drvm/${drvm.name}`, drvm.tenantId, {
        operation: operation.id,
        asked: JSON.parse(JSON.stringify(input)),
      });
      return operation.id;
    });
    return this.operations.show(actor, operationId);
  }

  #resolve(actor: Actor, reference: string): Promise<DrvmRow> {
    requirePermission(actor, 'drvm:write');
    return this.database.as(actor, (tx) => findDrvm(tx, reference));
  }

  async #prepare(
    tx: Transaction,
    actor: Actor,
    id: string,
    input: ResizeDrvm,
    generation: number | null,
    use: Use,
  ): Promise<{ drvm: DrvmRow; plan: ResizePlan; nodes: ResizeNode[] }> {
    await tx.$queryRaw`SELECT 1 FROM drvm WHERE id = ${id}::uuid FOR UPDATE`;
    const drvm = await findDrvm(tx, id);
    requireGeneration(`the DRVM ${drvm.name}`, generation, drvm.generation);
    await requireNothingUnderWay(tx, id, null);
    if (drvm.authorityCertificate === null) {
      throw new DrvsError('StateConflict', `the creation of ${drvm.name} never came to its end`, {
        hint: 'Delete it and create it again.',
      });
    }
    // Nobody else gives or frees anything until this ends; all take these locks in the same order.
    await tx.$queryRaw`SELECT 1 FROM tenant WHERE id = ${drvm.tenantId}::uuid FOR UPDATE`;
    await tx.$queryRaw`SELECT 1 FROM inventory ORDER BY node_id, class FOR UPDATE`;
    const nodes = await resizeNodes(tx, drvm);
    const request = {
      total: totalsOf(input),
      ceiling: totalsOf(input.ceiling ?? {}),
      nodes: nodesOf(input, nodes),
    };
    requireKnownDisk(drvm, request.total.diskGiB, use);
    const plan = planFor(actor, () => planResize(request, slicesOf(drvm, use), nodes));
    if (plan.slices.length === 0) {
      throw new DrvsError('StateConflict', `${drvm.name} is as asked for already`, {
        hint: `See \`drvs drvm show ${drvm.name}\`.`,
      });
    }
    await requireQuotaFor(tx, drvm, plan);
    return { drvm, plan, nodes };
  }

  /** @throws DrvsError ContainerUnreachable: what is in use is not guessed */
  async #use(drvmId: string): Promise<Use> {
    const drvm = await this.database.unrestricted.drvm.findUnique({
      where: { id: drvmId },
      include: WITH_SPEC,
    });
    if (drvm?.wantedState !== 'running' || drvm.authorityCertificate === null) return null;
    const home = homeSliceOf(drvm);
    const { result } = await this.links.callContainer(
      { id: home.nodeId, name: home.node.name },
      drvmId,
      'process.list',
      {},
      { timeoutMs: LIST_TIMEOUT_MS },
    );
    const use = new Map(
      drvm.slices.map(({ node }) => [node.name, { memoryMiB: DVOS_MEMORY_MIB, processes: 0 }]),
    );
    for (const { node, memoryBytes, state } of result as ProcessRow[]) {
      const there = use.get(node);
      if (!there || state === 'zombie') continue;
      there.memoryMiB += Math.ceil(memoryBytes / MIB);
      there.processes++;
    }
    return use;
  }
}

/** What a DRVM was created with, as far as it binds the nodes that it comes to later. */
const Terms = z.object({
  require: z.array(z.string()).catch([]).default([]),
  forbid: z.array(z.string()).catch([]).default([]),
  tolerate: z.array(z.string()).catch([]).default([]),
});

async function resizeNodes(tx: Transaction, drvm: DrvmRow): Promise<ResizeNode[]> {
  const rules = await tx.drvmAffinity.findMany({ where: { drvmId: drvm.id } });
  const others = (kind: string): string[] =>
    rules.filter((rule) => rule.kind === kind).map(({ otherId }) => otherId);
  const terms = Terms.safeParse(drvm.request);
  const request: PlacementRequest = {
    total: NO_RESOURCES,
    nodes: null,
    exclusive: drvm.slices.some(({ exclusive }) => exclusive),
    policy: 'spread',
    ...(terms.success ? terms.data : {}),
    togetherWith: others('together'),
    apartFrom: others('apart'),
  };
  return (await clusterSnapshot(tx)).map((node) => ({
    id: node.id,
    name: node.name,
    free: node.free,
    capacity: node.capacity ?? node.free,
    closed: whyNotEligible(node, request)?.reason ?? null,
  }));
}

function nodesOf({ nodes: wish }: ResizeDrvm, nodes: readonly ResizeNode[]) {
  if (wish === undefined) return null;
  if (typeof wish === 'number') return wish;
  const idOf = (reference: string): string => {
    const node = nodes.find(({ id, name }) => id === reference || name === reference);
    if (node) return node.id;
    throw new DrvsError('InvalidInput', `there is no node ${reference}`, {
      field: 'nodes',
      hint: 'See `drvs node list`.',
    });
  };
  return { add: wish.add.map(idOf), remove: wish.remove.map(idOf) };
}

function slicesOf(drvm: DrvmRow, use: Use): ResizableSlice[] {
  return drvm.slices.map((slice) => {
    const there = use?.get(slice.node.name);
    return {
      nodeId: slice.nodeId,
      node: slice.node.name,
      guaranteed: guaranteedOf(slice),
      ceiling: ceilingOf(slice),
      inUse: { ...NO_RESOURCES, memoryMiB: there && there.processes > 0 ? there.memoryMiB : 0 },
      processes: there?.processes ?? 0,
      isHome: slice.index === drvm.homeIndex,
    };
  });
}

/** How much its files take is known only while it runs: its home refuses a disk that is too small for them. */
function requireKnownDisk(drvm: DrvmRow, diskGiB: number | undefined, use: Use): void {
  const now = drvm.slices.reduce((sum, slice) => sum + slice.diskGiB, 0);
  if (use !== null || diskGiB === undefined || diskGiB >= now) return;
  throw new DrvsError('StateConflict', `${drvm.name} is stopped: how much its files take is not known`, {
    field: 'diskGiB',
    hint: `Start it first, then shrink its disk. ${now} GiB or more fit now.`,
    details: { class: 'diskGiB', requested: diskGiB, fits: now },
  });
}

async function requireQuotaFor(tx: Transaction, drvm: DrvmRow, plan: ResizePlan): Promise<void> {
  const sum = (terms: readonly ({ guaranteed: ResourceAmounts } | null)[]): ResourceAmounts =>
    sumAmounts(terms.flatMap((one) => (one === null ? [] : [one.guaranteed])));
  const before = sum(plan.slices.map((slice) => slice.before));
  const after = sum(plan.slices.map((slice) => slice.after));
  const growth = { ...NO_RESOURCES };
  const quota = quotaOf(drvm.tenant);
  for (const name of RESOURCE_CLASSES) {
    growth[name] = Math.max(0, after[name] - before[name]);
    // Who holds more than a lowered quota may still shrink, and change what is within it.
    if (growth[name] === 0) quota[name] = null;
  }
  requireQuota(drvm.tenant.name, quota, await usedBy(tx, drvm.tenantId), growth);
}

/** @returns the changes in the order in which they are to be done: what comes, what grows, what goes, what shrinks */
async function takeGrowth(tx: Transaction, drvmId: string, plan: ResizePlan): Promise<ResizeChange[]> {
  const drvm = await tx.drvm.findUniqueOrThrow({ where: { id: drvmId }, include: WITH_SPEC });
  const changes: ResizeChange[] = [];
  for (const { nodeId, node, before, after } of plan.slices) {
    const slice = drvm.slices.find((candidate) => candidate.nodeId === nodeId);
    if (before === null && after !== null) {
      const sliceId = await insertSlice(tx, drvm, nodeId, after);
      changes.push({ kind: 'add', sliceId, nodeId, node, after: { ...after, held: after.guaranteed } });
    } else if (slice && after === null) {
      changes.push({ kind: 'remove', sliceId: slice.id, nodeId, node, before: termsOf(slice) });
    } else if (slice && after !== null) {
      const now = termsOf(slice);
      const terms = { ...after, held: after.guaranteed };
      await endLoansOn(tx, nodeId);
      // What it had borrowed has just gone back.
      const unlent = termsOf(await tx.slice.findUniqueOrThrow({ where: { id: slice.id } }));
      await writeTerms(tx, slice.id, largest(unlent, terms));
      changes.push({
        kind: 'resize',
        sliceId: slice.id,
        nodeId,
        node,
        before: { ...now, held: now.guaranteed },
        after: terms,
      });
    }
  }
  const rank = (change: ResizeChange): number => {
    if (change.kind === 'add') return 0;
    if (change.kind === 'remove') return 2;
    const { before, after } = change;
    const grows = RESOURCE_CLASSES.some((name) => after.guaranteed[name] > before.guaranteed[name]);
    return grows ? 1 : 3;
  };
  return changes.sort((a, b) => rank(a) - rank(b));
}

/** A tenant is not told what nodes that it may not see have free. */
function planFor(actor: Actor, work: () => ResizePlan): ResizePlan {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof DrvsError) || seesWholeCluster(actor) || !error.details) throw error;
    const { free: _free, rejected: _rejected, ...details } = error.details;
    throw new DrvsError(error.code, error.message, { ...error, details, cause: error });
  }
}

const ACTIONS = { comes: 'slice.add', changes: 'slice.resize', goes: 'slice.remove' } as const;

function planViewOf(
  drvm: DrvmRow,
  plan: ResizePlan,
  nodes: readonly ResizeNode[],
  seesAll: boolean,
): PlanView {
  const before = toAmounts(sumAmounts(drvm.slices.map(guaranteedOf)));
  const changed = plan.slices.flatMap(({ after }) => (after === null ? [] : [after.guaranteed]));
  const untouched = drvm.slices.filter(({ nodeId }) => !plan.slices.some((slice) => slice.nodeId === nodeId));
  const after = toAmounts(sumAmounts([...changed, ...untouched.map(guaranteedOf)]));
  let next = Math.max(drvm.nextSliceIndex, ...drvm.slices.map(({ index }) => index + 1));
  return {
    id: crypto.randomUUID(),
    kind: 'drvm.resize',
    snapshot: new Date().toISOString(),
    steps: plan.slices.map((slice) => {
      const { node, nodeId, reason } = slice;
      const action = slice.before === null ? 'comes' : slice.after === null ? 'goes' : 'changes';
      const index = drvm.slices.find((own) => own.nodeId === nodeId)?.index ?? next++;
      const { cpu, memoryMiB, diskGiB, networkMbps } = toAmounts(slice.after?.guaranteed ?? NO_RESOURCES);
      return { action: ACTIONS[action], node, index, cpu, memoryMiB, diskGiB, networkMbps, reason };
    }),
    gain: {
      cpu: after.cpu - before.cpu,
      memoryMiB: after.memoryMiB - before.memoryMiB,
      diskGiB: after.diskGiB - before.diskGiB,
      networkMbps: after.networkMbps - before.networkMbps,
    },
    cost: {
      slicesThatCome: plan.slices.filter((slice) => slice.before === null).length,
      slicesThatGo: plan.slices.filter((slice) => slice.after === null).length,
    },
    rejected: seesAll
      ? plan.rejected.map(({ node, reason }) => ({ what: node, reason }))
      : plan.rejected.length === 0
        ? []
        : [{ what: `${plan.rejected.length} of ${nodes.length} nodes`, reason: 'were not chosen' }],
  };
}
