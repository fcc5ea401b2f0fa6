import {
  type ClusterPlanView,
  DrvsError,
  type NodeDetailView,
  type OperationView,
  type Page,
  PLANNER_KINDS,
  type PlannerKind,
} from '@drvs/contracts';
import type { Departure } from '@drvs/policy';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { fromAmounts } from '../allocations/amounts.js';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission, seesWholeCluster } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';
import type { Plan, Prisma } from '../gen/client.js';
import { decodeCursor, type PageQuery, pageOf } from '../http/paging.js';
import { isId } from '../http/reference.js';
import { cordon } from '../nodes/cordon.js';
import { nodeDetailViewOf } from '../nodes/node-view.js';
import { findNode } from '../nodes/nodes.service.js';
import { uncordon } from '../nodes/uncordon.js';
import { ClusterPlanAnswer, ClusterPlanStepAnswer } from '../openapi/answers.js';
import { forgetDepartures } from '../operations/departures.js';
import { OperationsService } from '../operations/operations.service.js';
import { claimsOf, clashOf } from '../operations/plan-claims.js';
import { PlanWork } from '../operations/plan-work.js';
import { DemandForecast } from '../power/demand-forecast.js';
import { SettingsService } from '../settings/settings.service.js';
import { clusterPlan, type PlannedCluster, type PlanWish } from './cluster-plan.js';
import { generationsOf } from './live-snapshot.js';
import { LiveStates, type Observation } from './live-state.service.js';
import type { PlanRequest } from './plan-request.js';
import { modeOf, policyOf } from './planner-settings.js';
import { PlannerSettings } from './planner-settings.service.js';
import { waitingSlices } from './waiting-slices.js';

/** Load is not what it was after this. */
const PLAN_GOOD_FOR_MS = 10 * 60_000;
/** A plan that is carried out at once is made so often at most. */
const PLANNED_ATTEMPTS = 3;

const Basis = z.object({
  nodes: z.record(z.string(), z.int()),
  drvms: z.record(z.string(), z.int()),
  /** What each slice that a step is about is guaranteed, by `drvm@node` with ids; null where there is none. */
  slices: z.record(z.string(), z.string().nullable()).default({}),
});
type Basis = z.infer<typeof Basis>;
const Terms = z.object({
  cpu: z.number(),
  memoryMiB: z.number(),
  diskGiB: z.number(),
  networkMbps: z.number(),
});

/** What is asked for, with what was found for it. */
interface Question {
  kind: ClusterPlanView['kind'];
  node: { id: string; name: string } | null;
  request: Prisma.InputJsonObject;
  origin: ClusterPlanView['origin'];
}

/**
 * Makes plans of the running cluster and has them carried out. A plan is kept with what it counts on: the generations of
 * nodes and DRVMs, and the sizes of slices. When one of them has changed, or the plan is old, it is made anew rather
 * than carried out; and what one plan that is being carried out counts on, another does not touch.
 */
@Injectable()
export class PlansService {
  constructor(
    private readonly database: Database,
    private readonly states: LiveStates,
    private readonly operations: OperationsService,
    private readonly settings: PlannerSettings,
    private readonly clusterSettings: SettingsService,
    private readonly forecast: DemandForecast,
    private readonly audit: AuditService,
  ) {}

  /**
   * Nothing is changed but that the plan is kept. A department plans moves of processes within its own DRVMs.
   * @throws DrvsError StateConflict for a kind that is switched off, or a node in no state for it
   */
  async make(
    actor: Actor,
    request: PlanRequest,
    origin: ClusterPlanView['origin'] = 'request',
  ): Promise<ClusterPlanView> {
    requirePermission(actor, 'plan:write');
    if (request.kind !== 'balance') requirePermission(actor, 'node:write');
    const kept = await this.settings.kept();
    if (isPlannerKind(request.kind) && modeOf(kept, request.kind) === 'off') {
      throw new DrvsError('StateConflict', `plans to ${request.kind} are switched off`, {
        hint: `Switch them on: drvs policy set ${request.kind}=manual`,
      });
    }
    const node =
      'node' in request
        ? await this.database.as(actor, async (tx) => {
            const { id, name } = await findNode(tx, request.node);
            return { id, name };
          })
        : null;
    const wish = await this.#wish(request, node);
    const seen = await this.states.observe(actor);
    const planned = clusterPlan(seen, policyOf(kept), wish, seesWholeCluster(actor));
    const { kind, ...asked } = request;
    return this.#keep(actor, { kind, node, request: asked, origin }, seen, planned);
  }

