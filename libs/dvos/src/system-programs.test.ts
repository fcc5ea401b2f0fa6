import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openStorage, type Storage } from './storage.js';
import { installSystemPrograms } from './system-programs.js';

describe("the system's programs", () => {
  let folder: string;
  let programs: string;
  let storage: Storage;
  const open = (diskBytes: number): Storage =>
    openStorage({
      dataFolder: join(folder, 'data'),
      diskBytes,
      // Nobody sends these servers a message here.
      port: () => ({
        reply: () => undefined,
        notify: () => undefined,
        post: () => undefined,
        putBack: () => undefined,
        now: () => 0,
      }),
      onTrouble: () => undefined,
    });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'drvs-programs-'));
    programs = await mkdtemp(join(folder, 'programs-'));
    await writeFile(join(programs, 'one.wasm'), 'first');
    await writeFile(join(programs, 'two.wasm'), 'second');
    await writeFile(join(programs, 'notes.txt'), 'not a program');
  });
  afterEach(async () => {
    storage?.close();
    await rm(folder, { recursive: true, force: true });
  });
  const contents = (path: string) => Buffer.from(storage.vfs.readWhole(path, 1024)).toString();

  it('are in /bin of a new DRVM, by their names', () => {
    storage = open(1 << 20);
    expect(installSystemPrograms(storage.vfs, programs)).toEqual(['one', 'two']);
    expect(contents('/bin/one')).toBe('first');
    expect(storage.vfs.list('/bin').map(({ path }) => path)).toEqual(['/bin/one', '/bin/two']);
  });

  it('never replace what a department has put there', () => {
    storage = open(1 << 20);
    storage.vfs.writeFile('/bin/two', Buffer.from('ours'), { parents: true });
    expect(installSystemPrograms(storage.vfs, programs)).toEqual(['one']);
    expect(contents('/bin/two')).toBe('ours');
    expect(installSystemPrograms(storage.vfs, programs)).toEqual([]);
  });

  it('do not keep a DRVM with a full disk from starting', () => {
    storage = open(1 << 16);
    expect(() => {
      for (let at = 0; ; at += 512) storage.vfs.writeFile('/all', new Uint8Array(512), { offset: at });
    }).toThrow(/disk/);
    const installed = installSystemPrograms(storage.vfs, programs);
    expect(installed.length).toBeLessThan(2);
    expect(storage.vfs.list('/bin').map(({ path }) => path)).toEqual(installed.map((name) => `/bin/${name}`));
  });

  it('are none when none were built', () => {
    storage = open(1 << 20);
    expect(installSystemPrograms(storage.vfs, join(folder, 'nowhere'))).toEqual([]);
  });
});
