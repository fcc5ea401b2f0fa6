import { setTimeout as delay } from 'node:timers/promises';
import {
  DrvsError,
  DVOS_MEMORY_MIB,
  MigrationResult,
  RESOURCE_CLASSES,
  type ResourceAmounts,
} from '@drvs/contracts';
import { Injectable, Logger } from '@nestjs/common';
import { z } from 'zod';
import type { Transaction } from '../database/database.js';
import { CAPACITY_EXCEEDED, EXCLUSIVITY_VIOLATED, sqlState } from '../database/sql-state.js';
import { homeSliceOf } from '../drvms/home-slice.js';
import type { SliceChange } from '../gen/client.js';
import { eachAtMost } from '../jobs/each-at-most.js';
import { PASSING_ERRORS } from '../jobs/passing-errors.js';
import { ChangeRecords } from './change-records.js';
import { type SliceTerms, type SpecifiedDrvm, termColumns, termsOf, WITH_SPEC } from './container-spec.js';
import { ContainerWork, type SliceChangeOptions } from './container-work.js';
import { spreadProcesses } from './process-moves.js';

export interface SliceMove {
  processes: number;
  bytes: number;
  /** The longest that a process stood still. */
  pauseMs: number;
  /** The DRVM's servers and files moved too. */
  home: boolean;
}

export interface SliceResize {
  drvmId: string;
  nodeId: string;
  guaranteed?: ResourceAmounts;
  ceiling?: ResourceAmounts;
  /** Without it: what is guaranteed; what was borrowed or lent ends. */
  held?: ResourceAmounts;
  /** What the slice had before its growth was taken in the ledger, when somebody has taken it already. */
  before?: SliceTerms;
  /** What shrinks stays in the ledger, for whoever asked for the change to give it back or to release it. */
  keepsLedger?: boolean;
}

export interface SliceAddition {
  drvmId: string;
  nodeId: string;
  guaranteed: ResourceAmounts;
  ceiling: ResourceAmounts;
}

export interface SliceRemoval {
  drvmId: string;
  nodeId: string;
  /** The ledger keeps the slice, for whoever asked for the change to give it back or to release it. */
  keepsLedger?: boolean;
}

/** Migrations of one slice's processes at once. */
const MIGRATIONS_AT_ONCE = 4;
/** Rounds in which the processes of a slice are moved away: those that were born meanwhile go in the next. */
const DRAIN_ROUNDS = 20;
const DRAIN_PAUSE_MS = 200;
/** Of the time for a change, this is kept for giving it back. */
const GIVE_BACK_MS = 30_000;
const RETRY_FIRST_MS = 300;
const RETRY_LONGEST_MS = 4_000;
/** Indexes of slices; see ContainerPeer. */
const INDEX_MOST = 1_023;
const MIB = 1_048_576;

const Terms: z.ZodType<SliceTerms> = z.object({
  guaranteed: z.custom<ResourceAmounts>(),
  ceiling: z.custom<ResourceAmounts>(),
  held: z.custom<ResourceAmounts>(),
});
const Moved = z.object({
  processes: z.int(),
  bytes: z.number(),
  pauseMs: z.number(),
  home: z.boolean(),
});
/** What a change must know when it is taken up again. */
const Details = z.object({
  /** Of the slice that stays, comes, or goes. */
  sliceId: z.string(),
  nodeId: z.string(),
  /** Of a move: the slice that goes. */
  sourceId: z.string().optional(),
  sourceNodeId: z.string().optional(),
  before: Terms.optional(),
  after: Terms.optional(),
  keepsLedger: z.boolean().optional(),
  moved: Moved.optional(),
});
type Details = z.infer<typeof Details>;

const NOTHING_MOVED: SliceMove = { processes: 0, bytes: 0, pauseMs: 0, home: false };

/**
 * Changes single slices of a DRVM as it runs: their size, and on which nodes they are. Each change is whole or given
 * back. How far it has come is in the ledger (ChangeRecords): asked for again by the same operation it goes on where it
 * was, and a change that was done answers the same again.
 *
 * ```
 * resize   taken ─▶ applied                                             what grows is in the ledger before the
 *                                                                       container gets it, what shrinks after
 * add      taken ─▶ joining                                             prepared, signed, started, made known to all
 * move     taken ─▶ joining ─▶ draining ─▶ leaving ─▶ deleting          the new slice as add; then as remove
 * remove   taken ─▶ draining ─▶ leaving ─▶ deleting
 * rebuild  taken ─▶ joining ─▶ leaving ─▶ deleting                      nothing can be moved off a node that is lost
 * ```
 *
 * Up to `leaving` it can be given back; once its peers know that a slice leaves, it only goes on.
 */
