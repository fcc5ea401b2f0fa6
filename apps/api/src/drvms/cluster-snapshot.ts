import type { NodeSnapshot } from '@drvs/policy';
import type { Transaction } from '../database/database.js';
import type { Inventory, Node } from '../gen/client.js';
import { isThroughProbation, placeOf, traitsOf } from '../nodes/node-rules.js';
import { ledgerOf, nodeState } from '../nodes/node-view.js';

type Found = Pick<
  Node,
  'id' | 'name' | 'wantedState' | 'probation' | 'traits' | 'foundTraits' | 'taints' | 'labels'
> & {
  lastSeenAtMs: number | null;
  seal: string;
  inventories: [
    name: Inventory['class'],
    total: number,
    reserved: number,
    used: number,
    ratio: number,
    step: number,
  ][];
  slices: number;
  occupied: number;
  isExclusive: boolean;
  drvmIds: string[];
  heldOut: string | null;
};

/** A node as it was found, with what tells whether it has changed since, its inventory and slices aside. */
export type SealedNode = NodeSnapshot & { seal: string };

/**
 * The ledger as the planner sees it, of these nodes or of all. To be read outside any tenant's walls.
 *
 * It is read for every placement, of a thousand nodes with all that is on them: so PostgreSQL writes one JSON text, which
 * is parsed in a hundredth of the time that rows and their relations take.
 *
 * @param only ids of nodes, or names
 * @param deviceTypes of devices that matter; others are not read
 * @param drvmIds of DRVMs that matter where they are; null for all
 */
export async function clusterSnapshot(
  tx: Transaction,
  only?: readonly string[] | { names: readonly string[] },
  now = Date.now(),
  deviceTypes: readonly string[] = [],
  drvmIds: readonly string[] | null = null,
): Promise<SealedNode[]> {
  const isByName = only !== undefined && 'names' in only;
  const ids = isByName || only === undefined ? null : [...only];
  const names = isByName ? [...only.names] : null;
  const about = drvmIds === null ? null : [...drvmIds];
  const [found] = await tx.$queryRaw<{ nodes: string }[]>`
    SELECT coalesce(json_agg(json_build_object(
      'id', n.id, 'name', n.name, 'wantedState', n.wanted_state,
      'lastSeenAtMs', extract(epoch FROM n.last_seen_at) * 1000,
      'probation', n.probation, 'traits', n.traits, 'foundTraits', n.found_traits, 'taints', n.taints,
      'labels', n.labels,
      'seal', node_seal(n.wanted_state, n.probation, n.traits, n.found_traits, n.taints, n.labels),
      'inventories', coalesce(i.rows, '[]'),
      'slices', s.count, 'occupied', s.occupied, 'isExclusive', s.is_exclusive, 'drvmIds', s.drvm_ids,
      'heldOut', (SELECT f.reason FROM node_failure f WHERE f.node_id = n.id AND f.phase = 'held-out')
    ) ORDER BY n.name), '[]')::text AS nodes
    FROM node n
    CROSS JOIN LATERAL (
      SELECT json_agg(json_build_array(class, total, reserved, used, allocation_ratio, step)) AS rows
      FROM inventory WHERE node_id = n.id) i
    CROSS JOIN LATERAL (
      SELECT count(*) AS count, count(*) FILTER (WHERE is_home OR processes > 0) AS occupied,
        coalesce(bool_or(exclusive), false) AS is_exclusive,
        coalesce(array_agg(drvm_id) FILTER (WHERE ${about}::uuid[] IS NULL OR drvm_id = ANY(${about}::uuid[])), '{}')
          AS drvm_ids
      FROM slice WHERE node_id = n.id) s
    WHERE (${ids}::uuid[] IS NULL OR n.id = ANY(${ids}::uuid[]))
      AND (${names}::text[] IS NULL OR n.name = ANY(${names}::text[]))`;
  const rows = (JSON.parse(found?.nodes ?? '[]') as Found[]).map(({ lastSeenAtMs, ...row }) => ({
    ...row,
    lastSeenAt: lastSeenAtMs === null ? null : new Date(lastSeenAtMs),
  }));
  const devices = await devicesByNode(tx, deviceTypes);
  return rows.map((row) => {
    const { free, given, step } = ledgerOf(
      row.inventories.map(([name, total, reserved, used, allocationRatio, each]) => ({
        class: name,
        total,
        reserved,
        used,
        allocationRatio,
        step: each,
      })),
    );
    return {
      id: row.id,
      name: row.name,
      state: nodeState(row, row.occupied, now),
      free,
      capacity: {
        cpuMilli: free.cpuMilli + given.cpuMilli,
        memoryMiB: free.memoryMiB + given.memoryMiB,
        diskGiB: free.diskGiB + given.diskGiB,
        networkMbps: free.networkMbps + given.networkMbps,
      },
      step,
      slices: row.slices,
      isExclusive: row.isExclusive,
      heldOut: row.heldOut,
      isOnProbation: !isThroughProbation(row),
      traits: traitsOf(row),
      taints: row.taints,
      ...placeOf(row),
      drvmIds: row.drvmIds,
      devices: devices.get(row.id) ?? [],
      seal: row.seal,
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
