import { setTimeout as delay } from 'node:timers/promises';
import {
  type ClusterPlanStep,
  DrvsError,
  MigrationResult,
  RESOURCE_CLASSES,
  type ResourceAmounts,
} from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { eachClass, fromAmounts } from '../allocations/amounts.js';
import { Database } from '../database/database.js';
import { homeSliceOf } from '../drvms/home-slice.js';
import { Prisma } from '../gen/client.js';
import { JobsService } from '../jobs/jobs.service.js';
import type { NodeJobOptions } from '../jobs/node-jobs.js';
import { PASSING_ERRORS } from '../jobs/passing-errors.js';
import { ceilingOf, guaranteedOf, heldOf } from '../reconfigure/container-spec.js';
import { SliceChanges } from '../reconfigure/slice-changes.js';
import { SettingsService } from '../settings/settings.service.js';
import { noteMove } from './departures.js';
import { PlanWork } from './plan-work.js';
import type { OperationContext, StepOutcome } from './step-performer.js';

type SliceMove = Extract<ClusterPlanStep, { action: 'move-slice' | 'rebuild-slice' }>;
type SliceResize = Extract<ClusterPlanStep, { action: 'resize-slice' }>;

/** How often a change is asked for again while another operation has the DRVM. */
const PATIENCE_MS = 1_000;
/** For giving back the room at the target. */
const GIVE_BACK_MS = 60_000;
/** What a step needs when it is taken up again after a crash: the sizes that it set out to reach. */
const Aims = z.object({
  target: z.custom<Size>().nullable(),
  source: z.custom<Size>().nullable(),
});
type Aims = z.infer<typeof Aims>;
interface Size {
  guaranteed: ResourceAmounts;
  ceiling: ResourceAmounts;
}

/** What a move leaves behind. With `drvmId`, `toId` and `pids` the next plan knows what has moved lately. */
export const MovedSlice = z.object({
  drvm: z.string(),
  drvmId: z.string(),
  from: z.string(),
  to: z.string(),
  toId: z.string(),
  pids: z.array(z.int()),
  processes: z.int(),
  bytes: z.number(),
  pauseMs: z.number(),
  home: z.boolean(),
});
type MovedSlice = z.infer<typeof MovedSlice>;

/**
 * Carries out the steps of plans that change slices. A whole slice goes by SliceChanges alone. One that comes to where
 * its DRVM is already, or that goes in part, is made of such changes: first the target grows, then the processes go,
 * then the source shrinks or goes; so at no moment has the DRVM less than it is guaranteed, and what fails in between is
 * given back.
 */
@Injectable()
export class PlanSlices {
  constructor(
    private readonly database: Database,
    private readonly jobs: JobsService,
    private readonly changes: SliceChanges,
    private readonly settings: SettingsService,
  ) {}

