import { createHash } from 'node:crypto';
import { DVOS_MEMORY_MIB, NO_RESOURCES } from '@drvs/contracts';
import {
  type ClusterSnapshot,
  type DrvmRecord,
  isTolerated,
  type NodePowerState,
  type NodeRecord,
  type SliceRecord,
} from '@drvs/policy';
import { z } from 'zod';
import { eachClass, sumAmounts } from '../allocations/amounts.js';
import type { Drvm, DrvmAffinity, Inventory, Node, NodeFailure, NodePower, Slice } from '../gen/client.js';
import { isThroughProbation, placeOf, traitsOf } from '../nodes/node-rules.js';
import { ledgerOf, nodeState } from '../nodes/node-view.js';
import { plannerPower } from '../power/power-model.js';
import type { MeasuredProcess } from './measured-load.js';

const MIB = 1_048_576;
const GIB = 1 << 30;

export type LiveNode = Pick<
  Node,
  | 'id'
  | 'name'
  | 'wantedState'
  | 'lastSeenAt'
  | 'generation'
  | 'inventory'
  | 'traits'
  | 'foundTraits'
  | 'labels'
  | 'taints'
  | 'probation'
  | 'hotSince'
  | 'coldSince'
> & {
  inventories: Inventory[];
  slices: Slice[];
  power: NodePower | null;
  failure: Pick<NodeFailure, 'phase'> | null;
};
export type LiveDrvm = Pick<
  Drvm,
  'id' | 'name' | 'tenantId' | 'state' | 'generation' | 'homeIndex' | 'request'
> & {
  affinities: Pick<DrvmAffinity, 'otherId' | 'kind'>[];
  devices: { nodeId: string }[];
  tenant: { weight: number };
};

export interface LiveState {
  atMs: number;
  nodes: LiveNode[];
  drvms: LiveDrvm[];
  /** By DRVM; those that were not running, or did not answer, are missing. */
  processes: ReadonlyMap<string, readonly MeasuredProcess[]>;
  /** When a process last moved, by `drvm/pid` with the DRVM's id; and a slice, by `drvm@node` with ids. */
  movedAtMs: ReadonlyMap<string, number>;
  /** DRVMs that are being changed, or of which nothing is known: what they have stays where it is. */
  busy: ReadonlySet<string>;
  /** Names of nodes that can be switched although no driver was set by hand. */
  switchable: ReadonlySet<string>;
}

/** What of a DRVM's request binds the nodes that it may be on. */
const Demands = z.object({
  require: z.array(z.string()).catch([]).default([]),
  forbid: z.array(z.string()).catch([]).default([]),
  tolerate: z.array(z.string()).catch([]).default([]),
});

