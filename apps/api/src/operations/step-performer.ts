import { setTimeout as delay } from 'node:timers/promises';
import {
  type AgentJob,
  AgentMethods,
  type ContainerSpec,
  type ContainerState,
  DrvsError,
  MigrationResult,
  type OperationKind,
} from '@drvs/contracts';
import { Injectable, Logger } from '@nestjs/common';
import { AgentLinks } from '../agents/agent-links.js';
import { SecretBox } from '../config/secret-box.js';
import { Database, type Transaction } from '../database/database.js';
import { homeSliceOf } from '../drvms/home-slice.js';
import type { Prisma } from '../gen/client.js';
import { JobsService } from '../jobs/jobs.service.js';
import type { AgentJobData, NodeJobOptions } from '../jobs/node-jobs.js';
import { unlessDown, whileUp } from '../nodes/while-up.js';
import { PowerPerformer } from '../power/power-performer.js';
import { specOf, WITH_SPEC } from '../reconfigure/container-spec.js';
import { ResizePerformer } from '../reconfigure/resize-performer.js';
import { createAuthority, signMember } from './authority.js';
import { MaintenancePerformer } from './maintenance-performer.js';
import type { PlannedSlice, PlannedStep, StepAction } from './operation-plan.js';
import { PlanPerformer } from './plan-performer.js';
import { openAuthority, sealedAuthority } from './sealed-authority.js';

export interface OperationContext {
  operationId: string;
  kind: OperationKind;
  requestedBy: string;
  drvmId: string;
  params: Record<string, unknown>;
  slices: PlannedSlice[];
  /** What an earlier step of this operation left; `sliceIndex` null for steps that are not about one slice. */
  outputOf(action: StepAction, sliceIndex: number | null): unknown;
  /** Adds a line about this step to the operation's log. */
  log(text: string): void;
}

export interface StepOutcome {
  /** Why there was nothing to do; the step then counts as skipped. */
  skipped?: string;
  /** What later steps, or the same one done again, need. */
  output?: Prisma.InputJsonValue;
  /** Runs in the transaction that ends the step. */
  settle?: (tx: Transaction) => Promise<void>;
  /** Of the last step: the operation's result, and what is told of it. */
  result?: Prisma.InputJsonValue;
  event?: { kind: string; text: string };
}

/** What becomes of an operation that ended before its end and is not undone. */
export interface OperationClosing {
  result: Prisma.InputJsonObject;
  /** Runs in the transaction that ends it. */
  settle: (tx: Transaction) => Promise<void>;
}

/** Time for each step, within which an agent that is away may come back. */
const DEADLINE_MS: Readonly<Record<StepAction, number>> = {
  authority: 30_000,
  prepare: 60_000,
  sign: 30_000,
  start: 120_000,
  'await-running': 120_000,
  stop: 60_000,
  'settle-stopped': 30_000,
  delete: 90_000,
  release: 30_000,
  migrate: 180_000,
  resize: 300_000,
  'settle-resized': 30_000,
  cordon: 30_000,
  move: 180_000,
  open: 30_000,
  'change-slice': 180_000,
  'move-slice': 1_200_000,
  switch: 3_600_000,
  'remove-node': 30_000,
  conclude: 30_000,
  // Longer than all tries of the power's own state machine together: it says what failed, not this.
  'switch-off': 900_000,
  'switch-on': 3_600_000,
  'maintain-close': 60_000,
  'maintain-drain': 21_600_000,
  // Longer than anybody can ask to be waited for.
  'maintain-work': 8 * 86_400_000,
  'maintain-restore': 21_600_000,
  'maintain-check': 900_000,
  'maintain-conclude': 30_000,
};
/** Guests get this long to end on SIGTERM. */
const STOP_GRACE_MS = 5_000;
/** A stop or deletion does not wait for a node that is down: the node is told when it comes back. */
const AWAY_GRACE_MS = 3_000;
/** How often the containers of a starting DRVM are asked. */
const STATUS_EVERY_MS = 200;
const STATUS_TIMEOUT_MS = 2_000;
/** An agent that does not answer is not waited for longer: what is left there it is told to remove with its next report. */
const UNDO_MS = 30_000;

const LEFT_BEHIND = 'the node is down; what is left there is removed when it comes back';
const STOPPED_LATER = 'the node is down; the container is stopped when it comes back';

