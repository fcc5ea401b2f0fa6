import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DrvsError } from '@drvs/contracts';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { FILE_DIRECTORY, FILE_REGULAR } from '../../calls.js';
import { crc32c } from './crc32c.js';
import { InodeTree, ROOT } from './inode-tree.js';
import { Journal } from './journal.js';
import type { MetadataRecord } from './metadata-record.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'drvs-journal-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Everything that matters of a tree, comparable. */
function dump(tree: InodeTree): string {
  return JSON.stringify([...tree.records()]);
}

/** Changes of which each fits the tree that those before it made. */
function changes(choices: readonly number[]): MetadataRecord[] {
  const tree = new InodeTree();
  const records: MetadataRecord[] = [];
  const add = (record: MetadataRecord): void => {
    tree.apply(record);
    records.push(record);
  };
  choices.forEach((choice, at) => {
    const name = `n${choice % 7}`;
    const entry = tree.root.entries!.get(name);
    if (!entry) {
      const file = choice % 3 === 0 ? FILE_DIRECTORY : FILE_REGULAR;
      const common = { mode: 0o644, device: 0, parent: ROOT, target: '', at };
      add({ kind: 'make', inode: tree.nextNumber, file, name, ...common });
      return;
    }
    const { inode } = entry;
    if (choice % 5 === 0) add({ kind: 'unlink', parent: ROOT, name, at });
    else if (choice % 5 === 1 && !inode.entries) {
      const other = `n${(choice + 1) % 7}`;
      if (!tree.root.entries!.get(other))
        add({ kind: 'link', inode: inode.number, parent: ROOT, name: other, at });
    } else if (choice % 5 === 2 && !inode.entries) {
      const times = { accessMs: at, accessNanos: 1, modifiedMs: at, modifiedNanos: 2, changedMs: at };
      add({ kind: 'attributes', inode: inode.number, size: choice * 1000, mode: 0o600, ...times });
    } else {
      add({ kind: 'rename', parent: ROOT, name, newParent: ROOT, newName: `m${choice % 3}é`, at });
    }
  });
  return records;
}

function write(path: string, records: readonly MetadataRecord[]): void {
  rmSync(path, { force: true });
  const journal = new Journal(path);
  journal.open(() => {
    throw new Error('a new journal has no records');
  });
  for (const record of records) journal.append(record);
  journal.write();
  journal.close();
}

function load(path: string): { tree: InodeTree; count: number } {
  const journal = new Journal(path);
  const tree = new InodeTree();
  let count = 0;
  try {
    journal.open((record) => {
      tree.apply(record);
      count++;
    });
  } finally {
    journal.close();
  }
  return { tree, count };
}

const choices = fc.array(fc.nat(10_000), { minLength: 1, maxLength: 60 });

describe('crc32c', () => {
  it('gives the check value of the polynomial', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    const half = crc32c(Buffer.from('1234'));
    expect(crc32c(Buffer.from('56789'), 0, 5, half)).toBe(0xe3069283);
  });
});

describe('the metadata journal', () => {
  it('gives back what was written', () => {
    fc.assert(
      fc.property(choices, (each) => {
        const path = join(folder, 'whole');
        const records = changes(each);
        write(path, records);
        const tree = new InodeTree();
        for (const record of records) tree.apply(record);
        const loaded = load(path);
        expect(loaded.count).toBe(records.length);
        expect(dump(loaded.tree)).toBe(dump(tree));
        expect(loaded.tree.usedBytes).toBe(tree.usedBytes);
      }),
      { numRuns: 25 },
    );
  });

  it('cut off anywhere, is a prefix of what happened, and can be written on', () => {
    fc.assert(
      fc.property(choices, fc.double({ min: 0, max: 1, noNaN: true }), (each, where) => {
        const path = join(folder, 'cut');
        const records = changes(each);
        write(path, records);
        const whole = readFileSync(path);
        writeFileSync(path, whole.subarray(0, 16 + Math.floor((whole.length - 16) * where)));
        const { tree, count } = load(path);
        const prefix = new InodeTree();
        for (const record of records.slice(0, count)) prefix.apply(record);
        expect(dump(tree)).toBe(dump(prefix));

        const journal = new Journal(path);
        journal.open(() => {});
        const rest = { mode: 0, device: 0, parent: ROOT, name: 'after', target: '', at: 1 };
        journal.append({ kind: 'make', inode: tree.nextNumber, file: FILE_REGULAR, ...rest });
        journal.write();
        journal.close();
        expect(load(path).tree.root.entries!.get('after')).toBeDefined();
      }),
      { numRuns: Number(process.env.DRVS_RUNS ?? 40) },
    );
  });

  it('with any byte changed, is a prefix or refused by name, and never something else', () => {
    fc.assert(
      fc.property(choices, fc.nat(), fc.integer({ min: 1, max: 255 }), (each, where, flip) => {
        const path = join(folder, 'flipped');
        const records = changes(each);
        write(path, records);
        const bytes = readFileSync(path);
        bytes[where % bytes.length]! ^= flip;
        writeFileSync(path, bytes);
        try {
          const { tree, count } = load(path);
          // Only a record with nothing whole after it may go.
          expect(count).toBe(records.length - 1);
          const prefix = new InodeTree();
          for (const record of records.slice(0, count)) prefix.apply(record);
          expect(dump(tree)).toBe(dump(prefix));
        } catch (error) {
          if (!(error instanceof DrvsError)) throw error;
          expect(error.code).toBe('StateConflict');
          expect(error.message).toContain(path);
          expect(error.hint).toBeTruthy();
        }
      }),
      { numRuns: Number(process.env.DRVS_RUNS ?? 60) },
    );
  });

  it('is damaged, not torn, when whole records follow one that is not', () => {
    const path = join(folder, 'middle');
    write(path, changes([1, 2, 4, 5, 6, 7]));
    const bytes = readFileSync(path);
    bytes[60]! ^= 1;
    writeFileSync(path, bytes);
    expect(() => load(path)).toThrow(/middle is damaged at byte \d+/);
  });

  it('is compacted to the same tree', () => {
    const path = join(folder, 'compacted');
    const records = changes(Array.from({ length: 400 }, (_, i) => i * 7919));
    write(path, records);
    const tree = new InodeTree();
    const journal = new Journal(path);
    journal.open((record) => tree.apply(record));
    const before = statSync(path).size;
    journal.compact(tree.records());
    const rest = { mode: 0, device: 0, parent: ROOT, name: 'after', target: '', at: 1 };
    const made: MetadataRecord = { kind: 'make', inode: tree.nextNumber, file: FILE_REGULAR, ...rest };
    tree.apply(made);
    journal.append(made);
    journal.write();
    journal.close();
    expect(statSync(path).size).toBeLessThan(before);
    const again = load(path).tree;
    expect(dump(again)).toBe(dump(tree));
    expect(again.nextNumber).toBe(tree.nextNumber);
  });
});
