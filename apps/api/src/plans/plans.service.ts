import {
  type ClusterPlanView,
  DrvsError,
  type NodeDetailView,
  type OperationView,
  type Page,
} from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission, seesWholeCluster } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';
import { EventsService } from '../events/events.service.js';
import type { Plan, Prisma } from '../gen/client.js';
import { decodeCursor, type PageQuery, pageOf } from '../http/paging.js';
import { isId } from '../http/reference.js';
import { cordon } from '../nodes/cordon.js';
import { nodeDetailViewOf } from '../nodes/node-view.js';
import { findNode } from '../nodes/nodes.service.js';
import { ClusterPlanAnswer } from '../openapi/answers.js';
import { OperationsService } from '../operations/operations.service.js';
import type { PlanWork } from '../operations/plan-work.js';
import { balancePlan, drainPlan, type PlannedCluster } from './cluster-plan.js';
import { generationsOf } from './live-snapshot.js';
import { LiveStates, type Observation } from './live-state.service.js';

/** Load is not what it was after this. */
const PLAN_GOOD_FOR_MS = 10 * 60_000;

export const PlanRequest = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('balance') }),
  /** By name or id. */
  z.strictObject({ kind: z.literal('drain'), node: z.string().min(1).max(100) }),
]);
export type PlanRequest = z.infer<typeof PlanRequest>;

const Basis = z.object({
  nodes: z.record(z.string(), z.int()),
  drvms: z.record(z.string(), z.int()),
});
type Basis = z.infer<typeof Basis>;

/**
 * Makes plans of the running cluster and has them carried out. A plan is kept with the generations of the nodes and
 * DRVMs that it counts on: when one of them has changed, or the plan is old, it is made anew rather than carried out.
 */
@Injectable()
export class PlansService {
  constructor(
    private readonly database: Database,
    private readonly states: LiveStates,
    private readonly operations: OperationsService,
    private readonly events: EventsService,
    private readonly audit: AuditService,
  ) {}

