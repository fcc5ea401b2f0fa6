import type { ResourceAmounts } from '@drvs/contracts';
import { randomFrom } from '../plan/seed.js';
import type { DrvmRecord, NodeRecord } from '../snapshot/cluster-snapshot.js';

/**
 * The laws of a synthetic day at a university: which nodes there are, which DRVMs departments keep, what they want at
 * which hour, which batches come, which nodes fail. Everything follows from the seed, and nothing from what any
 * planner does, so that all contenders live through the same day. docs/policies.md states them for people.
 */
export interface DayLaws {
  nodes: NodeRecord[];
  /** There from the start, until the end. */
  residents: Workload[];
  /** In the order in which they come. */
  batches: (Workload & { fromMs: number; durationMs: number })[];
  failures: { nodeId: string; atMs: number; repairedAtMs: number }[];
  /** Whether days before followed the same laws, so that a forecast can know them. */
  hasPast: boolean;
}

export interface Workload {
  drvm: DrvmRecord;
  number: number;
  kind: WorkloadKind;
  /** Of the guarantee, at the height of its day. */
  peak: number;
  /** Hours by which its day is earlier or later. */
  shiftHours: number;
  slices: SliceShape[];
  /** Of the guarantee, from sample to sample since `fromMs`: of a trace that tells it. */
  samples?: { fromMs: number; everyMs: number; levels: Float32Array };
}

export type WorkloadKind = 'office' | 'research' | 'service' | 'batch' | 'trace';

export interface SliceShape {
  guaranteed: ResourceAmounts;
  ceiling: ResourceAmounts;
  usedMiB: number;
  /** Share of the slice's CPU that each process wants, and its image. */
  processes: { share: number; imageBytes: number }[];
}

const MIB = 1 << 20;
const HOUR_MS = 3_600_000;
/** Guarantees of the residents, as a part of the cluster's CPU. */
const RESIDENT_SHARE = 0.4;
const NODES_PER_DEPARTMENT = 20;
const NODES_PER_RACK = 20;
/** Batches that come in an hour, per node; three times as many from 17 to 23. */
const BATCHES_PER_NODE_HOUR = 0.025;
const EVENING_FACTOR = 3;
/** Failures per node and day. */
const FAILURES_PER_NODE_DAY = 1 / 400;
const REPAIR_MS = 4 * HOUR_MS;
const CEILING_FACTOR = 2.5;
/** Noise changes within half an hour. */
const NOISE_KNOT_MS = 1_800_000;

const NODE_KINDS = [
  { upTo: 0.6, cpu: 16, gib: 64, idleWatts: 80, fullWatts: 250, bootSeconds: 120 },
  { upTo: 0.9, cpu: 32, gib: 128, idleWatts: 110, fullWatts: 380, bootSeconds: 150 },
  { upTo: 1, cpu: 8, gib: 32, idleWatts: 60, fullWatts: 140, bootSeconds: 90 },
] as const;

export function dayLaws(nodeCount: number, hours: number, seed: number): DayLaws {
  const random = randomFrom(seed);
  const whole = (from: number, to: number): number => from + Math.floor(random() * (to - from + 1));
  const nodes = makeNodes(nodeCount, random);
  const capacityMilli = nodes.reduce((sum, { total }) => sum + total.cpuMilli, 0);
  const departments = Math.max(1, Math.round(nodeCount / NODES_PER_DEPARTMENT));
  const residents: Workload[] = [];
  for (let given = 0; given < RESIDENT_SHARE * capacityMilli; ) {
    const number = residents.length;
    const chance = random();
    const kind = chance < 0.7 ? 'office' : chance < 0.9 ? 'research' : 'service';
    const slices = Array.from({ length: whole(1, 6) }, () => makeSlice(whole(1, 4), CEILING_FACTOR, random));
    residents.push({
      drvm: makeDrvm(`${kind}${number}`, `department${number % departments}`),
      number,
      kind,
      peak: 0.7 + 1.1 * random(),
      shiftHours: 3 * (random() - 0.5),
      slices,
    });
    given += slices.reduce((sum, { guaranteed }) => sum + guaranteed.cpuMilli, 0);
  }
  const batches: DayLaws['batches'] = [];
  const rateMax = BATCHES_PER_NODE_HOUR * nodeCount * EVENING_FACTOR;
  // A Poisson process of the greatest rate, thinned to that of the hour (Lewis and Shedler 1979).
  for (let atMs = 0; ; ) {
    atMs += (-Math.log(1 - random()) / rateMax) * HOUR_MS;
    if (atMs >= hours * HOUR_MS) break;
    if (random() > (isEvening(atMs) ? 1 : 1 / EVENING_FACTOR)) continue;
    const number = residents.length + batches.length;
    batches.push({
      drvm: makeDrvm(`batch${number}`, `department${whole(0, departments - 1)}`),
      number,
      kind: 'batch',
      peak: 1.6,
      shiftHours: 0,
      slices: Array.from({ length: whole(2, 16) }, () => makeSlice(whole(2, 4), 2, random)),
      fromMs: atMs,
      // Median 1.2 hours, sometimes much longer.
      durationMs: Math.min(6, Math.max(0.25, 1.2 * Math.exp(0.7 * normal(random)))) * HOUR_MS,
    });
  }
  return { nodes, residents, batches, failures: failuresOf(nodes, hours, random), hasPast: true };
}

/** Nodes of the mixture that docs/policies.md states. */
export function makeNodes(count: number, random: () => number): NodeRecord[] {
  return Array.from({ length: count }, (_, n) => makeNode(n, random));
}

