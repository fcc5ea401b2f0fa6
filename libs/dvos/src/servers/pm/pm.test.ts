import { EINVAL, type Endpoint, EPERM, ESRCH, Message, OK } from '@drvs/drvmm-core';
import { describe, expect, test } from '@jest/globals';
import { endingOfExit } from '../../kernel/ending.js';
import { PM_GETPID, PM_KILL, PM_MIGRATE } from '../../pm-calls.js';
import { Pm } from './pm.js';
import { type ProcessEntry, ProcessTable } from './table.js';

function build() {
  const table = new ProcessTable({ lastPid: 0, lastGeneration: 0 });
  const entries = [0, 1].map(
    (index) => table.add({ ppid: index, command: '', programHash: '', startedAt: 0, index })!,
  );
  const replies: { to: Endpoint; type: number; word: number }[] = [];
  const signals: [pid: number, signal: number][] = [];
  const migrations: { entry: ProcessEntry; index: number; done: (status: number) => void }[] = [];
  const pm = new Pm(
    {
      reply: (to, message) => void replies.push({ to, type: message.type, word: message.words[2]! }),
      notify: () => {},
      post: () => {},
      putBack: () => {},
      now: () => 0,
    },
    table,
    {
      signal: (entry, signal) => void signals.push([entry.pid, signal]),
      migrate: (entry, index, done) => void migrations.push({ entry, index, done }),
      hasNode: (index) => index < 2,
    },
  );
  const call = (source: Endpoint, type: number, a = 0, b = 0) => {
    const message = new Message();
    message.words.set([source, type, a, b]);
    pm.onMessage(message);
    return replies.at(-1);
  };
  return { table, entries: entries as [ProcessEntry, ProcessEntry], call, replies, signals, migrations };
}

describe('PM', () => {
  test('tells a process its pid and its parent', () => {
    const { entries, call } = build();
    expect(call(entries[1].endpoint, PM_GETPID)).toEqual({ to: entries[1].endpoint, type: 2, word: 1 });
  });

  test('refuses who is no process', () => {
    const { call } = build();
    expect(call(99 as Endpoint, PM_GETPID)?.type).toBe(EPERM);
  });

  test('passes signals on, asks with signal 0, refuses unknown pids and signals', () => {
    const { table, entries, call, signals } = build();
    const [{ endpoint }, target] = entries;
    expect(call(endpoint, PM_KILL, 2, 15)?.type).toBe(OK);
    expect(call(endpoint, PM_KILL, 2, 0)?.type).toBe(OK);
    expect(signals).toEqual([[2, 15]]);
    expect(call(endpoint, PM_KILL, 2, 77)?.type).toBe(EINVAL);
    expect(call(endpoint, PM_KILL, 5, 15)?.type).toBe(ESRCH);
    table.end(target, endingOfExit(0), 0);
    expect(call(endpoint, PM_KILL, 2, 15)?.type).toBe(ESRCH);
  });

  test('answers a wish to move when the move is over', () => {
    const { entries, call, replies, migrations } = build();
    const [{ endpoint }] = entries;
    expect(call(endpoint, PM_MIGRATE, 0, 1)).toBeUndefined();
    expect(migrations[0]).toMatchObject({ index: 1, entry: { pid: 1 } });
    migrations[0]!.done(OK);
    expect(replies).toEqual([{ to: endpoint, type: OK, word: 0 }]);
    expect(call(endpoint, PM_MIGRATE, 0, 7)?.type).toBe(EINVAL);
    expect(call(endpoint, PM_MIGRATE, 44, 1)?.type).toBe(ESRCH);
    expect(call(endpoint, 9999)?.type).toBe(EINVAL);
  });
});