  /** Nothing is changed but that the plan is kept. A department plans for its own DRVMs. */
  async make(actor: Actor, request: PlanRequest): Promise<ClusterPlanView> {
    requirePermission(actor, 'plan:write');
    if (request.kind === 'balance') {
      const seen = await this.states.observe(actor);
      return this.#keep(actor, 'balance', null, seen, balancePlan(seen, seesWholeCluster(actor)));
    }
    requirePermission(actor, 'node:write');
    const { id, name } = await this.database.as(actor, (tx) => findNode(tx, request.node));
    const seen = await this.states.observe(actor);
    return this.#keep(actor, 'drain', { id, name }, seen, drainPlan(seen, id));
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
   * carried out before
   */
  async apply(actor: Actor, id: string): Promise<OperationView> {
    requirePermission(actor, 'plan:write');
    const { kind } = await this.#find(actor, id);
    if (kind === 'drain') requirePermission(actor, 'node:write');
    const operationId = await this.database.system(async (tx) => {
      await tx.$queryRaw`SELECT 1 FROM plan WHERE id = ${id}::uuid FOR UPDATE`;
      const row = await tx.plan.findUnique({ where: { id } });
      if (!row) throw notFound(id);
      await requireFresh(tx, row);
      const view = planView(row);
      const work: PlanWork = {
        plan: id,
        kind: view.kind,
        node: view.node,
        work: view.steps,
        rejected: view.rejected,
      };
      const operation = await this.operations.start(tx, {
        kind: 'plan.apply',
        subject: view.node === null ? `plan/${view.kind}` : `node/${view.node}`,
        tenantId: row.tenantId,
        drvmId: null,
        params: work as unknown as Prisma.InputJsonObject,
        actor,
      });
      await tx.plan.update({ where: { id }, data: { appliedAt: new Date(), operationId: operation.id } });
      await this.audit.append(tx, actor, 'plan.apply', `plan/${id}`, row.tenantId, {
        kind: view.kind,
        node: view.node,
        moves: view.cost.moves,
        operation: operation.id,
      });
      return operation.id;
    });
    return this.operations.show(actor, operationId);
  }

  /** Closes the node first, so that nothing new comes to it while the plan is made; then carries out a drain. */
  async drain(actor: Actor, reference: string): Promise<OperationView> {
    requirePermission(actor, 'node:write');
    const node = await this.database.as(actor, async (tx) =>
      nodeDetailViewOf(await findNode(tx, reference), actor),
    );
    if (node.state === 'down' || node.state === 'off') {
      throw new DrvsError(
        'StateConflict',
        `${node.name} is ${node.state}, only a node that is up can be drained`,
        {
          hint: 'See `drvs node list`.',
        },
      );
    }
    await this.database.system(async (tx) => {
      await cordon(tx, node.id, actorLabel(actor));
      await this.audit.append(tx, actor, 'node.drain', `node/${node.name}`, null, {});
    });
    const plan = await this.make(actor, { kind: 'drain', node: node.id });
    return this.apply(actor, plan.id);
  }

  /** Opens a node again; what has moved away comes back by itself no more than by a balance. */
  async restore(actor: Actor, reference: string): Promise<NodeDetailView> {
    requirePermission(actor, 'node:write');
    const { id, name } = await this.database.as(actor, (tx) => findNode(tx, reference));
    return this.database.system(async (tx) => {
      const { count } = await tx.node.updateMany({
        where: { id, wantedState: 'drained' },
        data: { wantedState: 'active', generation: { increment: 1 } },
      });
      if (count > 0) {
        const text = `${actorLabel(actor)} opened ${name} again`;
        await this.events.record(tx, { kind: 'node.restored', nodeId: id, node: name, text });
        await this.audit.append(tx, actor, 'node.restore', `node/${name}`, null, {});
      }
      return nodeDetailViewOf(await findNode(tx, id), actor);
    });
  }

  async #keep(
    actor: Actor,
    kind: ClusterPlanView['kind'],
    node: { id: string; name: string } | null,
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
          steps,
          gain,
          cost,
          rejected,
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

/** Of all that was seen, what the steps count on. */
function basisOf(seen: Observation, { steps }: PlannedCluster, node: { id: string } | null): Basis {
  const all = generationsOf(seen);
  const idOf = new Map(seen.nodes.map(({ id, name }) => [name, id]));
  const nodes = new Set(node === null ? [] : [node.id]);
  const drvms = new Set<string>();
  for (const step of steps) {
    if (step.action !== 'migrate-process') continue;
    drvms.add(step.drvmId);
    for (const name of [step.from, step.to]) nodes.add(idOf.get(name) ?? '');
  }
  const only = (generations: Record<string, number>, ids: Set<string>) =>
    Object.fromEntries(Object.entries(generations).filter(([id]) => ids.has(id)));
  return { nodes: only(all.nodes, nodes), drvms: only(all.drvms, drvms) };
}

async function requireFresh(tx: Transaction, row: Plan): Promise<void> {
  const again = `Plan again: drvs plan ${row.kind}${row.node === null ? '' : ` ${row.node}`}`;
  if (row.appliedAt !== null) {
    throw new DrvsError('StateConflict', 'The plan has been carried out already', {
      hint: row.operationId === null ? again : `See \`drvs op show ${row.operationId}\`. ${again}`,
      details: { operation: row.operationId },
    });
  }
  const ageMs = Date.now() - row.createdAt.getTime();
  if (ageMs > PLAN_GOOD_FOR_MS) {
    const minutes = Math.floor(ageMs / 60_000);
    throw new DrvsError('StaleGeneration', `The plan was made ${minutes} minutes ago; one is good for 10`, {
      hint: again,
    });
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
    requestedBy,
    createdAt: createdAt.toISOString(),
    expiresAt: new Date(createdAt.getTime() + PLAN_GOOD_FOR_MS).toISOString(),
    operation: operationId,
  });
}

const notFound = (id: string): DrvsError =>
  new DrvsError('NotFound', `There is no plan ${id.slice(0, 64)}`, { hint: 'See `drvs plan list`.' });