  /**
   * A plan of the way back from one that was carried out, as far as it was.
   * @throws DrvsError StateConflict when it was not carried out, or is not over yet
   */
  async undo(actor: Actor, id: string): Promise<ClusterPlanView> {
    requirePermission(actor, 'plan:write');
    const row = await this.#find(actor, id);
    const operation =
      row.operationId === null
        ? null
        : await this.database.as(actor, (tx) =>
            tx.operation.findUnique({
              where: { id: row.operationId! },
              include: { steps: { orderBy: { position: 'asc' } } },
            }),
          );
    if (!operation) {
      throw new DrvsError(
        'StateConflict',
        'The plan has not been carried out: there is nothing to take back',
        {
          hint: 'See `drvs plan list`.',
        },
      );
    }
    if (operation.endedAt === null) {
      throw new DrvsError('StateConflict', 'The plan is still being carried out', {
        hint: `Stop it first: drvs op cancel ${operation.id}`,
        details: { operation: operation.id },
      });
    }
    if (row.kind !== 'balance') requirePermission(actor, 'node:write');
    const work = z.array(ClusterPlanStepAnswer).parse(row.steps);
    const done = work.filter((_, position) => operation.steps[position]?.state === 'succeeded');
    const policy = policyOf(await this.settings.kept());
    const seen = await this.states.observe(actor);
    const planned = clusterPlan(seen, policy, { kind: 'undo', done }, seesWholeCluster(actor));
    const node = row.node === null || row.nodeId === null ? null : { id: row.nodeId, name: row.node };
    const question = { kind: 'undo' as const, node, request: { plan: id }, origin: 'request' as const };
    return this.#keep(actor, question, seen, planned);
  }

  /** The newest first. */
  async list(actor: Actor, { limit, cursor }: PageQuery): Promise<Page<ClusterPlanView>> {
    requirePermission(actor, 'plan:read');
    const before = decodeCursor(cursor, z.uuid());
    const rows = await this.database.as(actor, (tx) =>
      tx.plan.findMany({
        where: before === null ? {} : { id: { lt: before } },
        orderBy: { id: 'desc' },
        take: limit + 1,
      }),
    );
    return pageOf(rows, limit, ({ id }) => id, planView);
  }

