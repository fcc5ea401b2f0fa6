import {
  type ClusterPlanStep,
  DrvsError,
  type ErrorCode,
  MigrationResult,
  type PlanOutcome,
  type ProcessRow,
} from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { AgentLinks } from '../agents/agent-links.js';
import { Database } from '../database/database.js';
import type { Prisma } from '../gen/client.js';
import { JobsService } from '../jobs/jobs.service.js';
import type { NodeJobOptions } from '../jobs/node-jobs.js';
import { cordon } from '../nodes/cordon.js';
import type { PlannedStep } from './operation-plan.js';
import { PlanWork } from './plan-work.js';
import type { OperationContext, StepOutcome } from './step-performer.js';

type Move = Extract<ClusterPlanStep, { action: 'migrate-process' }>;

/** What a move leaves behind. With `drvmId` and `pid` the next plan knows what has moved lately. */
const Moved = MigrationResult.extend({ drvm: z.string(), drvmId: z.string() });
const LIST_TIMEOUT_MS = 10_000;
/** Errors that may go away by themselves: the runner tries again. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['NodeUnreachable', 'ContainerUnreachable', 'Timeout']);

/**
 * Carries out the steps of plans. The cluster goes on while a plan is carried out, so each step looks again whether it
 * is still wanted: a process that has ended or gone elsewhere is left alone. A process that cannot move stays where it
 * is and does not keep the others from moving; at the end the operation says so.
 */
@Injectable()
export class PlanPerformer {
  constructor(
    private readonly database: Database,
    private readonly jobs: JobsService,
    private readonly links: AgentLinks,
  ) {}

  async perform(step: PlannedStep, context: OperationContext, options: NodeJobOptions): Promise<StepOutcome> {
    const { work } = step;
    if (work?.action === 'cordon') return this.#cordon(work.nodeId, context);
    if (work?.action === 'migrate-process') return this.#move(work, context, options);
    return this.#conclude(context);
  }

  async #cordon(nodeId: string, { requestedBy }: OperationContext): Promise<StepOutcome> {
    const node = await this.database.unrestricted.node.findUnique({ where: { id: nodeId } });
    if (!node) throw new DrvsError('NotFound', 'The node was removed meanwhile');
    if (node.wantedState !== 'active') return { skipped: `${node.name} is closed already` };
    return {
      settle: async (tx) => {
        await cordon(tx, nodeId, requestedBy);
      },
    };
  }

  async #move(move: Move, { operationId }: OperationContext, options: NodeJobOptions): Promise<StepOutcome> {
    const drvm = await this.database.unrestricted.drvm.findUnique({
      where: { id: move.drvmId },
      include: {
        slices: { include: { node: { select: { id: true, name: true, wantedState: true } } } },
      },
    });
    if (!drvm) return { skipped: `${move.drvm} was deleted meanwhile` };
    if (drvm.state === 'stopped') return { skipped: `${drvm.name} was stopped meanwhile` };
    const home = drvm.slices.find(({ index }) => index === 0)?.node;
    const target = drvm.slices.find(({ node }) => node.name === move.to)?.node;
    if (!home || !target) return { skipped: `${drvm.name} is no longer on ${move.to}` };
    if (target.wantedState !== 'active') return { skipped: `${move.to} was closed meanwhile` };
    const needless = await this.#needless(move, home, options.signal);
    if (needless !== null) return { skipped: needless };
    try {
      const { drvmId, pid, to } = move;
      const answer = await this.jobs.nodes.run(
        home.id,
        'process.migrate',
        { operationId, drvmId, pid, to, requestKey: options.key },
        options,
      );
      const result = MigrationResult.parse(answer);
      // The container tells of the move itself.
      return { output: { ...result, drvm: drvm.name, drvmId } };
    } catch (thrown) {
      options.signal.throwIfAborted();
      const error = DrvsError.from(thrown);
      if (PASSING.has(error.code)) throw error;
      if (error.code === 'MigrationUnderWay') throw busy(move);
      const meanwhile = await this.#needless(move, home, options.signal);
      if (meanwhile !== null) return { skipped: meanwhile };
      const { code, message, hint, details } = error;
      throw new DrvsError(code, `it stays on ${move.from}: ${message}`, { hint, details, cause: error });
    }
  }

  /**
   * Why the move is not wanted any more; null when it is.
   * @throws DrvsError Timeout while somebody else moves the process, and all that `callContainer` throws
   */
  async #needless(
    move: Move,
    home: { id: string; name: string },
    signal: AbortSignal,
  ): Promise<string | null> {
    const options = { signal, timeoutMs: LIST_TIMEOUT_MS };
    const { result } = await this.links.callContainer(home, move.drvmId, 'process.list', {}, options);
    const row = result.find(({ pid }: ProcessRow) => pid === move.pid);
    if (!row || row.state === 'zombie') return `process ${move.pid} has ended`;
    if (row.state === 'migrating' || row.state === 'starting') throw busy(move);
    if (row.node === move.to) return `process ${move.pid} is on ${move.to} already`;
    if (row.node !== move.from) return `process ${move.pid} has gone to ${row.node} meanwhile`;
    return null;
  }

  async #conclude({ operationId, params }: OperationContext): Promise<StepOutcome> {
    const { plan, kind, node, work, rejected } = PlanWork.parse(params);
    const rows = await this.database.unrestricted.operationStep.findMany({
      where: { operationId, position: { lt: work.length } },
      orderBy: { position: 'asc' },
    });
    const failed = rows.filter(({ state }) => state === 'failed');
    if (failed.length > 0) {
      const first = failed[0]!;
      throw new DrvsError(
        'MigrationFailed',
        `${failed.length} of ${work.length} steps could not be done; the first: ${first.name}: ${first.error}`,
        { hint: `See each with \`drvs op show ${operationId}\`; then plan again.` },
      );
    }
    const outcome: PlanOutcome = {
      plan,
      kind,
      node,
      moved: rows.flatMap(({ output }) => {
        const moved = Moved.safeParse(output);
        if (!moved.success) return [];
        const { drvm, pid, from, to, bytes, pauseMs } = moved.data;
        return [{ drvm, pid, from, to, bytes, pauseMs }];
      }),
      skipped: rows
        .filter(({ state }) => state === 'skipped')
        .map(({ name, error }) => ({ step: name, reason: error ?? '' })),
      stays: rejected,
    };
    const count = outcome.moved.length;
    const text = `${count} process${count === 1 ? '' : 'es'} moved${node === null ? ' to even the load' : ` off ${node}`}`;
    return {
      result: outcome as unknown as Prisma.InputJsonObject,
      event: { kind: `plan.${kind}`, text },
    };
  }
}

const busy = ({ pid }: Move): DrvsError =>
  new DrvsError('Timeout', `process ${pid} is only just starting, or is being moved by somebody else`, {
    hint: 'Wait until that has ended, then plan again.',
  });
