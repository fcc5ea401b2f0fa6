import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Drvm } from './drvm.js';
import { assemble } from './programs.js';

const ENODEV = 43;
const SENSOR = 'dev/host/node2/sensor';
const PRINTER = 'dev/host/node2/printer';

/**
 * Copies from the device `from` to `to` (a device, or its standard output where it is null) until either fails; then it
 * ends with the WASI errno as its exit code. With `polls` it waits in poll_oneoff, for a minute at most, and reads without
 * waiting.
 */
function copier(from: string, to: string | null, polls = false): Uint8Array {
  const flags = polls ? 4 : 0;
  return assemble(`(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
      (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 256) "${from}")
    (data (i32.const 512) "${to ?? ''}")
    (func $must (param $errno i32) (if (local.get $errno) (then (call $exit (local.get $errno)))))
    (func $opened (param $path i32) (param $length i32) (param $flags i32) (result i32)
      (call $must (call $open (i32.const 3) (i32.const 0) (local.get $path) (local.get $length)
        (i32.const 0) (i64.const 0x1fffffff) (i64.const 0) (local.get $flags) (i32.const 96)))
      (i32.load (i32.const 96)))
    (func (export "_start") (local $from i32) (local $to i32)
      (local.set $from (call $opened (i32.const 256) (i32.const ${from.length}) (i32.const ${flags})))
      (local.set $to ${to === null ? '(i32.const 1)' : `(call $opened (i32.const 512) (i32.const ${to.length}) (i32.const 0))`})
      (loop $next
        ${
          polls
            ? `(i32.store8 (i32.const 1008) (i32.const 1))
        (i32.store (i32.const 1016) (local.get $from))
        (i32.store (i32.const 1064) (i32.const 1))
        (i64.store (i32.const 1072) (i64.const 60000000000))
        (call $must (call $poll (i32.const 1000) (i32.const 1200) (i32.const 2) (i32.const 1400)))`
            : ''
        }
        (i32.store (i32.const 0) (i32.const 4096))
        (i32.store (i32.const 4) (i32.const 64))
        (call $must (call $read (local.get $from) (i32.const 0) (i32.const 1) (i32.const 8)))
        (i32.store (i32.const 4) (i32.load (i32.const 8)))
        (call $must (call $write (local.get $to) (i32.const 0) (i32.const 1) (i32.const 8)))
        (br $next))))`);
}

describe('devices of a host in a DRVM over three nodes', () => {
  let drvm: Drvm;
  let folder: string;
  /** The host's ends of the two: it writes what the sensor says, and reads what is printed. */
  const ends = { sensor: -1, printer: -1 };
  const devices = () =>
    (['sensor', 'printer'] as const).map((name) => ({
      key: `character:${name}`,
      name,
      path: join(folder, name),
    }));

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'drvs-devices-'));
    for (const name of ['sensor', 'printer'] as const) {
      execFileSync('mkfifo', [join(folder, name)]);
      ends[name] = openSync(join(folder, name), constants.O_RDWR | constants.O_NONBLOCK);
    }
    drvm = await Drvm.start({ nodes: 3 });
    await drvm.upload('/bin/copy', copier(SENSOR, null));
    await drvm.upload('/bin/poll', copier(SENSOR, PRINTER, true));
  }, 60_000);

  afterAll(async () => {
    await drvm?.stop();
    for (const fd of Object.values(ends)) if (fd >= 0) closeSync(fd);
    rmSync(folder, { recursive: true, force: true });
  });

  const start = async (program: string, node: string): Promise<number> =>
    (await drvm.call('process.start', { program, node })).pid;
  const seen = async (pid: number): Promise<string> => {
    const pieces: Buffer[] = [];
    await drvm.call(
      'process.output',
      { pid },
      { onChunk: (_chunk, body) => void pieces.push(Buffer.from(body)) },
    );
    return Buffer.concat(pieces).toString();
  };
  const says = (text: string): void => void writeSync(ends.sensor, text);
  const printed = (): string => {
    const bytes = Buffer.alloc(4096);
    try {
      return bytes.toString('utf8', 0, readSync(ends.printer, bytes));
    } catch {
      return '';
    }
  };
  const names = async (): Promise<string[]> => {
    try {
      return (await drvm.call('file.list', { path: '/dev/host/node2' }, { at: 2 })).map(({ path }) => path);
    } catch {
      return [];
    }
  };

  test('one that is not given is not there, and comes while the DRVM runs', async () => {
    expect(await drvm.call('process.wait', { pid: await start('/bin/copy', 'node3') })).toMatchObject({
      exitCode: 44,
    });
    await drvm.give(1, devices());
    await drvm.until(async () => (await names()).length === 2);
    expect(await names()).toEqual(['/dev/host/node2/printer', '/dev/host/node2/sensor']);
    expect(drvm.events.filter(({ kind }) => kind === 'device.plugged').map(({ text }) => text)).toContain(
      '/dev/host/node2/sensor is there',
    );
  }, 60_000);

  test('a program on another node reads it, moves, its home moves, and it is told when the device is taken away', async () => {
    const pid = await start('/bin/copy', 'node3');
    let expected = '';
    const expectSaid = async (text: string): Promise<void> => {
      says(text);
      expected += text;
      await drvm.until(async () => (await seen(pid)) === expected);
    };
    await expectSaid('first\n');
    await drvm.call('process.migrate', { pid, to: 'node1', requestKey: 'to-home' });
    await expectSaid('second\n');
    await drvm.call('process.migrate', { pid, to: 'node2', requestKey: 'to-device' });
    await expectSaid('third\n');
    await drvm.call('process.migrate', { pid, to: 'node3', requestKey: 'and-back' });
    for (const [round, to] of [2, 1, 0].entries()) {
      await drvm.call('home.move', { to, requestKey: `home-${round}` });
      await expectSaid(`home is ${to}\n`);
    }
    await drvm.give(1, devices().slice(1));
    expect(await drvm.call('process.wait', { pid })).toMatchObject({ exitCode: ENODEV });
    expect(await seen(pid)).toBe(expected);
    expect(await names()).toEqual(['/dev/host/node2/printer']);
    await drvm.give(1, devices());
    await drvm.until(async () => (await names()).length === 2);
  }, 120_000);

  test('programs poll it and write another one; nothing is lost or done twice while home moves', async () => {
    const pid = await start('/bin/poll', 'node3');
    const lines = Array.from({ length: 60 }, (_, i) => `line ${i}\n`);
    let got = '';
    const moves = (async () => {
      for (const [round, to] of [1, 2, 0].entries())
        await drvm.call('home.move', { to, requestKey: `poll-${round}` });
    })();
    for (const line of lines) {
      says(line);
      await drvm.until(() => {
        got += printed();
        return got.endsWith(line);
      });
    }
    await moves;
    expect(got).toBe(lines.join(''));
    await drvm.give(1, []);
    expect(await drvm.call('process.wait', { pid })).toMatchObject({ exitCode: ENODEV });
  }, 120_000);
});
