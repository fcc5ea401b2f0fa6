import {
  type ClusterPlanStep,
  DrvsError,
  MigrationResult,
  type PlanOutcome,
  type ProcessRow,
} from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { AgentLinks } from '../agents/agent-links.js';
import { Database, type Transaction } from '../database/database.js';
import type { Prisma } from '../gen/client.js';
import { JobsService } from '../jobs/jobs.service.js';
import type { NodeJobOptions } from '../jobs/node-jobs.js';
import { PASSING_ERRORS } from '../jobs/passing-errors.js';
import { cordon } from '../nodes/cordon.js';
import { uncordon } from '../nodes/uncordon.js';
import { PowerService } from '../power/power.service.js';
import { forgetDepartures } from './departures.js';
import type { PlannedStep } from './operation-plan.js';
import { outcomeOf, summaryOf } from './plan-outcome.js';
import { PlanSlices } from './plan-slices.js';
import { PlanWork } from './plan-work.js';
import type { OperationClosing, OperationContext, StepOutcome } from './step-performer.js';

type Move = Extract<ClusterPlanStep, { action: 'migrate-process' }>;
type Switch = Extract<ClusterPlanStep, { action: 'power-on' | 'power-off' }>;

const LIST_TIMEOUT_MS = 10_000;
/** What takes a moment and is under way when the plan is cancelled comes to its end, if it can: a process moves in milliseconds. */
const CANCEL_GRACE_MS = 3_000;

/**
 * Carries out the steps of plans. The cluster goes on while a plan is carried out, so each step looks again whether it
 * is still wanted: a process that has ended or gone elsewhere is left alone, and a node is switched off only when it is
 * empty. What cannot move stays where it is and does not keep the others from moving; at the end the operation says so.
 */
@Injectable()
export class PlanPerformer {
  constructor(
    private readonly database: Database,
    private readonly jobs: JobsService,
    private readonly links: AgentLinks,
    private readonly slices: PlanSlices,
    private readonly power: PowerService,
  ) {}

  async perform(step: PlannedStep, context: OperationContext, options: NodeJobOptions): Promise<StepOutcome> {
    const { work } = step;
    switch (work?.action) {
      case undefined:
        return this.#conclude(context);
      case 'cordon':
        return this.#cordon(work.nodeId, context);
      case 'uncordon':
        return this.#uncordon(work.nodeId, context);
      case 'remove-node':
        return this.#remove(work.nodeId, context);
      case 'power-off':
      case 'power-on':
        return this.#switch(work, context, options);
      case 'migrate-process':
        return this.#move(work, context, endedBy(options, withGrace(options)));
      case 'resize-slice':
        return this.slices.resize(work, context, { ...options, cancel: withGrace(options) });
      case 'move-slice':
      case 'rebuild-slice':
        return this.slices.move(work, step.position, context, { ...options, cancel: withGrace(options) });
    }
  }

  /**
   * Of a plan that ended before its end: what was done, which stays done, and what was not. A node that was closed only
   * to be switched off, and was not, takes work again; one that was to be drained stays closed, and can be drained on.
   */
  async close({ operationId, params, requestedBy }: OperationContext): Promise<OperationClosing> {
    const work = PlanWork.parse(params);
    const outcome = outcomeOf(work, await this.#steps(operationId, work));
    return {
      result: outcome as unknown as Prisma.InputJsonObject,
      settle: async (tx) => {
        await this.#reopen(tx, work, outcome, requestedBy);
      },
    };
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

  async #uncordon(nodeId: string, { requestedBy }: OperationContext): Promise<StepOutcome> {
    const node = await this.database.unrestricted.node.findUnique({ where: { id: nodeId } });
    if (!node) throw new DrvsError('NotFound', 'The node was removed meanwhile');
    if (node.wantedState !== 'drained') return { skipped: `${node.name} is not closed` };
    return {
      settle: async (tx) => {
        await uncordon(tx, nodeId, requestedBy);
      },
    };
  }

  async #switch(
    { action, node, nodeId }: Switch,
    { operationId, requestedBy }: OperationContext,
    options: NodeJobOptions,
  ): Promise<StepOutcome> {
    const all = { ...endedBy(options), operationId, by: requestedBy };
    if (action === 'power-on') {
      await this.power.switchOn(nodeId, { ...all, reopens: true });
      return {};
    }
    const held = await this.database.unrestricted.slice.findMany({
      where: { nodeId },
      select: { drvm: { select: { name: true } } },
    });
    if (held.length > 0) {
      const names = [...new Set(held.map(({ drvm }) => drvm.name))];
      return {
        skipped: `${node} is not empty: ${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} there`,
      };
    }
    await this.power.switchOff(nodeId, { ...all, reopens: true });
    return {};
  }

