import {
  DrvsError,
  type OperationKind,
  type OperationState,
  type OperationView,
  type Page,
} from '@drvs/contracts';
import { Injectable, Logger } from '@nestjs/common';
import { z } from 'zod';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';
import { newId } from '../database/new-id.js';
import { type DrvmWantedState, type Operation, Prisma } from '../gen/client.js';
import { decodeCursor, type PageQuery, pageOf } from '../http/paging.js';
import { isId } from '../http/reference.js';
import { LedgerSession } from '../jobs/ledger-session.js';
import { changesOf } from '../reconfigure/resize-work.js';
import { requestedDeadline } from './deadline.js';
import { maintenanceOf } from './maintenance-work.js';
import { type PlannedSlice, planOperation } from './operation-plan.js';
import { OperationQueue } from './operation-queue.js';
import { type OperationRows, operationView } from './operation-view.js';
import { workOf } from './plan-work.js';
import { hasEnded, WAY_BACK } from './state-machine.js';

export interface OperationRequest {
  kind: OperationKind;
  /** For instance `drvm/fisica` or `drvm/fisica/pid/12`. */
  subject: string;
  tenantId: string | null;
  drvmId: string | null;
  params: Prisma.InputJsonObject;
  actor: Actor;
}

export interface OperationFilter extends PageQuery {
  /** A DRVM's id, or its name, or `tenant~name`. */
  drvm?: string;
  state?: OperationState;
  kind?: string;
  /** As it is written in operations, or the beginning of it: `drvm/fisica` finds its processes too. */
  subject?: string;
  /** Who asked: `user/ana`, or only `ana`. */
  actor?: string;
  /** Asked for at or after this, and before that. */
  from?: Date;
  to?: Date;
}

const withSteps = { steps: { orderBy: { position: 'asc' } } } satisfies Prisma.OperationInclude;
/** A waiting request looks by itself this often, should a notice be lost. */
const LOOK_EVERY_MS = 1_000;

/** Accepts work, shows it, and takes requests about it. */
@Injectable()
export class OperationsService {
  readonly #logger = new Logger('Operations');

  constructor(
    private readonly database: Database,
    private readonly queue: OperationQueue,
    private readonly notices: LedgerSession,
  ) {}

  /**
   * Records an operation and its steps in the caller's transaction, in which what it is about is changed too, and
   * queues it once that is committed.
   *
   * @throws the unique violation of `operation_one_per_drvm` or `operation_one_migration_per_process`, which the user
   * is told as OperationUnderWay or MigrationUnderWay
   */
  async start(tx: Transaction, request: OperationRequest): Promise<Operation> {
    const { kind, subject, tenantId, drvmId, params, actor } = request;
    const drvm =
      drvmId === null
        ? null
        : await tx.drvm.findUnique({
            where: { id: drvmId },
            select: {
              wantedState: true,
              slices: { select: { id: true, index: true, node: { select: { id: true, name: true } } } },
            },
          });
    const slices = (drvm?.slices ?? []).map(({ id, index, node }) => ({
      sliceId: id,
      nodeId: node.id,
      nodeName: node.name,
      index,
    }));
    const operation = await tx.operation.create({
      data: {
        kind,
        subject,
        tenantId,
        drvmId,
        params: { wantedBefore: drvm?.wantedState ?? null, ...params },
        requestedBy: actorLabel(actor),
        deadlineAt: requestedDeadline(Date.now()),
        nodeIds: await nodesOf(tx, kind, slices, params),
        steps: {
          create: planOperation(kind, slices, workOf(params), changesOf(params), maintenanceOf(params)).map(
            ({ position, name }) => ({ position, name }),
          ),
        },
      },
    });
    this.database.afterCommit(tx, () => this.#admit());
    return operation;
  }

  /**
   * As `start`, as rows for a statement that writes them with the DRVM that they are about; `admitSoon` comes after it.
   */
  rowsOf(request: OperationRequest & { drvmId: string; slices: readonly PlannedSlice[] }): OperationRows {
    const { kind, subject, drvmId, params, actor, slices } = request;
    const id = newId();
    return {
      operation: {
        id,
        kind,
        subject,
        drvmId,
        params: { wantedBefore: 'running', ...params },
        requestedBy: actorLabel(actor),
        deadlineAt: requestedDeadline(Date.now())?.toISOString() ?? null,
        nodeIds: [...new Set(slices.map(({ nodeId }) => nodeId))],
      },
      steps: planOperation(kind, slices, workOf(params), changesOf(params)).map(({ position, name }) => ({
        operationId: id,
        position,
        name,
      })),
    };
  }

  /** Gives what waits its place; nobody waits for that. */
  admitSoon(): void {
    void this.#admit();
  }

  /** When the queue is away the operation stays in the ledger and is queued by the next sweep. */
  async #admit(): Promise<void> {
    await this.queue
      .admit()
      .catch((error: unknown) =>
        this.#logger.warn(`operations wait for the next sweep: ${(error as Error).message}`),
      );
  }

