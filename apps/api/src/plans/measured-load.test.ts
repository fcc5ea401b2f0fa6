import type { ProcessRow } from '@drvs/contracts';
import { describe, expect, test } from '@jest/globals';
import { measuredLoad } from './measured-load.js';

const row = (
  pid: number,
  node: string,
  cpuMs: number,
  state: ProcessRow['state'] = 'running',
): ProcessRow => ({
  pid,
  ppid: 0,
  node,
  state,
  cpuMs,
  memoryBytes: 1_048_576,
  command: 'survey',
  endpoint: pid,
  startedAt: new Date(0).toISOString(),
  exitCode: null,
  signal: null,
});
const held = new Map([['node1', 1_000]]);
const wants = (before: ProcessRow[], after: ProcessRow[]) =>
  measuredLoad(before, after, 1_000, held).map(({ cpuMilli }) => cpuMilli);

describe('what processes want of the CPU', () => {
  test('is what they used, where they also waited for other things', () => {
    expect(wants([row(1, 'node1', 100, 'waiting')], [row(1, 'node1', 350)])).toEqual([250]);
  });

  test('is an equal share at least for those that are always ready, also on a host that is busy otherwise', () => {
    const before = [row(1, 'node1', 0), row(2, 'node1', 0), row(3, 'node1', 0, 'waiting')];
    const after = [row(1, 'node1', 40), row(2, 'node1', 60), row(3, 'node1', 10, 'waiting')];
    expect(wants(before, after)).toEqual([500, 500, 10]);
  });

  test('is never more than one vCPU, and nothing for what has ended or just begun', () => {
    const before = [row(1, 'node1', 0, 'waiting'), row(2, 'node1', 0)];
    const after = [row(1, 'node1', 4_000), row(2, 'node1', 500, 'zombie'), row(9, 'node1', 70)];
    expect(wants(before, after)).toEqual([1_000, 0]);
  });
});
