import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { DrvmView, MigrationResult, NodeView, ProcessRow } from '@drvs/contracts';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { cCompiler, compileC } from '../support/c-program.js';
import { runUnderNodeWasi } from '../support/node-wasi.js';
import { eventually, ROOT, type Stack, startStack, words } from '../support/stack.js';

/** About 8 s of computing for a machine like CI's, plain. */
const ROUNDS = '250';

describe('a cluster of three nodes, as ./drvs up makes it', () => {
  let stack: Stack;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'drvs-main-job-'));
    stack = await startStack();
  }, 300_000);
  afterAll(async () => {
    await stack?.stop();
    await rm(folder, { recursive: true, force: true });
  }, 60_000);

  const processes = (drvm: string) => stack.json<ProcessRow[]>('ps', drvm);

  it('is healthy in all its parts', async () => {
    const parts = await stack.parts();
    expect(parts.filter((part) => part.state !== 'healthy')).toEqual([]);
    expect(parts.map((part) => part.name)).toEqual(
      expect.arrayContaining(['postgres', 'api', 'portal', 'node1', 'node2', 'node3']),
    );
  });

  it('has three nodes with resources of their own', async () => {
    const nodes = await stack.json<NodeView[]>('node', 'list');
    expect(nodes.map((node) => [node.name, node.state])).toEqual([
      ['node1', 'up'],
      ['node2', 'up'],
      ['node3', 'up'],
    ]);
    for (const node of nodes) {
      expect(node.capacity.cpu).toBeGreaterThan(0);
      expect(node.capacity.memoryMiB).toBeGreaterThan(0);
    }
  });

  it("runs the demo department's DRVM over all of them, and its program prints on", async () => {
    const [drvm] = await stack.json<DrvmView[]>('drvm', 'list');
    expect(drvm).toMatchObject({ name: 'aula', state: 'running' });
    expect(drvm?.nodes.map((slice) => slice.node).sort()).toEqual(['node1', 'node2', 'node3']);
    const [demo] = await processes('aula');
    const before = (await stack.drvs('logs', 'aula', String(demo?.pid))).stdout;
    await eventually('the demo prints more', async () => {
      const now = (await stack.drvs('logs', 'aula', String(demo?.pid))).stdout;
      return now.length > before.length && now.startsWith(before);
    });
  });

  it("gives a program's output and exit code as the command's own", async () => {
    const hello = join(ROOT, 'libs/dvos/dist/guest/hello.wasm');
    const ours = await stack.drvs('run', 'aula', '--node', 'node2', hello);
    expect(ours).toMatchObject({ code: 0 });
    expect(ours.stdout).toMatch(/^Hello, world! This is process \d+ on node2\.\n$/);
    const refused = await stack.drvs('run', 'aula', '/bin/cat', '/no/such/file');
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toMatch(/cannot open/);
  }, 30_000);

  it('runs a C program of somebody else, and the same bytes come out while it is migrated five times', async () => {
    const compiler = await cCompiler();
    if (compiler === null) {
      console.warn('skipped: this machine has no C compiler for WASI (apt install clang wasi-libc)');
      return;
    }
    const program = join(folder, 'survey.wasm');
    await compileC(compiler, join(ROOT, 'test/e2e/programs/survey.c'), program);
    const plain = await runUnderNodeWasi(program, [ROUNDS]);

    await stack.json(
      ...words('drvm create fondo --tenant demo --cpu 1.2 --memory 768Mi --disk 3Gi --nodes 3'),
    );
    const run = stack.spawn(['run', 'fondo', program, ROUNDS]);
    const output = Promise.all([text(run.stdout!), text(run.stderr!)]);
    const ended = new Promise<number | null>((resolve) => run.on('close', resolve));
    const { pid } = await eventually('the program runs', async () =>
      (await processes('fondo')).find((row) => row.state !== 'starting'),
    );

    const moves: MigrationResult[] = [];
    for (let move = 0; move < 5; move++) {
      const here = (await processes('fondo')).find((row) => row.pid === pid)?.node;
      const to = ['node1', 'node2', 'node3'].filter((name) => name !== here)[move % 2]!;
      moves.push(await stack.json<MigrationResult>('migrate', 'fondo', String(pid), '--to', to));
    }
    expect(moves).toHaveLength(5);
    for (const move of moves) {
      expect(move.pid).toBe(pid);
      expect(move.from).not.toBe(move.to);
      expect(move.bytes).toBeGreaterThan(0);
      expect(move.pauseMs).toBeGreaterThan(0);
    }

    const [stdout, stderr] = await output;
    expect(stdout).toBe(plain.stdout.toString());
    expect(stderr).toBe(plain.stderr.toString());
    expect(await ended).toBe(plain.code);
    expect((await stack.drvs('drvm', 'delete', 'fondo', '--yes')).code).toBe(0);
  }, 180_000);

  it('shows processes of every node in one ps, and kill reaches them anywhere', async () => {
    const started: { pid: number; node: string }[] = [];
    for (const node of ['node1', 'node2', 'node3']) {
      started.push(await stack.json('run', 'aula', '--detach', '--node', node, '/bin/primes'));
    }
    expect(new Set(started.map((each) => each.pid)).size).toBe(3);
    const rows = await processes('aula');
    for (const { pid, node } of started) expect(rows.find((row) => row.pid === pid)?.node).toBe(node);
    for (const { pid } of started) {
      expect(await stack.json('kill', 'aula', String(pid), 'SIGTERM')).toEqual({ pid, signal: 'SIGTERM' });
    }
    await eventually('they are gone', async () => {
      const left = (await processes('aula')).map((row) => row.pid);
      return started.every(({ pid }) => !left.includes(pid));
    });
  });

  it('keeps files that every node sees the same', async () => {
    const file = join(folder, 'notes.txt');
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 31 + (i >> 8)) & 255));
    await writeFile(file, bytes);
    expect((await stack.drvs('cp', file, 'aula:/home/notes.txt')).code).toBe(0);
    for (const node of ['node1', 'node2', 'node3']) {
      const seen = await stack.drvs(
        'run',
        'aula',
        '--node',
        node,
        '/bin/cat',
        '-o',
        `/home/from-${node}`,
        '/home/notes.txt',
      );
      expect(seen).toMatchObject({ code: 0 });
      const back = join(folder, `from-${node}`);
      expect((await stack.drvs('cp', `aula:/home/from-${node}`, back)).code).toBe(0);
      expect((await readFile(back)).equals(bytes)).toBe(true);
    }
  }, 60_000);

  it('refuses what cannot be, and says why and what to do', async () => {
    const notWasm = join(folder, 'not.wasm');
    await writeFile(notWasm, '#!/bin/sh\necho no\n');
    const cases: [string[], RegExp][] = [
      [['run', 'aula', notWasm], /NotWebAssembly/],
      [['migrate', 'aula', '999999', '--to', 'node1'], /NotFound/],
      [
        ['migrate', 'aula', String((await processes('aula'))[0]?.pid), '--to', 'node9'],
        /node1.*node2.*node3/s,
      ],
      [['node', 'show', 'node9'], /NotFound/],
      [
        ['drvm', 'create', 'huge', '--tenant', 'demo', '--cpu', '5000', '--memory', '1Gi', '--disk', '1Gi'],
        /InsufficientResources/,
      ],
    ];
    for (const [words, wanted] of cases) {
      const answer = await stack.drvs(...words, '--json');
      expect({ words, code: answer.code, stdout: answer.stdout }).toEqual({ words, code: 1, stdout: '' });
      const error = JSON.parse(answer.stderr) as { code: string; message: string; hint: string };
      expect(JSON.stringify(error)).toMatch(wanted);
      expect(error.message.length).toBeGreaterThan(10);
    }
    expect((await stack.drvs('drvm', 'create')).code).toBe(2);
  }, 60_000);

  it('lets a DRVM be created, stopped, started and deleted, and gives back what it held', async () => {
    const allocated = async () =>
      (await stack.rest<{ items: unknown[] }>('GET', 'allocations')).body.items.length;
    const before = await allocated();
    const created = await stack.json<DrvmView>(
      ...words('drvm create fisica --tenant demo --cpu 0.2 --memory 512Mi --disk 2Gi --nodes 2'),
    );
    expect(created).toMatchObject({ name: 'fisica' });
    expect(await allocated()).toBe(before + 2);
    const { pid } = await stack.json<{ pid: number }>('run', 'fisica', '--detach', '/bin/primes', '100');
    await eventually(
      'it prints',
      async () => (await stack.drvs('logs', 'fisica', String(pid))).stdout.length > 0,
    );
    await writeFile(join(folder, 'kept'), 'kept over a restart');
    expect((await stack.drvs('cp', join(folder, 'kept'), 'fisica:/home/kept')).code).toBe(0);
    expect((await stack.drvs('drvm', 'stop', 'fisica')).code).toBe(0);
    expect((await stack.drvs('run', 'fisica', '/bin/hello')).stderr).toMatch(/stopped/);
    expect((await stack.drvs('drvm', 'start', 'fisica')).code).toBe(0);
    expect((await stack.drvs('cp', 'fisica:/home/kept', join(folder, 'back'))).code).toBe(0);
    expect(await readFile(join(folder, 'back'), 'utf8')).toBe('kept over a restart');
    expect((await stack.drvs('drvm', 'delete', 'fisica', '--yes')).code).toBe(0);
    expect(await allocated()).toBe(before);
  }, 120_000);

  it('finds everything as it was at a second up', async () => {
    const before = await stack.json<DrvmView[]>('drvm', 'list');
    expect((await stack.drvs('down', '--data', stack.data)).code).toBe(0);
    const port = new URL(stack.url).port;
    const again = await stack.drvs('up', '--detach', '--port', port, '--data', stack.data);
    expect(again).toMatchObject({ code: 0 });
    const after = await stack.json<DrvmView[]>('drvm', 'list');
    expect(after.map(({ id, name }) => ({ id, name }))).toEqual(before.map(({ id, name }) => ({ id, name })));
    await eventually('its DRVM runs again', async () =>
      (await stack.json<DrvmView[]>('drvm', 'list')).every((drvm) => drvm.state === 'running'),
    );
    expect((await stack.drvs('cp', 'aula:/home/notes.txt', join(folder, 'after'))).code).toBe(0);
  }, 120_000);
});
