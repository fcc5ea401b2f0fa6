import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Drvm, guestPath } from './drvm.js';

const run = promisify(execFile);

/** What the program prints under Node's own WASI. */
async function underNode(name: string, args: string[]): Promise<string> {
  const script = `
    import { WASI } from 'node:wasi';
    import { readFileSync } from 'node:fs';
    const wasi = new WASI({ version: 'preview1', args: ['${name}', ...${JSON.stringify(args)}], returnOnExit: true });
    const { instance } = await WebAssembly.instantiate(readFileSync(${JSON.stringify(guestPath(name))}), wasi.getImportObject());
    wasi.start(instance);`;
  const { stdout } = await run(process.execPath, ['--no-warnings', '--input-type=module', '-e', script], {
    env: { PATH: process.env.PATH },
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout;
}

describe('processes of a DRVM over three nodes', () => {
  let drvm: Drvm;

  beforeAll(async () => {
    drvm = await Drvm.start();
    for (const name of ['hello', 'primes']) await drvm.uploadGuest(name);
  }, 60_000);

  afterAll(async () => drvm?.stop());

  test('a program runs on each node and prints what it prints under node:wasi', async () => {
    const expected = await underNode('primes', ['2000000', '500000']);
    for (const node of ['node1', 'node2', 'node3']) {
      const started = await drvm.call('process.start', {
        program: '/bin/primes.wasm',
        args: ['2000000', '500000'],
        name: 'primes',
        node,
      });
      expect(started.node).toBe(node);
      const { stdout, exit } = await drvm.outputOf(started.pid);
      expect(stdout).toBe(expected);
      expect(exit).toEqual({ exitCode: 0, signal: null, reason: null });
    }
  });

  test('a program that moves five times prints the same, under the same pid, and ends as if nothing had been', async () => {
    const args = ['40000000', '1000000'];
    const expected = await underNode('primes', args);
    const { pid } = await drvm.call('process.start', {
      program: '/bin/primes.wasm',
      args,
      name: 'primes',
      node: 'node1',
    });
    const output = drvm.outputOf(pid, 2);
    const path = ['node2', 'node3', 'node1', 'node3', 'node2'];
    for (const [round, to] of path.entries()) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      const moved = await drvm.call('process.migrate', { pid, to, requestKey: `move-${pid}-${round}` });
      expect(moved).toMatchObject({ pid, to, rounds: 1 });
      const rows = await drvm.call('process.list', {});
      expect(rows.find((row) => row.pid === pid)?.node).toBe(to);
    }
    const { stdout, exit } = await output;
    expect(stdout).toBe(expected);
    expect(exit).toEqual({ exitCode: 0, signal: null, reason: null });
    expect(drvm.events.filter(({ kind, pid: of }) => kind === 'process.migrated' && of === pid).length).toBe(
      5,
    );
  }, 60_000);
});
