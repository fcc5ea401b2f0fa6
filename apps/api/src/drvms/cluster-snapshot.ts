import type { NodeSnapshot } from '@drvs/policy';
import type { Transaction } from '../database/database.js';
import { ledgerOf, nodeState, occupies } from '../nodes/node-view.js';

/** The ledger as the planner sees it, of these nodes or of all. To be read outside any tenant's walls. */
export async function clusterSnapshot(
  tx: Transaction,
  ids?: string[],
  now = Date.now(),
): Promise<NodeSnapshot[]> {
  const rows = await tx.node.findMany({
    where: ids === undefined ? {} : { id: { in: ids } },
    orderBy: { name: 'asc' },
    select: {
      id: true,
      name: true,
      wantedState: true,
      lastSeenAt: true,
      inventories: true,
      slices: { select: { exclusive: true, index: true, processes: true } },
    },
  });
  return rows.map((row) => {
    const { free, step } = ledgerOf(row.inventories);
    return {
      id: row.id,
      name: row.name,
      state: nodeState(row, row.slices.filter(occupies).length, now),
      free,
      step,
      slices: row.slices.length,
      isExclusive: row.slices.some(({ exclusive }) => exclusive),
    };
  });
}
