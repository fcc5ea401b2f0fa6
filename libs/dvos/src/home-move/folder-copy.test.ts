import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { HostOutputStore } from '../servers/tty/host-output-store.js';
import { HostFileStore } from '../servers/vfs/host-store.js';
import { VfsServer } from '../servers/vfs/main.js';
import { DirectSystem } from '../wasi/testing/direct-guest.js';
import { ArrivingFolder } from './arrival.js';
import { FolderCopy } from './folder-copy.js';

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'drvs-copy-'));
});
afterEach(() => {
  rmSync(base, { recursive: true, force: true });
});

function filesIn(folder: string): Map<string, string> {
  const files = new Map<string, string>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) files.set(path.slice(folder.length), readFileSync(path).toString('base64'));
  }
  return files;
}

/** A home's files in one folder, and the folder that they arrive in. */
function home(name: string) {
  const folder = join(base, name);
  mkdirSync(folder);
  const store = new HostFileStore({ dataFolder: folder });
  const output = new HostOutputStore({ dataFolder: folder });
  const devices = { terminal: { write: () => 0 }, random: () => {} };
  const vfs = new VfsServer({ port: new DirectSystem().port, store, devices, limitBytes: 2 ** 30 });
  const arriving = new ArrivingFolder(join(base, `${name}-arrived`));
  const copy = new FolderCopy(folder, {
    part: async (path, offset, bytes) => arriving.part(path, offset, bytes),
    cut: async (path, size) => arriving.cut(path, size),
    removed: async (path) => arriving.removed(path),
  });
  store.noteChanges(copy);
  const round = () => {
    store.flush();
    output.flush();
    return copy.round();
  };
  return { folder, vfs: vfs.control, output, store, arriving, copy, round };
}

type Step =
  | { do: 'write'; file: number; at: number; length: number; value: number }
  | { do: 'replace'; file: number; length: number; value: number }
  | { do: 'remove' | 'rename'; file: number }
  | { do: 'print'; length: number }
  | { do: 'round' };

const file = fc.nat(3);
const length = fc.constantFrom(0, 1, 5_000, 70_000, 300_000);
const value = fc.nat(255);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('write' as const),
    file,
    at: fc.constantFrom(0, 40_000, 200_000),
    length,
    value,
  }),
  fc.record({ do: fc.constant('replace' as const), file, length, value }),
  fc.record({ do: fc.constantFrom('remove', 'rename'), file }),
  fc.record({ do: fc.constant('print' as const), length }),
  fc.record({ do: fc.constant('round' as const) }),
);

describe('the copy of a home in use', () => {
  it('is the same as what is copied after the last round, whatever was done between the rounds', async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const { folder, vfs, output, store, arriving, round } = home(String(++run));
        output.create(1);
        for (const each of steps) {
          const path = 'file' in each ? `/home/${each.file}` : '';
          const isThere = 'file' in each && vfs.list('/home').some((found) => found.path === path);
          if (each.do === 'write')
            vfs.writeFile(path, new Uint8Array(each.length).fill(each.value), { offset: each.at });
          else if (each.do === 'replace')
            vfs.writeFile(path, new Uint8Array(each.length).fill(each.value), { truncate: true });
          else if (each.do === 'remove' && isThere) vfs.remove(path, false);
          else if (each.do === 'rename' && isThere) vfs.rename(path, `/home/${(each.file + 1) % 4}`);
          else if (each.do === 'print') output.append(1, 'stdout', new Uint8Array(each.length).fill(65));
          else if (each.do === 'round') await round();
        }
        await round();
        await arriving.sync();
        arriving.close();
        expect(filesIn(arriving.path)).toEqual(filesIn(folder));
        store.close();
        output.close();
      }),
      { numRuns: 40 },
    );
  });

  it('sends of a large file only what has changed, and of holes nothing', async () => {
    const { vfs, store, output, arriving, copy, round } = home('large');
    for (let at = 0; at < 4_000_000; at += 100_000)
      vfs.writeFile('/home/large', new Uint8Array(100_000).fill(1 + (at % 7)), { offset: at });
    vfs.writeFile('/home/hollow', new Uint8Array([1]), { offset: 3_000_000 });
    const first = await round();
    expect(first).toBeGreaterThanOrEqual(4_000_000);
    expect(first).toBeLessThan(4_900_000);
    vfs.writeFile('/home/large', new Uint8Array([9]), { offset: 2_000_000 });
    expect(await round()).toBeLessThan(100_000);
    expect(copy.files).toBeGreaterThanOrEqual(3);
    arriving.close();
    store.close();
    output.close();
  });
});
