import { describe, expect, test } from '@jest/globals';
import { type PlacementCandidate, placeProcess } from './placement.js';

const MIB = 1_048_576;
const node = (index: number, fields: Partial<PlacementCandidate> = {}): PlacementCandidate => ({
  index,
  name: `node${index + 1}`,
  load: 0,
  cpuMilli: 1000,
  memoryBytes: 0,
  memoryLimitBytes: 100 * MIB,
  ...fields,
});

describe('placing a process', () => {
  test('goes where the least runs for the CPU there is', () => {
    expect(placeProcess([node(0, { load: 2 }), node(1, { load: 1 }), node(2, { load: 3 })], MIB, 'p')).toBe(
      1,
    );
    expect(placeProcess([node(0, { load: 1, cpuMilli: 250 }), node(1, { load: 2 })], MIB, 'p')).toBe(1);
  });

  test('on equal terms goes where more memory is free, then to the lower index', () => {
    expect(placeProcess([node(0, { memoryBytes: 50 * MIB }), node(1)], MIB, 'p')).toBe(1);
    expect(placeProcess([node(1), node(0)], MIB, 'p')).toBe(0);
  });

  test('leaves out nodes without room', () => {
    expect(placeProcess([node(0, { memoryBytes: 95 * MIB }), node(1, { load: 9 })], 10 * MIB, 'p')).toBe(1);
  });

  test('says what is free when it fits nowhere now, and what there is when it never does', () => {
    const full = [node(0, { memoryBytes: 95 * MIB }), node(1, { memoryBytes: 99 * MIB })];
    expect(() => placeProcess(full, 10 * MIB, 'p')).toThrow(
      expect.objectContaining({
        code: 'InsufficientResources',
        message: expect.stringMatching(/node1 5 MiB, node2 1 MiB/),
      }),
    );
    expect(() => placeProcess(full, 200 * MIB, 'p')).toThrow(
      expect.objectContaining({
        code: 'ProgramTooLarge',
        message: expect.stringMatching(/200 MiB.*100 MiB/),
      }),
    );
  });
});