@Injectable()
export class SliceChanges {
  readonly #logger = new Logger('SliceChanges');

  constructor(
    private readonly records: ChangeRecords,
    private readonly work: ContainerWork,
  ) {}

  /**
   * Changes what a slice is guaranteed, its ceiling, or what it holds of it now.
   * @throws DrvsError InsufficientResources; StateConflict with figures when more is in use; OperationUnderWay
   */
  async resize(change: SliceResize, options: SliceChangeOptions): Promise<void> {
    const { drvmId, nodeId } = change;
    const record = await this.records.begin({
      kind: 'resize',
      drvmId,
      operationId: options.operationId,
      fingerprint: `resize ${nodeId} ${JSON.stringify([change.guaranteed, change.ceiling, change.held])}`,
      take: (tx) =>
        told(async (): Promise<Details> => {
          const slice = sliceOn(await drvmIn(tx, drvmId), nodeId);
          const before = change.before ?? termsOf(slice);
          const guaranteed = change.guaranteed ?? before.guaranteed;
          const ceiling = change.ceiling ?? shifted(before, guaranteed);
          const after = { guaranteed, ceiling, held: change.held ?? guaranteed };
          requireSound(after);
          await endLoansOn(tx, nodeId);
          await writeTerms(tx, slice.id, largest(termsOf(slice), after));
          return { sliceId: slice.id, nodeId, before, after };
        }),
    });
    if (record.outcome === 'done') return;
    await this.#through(record, options, async (own) => {
      const { sliceId, after } = Details.parse(record.details);
      if (await this.#runs(drvmId)) await this.work.update(drvmId, sliceId, own, after!.held);
      await this.records.note(record, 'applied');
      await this.records.end(record, 'done', null, async (tx) => {
        if (!change.keepsLedger) await writeTerms(tx, sliceId, after!);
      });
    });
  }

  /** Brings the DRVM to one more node. The slice may be in the ledger already, without a container. */
  async add(change: SliceAddition, options: SliceChangeOptions): Promise<void> {
    const { drvmId, nodeId, guaranteed, ceiling } = change;
    const record = await this.records.begin({
      kind: 'add',
      drvmId,
      operationId: options.operationId,
      fingerprint: `add ${nodeId}`,
      take: (tx) =>
        told(async (): Promise<Details> => {
          const drvm = await drvmIn(tx, drvmId);
          const taken = drvm.slices.find((slice) => slice.nodeId === nodeId);
          if (taken && taken.certificate !== null && !taken.leaving) {
            throw new DrvsError('StateConflict', `${drvm.name} is on ${taken.node.name} already`);
          }
          const sliceId = taken?.id ?? (await insertSlice(tx, drvm, nodeId, { guaranteed, ceiling }));
          return { sliceId, nodeId };
        }),
    });
    if (record.outcome === 'done') return;
    await this.#through(record, options, async (own) => {
      if (await this.#runs(drvmId)) await this.#join(record, own);
      await this.records.end(record, 'done', null, async () => undefined);
    });
  }

  /** Takes a DRVM off a node: its processes go to the DRVM's other nodes first. */
  async remove(change: SliceRemoval, options: SliceChangeOptions): Promise<SliceMove> {
    const { drvmId, nodeId, keepsLedger } = change;
    const record = await this.records.begin({
      kind: 'remove',
      drvmId,
      operationId: options.operationId,
      fingerprint: `remove ${nodeId}`,
      take: async (tx): Promise<Details> => {
        const drvm = await drvmIn(tx, drvmId);
        const slice = sliceOn(drvm, nodeId);
        if (drvm.slices.filter(({ leaving }) => !leaving).length < 2) {
          throw new DrvsError('StateConflict', `${drvm.name} is on ${slice.node.name} only`, {
            hint: 'Bring it to another node first, or delete it.',
          });
        }
        requireMovableHome(drvm, slice.index);
        return { sliceId: slice.id, nodeId, keepsLedger };
      },
    });
    if (record.outcome === 'done') return Moved.parse(record.result);
    return this.#through(record, options, (own) => this.#leave(record, own));
  }

  /** Moves what a DRVM has on one node to another that it is not on yet, with all that runs there. */
  async move(
    change: { drvmId: string; from: string; to: string },
    options: SliceChangeOptions,
  ): Promise<SliceMove> {
    const record = await this.#beginExchange('move', change, options);
    if (record.outcome === 'done') return Moved.parse(record.result);
    return this.#through(record, options, async (own) => {
      if (await this.#runs(change.drvmId)) await this.#join(record, own);
      return this.#leave(record, own);
    });
  }

  /** Gives a DRVM on another node what it had on one that is lost. What ran there is gone: the DVOS has said so. */
  async rebuild(
    change: { drvmId: string; from: string; to: string },
    options: SliceChangeOptions,
  ): Promise<void> {
    const record = await this.#beginExchange('rebuild', change, options);
    if (record.outcome === 'done') return;
    await this.#through(record, options, async (own) => {
      if (await this.#runs(change.drvmId)) await this.#join(record, own);
      return this.#leave(record, own);
    });
  }

  /**
   * Gives back what an operation's changes have half done; what is past giving back is finished. What was done whole
   * stays: its opposite is a change of its own.
   */
  async giveBack(operationId: string, options: Omit<SliceChangeOptions, 'operationId'>): Promise<void> {
    for (const record of await this.records.open(operationId))
      await this.#endSomehow(record, { ...options, operationId });
  }

  /** Changes whose operation has ended without them. */
  async endOrphans(options: Omit<SliceChangeOptions, 'operationId'>): Promise<void> {
    for (const record of await this.records.orphans()) {
      this.#logger.warn(`a ${record.kind} of a slice was left half done; giving it back`);
      const { operationId } = record;
      await this.#endSomehow(record, { ...options, operationId });
    }
  }

  async #endSomehow(record: SliceChange, options: SliceChangeOptions): Promise<void> {
    if (!(await this.records.isOpen(record))) return;
    if (record.stage === 'leaving' || record.stage === 'deleting') await this.#leave(record, options);
    else await this.#giveBack(record, options);
  }

  #beginExchange(
    kind: 'move' | 'rebuild',
    { drvmId, from, to }: { drvmId: string; from: string; to: string },
    { operationId }: SliceChangeOptions,
  ): Promise<SliceChange> {
    return this.records.begin({
      kind,
      drvmId,
      operationId,
      fingerprint: `${kind} ${from} ${to}`,
      take: (tx) =>
        told(async (): Promise<Details> => {
          const drvm = await drvmIn(tx, drvmId);
          const source = sliceOn(drvm, from);
          if (drvm.slices.some(({ nodeId }) => nodeId === to)) {
            throw new DrvsError('StateConflict', `${drvm.name} has a slice on the target already`, {
              hint: 'Move its processes there, then take the node out of it.',
            });
          }
          if (kind === 'rebuild' && source.index === drvm.homeIndex) {
            throw new DrvsError(
              'StateConflict',
              `the home of ${drvm.name}, with its files, was on ${source.node.name}, which is lost`,
              { hint: 'Bring the node back, or restore a snapshot of the DRVM.' },
            );
          }
          if (kind === 'move') requireMovableHome(drvm, source.index);
          const terms = termsOf(source);
          const sliceId = await insertSlice(tx, drvm, to, terms, source.exclusive);
          return { sliceId, nodeId: to, sourceId: source.id, sourceNodeId: from };
        }),
    });
  }

  /** Starts the container of the slice that comes, and makes it known to the others. */
  async #join(record: SliceChange, options: SliceChangeOptions): Promise<void> {
    if (record.stage !== 'taken' && record.stage !== 'joining') return;
    const { drvmId } = record;
    const { sliceId } = Details.parse(record.details);
    if (record.stage === 'taken') await this.records.note(record, 'joining');
    await this.work.start(drvmId, sliceId, options);
    await this.work.announce(drvmId, options);
    await this.work.awaitRunning(drvmId, sliceId, options);
    if (record.kind !== 'add') await this.records.note(record, 'draining');
  }

  /** Empties the slice that goes, and lets it go. */
  async #leave(record: SliceChange, options: SliceChangeOptions): Promise<SliceMove> {
    const { drvmId } = record;
    const details = Details.parse(record.details);
    const goes = { id: details.sourceId ?? details.sliceId, nodeId: details.sourceNodeId ?? details.nodeId };
    const runs = await this.#runs(drvmId);
    if (runs && record.kind !== 'rebuild' && record.stage !== 'leaving' && record.stage !== 'deleting')
      await this.#drain(record, goes.id, options);
    if (record.stage !== 'deleting') {
      await this.records.note(record, 'leaving');
      await this.records.setLeaving(goes.id, true);
      if (runs) await this.#announceLeaving(record, goes.id, options);
      await this.records.note(record, 'deleting');
    }
    await this.work.delete(drvmId, goes.nodeId, options);
    const result = Details.parse(record.details).moved ?? NOTHING_MOVED;
    await this.records.end(record, 'done', result, async (tx) => {
      if (details.keepsLedger) {
        await tx.slice.updateMany({
          where: { id: goes.id },
          data: { host: null, port: null, certificate: null, containerState: 'absent', processes: 0 },
        });
      } else await tx.slice.deleteMany({ where: { id: goes.id } });
    });
    return result;
  }

  /** A process that came to the slice at the last moment is moved away too. */
  async #announceLeaving(record: SliceChange, sliceId: string, options: SliceChangeOptions): Promise<void> {
    for (let round = 1; ; round++) {
      try {
        await this.work.announce(record.drvmId, options);
        return;
      } catch (error) {
        if (DrvsError.from(error).code !== 'StateConflict' || round >= DRAIN_ROUNDS) throw error;
        await this.records.setLeaving(sliceId, false);
        await this.#drain(record, sliceId, options);
        await this.records.setLeaving(sliceId, true);
      }
    }
  }

  async #drain(record: SliceChange, sliceId: string, options: SliceChangeOptions): Promise<void> {
    const { drvmId } = record;
    if (record.stage === 'taken') await this.records.note(record, 'draining');
    const moved: SliceMove = { ...NOTHING_MOVED, ...Details.parse(record.details).moved };
    for (let round = 1; ; round++) {
      const drvm = await this.work.drvm(drvmId);
      const source = drvm.slices.find(({ id }) => id === sliceId);
      if (!source) return;
      const processes = await this.work.processes(drvmId, options);
      const leaving = processes.filter(({ node }) => node === source.node.name);
      const settled = leaving.filter(({ state }) => state !== 'migrating' && state !== 'starting');
      if (leaving.length === 0) break;
      if (round > DRAIN_ROUNDS) {
        throw new DrvsError(
          'MigrationFailed',
          `${leaving.length} processes stay on ${source.node.name} after ${DRAIN_ROUNDS} rounds of moving them`,
          { hint: 'Something there starts new ones all the time; stop it, then try again.' },
        );
      }
      const details = Details.parse(record.details);
      const targets = drvm.slices.filter(
        ({ id, leaving: goes, certificate }) =>
          id !== sliceId &&
          !goes &&
          certificate !== null &&
          (details.sourceId === undefined || id === details.sliceId),
      );
      const rooms = targets.map((slice) => {
        const there = processes.filter(({ node }) => node === slice.node.name);
        return {
          node: slice.node.name,
          cpuMilli: slice.heldCpuMilli,
          processes: there.length,
          freeBytes:
            (slice.heldMemoryMiB - DVOS_MEMORY_MIB) * MIB -
            there.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0),
        };
      });
      await this.#migrate(drvm, spreadProcesses(settled, rooms), moved, options);
      await this.records.note(record, record.stage, { ...details, moved });
      if (settled.length < leaving.length) await delay(DRAIN_PAUSE_MS, undefined, { signal: options.signal });
    }
    await this.#moveHome(record, sliceId, moved, options);
  }

  async #migrate(
    drvm: SpecifiedDrvm,
    targets: ReadonlyMap<number, string>,
    moved: SliceMove,
    options: SliceChangeOptions,
  ): Promise<void> {
    const home = homeSliceOf(drvm);
    const failures: DrvsError[] = [];
    await eachAtMost(MIGRATIONS_AT_ONCE, targets, async ([pid, to]) => {
      const requestKey = `${options.key}.${pid}.${to}`;
      try {
        const answer = MigrationResult.parse(
          await this.work.call(home.nodeId, drvm.id, 'process.migrate', { pid, to, requestKey }, options),
        );
        moved.processes++;
        moved.bytes += answer.bytes;
        moved.pauseMs = Math.max(moved.pauseMs, answer.pauseMs);
      } catch (error) {
        options.signal.throwIfAborted();
        // One that has ended meanwhile, or that somebody else moves, is looked at again in the next round.
        const refusal = DrvsError.from(error);
        if (!['NotFound', 'MigrationUnderWay', 'StateConflict'].includes(refusal.code))
          failures.push(refusal);
      }
    });
    if (failures[0]) throw failures[0];
  }

  /** The servers and files go last, to the slice that comes, or to the one with the most memory. */
  async #moveHome(
    record: SliceChange,
    sliceId: string,
    moved: SliceMove,
    options: SliceChangeOptions,
  ): Promise<void> {
    const drvm = await this.work.drvm(record.drvmId);
    const source = drvm.slices.find(({ id }) => id === sliceId);
    if (source?.index !== drvm.homeIndex) return;
    const details = Details.parse(record.details);
    const others = drvm.slices.filter(
      ({ id, leaving, certificate }) => id !== sliceId && !leaving && certificate !== null,
    );
    const target =
      others.find(({ id }) => id === details.sliceId) ??
      others.sort((a, b) => b.heldDiskGiB - a.heldDiskGiB || b.heldMemoryMiB - a.heldMemoryMiB)[0];
    if (!target) return;
    const { bytes, pauseMs } = await this.work.moveHome(drvm, target.index, record.id, options);
    moved.home = true;
    moved.bytes += bytes;
    moved.pauseMs = Math.max(moved.pauseMs, pauseMs);
    await this.records.note(record, record.stage, { ...details, moved });
  }

  /** Does the work of a change until it is done or its time is over; then, or at an error that will not pass, gives it back. */
  async #through<T>(
    record: SliceChange,
    options: SliceChangeOptions,
    work: (options: SliceChangeOptions) => Promise<T>,
  ): Promise<T> {
    const { cancel } = options;
    const ended = cancel ? AbortSignal.any([options.signal, cancel]) : options.signal;
    const until = Date.now() + options.withinMs;
    const forwardUntil = until - Math.min(GIVE_BACK_MS, options.withinMs / 2);
    for (let pause = RETRY_FIRST_MS; ; pause = Math.min(2 * pause, RETRY_LONGEST_MS)) {
      try {
        return await work({ ...options, signal: ended, withinMs: Math.max(1, forwardUntil - Date.now()) });
      } catch (thrown) {
        // Going down, or undone as a whole: it is taken up again, or given back, by whoever deals with its operation.
        options.signal.throwIfAborted();
        const error = DrvsError.from(cancel?.aborted ? cancel.reason : thrown);
        const isPassing =
          !cancel?.aborted && PASSING_ERRORS.has(error.code) && Date.now() + pause < forwardUntil;
        if (isPassing) {
          await delay(pause, undefined, { signal: ended }).catch(() => undefined);
          continue;
        }
        const left = cancel?.aborted ? 0 : until - Date.now();
        const own = { ...options, cancel: undefined, withinMs: Math.max(GIVE_BACK_MS, left) };
        await this.#endSomehow(record, own).catch((failure: unknown) => {
          options.signal.throwIfAborted();
          // It stays open, and is given back once its operation has ended.
          this.#logger.warn(`giving back a ${record.kind}: ${(failure as Error).message}`);
        });
        throw error;
      }
    }
  }

  async #giveBack(record: SliceChange, options: SliceChangeOptions): Promise<void> {
    const { drvmId, kind } = record;
    const { sliceId, nodeId, sourceId, sourceNodeId, before } = Details.parse(record.details);
    const runs = await this.#runs(drvmId);
    if (kind === 'resize') {
      if (runs && before) {
        const told = this.work.unlessDown(nodeId, options, (own) =>
          this.work.update(drvmId, sliceId, own, before.held),
        );
        await told.catch((error: unknown) => {
          options.signal.throwIfAborted();
          // The ledger is right all the same: with its next report the container is found to be behind.
          this.#logger.warn(`giving back a resize: ${(error as Error).message}`);
        });
      }
      await this.records.end(record, 'given-back', null, async (tx) => {
        if (before) await writeTerms(tx, sliceId, before);
      });
      return;
    }
    if (kind === 'remove') {
      // What has gone to other nodes may stay there: the slice is as usable as before.
      await this.records.end(record, 'given-back', null, async () => undefined);
      return;
    }
    if (runs && sourceNodeId !== undefined && sourceId !== undefined && record.stage === 'draining')
      await this.#bringBack(record, options);
    await this.records.setLeaving(sliceId, true);
    if (runs && record.stage !== 'taken') await this.work.announce(drvmId, options);
    await this.work.delete(drvmId, nodeId, options);
    await this.records.end(record, 'given-back', null, async (tx) => {
      await tx.slice.deleteMany({ where: { id: sliceId } });
    });
  }

  /** What a move has taken to the new slice already goes back to the old one. */
  async #bringBack(record: SliceChange, options: SliceChangeOptions): Promise<void> {
    const { sliceId, sourceId } = Details.parse(record.details);
    for (let round = 0; round < DRAIN_ROUNDS; round++) {
      const drvm = await this.work.drvm(record.drvmId);
      const from = drvm.slices.find(({ id }) => id === sliceId)?.node.name;
      const to = drvm.slices.find(({ id }) => id === sourceId)?.node.name;
      if (from === undefined || to === undefined) return;
      const source = drvm.slices.find(({ id }) => id === sourceId);
      const target = drvm.slices.find(({ id }) => id === sliceId);
      if (source && target?.index === drvm.homeIndex)
        await this.work.moveHome(drvm, source.index, `${record.id}.back`, options);
      const processes = await this.work.processes(record.drvmId, options);
      // One that was sent on its way before the change was ended arrives, or stays: only then is it known where it is.
      if (processes.some(({ state }) => state === 'migrating')) {
        await delay(DRAIN_PAUSE_MS, undefined, { signal: options.signal });
        continue;
      }
      const away = processes.filter(({ node }) => node === from);
      if (away.length === 0) return;
      const targets = new Map(away.map(({ pid }) => [pid, to]));
      await this.#migrate(drvm, targets, { ...NOTHING_MOVED }, options);
    }
    throw new DrvsError('MigrationUnderWay', 'processes are still on their way', {
      hint: 'It is tried again by itself.',
    });
  }

  async #runs(drvmId: string): Promise<boolean> {
    const { wantedState, authorityCertificate, slices } = await this.work.drvm(drvmId);
    return (
      wantedState === 'running' &&
      authorityCertificate !== null &&
      slices.some(({ certificate }) => certificate !== null)
    );
  }
}

