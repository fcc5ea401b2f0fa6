import { setTimeout as delay } from 'node:timers/promises';
import { DrvsError, type ErrorBody, type OperationKind, type OperationState } from '@drvs/contracts';
import { Injectable, Logger } from '@nestjs/common';
import { DrvmConditions } from '../agents/drvm-conditions.js';
import { Database, type Transaction } from '../database/database.js';
import { type DrvmWantedState, Prisma } from '../gen/client.js';
import { LedgerSession } from '../jobs/ledger-session.js';
import { PASSING_ERRORS } from '../jobs/passing-errors.js';
import { changesOf } from '../reconfigure/resize-work.js';
import { deadlinePassed } from './deadline.js';
import { maintenanceOf } from './maintenance-work.js';
import { type LogLine, logLine, MAX_LOG_LINES } from './operation-logs.js';
import { type PlannedStep, phasesOf, planOperation, type StepAction } from './operation-plan.js';
import { workOf } from './plan-work.js';
import {
  hasEnded,
  progressOf,
  type StepState,
  statesBefore,
  WAY_BACK,
  type WayBack,
} from './state-machine.js';
import {
  type OperationClosing,
  type OperationContext,
  type StepOutcome,
  StepPerformer,
} from './step-performer.js';

/** A cancellation that is told wakes whoever waits; it is looked for this often too, should a notice be lost. */
const CANCEL_CHECK_MS = 2_000;
/** What a step tells of itself while it goes on is written together. */
const LOG_FLUSH_MS = 250;
/** Steps of one phase under way at once. */
const STEPS_AT_ONCE = 16;
const RETRY_FIRST_MS = 500;
const RETRY_LONGEST_MS = 8_000;

