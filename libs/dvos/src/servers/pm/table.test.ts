import { generationOf, slotOf } from '@drvs/drvmm-core';
import { describe, expect, test } from '@jest/globals';
import { endingOfExit } from '../../kernel/ending.js';
import {
  ENDED_KEPT,
  ENDED_KEPT_MS,
  PROCESSES_MOST,
  type ProcessEntry,
  ProcessTable,
  TableSnapshot,
} from './table.js';

const add = (table: ProcessTable, index = 0): ProcessEntry =>
  table.add({ ppid: 0, command: 'program', programHash: '', startedAt: 0, index })!;

describe('process table', () => {
  test('pids grow, and go on after those of a former life', () => {
    const table = new ProcessTable({ lastPid: 41, lastGeneration: 3 });
    expect([add(table).pid, add(table).pid]).toEqual([42, 43]);
  });

  test('after the last pid it begins anew and leaves out those in use', () => {
    const table = new ProcessTable({ lastPid: 4_194_302, lastGeneration: 0 });
    const first = add(table);
    expect(first.pid).toBe(4_194_303);
    expect(add(table).pid).toBe(1);
  });

  test('no endpoint of a former life is given again', () => {
    const before = add(new ProcessTable({ lastPid: 0, lastGeneration: 0 }));
    const table = new ProcessTable({ lastPid: 1, lastGeneration: generationOf(before.endpoint) });
    const after = add(table);
    expect(slotOf(after.endpoint)).toBe(slotOf(before.endpoint));
    expect(after.endpoint).not.toBe(before.endpoint);
  });

  test('a slot that is used again gets another generation', () => {
    const table = new ProcessTable({ lastPid: 0, lastGeneration: 0 });
    const seen = new Set<number>();
    // More than there are slots: each endpoint once.
    for (let round = 0; round < 130_000; round++) {
      const entry = add(table);
      seen.add(entry.endpoint);
      table.remove(entry);
    }
    expect(seen.size).toBe(130_000);
  });

  test('an ended process is found by its pid, not by its endpoint, and not among the living', () => {
    const table = new ProcessTable({ lastPid: 0, lastGeneration: 0 });
    const entry = add(table);
    table.end(entry, endingOfExit(3), 10);
    expect(table.byPid(entry.pid)?.ending?.exitCode).toBe(3);
    expect(table.byEndpoint(entry.endpoint)).toBeUndefined();
    expect([...table.alive()]).toEqual([]);
  });

  test('the end is told once: a second one changes nothing', () => {
    const table = new ProcessTable({ lastPid: 0, lastGeneration: 0 });
    const entry = add(table);
    table.end(entry, endingOfExit(1), 10);
    table.end(entry, endingOfExit(2), 20);
    expect(entry.ending?.exitCode).toBe(1);
    expect(entry.endedAt).toBe(10);
  });

  test('rows of ended processes are kept by number and by time, then forgotten', () => {
    const table = new ProcessTable({ lastPid: 0, lastGeneration: 0 });
    for (let count = 0; count < ENDED_KEPT + 5; count++) table.end(add(table), endingOfExit(0), count);
    expect(table.byPid(1)).toBeDefined();
    const forgotten = table.end(add(table), endingOfExit(0), ENDED_KEPT_MS + 2);
    expect(forgotten.map(({ pid }) => pid)).toEqual([1, 2, 3]);
    expect(table.byPid(1)).toBeUndefined();
    expect(table.byPid(4)).toBeDefined();
  });

  test('there are at most so many living processes', () => {
    const table = new ProcessTable({ lastPid: 0, lastGeneration: 0 });
    for (let count = 0; count < PROCESSES_MOST; count++) add(table);
    expect(table.add({ ppid: 0, command: '', programHash: '', startedAt: 0, index: 0 })).toBeNull();
  });

  test('it goes on from a snapshot as if it had not stopped', () => {
    const table = new ProcessTable({ lastPid: 0, lastGeneration: 6 });
    const ended = add(table, 1);
    const alive = add(table, 2);
    table.end(ended, endingOfExit(3), 5);
    const snapshot = TableSnapshot.parse(JSON.parse(JSON.stringify(table.snapshot())));
    const restored = ProcessTable.restore(snapshot);
    expect(restored.byPid(ended.pid)).toMatchObject({ ending: { exitCode: 3 }, state: 'ended' });
    expect(restored.byEndpoint(alive.endpoint)).toMatchObject({ pid: alive.pid, index: 2 });
    expect(restored.live).toBe(1);
    expect(restored.snapshot()).toEqual(table.snapshot());
    for (let i = 0; i < 5; i++) {
      const [mine, other] = [add(table), add(restored)];
      expect([other.pid, other.endpoint]).toEqual([mine.pid, mine.endpoint]);
    }
  });
});
