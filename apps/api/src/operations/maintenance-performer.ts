import { setTimeout as delay } from 'node:timers/promises';
import { DrvsError, type MaintenanceOutcome, type PlanOutcome } from '@drvs/contracts';
import { Injectable, Logger } from '@nestjs/common';
import type { Actor } from '../auth/actor.js';
import { Database, type Transaction } from '../database/database.js';
import type { Operation, OperationStep, Prisma } from '../gen/client.js';
import { LedgerSession } from '../jobs/ledger-session.js';
import type { NodeJobOptions } from '../jobs/node-jobs.js';
import { cordon } from '../nodes/cordon.js';
import { nodeState, OCCUPYING } from '../nodes/node-view.js';
import { PowerService } from '../power/power.service.js';
import { type MaintainedNode, type MaintenanceWork, maintenanceOf, WorkAnswers } from './maintenance-work.js';
import { NodePlans } from './node-plans.js';
import { maintenanceSteps, type PlannedStep, type StepAction } from './operation-plan.js';
import { hasEnded } from './state-machine.js';
import type { OperationClosing, OperationContext, StepOutcome } from './step-performer.js';

/** A plan or a node is looked at this often by itself, should a notice be lost. */
const LOOK_EVERY_MS = 1_000;
/** Another plan has what this one needs, or the cluster has just changed: asked for again after this. */
const ASK_AGAIN_MS = 2_000;
/** A DRVM that is being changed now keeps a node from being empty: drained again after this. */
const BUSY_PAUSE_MS = 5_000;
/** For each restore on the way back of a maintenance that was cancelled. */
const WAY_BACK_MS = 1_200_000;
/** Longer than all tries of the power's own state machine together: it says what failed, not this. */
const SWITCH_MS = 3_600_000;

type Begin = () => Promise<{ id: string }>;
type Child = Pick<Operation, 'id' | 'state' | 'result' | 'error'>;

/**
 * Carries out `node.maintain`. Each drain and restore is an operation of its own, with its plan; it bears the step that
 * wanted it as its `cause`, in the transaction in which it is accepted, so that a step that is taken up after a crash
 * finds the one that is under way instead of beginning a second. What goes wrong with one node is told at once, the
 * others of its group are finished, and no further group is begun; the node stays as it is, and a retry goes on there.
 */
@Injectable()
export class MaintenancePerformer {
  readonly #logger = new Logger('Maintenance');

  constructor(
    private readonly database: Database,
    private readonly session: LedgerSession,
    private readonly power: PowerService,
    private readonly plans: NodePlans,
  ) {}

  async perform(step: PlannedStep, context: OperationContext, options: NodeJobOptions): Promise<StepOutcome> {
    if (step.action === 'maintain-close') return this.#close(step, context);
    if (step.action === 'maintain-conclude') return this.#conclude(step, context);
    const [node] = step.nodes ?? [];
    if (!node) throw new DrvsError('Internal', `${step.name} names no node`);
    const failed = await this.#failedOf(node, step, context);
    if (failed !== null) return { skipped: `it was not to be: ${failed.name} failed` };
    switch (step.action) {
      case 'maintain-drain':
        return this.#drain(node, step, context, options);
      case 'maintain-work':
        return workOf(context).work.kind === 'wait'
          ? this.#await(node, step, context, options)
          : this.#cycle(node, context, options);
      case 'maintain-restore':
        return this.#restore(node, step, context, options);
      default:
        return this.#check(node, options);
    }
  }

  /**
   * The way back of one that was cancelled: what it closed is opened again, and what it moved away comes back. A node
   * that was closed before stays closed.
   */
  async undo(context: OperationContext, signal: AbortSignal): Promise<(tx: Transaction) => Promise<void>> {
    const { steps, rows } = await this.#walked(context);
    const undone: number[] = [];
    for (const close of steps.filter(({ action }) => action === 'maintain-close')) {
      for (const node of closedBy(rows[close.position], close)) {
        const own = steps.filter(({ nodes = [] }) => nodes.some(({ id }) => id === node.id));
        const restore = own.find(({ action }) => action === 'maintain-restore');
        if (restore && rows[restore.position]?.state === 'succeeded') continue;
        for (const step of own) await this.#endChild(causeOf(context, step.position), context, signal);
        try {
          await this.#bringBack(node, context, signal);
          undone.push(...own.map(({ position }) => position));
        } catch (error) {
          if (signal.aborted) throw error;
          const { message } = DrvsError.from(error);
          this.#logger.warn(`${node.name}: ${message}`);
          context.log(`${node.name} stays as it is: ${message}`);
        }
      }
    }
    return async (tx) => {
      await tx.operationStep.updateMany({
        where: {
          operationId: context.operationId,
          position: { in: undone },
          state: { in: ['succeeded', 'failed', 'running'] },
        },
        data: { state: 'compensated' },
      });
    };
  }