/**
 * The running cluster as the planners see it. A viewer that sees no inventory (a department) has of each node what its
 * own slices are, as everywhere.
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
  const inside = Map.groupBy(records, ({ drvmId, nodeId }) => `${drvmId}/${nodeId}`);
  const byId = new Map(drvms.map((drvm) => [drvm.id, drvm]));
  const demands = new Map(drvms.map((drvm) => [drvm.id, demandsOf(drvm)]));
  const forbidden = new Set([...demands.values()].flatMap(({ forbid }) => forbid));
  const taints = new Set(nodes.flatMap((node) => node.taints));
  return {
    id: createHash('sha256')
      .update(JSON.stringify(generationsOf(state)))
      .digest('hex')
      .slice(0, 16),
    atMs,
    nodes: nodes.map((node) => nodeRecord(node, forbidden, state)),
    drvms: drvms.map((drvm): DrvmRecord => {
      const { require, forbid, tolerate } = demands.get(drvm.id)!;
      const of = (kind: string): string[] =>
        drvm.affinities.filter((rule) => rule.kind === kind).map(({ otherId }) => otherId);
      return {
        id: drvm.id,
        name: drvm.name,
        tenant: drvm.tenantId,
        weight: drvm.tenant.weight,
        isExclusive: nodes.some(({ slices }) =>
          slices.some((slice) => slice.drvmId === drvm.id && slice.exclusive),
        ),
        // A DRVM is a trait of the nodes that it is on, and what a node lacks is one too.
        requires: [...require, ...forbid.map(lacking), ...of('together').map(holding)],
        tolerates: [...taints].filter((taint) => isTolerated(taint, tolerate)),
        avoids: of('apart'),
        replicasApart: 'node',
      };
    }),
    slices: nodes.flatMap(({ slices }) =>
      slices.map((slice) =>
        sliceRecord(
          slice,
          byId.get(slice.drvmId),
          inside.get(`${slice.drvmId}/${slice.nodeId}`) ?? [],
          state,
        ),
      ),
    ),
    processes: records,
    movesLastHour: movedAtMs.size,
  };
}

function sliceRecord(
  slice: Slice,
  drvm: LiveDrvm | undefined,
  inside: readonly { cpuMilli: number; imageBytes: number }[],
  { processes, movedAtMs, busy }: LiveState,
): SliceRecord {
  const { drvmId, nodeId, cpuMilli, memoryMiB, diskGiB, networkMbps } = slice;
  const guaranteed = { cpuMilli, memoryMiB, diskGiB, networkMbps };
  const ceiling = eachClass((name) => Math.max(guaranteed[name], slice[CEILING[name]]));
  // An idle owner may hold less than it is guaranteed. It can wake at any moment, so plans reckon with the guarantee.
  const held = eachClass((name) => Math.min(ceiling[name], Math.max(guaranteed[name], slice[HELD[name]])));
  const isKnown = processes.has(drvmId);
  const used = {
    ...NO_RESOURCES,
    cpuMilli: isKnown ? inside.reduce((sum, process) => sum + process.cpuMilli, 0) : slice.usedCpuMilli,
    // As the DVOS itself reckons when it decides whether a program has room.
    memoryMiB: isKnown
      ? inside.reduce((sum, { imageBytes }) => sum + Math.ceil(imageBytes / MIB), DVOS_MEMORY_MIB)
      : Math.min(slice.usedMemoryMiB, held.memoryMiB),
  };
  const isHome = drvm?.homeIndex === slice.index;
  const hasDevice = drvm?.devices.some((device) => device.nodeId === nodeId) ?? false;
  const stays = busy.has(drvmId)
    ? ('busy' as const)
    : hasDevice
      ? ('pinned-process' as const)
      : isHome && drvm?.state === 'stopped'
        ? ('stopped-home' as const)
        : null;
  return {
    drvmId,
    nodeId,
    guaranteed,
    ceiling,
    held,
    used,
    wanted: used,
    idleSinceMs: slice.idleSince?.getTime() ?? null,
    movedAtMs: movedAtMs.get(`${drvmId}@${nodeId}`) ?? null,
    ...(stays === null ? {} : { stays }),
    // Files lie with the home, and go with it.
    ...(isHome ? { isHome, stateBytes: Math.max(MIB, diskGiB * GIB) } : {}),
  };
}

const CEILING = {
  cpuMilli: 'ceilingCpuMilli',
  memoryMiB: 'ceilingMemoryMiB',
  diskGiB: 'ceilingDiskGiB',
  networkMbps: 'ceilingNetworkMbps',
} as const;
const HELD = {
  cpuMilli: 'heldCpuMilli',
  memoryMiB: 'heldMemoryMiB',
  diskGiB: 'heldDiskGiB',
  networkMbps: 'heldNetworkMbps',
} as const;

/** By id: what a plan is compared with before it is carried out. */
export function generationsOf({ nodes, drvms }: Pick<LiveState, 'nodes' | 'drvms'>): {
  nodes: Record<string, number>;
  drvms: Record<string, number>;
} {
  const generations = (rows: readonly { id: string; generation: number }[]) =>
    Object.fromEntries(rows.map(({ id, generation }) => [id, generation]));
  return { nodes: generations(nodes), drvms: generations(drvms) };
}

function demandsOf({ request }: LiveDrvm): z.infer<typeof Demands> {
  const parsed = Demands.safeParse(request);
  return parsed.success ? parsed.data : { require: [], forbid: [], tolerate: [] };
}

const lacking = (trait: string): string => `not:${trait}`;
const holding = (drvmId: string): string => `holds:${drvmId}`;

const POWER: Readonly<Record<ReturnType<typeof nodeState>, NodePowerState>> = {
  up: 'up',
  draining: 'up',
  drained: 'up',
  down: 'down',
  off: 'off',
};
const FENCED: ReadonlySet<string> = new Set(['fenced', 'evacuating', 'evacuated']);

function nodeRecord(
  node: LiveNode,
  forbidden: ReadonlySet<string>,
  { atMs, switchable }: LiveState,
): NodeRecord {
  const { total, heldBack } = ledgerOf(node.inventories);
  const isSeenWhole = node.inventories.length > 0;
  const ratio = { cpuMilli: 1, memoryMiB: 1, diskGiB: 1, networkMbps: 1 };
  for (const row of node.inventories) ratio[row.class] = row.allocationRatio;
  const traits = traitsOf(node);
  const phase = node.failure?.phase ?? 'well';
  const isSwitched = (node.power !== null && node.power.driver !== 'none') || switchable.has(node.name);
  return {
    id: node.id,
    name: node.name,
    state: powerStateOf(node, atMs),
    isCordoned: node.wantedState !== 'active' || !isThroughProbation(node) || phase !== 'well',
    isFenced: FENCED.has(phase),
    total: isSeenWhole ? total : sumAmounts(node.slices),
    reserved: isSeenWhole ? heldBack : NO_RESOURCES,
    ratio,
    traits: [
      ...traits,
      ...[...forbidden].filter((trait) => !traits.includes(trait)).map(lacking),
      ...node.slices.map(({ drvmId }) => holding(drvmId)),
    ],
    taints: node.taints,
    domain: placeOf(node).rack ?? node.id,
    power: plannerPower(node.power, node.inventory, isSwitched),
    hotSinceMs: node.hotSince?.getTime() ?? null,
    coldSinceMs: node.coldSince?.getTime() ?? null,
  };
}

function powerStateOf(node: LiveNode, atMs: number): NodePowerState {
  const power = node.power?.state;
  if (power === 'powering-on' || power === 'joining') return 'powering-on';
  if (power === 'powering-off') return 'down';
  return POWER[nodeState(node, 0, atMs)];
}
