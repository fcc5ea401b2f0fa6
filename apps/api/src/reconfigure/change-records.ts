import { DrvsError } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { Database, type Transaction } from '../database/database.js';
import { violates } from '../database/sql-state.js';
import { Prisma, type SliceChange } from '../gen/client.js';

export type SliceChangeKind = 'resize' | 'add' | 'remove' | 'move' | 'rebuild';

interface NewChange<D> {
  kind: SliceChangeKind;
  drvmId: string;
  operationId: string;
  /** Names it within its operation. */
  fingerprint: string;
  /** In the transaction that begins it: takes in the ledger what it needs, and answers what it must know later. */
  take: (tx: Transaction) => Promise<D>;
}

/**
 * How far each change of a slice has come, in the ledger: another process can go on with it, or take it back. A DRVM
 * has one change under way at a time, and none besides an operation on it that is not the change's own.
 */
@Injectable()
export class ChangeRecords {
  constructor(private readonly database: Database) {}

  /**
   * Begins a change, or finds the one begun before by the same operation, also when that is done.
   * @throws DrvsError OperationUnderWay, NotFound, and what `take` throws
   */
  async begin<D extends object>(change: NewChange<D>): Promise<SliceChange> {
    const { kind, drvmId, operationId, fingerprint, take } = change;
    try {
      return await this.database.system(async (tx) => {
        const locked = await tx.$queryRaw<
          unknown[]
        >`SELECT 1 FROM drvm WHERE id = ${drvmId}::uuid FOR UPDATE`;
        if (locked.length === 0)
          throw new DrvsError('NotFound', 'The DRVM is no more', { hint: 'It was deleted meanwhile.' });
        const known = await tx.sliceChange.findFirst({
          where: { operationId, fingerprint, OR: [{ outcome: null }, { outcome: 'done' }] },
        });
        if (known) return known;
        await requireNothingUnderWay(tx, drvmId, operationId);
        const details = await take(tx);
        return tx.sliceChange.create({
          data: {
            kind,
            drvmId,
            operationId,
            fingerprint,
            stage: 'taken',
            details: JSON.parse(JSON.stringify(details)),
          },
        });
      });
    } catch (error) {
      if (!violates(error, 'slice_change_one_per_drvm')) throw error;
      throw new DrvsError('OperationUnderWay', 'another change of this DRVM is under way', {
        hint: 'Wait for it; see `drvs op list`.',
        cause: error,
      });
    }
  }

  async open(operationId: string): Promise<SliceChange[]> {
    return this.database.unrestricted.sliceChange.findMany({ where: { operationId, endedAt: null } });
  }

  /** Open ones whose operation has ended: nobody goes on with them. */
  async orphans(): Promise<SliceChange[]> {
    return this.database.unrestricted.sliceChange.findMany({
      where: { endedAt: null, operation: { state: { notIn: ['queued', 'running'] } } },
    });
  }

  /** A slice on its way out is no peer any more. */
  async setLeaving(sliceId: string, leaving: boolean): Promise<void> {
    await this.database.unrestricted.slice.updateMany({ where: { id: sliceId }, data: { leaving } });
  }

  async note(change: SliceChange, stage: string, details?: object): Promise<void> {
    const written = await this.database.unrestricted.sliceChange.update({
      where: { id: change.id },
      data: { stage, ...(details === undefined ? {} : { details: JSON.parse(JSON.stringify(details)) }) },
    });
    Object.assign(change, written);
  }

  async isOpen({ id }: SliceChange): Promise<boolean> {
    const now = await this.database.unrestricted.sliceChange.findUnique({
      where: { id },
      select: { endedAt: true },
    });
    return now?.endedAt === null;
  }

  /**
   * Ends it in the transaction that makes it true in the ledger.
   * @throws DrvsError StateConflict when somebody has given back meanwhile what is to end as done
   */
  async end(
    change: SliceChange,
    outcome: 'done' | 'given-back',
    result: object | null,
    settle: (tx: Transaction) => Promise<void>,
  ): Promise<void> {
    await this.database.system(async (tx) => {
      const { count } = await tx.sliceChange.updateMany({
        where: { id: change.id, endedAt: null },
        data: {
          outcome,
          endedAt: new Date(),
          result: result === null ? Prisma.DbNull : JSON.parse(JSON.stringify(result)),
        },
      });
      if (count === 1) return settle(tx);
      const now = await tx.sliceChange.findUnique({ where: { id: change.id }, select: { outcome: true } });
      if (outcome === 'given-back' || now?.outcome === 'done') return;
      throw new DrvsError('StateConflict', `the ${change.kind} of a slice was given back meanwhile`, {
        hint: 'Its operation had ended. Ask for it again.',
      });
    });
  }
}

/** @throws DrvsError OperationUnderWay */
export async function requireNothingUnderWay(
  tx: Transaction,
  drvmId: string,
  besides: string | null,
): Promise<void> {
  const operation = await tx.operation.findFirst({
    where: {
      drvmId,
      state: { in: ['queued', 'running'] },
      kind: { startsWith: 'drvm.' },
      ...(besides === null ? {} : { id: { not: besides } }),
    },
  });
  const change = await tx.sliceChange.findFirst({
    where: { drvmId, endedAt: null, ...(besides === null ? {} : { operationId: { not: besides } }) },
  });
  const id = operation?.id ?? change?.operationId;
  if (id === undefined) return;
  throw new DrvsError('OperationUnderWay', `${operation?.kind ?? 'a change'} of this DRVM is under way`, {
    hint: `Wait for it (\`drvs op show ${id}\`), or cancel it (\`drvs op cancel ${id}\`).`,
    details: { operation: id, kind: operation?.kind ?? change?.kind },
  });
}