  /** Of one that did not come to its end: how each node was left. */
  async close(context: OperationContext): Promise<OperationClosing> {
    const outcome = await this.#outcome(context);
    return { result: outcome as unknown as Prisma.InputJsonObject, settle: async () => undefined };
  }

  /** Nodes that are closed already are left so, and are not opened on the way back. */
  async #close(
    { nodes = [], position }: PlannedStep,
    { operationId, requestedBy }: OperationContext,
  ): Promise<StepOutcome> {
    await this.#requireNoneFailed(operationId, position);
    const rows = await this.database.unrestricted.node.findMany({
      where: { id: { in: nodes.map(({ id }) => id) } },
      select: { id: true, wantedState: true },
      orderBy: { id: 'asc' },
    });
    const gone = nodes.find(({ id }) => !rows.some((row) => row.id === id));
    if (gone) throw new DrvsError('NotFound', `${gone.name} was removed meanwhile`);
    const closed = rows.filter(({ wantedState }) => wantedState === 'active').map(({ id }) => id);
    return {
      output: { closed },
      settle: async (tx) => {
        for (const id of closed) await cordon(tx, id, requestedBy);
      },
    };
  }

  async #drain(
    node: MaintainedNode,
    { position }: PlannedStep,
    context: OperationContext,
    options: NodeJobOptions,
  ): Promise<StepOutcome> {
    const cause = causeOf(context, position);
    const until = Date.now() + options.withinMs;
    const begin = () => this.plans.planner.drain(actorOf(context), node.id, false, cause);
    for (let id = await this.#childOf(cause, context.operationId); ; id = null) {
      id ??= await this.#begin(begin, until, context, options.signal);
      const child = await this.#ended(id, options.signal);
      if (child.state !== 'succeeded') throw notDone(`${node.name} could not be drained`, child);
      const { stays } = outcomeIn(child);
      if (stays.length === 0) return { output: childOutput(child) };
      const isPassing = stays.every(({ rule }) => rule === 'busy');
      if (!isPassing || Date.now() >= until) {
        const told = stays.map(({ what, reason }) => `${what} (${reason})`).join(', ');
        throw new DrvsError('StateConflict', `${node.name} is not empty: ${told}`, {
          hint: `See why: drvs plan drain ${node.name}. When that is changed: drvs op retry ${context.operationId}. To open it: drvs node restore ${node.name}`,
          details: { stays },
        });
      }
      context.log(`${stays.map(({ what }) => what).join(', ')}: being changed just now; drained again`);
      await delay(BUSY_PAUSE_MS, undefined, { signal: options.signal });
    }
  }

  async #await(
    node: MaintainedNode,
    { position, name }: PlannedStep,
    { operationId, log, params }: OperationContext,
    { signal }: NodeJobOptions,
  ): Promise<StepOutcome> {
    const { work } = workOf({ params });
    const withinMs = work.kind === 'wait' ? work.withinSeconds * 1_000 : 0;
    const until = (await this.#begunAt(operationId, position)) + withinMs;
    await this.database.system(async (tx) => {
      const text = `${node.name} is empty: the work on it may begin. Then: drvs op continue ${operationId} ${node.name}`;
      await tx.event.create({
        data: { kind: 'maintenance.waiting', nodeId: node.id, node: node.name, text },
      });
    });
    for (;;) {
      const changed = this.session.next('drvs_operation', operationId, LOOK_EVERY_MS, signal);
      changed.catch(() => undefined);
      const row = await this.database.unrestricted.operation.findUniqueOrThrow({
        where: { id: operationId },
        select: { answers: true },
      });
      const answer = WorkAnswers.parse(row.answers)[node.id];
      if (answer?.failure !== undefined) {
        // It has been heard: when this is tried again, somebody is waited for again.
        await this.#forgetAnswer(operationId, node.id);
        throw new DrvsError('StateConflict', `the work on ${node.name} failed: ${answer.failure}`, {
          hint: `${node.name} stays drained, and no other group is begun. When it is well: drvs op retry ${operationId}, or drvs node restore ${node.name}`,
        });
      }
      if (answer) {
        log(`${answer.by} said that the work on ${node.name} is done`);
        return { output: { by: answer.by, at: answer.at } };
      }
      if (Date.now() >= until) {
        throw new DrvsError(
          'StateConflict',
          `nobody said within ${withinMs / 1_000} s that the work on ${node.name} is done`,
          {
            hint: `It stays drained: somebody may be at it. To wait on: drvs op retry ${operationId}. To open it: drvs node restore ${node.name}`,
            details: { step: name },
          },
        );
      }
      await changed;
    }
  }

  /** It stays closed to what is new until it is restored. */
  async #cycle(
    { id }: MaintainedNode,
    { operationId, requestedBy }: OperationContext,
    options: NodeJobOptions,
  ): Promise<StepOutcome> {
    const all = { ...options, withinMs: SWITCH_MS, operationId, by: requestedBy, reopens: false };
    await this.power.switchOff(id, all);
    await this.power.switchOn(id, all);
    return {};
  }

  async #restore(
    node: MaintainedNode,
    { position }: PlannedStep,
    context: OperationContext,
    { withinMs, signal }: NodeJobOptions,
  ): Promise<StepOutcome> {
    const cause = causeOf(context, position);
    const until = Date.now() + withinMs;
    const id =
      (await this.#childOf(cause, context.operationId)) ??
      (await this.#beginRestore(node, cause, until, context, signal));
    const child = await this.#ended(id, signal);
    if (child.state !== 'succeeded') throw notDone(`${node.name} could not be restored`, child);
    return { output: childOutput(child) };
  }

  async #beginRestore(
    node: MaintainedNode,
    cause: string,
    until: number,
    context: OperationContext,
    signal: AbortSignal,
  ): Promise<string> {
    await this.#untilUp(node, until, signal);
    const { mode } = workOf(context);
    return this.#begin(
      () => this.plans.planner.restore(actorOf(context), node.id, mode, cause),
      until,
      context,
      signal,
    );
  }

  /** It is well when it is heard, and every container that is to run on it does. */
  async #check(node: MaintainedNode, { withinMs, signal }: NodeJobOptions): Promise<StepOutcome> {
    const until = Date.now() + withinMs;
    await this.#untilUp(node, until, signal);
    for (;;) {
      const waiting = await this.database.unrestricted.slice.findMany({
        where: { nodeId: node.id, drvm: { wantedState: 'running' }, containerState: { not: 'running' } },
        select: { containerState: true, drvm: { select: { name: true } } },
      });
      if (waiting.length === 0) return {};
      if (Date.now() >= until) {
        const told = waiting.map(({ drvm, containerState }) => `${drvm.name} is ${containerState}`);
        throw new DrvsError('ContainerUnreachable', `${node.name} is not well: ${told.join(', ')}`, {
          hint: 'Look at the log of its agent.',
        });
      }
      await delay(LOOK_EVERY_MS, undefined, { signal });
    }
  }

  /** @throws DrvsError NodeUnreachable when its agent has not come back by then */
  async #untilUp({ id, name }: MaintainedNode, until: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      const node = await this.database.unrestricted.node.findUnique({ where: { id } });
      if (!node) throw new DrvsError('NotFound', `${name} was removed meanwhile`);
      const state = nodeState(node, 0, Date.now());
      if (state !== 'down' && state !== 'off') return;
      if (Date.now() >= until) {
        throw new DrvsError('NodeUnreachable', `${name} is ${state}`, {
          hint: `Start its agent, or switch it on: drvs node power on ${name}`,
        });
      }
      await delay(LOOK_EVERY_MS, undefined, { signal });
    }
  }

  async #conclude({ position }: PlannedStep, context: OperationContext): Promise<StepOutcome> {
    await this.#requireNoneFailed(context.operationId, position);
    const outcome = await this.#outcome(context);
    const names = outcome.nodes.map(({ node }) => node).join(', ');
    return {
      result: outcome as unknown as Prisma.InputJsonObject,
      event: { kind: 'maintenance.done', text: `the maintenance of ${names} is done` },
    };
  }

  async #requireNoneFailed(operationId: string, position: number): Promise<void> {
    const failed = await this.database.unrestricted.operationStep.findMany({
      where: { operationId, position: { lt: position }, state: 'failed' },
      orderBy: { position: 'asc' },
    });
    if (failed.length === 0) return;
    throw new DrvsError('StateConflict', failed.map(({ error, name }) => error ?? name).join('; '), {
      hint: `No other node is touched. See \`drvs op show ${operationId}\`; when it is put right: drvs op retry ${operationId}`,
      details: { steps: failed.map(({ name }) => name) },
    });
  }

  async #failedOf(
    node: MaintainedNode,
    { position }: PlannedStep,
    context: OperationContext,
  ): Promise<OperationStep | null> {
    const { steps, rows } = await this.#walked(context);
    const own = steps.filter(
      (step) => step.position < position && (step.nodes ?? []).some(({ id }) => id === node.id),
    );
    return own.map((step) => rows[step.position]).find((row) => row?.state === 'failed') ?? null;
  }

  /** Its plan, and by position what became of each step. */
  async #walked(context: OperationContext): Promise<{ steps: PlannedStep[]; rows: OperationStep[] }> {
    const rows = await this.database.unrestricted.operationStep.findMany({
      where: { operationId: context.operationId },
      orderBy: { position: 'asc' },
    });
    return { steps: maintenanceSteps(workOf(context)), rows };
  }

  async #outcome(context: OperationContext): Promise<MaintenanceOutcome> {
    const { steps, rows } = await this.#walked(context);
    const { nodes } = workOf(context);
    const now = await this.database.unrestricted.node.findMany({
      where: { id: { in: nodes.map(({ id }) => id) } },
      select: { id: true, wantedState: true, _count: { select: { slices: { where: OCCUPYING } } } },
    });
    return {
      nodes: nodes.map((node) => {
        const own = (action: StepAction): OperationStep | undefined => {
          const step = steps.find(
            (one) => one.action === action && (one.nodes ?? []).some(({ id }) => id === node.id),
          );
          return step && rows[step.position];
        };
        const about = (['maintain-drain', 'maintain-work', 'maintain-restore', 'maintain-check'] as const)
          .map(own)
          .filter((row) => row !== undefined);
        const row = now.find(({ id }) => id === node.id);
        const isDone = own('maintain-check')?.state === 'succeeded';
        const isClosed = row !== undefined && row.wantedState !== 'active';
        const hasBegun = ['succeeded', 'compensated'].includes(own('maintain-close')?.state ?? 'pending');
        const left = isClosed ? (row._count.slices === 0 ? 'drained' : 'closed') : 'opened';
        return {
          node: node.name,
          state: isDone ? ('done' as const) : hasBegun ? (left as 'drained') : ('untouched' as const),
          reason: about.find(({ state }) => state === 'failed')?.error ?? null,
          drained: outcomeOfStep(own('maintain-drain')),
          restored: outcomeOfStep(own('maintain-restore')),
        };
      }),
    };
  }

  /** The child that a step has begun in this run of the operation, or before a crash in it; null when there is none. */
  async #childOf(cause: string, operationId: string): Promise<string | null> {
    const { startedAt } = await this.database.unrestricted.operation.findUniqueOrThrow({
      where: { id: operationId },
      select: { startedAt: true },
    });
    const child = await this.database.unrestricted.operation.findFirst({
      where: {
        // Ids rise with time: older operations need not be looked at.
        id: { gt: operationId },
        kind: 'plan.apply',
        params: { path: ['cause'], equals: cause },
        OR: [{ endedAt: null }, { endedAt: { gte: startedAt ?? new Date(0) } }],
      },
      orderBy: { id: 'desc' },
      select: { id: true },
    });
    return child?.id ?? null;
  }

  /** Waits while another plan has what this one needs. */
  async #begin(
    begin: Begin,
    until: number,
    { log }: Pick<OperationContext, 'log'>,
    signal: AbortSignal,
  ): Promise<string> {
    for (let told = ''; ; ) {
      signal.throwIfAborted();
      try {
        return (await begin()).id;
      } catch (thrown) {
        const error = DrvsError.from(thrown);
        const isPassing = error.code === 'OperationUnderWay' || error.code === 'StaleGeneration';
        if (!isPassing || Date.now() >= until) throw error;
        if (error.message !== told) log(`waits: ${error.message}`);
        told = error.message;
      }
      await delay(ASK_AGAIN_MS, undefined, { signal });
    }
  }

  async #ended(id: string, signal: AbortSignal): Promise<Child> {
    for (;;) {
      const changed = this.session.next('drvs_operation', id, LOOK_EVERY_MS, signal);
      changed.catch(() => undefined);
      const child = await this.database.unrestricted.operation.findUnique({
        where: { id },
        select: { id: true, state: true, result: true, error: true },
      });
      if (!child) throw new DrvsError('NotFound', `The operation ${id} is no more`);
      if (hasEnded(child.state)) return child;
      await changed;
    }
  }

  /** A plan under way ends between two of its moves. */
  async #endChild(cause: string, { operationId }: OperationContext, signal: AbortSignal): Promise<void> {
    const id = await this.#childOf(cause, operationId);
    if (id === null) return;
    await this.database.unrestricted.operation.updateMany({
      where: { id, state: { in: ['queued', 'running'] }, cancelRequestedAt: null },
      data: { cancelRequestedAt: new Date() },
    });
    await this.#ended(id, signal);
  }

  async #bringBack(node: MaintainedNode, context: OperationContext, signal: AbortSignal): Promise<void> {
    const until = Date.now() + WAY_BACK_MS;
    const cause = `${context.operationId}.undo.${node.id}`;
    context.log(`${node.name} is restored`);
    const row = await this.database.unrestricted.node.findUnique({ where: { id: node.id } });
    if (!row) throw new DrvsError('NotFound', `${node.name} was removed meanwhile`);
    if (row.wantedState === 'off') {
      await this.power.switchOn(node.id, {
        key: cause,
        operationId: context.operationId,
        by: context.requestedBy,
        reopens: false,
        withinMs: WAY_BACK_MS,
        signal,
      });
    }
    const id =
      (await this.#childOf(cause, context.operationId)) ??
      (await this.#beginRestore(node, cause, until, context, signal));
    const child = await this.#ended(id, signal);
    if (child.state !== 'succeeded') throw notDone(`${node.name} could not be restored`, child);
  }

  async #forgetAnswer(operationId: string, nodeId: string): Promise<void> {
    await this.database.unrestricted
      .$executeRaw`UPDATE operation SET answers = answers - ${nodeId} WHERE id = ${operationId}::uuid`;
  }

  /** When this run of the step began, in milliseconds: a retry gives the whole time again, a crash does not. */
  async #begunAt(operationId: string, position: number): Promise<number> {
    const step = await this.database.unrestricted.operationStep.findUniqueOrThrow({
      where: { operationId_position: { operationId, position } },
      select: { startedAt: true, operation: { select: { startedAt: true } } },
    });
    return Math.max(step.startedAt?.getTime() ?? 0, step.operation.startedAt?.getTime() ?? 0);
  }
}

