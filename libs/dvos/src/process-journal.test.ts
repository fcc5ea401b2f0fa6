import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { endingOfExit } from './kernel/ending.js';
import { ProcessJournal } from './process-journal.js';
import { ProcessTable } from './servers/pm/table.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'drvs-journal-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const write = (journal: ProcessJournal, count: number) => {
  const table = new ProcessTable({ lastPid: journal.lastPid, lastGeneration: journal.lastGeneration });
  for (let made = 0; made < count; made++) {
    const entry = table.add({ ppid: 0, command: 'program', programHash: '', startedAt: 5, index: 1 })!;
    journal.started(entry, table.firstGeneration);
    if (made % 2 === 0) journal.ended(entry.pid, endingOfExit(4), 9);
  }
};

describe('process journal', () => {
  test('tells after a restart which processes there were and how they ended', () => {
    const before = new ProcessJournal(folder);
    write(before, 2);
    before.close();
    const after = new ProcessJournal(folder);
    expect(after.lastPid).toBe(2);
    expect(after.lastGeneration).toBe(1);
    expect(after.former).toMatchObject([
      { pid: 1, index: 1, ending: { exitCode: 4 }, endedAt: 9 },
      { pid: 2, ending: null },
    ]);
    after.close();
  });

  test('drops a line that a crash cut short', () => {
    const before = new ProcessJournal(folder);
    write(before, 1);
    before.close();
    appendFileSync(join(folder, 'processes.jsonl'), '{"t":"start","pid":2,"pp');
    const after = new ProcessJournal(folder);
    expect(after.former.map(({ pid }) => pid)).toEqual([1]);
    after.close();
  });

  test('does not grow without bound', () => {
    const journal = new ProcessJournal(folder);
    write(journal, 16_000);
    journal.close();
    const lines = readFileSync(join(folder, 'processes.jsonl'), 'utf8').split('\n').length;
    expect(lines).toBeLessThan(24_000);
    const after = new ProcessJournal(folder);
    expect(after.lastPid).toBe(16_000);
    after.close();
  });
});
