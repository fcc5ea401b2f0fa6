import { setTimeout as delay } from 'node:timers/promises';
import {
  DrvsError,
  type ErrorBody,
  type ErrorCode,
  type OperationKind,
  type OperationState,
} from '@drvs/contracts';
import { Injectable, Logger } from '@nestjs/common';
import { DrvmConditions } from '../agents/drvm-conditions.js';
import { Database, type Transaction } from '../database/database.js';
import { Prisma } from '../gen/client.js';
import { type PlannedStep, phasesOf, planOperation } from './operation-plan.js';
import { workOf } from './plan-work.js';
import {
  CANCEL_ENDS_STEPS,
  CANCELLABLE_ONCE_BEGUN,
  hasEnded,
  progressOf,
  type StepState,
  statesBefore,
} from './state-machine.js';
import { type OperationContext, type StepOutcome, StepPerformer } from './step-performer.js';

/** How often a cancellation is looked for while a step waits. */
const CANCEL_CHECK_MS = 500;
/** Steps of one phase under way at once. */
const STEPS_AT_ONCE = 16;
/** Errors that may go away by themselves; any other ends the operation's way forward. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['NodeUnreachable', 'ContainerUnreachable', 'Timeout']);
const RETRY_FIRST_MS = 500;
const RETRY_LONGEST_MS = 8_000;

const operationRow = {
  steps: { orderBy: { position: 'asc' } },
  drvm: {
    include: {
      tenant: { select: { name: true } },
      slices: { include: { node: { select: { id: true, name: true } } }, orderBy: { index: 'asc' } },
    },
  },
} satisfies Prisma.OperationInclude;
type OperationRow = Prisma.OperationGetPayload<{ include: typeof operationRow }>;

/** The process is going down: the operation stays as it is in the database, and is taken up after. */
class ShuttingDown extends Error {}

/**
 * Walks an operation through its steps. Everything it knows is in the database before and after each step, so that
 * another process can go on where a killed one stopped: a step that was `running` then is done again, which all of
 * them bear.
 *
 * Forward: phase after phase. An error that may pass is tried again until the step's deadline; any other, and a
 * cancellation, is written to the operation's `error`, and from then on the way is back: what was done is undone, and
 * the operation ends `compensated` or `cancelled`; or `failed` where there was nothing to undo.
 */
@Injectable()
export class OperationRunner {
  readonly #logger = new Logger('Operations');

  constructor(
    private readonly database: Database,
    private readonly performer: StepPerformer,
    private readonly conditions: DrvmConditions,
  ) {}

  /** @param shutdown aborts when this process goes down; the operation is then left for another to take up */
  async run(operationId: string, shutdown: AbortSignal): Promise<void> {
    let row = await this.#load(operationId);
    if (!row || hasEnded(row.state)) return;
    if (row.state === 'queued') {
      await this.#become(this.database.unrestricted, operationId, 'running', { startedAt: new Date() });
      row = await this.#load(operationId);
      if (row?.state !== 'running') return;
    }
    const run = new OperationRun(row, this.database, this.performer, shutdown);
    const error =
      row.error === null ? await this.#forward(run) : DrvsError.fromBody(row.error as unknown as ErrorBody);
    if (error) await this.#backward(run, error);
  }

  async #forward(run: OperationRun): Promise<DrvsError | null> {
    try {
      await run.forward();
      return null;
    } catch (thrown) {
      if (run.isShuttingDown) throw new ShuttingDown('the process is going down', { cause: thrown });
      const error = DrvsError.from(thrown);
      this.#logger.warn(
        `${run.row.kind} of ${run.row.subject} (${run.row.id}): ${error.code}: ${error.message}`,
      );
      if (error.code === 'Internal')
        this.#logger.error(error.cause instanceof Error ? error.cause.stack : error.stack);
      await this.database.unrestricted.operation.update({
        where: { id: run.row.id },
        data: { error: errorColumn(error) },
      });
      return error;
    }
  }

  async #backward(run: OperationRun, error: DrvsError): Promise<void> {
    const undone = await run.undo();
    const state: OperationState =
      error.code === 'Cancelled' ? 'cancelled' : undone ? 'compensated' : 'failed';
    await this.database.system(async (tx) => {
      if (undone) {
        await tx.operationStep.updateMany({
          where: { operationId: run.row.id, state: { in: ['succeeded', 'failed'] } },
          data: { state: 'compensated' },
        });
      }
      const ended = await this.#become(tx, run.row.id, state, {
        endedAt: new Date(),
        error: errorColumn(error),
      });
      if (!ended) return;
      await undone?.(tx);
      await tx.event.create({
        data: run.event(`operation.${state}`, `${run.row.kind} of ${run.row.subject}: ${error.message}`),
      });
      if (run.row.drvmId) await this.conditions.refreshOne(tx, run.row.drvmId);
    });
  }

  #load(operationId: string): Promise<OperationRow | null> {
    return this.database.unrestricted.operation.findUnique({
      where: { id: operationId },
      include: operationRow,
    });
  }

  /** False when the state machine does not allow it from where the operation is now. */
  async #become(
    tx: Pick<Transaction, 'operation'>,
    id: string,
    state: OperationState,
    data: Prisma.OperationUpdateManyMutationInput,
  ): Promise<boolean> {
    const { count } = await tx.operation.updateMany({
      where: { id, state: { in: statesBefore(state) } },
      data: { ...data, state },
    });
    return count === 1;
  }
}