  async show(actor: Actor, id: string): Promise<ClusterPlanView> {
    return planView(await this.#find(actor, id));
  }

  /**
   * Has the plan carried out, once.
   * @throws DrvsError StaleGeneration when it is too old or what it counts on has changed; StateConflict when it was
   * carried out before; OperationUnderWay while another plan, or a change of one of its DRVMs, is under way
   */
  async apply(actor: Actor, id: string, cause?: string): Promise<OperationView> {
    requirePermission(actor, 'plan:write');
    const { kind } = await this.#find(actor, id);
    if (kind !== 'balance' && kind !== 'undo') requirePermission(actor, 'node:write');
    const operationId = await this.database.system(async (tx) => {
      // Plans are accepted one after another: each sees what those before it claim.
      await tx.$queryRaw`SELECT pg_advisory_xact_lock(hashtext('drvs.plans'))::text`;
      const row = await tx.plan.findUnique({ where: { id } });
      if (!row) throw notFound(id);
      await requireFresh(tx, row);
      const view = planView(row);
      if (needsWholeCluster(view)) requirePermission(actor, 'node:write');
      await requireUnclaimed(tx, view);
      const { node, steps: work, rejected, origin } = view;
      const params: PlanWork = {
        plan: id,
        kind: view.kind,
        node,
        nodeId: row.nodeId,
        work,
        rejected,
        origin,
        ...(cause === undefined ? {} : { cause }),
      };
      const operation = await this.operations.start(tx, {
        kind: 'plan.apply',
        subject: node === null ? `plan/${view.kind}` : `node/${node}`,
        tenantId: row.tenantId,
        drvmId: null,
        params: params as unknown as Prisma.InputJsonObject,
        actor,
      });
      await tx.plan.update({ where: { id }, data: { appliedAt: new Date(), operationId: operation.id } });
      await this.audit.append(tx, actor, 'plan.apply', `plan/${id}`, row.tenantId, {
        kind: view.kind,
        node,
        moves: view.cost.moves,
        steps: work.length,
        origin,
        operation: operation.id,
      });
      return operation.id;
    });
    return this.operations.show(actor, operationId);
  }

  /**
   * Closes the node first, so that nothing new comes to it while the plan is made; then carries out a drain. One that
   * stopped half way goes on with what is left.
   * @param remove the node is removed for good once it is empty
   * @param cause the step of another operation that wants it
   */
  async drain(actor: Actor, reference: string, remove = false, cause?: string): Promise<OperationView> {
    requirePermission(actor, 'node:write');
    const node = await this.database.as(actor, async (tx) =>
      nodeDetailViewOf(await findNode(tx, reference), actor),
    );
    if (node.state === 'down' || node.state === 'off') {
      throw new DrvsError(
        'StateConflict',
        `${node.name} is ${node.state}, only a node that is up can be drained`,
        {
          hint:
            node.state === 'down'
              ? 'When it is lost: drvs plan evacuate NODE, once it is fenced.'
              : 'It is empty already. See `drvs node list`.',
        },
      );
    }
    const isClosed = await this.database.system(async (tx) => {
      const closed = await cordon(tx, node.id, actorLabel(actor));
      await this.audit.append(tx, actor, 'node.drain', `node/${node.name}`, null, { remove });
      return closed;
    });
    try {
      return await this.#planned(actor, { kind: 'drain', node: node.id, remove }, cause);
    } catch (error) {
      // Nothing was begun: it takes work again, as before.
      if (isClosed) await this.database.system((tx) => uncordon(tx, node.id, actorLabel(actor)));
      throw error;
    }
  }

  /** Opens a node again, and by `mode` brings back what a drain moved off it. */
  async restore(
    actor: Actor,
    reference: string,
    mode: Extract<PlanRequest, { kind: 'restore' }>['mode'] = 'return',
    cause?: string,
  ): Promise<OperationView> {
    const operation = await this.#planned(actor, { kind: 'restore', node: reference, mode }, cause);
    await this.database.system((tx) =>
      this.audit.append(tx, actor, 'node.restore', operation.subject, null, {
        mode,
        operation: operation.id,
      }),
    );
    return operation;
  }

  /** Opens a node again, at once; what left it stays where it is. */
  async open(actor: Actor, reference: string): Promise<NodeDetailView> {
    requirePermission(actor, 'node:write');
    const { id, name } = await this.database.as(actor, (tx) => findNode(tx, reference));
    return this.database.system(async (tx) => {
      if (await uncordon(tx, id, actorLabel(actor))) {
        await forgetDepartures(tx, id);
        await this.audit.append(tx, actor, 'node.restore', `node/${name}`, null, { mode: 'stay' });
      }
      return nodeDetailViewOf(await findNode(tx, id), actor);
    });
  }

  /** A plan made and carried out at once; made anew where the cluster changed in that moment. */
  async #planned(actor: Actor, request: PlanRequest, cause?: string): Promise<OperationView> {
    for (let attempt = 1; ; attempt++) {
      const plan = await this.make(actor, request);
      try {
        return await this.apply(actor, plan.id, cause);
      } catch (error) {
        if (DrvsError.from(error).code !== 'StaleGeneration' || attempt >= PLANNED_ATTEMPTS) throw error;
      }
    }
  }

  async #wish(request: PlanRequest, node: { id: string } | null): Promise<PlanWish> {
    switch (request.kind) {
      case 'balance':
        return { kind: 'balance' };
      case 'reallocate':
        return { kind: 'reallocate', lendsCpu: !(await this.clusterSettings.get('lending.enabled')) };
      case 'consolidate':
        return { kind: 'consolidate', forecastCpuMilli: await this.forecast.mostExpected('consolidate') };
      case 'power':
        return {
          kind: 'power',
          forecastCpuMilli: await this.forecast.mostExpected('power'),
          waiting: await waitingSlices(this.database.unrestricted),
        };
      case 'drain':
        return { kind: 'drain', nodeId: node!.id, remove: request.remove };
      case 'evacuate':
        return { kind: 'evacuate', nodeId: node!.id };
      case 'restore': {
        const departures = request.mode === 'return' ? await this.#departures(node!.id) : [];
        return { kind: 'restore', nodeId: node!.id, mode: request.mode, departures };
      }
    }
  }

  async #departures(nodeId: string): Promise<Departure[]> {
    const rows = await this.database.unrestricted.departure.findMany({
      where: { nodeId },
      orderBy: [{ leftAt: 'asc' }, { position: 'asc' }],
    });
    return rows.map(({ drvmId, toNodeId, guaranteed, ceiling, pids, merged }) => ({
      drvm: drvmId,
      from: nodeId,
      to: toNodeId,
      guaranteed: fromAmounts(Terms.parse(guaranteed)),
      ceiling: fromAmounts(Terms.parse(ceiling)),
      pids: z.array(z.int()).parse(pids),
      merges: merged,
    }));
  }

  async #keep(
    actor: Actor,
    { kind, node, request, origin }: Question,
    seen: Observation,
    planned: PlannedCluster,
  ): Promise<ClusterPlanView> {
    const { snapshot, steps, gain, cost, rejected } = planned;
    const row = await this.database.as(actor, (tx) =>
      tx.plan.create({
        data: {
          kind,
          tenantId: actor.tenantId,
          nodeId: node?.id,
          node: node?.name,
          snapshot,
          basis: basisOf(seen, planned, node),
          steps: steps as unknown as Prisma.InputJsonArray,
          gain,
          cost,
          rejected: rejected as unknown as Prisma.InputJsonArray,
          request,
          origin,
          requestedBy: actorLabel(actor),
        },
      }),
    );
    return planView(row);
  }

  async #find(actor: Actor, id: string): Promise<Plan> {
    requirePermission(actor, 'plan:read');
    const row = isId(id)
      ? await this.database.as(actor, (tx) => tx.plan.findUnique({ where: { id } }))
      : null;
    if (!row) throw notFound(id);
    return row;
  }
}