async function drvmIn(tx: Transaction, drvmId: string): Promise<SpecifiedDrvm> {
  const drvm = await tx.drvm.findUnique({ where: { id: drvmId }, include: WITH_SPEC });
  if (!drvm) throw new DrvsError('NotFound', 'The DRVM is no more', { hint: 'It was deleted meanwhile.' });
  return drvm;
}

function sliceOn(drvm: SpecifiedDrvm, nodeId: string): SpecifiedDrvm['slices'][number] {
  const slice = drvm.slices.find((candidate) => candidate.nodeId === nodeId);
  if (slice) return slice;
  throw new DrvsError('NotFound', `${drvm.name} has nothing on that node any more`, {
    hint: `See \`drvs drvm show ${drvm.name}\`.`,
  });
}

/** The files of a DRVM that is stopped are on its home node, and nobody is there to send them. */
function requireMovableHome(drvm: SpecifiedDrvm, index: number): void {
  if (index !== drvm.homeIndex || drvm.wantedState === 'running') return;
  throw new DrvsError('StateConflict', `${drvm.name} is stopped, and its files are on the node to be left`, {
    hint: `Start it first (\`drvs drvm start ${drvm.name}\`): its files move as it runs.`,
  });
}

/** @returns the id of the new slice */
export async function insertSlice(
  tx: Transaction,
  drvm: SpecifiedDrvm,
  nodeId: string,
  { guaranteed, ceiling }: Pick<SliceTerms, 'guaranteed' | 'ceiling'>,
  exclusive = drvm.slices.some((slice) => slice.exclusive),
): Promise<string> {
  const index = await takeIndex(tx, drvm);
  const { id } = await tx.slice.create({
    data: {
      drvmId: drvm.id,
      tenantId: drvm.tenantId,
      nodeId,
      index,
      ...termColumns({ guaranteed, ceiling, held: guaranteed }),
      exclusive,
    },
    select: { id: true },
  });
  return id;
}

