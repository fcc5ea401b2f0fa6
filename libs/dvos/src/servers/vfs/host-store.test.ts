import { cpSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DirectSystem } from '../../wasi/testing/direct-guest.js';
import { HostFileStore } from './host-store.js';
import { VfsServer } from './main.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'drvs-store-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function open(dataFolder: string, limitBytes = 2 ** 30): { vfs: VfsServer; store: HostFileStore } {
  const store = new HostFileStore({ dataFolder });
  const devices = { terminal: { write: () => 0 }, random: () => {} };
  return { vfs: new VfsServer({ port: new DirectSystem().port, store, devices, limitBytes }), store };
}

/** Byte `i` of the file with this seed: known whatever part of it was stored. */
function pattern(seed: number, from: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = ((from + i) * 131 + seed * 17) & 255;
  return bytes;
}

type Step =
  | { do: 'append'; file: number; length: number }
  | { do: 'replace'; file: number; length: number }
  | { do: 'remove'; file: number }
  | { do: 'flush' | 'sync' };

const file = fc.nat(3);
const length = fc.constantFrom(1, 100, 5000, 16_384, 40_000);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constantFrom('append', 'replace'), file, length }),
  fc.record({ do: fc.constant('remove' as const), file }),
  fc.record({ do: fc.constantFrom('flush', 'sync') }),
);

