import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { shareOf } from './shares.js';

describe('the shares of one machine', () => {
  test('three nodes on two CPUs get two thirds of a CPU each', () => {
    expect(shareOf({ cpus: 2, memoryMiB: 24_000, freeDiskGiB: 80 }, 3)).toEqual({
      cpuMilli: 666,
      memoryMiB: 6_400,
      diskGiB: 13,
    });
  });

  test('together they never promise more than there is', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 128 }),
        fc.integer({ min: 256, max: 1 << 20 }),
        fc.integer({ min: 0, max: 10_000 }),
        fc.integer({ min: 1, max: 32 }),
        (cpus, memoryMiB, freeDiskGiB, nodes) => {
          let share: ReturnType<typeof shareOf>;
          try {
            share = shareOf({ cpus, memoryMiB, freeDiskGiB }, nodes);
          } catch (error) {
            expect(error).toMatchObject({ code: 'InsufficientResources' });
            return;
          }
          expect(share.cpuMilli * nodes).toBeLessThanOrEqual(cpus * 1000);
          expect(share.memoryMiB * nodes).toBeLessThanOrEqual(memoryMiB * 0.8);
          expect(share.diskGiB * nodes).toBeLessThanOrEqual(freeDiskGiB / 2);
        },
      ),
    );
  });

  test('a machine that is too small says how many would fit', () => {
    expect(() => shareOf({ cpus: 2, memoryMiB: 1_024, freeDiskGiB: 50 }, 3)).toThrow(
      expect.objectContaining({ hint: 'At most 2 would fit: --nodes 2.' }),
    );
  });
});
