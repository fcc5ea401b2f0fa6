import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DrvsError } from '@drvs/contracts';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { LOADER_VERSION } from './loader/meta.js';
import { Programs } from './programs.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'drvs-programs-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('programs', () => {
  test('each is instrumented once, also when many ask at a time and after a restart', async () => {
    let made = 0;
    const instrument = async (_hash: string, module: Uint8Array) => {
      made++;
      return module.map((byte) => byte + 1);
    };
    const first = new Programs(folder, instrument);
    await first.open();
    const program = new Uint8Array([1, 2, 3]);
    const hash = first.hashOf(program);
    const answers = await Promise.all([1, 2, 3].map(() => first.instrumented(hash, program)));
    for (const answer of answers) expect([...answer]).toEqual([2, 3, 4]);
    const second = new Programs(folder, instrument);
    await second.open();
    expect([...(await second.instrumented(hash, null))]).toEqual([2, 3, 4]);
    expect(made).toBe(1);
  });

  test('are instrumented by a container too that has become home while it ran', async () => {
    const programs = new Programs(folder, async (_hash, module) => module);
    const program = new Uint8Array([7]);
    expect([...(await programs.instrumented(programs.hashOf(program), program))]).toEqual([7]);
  });

  test('a refusal reaches the caller, and the next try is a new one', async () => {
    let tries = 0;
    const programs = new Programs(folder, async () => {
      tries++;
      throw new DrvsError('NotWebAssembly', 'it is a shell script');
    });
    await programs.open();
    const program = new Uint8Array([1]);
    for (let round = 0; round < 2; round++) {
      await expect(programs.instrumented(programs.hashOf(program), program)).rejects.toThrow('shell script');
    }
    expect(tries).toBe(2);
  });

  test('half of a write that a crash cut short is swept away', async () => {
    const programs = new Programs(folder, async (_hash, module) => module);
    await programs.open();
    const hash = programs.hashOf(new Uint8Array([1]));
    writeFileSync(join(folder, 'modules', LOADER_VERSION, `${hash}.half`), 'x');
    await programs.open();
    await expect(programs.instrumented(hash, null)).rejects.toMatchObject({ code: 'NotFound' });
  });
});
