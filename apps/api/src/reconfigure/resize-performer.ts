import { DrvsError } from '@drvs/contracts';
import { Injectable, Logger } from '@nestjs/common';
import { sumAmounts, toAmounts } from '../allocations/amounts.js';
import { Database, type Transaction } from '../database/database.js';
import type { NodeJobOptions } from '../jobs/node-jobs.js';
import type { OperationContext, StepOutcome } from '../operations/step-performer.js';
import { guaranteedOf, WITH_SPEC } from './container-spec.js';
import { ContainerWork, type SliceChangeOptions } from './container-work.js';
import { changesOf, type ResizeChange } from './resize-work.js';
import { SliceChanges, takeIndex, writeTerms } from './slice-changes.js';

/** Time for giving one change back. */
const UNDO_MS = 120_000;

/** Carries out the steps of `drvm.resize` and `drvm.reconfigure`: a change each, and one that makes them final. */
@Injectable()
export class ResizePerformer {
  readonly #logger = new Logger('Operations');

  constructor(
    private readonly database: Database,
    private readonly slices: SliceChanges,
    private readonly work: ContainerWork,
  ) {}

  async perform(
    change: ResizeChange | null,
    context: OperationContext,
    options: NodeJobOptions,
  ): Promise<StepOutcome> {
    if (change === null) return this.#settle(context);
    const { drvmId, operationId } = context;
    const own: SliceChangeOptions = { ...options, operationId };
    const { nodeId } = change;
    switch (change.kind) {
      case 'add': {
        const { guaranteed, ceiling } = change.after;
        await this.slices.add({ drvmId, nodeId, guaranteed, ceiling }, own);
        return {};
      }
      case 'resize': {
        const { guaranteed, ceiling } = change.after;
        const { before } = change;
        await this.slices.resize({ drvmId, nodeId, guaranteed, ceiling, before, keepsLedger: true }, own);
        return {};
      }
      case 'remove':
        return { output: { ...(await this.slices.remove({ drvmId, nodeId, keepsLedger: true }, own)) } };
    }
  }

  /** What was shrunk, and what has gone, becomes free: only now, so that until here everything can be given back. */
  async #settle({ drvmId, params }: OperationContext): Promise<StepOutcome> {
    const changes = changesOf(params);
    const drvm = await this.database.unrestricted.drvm.findUnique({
      where: { id: drvmId },
      include: WITH_SPEC,
    });
    if (!drvm) throw new DrvsError('NotFound', 'The DRVM is no more', { hint: 'It was deleted meanwhile.' });
    const gone = new Set(changes.flatMap((change) => (change.kind === 'remove' ? [change.sliceId] : [])));
    const after = changes.flatMap((change) => (change.kind === 'remove' ? [] : [change.after.guaranteed]));
    const untouched = drvm.slices.filter(({ id }) => !changes.some((change) => change.sliceId === id));
    const total = toAmounts(sumAmounts([...after, ...untouched.map(guaranteedOf)]));
    const nodes = drvm.slices.filter(({ id }) => !gone.has(id)).map(({ node }) => node.name);
    return {
      settle: async (tx) => {
        for (const change of changes) {
          if (change.kind === 'resize') await writeTerms(tx, change.sliceId, change.after);
          if (change.kind === 'remove') await tx.slice.deleteMany({ where: { id: change.sliceId } });
        }
        await tx.drvm.update({ where: { id: drvmId }, data: { generation: { increment: 1 } } });
      },
      result: { drvm: drvm.name, drvmId, ...total, nodes },
      event: {
        kind: 'drvm.resized',
        text: `${drvm.name} has ${total.cpu} vCPU, ${total.memoryMiB} MiB, ${total.diskGiB} GiB of disk and ${total.networkMbps} Mbit/s on ${nodes.join(', ')}`,
      },
    };
  }

  /** The opposite of each change that was done, the last first; the ledger is as it was before the request. */
  async undo(
    { drvmId, operationId, params }: OperationContext,
    signal: AbortSignal,
  ): Promise<(tx: Transaction) => Promise<void>> {
    const changes = changesOf(params);
    const own = (name: string): SliceChangeOptions => ({
      key: `${operationId}.undo.${name}`,
      withinMs: UNDO_MS,
      signal,
      operationId,
    });
    await this.slices.giveBack(operationId, own('open')).catch((error: unknown) => {
      signal.throwIfAborted();
      // It stays open, and is given back once this operation has ended.
      this.#logger.warn(`giving back: ${(error as Error).message}`);
    });
    const done = await this.#done(operationId);
    for (const change of [...changes].reverse()) {
      if (!done.has(`${change.kind} ${change.nodeId}`)) continue;
      try {
        await this.#reverse(change, drvmId, own(change.nodeId));
      } catch (error) {
        if (signal.aborted) throw error;
        // The ledger is right all the same; the container is told at the node's next report.
        this.#logger.warn(`giving back on ${change.node}: ${(error as Error).message}`);
      }
    }
    return async (tx) => {
      for (const change of changes) {
        if (change.kind === 'resize') await writeTerms(tx, change.sliceId, change.before);
        if (change.kind === 'add')
          await tx.slice.deleteMany({ where: { id: change.sliceId, certificate: null } });
      }
    };
  }

  async #reverse(change: ResizeChange, drvmId: string, options: SliceChangeOptions): Promise<void> {
    const { nodeId, sliceId } = change;
    switch (change.kind) {
      case 'resize':
        await this.work.unlessDown(nodeId, options, (own) =>
          this.slices.resize({ drvmId, nodeId, ...change.before, keepsLedger: true }, own),
        );
        return;
      case 'add':
        await this.slices.remove({ drvmId, nodeId }, options);
        return;
      case 'remove':
        await this.#readmit(drvmId, sliceId);
        await this.slices.add(
          { drvmId, nodeId, guaranteed: change.before.guaranteed, ceiling: change.before.ceiling },
          options,
        );
    }
  }

  /** The slice that has gone is still in the ledger; it comes back under a new index. */
  async #readmit(drvmId: string, sliceId: string): Promise<void> {
    await this.database.system(async (tx) => {
      const drvm = await tx.drvm.findUnique({ where: { id: drvmId }, include: WITH_SPEC });
      const slice = drvm?.slices.find(({ id }) => id === sliceId);
      if (!drvm || !slice?.leaving) return;
      const index = await takeIndex(tx, drvm);
      await tx.slice.update({ where: { id: sliceId }, data: { index, leaving: false } });
    });
  }

  async #done(operationId: string): Promise<ReadonlySet<string>> {
    const rows = await this.database.unrestricted.sliceChange.findMany({
      where: { operationId, outcome: 'done' },
      select: { fingerprint: true },
    });
    return new Set(rows.map(({ fingerprint }) => fingerprint.split(' ').slice(0, 2).join(' ')));
  }
}
