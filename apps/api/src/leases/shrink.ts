import { DVOS_MEMORY_MIB, MIN_SLICE_CPU_MILLI, MIN_SLICE_MEMORY_MIB } from '@drvs/contracts';
import type { Slice } from '../gen/client.js';
import type { ResizeDrvm } from '../reconfigure/resize-request.js';

/** Room above what it uses, so that the programs that wait in it do not meet the wall at their first breath. */
const HEADROOM = 1.5;
/** A shrink that gains less than this part of the CPU is not worth it. */
const GAIN_LEAST = 0.1;

/**
 * What an idle DRVM is shrunk to: CPU to the least that its slices can be, memory to what it uses and half as much
 * again; its disk stays, files are on it. Its ceiling stays what it was, so that it may borrow that again when it wakes. Null when that gains next to nothing.
 */
export function shrunkTo(
  slices: readonly Pick<
    Slice,
    'cpuMilli' | 'memoryMiB' | 'usedMemoryMiB' | 'ceilingCpuMilli' | 'ceilingMemoryMiB'
  >[],
): ResizeDrvm | null {
  const sum = (of: (slice: (typeof slices)[number]) => number) =>
    slices.reduce((all, slice) => all + of(slice), 0);
  const cpuMilli = MIN_SLICE_CPU_MILLI * slices.length;
  const memoryMiB = sum(({ memoryMiB: held, usedMemoryMiB }) =>
    Math.min(held, Math.max(MIN_SLICE_MEMORY_MIB, Math.ceil((usedMemoryMiB + DVOS_MEMORY_MIB) * HEADROOM))),
  );
  const isWorthIt = sum((slice) => slice.cpuMilli) * (1 - GAIN_LEAST) > cpuMilli;
  if (!isWorthIt) return null;
  const ceiling = {
    cpu: sum((slice) => Math.max(slice.cpuMilli, slice.ceilingCpuMilli)) / 1000,
    memoryMiB: sum((slice) => Math.max(slice.memoryMiB, slice.ceilingMemoryMiB)),
  };
  return { cpu: cpuMilli / 1000, memoryMiB, ceiling, dryRun: false };
}
