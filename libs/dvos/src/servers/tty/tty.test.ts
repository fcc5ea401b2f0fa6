import { appendFileSync, cpSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DirectSystem } from '../../wasi/testing/direct-guest.js';
import { HostOutputStore, SEGMENT_BYTES } from './host-output-store.js';
import { type TtyControl, TtyServer } from './main.js';
import type { OutputPiece } from './output-store.js';

let folder: string;
const stores: HostOutputStore[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'drvs-tty-'));
});
afterEach(() => {
  for (const store of stores.splice(0)) store.close();
  rmSync(folder, { recursive: true, force: true });
});

function open(
  dataFolder = folder,
  linesMax?: number,
): { tty: TtyServer; control: TtyControl; store: HostOutputStore } {
  const store = new HostOutputStore({ dataFolder, linesMax });
  stores.push(store);
  const tty = new TtyServer({ port: new DirectSystem().port, store });
  return { tty, control: tty.control, store };
}

const STDOUT = 0;
const STDERR = 1;

/** All of a process's output from an offset, by readings of `max`. */
function readAll(control: TtyControl, pid: number, from: number, max: number): OutputPiece[] {
  const pieces: OutputPiece[] = [];
  for (let offset = from; ; ) {
    const next = control.read(pid, offset, max);
    if (next.length === 0) return pieces;
    for (const piece of next) {
      expect(piece.offset).toBe(Math.max(offset, control.extent(pid).lost));
      offset = piece.offset + piece.bytes.length;
      pieces.push(piece);
    }
  }
}

const text = (pieces: OutputPiece[]): string =>
  pieces.map(({ stream, bytes }) => `${stream === 'stdout' ? 'o' : 'e'}:${Buffer.from(bytes)}`).join(' ');

describe('the output of processes', () => {
  it('is kept in the order of writing, with its streams and offsets', () => {
    const { tty, control } = open();
    control.open(5);
    tty.write(5 * 2 + STDOUT, Buffer.from('one'));
    tty.write(5 * 2 + STDERR, Buffer.from('two'));
    tty.write(5 * 2 + STDOUT, Buffer.from('three'));
    expect(text(control.read(5, 0))).toBe('o:one e:two o:three');
    expect(text(control.read(5, 4, 4))).toBe('e:wo o:th');
    expect(control.read(5, 11)).toEqual([]);
    expect(control.extent(5)).toEqual({ lost: 0, end: 11 });
  });

  it('is the same from any offset and by readings of any size, also after a restart', () => {
    const writes = fc.array(fc.tuple(fc.nat(1), fc.integer({ min: 1, max: 3000 })), { maxLength: 40 });
    let run = 0;
    fc.assert(
      fc.property(writes, fc.nat(20_000), fc.integer({ min: 50, max: 5000 }), (each, from, max) => {
        const data = join(folder, String(run++));
        const { tty, control, store } = open(data);
        control.open(9);
        const expected: [string, number][] = [];
        each.forEach(([stream, length], i) => {
          const bytes = Buffer.alloc(length, i);
          tty.write(9 * 2 + stream, bytes);
          for (const byte of bytes) expected.push([stream ? 'stderr' : 'stdout', byte]);
        });
        const seen = (c: TtyControl): [string, number][] =>
          readAll(c, 9, from, max).flatMap(({ stream, bytes }) =>
            [...bytes].map((b): [string, number] => [stream, b]),
          );
        expect(seen(control)).toEqual(expected.slice(from));
        store.close();
        expect(seen(open(data).control)).toEqual(expected.slice(from));
      }),
      { numRuns: 25 },
    );
  });

  it('is bounded: the oldest is dropped and counted, the rest is whole', () => {
    const { tty, control } = open();
    control.open(1);
    const line = (i: number): string => `${String(i).padStart(99, '.')}\n`;
    const count = 90_000;
    for (let i = 0; i < count; i++) tty.write(2 + (i & 1), Buffer.from(line(i)));
    const { lost, end } = control.extent(1);
    expect(end).toBe(count * 100);
    expect(lost).toBeGreaterThan(0);
    expect(end - lost).toBeGreaterThan(SEGMENT_BYTES / 2);
    expect(end - lost).toBeLessThanOrEqual(2 * SEGMENT_BYTES);
    const [first] = control.read(1, 0);
    expect(first!.offset).toBe(lost);
    expect(Buffer.from(first!.bytes).toString()).toBe(line(lost / 100));
    const files = readdirSync(join(folder, 'tty')).map((name) => statSync(join(folder, 'tty', name)).size);
    expect(files.reduce((a, b) => a + b)).toBeLessThanOrEqual(2 * SEGMENT_BYTES);
  });

  it('reaches those who listen, at once', () => {
    const { tty, control } = open();
    const heard: string[] = [];
    const stop = control.onOutput((pid, { stream, offset, bytes }) => {
      heard.push(`${pid} ${stream} ${offset} ${Buffer.from(bytes)}`);
    });
    control.open(3);
    tty.write(3 * 2 + STDOUT, Buffer.from('a'));
    tty.write(3 * 2 + STDERR, Buffer.from('b'));
    stop();
    tty.write(3 * 2 + STDOUT, Buffer.from('c'));
    expect(heard).toEqual(['3 stdout 0 a', '3 stderr 1 b']);
  });

  it('survives a kill, without what was torn', () => {
    const { tty, control, store } = open();
    control.open(4);
    tty.write(4 * 2, Buffer.from('whole'));
    store.flush();
    const killed = join(folder, 'killed');
    cpSync(join(folder, 'tty'), join(killed, 'tty'), { recursive: true });
    appendFileSync(join(killed, 'tty', '4.0'), Buffer.from([0xa1, 100, 0, 0, 0, 1, 2, 3, 4, 65]));
    const after = open(killed);
    expect(after.control.pids()).toEqual([4]);
    expect(text(after.control.read(4, 0))).toBe('o:whole');
    expect(after.control.extent(4)).toEqual({ lost: 0, end: 5 });
  });

  it('of the processes that ended first goes first when there are too many', () => {
    const { tty, control } = open(folder, 20);
    for (let pid = 1; pid <= 30; pid++) {
      control.open(pid);
      tty.write(pid * 2, Buffer.from('x'));
      control.close(pid);
    }
    expect(control.pids()).toHaveLength(20);
    expect(control.pids()[0]).toBe(11);
    expect(() => control.read(1, 0)).toThrow(expect.objectContaining({ code: 'NotFound' }));
  });
});
