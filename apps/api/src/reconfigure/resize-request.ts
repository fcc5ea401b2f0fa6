import type { ResourceAmounts } from '@drvs/contracts';
import { MAX_SLICES } from '@drvs/policy';
import { z } from 'zod';
import { cpuToMilli } from '../allocations/amounts.js';

/** vCPUs over all nodes, down to thousandths. */
const Cpu = z
  .number()
  .min(0.001)
  .max(10_000)
  .refine((cpu) => Number.isInteger(Math.round(cpu * 1e9) / 1e6), 'is counted in thousandths of a vCPU');
const MemoryMiB = z.int().min(1).max(1_000_000_000);
const DiskGiB = z.int().min(0).max(1_000_000_000);
const NetworkMbps = z.int().min(0).max(100_000_000);
const Nodes = z.array(z.string().min(1).max(100)).max(MAX_SLICES).default([]);

/** New sums over the whole DRVM; what is left out stays as it is. */
export const ResizeDrvm = z.strictObject({
  cpu: Cpu.optional(),
  memoryMiB: MemoryMiB.optional(),
  diskGiB: DiskGiB.optional(),
  networkMbps: NetworkMbps.optional(),
  /** Up to these sums it may borrow what others do not need. */
  ceiling: z
    .strictObject({
      cpu: Cpu.optional(),
      memoryMiB: MemoryMiB.optional(),
      diskGiB: DiskGiB.optional(),
      networkMbps: NetworkMbps.optional(),
    })
    .optional(),
  /** How many nodes, or which come and which go. */
  nodes: z.union([z.int().min(1).max(MAX_SLICES), z.strictObject({ add: Nodes, remove: Nodes })]).optional(),
  /** Only plan: nothing is changed, and the plan is answered. */
  dryRun: z.boolean().default(false),
});
export type ResizeDrvm = z.infer<typeof ResizeDrvm>;

export function totalsOf(
  input: Pick<ResizeDrvm, 'cpu' | 'memoryMiB' | 'diskGiB' | 'networkMbps'>,
): Partial<ResourceAmounts> {
  const { cpu, memoryMiB, diskGiB, networkMbps } = input;
  return {
    ...(cpu === undefined ? {} : { cpuMilli: cpuToMilli(cpu) }),
    ...(memoryMiB === undefined ? {} : { memoryMiB }),
    ...(diskGiB === undefined ? {} : { diskGiB }),
    ...(networkMbps === undefined ? {} : { networkMbps }),
  };
}
