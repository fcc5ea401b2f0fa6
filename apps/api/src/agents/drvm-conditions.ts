import { NODE_DOWN_AFTER_MS } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { Database, type Transaction } from '../database/database.js';
import { drvmCondition, type SliceCondition } from './drvm-condition.js';

/** Keeps each DRVM's state in the ledger true to what its nodes report. */
@Injectable()
export class DrvmConditions {
  constructor(private readonly database: Database) {}

  /** Judges these DRVMs again. One with an operation under way is left alone: its state is the operation's to say. */
  async refresh(drvmIds: readonly string[]): Promise<void> {
    for (const drvmId of new Set(drvmIds)) await this.database.system((tx) => this.refreshOne(tx, drvmId));
  }

  async refreshOne(tx: Transaction, drvmId: string): Promise<void> {
    // What is read of it in several statements must be of one moment: an operation may just be ending.
    await tx.$queryRaw`SELECT 1 FROM drvm WHERE id = ${drvmId}::uuid FOR NO KEY UPDATE`;
    const drvm = await tx.drvm.findUnique({
      where: { id: drvmId },
      include: {
        tenant: { select: { name: true } },
        slices: {
          include: { node: { select: { name: true, lastSeenAt: true } } },
          orderBy: { index: 'asc' },
        },
        operations: {
          where: { state: { in: ['queued', 'running'] }, kind: { startsWith: 'drvm.' } },
          select: { id: true },
          take: 1,
        },
        sliceChanges: { where: { endedAt: null }, select: { id: true }, take: 1 },
      },
    });
    if (!drvm || drvm.operations.length > 0 || drvm.sliceChanges.length > 0 || drvm.state === 'creating')
      return;
    const downSince = Date.now() - NODE_DOWN_AFTER_MS;
    const { state, detail } = drvmCondition(
      drvm.wantedState,
      drvm.slices.map(({ node, index, containerState }) => ({
        node: node.name,
        index,
        condition:
          (node.lastSeenAt ?? new Date(0)).getTime() < downSince
            ? 'lost'
            : (containerState as SliceCondition),
      })),
    );
    if (state === drvm.state && detail === drvm.detail) return;
    await tx.drvm.update({ where: { id: drvmId }, data: { state, detail } });
    if (state === drvm.state) return;
    await tx.event.create({
      data: {
        kind: `drvm.${state}`,
        tenantId: drvm.tenantId,
        tenant: drvm.tenant.name,
        drvmId,
        drvm: drvm.name,
        text: detail ? `${drvm.name} is ${state}: ${detail}` : `${drvm.name} is ${state}`,
      },
    });
  }
}