/** Does single steps. Each may be done twice with the effect of once. */
@Injectable()
export class StepPerformer {
  readonly #logger = new Logger('Operations');

  constructor(
    private readonly database: Database,
    private readonly jobs: JobsService,
    private readonly links: AgentLinks,
    private readonly secrets: SecretBox,
    private readonly plans: PlanPerformer,
    private readonly resizes: ResizePerformer,
    private readonly power: PowerPerformer,
    private readonly maintenance: MaintenancePerformer,
  ) {}

  deadlineMs(action: StepAction): number {
    return DEADLINE_MS[action];
  }

  close(context: OperationContext): Promise<OperationClosing> {
    return context.kind === 'node.maintain' ? this.maintenance.close(context) : this.plans.close(context);
  }

  perform(step: PlannedStep, context: OperationContext, options: NodeJobOptions): Promise<StepOutcome> {
    const { slice } = step;
    switch (step.action) {
      case 'authority':
        return this.#makeAuthority(context);
      case 'prepare':
        return this.#prepare(context, slice!, options);
      case 'sign':
        return this.#sign(context);
      case 'start':
        return this.#start(context, slice!, options);
      case 'await-running':
        return this.#awaitRunning(context, options);
      case 'stop':
        return this.#stop(context, slice!, options);
      case 'settle-stopped':
        return this.#settleStopped(context);
      case 'delete':
        return this.#delete(context, slice!, options);
      case 'release':
        return this.#release(context);
      case 'migrate':
        return this.#migrate(context, options);
      case 'resize':
      case 'settle-resized':
        return this.resizes.perform(step.change ?? null, context, options);
      case 'cordon':
      case 'move':
      case 'open':
      case 'change-slice':
      case 'move-slice':
      case 'switch':
      case 'remove-node':
      case 'conclude':
        return this.plans.perform(step, context, options);
      case 'switch-off':
      case 'switch-on':
        return this.power.perform(step, context, options);
      case 'maintain-close':
      case 'maintain-drain':
      case 'maintain-work':
      case 'maintain-restore':
      case 'maintain-check':
      case 'maintain-conclude':
        return this.maintenance.perform(step, context, options);
    }
  }

  /**
   * Undoes a creation (nothing of the DRVM is left) or the start of a stopped DRVM (it is stopped again). Null when
   * there is nothing to undo: the start of a DRVM that was to run leaves up what is up. What was wanted counts, not what
   * a report on its way when the DRVM stopped made of its state.
   */
  async undo(
    context: OperationContext,
    signal: AbortSignal,
  ): Promise<((tx: Transaction) => Promise<void>) | null> {
    if (context.kind === 'node.maintain') return this.maintenance.undo(context, signal);
    if (context.kind === 'drvm.resize' || context.kind === 'drvm.reconfigure')
      return this.resizes.undo(context, signal);
    const creation = context.kind === 'drvm.create';
    if (!creation && context.params.wantedBefore !== 'stopped') return null;
    await Promise.all(
      context.slices.map(async (slice) => {
        const key = `${context.operationId}.undo.${slice.index}.${Date.now()}`;
        try {
          const options = { key, signal, withinMs: UNDO_MS };
          const work = (own: NodeJobOptions) =>
            creation
              ? this.#run(slice, 'drvm.delete', ids(context), own)
              : this.#run(slice, 'drvm.stop', { ...ids(context), graceMs: STOP_GRACE_MS }, own);
          await whileUp(this.database, slice.nodeId, options, work, AWAY_GRACE_MS);
        } catch (error) {
          if (signal.aborted) throw error;
          // Nothing is lost: what a node still holds against the ledger it is told to remove at its next heartbeat.
          this.#logger.warn(`undoing on ${slice.nodeName}: ${(error as Error).message}`);
          context.log(
            `${slice.nodeName} did not undo its part (${(error as Error).message}); it is told again when it reports`,
          );
        }
      }),
    );
    if (creation) return (tx) => this.#removeDrvm(tx, context.drvmId);
    return async (tx) => {
      await tx.drvm.update({
        where: { id: context.drvmId },
        data: { wantedState: 'stopped', state: 'stopped' },
      });
      await tx.slice.updateMany({ where: { drvmId: context.drvmId }, data: STOPPED_SLICE });
    };
  }

