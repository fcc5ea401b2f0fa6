import type { NodeSnapshot } from '@drvs/policy';
import type { Transaction } from '../database/database.js';
import { isThroughProbation, placeOf, traitsOf } from '../nodes/node-rules.js';
import { ledgerOf, nodeState, occupies } from '../nodes/node-view.js';

/**
 * The ledger as the planner sees it, of these nodes or of all. To be read outside any tenant's walls.
 * @param deviceTypes of devices that matter; others are not read
 */
export async function clusterSnapshot(
  tx: Transaction,
  ids?: string[],
  now = Date.now(),
  deviceTypes: readonly string[] = [],
): Promise<NodeSnapshot[]> {
  const rows = await tx.node.findMany({
    where: ids === undefined ? {} : { id: { in: ids } },
    orderBy: { name: 'asc' },
    select: {
      id: true,
      name: true,
      wantedState: true,
      lastSeenAt: true,
      probation: true,
      traits: true,
      foundTraits: true,
      taints: true,
      labels: true,
      inventories: true,
      slices: { select: { drvmId: true, exclusive: true, isHome: true, processes: true } },
    },
  });
  const devices = await devicesByNode(tx, deviceTypes);
  return rows.map((row) => {
    const { free, given, step } = ledgerOf(row.inventories);
    return {
      id: row.id,
      name: row.name,
      state: nodeState(row, row.slices.filter(occupies).length, now),
      free,
      capacity: {
        cpuMilli: free.cpuMilli + given.cpuMilli,
        memoryMiB: free.memoryMiB + given.memoryMiB,
        diskGiB: free.diskGiB + given.diskGiB,
        networkMbps: free.networkMbps + given.networkMbps,
      },
      step,
      slices: row.slices.length,
      isExclusive: row.slices.some(({ exclusive }) => exclusive),
      isOnProbation: !isThroughProbation(row),
      traits: traitsOf(row),
      taints: row.taints,
      ...placeOf(row),
      drvmIds: row.slices.map(({ drvmId }) => drvmId),
      devices: devices.get(row.id) ?? [],
    };
  });
}

type Device = NonNullable<NodeSnapshot['devices']>[number];

/** One physical device that several agents of a host have found is free for one of them only. */
async function devicesByNode(tx: Transaction, types: readonly string[]): Promise<Map<string, Device[]>> {
  const byNode = new Map<string, Device[]>();
  if (types.length === 0) return byNode;
  const rows = await tx.$queryRaw<
    { id: string; node_id: string; key: string; type: string; traits: string[]; is_free: boolean }[]
  >`
    SELECT d.id::text, d.node_id::text, d.key, d.type, d.traits,
      d.present AND d.reserved < d.total AND NOT EXISTS (
        SELECT FROM device_allocation a WHERE a.identity = d.host || '/' || d.key OR a.device_id = d.id
      ) AS is_free
    FROM device d WHERE d.type = ANY(${[...types]}::text[]) ORDER BY d.node_id, d.key`;
  for (const { node_id: nodeId, is_free: isFree, ...device } of rows) {
    const own = byNode.get(nodeId) ?? [];
    own.push({ ...device, isFree });
    byNode.set(nodeId, own);
  }
  return byNode;
}
