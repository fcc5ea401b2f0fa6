import { expect, it } from '@jest/globals';
import { shrunkTo } from './shrink.js';

const slice = (cpuMilli: number, memoryMiB: number, usedMemoryMiB: number) => ({
  cpuMilli,
  memoryMiB,
  usedMemoryMiB,
  ceilingCpuMilli: cpuMilli,
  ceilingMemoryMiB: memoryMiB,
});

it('shrinks to the least of CPU and to what is used of memory, and keeps what it had as its ceiling', () => {
  expect(shrunkTo([slice(1_000, 2_048, 40), slice(500, 256, 200)])).toEqual({
    cpu: 0.1,
    memoryMiB: 300 + 256,
    ceiling: { cpu: 1.5, memoryMiB: 2_304 },
    dryRun: false,
  });
});

it('leaves alone what is small already', () => {
  expect(shrunkTo([slice(50, 256, 10)])).toBeNull();
});