/** Indexes are never given again while a DRVM lives: its containers tell each other apart by them. */
export async function takeIndex(tx: Transaction, drvm: SpecifiedDrvm): Promise<number> {
  const now = await tx.drvm.findUniqueOrThrow({
    where: { id: drvm.id },
    select: { nextSliceIndex: true, slices: { select: { index: true } } },
  });
  const index = Math.max(now.nextSliceIndex, ...now.slices.map((slice) => slice.index + 1));
  if (index > INDEX_MOST) {
    throw new DrvsError(
      'StateConflict',
      `${drvm.name} has had ${INDEX_MOST + 1} slices, and can get no more`,
      {
        hint: 'Create a new DRVM and copy its files.',
      },
    );
  }
  await tx.drvm.update({ where: { id: drvm.id }, data: { nextSliceIndex: index + 1 } });
  return index;
}

export async function writeTerms(tx: Transaction, sliceId: string, terms: SliceTerms): Promise<void> {
  await tx.slice.updateMany({ where: { id: sliceId }, data: termColumns(terms) });
  // Also where nothing grows: what the container is given next must count as newer than what it has.
  await tx.$executeRaw`UPDATE slice SET spec_generation = nextval('slice_spec_generation') WHERE id = ${sliceId}::uuid`;
}

/** What is lent of a node's CPU and network goes back: whoever needs it gets it again, from what is free then. */
export async function endLoansOn(tx: Transaction, nodeId: string): Promise<void> {
  await tx.$queryRaw`SELECT 1 FROM inventory WHERE node_id = ${nodeId}::uuid ORDER BY class FOR UPDATE`;
  await tx.$executeRaw`UPDATE slice SET held_cpu_milli = least(held_cpu_milli, cpu_milli),
      held_network_mbps = least(held_network_mbps, network_mbps)
    WHERE node_id = ${nodeId}::uuid AND (held_cpu_milli > cpu_milli OR held_network_mbps > network_mbps)`;
}

