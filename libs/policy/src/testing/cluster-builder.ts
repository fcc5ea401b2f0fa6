import type { ResourceAmounts } from '@drvs/contracts';
import type { PlanInput } from '../plan/complete-plan.js';
import { plannerPolicy } from '../planner-policy.js';
import { bareDrvm, bareNode } from '../snapshot/bare-records.js';
import type {
  ClusterSnapshot,
  DrvmRecord,
  NodeRecord,
  ProcessRecord,
  SliceRecord,
} from '../snapshot/cluster-snapshot.js';
import { NOW_MS } from './random-cluster.js';

const MIB = 1 << 20;

export const amounts = (cpuMilli: number, memoryMiB: number): ResourceAmounts => ({
  cpuMilli,
  memoryMiB,
  diskGiB: 0,
  networkMbps: 0,
});

/** A node of 4 vCPU and 8 GiB that has been whatever it is for hours. */
export const aNode = (name: string, more: Partial<NodeRecord> = {}): NodeRecord => ({
  ...bareNode(name, amounts(4000, 8192)),
  domain: `rack-of-${name}`,
  power: {
    idleWatts: 100,
    fullWatts: 300,
    offWatts: 5,
    bootSeconds: 60,
    isControlled: true,
    hasFailedToWake: false,
  },
  hotSinceMs: 0,
  coldSinceMs: 0,
  ...more,
});

export interface SliceWords {
  drvm: string;
  node: string;
  guaranteed?: number;
  held?: number;
  ceiling?: number;
  /** CPU that each of its processes wants. */
  wants?: number[];
  memoryMiB?: number;
  process?: Partial<ProcessRecord>;
}

/** A snapshot with these nodes and slices; the DRVMs and processes follow from the slices. CPU in thousandths. */
export function aCluster(
  nodes: NodeRecord[],
  slices: SliceWords[],
  drvms: Record<string, Partial<DrvmRecord>> = {},
): ClusterSnapshot {
  const processes: ProcessRecord[] = [];
  const records = slices.map(({ drvm, node, wants = [], memoryMiB = 1024, process, ...cpu }): SliceRecord => {
    const guaranteed = cpu.guaranteed ?? 1000;
    const held = cpu.held ?? guaranteed;
    for (const cpuMilli of wants) {
      processes.push({
        drvmId: drvm,
        pid: processes.length + 1,
        nodeId: node,
        cpuMilli,
        imageBytes: 4 * MIB,
        replicaGroup: null,
        isPinned: false,
        movedAtMs: null,
        ...process,
      });
    }
    const wanted = wants.reduce((a, b) => a + b, 0);
    return {
      drvmId: drvm,
      nodeId: node,
      guaranteed: amounts(guaranteed, memoryMiB),
      held: amounts(held, memoryMiB),
      ceiling: amounts(Math.max(held, cpu.ceiling ?? held), memoryMiB),
      used: amounts(Math.min(wanted, held), Math.min(memoryMiB, 200)),
      wanted: amounts(wanted, Math.min(memoryMiB, 200)),
      idleSinceMs: 0,
      movedAtMs: null,
    };
  });
  return {
    id: 'built',
    atMs: NOW_MS,
    nodes,
    drvms: [...new Set(slices.map(({ drvm }) => drvm))].map((id) => ({
      ...bareDrvm(id, 'physics'),
      ...drvms[id],
    })),
    slices: records,
    processes,
    movesLastHour: 0,
  };
}

export const inputFor = (
  snapshot: ClusterSnapshot,
  policy: Parameters<typeof plannerPolicy>[0] = {},
): PlanInput => ({
  snapshot,
  policy: plannerPolicy(policy),
  seed: 1,
});