export function failuresOf(
  nodes: readonly NodeRecord[],
  hours: number,
  random: () => number,
): DayLaws['failures'] {
  const failures: DayLaws['failures'] = [];
  for (const { id } of nodes) {
    if (random() >= (FAILURES_PER_NODE_DAY * hours) / 24) continue;
    const atMs = random() * hours * HOUR_MS;
    failures.push({ nodeId: id, atMs, repairedAtMs: atMs + REPAIR_MS });
  }
  return failures.sort((a, b) => a.atMs - b.atMs);
}

/** What a DRVM wants at a time of the day, as a part of its guarantee; the seed makes one day unlike another. */
export function levelAt(workload: Workload, atMs: number, seed: number): number {
  const { kind, peak, shiftHours, number, samples } = workload;
  const hour = (((atMs / HOUR_MS + shiftHours) % 24) + 24) % 24;
  const noise = 0.75 + 0.5 * valueNoise(seed, number, atMs);
  switch (kind) {
    case 'office': {
      // From 8 to 20, as the upper half of a sine, a little pointed; at night next to nothing.
      const day = hour > 8 && hour < 20 ? Math.sin((Math.PI * (hour - 8)) / 12) ** 1.3 : 0;
      return (0.06 + (peak - 0.06) * day) * noise;
    }
    case 'research':
      return 0.75 * peak * noise;
    case 'service':
      return (0.25 + (hour > 11 && hour < 14 ? 0.5 : 0)) * peak * noise;
    case 'batch':
      return peak * (0.9 + 0.1 * noise);
    case 'trace': {
      if (samples === undefined) return peak * noise;
      const place = Math.floor((atMs - samples.fromMs) / samples.everyMs);
      return samples.levels[Math.min(samples.levels.length - 1, Math.max(0, place))];
    }
  }
}

/** How the wish of one process wanders about its share: 0.4 to 1.6, from hour to hour. */
export function wanderAt(number: number, pid: number, atMs: number, seed: number): number {
  return 0.4 + 1.2 * hashed(seed, number * 4099 + pid, Math.floor(atMs / HOUR_MS));
}

const isEvening = (atMs: number): boolean => {
  const hour = (atMs / HOUR_MS) % 24;
  return hour >= 17 && hour < 23;
};

function makeNode(n: number, random: () => number): NodeRecord {
  const chance = random();
  const kind = NODE_KINDS.find(({ upTo }) => chance < upTo) ?? NODE_KINDS[0];
  return {
    id: `node${n}`,
    name: `node${n}`,
    state: 'up',
    isCordoned: false,
    isFenced: false,
    total: { cpuMilli: kind.cpu * 1000, memoryMiB: kind.gib * 1024, diskGiB: 1000, networkMbps: 10_000 },
    reserved: { cpuMilli: 500, memoryMiB: 1024, diskGiB: 20, networkMbps: 100 },
    ratio: { cpuMilli: 1, memoryMiB: 1, diskGiB: 1, networkMbps: 1 },
    traits: [],
    taints: [],
    domain: `rack${Math.floor(n / NODES_PER_RACK)}`,
    power: {
      idleWatts: kind.idleWatts,
      fullWatts: kind.fullWatts,
      offWatts: 5,
      bootSeconds: kind.bootSeconds,
      isControlled: random() < 0.95,
      hasFailedToWake: false,
    },
    hotSinceMs: null,
    coldSinceMs: null,
  };
}

export const makeDrvm = (name: string, tenant: string): DrvmRecord => ({
  id: name,
  name,
  tenant,
  weight: 1,
  isExclusive: false,
  requires: [],
  tolerates: [],
  avoids: [],
  replicasApart: 'node',
});

function makeSlice(cpu: number, ceilingFactor: number, random: () => number): SliceShape {
  const guaranteed = {
    cpuMilli: cpu * 1000,
    memoryMiB: Math.round(cpu * (1536 + 2048 * random())),
    diskGiB: cpu * 5,
    networkMbps: cpu * 50,
  };
  const count = 2 + Math.floor(random() * 4);
  const weights = Array.from({ length: count }, () => 0.5 + random());
  const sum = weights.reduce((a, b) => a + b, 0);
  return {
    guaranteed,
    ceiling: { ...guaranteed, cpuMilli: Math.round(guaranteed.cpuMilli * ceilingFactor) },
    usedMiB: Math.round(guaranteed.memoryMiB * (0.4 + 0.4 * random())),
    // Images of 12 MiB in the median, some of hundreds.
    processes: weights.map((weight) => ({
      share: weight / sum,
      imageBytes: Math.round(Math.min(512, 12 * Math.exp(1.1 * normal(random))) * MIB),
    })),
  };
}

/** Standard normal, by Box and Muller. */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** A number in [0, 1) for three integers. */
function hashed(a: number, b: number, c: number): number {
  let mixed =
    Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^
    Math.imul(b + 0x7f4a7c15, 0xc2b2ae35) ^
    Math.imul(c + 1, 0x27d4eb2f);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d);
  mixed = Math.imul(mixed ^ (mixed >>> 12), 0x297a2d39);
  return ((mixed ^ (mixed >>> 15)) >>> 0) / 4294967296;
}

/** Noise in [0, 1) that goes from knot to knot in straight lines. */
function valueNoise(seed: number, number: number, atMs: number): number {
  const knot = Math.floor(atMs / NOISE_KNOT_MS);
  const part = atMs / NOISE_KNOT_MS - knot;
  return hashed(seed, number, knot) * (1 - part) + hashed(seed, number, knot + 1) * part;
}
