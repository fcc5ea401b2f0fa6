import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { HomeRecord } from './home-record.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'drvs-home-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const open = (index = 0, epoch = 0) => new HomeRecord(folder, { index, epoch });

describe('the record of a home', () => {
  it('says what the spec says until something later is learnt, and that outlives the process', () => {
    const record = open(2);
    expect(record.place).toEqual({ index: 2, epoch: 0 });
    expect(record.learn({ index: 1, epoch: 1 })).toBe(true);
    expect(record.learn({ index: 0, epoch: 1 })).toBe(false);
    expect(open(2).place).toEqual({ index: 1, epoch: 1 });
  });

  it('gives way to a spec with a higher epoch, and not to one with the same', () => {
    open().learn({ index: 1, epoch: 2 });
    expect(open(0, 2).place).toEqual({ index: 1, epoch: 2 });
    expect(open(3, 3).place).toEqual({ index: 3, epoch: 3 });
  });

  it('keeps its files when a higher epoch names the same container again', () => {
    mkdirSync(join(folder, 'vfs'));
    const named = open(0, 3);
    expect([named.place, named.homeFolder]).toEqual([{ index: 0, epoch: 3 }, folder]);
    const record = open();
    record.learn({ index: 0, epoch: 4 });
    record.dropFormer();
    expect(existsSync(join(folder, 'vfs'))).toBe(true);
    expect(open().homeFolder).toBe(folder);
    record.learn({ index: 1, epoch: 5 });
    record.learn({ index: 0, epoch: 6 });
    record.learn({ index: 0, epoch: 9 });
    expect(open().homeFolder).toBe(record.folderOf(6));
  });

  it('sweeps what was begun, and keeps what is whole and undecided', () => {
    const record = open();
    for (const epoch of [1, 2]) mkdirSync(record.folderOf(epoch), { recursive: true });
    record.setPrepared(2, 0);
    expect(open().sweep()).toEqual({ epoch: 2, from: 0 });
    expect([1, 2].map((epoch) => existsSync(record.folderOf(epoch)))).toEqual([false, true]);
  });

  it('drops what former homes kept, the first one too, and nothing of the present one', () => {
    const record = open();
    mkdirSync(join(folder, 'vfs'));
    writeFileSync(join(folder, 'processes.jsonl'), '');
    for (const epoch of [1, 2]) mkdirSync(record.folderOf(epoch));
    mkdirSync(join(folder, 'modules'));
    record.learn({ index: 1, epoch: 1 });
    record.learn({ index: 0, epoch: 2 });
    record.dropFormer();
    const names = ['vfs', 'processes.jsonl', 'home-1', 'home-2', 'modules'];
    expect(names.filter((name) => existsSync(join(folder, name)))).toEqual(['home-2', 'modules']);
  });

  it('names itself when it is damaged', () => {
    writeFileSync(join(folder, 'home.json'), '{');
    expect(() => open()).toThrow(/home\.json is damaged/);
  });
});
