import { readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { Drvm, guestPath } from './drvm.js';
import { assemble, underNode, walker } from './programs.js';

const IMPORTS = `
  (import "dvos" "migrate" (func $migrate (param i32) (result i32)))
  (import "dvos" "node_index" (func $node_index (result i32)))
  (import "dvos" "kill" (func $kill (param i32 i32) (result i32)))
  (import "dvos" "getppid" (func $getppid (result i32)))
  (import "dvos" "getpid" (func $getpid (result i32)))
  (import "dvos" "receive" (func $receive (param i32 i32) (result i32)))
  (import "dvos" "send" (func $send (param i32 i32) (result i32)))
  (import "dvos" "sendrec" (func $sendrec (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))`;

describe('processes of a DRVM over three nodes', () => {
  let drvm: Drvm;

  beforeAll(async () => {
    drvm = await Drvm.start();
    await drvm.uploadGuest('primes');
  }, 60_000);

  afterAll(async () => drvm?.stop());

  afterEach(async () => {
    for (const { pid } of await drvm.call('process.list', {})) {
      await drvm.call('process.kill', { pid, signal: 'KILL' });
      await drvm.call('process.wait', { pid });
    }
  });

  const startText = async (name: string, text: string, node: string) => {
    await drvm.upload(`/bin/${name}`, assemble(text));
    return drvm.call('process.start', { program: `/bin/${name}`, node });
  };

  test('a program runs on each node and prints what it prints under node:wasi', async () => {
    const args = ['2000000', '500000'];
    const expected = await underNode(await readFile(guestPath('primes')), args);
    for (const node of ['node1', 'node2', 'node3']) {
      const started = await drvm.call('process.start', { program: '/bin/primes.wasm', args, node });
      expect(started.node).toBe(node);
      const { stdout, exit } = await drvm.outputOf(started.pid);
      expect(stdout).toBe(expected);
      expect(exit).toEqual({ exitCode: 0, signal: null, reason: null });
    }
  });

  test('a program that moves five times prints the same, under one pid, and ends as if nothing had been', async () => {
    const program = walker({ mib: 1, lines: 400, rounds: 20_000, sleepMs: 2 });
    const expected = await underNode(program);
    await drvm.upload('/bin/walker', program);
    const { pid } = await drvm.call('process.start', { program: '/bin/walker', node: 'node1' });
    const output = drvm.outputOf(pid, 2);
    for (const [round, to] of ['node2', 'node3', 'node1', 'node3', 'node2'].entries()) {
      await new Promise((resolve) => setTimeout(resolve, 30));
      const moved = await drvm.call('process.migrate', { pid, to, requestKey: `move-${pid}-${round}` });
      expect(moved).toMatchObject({ pid, to });
      // All of it while it ran, perhaps again what it wrote meanwhile, and the rest while it stood still.
      expect(moved.rounds).toBeGreaterThanOrEqual(2);
      expect(moved.bytes).toBeGreaterThan(1_048_576);
      const rows = await drvm.call('process.list', {});
      expect(rows.find((row) => row.pid === pid)?.node).toBe(to);
    }
    const again = await drvm.call('process.migrate', { pid, to: 'node2', requestKey: `move-${pid}-4` });
    expect(again).toMatchObject({ pid, from: 'node3', to: 'node2' });
    const { stdout, exit } = await output;
    expect(stdout).toBe(expected);
    expect(exit).toEqual({ exitCode: 0, signal: null, reason: null });
    expect(drvm.events.filter(({ kind, pid: of }) => kind === 'process.migrated' && of === pid).length).toBe(
      5,
    );
  }, 60_000);

  test('a program moves itself from node to node', async () => {
    const { pid } = await startText(
      'wanderer',
      `(module ${IMPORTS} (memory (export "memory") 1)
        (func (export "_start")
          (if (call $migrate (i32.const 1)) (then (call $exit (i32.const 91))))
          (if (i32.ne (call $node_index) (i32.const 1)) (then (call $exit (i32.const 92))))
          (if (call $migrate (i32.const 2)) (then (call $exit (i32.const 93))))
          (if (i32.ne (call $node_index) (i32.const 2)) (then (call $exit (i32.const 94))))
          (if (i32.ne (call $migrate (i32.const 9)) (i32.const -22)) (then (call $exit (i32.const 95))))
          (call $exit (i32.const 7))))`,
      'node1',
    );
    expect(await drvm.call('process.wait', { pid })).toMatchObject({ exitCode: 7 });
  });

  test('ps shows the processes of all nodes, and kill reaches them from any node', async () => {
    const pids: number[] = [];
    for (const node of ['node1', 'node2', 'node3']) {
      pids.push((await drvm.call('process.start', { program: '/bin/primes.wasm', node }, { at: 1 })).pid);
    }
    await drvm.until(async () =>
      (await drvm.call('process.list', {}, { at: 2 })).every(({ cpuMs }) => cpuMs > 0),
    );
    const rows = await drvm.call('process.list', {}, { at: 2 });
    expect(rows.map(({ pid, node }) => [pid, node])).toEqual(
      pids.map((pid, index) => [pid, `node${index + 1}`]),
    );
    for (const { state, memoryBytes } of rows) {
      // (It waits for a moment whenever it prints.)
      expect(['running', 'waiting']).toContain(state);
      expect(memoryBytes).toBeGreaterThan(0);
    }
    expect(await drvm.call('process.kill', { pid: pids[1]!, signal: 'STOP' })).toEqual({
      pid: pids[1],
      signal: 'SIGSTOP',
    });
    await drvm.until(async () => (await drvm.call('process.list', {}))[1]?.state === 'stopped');
    for (const pid of pids) await drvm.call('process.kill', { pid, signal: '9' }, { at: 1 });
    for (const pid of pids) {
      expect(await drvm.call('process.wait', { pid }, { at: 2 })).toEqual({
        exitCode: 137,
        signal: 'SIGKILL',
        reason: null,
      });
    }
    expect(await drvm.call('process.list', {})).toEqual([]);
  });

  test('messages between guests on two nodes arrive, also when the receiver has moved meanwhile', async () => {
    // Adds one to the number in each message and answers; after 500 it exits.
    const { pid: server } = await startText(
      'server',
      `(module ${IMPORTS} (memory (export "memory") 1)
        (func (export "_start") (local $count i32)
          (loop $next
            (if (call $receive (i32.const 0x1face) (i32.const 64)) (then (call $exit (i32.const 81))))
            (i32.store (i32.const 72) (i32.add (i32.load (i32.const 72)) (i32.const 1)))
            (if (call $send (i32.load (i32.const 64)) (i32.const 64)) (then (call $exit (i32.const 82))))
            (local.set $count (i32.add (local.get $count) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $count) (i32.const 500))))))`,
      'node2',
    );
    const endpoint = (await drvm.call('process.list', {})).find(({ pid }) => pid === server)!.endpoint;
    const { pid: client } = await startText(
      'client',
      `(module ${IMPORTS} (memory (export "memory") 1)
        (func (export "_start") (local $count i32)
          (loop $next
            (i32.store (i32.const 68) (i32.const 5))
            (i32.store (i32.const 72) (local.get $count))
            (if (call $sendrec (i32.const ${endpoint}) (i32.const 64)) (then (call $exit (i32.const 71))))
            (local.set $count (i32.add (local.get $count) (i32.const 1)))
            (if (i32.ne (i32.load (i32.const 72)) (local.get $count)) (then (call $exit (i32.const 72))))
            (br_if $next (i32.lt_u (local.get $count) (i32.const 500))))))`,
      'node3',
    );
    for (const [round, [pid, to]] of [
      [server, 'node1'],
      [client, 'node2'],
      [server, 'node3'],
    ].entries() as IterableIterator<[number, [number, string]]>) {
      await drvm.call('process.migrate', { pid, to, requestKey: `pair-${round}` }).catch((error: Error) => {
        // On a fast machine the two may be done by then.
        expect(error.message).toMatch(/has ended|ended already/);
      });
    }
    expect(await drvm.call('process.wait', { pid: client })).toMatchObject({ exitCode: 0 });
    expect(await drvm.call('process.wait', { pid: server })).toMatchObject({ exitCode: 0 });
  }, 60_000);

  test('the same request key starts once', async () => {
    const start = () =>
      drvm.call('process.start', { program: '/bin/primes.wasm', args: ['1000'], requestKey: 'one' });
    const [first, second] = await Promise.all([start(), start()]);
    expect(second).toEqual(first);
    expect(await start()).toEqual(first);
  });

  test('processes without a wished node are spread over the nodes', async () => {
    const started = await Promise.all(
      [1, 2, 3, 4, 5, 6].map(() => drvm.call('process.start', { program: '/bin/primes.wasm' })),
    );
    const counts = new Map<string, number>();
    for (const { node } of started) counts.set(node, (counts.get(node) ?? 0) + 1);
    expect([...counts.values()].sort()).toEqual([2, 2, 2]);
    for (const { pid } of started) await drvm.call('process.kill', { pid, signal: 'KILL' });
  });

  test('a second migration of a process under way is refused, and a signal meanwhile is not lost', async () => {
    const program = walker({ mib: 32, lines: 100_000, rounds: 100_000 });
    await drvm.upload('/bin/large', program);
    const { pid } = await drvm.call('process.start', { program: '/bin/large', node: 'node1' });
    await drvm.until(async () => {
      let has = false;
      await drvm.call('process.output', { pid }, { onChunk: () => (has = true) });
      return has;
    });
    const moving = drvm.call('process.migrate', { pid, to: 'node2', requestKey: 'first' });
    await expect(
      drvm.call('process.migrate', { pid, to: 'node3', requestKey: 'second' }),
    ).rejects.toMatchObject({
      code: 'MigrationUnderWay',
    });
    await drvm.call('process.kill', { pid, signal: 'TERM' });
    expect(await moving).toMatchObject({ from: 'node1', to: 'node2' });
    expect(await drvm.call('process.wait', { pid })).toMatchObject({ exitCode: 143, signal: 'SIGTERM' });
  }, 60_000);

  test.each([
    ['an unknown node', { program: '/bin/primes.wasm', node: 'node9' }, 'NotFound', /node1, node2, node3/],
    ['a program that is not there', { program: '/bin/nothing' }, 'NotFound', /\/bin\/nothing/],
    ['a directory', { program: '/bin' }, 'InvalidInput', /directory/],
    ['a file that is not WebAssembly', { program: '/text' }, 'NotWebAssembly', /./],
    ['an unknown import', { program: '/bin/foreign' }, 'UnsupportedModule', /env/],
    ['more memory than the DRVM has', { program: '/bin/huge' }, 'ProgramTooLarge', /625 MiB.*352 MiB/],
    ['an argument with a NUL', { program: '/bin/primes.wasm', args: ['a\0b'] }, 'InvalidInput', /NUL/],
    ['no program at all', { program: '' }, 'InvalidInput', /program/],
  ])('%s is refused with its cause, and nothing is left behind', async (_what, params, code, message) => {
    await drvm.upload('/text', new TextEncoder().encode('#!/bin/sh\necho hello\n'));
    await drvm.upload(
      '/bin/foreign',
      assemble('(module (import "env" "f" (func)) (memory (export "memory") 1) (func (export "_start")))'),
    );
    await drvm.upload(
      '/bin/huge',
      assemble('(module (memory (export "memory") 10000) (func (export "_start")))'),
    );
    const before = await drvm.call('process.list', {});
    const failure = await drvm.call('process.start', params).then(
      () => null,
      (error: { code: string; message: string; hint?: string }) => error,
    );
    expect(failure).toMatchObject({ code });
    expect(`${failure?.message} ${failure?.hint ?? ''}`).toMatch(message);
    expect((await drvm.call('process.list', {})).length).toBe(before.length);
  });

  test('unknown pids, signals and methods are refused with what would be right', async () => {
    await expect(drvm.call('process.kill', { pid: 999_999 })).rejects.toMatchObject({ code: 'NotFound' });
    const { pid } = await drvm.call('process.start', { program: '/bin/primes.wasm' });
    await expect(drvm.call('process.kill', { pid, signal: 'SIGFOO' })).rejects.toMatchObject({
      code: 'InvalidInput',
    });
    await expect(
      drvm.call('process.migrate', { pid, to: 'node9', requestKey: 'nowhere' }),
    ).rejects.toMatchObject({ code: 'NotFound' });
    await drvm.call('process.kill', { pid, signal: 'kill' });
    await expect(
      drvm.call('process.migrate', { pid, to: 'node2', requestKey: 'late' }),
    ).rejects.toMatchObject({
      code: 'NotFound',
    });
  });

  test('a trap tells its reason to whoever waits', async () => {
    const { pid } = await startText(
      'trap',
      '(module (memory (export "memory") 1) (func (export "_start") (unreachable)))',
      'node2',
    );
    expect(await drvm.call('process.wait', { pid })).toEqual({
      exitCode: 132,
      signal: 'SIGILL',
      reason: expect.stringMatching(/unreachable/),
    });
  });
});
