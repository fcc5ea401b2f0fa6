import type { Transaction } from '../database/database.js';

/**
 * Opens a node again that was closed to what is new. A transaction of the system.
 * @param by whom the event names
 * @returns false when it was not closed
 */
export async function uncordon(tx: Transaction, nodeId: string, by: string): Promise<boolean> {
  const { count } = await tx.node.updateMany({
    where: { id: nodeId, wantedState: 'drained' },
    data: { wantedState: 'active', generation: { increment: 1 } },
  });
  if (count === 0) return false;
  const { name } = await tx.node.findUniqueOrThrow({ where: { id: nodeId }, select: { name: true } });
  await tx.event.create({
    data: { kind: 'node.restored', nodeId, node: name, text: `${by} opened ${name} again` },
  });
  return true;
}
