import { describe, expect, test } from '@jest/globals';
import { HeartbeatBatch } from './heartbeat-batch.js';

describe('heartbeats', () => {
  test('that come together are written together, of each node the newest', async () => {
    const written: [string, number][][] = [];
    const batch = new HeartbeatBatch<number>(async (beats) => {
      written.push([...beats]);
      return new Set(['a', 'b']);
    }, 1);
    expect(
      await Promise.all([batch.add('a', 1), batch.add('b', 2), batch.add('a', 3), batch.add('gone', 4)]),
    ).toEqual([true, true, true, false]);
    expect(written).toEqual([
      [
        ['a', 3],
        ['b', 2],
        ['gone', 4],
      ],
    ]);
  });

  test('are written one batch after another, and an error is told to those of its batch only', async () => {
    let isFirst = true;
    let underWay = 0;
    const batch = new HeartbeatBatch<number>(async () => {
      expect(++underWay).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 5));
      underWay--;
      if (!isFirst) return new Set(['a']);
      isFirst = false;
      throw new Error('the database is away');
    }, 0);
    const first = batch.add('a', 1);
    await expect(first).rejects.toThrow('away');
    expect(await Promise.all([batch.add('a', 2), batch.add('a', 3)])).toEqual([true, true]);
  });
});
