import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { cCompiler, compileC } from '../support/c-program.js';
import { Drvm } from './drvm.js';

const PROGRAMS = ['descriptors', 'paths'] as const;
/** So often are the checks made by a program that is to be moved: once is over in no time. */
const ROUNDS = { descriptors: 5, paths: 100 };

/**
 * WASI preview 1 to the letter: C programs on the bare system calls, each of which checks a few hundred answers and
 * prints those that are wrong. They run at home, on another node, and while they are moved about.
 */
describe('the system calls of WASI preview 1', () => {
  let compiler: string | null;
  let folder: string;
  let drvm: Drvm;

  beforeAll(async () => {
    compiler = await cCompiler();
    if (compiler === null) return;
    folder = await mkdtemp(join(tmpdir(), 'drvs-wasi-'));
    drvm = await Drvm.start({ nodes: 2 });
    for (const name of PROGRAMS) {
      const target = join(folder, `${name}.wasm`);
      await compileC(compiler, join(import.meta.dirname, 'wasi', `${name}.c`), target);
      await drvm.upload(`/bin/${name}`, await readFile(target));
    }
  }, 120_000);

  afterAll(async () => {
    await drvm?.stop();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  const start = (program: string, node: string, ...args: string[]) =>
    drvm.call('process.start', {
      program: `/bin/${program}`,
      node,
      args,
      directories: [{ path: '/tmp', as: '/' }],
    });

  for (const program of PROGRAMS) {
    for (const node of ['node1', 'node2']) {
      test(`${program}: every answer is right on ${node}`, async () => {
        if (compiler === null) return console.warn('no C compiler for wasm32-wasi here: nothing was checked');
        const { pid } = await start(program, node);
        const { stdout, exit } = await drvm.outputOf(pid);
        expect(stdout).toMatch(/^\d+ checks, 0 failed\n$/);
        expect(exit).toEqual({ exitCode: 0, signal: null, reason: null });
      }, 60_000);
    }

    test(`${program}: every answer is right while the program is moved about`, async () => {
      if (compiler === null) return console.warn('no C compiler for wasm32-wasi here: nothing was checked');
      const { pid } = await start(program, 'node1', String(ROUNDS[program]));
      const output = drvm.outputOf(pid);
      let moves = 0;
      for (const to of ['node2', 'node1', 'node2', 'node1', 'node2']) {
        // It may have ended meanwhile.
        await drvm.call('process.migrate', { pid, to, requestKey: `wasi-${pid}-${moves}` }).then(
          () => moves++,
          () => undefined,
        );
      }
      const { stdout, exit } = await output;
      expect(stdout).toMatch(/^\d+ checks, 0 failed\n$/);
      expect(exit).toEqual({ exitCode: 0, signal: null, reason: null });
      expect(moves).toBeGreaterThan(0);
    }, 60_000);
  }
});
