import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from '@jest/globals';
import asc from 'assemblyscript/asc';
import { instrument } from './instrument.js';
import { Miniature, type MiniatureOptions } from './miniature-kernel.js';

const root = fileURLToPath(new URL('../../../..', import.meta.url));

/** Compiles a program of `libs/dvos/src/guest` as `scripts/build-guests.mjs` does, in memory. */
async function compile(name: string): Promise<Uint8Array> {
  let bytes: Uint8Array | undefined;
  const folder = 'libs/dvos/src/guest';
  const options = ['--outFile', 'out.wasm', '--baseDir', root, '--use', `abort=${folder}/lib/wasi/abort`];
  const { error, stderr } = await asc.main([`${folder}/${name}.ts`, '-O2', '--noAssert', ...options], {
    writeFile: (_file, contents) => {
      if (typeof contents !== 'string') bytes = contents;
    },
  });
  if (error !== null || bytes === undefined) throw new Error(`${name}: ${stderr.toString()}`);
  return bytes;
}

/** Program, arguments, standard input, and what it must print. */
const CASES: [string, string[], string, RegExp][] = [
  [
    'primes',
    ['100000', '50000'],
    '',
    /^up to 50000: 5133 primes.*\nup to 100000: 9592 primes, .*\ndone: 9592 primes up to 100000\n$/,
  ],
  ['pi', ['60'], '', /^31415926535897932384626433832795028841971693993751\n0582097494\n$/],
  ['cat', ['-'], 'what goes in\ncomes out\n', /^what goes in\ncomes out\n$/],
  ['hello', ['Lidia', 'Ana'], '', /^Hello, Lidia Ana! This is process 42 on \.\n$/],
  ['mandelbrot', ['30', '5', '50'], '', /@/],
  ['bench/words', [], '', /^22544 words, 9505 different\n$/],
];

describe('the demonstration programs', () => {
  const instrumented = new Map<string, Uint8Array>();
  beforeAll(async () => {
    for (const [name] of CASES) instrumented.set(name, instrument(await compile(name)).module);
  });

  it.each(CASES)(
    '%s prints what it should, also while it is moved again and again',
    (name, args, stdin, expected) => {
      const run = (options: MiniatureOptions) =>
        new Miniature(instrumented.get(name)!, {
          args: [name, ...args],
          stdin: new TextEncoder().encode(stdin),
          ...options,
        }).run();
      const still = run({});
      expect(new TextDecoder().decode(still.output)).toMatch(expected);
      const moved = run({
        fuel: 100_000,
        at: (_place, n) => (['move', 'unwind', 'stay'] as const)[(n - 1) % 3]!,
      });
      expect(moved.output).toEqual(still.output);
      expect(moved.moves).toBeGreaterThan(0);
    },
  );
});
