import { describe, expect, it } from '@jest/globals';
import { spreadProcesses } from './process-moves.js';

const room = (node: string, freeBytes: number, cpuMilli = 1000, processes = 0) => ({
  node,
  freeBytes,
  cpuMilli,
  processes,
});

describe('processes that must leave a slice', () => {
  it('go where each gets the most CPU', () => {
    const targets = spreadProcesses(
      [1, 2, 3].map((pid) => ({ pid, memoryBytes: 10 })),
      [room('a', 100, 2000), room('b', 100, 1000)],
    );
    expect(Object.fromEntries(targets)).toEqual({ 1: 'a', 2: 'b', 3: 'a' });
  });

  it('go only where their memory fits, the largest first', () => {
    const targets = spreadProcesses(
      [
        { pid: 1, memoryBytes: 10 },
        { pid: 2, memoryBytes: 90 },
      ],
      [room('a', 20, 9000), room('b', 95)],
    );
    expect(Object.fromEntries(targets)).toEqual({ 1: 'a', 2: 'b' });
  });

  it('go where the most memory is when they fit nowhere, and nowhere when there is no other slice', () => {
    expect(spreadProcesses([{ pid: 1, memoryBytes: 99 }], [room('a', 20), room('b', 30)]).get(1)).toBe('b');
    expect(spreadProcesses([{ pid: 1, memoryBytes: 1 }], []).size).toBe(0);
  });
});