  /** Its agent's credential ends with it. */
  async #remove(nodeId: string, { requestedBy }: OperationContext): Promise<StepOutcome> {
    const node = await this.database.unrestricted.node.findUnique({
      where: { id: nodeId },
      include: { slices: { select: { drvm: { select: { name: true } } } } },
    });
    if (!node) return { skipped: 'the node is removed already' };
    if (node.slices.length > 0) {
      const names = [...new Set(node.slices.map(({ drvm }) => drvm.name))];
      throw new DrvsError('StateConflict', `${node.name} still holds slices of ${names.join(', ')}`, {
        hint: `See what keeps them there: drvs plan drain ${node.name}`,
        details: { drvms: names },
      });
    }
    return {
      settle: async (tx) => {
        await tx.node.delete({ where: { id: nodeId } });
        await tx.event.create({
          data: {
            kind: 'node.removed',
            nodeId,
            node: node.name,
            text: `${requestedBy} removed the node ${node.name} after it was drained`,
          },
        });
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
    const home = drvm.slices.find(({ index }) => index === drvm.homeIndex)?.node;
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
      if (PASSING_ERRORS.has(error.code)) throw error;
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

  async #conclude({ operationId, params, requestedBy }: OperationContext): Promise<StepOutcome> {
    const work = PlanWork.parse(params);
    const rows = await this.#steps(operationId, work);
    const failed = rows.filter(({ state }) => state === 'failed');
    if (failed.length > 0) {
      const first = failed[0]!;
      throw new DrvsError(
        'MigrationFailed',
        `${failed.length} of ${work.work.length} steps could not be done; the first: ${first.name}: ${first.error}`,
        { hint: `See each with \`drvs op show ${operationId}\`; then plan again.` },
      );
    }
    const outcome = outcomeOf(work, rows);
    if (work.kind === 'drain' && work.nodeId !== null) {
      outcome.stays = [...outcome.stays, ...(await this.#left(work.nodeId, outcome))];
    }
    return {
      result: outcome as unknown as Prisma.InputJsonObject,
      event: { kind: `plan.${work.kind}`, text: summaryOf(outcome) },
      settle: async (tx) => {
        await this.#reopen(tx, work, outcome, requestedBy);
        if (work.kind === 'restore' && work.nodeId !== null) await forgetDepartures(tx, work.nodeId);
      },
    };
  }

  /** What is on a drained node though the plan knew nothing that keeps it there: it came, or was changed, meanwhile. */
  async #left(nodeId: string, { node, stays }: PlanOutcome): Promise<PlanOutcome['stays']> {
    const slices = await this.database.unrestricted.slice.findMany({
      where: { nodeId },
      select: { drvm: { select: { name: true } } },
      orderBy: { drvm: { name: 'asc' } },
    });
    // A DRVM, a slice of it (`name@node`) or a process (`name/pid`).
    const known = new Set(stays.map(({ what }) => what.split(/[@/]/, 1)[0]));
    return slices
      .filter(({ drvm }) => !known.has(drvm.name))
      .map(({ drvm }) => ({
        what: `${drvm.name}@${node}`,
        reason: 'it was changed while the node was being drained; drain the node again',
        rule: 'busy',
        when: 'not-now' as const,
      }));
  }

  /** Of the nodes that a consolidation closed, those that it did not switch off in the end. */
  async #reopen(
    tx: Transaction,
    { kind, work }: PlanWork,
    { nodes }: PlanOutcome,
    by: string,
  ): Promise<void> {
    if (kind !== 'consolidate') return;
    const off = new Set(nodes.filter(({ change }) => change === 'off').map(({ node }) => node));
    const closed = new Set(nodes.filter(({ change }) => change === 'closed').map(({ node }) => node));
    for (const step of work) {
      if (step.action !== 'cordon' || !closed.has(step.node) || off.has(step.node)) continue;
      // One that is on its way off goes there, though nobody waits for it any more.
      const power = await tx.nodePower.findUnique({
        where: { nodeId: step.nodeId },
        select: { state: true },
      });
      if (power?.state !== 'powering-off') await uncordon(tx, step.nodeId, by);
    }
  }

  #steps(operationId: string, { work }: PlanWork) {
    return this.database.unrestricted.operationStep.findMany({
      where: { operationId, position: { lt: work.length } },
      orderBy: { position: 'asc' },
    });
  }
}

/** The same, ended also by a cancellation. */
const endedBy = (options: NodeJobOptions, cancel = options.cancel): NodeJobOptions =>
  cancel ? { ...options, signal: AbortSignal.any([options.signal, cancel]) } : options;

/** The cancellation, so much later. */
function withGrace({ cancel }: NodeJobOptions): AbortSignal | undefined {
  if (!cancel) return undefined;
  const end = new AbortController();
  const later = (): void => void setTimeout(() => end.abort(cancel.reason), CANCEL_GRACE_MS).unref();
  cancel.addEventListener('abort', later, { once: true });
  return end.signal;
}

const busy = ({ pid }: Move): DrvsError =>
  new DrvsError('Timeout', `process ${pid} is only just starting, or is being moved by somebody else`, {
    hint: 'Wait until that has ended, then plan again.',
  });