function workOf({ params }: Pick<OperationContext, 'params'>): MaintenanceWork {
  const work = maintenanceOf(params);
  if (work) return work;
  throw new DrvsError('Internal', 'the operation says no maintenance');
}

const causeOf = ({ operationId }: OperationContext, position: number): string => `${operationId}.${position}`;

const actorOf = (context: OperationContext): Actor => ({
  ...workOf(context).by,
  role: 'supra-admin',
  tenantId: null,
});

const closedBy = (row: OperationStep | undefined, { nodes = [] }: PlannedStep): MaintainedNode[] => {
  const { closed = [] } = (row?.output ?? {}) as { closed?: string[] };
  return nodes.filter(({ id }) => closed.includes(id));
};

const outcomeIn = ({ result }: Pick<Child, 'result'>): PlanOutcome => result as unknown as PlanOutcome;

const childOutput = (child: Child): Prisma.InputJsonObject => ({
  operation: child.id,
  outcome: child.result as Prisma.InputJsonValue,
});

const outcomeOfStep = (row: OperationStep | undefined): PlanOutcome | null =>
  ((row?.output ?? null) as { outcome?: PlanOutcome } | null)?.outcome ?? null;

function notDone(what: string, { id, state, error }: Child): DrvsError {
  const { message = `its plan is ${state}` } = (error ?? {}) as { message?: string };
  return new DrvsError('StateConflict', `${what}: ${message}`, {
    hint: `See \`drvs op show ${id}\`.`,
    details: { operation: id },
  });
}