  /** The newest first. */
  async list(actor: Actor, filter: OperationFilter): Promise<Page<OperationView>> {
    requirePermission(actor, 'operation:read');
    const { limit, cursor } = filter;
    const before = decodeCursor(cursor, z.uuid());
    const rows = await this.database.as(actor, (tx) =>
      tx.operation.findMany({
        where: { AND: [conditionOf(filter), before === null ? {} : { id: { lt: before } }] },
        include: withSteps,
        orderBy: { id: 'desc' },
        take: limit + 1,
      }),
    );
    return pageOf(rows, limit, ({ id }) => id, operationView);
  }

  async show(actor: Actor, id: string): Promise<OperationView> {
    requirePermission(actor, 'operation:read');
    const row = isId(id)
      ? await this.database.as(actor, (tx) => tx.operation.findUnique({ where: { id }, include: withSteps }))
      : null;
    if (!row) throw notFound(id);
    return operationView(row);
  }

  /** Answers when it has ended, or as it is when `timeoutMs` have passed. */
  async wait(actor: Actor, id: string, timeoutMs: number, signal: AbortSignal): Promise<OperationView> {
    const until = Date.now() + timeoutMs;
    for (;;) {
      const changed = this.notices.next(
        'drvs_operation',
        id,
        Math.min(LOOK_EVERY_MS, until - Date.now()),
        signal,
      );
      changed.catch(() => undefined);
      const view = await this.show(actor, id);
      if (hasEnded(view.state) || Date.now() >= until) return view;
      await changed;
    }
  }

  /** Every state of it that is seen, until it has ended. */
  async *follow(actor: Actor, id: string, signal: AbortSignal): AsyncGenerator<OperationView> {
    for (let last = ''; ; ) {
      const changed = this.notices.next('drvs_operation', id, LOOK_EVERY_MS, signal);
      changed.catch(() => undefined);
      const view = await this.show(actor, id);
      const now = JSON.stringify(view);
      if (now !== last) yield view;
      last = now;
      if (hasEnded(view.state)) return;
      await changed;
    }
  }

  /**
   * Asks for it to be cancelled. What can be undone is undone at the next border of a step; what cannot is cancelled
   * only while it has not begun.
   */
  async cancel(actor: Actor, id: string): Promise<OperationView> {
    const before = await this.show(actor, id);
    this.#requireMayChange(actor, before);
    if (hasEnded(before.state)) throw conflict(before, 'It has ended: there is nothing to cancel.');
    const now = new Date();
    const count =
      WAY_BACK[before.kind] !== 'none'
        ? await this.#askRunner(actor, id, now)
        : await this.#cancelQueued(actor, id, now);
    // One that waits for its place does not wait to be told.
    await this.#admit();
    const after = await this.show(actor, id);
    if (count === 0) throw conflict(after, `A ${after.kind} that has begun is finished.`);
    return after;
  }

