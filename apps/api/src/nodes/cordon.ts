import type { Transaction } from '../database/database.js';

/**
 * Closes a node to what is new; what is on it stays. Placements that counted on the node have ended when this goes on,
 * and later ones see it closed: both take the lock of its inventory. A transaction of the system.
 * @param by whom the event names
 * @returns false when it was closed already
 */
export async function cordon(tx: Transaction, nodeId: string, by: string): Promise<boolean> {
  await tx.$queryRaw`SELECT 1 FROM inventory WHERE node_id = ${nodeId}::uuid ORDER BY class FOR UPDATE`;
  const { count } = await tx.node.updateMany({
    where: { id: nodeId, wantedState: 'active' },
    data: { wantedState: 'drained', generation: { increment: 1 } },
  });
  if (count === 0) return false;
  const { name } = await tx.node.findUniqueOrThrow({ where: { id: nodeId }, select: { name: true } });
  await tx.event.create({
    data: { kind: 'node.cordoned', nodeId, node: name, text: `${by} closed ${name} to what is new` },
  });
  return true;
}