const isPlannerKind = (kind: string): kind is PlannerKind =>
  (PLANNER_KINDS as readonly string[]).includes(kind);

/** Anything but moving processes within a DRVM is the supra-administrator's. */
const needsWholeCluster = ({ steps }: ClusterPlanView): boolean =>
  steps.some(({ action }) => action !== 'migrate-process');

/** Of all that was seen, what the steps count on. */
function basisOf(seen: Observation, { steps }: PlannedCluster, node: { id: string } | null): Basis {
  const all = generationsOf(seen);
  const idOf = new Map(seen.nodes.map(({ id, name }) => [name, id]));
  const terms = new Map<string, string>(
    seen.nodes.flatMap(({ slices }) =>
      slices.map((slice) => [`${slice.drvmId}@${slice.nodeId}`, termsOf(slice)] as const),
    ),
  );
  const nodes = new Set(node === null ? [] : [node.id]);
  const drvms = new Set<string>();
  const slices = new Map<string, string | null>();
  const note = (drvmId: string, nodeId: string): void => {
    const key = `${drvmId}@${nodeId}`;
    slices.set(key, terms.get(key) ?? null);
  };
  for (const step of steps) {
    if ('drvmId' in step) drvms.add(step.drvmId);
    if ('nodeId' in step) nodes.add(step.nodeId);
    if ('from' in step) for (const name of [step.from, step.to]) nodes.add(idOf.get(name) ?? '');
    if ('fromId' in step) for (const id of [step.fromId, step.toId]) note(step.drvmId, id);
    if (step.action === 'resize-slice') note(step.drvmId, step.nodeId);
  }
  const only = (generations: Record<string, number>, ids: Set<string>) =>
    Object.fromEntries(Object.entries(generations).filter(([id]) => ids.has(id)));
  return { nodes: only(all.nodes, nodes), drvms: only(all.drvms, drvms), slices: Object.fromEntries(slices) };
}

const termsOf = (slice: {
  cpuMilli: number;
  memoryMiB: number;
  diskGiB: number;
  networkMbps: number;
}): string => [slice.cpuMilli, slice.memoryMiB, slice.diskGiB, slice.networkMbps].join('/');

