import type { ResourceAmounts } from '@drvs/contracts';
import { randomFrom } from '../plan/seed.js';
import { addAmounts, amountsFit, capacityOf, mapAmounts } from '../snapshot/amounts.js';
import type {
  ClusterSnapshot,
  DrvmRecord,
  NodeRecord,
  ProcessRecord,
  SliceRecord,
} from '../snapshot/cluster-snapshot.js';

const MIB = 1 << 20;
export const NOW_MS = 1_700_000_000_000;
const HOUR_MS = 3_600_000;

export interface ClusterShape {
  seed: number;
  nodes: number;
  drvms: number;
  /** How much of the ceiling is wanted on average, 0 to 1.5. */
  heat: number;
  hasOff: boolean;
  /** Some nodes have lost hardware since their slices came, and hold more than they have. */
  hasLost?: boolean;
}

/** A valid cluster of this shape; the same for the same shape. */
export function randomCluster({
  seed,
  nodes: nodeCount,
  drvms: drvmCount,
  heat,
  hasOff,
  hasLost = false,
}: ClusterShape): ClusterSnapshot {
  const random = randomFrom(seed);
  const whole = (from: number, to: number): number => from + Math.floor(random() * (to - from + 1));
  const chance = (share: number): boolean => random() < share;
  const someTimeAgo = (): number | null => (chance(0.3) ? null : NOW_MS - whole(0, 3 * HOUR_MS));

  const nodes: NodeRecord[] = Array.from({ length: nodeCount }, (_, n) => ({
    id: `n${n}`,
    name: `node${n}`,
    state: hasOff && n > 0 && chance(0.3) ? 'off' : 'up',
    isCordoned: chance(0.05),
    isFenced: false,
    total: {
      cpuMilli: whole(1, 16) * 1000,
      memoryMiB: whole(1, 32) * 1024,
      diskGiB: whole(0, 100),
      networkMbps: 1000,
    },
    reserved: { cpuMilli: whole(0, 500), memoryMiB: whole(0, 300), diskGiB: 0, networkMbps: 0 },
    ratio: { cpuMilli: chance(0.2) ? 1.5 : 1, memoryMiB: 1, diskGiB: 1, networkMbps: 1 },
    traits: chance(0.5) ? ['ssd'] : [],
    taints: chance(0.1) ? ['old'] : [],
    domain: `rack${whole(0, 2)}`,
    power: {
      idleWatts: whole(40, 150),
      fullWatts: whole(160, 400),
      offWatts: 5,
      bootSeconds: whole(30, 240),
      isControlled: chance(0.9),
      hasFailedToWake: chance(0.03),
    },
    hotSinceMs: someTimeAgo(),
    coldSinceMs: someTimeAgo(),
  }));
  const drvms: DrvmRecord[] = Array.from({ length: drvmCount }, (_, d) => ({
    id: `d${d}`,
    name: `drvm${d}`,
    tenant: `t${d % 3}`,
    weight: whole(1, 4),
    isExclusive: chance(0.05),
    requires: chance(0.15) ? ['ssd'] : [],
    tolerates: chance(0.3) ? ['old'] : [],
    avoids: chance(0.1) && d > 0 ? [`d${whole(0, d - 1)}`] : [],
    replicasApart: chance(0.5) ? 'node' : 'domain',
  }));
  const free = new Map(nodes.map((node) => [node.id, capacityOf(node)]));
  const slices: SliceRecord[] = [];
  const processes: ProcessRecord[] = [];
  const avoid = (a: DrvmRecord, b: DrvmRecord): boolean =>
    a.isExclusive || b.isExclusive || a.avoids.includes(b.id) || b.avoids.includes(a.id);
  for (const drvm of drvms) {
    let pid = 0;
    const replicaPlaces = new Set<string>();
    for (let tries = whole(1, 4); tries > 0; tries--) {
      const node = nodes[whole(0, nodeCount - 1)];
      const here = slices.filter(({ nodeId }) => nodeId === node.id);
      if (node.state !== 'up' || here.some(({ drvmId }) => drvmId === drvm.id)) continue;
      if (!drvm.requires.every((trait) => node.traits.includes(trait))) continue;
      if (!node.taints.every((taint) => drvm.tolerates.includes(taint))) continue;
      if (here.some(({ drvmId }) => avoid(drvm, drvms[Number(drvmId.slice(1))]))) continue;
      const guaranteed = {
        cpuMilli: whole(1, 60) * 50,
        memoryMiB: whole(192, 6000),
        diskGiB: whole(0, 20),
        networkMbps: whole(0, 200),
      };
      const borrowed = chance(0.4)
        ? { cpuMilli: whole(0, 2000), memoryMiB: whole(0, 2000), diskGiB: 0, networkMbps: 0 }
        : mapAmounts(() => 0);
      const held = addAmounts(guaranteed, borrowed);
      const room = free.get(node.id) as ResourceAmounts;
      if (!amountsFit(held, room)) continue;
      free.set(
        node.id,
        mapAmounts((name) => room[name] - held[name]),
      );
      const ceiling = addAmounts(held, {
        cpuMilli: whole(0, 4000),
        memoryMiB: whole(0, 4000),
        diskGiB: 0,
        networkMbps: 0,
      });
      let cpuMilli = 0;
      let memoryMiB = Math.min(160, held.memoryMiB);
      for (let count = whole(0, 6); count > 0; count--) {
        const imageBytes = whole(1, 64 * MIB);
        const wants = Math.floor(((ceiling.cpuMilli * heat) / 3) * random());
        if (memoryMiB + Math.ceil(imageBytes / MIB) > held.memoryMiB) continue;
        const place = drvm.replicasApart === 'domain' ? node.domain : node.id;
        const isReplica = chance(0.2) && !replicaPlaces.has(place);
        if (isReplica) replicaPlaces.add(place);
        cpuMilli += wants;
        memoryMiB += Math.ceil(imageBytes / MIB);
        processes.push({
          drvmId: drvm.id,
          pid: pid++,
          nodeId: node.id,
          cpuMilli: wants,
          imageBytes,
          replicaGroup: isReplica ? 'store' : null,
          isPinned: chance(0.03),
          movedAtMs: someTimeAgo(),
        });
      }
      slices.push({
        drvmId: drvm.id,
        nodeId: node.id,
        guaranteed,
        ceiling,
        held,
        used: { cpuMilli: Math.min(cpuMilli, held.cpuMilli), memoryMiB, diskGiB: 0, networkMbps: 0 },
        wanted: { cpuMilli, memoryMiB, diskGiB: 0, networkMbps: 0 },
        idleSinceMs: someTimeAgo(),
        movedAtMs: someTimeAgo(),
      });
    }
  }
  for (const node of nodes) {
    if (!hasLost || !chance(0.3)) continue;
    node.total = { ...node.total, memoryMiB: Math.floor(node.total.memoryMiB / whole(1, 8)) };
  }
  return { id: `g${seed}`, atMs: NOW_MS, nodes, drvms, slices, processes, movesLastHour: 0 };
}