describe('files on the host', () => {
  it('are counted as they are read from the disk and written to it, and not as they are used', () => {
    const counters = { readBytes: 0, writtenBytes: 0, operations: 0 };
    const devices = { terminal: { write: () => 0 }, random: () => {} };
    const start = () => {
      const store = new HostFileStore({ dataFolder: folder, counters });
      const vfs = new VfsServer({ port: new DirectSystem().port, store, devices, limitBytes: 2 ** 30 });
      return { store, vfs };
    };
    const first = start();
    first.vfs.control.writeFile('/home/file', pattern(1, 0, 100_000), { parents: true });
    first.vfs.control.readWhole('/home/file', 2 ** 20);
    expect(counters).toEqual({ readBytes: 0, writtenBytes: 0, operations: 0 });
    first.store.close();
    expect(counters.readBytes).toBe(0);
    // The bytes, in a few runs of pages, and what the journal says of them.
    expect(counters.writtenBytes).toBeGreaterThan(100_000);
    expect(counters.writtenBytes).toBeLessThan(110_000);
    expect(counters.operations).toBeGreaterThanOrEqual(2);
    expect(counters.operations).toBeLessThan(10);
    const { operations } = counters;
    const again = start();
    again.vfs.control.readWhole('/home/file', 2 ** 20);
    expect(counters.readBytes).toBe(100_000);
    expect(counters.operations).toBeGreaterThan(operations);
    again.store.close();
  });

  it('are as they were after a proper end', () => {
    const { vfs, store } = open(folder);
    const big = pattern(1, 0, 3_000_000);
    for (let at = 0; at < big.length; at += 100_000) {
      vfs.control.writeFile('/home/big', big.subarray(at, at + 100_000), { offset: at });
    }
    vfs.control.writeFile('/home/a/b/c', pattern(2, 0, 10), { parents: true });
    store.close();
    const again = open(folder);
    expect(Buffer.from(again.vfs.control.readWhole('/home/big', 2 ** 24)).equals(big)).toBe(true);
    expect(again.vfs.control.readFile('/home/a/b/c').bytes).toEqual(pattern(2, 0, 10));
    expect(again.vfs.control.usage().usedBytes).toBe(vfs.control.usage().usedBytes);
    again.store.close();
  });

  it('killed at any instant, hold what their sizes say, and what was synced', () => {
    let run = 0;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25, size: 'max' }), (steps) => {
        const data = join(folder, `run${run++}`);
        const { vfs, store } = open(data);
        const sizes = new Map<string, number>();
        let synced = new Map<string, number>();
        const path = (number: number): string => `/home/f${number}`;
        const write = (number: number, name: string, at: number, count: number): void => {
          vfs.control.writeFile(name, pattern(number, at, count), { offset: at });
        };
        steps.forEach((each) => {
          switch (each.do) {
            case 'append': {
              const size = sizes.get(path(each.file)) ?? 0;
              write(each.file, path(each.file), size, each.length);
              sizes.set(path(each.file), size + each.length);
              synced.delete(path(each.file));
              break;
            }
            case 'replace':
              vfs.control.writeFile('/tmp/new', new Uint8Array(0), { truncate: true });
              write(each.file, '/tmp/new', 0, each.length);
              vfs.control.rename('/tmp/new', path(each.file));
              sizes.set(path(each.file), each.length);
              synced.delete(path(each.file));
              break;
            case 'remove':
              if (sizes.delete(path(each.file))) vfs.control.remove(path(each.file));
              synced.delete(path(each.file));
              break;
            case 'flush':
              store.flush();
              break;
            case 'sync':
              vfs.control.sync();
              synced = new Map(sizes);
              break;
          }
        });
        // What the folder holds now is what a kill -9 would leave.
        const killed = join(folder, `killed${run}`);
        cpSync(data, killed, { recursive: true });
        store.close();
        const after = open(killed);
        for (let number = 0; number < 4; number++) {
          if (!after.vfs.control.list('/home').some((each) => each.path === path(number))) {
            expect(synced.has(path(number))).toBe(false);
            continue;
          }
          const bytes = after.vfs.control.readWhole(path(number), 2 ** 24);
          expect(Buffer.from(bytes).equals(pattern(number, 0, bytes.length))).toBe(true);
          const least = synced.get(path(number));
          if (least !== undefined) expect(bytes.length).toBe(least);
        }
        after.store.close();
        rmSync(data, { recursive: true });
        rmSync(killed, { recursive: true });
      }),
      { numRuns: Number(process.env.DRVS_RUNS ?? 15) },
    );
  });

  it('are swept of what a crash left: data without a file, and bytes beyond a size', () => {
    const { vfs, store } = open(folder);
    vfs.control.writeFile('/home/x', pattern(1, 0, 100));
    store.close();
    const shards = join(folder, 'vfs', 'data');
    const [shard] = readdirSync(shards);
    const [name] = readdirSync(join(shards, shard!));
    writeFileSync(join(shards, shard!, name!), pattern(1, 0, 5000));
    writeFileSync(join(shards, shard!, 'fff00'), 'nobody');
    const again = open(folder);
    again.vfs.control.writeFile('/home/x', pattern(1, 0, 1), { offset: 300 });
    expect(again.vfs.control.readFile('/home/x', 100, 200).bytes).toEqual(new Uint8Array(200));
    expect(readdirSync(join(shards, shard!))).toEqual([name]);
    again.store.close();
  });

  it('read zeros where they were cut and grew again', () => {
    const { vfs, store } = open(folder);
    vfs.control.writeFile('/home/x', pattern(1, 0, 50_000));
    vfs.control.sync();
    vfs.control.writeFile('/home/x', pattern(2, 0, 10), { truncate: true });
    vfs.control.writeFile('/home/x', pattern(2, 0, 1), { offset: 40_000 });
    const expected = new Uint8Array(40_001);
    expected.set(pattern(2, 0, 10));
    expected[40_000] = pattern(2, 0, 1)[0]!;
    expect(vfs.control.readWhole('/home/x', 2 ** 20)).toEqual(expected);
    store.close();
    const again = open(folder);
    expect(again.vfs.control.readWhole('/home/x', 2 ** 20)).toEqual(expected);
    again.store.close();
  });

  it('can be more, and larger, than what is kept in memory', () => {
    const { vfs, store } = open(folder);
    for (let i = 0; i < 200; i++) vfs.control.writeFile(`/home/f${i}`, pattern(i, 0, 100_000));
    for (let i = 0; i < 200; i++) {
      const bytes = vfs.control.readWhole(`/home/f${i}`, 2 ** 20);
      expect(Buffer.from(bytes).equals(pattern(i, 0, 100_000))).toBe(true);
    }
    store.close();
  });

  it('keep a journal that does not grow with what happened', () => {
    const { vfs, store } = open(folder);
    vfs.control.writeFile('/home/a', pattern(1, 0, 10));
    for (let i = 0; i < 15_000; i++) {
      vfs.control.rename('/home/a', '/home/b');
      vfs.control.rename('/home/b', '/home/a');
    }
    store.close();
    expect(statSync(join(folder, 'vfs', 'metadata')).size).toBeLessThan(1_500_000);
    const again = open(folder);
    expect(again.vfs.control.readFile('/home/a').bytes).toEqual(pattern(1, 0, 10));
    again.store.close();
  });

  it('are made durable together for all who ask, while others go on', async () => {
    const { vfs, store } = open(folder);
    const order: string[] = [];
    const asked = Array.from({ length: 10 }, (_, i) => {
      vfs.control.writeFile(`/home/f${i}`, pattern(i, 0, 100));
      const inode = i + 20;
      return new Promise<number>((resolve) => {
        store.syncLater(i === 9 ? null : inode, (status) => {
          order.push(`f${i}`);
          resolve(status);
        });
      });
    });
    vfs.control.writeFile('/home/meanwhile', pattern(1, 0, 100));
    order.push('meanwhile');
    expect(await Promise.all(asked)).toEqual(new Array(10).fill(0));
    expect(order[0]).toBe('meanwhile');
    store.close();
  });

  it('stop at the disk limit with the cause, and go on when there is room again', () => {
    const { vfs, store } = open(folder, 200_000);
    expect(() => vfs.control.writeFile('/home/x', new Uint8Array(300_000))).toThrow(
      expect.objectContaining({ code: 'InsufficientResources' }),
    );
    expect(vfs.control.usage().usedBytes).toBeLessThanOrEqual(200_000);
    vfs.control.remove('/home/x');
    vfs.control.writeFile('/home/y', new Uint8Array(100_000));
    store.close();
  });
});
