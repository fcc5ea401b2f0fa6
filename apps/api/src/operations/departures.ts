import type { ClusterPlanStep } from '@drvs/contracts';
import type { Transaction } from '../database/database.js';
import type { Prisma } from '../gen/client.js';

type SliceMove = Extract<ClusterPlanStep, { action: 'move-slice' | 'rebuild-slice' }>;

/**
 * Keeps the record of what is away from its node, in the transaction in which a slice has moved.
 * @param drained the node that the plan empties; null when it empties none
 */
export async function noteMove(
  tx: Transaction,
  move: SliceMove,
  { drained, operationId, position }: { drained: string | null; operationId: string; position: number },
): Promise<void> {
  const { drvmId, fromId, toId } = move;
  // It has come home, or that part of it which once left.
  await tx.departure.deleteMany({ where: { drvmId, nodeId: toId, toNodeId: fromId } });
  // What was away, and here for the time being, has moved on.
  if (!move.isPart)
    await tx.departure.updateMany({ where: { drvmId, toNodeId: fromId }, data: { toNodeId: toId } });
  if (fromId !== drained) return;
  const terms = {
    guaranteed: move.guaranteed as unknown as Prisma.InputJsonObject,
    ceiling: move.ceiling as unknown as Prisma.InputJsonObject,
    pids: move.pids,
    merged: move.merges || move.isPart,
  };
  await tx.departure.upsert({
    where: { operationId_position: { operationId, position } },
    create: { nodeId: fromId, drvmId, toNodeId: toId, operationId, position, ...terms },
    update: terms,
  });
}

/** What left a node stays where it is: nobody waits for it to come back any more. */
export async function forgetDepartures(tx: Transaction, nodeId: string): Promise<void> {
  await tx.departure.deleteMany({ where: { nodeId } });
}