const operationRow = {
  _count: { select: { logs: true } },
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
 * Forward: phase after phase. An error that may pass is tried again until the step's deadline; any other, a
 * cancellation and the operation's own deadline are written to its `error`, and from then on the way is back: what was
 * done is undone, and the operation ends `compensated` or `cancelled`; or `failed` where there was nothing to undo.
 */
@Injectable()
export class OperationRunner {
  readonly #logger = new Logger('Operations');

  constructor(
    private readonly database: Database,
    private readonly performer: StepPerformer,
    private readonly conditions: DrvmConditions,
    private readonly notices: LedgerSession,
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
    const run = new OperationRun(row, this.database, this.performer, this.notices, shutdown);
    try {
      if (row._count.logs === 0) {
        const until = row.deadlineAt ? `, to end by ${row.deadlineAt.toISOString()}` : '';
        run.note(null, 'info', `${row.kind} of ${row.subject}, asked for by ${row.requestedBy}${until}`);
      } else {
        run.note(null, 'warn', 'taken up again where it was left');
      }
      const error =
        row.error === null ? await this.#forward(run) : DrvsError.fromBody(row.error as unknown as ErrorBody);
      if (error) await this.#backward(run, error);
    } finally {
      await run.close();
    }
  }

  async #forward(run: OperationRun): Promise<DrvsError | null> {
    try {
      await run.forward();
      return null;
    } catch (thrown) {
      if (run.isShuttingDown) throw new ShuttingDown('the process is going down', { cause: thrown });
      const error = run.isLate(thrown) ? deadlinePassed(run.row.deadlineAt!, thrown) : DrvsError.from(thrown);
      run.note(null, 'error', `${error.message} (${error.code})`);
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
    const undone = await run.undo(error);
    const closing = await run.closing();
    await run.flush();
    const state: OperationState =
      error.code === 'Cancelled' ? 'cancelled' : undone ? 'compensated' : 'failed';
    await this.database.system(async (tx) => {
      if (undone && run.wayBack === 'whole') {
        await tx.operationStep.updateMany({
          where: { operationId: run.row.id, state: { in: ['succeeded', 'failed'] } },
          data: { state: 'compensated' },
        });
      }
      const ended = await this.#become(tx, run.row.id, state, {
        endedAt: new Date(),
        error: errorColumn(error),
        ...(closing === null ? {} : { result: closing.result }),
      });
      if (!ended) return;
      await undone?.(tx);
      await closing?.settle(tx);
      if (!undone) await run.takeBackWish(tx);
      await run.noteIn(tx, null, state === 'failed' ? 'error' : 'info', `ended: ${state}`);
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
  readonly wayBack: WayBack;
  readonly plan: PlannedStep[];
  readonly #states: StepState[];
  readonly #attempts: number[];
  readonly #outputs: unknown[];
  readonly #context: OperationContext;
  #lines: LogLine[] = [];
  #linesLeft: number;
  #flushing: Promise<void> = Promise.resolve();
  #flushTimer: NodeJS.Timeout | null = null;

  constructor(
    readonly row: OperationRow,
    private readonly database: Database,
    private readonly performer: StepPerformer,
    private readonly notices: LedgerSession,
    private readonly shutdown: AbortSignal,
  ) {
    this.kind = row.kind as OperationKind;
    this.wayBack = WAY_BACK[this.kind];
    this.plan = planOperation(
      this.kind,
      slicesOf(row),
      workOf(row.params),
      changesOf(row.params),
      maintenanceOf(row.params),
    );
    this.#states = row.steps.map(({ state }) => state);
    this.#attempts = row.steps.map(({ attempts }) => attempts);
    this.#outputs = row.steps.map(({ output }) => output);
    this.#linesLeft = MAX_LOG_LINES - row._count.logs;
    this.#context = {
      log: (text) => this.note(null, 'info', text),
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

  /** Written within a moment, or with what is written next. */
  note(position: number | null, level: LogLine['level'], text: string): void {
    if (this.#linesLeft <= 0) return;
    this.#linesLeft--;
    this.#lines.push(
      this.#linesLeft === 0
        ? logLine(null, 'warn', `what comes after ${MAX_LOG_LINES} lines is not kept`)
        : logLine(position, level, text),
    );
    this.#flushTimer ??= setTimeout(() => {
      this.#flushTimer = null;
      this.#flushing = this.flush().catch(() => undefined);
    }, LOG_FLUSH_MS);
  }

  async noteIn(
    tx: Transaction,
    position: number | null,
    level: LogLine['level'],
    text: string,
  ): Promise<void> {
    this.note(position, level, text);
    await this.#writeLines(tx, this.#takeLines());
  }

  async flush(): Promise<void> {
    await this.#writeLines(this.database.unrestricted, this.#takeLines());
  }

  /** No line is written after this by itself. */
  async close(): Promise<void> {
    if (this.#flushTimer) clearTimeout(this.#flushTimer);
    this.#flushTimer = null;
    await this.#flushing;
    await this.flush().catch(() => undefined);
  }

  #takeLines(): LogLine[] {
    const lines = this.#lines;
    this.#lines = [];
    return lines;
  }

  /** Who follows the log is told of the lines. */
  async #writeLines(tx: Pick<Transaction, '$executeRaw'>, lines: readonly LogLine[]): Promise<void> {
    if (lines.length === 0) return;
    await tx.$executeRaw`
      WITH lines AS (
        INSERT INTO operation_log (operation_id, position, level, text)
        SELECT ${this.row.id}::uuid, l.position, l.level, l.text
        FROM jsonb_to_recordset(${JSON.stringify(lines)}::jsonb) AS l (position int, level text, text text)
        RETURNING 1
      ) SELECT pg_notify('drvs_operation', ${this.row.id}) FROM lines LIMIT 1`;
  }

  /** What ended the way forward came after the deadline, and not because somebody cancelled. */
  isLate(thrown: unknown): boolean {
    const { deadlineAt } = this.row;
    if (deadlineAt === null || Date.now() < deadlineAt.getTime()) return false;
    return DrvsError.from(thrown).code !== 'Cancelled';
  }

  /** An operation that ended before its first step changed nothing: what it wanted of the DRVM is taken back too. */
  async takeBackWish(tx: Transaction): Promise<void> {
    const before = (this.row.params as { wantedBefore?: DrvmWantedState } | null)?.wantedBefore;
    const hasBegun = this.#states.some((state) => state !== 'pending');
    if (hasBegun || !before || !this.row.drvmId || !this.kind.startsWith('drvm.')) return;
    await tx.drvm.updateMany({ where: { id: this.row.drvmId }, data: { wantedState: before } });
  }

  get isShuttingDown(): boolean {
    return this.shutdown.aborted;
  }

  event(kind: string, text: string): Prisma.EventUncheckedCreateInput {
    const { drvm, tenantId, drvmId } = this.row;
    return { kind, tenantId, tenant: drvm?.tenant.name ?? null, drvmId, drvm: drvm?.name ?? null, text };
  }

  async forward(): Promise<void> {
    if (!this.row.drvm && this.kind !== 'plan.apply' && !this.kind.startsWith('node.')) {
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
        await this.#throwIfOver();
        await this.#phase(phase, stop.signal);
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
  async undo(error: DrvsError): Promise<((tx: Transaction) => Promise<void>) | null> {
    const isUndone =
      this.wayBack === 'when-cancelled'
        ? error.code === 'Cancelled'
        : this.wayBack === 'whole' && this.row.drvm !== null;
    if (!isUndone) return null;
    this.note(null, 'info', 'undoing what was done');
    return this.performer.undo(this.#context, this.shutdown);
  }

  /** Of what is not undone but left as it is: what of it was done, and what the transaction that ends it is to do. */
  async closing(): Promise<OperationClosing | null> {
    const isKept = this.wayBack === 'by-steps' || this.wayBack === 'when-cancelled';
    return isKept ? this.performer.close(this.#context) : null;
  }

  /**
   * @param cancel aborts at a cancellation, or when the operation's time is over. Where the operation is undone as a
   * whole, its steps just end; a step of a plan gives back itself what it has half done.
   */
  async #phase(steps: PlannedStep[], cancel: AbortSignal): Promise<void> {
    const open = steps.filter(({ position }) => !['succeeded', 'skipped'].includes(this.#states[position]!));
    const siblings = new AbortController();
    const givesBack = this.wayBack === 'by-steps';
    const either = AbortSignal.any([this.shutdown, siblings.signal, ...(givesBack ? [] : [cancel])]);
    const queue = [...open];
    const workers = Array.from({ length: Math.min(STEPS_AT_ONCE, queue.length) }, async () => {
      for (let step = queue.shift(); step; step = queue.shift()) {
        try {
          await this.#step(step, either, cancel);
        } catch (error) {
          // At a cancellation each gives back its own, in peace.
          if (!cancel.aborted) siblings.abort(error);
          throw error;
        }
      }
    });
    const outcomes = await Promise.allSettled(workers);
    if (siblings.signal.aborted) throw siblings.signal.reason;
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed) throw failed.reason;
  }

  async #step(step: PlannedStep, signal: AbortSignal, cancel: AbortSignal): Promise<void> {
    const deadline = Math.min(
      Date.now() + this.performer.deadlineMs(step.action),
      this.row.deadlineAt?.getTime() ?? Number.POSITIVE_INFINITY,
    );
    const ended = AbortSignal.any([signal, cancel]);
    ended.throwIfAborted();
    for (let pause = RETRY_FIRST_MS; ; pause = Math.min(pause * 2, RETRY_LONGEST_MS)) {
      await this.#begin(step);
      try {
        ended.throwIfAborted();
        // Between two attempts too: one that waits for a node that is away may be given up.
        if (this.#attempts[step.position]! > 1) await this.#throwIfOver();
        const key = `${this.row.id}.${step.position}.${this.#attempts[step.position]}`;
        const context = {
          ...this.#context,
          log: (text: string) => this.note(step.position, 'info', text),
        };
        const outcome = await this.performer.perform(step, context, {
          key,
          signal,
          cancel,
          withinMs: Math.max(1, deadline - Date.now()),
        });
        await this.#end(step, outcome);
        return;
      } catch (thrown) {
        if (this.isShuttingDown) throw thrown;
        // Why it was to end counts, and not what its ending looked like.
        const error = DrvsError.from(ended.aborted ? ended.reason : thrown);
        if (!ended.aborted && PASSING_ERRORS.has(error.code) && Date.now() + pause < deadline) {
          this.note(
            step.position,
            'warn',
            `${error.message} (${error.code}); tried again in ${pause / 1_000} s`,
          );
          await delay(pause, undefined, { signal: ended }).catch(() => undefined);
          continue;
        }
        await this.#fail(step, error);
        if (mayFailAlone(step) && !ended.aborted && error.code !== 'Cancelled' && !this.isLate(error)) return;
        throw error;
      }
    }
  }

  async #begin({ position }: PlannedStep): Promise<void> {
    this.#attempts[position] = this.#attempts[position]! + 1;
    this.#states[position] = 'running';
    const attempt = this.#attempts[position]!;
    this.note(position, 'info', attempt === 1 ? 'begun' : `begun, attempt ${attempt}`);
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
    this.note(position, 'info', outcome.skipped === undefined ? 'done' : `nothing to do: ${outcome.skipped}`);
    if (isLast) this.note(null, 'info', 'ended: succeeded');
    const lines = this.#takeLines();
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
      await this.#writeLines(tx, lines);
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
    this.note(position, 'error', `${error.message} (${error.code})`);
    await this.database.unrestricted.operationStep.update({
      where: { operationId_position: { operationId: this.row.id, position } },
      data: { state: 'failed', endedAt: new Date(), error: error.message },
    });
  }

  /** @throws DrvsError Timeout past the deadline, Cancelled when somebody has asked for it */
  async #throwIfOver(): Promise<void> {
    const { deadlineAt } = this.row;
    if (deadlineAt !== null && Date.now() >= deadlineAt.getTime()) throw deadlinePassed(deadlineAt);
    if (this.wayBack === 'none') return;
    const now = await this.database.unrestricted.operation.findUnique({
      where: { id: this.row.id },
      select: { cancelRequestedAt: true },
    });
    if (now?.cancelRequestedAt) throw new DrvsError('Cancelled', 'It was cancelled');
  }

  /** A step that waits for an agent does not see the border of a step for long: its waiting is ended for it. */
  async #watchForCancel(stop: AbortController): Promise<void> {
    if (this.wayBack === 'none') return;
    try {
      for (;;) {
        const left = (this.row.deadlineAt?.getTime() ?? Number.POSITIVE_INFINITY) - Date.now();
        const wait = Math.min(CANCEL_CHECK_MS, left);
        const isOver = await this.notices.next('drvs_operation', this.row.id, wait, stop.signal).then(
          () => false,
          () => true,
        );
        // The steps have ended, or the process goes down, which the steps are told by their own signal.
        if (isOver) return;
        await this.#throwIfOver();
      }
    } catch (error) {
      if (stop.signal.aborted) return;
      if (DrvsError.from(error).code === 'Cancelled')
        this.note(null, 'warn', 'a cancellation was asked for: what is under way is ended');
      stop.abort(error);
    }
  }
}

/**
 * Moves of a plan, and nodes of a group that is maintained, do not need each other: the rest is done all the same, and
 * a later step says what was not.
 */
const mayFailAlone = ({ action }: PlannedStep): boolean => MAY_FAIL_ALONE.has(action);
const MAY_FAIL_ALONE: ReadonlySet<StepAction> = new Set([
  'move',
  'move-slice',
  'change-slice',
  'switch',
  'remove-node',
  'maintain-drain',
  'maintain-work',
  'maintain-restore',
  'maintain-check',
]);

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