  async #askRunner(actor: Actor, id: string, now: Date): Promise<number> {
    const { count } = await this.database.as(actor, (tx) =>
      tx.operation.updateMany({
        where: { id, state: { in: ['queued', 'running'] } },
        data: { cancelRequestedAt: now },
      }),
    );
    return count;
  }

  /** With the request, what it wanted of the DRVM is taken back too. */
  #cancelQueued(actor: Actor, id: string, now: Date): Promise<number> {
    return this.database.as(actor, async (tx) => {
      const { count } = await tx.operation.updateMany({
        where: { id, state: 'queued' },
        data: { state: 'cancelled', cancelRequestedAt: now, endedAt: now, error: CANCELLED },
      });
      const operation = await tx.operation.findUnique({ where: { id } });
      const before = (operation?.params as { wantedBefore?: DrvmWantedState } | null)?.wantedBefore;
      if (count === 1 && operation?.drvmId && operation.kind.startsWith('drvm.') && before) {
        await tx.drvm.updateMany({ where: { id: operation.drvmId }, data: { wantedState: before } });
      }
      return count;
    });
  }

  /** Puts a failed operation in the queue again; steps that were done are not done again. */
  async retry(actor: Actor, id: string): Promise<OperationView> {
    const before = await this.show(actor, id);
    this.#requireMayChange(actor, before);
    await this.database.as(actor, async (tx) => {
      const { count } = await tx.operation.updateMany({
        where: { id, state: 'failed' },
        data: {
          state: 'queued',
          error: Prisma.DbNull,
          endedAt: null,
          cancelRequestedAt: null,
          admittedAt: null,
          deadlineAt: requestedDeadline(Date.now()),
        },
      });
      if (count === 0) {
        throw conflict(before, 'Only a failed operation can be tried again; ask for it anew.');
      }
      await tx.operationStep.updateMany({
        where: { operationId: id, state: { in: ['failed', 'running', 'skipped'] } },
        data: { state: 'pending', error: null, endedAt: null },
      });
      this.database.afterCommit(tx, () => this.#admit());
    });
    return this.show(actor, id);
  }

  #requireMayChange(actor: Actor, { kind, requestedBy }: OperationView): void {
    requirePermission(actor, 'operation:write');
    if (actor.role === 'supra-admin' || actor.role === 'tenant-admin') return;
    if (actor.role === 'member' && (kind === 'process.migrate' || requestedBy === actorLabel(actor))) return;
    throw new DrvsError('NotAllowed', `The role ${actor.role} may not change this operation`, {
      hint: 'Ask an administrator of the department.',
    });
  }
}

/** Works on these: with too many at once on a node, the next one waits. */
async function nodesOf(
  tx: Transaction,
  kind: OperationKind,
  slices: readonly PlannedSlice[],
  params: Prisma.InputJsonObject,
): Promise<string[]> {
  const isMigration = kind === 'process.migrate';
  const held = slices.filter(({ nodeName }) => !isMigration || nodeName === params.to);
  const names = new Set<string>();
  for (const step of workOf(params)) {
    for (const name of Object.values(pick(step))) if (typeof name === 'string') names.add(name);
  }
  const rows =
    names.size === 0
      ? []
      : await tx.node.findMany({ where: { name: { in: [...names] } }, select: { id: true } });
  return [...new Set([...held.map(({ nodeId }) => nodeId), ...rows.map(({ id }) => id)])];
}

/** The nodes that a step of a plan names. */
const pick = (step: object): { node?: unknown; from?: unknown; to?: unknown } => {
  const { node, from, to } = step as { node?: unknown; from?: unknown; to?: unknown };
  return { node, from, to };
};

function conditionOf({
  drvm,
  state,
  kind,
  subject,
  actor,
  from,
  to,
}: OperationFilter): Prisma.OperationWhereInput {
  return {
    state,
    kind,
    ...(subject === undefined ? {} : { subject: { startsWith: subject } }),
    ...(actor === undefined
      ? {}
      : { requestedBy: actor.includes('/') ? actor : { in: [`user/${actor}`, `token/${actor}`] } }),
    ...(from === undefined && to === undefined ? {} : { createdAt: { gte: from, lt: to } }),
    ...(drvm === undefined ? {} : aboutDrvm(drvm)),
  };
}

function aboutDrvm(reference: string): Prisma.OperationWhereInput {
  if (isId(reference)) return { drvmId: reference };
  const [tenant, name] = reference.includes('~') ? reference.split('~', 2) : [undefined, reference];
  // By the subject: the DRVM itself may be gone.
  return {
    OR: [{ subject: `drvm/${name}` }, { subject: { startsWith: `drvm/${name}/` } }],
    ...(tenant === undefined ? {} : { tenant: { name: tenant } }),
  };
}

const CANCELLED = { code: 'Cancelled', message: 'It was cancelled before it began' };

const notFound = (id: string) =>
  new DrvsError('NotFound', `There is no operation ${id.slice(0, 64)}`, { hint: 'See `drvs op list`.' });

const conflict = ({ kind, subject, state }: OperationView, hint: string) =>
  new DrvsError('StateConflict', `The operation ${kind} of ${subject} is ${state}`, { hint });
