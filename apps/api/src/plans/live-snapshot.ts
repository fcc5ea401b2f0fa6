import { createHash } from 'node:crypto';
import { DVOS_MEMORY_MIB, NO_RESOURCES, type ResourceAmounts } from '@drvs/contracts';
import type { ClusterSnapshot, NodePowerState, NodeRecord, SliceRecord } from '@drvs/policy';
import { sumAmounts } from '../allocations/amounts.js';
import type { Drvm, Inventory, Node, Slice } from '../gen/client.js';
import { ledgerOf, nodeState, occupies } from '../nodes/node-view.js';
import type { MeasuredProcess } from './measured-load.js';

const MIB = 1_048_576;

export type LiveNode = Pick<Node, 'id' | 'name' | 'wantedState' | 'lastSeenAt' | 'generation'> & {
  inventories: Inventory[];
  slices: Slice[];
};
export type LiveDrvm = Pick<Drvm, 'id' | 'name' | 'tenantId' | 'state' | 'generation'>;

export interface LiveState {
  atMs: number;
  nodes: LiveNode[];
  drvms: LiveDrvm[];
  /** By DRVM; those that were not running, or did not answer, are missing. */
  processes: ReadonlyMap<string, readonly MeasuredProcess[]>;
  /** When a process last moved, by `drvm/pid` with the DRVM's id. */
  movedAtMs: ReadonlyMap<string, number>;
}

/**
 * The running cluster as the planners see it. A viewer that sees no inventory (a department) has of each node what its
 * own slices are, as everywhere. Of power nothing is known, so nothing is planned about it.
 */
export function liveSnapshot(state: LiveState): ClusterSnapshot {
  const { atMs, nodes, drvms, processes, movedAtMs } = state;
  const idOf = new Map(nodes.map(({ id, name }) => [name, id]));
  const places = new Set(
    nodes.flatMap(({ slices }) => slices.map(({ drvmId, nodeId }) => `${drvmId}/${nodeId}`)),
  );
  const records = drvms.flatMap(({ id: drvmId }) =>
    (processes.get(drvmId) ?? []).flatMap(({ pid, node, cpuMilli, memoryBytes }) => {
      const nodeId = idOf.get(node);
      if (nodeId === undefined || !places.has(`${drvmId}/${nodeId}`)) return [];
      return {
        drvmId,
        pid,
        nodeId,
        cpuMilli,
        imageBytes: memoryBytes,
        replicaGroup: null,
        isPinned: false,
        movedAtMs: movedAtMs.get(`${drvmId}/${pid}`) ?? null,
      };
    }),
  );
  return {
    id: createHash('sha256')
      .update(JSON.stringify(generationsOf(state)))
      .digest('hex')
      .slice(0, 16),
    atMs,
    nodes: nodes.map((node) => nodeRecord(node, atMs)),
    drvms: drvms.map(({ id, name, tenantId }) => ({
      id,
      name,
      tenant: tenantId,
      weight: 1,
      isExclusive: nodes.some(({ slices }) => slices.some((slice) => slice.drvmId === id && slice.exclusive)),
      requires: [],
      tolerates: [],
      avoids: [],
      replicasApart: 'node' as const,
    })),
    slices: nodes.flatMap(({ slices }) =>
      slices.map((slice): SliceRecord => {
        const inside = records.filter(
          ({ drvmId, nodeId }) => drvmId === slice.drvmId && nodeId === slice.nodeId,
        );
        const held = amountsOf(slice);
        const used = {
          ...NO_RESOURCES,
          cpuMilli: inside.reduce((sum, { cpuMilli }) => sum + cpuMilli, 0),
          // As the DVOS itself reckons when it decides whether a program has room.
          memoryMiB: inside.reduce(
            (sum, { imageBytes }) => sum + Math.ceil(imageBytes / MIB),
            DVOS_MEMORY_MIB,
          ),
        };
        const { drvmId, nodeId } = slice;
        return {
          drvmId,
          nodeId,
          guaranteed: held,
          ceiling: held,
          held,
          used,
          wanted: used,
          idleSinceMs: null,
          movedAtMs: null,
        };
      }),
    ),
    processes: records,
    movesLastHour: movedAtMs.size,
  };
}

/** By id: what a plan is compared with before it is carried out. */
export function generationsOf({ nodes, drvms }: Pick<LiveState, 'nodes' | 'drvms'>): {
  nodes: Record<string, number>;
  drvms: Record<string, number>;
} {
  const generations = (rows: readonly { id: string; generation: number }[]) =>
    Object.fromEntries(rows.map(({ id, generation }) => [id, generation]));
  return { nodes: generations(nodes), drvms: generations(drvms) };
}

const POWER: Readonly<Record<ReturnType<typeof nodeState>, NodePowerState>> = {
  up: 'up',
  draining: 'up',
  drained: 'up',
  down: 'down',
  off: 'off',
};

function nodeRecord(node: LiveNode, atMs: number): NodeRecord {
  const { total, heldBack } = ledgerOf(node.inventories);
  const isSeenWhole = node.inventories.length > 0;
  const ratio = { cpuMilli: 1, memoryMiB: 1, diskGiB: 1, networkMbps: 1 };
  for (const row of node.inventories) ratio[row.class] = row.allocationRatio;
  return {
    id: node.id,
    name: node.name,
    state: POWER[nodeState(node, node.slices.filter(occupies).length, atMs)],
    isCordoned: node.wantedState !== 'active',
    isFenced: false,
    total: isSeenWhole ? total : sumAmounts(node.slices),
    reserved: isSeenWhole ? heldBack : NO_RESOURCES,
    ratio,
    traits: [],
    taints: [],
    domain: node.id,
    power: {
      idleWatts: 0,
      fullWatts: 0,
      offWatts: 0,
      bootSeconds: 0,
      isControlled: false,
      hasFailedToWake: false,
    },
    hotSinceMs: null,
    coldSinceMs: null,
  };
}

function amountsOf({ cpuMilli, memoryMiB, diskGiB, networkMbps }: Slice): ResourceAmounts {
  return { cpuMilli, memoryMiB, diskGiB, networkMbps };
}