/** One walk of one operation in one process. */
class OperationRun {
  readonly kind: OperationKind;
  readonly plan: PlannedStep[];
  readonly #states: StepState[];
  readonly #attempts: number[];
  readonly #outputs: unknown[];
  readonly #context: OperationContext;

  constructor(
    readonly row: OperationRow,
    private readonly database: Database,
    private readonly performer: StepPerformer,
    private readonly shutdown: AbortSignal,
  ) {
    this.kind = row.kind as OperationKind;
    this.plan = planOperation(this.kind, slicesOf(row), workOf(row.params));
    this.#states = row.steps.map(({ state }) => state);
    this.#attempts = row.steps.map(({ attempts }) => attempts);
    this.#outputs = row.steps.map(({ output }) => output);
    this.#context = {
      operationId: row.id,
      kind: this.kind,
      requestedBy: row.requestedBy,
      drvmId: row.drvmId ?? '',
      params: row.params as Record<string, unknown>,
      slices: slicesOf(row),
      outputOf: (action, sliceIndex) => {
        const step = this.plan.find((s) => s.action === action && (s.slice?.index ?? null) === sliceIndex);
        return step === undefined ? null : this.#outputs[step.position];
      },
    };
  }

  get isShuttingDown(): boolean {
    return this.shutdown.aborted;
  }

  event(kind: string, text: string): Prisma.EventUncheckedCreateInput {
    const { drvm, tenantId, drvmId } = this.row;
    return { kind, tenantId, tenant: drvm?.tenant.name ?? null, drvmId, drvm: drvm?.name ?? null, text };
  }

  async forward(): Promise<void> {
    if (!this.row.drvm && this.kind !== 'plan.apply') {
      throw new DrvsError('NotFound', `${this.row.subject} is no more`, {
        hint: 'It was deleted meanwhile.',
      });
    }
    if (this.plan.length !== this.row.steps.length) {
      throw new DrvsError(
        'StateConflict',
        `The nodes of ${this.row.subject} have changed since this was asked for`,
        {
          hint: 'Ask for it again.',
        },
      );
    }
    const stop = new AbortController();
    const watch = this.#watchForCancel(stop);
    try {
      for (const phase of phasesOf(this.plan)) {
        await this.#throwIfCancelled();
        await this.#phase(phase, AbortSignal.any([this.shutdown, stop.signal]));
      }
    } finally {
      stop.abort(new DrvsError('Cancelled', 'the operation has ended'));
      await watch;
    }
  }

  /**
   * Undoes what was done. Null when there is nothing to undo; else what the transaction that ends the operation is to
   * do to the ledger.
   */
  async undo(): Promise<((tx: Transaction) => Promise<void>) | null> {
    if (!CANCELLABLE_ONCE_BEGUN[this.kind] || !this.row.drvm) return null;
    return this.performer.undo(this.#context, this.shutdown);
  }

  async #phase(steps: PlannedStep[], signal: AbortSignal): Promise<void> {
    const open = steps.filter(({ position }) => !['succeeded', 'skipped'].includes(this.#states[position]!));
    const siblings = new AbortController();
    const either = AbortSignal.any([signal, siblings.signal]);
    const queue = [...open];
    const workers = Array.from({ length: Math.min(STEPS_AT_ONCE, queue.length) }, async () => {
      for (let step = queue.shift(); step; step = queue.shift()) {
        try {
          await this.#step(step, either);
        } catch (error) {
          siblings.abort(error);
          throw error;
        }
      }
    });
    const outcomes = await Promise.allSettled(workers);
    if (siblings.signal.aborted) throw siblings.signal.reason;
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed) throw failed.reason;
  }

  async #step(step: PlannedStep, signal: AbortSignal): Promise<void> {
    const deadline = Date.now() + this.performer.deadlineMs(step.action);
    signal.throwIfAborted();
    for (let pause = RETRY_FIRST_MS; ; pause = Math.min(pause * 2, RETRY_LONGEST_MS)) {
      await this.#begin(step);
      try {
        signal.throwIfAborted();
        // Between two attempts too: one that waits for a node that is away may be given up.
        if (this.#attempts[step.position]! > 1) await this.#throwIfCancelled();
        const key = `${this.row.id}.${step.position}.${this.#attempts[step.position]}`;
        const outcome = await this.performer.perform(step, this.#context, {
          key,
          signal,
          withinMs: Math.max(1, deadline - Date.now()),
        });
        await this.#end(step, outcome);
        return;
      } catch (thrown) {
        if (this.isShuttingDown) throw thrown;
        // Why it was to end counts, and not what its ending looked like.
        const error = DrvsError.from(signal.aborted ? signal.reason : thrown);
        if (!signal.aborted && PASSING.has(error.code) && Date.now() + pause < deadline) {
          await delay(pause, undefined, { signal }).catch(() => undefined);
          continue;
        }
        await this.#fail(step, error);
        if (mayFailAlone(step) && !signal.aborted && error.code !== 'Cancelled') return;
        throw error;
      }
    }
  }

  async #begin({ position }: PlannedStep): Promise<void> {
    this.#attempts[position] = this.#attempts[position]! + 1;
    this.#states[position] = 'running';
    await this.database.unrestricted.operationStep.update({
      where: { operationId_position: { operationId: this.row.id, position } },
      data: {
        state: 'running',
        startedAt: this.row.steps[position]?.startedAt ?? new Date(),
        endedAt: null,
        error: null,
        attempts: this.#attempts[position]!,
      },
    });
  }

  async #end({ position }: PlannedStep, outcome: StepOutcome): Promise<void> {
    const state = outcome.skipped === undefined ? 'succeeded' : 'skipped';
    this.#states[position] = state;
    this.#outputs[position] = outcome.output ?? null;
    const isLast = position === this.plan.length - 1;
    await this.database.system(async (tx) => {
      await tx.operationStep.update({
        where: { operationId_position: { operationId: this.row.id, position } },
        data: {
          state,
          endedAt: new Date(),
          error: outcome.skipped ?? null,
          output: (outcome.output ?? Prisma.DbNull) as Prisma.InputJsonValue,
        },
      });
      await outcome.settle?.(tx);
      if (isLast) {
        await tx.operation.updateMany({
          where: { id: this.row.id, state: { in: statesBefore('succeeded') } },
          data: {
            state: 'succeeded',
            progress: 1,
            endedAt: new Date(),
            result: (outcome.result ?? Prisma.DbNull) as Prisma.InputJsonValue,
          },
        });
        if (outcome.event)
          await tx.event.create({ data: this.event(outcome.event.kind, outcome.event.text) });
      } else {
        const progress = progressOf(this.#states);
        await tx.operation.updateMany({
          where: { id: this.row.id, progress: { lt: progress } },
          data: { progress },
        });
      }
    });
  }

  async #fail({ position }: PlannedStep, error: DrvsError): Promise<void> {
    this.#states[position] = 'failed';
    await this.database.unrestricted.operationStep.update({
      where: { operationId_position: { operationId: this.row.id, position } },
      data: { state: 'failed', endedAt: new Date(), error: error.message },
    });
  }

  async #throwIfCancelled(): Promise<void> {
    if (!CANCELLABLE_ONCE_BEGUN[this.kind]) return;
    const now = await this.database.unrestricted.operation.findUnique({
      where: { id: this.row.id },
      select: { cancelRequestedAt: true },
    });
    if (now?.cancelRequestedAt) throw new DrvsError('Cancelled', 'It was cancelled');
  }

  /** A step that waits for an agent does not see the border of a step for long: a cancellation ends its waiting. */
  async #watchForCancel(stop: AbortController): Promise<void> {
    if (!CANCEL_ENDS_STEPS[this.kind]) return;
    try {
      for (;;) {
        await delay(CANCEL_CHECK_MS, undefined, { signal: stop.signal });
        await this.#throwIfCancelled();
      }
    } catch (error) {
      if (!stop.signal.aborted) stop.abort(error);
    }
  }
}

/** Moves of a plan do not need each other: the rest is done all the same, and the last step says what was not. */
const mayFailAlone = ({ action }: PlannedStep): boolean => action === 'move';

function slicesOf(row: OperationRow): OperationContext['slices'] {
  return (row.drvm?.slices ?? []).map(({ id, node, index }) => ({
    sliceId: id,
    nodeId: node.id,
    nodeName: node.name,
    index,
  }));
}

function errorColumn(error: DrvsError): Prisma.InputJsonValue {
  const { code, message, hint } = error.toBody();
  return { code, message, ...(hint === undefined ? {} : { hint }) };
}
