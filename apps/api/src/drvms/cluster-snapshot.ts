import type { NodeSnapshot } from '@drvs/policy';
import type { Transaction } from '../database/database.js';
import type { Inventory, Node, Slice } from '../gen/client.js';
import { isThroughProbation, placeOf, traitsOf } from '../nodes/node-rules.js';
import { ledgerOf, nodeState, occupies } from '../nodes/node-view.js';

type Found = Pick<
  Node,
  'id' | 'name' | 'wantedState' | 'probation' | 'traits' | 'foundTraits' | 'taints' | 'labels'
> & {
  lastSeenAtMs: number | null;
  inventories: Inventory[];
  slices: Pick<Slice, 'drvmId' | 'exclusive' | 'isHome' | 'processes'>[];
};

/**
 * The ledger as the planner sees it, of these nodes or of all. To be read outside any tenant's walls.
 *
 * It is read for every placement, of a thousand nodes with all that is on them: so PostgreSQL writes one JSON text, which
 * is parsed in a hundredth of the time that rows and their relations take.
 *
 * @param only ids of nodes, or names
 * @param deviceTypes of devices that matter; others are not read
 */
export async function clusterSnapshot(
  tx: Transaction,
  only?: readonly string[] | { names: readonly string[] },
  now = Date.now(),
  deviceTypes: readonly string[] = [],
): Promise<NodeSnapshot[]> {
  const isByName = only !== undefined && 'names' in only;
  const ids = isByName || only === undefined ? null : [...only];
  const names = isByName ? [...only.names] : null;
  const [found] = await tx.$queryRaw<{ nodes: string }[]>`
    SELECT coalesce(json_agg(json_build_object(
      'id', n.id, 'name', n.name, 'wantedState', n.wanted_state,
      'lastSeenAtMs', extract(epoch FROM n.last_seen_at) * 1000,
      'probation', n.probation, 'traits', n.traits, 'foundTraits', n.found_traits, 'taints', n.taints,
      'labels', n.labels,
      'inventories', coalesce((
        SELECT json_agg(json_build_object('class', i.class, 'total', i.total, 'reserved', i.reserved,
          'used', i.used, 'allocationRatio', i.allocation_ratio, 'step', i.step))
        FROM inventory i WHERE i.node_id = n.id), '[]'),
      'slices', coalesce((
        SELECT json_agg(json_build_object('drvmId', s.drvm_id, 'exclusive', s.exclusive, 'isHome', s.is_home,
          'processes', s.processes))
        FROM slice s WHERE s.node_id = n.id), '[]')
    ) ORDER BY n.name), '[]')::text AS nodes
    FROM node n
    WHERE (${ids}::uuid[] IS NULL OR n.id = ANY(${ids}::uuid[]))
      AND (${names}::text[] IS NULL OR n.name = ANY(${names}::text[]))`;
  const rows = (JSON.parse(found?.nodes ?? '[]') as Found[]).map(({ lastSeenAtMs, ...row }) => ({
    ...row,
    lastSeenAt: lastSeenAtMs === null ? null : new Date(lastSeenAtMs),
  }));
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