  async #makeAuthority({ drvmId }: OperationContext): Promise<StepOutcome> {
    const drvm = await this.#drvm(drvmId);
    if (drvm.authorityCertificate !== null) return {};
    const authority = await createAuthority(drvmId);
    await this.database.unrestricted.drvm.updateMany({
      where: { id: drvmId, authorityCertificate: null },
      data: sealedAuthority(this.secrets, drvmId, authority),
    });
    return {};
  }

  async #prepare(
    context: OperationContext,
    slice: PlannedSlice,
    options: NodeJobOptions,
  ): Promise<StepOutcome> {
    const answer = await this.#run(slice, 'drvm.prepare', { ...ids(context), index: slice.index }, options);
    const prepared = AgentMethods['drvm.prepare'].result.parse(answer);
    const { host, port } = prepared;
    return {
      output: prepared,
      settle: async (tx) => {
        await tx.slice.update({ where: { id: slice.sliceId }, data: { host, port } });
      },
    };
  }

  /** All certificates are made anew, and the specification gets a new generation. */
  async #sign(context: OperationContext): Promise<StepOutcome> {
    const authority = openAuthority(this.secrets, await this.#drvm(context.drvmId));
    const signed = await Promise.all(
      context.slices.map(async ({ sliceId, index }) => {
        const prepared = AgentMethods['drvm.prepare'].result.parse(context.outputOf('prepare', index));
        const certificate = await signMember(authority, context.drvmId, index, prepared.certificateRequest);
        return { sliceId, certificate };
      }),
    );
    return {
      settle: async (tx) => {
        for (const { sliceId, certificate } of signed) {
          await tx.slice.update({ where: { id: sliceId }, data: { certificate } });
        }
        await tx.drvm.update({ where: { id: context.drvmId }, data: { generation: { increment: 1 } } });
      },
    };
  }

  async #start(
    context: OperationContext,
    slice: PlannedSlice,
    options: NodeJobOptions,
  ): Promise<StepOutcome> {
    const spec = await this.#specification(context.drvmId, slice.index);
    const answer = await this.#run(slice, 'drvm.start', { operationId: context.operationId, spec }, options);
    const state = AgentMethods['drvm.start'].result.parse(answer);
    return {
      settle: async (tx) => {
        await tx.slice.update({ where: { id: slice.sliceId }, data: stateColumns(state) });
      },
    };
  }

  async #specification(drvmId: string, index: number): Promise<ContainerSpec> {
    return specOf(await this.#drvm(drvmId), index);
  }

  async #awaitRunning(context: OperationContext, options: NodeJobOptions): Promise<StepOutcome> {
    const until = Date.now() + options.withinMs;
    for (;;) {
      const waiting = (
        await Promise.all(
          context.slices.map((slice) => this.#askUntilRunning(context.drvmId, slice, options.signal)),
        )
      ).filter((reason) => reason !== null);
      if (waiting.length === 0) return this.#isRunning(context);
      if (Date.now() >= until) {
        throw new DrvsError('ContainerUnreachable', `Not all containers run: ${waiting.join('; ')}`, {
          hint: 'Look at `drvs node list` and at the logs of the agents; then try again.',
        });
      }
      await delay(STATUS_EVERY_MS, undefined, { signal: options.signal });
    }
  }

  /** Null when the container on this node runs; else why it is waited for. */
  async #askUntilRunning(drvmId: string, slice: PlannedSlice, signal: AbortSignal): Promise<string | null> {
    try {
      const agent = await this.links.reach(slice.nodeId, slice.nodeName);
      const { result } = await agent.callContainer(
        drvmId,
        'container.status',
        {},
        { timeoutMs: STATUS_TIMEOUT_MS, signal },
      );
      if (result.state !== 'running') return `${slice.nodeName}: ${result.detail || result.state}`;
      this.links.get(slice.nodeId)?.sawRunning(drvmId);
      return null;
    } catch (error) {
      signal.throwIfAborted();
      return `${slice.nodeName}: ${(error as Error).message}`;
    }
  }

  async #isRunning(context: OperationContext): Promise<StepOutcome> {
    const { name } = await this.#drvm(context.drvmId);
    const nodes = context.slices.map(({ nodeName }) => nodeName);
    return {
      settle: async (tx) => {
        await tx.slice.updateMany({ where: { drvmId: context.drvmId }, data: { containerState: 'running' } });
        await tx.drvm.update({
          where: { id: context.drvmId },
          data: { state: 'running', wantedState: 'running', detail: '' },
        });
      },
      result: { drvm: name, drvmId: context.drvmId, nodes },
      event: {
        kind: context.kind === 'drvm.create' ? 'drvm.created' : 'drvm.started',
        text: `${name} runs on ${nodes.join(', ')}`,
      },
    };
  }

  async #stop(context: OperationContext, slice: PlannedSlice, options: NodeJobOptions): Promise<StepOutcome> {
    const params = { ...ids(context), graceMs: STOP_GRACE_MS };
    return this.#unlessDown(slice, options, STOPPED_LATER, (o) => this.#run(slice, 'drvm.stop', params, o));
  }

  async #settleStopped({ drvmId }: OperationContext): Promise<StepOutcome> {
    const { name } = await this.#drvm(drvmId);
    return {
      settle: async (tx) => {
        await tx.slice.updateMany({ where: { drvmId }, data: STOPPED_SLICE });
        await tx.drvm.update({
          where: { id: drvmId },
          data: { state: 'stopped', wantedState: 'stopped', detail: '' },
        });
      },
      result: { drvm: name, drvmId },
      event: { kind: 'drvm.stopped', text: `${name} is stopped` },
    };
  }

  async #delete(
    context: OperationContext,
    slice: PlannedSlice,
    options: NodeJobOptions,
  ): Promise<StepOutcome> {
    return this.#unlessDown(slice, options, LEFT_BEHIND, (o) =>
      this.#run(slice, 'drvm.delete', ids(context), o),
    );
  }

  async #release({ drvmId }: OperationContext): Promise<StepOutcome> {
    const { name } = await this.#drvm(drvmId);
    return {
      settle: (tx) => this.#removeDrvm(tx, drvmId),
      result: { drvm: name, drvmId },
      event: { kind: 'drvm.deleted', text: `${name} is deleted and its resources are free` },
    };
  }

  async #migrate(context: OperationContext, options: NodeJobOptions): Promise<StepOutcome> {
    const { name, homeIndex } = await this.#drvm(context.drvmId);
    const home = homeSliceOf({ name, homeIndex, slices: context.slices });
    const { pid, to } = context.params as { pid: number; to: string };
    const answer = await this.#run(home, 'process.migrate', { ...ids(context), pid, to }, options);
    const result = MigrationResult.parse(answer);
    return {
      result,
      event: {
        kind: 'process.migrated',
        text: `process ${pid} moved from ${result.from} to ${result.to}, ${result.bytes} bytes, pause ${result.pauseMs.toFixed(1)} ms`,
      },
    };
  }

  async #run<J extends AgentJob>(
    slice: PlannedSlice,
    job: J,
    data: AgentJobData<J>,
    options: NodeJobOptions,
  ): Promise<unknown> {
    try {
      return await this.jobs.nodes.run(slice.nodeId, job, data, options);
    } catch (error) {
      if (!(error instanceof DrvsError) || options.signal.aborted) throw error;
      const { code, message, hint, field, details } = error;
      throw new DrvsError(code, `${slice.nodeName}: ${message}`, { hint, field, details, cause: error });
    }
  }

  /** For what is done without a node that is down, and made good when it comes back. */
  async #unlessDown(
    slice: PlannedSlice,
    options: NodeJobOptions,
    reason: string,
    work: (options: NodeJobOptions) => Promise<unknown>,
  ): Promise<StepOutcome> {
    const isDone = await unlessDown(this.database, slice.nodeId, options, work, AWAY_GRACE_MS);
    return isDone ? {} : { skipped: reason };
  }

  async #removeDrvm(tx: Transaction, drvmId: string): Promise<void> {
    await tx.drvm.deleteMany({ where: { id: drvmId } });
  }

  async #drvm(drvmId: string) {
    const drvm = await this.database.unrestricted.drvm.findUnique({
      where: { id: drvmId },
      include: WITH_SPEC,
    });
    if (!drvm) throw new DrvsError('NotFound', 'The DRVM is no more');
    return drvm;
  }
}

const STOPPED_SLICE = { containerState: 'stopped', usedCpuMilli: 0, usedMemoryMiB: 0, processes: 0 };

const ids = ({ operationId, drvmId }: OperationContext) => ({ operationId, drvmId });

export function stateColumns(state: ContainerState) {
  return {
    containerState: state.state,
    isolation: state.isolation,
    usedMemoryMiB: Math.round(state.residentBytes / 1_048_576),
    processes: state.processes,
  };
}
