import { MIN_SLICE_CPU_MILLI, MIN_SLICE_MEMORY_MIB } from '@drvs/contracts';
import { randomFrom } from '../../plan/seed.js';
import { type DayLaws, failuresOf, makeDrvm, makeNodes, type SliceShape } from '../laws.js';
import type { TraceJob } from './trace-format.js';

/** A DRVM of a trace has a slice for every so much, since no single node need hold it. */
const SLICE_CPU_MILLI = 8_000;
const SLICE_MEMORY_MIB = 32 * 1024;
const SLICES_MAX = 64;
/** Up to this many times its request it may borrow. */
const CEILING_FACTOR = 2;
/** Where a trace tells only what was requested, so much of it is wanted: evenly between these. */
const LEVEL_LEAST = 0.2;
const LEVEL_MOST = 0.8;
const USED_MEMORY = 0.6;
const IMAGE_BYTES = 12 << 20;
const DEPARTMENTS = 50;
const OF_NODES = 1;
const OF_JOBS = 2;

/**
 * A day whose load is that of a trace, on the nodes of the synthetic laws: each job is a DRVM that comes, wants what
 * the trace says, and goes. Of the days before nothing is known: the forecast has no past.
 */
export function traceLaws(
  nodeCount: number,
  hours: number,
  seed: number,
  jobs: readonly TraceJob[],
): DayLaws {
  const ofNodes = randomFrom(seed * 31 + OF_NODES);
  const random = randomFrom(seed * 31 + OF_JOBS);
  const nodes = makeNodes(nodeCount, ofNodes);
  const batches = jobs.map((job, number) => {
    // What ran before the day began is there at its beginning.
    const fromMs = Math.max(0, job.fromMs);
    const level = job.level ?? LEVEL_LEAST + (LEVEL_MOST - LEVEL_LEAST) * random();
    return {
      drvm: makeDrvm(`trace${number}`, `department${number % DEPARTMENTS}`),
      number,
      kind: 'trace' as const,
      peak: level,
      shiftHours: 0,
      slices: slicesOf(job),
      samples: job.samples && { ...job.samples, fromMs: job.fromMs },
      fromMs,
      durationMs: job.untilMs - fromMs,
    };
  });
  batches.sort((a, b) => a.fromMs - b.fromMs);
  return { nodes, residents: [], batches, failures: failuresOf(nodes, hours, ofNodes), hasPast: false };
}

function slicesOf({ cpuMilli, memoryMiB }: TraceJob): SliceShape[] {
  const count = Math.min(
    SLICES_MAX,
    Math.max(1, Math.ceil(cpuMilli / SLICE_CPU_MILLI), Math.ceil(memoryMiB / SLICE_MEMORY_MIB)),
  );
  const guaranteed = {
    cpuMilli: Math.max(MIN_SLICE_CPU_MILLI, Math.round(cpuMilli / count)),
    memoryMiB: Math.max(MIN_SLICE_MEMORY_MIB, Math.round(memoryMiB / count)),
    diskGiB: 1,
    networkMbps: 0,
  };
  const shape: SliceShape = {
    guaranteed,
    ceiling: { ...guaranteed, cpuMilli: guaranteed.cpuMilli * CEILING_FACTOR },
    usedMiB: Math.round(guaranteed.memoryMiB * USED_MEMORY),
    processes: [
      { share: 0.5, imageBytes: IMAGE_BYTES },
      { share: 0.5, imageBytes: IMAGE_BYTES },
    ],
  };
  return Array.from({ length: count }, () => shape);
}