const each = (amount: (name: (typeof RESOURCE_CLASSES)[number]) => number): ResourceAmounts => ({
  cpuMilli: amount('cpuMilli'),
  memoryMiB: amount('memoryMiB'),
  diskGiB: amount('diskGiB'),
  networkMbps: amount('networkMbps'),
});

const larger = (a: ResourceAmounts, b: ResourceAmounts): ResourceAmounts =>
  each((name) => Math.max(a[name], b[name]));

/** What both need: a change takes it before it begins, and gives back after it what is not needed any more. */
export const largest = (a: SliceTerms, b: SliceTerms): SliceTerms => ({
  guaranteed: larger(a.guaranteed, b.guaranteed),
  ceiling: larger(a.ceiling, b.ceiling),
  held: larger(
    larger(a.held, b.held),
    each((name) =>
      name === 'memoryMiB' || name === 'diskGiB' ? larger(a.guaranteed, b.guaranteed)[name] : 0,
    ),
  ),
});

/** The ceiling that leaves as much to borrow as before. */
const shifted = ({ guaranteed, ceiling }: SliceTerms, now: ResourceAmounts): ResourceAmounts =>
  each((name) => now[name] + ceiling[name] - guaranteed[name]);

function requireSound({ guaranteed, ceiling, held }: SliceTerms): void {
  for (const name of RESOURCE_CLASSES) {
    const isLent = name === 'cpuMilli' || name === 'networkMbps';
    if (
      ceiling[name] >= guaranteed[name] &&
      held[name] <= ceiling[name] &&
      (isLent || held[name] >= guaranteed[name])
    )
      continue;
    throw new DrvsError(
      'InvalidInput',
      `${name}: guaranteed ${guaranteed[name]}, held ${held[name]}, ceiling ${ceiling[name]} do not rise in this order`,
      {
        field: name,
      },
    );
  }
}

/** What the database refuses is told as what it is. */
async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const state = sqlState(error);
    if (state !== CAPACITY_EXCEEDED && state !== EXCLUSIVITY_VIOLATED) throw error;
    const what =
      state === CAPACITY_EXCEEDED
        ? 'the node no longer has what the change needs'
        : 'the node is exclusive to another DRVM, or others are on it';
    throw new DrvsError('InsufficientResources', what, {
      hint: 'Look at `drvs node list`, then ask again.',
      cause: error,
    });
  }
}