  /** What is held of CPU is not a plan's to change while lending is on, which gives it again after the change. */
  async resize(step: SliceResize, context: OperationContext, options: NodeJobOptions): Promise<StepOutcome> {
    const { drvmId, nodeId, drvm, node } = step;
    const slice = await this.database.unrestricted.slice.findUnique({
      where: { drvmId_nodeId: { drvmId, nodeId } },
    });
    if (!slice) return { skipped: `${drvm} is no longer on ${node}` };
    const guaranteed = guaranteedOf(slice);
    const isLending = await this.settings.get('lending.enabled');
    const ours = (amounts: ResourceAmounts): ResourceAmounts =>
      isLending ? { ...amounts, cpuMilli: guaranteed.cpuMilli } : amounts;
    const now = ours(eachClass((name) => Math.max(guaranteed[name], heldOf(slice)[name])));
    const [before, after] = [ours(fromAmounts(step.before)), ours(fromAmounts(step.after))];
    if (same(before, after)) return { skipped: `lending decides what ${drvm} holds of CPU on ${node}` };
    if (same(now, after)) return { skipped: `${drvm} holds that on ${node} already` };
    if (!same(now, before)) return { skipped: `what ${drvm} holds on ${node} has changed meanwhile` };
    await this.#patiently(options, (own) =>
      this.changes.resize({ drvmId, nodeId, held: after }, { ...own, operationId: context.operationId }),
    );
    return { output: { resized: { drvm, node, before: { ...step.before }, after: { ...step.after } } } };
  }

  async move(
    step: SliceMove,
    position: number,
    context: OperationContext,
    options: NodeJobOptions,
  ): Promise<StepOutcome> {
    const { drvmId, drvm, from, fromId, to, toId } = step;
    const { kind, nodeId } = PlanWork.parse(context.params);
    const row = await this.#drvm(drvmId);
    if (!row) return { skipped: `${drvm} was deleted meanwhile` };
    const source = row.slices.find((slice) => slice.nodeId === fromId);
    const target = row.slices.find((slice) => slice.nodeId === toId);
    const aims = await this.#aims(context.operationId, position);
    const isBegun = aims !== null || (await this.#hasBegun(context.operationId, step));
    if (!source && !isBegun) return { skipped: `${drvm} is no longer on ${from}` };
    const node = await this.database.unrestricted.node.findUnique({ where: { id: toId } });
    if (!isBegun && node?.wantedState !== 'active') return { skipped: `${to} was closed meanwhile` };
    if (!isBegun && (target !== undefined) !== step.merges)
      return { skipped: `whether ${drvm} is on ${to} has changed meanwhile` };
    const { operationId } = context;
    const moved =
      step.merges || step.isPart
        ? await this.#exchange(step, position, { ...options, operationId }, aims)
        : await this.#patiently(options, async (own) => {
            const change = { drvmId, from: fromId, to: toId };
            if (step.action === 'move-slice') return this.changes.move(change, { ...own, operationId });
            await this.changes.rebuild(change, { ...own, operationId });
            return NOTHING_MOVED;
          });
    const output: MovedSlice = { drvm, drvmId, from, to, toId, pids: step.pids, ...moved };
    const drained = kind === 'drain' ? nodeId : null;
    return {
      output,
      settle: async (tx) => {
        await noteMove(tx, step, { drained, operationId, position });
        const text = `${isWhole(step) ? '' : 'a part of '}the slice of ${drvm} went from ${from} to ${to}: ${step.reason}`;
        await tx.event.create({
          data: {
            kind: step.action === 'move-slice' ? 'slice.moved' : 'slice.rebuilt',
            tenantId: row.tenantId,
            tenant: row.tenant.name,
            drvmId,
            drvm,
            nodeId: toId,
            node: to,
            text,
          },
        });
      },
    };
  }

  /** Gives room at the target, brings the processes, and takes the room at the source back. */
  async #exchange(
    step: SliceMove,
    position: number,
    options: NodeJobOptions & { operationId: string },
    known: Aims | null,
  ): Promise<Pick<MovedSlice, 'processes' | 'bytes' | 'pauseMs' | 'home'>> {
    const { drvmId, fromId, toId } = step;
    const row = await this.#drvm(drvmId);
    if (!row) throw new DrvsError('NotFound', `${step.drvm} was deleted meanwhile`);
    const target = row.slices.find((slice) => slice.nodeId === toId);
    const source = row.slices.find((slice) => slice.nodeId === fromId);
    const part: Size = { guaranteed: fromAmounts(step.guaranteed), ceiling: fromAmounts(step.ceiling) };
    const aims = known ?? {
      target: target ? sum(sizeOf(target), part, 1) : null,
      source: step.isPart && source ? sum(sizeOf(source), part, -1) : null,
    };
    if (known === null) await this.#remember(options.operationId, position, aims);
    const { operationId } = options;
    await this.#patiently(options, (own) =>
      aims.target === null
        ? this.changes.add({ drvmId, nodeId: toId, ...part }, { ...own, operationId })
        : this.#grow(step, aims.target, { ...own, operationId }),
    );
    try {
      return await this.#patiently(options, async (own) => {
        if (!step.isPart) return this.changes.remove({ drvmId, nodeId: fromId }, { ...own, operationId });
        const moved = await this.#processes(step, { ...own, operationId });
        if (aims.source)
          await this.changes.resize({ drvmId, nodeId: fromId, ...aims.source }, { ...own, operationId });
        return moved;
      });
    } catch (thrown) {
      options.signal.throwIfAborted();
      const { code, message, hint, details } = DrvsError.from(thrown);
      const own = { ...options, cancel: undefined, withinMs: GIVE_BACK_MS };
      await this.#shrinkBack(step, position, aims, part, own);
      // The changes have been tried for as long as there was time, and are given back: not to be tried once more.
      throw new DrvsError(PASSING_ERRORS.has(code) ? 'MigrationFailed' : code, message, {
        hint,
        details,
        cause: thrown,
      });
    }
  }

  async #grow(
    { drvmId, toId, to, drvm }: SliceMove,
    aim: Size,
    options: NodeJobOptions & { operationId: string },
  ): Promise<void> {
    await this.changes.resize({ drvmId, nodeId: toId, ...aim }, options);
    const slice = await this.database.unrestricted.slice.findUnique({
      where: { drvmId_nodeId: { drvmId, nodeId: toId } },
    });
    if (slice && same(guaranteedOf(slice), aim.guaranteed)) return;
    throw new DrvsError('StateConflict', `what ${drvm} has on ${to} was changed meanwhile`, {
      hint: 'Plan again.',
    });
  }

  /** The source keeps what it has, so the target has no right to it. */
  async #shrinkBack(
    { drvmId, toId }: SliceMove,
    position: number,
    aims: Aims,
    part: Size,
    options: NodeJobOptions & { operationId: string },
  ): Promise<void> {
    const { operationId } = options;
    await this.#patiently(options, async (own) => {
      if (aims.target === null) await this.changes.remove({ drvmId, nodeId: toId }, { ...own, operationId });
      else
        await this.changes.resize(
          { drvmId, nodeId: toId, ...sum(aims.target, part, -1) },
          { ...own, operationId },
        );
    });
    await this.database.unrestricted.operationStep.update({
      where: { operationId_position: { operationId, position } },
      data: { output: Prisma.DbNull },
    });
  }

  async #processes(
    step: SliceMove,
    options: NodeJobOptions & { operationId: string },
  ): Promise<Pick<MovedSlice, 'processes' | 'bytes' | 'pauseMs' | 'home'>> {
    const row = await this.#drvm(step.drvmId);
    const moved = { ...NOTHING_MOVED };
    if (!row) return moved;
    const home = homeSliceOf(row);
    for (const pid of step.pids) {
      const requestKey = `${options.operationId}.${step.toId}.${pid}`;
      try {
        const answer = MigrationResult.parse(
          await this.jobs.nodes.run(
            home.nodeId,
            'process.migrate',
            { operationId: options.operationId, drvmId: step.drvmId, pid, to: step.to, requestKey },
            { ...options, key: `${options.key}.${pid}` },
          ),
        );
        moved.processes++;
        moved.bytes += answer.bytes;
        moved.pauseMs = Math.max(moved.pauseMs, answer.pauseMs);
      } catch (error) {
        options.signal.throwIfAborted();
        // One that has ended meanwhile, or is there already, needs no move.
        if (!['NotFound', 'StateConflict'].includes(DrvsError.from(error).code)) throw error;
      }
    }
    return moved;
  }

  /** Another operation on the DRVM passes: the change is asked for again until the step's time is over. */
  async #patiently<T>(options: NodeJobOptions, work: (options: NodeJobOptions) => Promise<T>): Promise<T> {
    for (const until = Date.now() + options.withinMs; ; ) {
      try {
        return await work({ ...options, withinMs: Math.max(1, until - Date.now()) });
      } catch (thrown) {
        const error = DrvsError.from(thrown);
        if (error.code !== 'OperationUnderWay' || Date.now() + PATIENCE_MS >= until) throw error;
        const { signal, cancel } = options;
        await delay(PATIENCE_MS, undefined, { signal: cancel ? AbortSignal.any([signal, cancel]) : signal });
      }
    }
  }

  async #aims(operationId: string, position: number): Promise<Aims | null> {
    const step = await this.database.unrestricted.operationStep.findUnique({
      where: { operationId_position: { operationId, position } },
      select: { output: true },
    });
    const kept = z.object({ aims: Aims }).safeParse(step?.output);
    if (!kept.success) return null;
    const { target, source } = kept.data.aims;
    return { target: target && ordered(target), source: source && ordered(source) };
  }

  async #remember(operationId: string, position: number, aims: Aims): Promise<void> {
    await this.database.unrestricted.operationStep.update({
      where: { operationId_position: { operationId, position } },
      data: { output: JSON.parse(JSON.stringify({ aims })) },
    });
  }

  /** A crash after the change and before the step was written down: the change itself remembers. */
  async #hasBegun(operationId: string, { drvmId, action, fromId, toId }: SliceMove): Promise<boolean> {
    const kind = action === 'move-slice' ? 'move' : 'rebuild';
    const change = await this.database.unrestricted.sliceChange.findFirst({
      where: { operationId, drvmId, fingerprint: `${kind} ${fromId} ${toId}` },
      select: { id: true },
    });
    return change !== null;
  }

  #drvm(id: string) {
    return this.database.unrestricted.drvm.findUnique({
      where: { id },
      include: {
        tenant: { select: { name: true } },
        slices: { include: { node: { select: { name: true } } }, orderBy: { index: 'asc' } },
      },
    });
  }
}

const NOTHING_MOVED = { processes: 0, bytes: 0, pauseMs: 0, home: false };

const isWhole = ({ isPart }: SliceMove): boolean => !isPart;

const sizeOf = (slice: Parameters<typeof guaranteedOf>[0]): Size => ({
  guaranteed: guaranteedOf(slice),
  ceiling: ceilingOf(slice),
});

const sum = (a: Size, b: Size, sign: 1 | -1): Size => ({
  guaranteed: eachClass((name) => a.guaranteed[name] + sign * b.guaranteed[name]),
  ceiling: eachClass((name) => a.ceiling[name] + sign * b.ceiling[name]),
});

/** As it was before the database put its names into another order: a change is known again by how it is written. */
const ordered = ({ guaranteed, ceiling }: Size): Size => ({
  guaranteed: eachClass((name) => guaranteed[name]),
  ceiling: eachClass((name) => ceiling[name]),
});

const same = (a: ResourceAmounts, b: ResourceAmounts): boolean =>
  RESOURCE_CLASSES.every((name) => a[name] === b[name]);