async function requireFresh(tx: Transaction, row: Plan): Promise<void> {
  const again =
    row.kind === 'undo'
      ? 'Plan again: drvs plan undo ID'
      : `Plan again: drvs plan ${row.kind}${row.node === null ? '' : ` ${row.node}`}`;
  if (row.appliedAt !== null) {
    throw new DrvsError('StateConflict', 'The plan has been carried out already', {
      hint: row.operationId === null ? again : `See \`drvs op show ${row.operationId}\`. ${again}`,
      details: { operation: row.operationId },
    });
  }
  const ageMs = Date.now() - row.createdAt.getTime();
  // A plan from the future was made before the clock was put back: how old it is, nobody knows.
  if (ageMs > PLAN_GOOD_FOR_MS || ageMs < -PLAN_GOOD_FOR_MS) {
    const minutes = Math.floor(Math.abs(ageMs) / 60_000);
    throw new DrvsError(
      'StaleGeneration',
      ageMs > 0
        ? `The plan was made ${minutes} minutes ago; one is good for 10`
        : `By the clock the plan is made in ${minutes} minutes: the clock was put back, and its age is not known`,
      { hint: again },
    );
  }
  const basis = Basis.parse(row.basis);
  const where = (generations: Record<string, number>) => ({
    where: { id: { in: Object.keys(generations) } },
  });
  const select = { id: true, name: true, generation: true } as const;
  const [nodes, drvms] = [
    await tx.node.findMany({ ...where(basis.nodes), select }),
    await tx.drvm.findMany({ ...where(basis.drvms), select }),
  ];
  const changed = [
    ...nodes.filter(({ id, generation }) => generation !== basis.nodes[id]).map(({ name }) => name),
    ...drvms.filter(({ id, generation }) => generation !== basis.drvms[id]).map(({ name }) => name),
    ...(await changedSlices(tx, basis)),
  ];
  const gone =
    Object.keys(basis.nodes).length - nodes.length + Object.keys(basis.drvms).length - drvms.length;
  if (changed.length === 0 && gone === 0) return;
  const what = [...changed.map((name) => `${name} has changed`), ...(gone > 0 ? [`${gone} removed`] : [])];
  throw new DrvsError('StaleGeneration', `Since the plan was made: ${what.join(', ')}`, {
    hint: again,
    details: { changed, removed: gone },
  });
}

async function changedSlices(tx: Transaction, { slices, drvms }: Basis): Promise<string[]> {
  if (Object.keys(slices).length === 0) return [];
  const rows = await tx.slice.findMany({
    where: { drvmId: { in: Object.keys(drvms) } },
    include: { drvm: { select: { name: true } }, node: { select: { name: true } } },
  });
  const now = new Map<string, (typeof rows)[number]>(rows.map((row) => [`${row.drvmId}@${row.nodeId}`, row]));
  return Object.entries(slices).flatMap(([key, terms]) => {
    const row = now.get(key);
    if ((row ? termsOf(row) : null) === terms) return [];
    return [row ? `${row.drvm.name}@${row.node.name}` : 'a slice'];
  });
}

/** @throws DrvsError OperationUnderWay when a plan under way, or a change of a DRVM, touches what this one counts on */
async function requireUnclaimed(tx: Transaction, plan: ClusterPlanView): Promise<void> {
  const own = claimsOf(plan.steps, plan.node);
  const open = await tx.operation.findMany({
    where: { state: { in: ['queued', 'running'] }, kind: 'plan.apply' },
    select: { id: true, subject: true, params: true },
    orderBy: { id: 'asc' },
  });
  for (const { id, subject, params } of open) {
    const work = PlanWork.safeParse(params);
    if (!work.success) continue;
    const clash = clashOf(own, claimsOf(work.data.work, work.data.node));
    if (clash === null) continue;
    const what =
      'node' in clash
        ? clash.node
        : (plan.steps.flatMap((step) =>
            'drvmId' in step && step.drvmId === clash.drvmId ? [step.drvm] : [],
          )[0] ?? clash.drvmId);
    throw new DrvsError(
      'OperationUnderWay',
      `another plan that touches ${what} is being carried out (${subject})`,
      {
        hint: `Wait for it (\`drvs op wait ${id}\`) or stop it (\`drvs op cancel ${id}\`), then plan again.`,
        details: { operation: id, ...clash },
      },
    );
  }
  const change = await tx.operation.findFirst({
    where: {
      state: { in: ['queued', 'running'] },
      kind: { startsWith: 'drvm.' },
      drvmId: { in: [...own.drvms] },
    },
    select: { id: true, kind: true, subject: true },
  });
  if (!change) return;
  throw new DrvsError('OperationUnderWay', `${change.kind} of ${change.subject} is under way`, {
    hint: `Wait for it (\`drvs op wait ${change.id}\`), then plan again.`,
    details: { operation: change.id },
  });
}

function planView(row: Plan): ClusterPlanView {
  const { id, kind, node, snapshot, steps, gain, cost, rejected, requestedBy, createdAt, operationId } = row;
  return ClusterPlanAnswer.parse({
    id,
    kind,
    node,
    snapshot,
    steps,
    gain,
    cost,
    rejected,
    origin: row.origin,
    requestedBy,
    createdAt: createdAt.toISOString(),
    expiresAt: new Date(createdAt.getTime() + PLAN_GOOD_FOR_MS).toISOString(),
    operation: operationId,
  });
}

const notFound = (id: string): DrvsError =>
  new DrvsError('NotFound', `There is no plan ${id.slice(0, 64)}`, { hint: 'See `drvs plan list`.' });
