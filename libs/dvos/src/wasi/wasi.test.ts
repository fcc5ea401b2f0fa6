import { beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { RIGHT, RIGHTS_DIRECTORY, RIGHTS_FILE } from '../calls.js';
import { VfsServer } from '../servers/vfs/main.js';
import { MemoryStore } from '../servers/vfs/store.js';
import { ERRNO } from './errno.js';
import { createWasiCalls, wasiUnstableCalls } from './index.js';
import { DirectGuest, type DirectGuestOptions, DirectSystem } from './testing/direct-guest.js';

const MEMORY_BYTES = 1 << 20;
let system: DirectSystem;
let vfs: VfsServer;
const calls = createWasiCalls((target) => target.fill(9));

beforeEach(() => {
  system = new DirectSystem();
  vfs = new VfsServer({
    port: system.port,
    store: new MemoryStore(),
    devices: { terminal: { write: (_minor, bytes) => bytes.length }, random: (target) => target.fill(7) },
    limitBytes: 2 ** 26,
  });
  system.add(vfs);
});

function guest(options: Partial<DirectGuestOptions> = {}, table = calls): DirectGuest {
  const one = new DirectGuest(system, table, { endpoint: 100, memoryBytes: MEMORY_BYTES, ...options });
  vfs.control.attach(one.endpoint, { stdinPath: null, directories: [{ path: '/', as: '/root' }], ttyId: 1 });
  return one;
}

const PATH = 64;
const OUT = 512;
const VECTORS = 1024;

function put(one: DirectGuest, text: string, at = PATH): number {
  return Buffer.from(one.bytes().buffer).write(text, at);
}

function open(one: DirectGuest, path: string, how = 1): number {
  const length = put(one, path);
  const rights = BigInt(how & 2 ? RIGHTS_DIRECTORY : RIGHTS_FILE);
  expect(one.call('path_open', 3, 1, PATH, length, how, rights, 0n, 0, OUT)).toBe(ERRNO.SUCCESS);
  return one.view().getUint32(OUT, true);
}

function vectors(one: DirectGuest, ...pairs: [number, number][]): void {
  pairs.forEach(([address, length], i) => {
    one.view().setUint32(VECTORS + i * 8, address, true);
    one.view().setUint32(VECTORS + i * 8 + 4, length, true);
  });
}

/** Names and how many i32 and i64 arguments: `i` and `I`. */
const SIGNATURES: Record<string, string> = {
  args_get: 'ii',
  args_sizes_get: 'ii',
  environ_get: 'ii',
  environ_sizes_get: 'ii',
  clock_res_get: 'ii',
  clock_time_get: 'iIi',
  fd_advise: 'iIIi',
  fd_allocate: 'iII',
  fd_close: 'i',
  fd_datasync: 'i',
  fd_fdstat_get: 'ii',
  fd_fdstat_set_flags: 'ii',
  fd_fdstat_set_rights: 'iII',
  fd_filestat_get: 'ii',
  fd_filestat_set_size: 'iI',
  fd_filestat_set_times: 'iIIi',
  fd_pread: 'iiiIi',
  fd_prestat_dir_name: 'iii',
  fd_prestat_get: 'ii',
  fd_pwrite: 'iiiIi',
  fd_read: 'iiii',
  fd_readdir: 'iiiIi',
  fd_renumber: 'ii',
  fd_seek: 'iIii',
  fd_sync: 'i',
  fd_tell: 'ii',
  fd_write: 'iiii',
  path_create_directory: 'iii',
  path_filestat_get: 'iiiii',
  path_filestat_set_times: 'iiiiIIi',
  path_link: 'iiiiiii',
  path_open: 'iiiiiIIii',
  path_readlink: 'iiiiii',
  path_remove_directory: 'iii',
  path_rename: 'iiiiii',
  path_symlink: 'iiiii',
  path_unlink_file: 'iii',
  poll_oneoff: 'iiii',
  proc_raise: 'i',
  random_get: 'ii',
  sched_yield: '',
  sock_accept: 'iii',
  sock_recv: 'iiiiii',
  sock_send: 'iiiii',
  sock_shutdown: 'ii',
};

describe('system calls', () => {
  it('are all of preview 1', () => {
    expect(Object.keys(calls).sort()).toEqual([...Object.keys(SIGNATURES), 'proc_exit'].sort());
  });

  it.each([false, true])(
    'answer an errno to whatever a hostile guest passes (suspending: %s)',
    (suspends) => {
      const int = fc.oneof(
        fc.integer({ min: -2, max: 8 }),
        fc.constantFrom(PATH, OUT, VECTORS, 4, 8, 100, 65_536),
        fc.integer({ min: MEMORY_BYTES - 64, max: MEMORY_BYTES + 8 }),
        fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      );
      const long = fc.oneof(
        fc.constantFrom(0n, 1n, -1n, 4096n, 2n ** 53n, 2n ** 62n, -(2n ** 63n), BigInt(RIGHTS_FILE)),
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      );
      const call = fc
        .constantFrom(...Object.keys(SIGNATURES))
        .chain((name) =>
          fc.tuple(
            fc.constant(name),
            fc.tuple(
              ...[...SIGNATURES[name]!].map(
                (type): fc.Arbitrary<number | bigint> => (type === 'i' ? int : long),
              ),
            ),
          ),
        );
      const names = ['a', 'dev/zero', 'dev/random', 'dev/tty', 'home/../tmp', '..'];
      let endpoint = 1000;
      fc.assert(
        fc.property(
          fc.array(call, { maxLength: 60, size: 'max' }),
          fc.constantFrom(...names),
          (each, name) => {
            const one = guest({ suspends, endpoint: endpoint++, args: ['x', 'ü'], env: ['A=b'] });
            put(one, name);
            vectors(one, [2048, 10], [4096, 100_000], [0xffff_fff0, 100]);
            for (const [what, args] of each) {
              const errno = one.call(what, ...args);
              expect(Number.isInteger(errno) && errno >= 0 && errno <= 76).toBe(true);
            }
            vfs.control.detach(one.endpoint);
          },
        ),
        { numRuns: suspends ? 15 : 100 },
      );
    },
  );

  it('refuse memory that is not there, and touch none', () => {
    const one = guest({ args: ['program'], env: ['K=V'] });
    const fd = open(one, 'tmp/file');
    const end = MEMORY_BYTES;
    vectors(one, [end - 4, 8]);
    expect(one.call('fd_write', fd, VECTORS, 1, OUT)).toBe(ERRNO.FAULT);
    expect(one.call('fd_read', fd, VECTORS, 1, OUT)).toBe(ERRNO.FAULT);
    expect(one.call('fd_write', fd, end - 4, 1, OUT)).toBe(ERRNO.FAULT);
    expect(one.call('fd_write', fd, VECTORS, 2000, OUT)).toBe(ERRNO.INVAL);
    vectors(one, [0, 8]);
    expect(one.call('fd_write', fd, VECTORS, 1, end - 3)).toBe(ERRNO.FAULT);
    expect(one.call('args_get', end - 2, 0)).toBe(ERRNO.FAULT);
    expect(one.call('args_get', 0, end - 2)).toBe(ERRNO.FAULT);
    expect(one.call('random_get', end - 2, 4)).toBe(ERRNO.FAULT);
    expect(one.call('random_get', -1, -1)).toBe(ERRNO.FAULT);
    expect(one.call('path_open', 3, 0, end - 1, 2, 0, 0n, 0n, 0, OUT)).toBe(ERRNO.FAULT);
    expect(one.call('path_open', 3, 0, 0, 5000, 0, 0n, 0n, 0, OUT)).toBe(ERRNO.NAMETOOLONG);
    expect(one.call('fd_filestat_get', fd, end - 63)).toBe(ERRNO.FAULT);
    expect(vfs.control.stat('/tmp/file').size).toBe(0);
  });

  it('keep to the layouts of args and environ', () => {
    const one = guest({ args: ['prog', 'é'], env: ['A=1'] });
    expect(one.call('args_sizes_get', 0, 4)).toBe(0);
    expect([one.view().getUint32(0, true), one.view().getUint32(4, true)]).toEqual([2, 8]);
    expect(one.call('args_get', 16, 100)).toBe(0);
    expect([one.view().getUint32(16, true), one.view().getUint32(20, true)]).toEqual([100, 105]);
    expect(Buffer.from(one.bytes().subarray(100, 108)).toString()).toBe('prog\0é\0');
    expect(one.call('environ_sizes_get', 0, 4)).toBe(0);
    expect([one.view().getUint32(0, true), one.view().getUint32(4, true)]).toEqual([1, 4]);
  });

  it('tell a filestat exactly, to the nanosecond', () => {
    const one = guest();
    const fd = open(one, 'tmp/file');
    const [access, modified] = [1_234_567_890_123_456_789n, 987_654_321_000_000_001n];
    expect(one.call('fd_filestat_set_times', fd, access, modified, 5)).toBe(0);
    expect(one.call('fd_filestat_set_times', fd, 0n, 0n, 3)).toBe(ERRNO.INVAL);
    const length = put(one, 'tmp/hard', 200);
    expect(one.call('path_link', 3, 0, PATH, put(one, 'tmp/file'), 3, 200, length)).toBe(0);
    expect(one.call('fd_filestat_get', fd, OUT)).toBe(0);
    const view = one.view();
    expect(view.getUint8(OUT + 16)).toBe(4);
    expect(view.getBigUint64(OUT + 24, true)).toBe(2n);
    expect(view.getBigUint64(OUT + 40, true)).toBe(access);
    expect(view.getBigUint64(OUT + 48, true)).toBe(modified);
    expect(view.getBigUint64(OUT + 56, true)).toBe(BigInt(system.nowMs) * 1_000_000n);
  });

  it('let rights only shrink, and hold to them', () => {
    const one = guest();
    const fd = open(one, 'tmp/file');
    vectors(one, [0, 4]);
    const readOnly = BigInt(RIGHT.FD_READ | RIGHT.FD_FILESTAT_GET);
    expect(one.call('fd_fdstat_set_rights', fd, readOnly, 0n)).toBe(0);
    expect(one.call('fd_fdstat_set_rights', fd, readOnly | BigInt(RIGHT.FD_WRITE), 0n)).toBe(
      ERRNO.NOTCAPABLE,
    );
    expect(one.call('fd_fdstat_set_rights', fd, 1n << 40n, 0n)).toBe(ERRNO.NOTCAPABLE);
    expect(one.call('fd_write', fd, VECTORS, 1, OUT)).toBe(ERRNO.NOTCAPABLE);
    expect(one.call('fd_fdstat_get', fd, OUT)).toBe(0);
    expect([one.view().getUint8(OUT), one.view().getBigUint64(OUT + 8, true)]).toEqual([4, readOnly]);
  });

  it('open with all the rights that there are to have, for a program that asks for everything', () => {
    const one = guest();
    const length = put(one, 'tmp/all');
    for (const all of [0x1fff_ffffn, -1n]) {
      expect(one.call('path_open', 3, 0, PATH, length, 1, all, all, 0, OUT)).toBe(0);
      expect(one.call('fd_fdstat_get', one.view().getUint32(OUT, true), OUT)).toBe(0);
      expect(one.view().getBigUint64(OUT + 8, true)).toBe(BigInt(RIGHTS_FILE));
    }
    expect(one.call('fd_fdstat_set_rights', 3, BigInt(RIGHTS_DIRECTORY), BigInt(RIGHT.FD_READ))).toBe(0);
    expect(one.call('path_open', 3, 0, PATH, length, 0, BigInt(RIGHT.FD_WRITE), 0n, 0, OUT)).toBe(
      ERRNO.NOTCAPABLE,
    );
    expect(one.call('path_open', 3, 0, PATH, length, 0, BigInt(RIGHT.FD_READ), 0n, 0, OUT)).toBe(0);
  });

  it('tell the names of opened directories', () => {
    const one = guest();
    expect(one.call('fd_prestat_get', 3, OUT)).toBe(0);
    expect([one.view().getUint32(OUT, true), one.view().getUint32(OUT + 4, true)]).toEqual([0, 5]);
    expect(one.call('fd_prestat_dir_name', 3, OUT, 4)).toBe(ERRNO.NAMETOOLONG);
    expect(one.call('fd_prestat_dir_name', 3, OUT, 5)).toBe(0);
    expect(Buffer.from(one.bytes().subarray(OUT, OUT + 5)).toString()).toBe('/root');
    expect(one.call('fd_prestat_get', 4, OUT)).toBe(ERRNO.BADF);
    expect(one.call('fd_prestat_get', 1, OUT)).toBe(ERRNO.BADF);
  });

  it('have no sockets', () => {
    const one = guest();
    expect(one.call('sock_shutdown', 1, 0)).toBe(ERRNO.NOTSOCK);
    expect(one.call('sock_recv', 77, 0, 0, 0, 0, 0)).toBe(ERRNO.BADF);
  });

  it('end, raise and yield through the kernel', () => {
    const one = guest();
    expect(one.call('sched_yield')).toBe(0);
    expect(one.call('proc_raise', 15)).toBe(0);
    expect(one.call('proc_raise', 16)).toBe(0);
    expect(one.call('proc_raise', 31)).toBe(ERRNO.INVAL);
    expect(one.raised).toEqual([15, 17]);
    one.call('proc_exit', 3);
    expect(one.exitCode).toBe(3);
  });
});

describe('transfers larger than a message carries', () => {
  it.each([false, true])('go in pieces, over many vectors, also across suspensions (%s)', (suspends) => {
    const one = guest({ suspends });
    const fd = open(one, 'tmp/file');
    const total = 300_001;
    const source = 100_000;
    for (let i = 0; i < total; i++) one.bytes()[source + i] = (i * 7 + (i >> 9)) & 255;
    const expected = one.bytes().slice(source, source + total);
    vectors(one, [source, 1], [source + 1, 0], [source + 1, 200_000], [source + 200_001, 100_000]);
    expect(one.call('fd_write', fd, VECTORS, 4, OUT)).toBe(0);
    expect(one.view().getUint32(OUT, true)).toBe(total);
    expect(Buffer.from(vfs.control.readFile('/tmp/file').bytes).equals(expected)).toBe(true);
    if (suspends) expect(one.suspensions).toBeGreaterThan(4);

    one.bytes().fill(0, source, source + total);
    vectors(one, [source, 150_000], [source + 150_000, 200_000]);
    expect(one.call('fd_pread', fd, VECTORS, 2, 0n, OUT)).toBe(0);
    expect(one.view().getUint32(OUT, true)).toBe(total);
    expect(Buffer.from(one.bytes().subarray(source, source + total)).equals(expected)).toBe(true);
  });

  it('count what was written before the disk was full', () => {
    const one = guest();
    const fd = open(one, 'tmp/file');
    vfs.control.setLimit(200_000);
    vectors(one, [1024, 500_000]);
    expect(one.call('fd_write', fd, VECTORS, 1, OUT)).toBe(0);
    const written = one.view().getUint32(OUT, true);
    expect(written).toBeGreaterThan(150_000);
    expect(written).toBeLessThan(200_000);
    expect(one.call('fd_write', fd, VECTORS, 1, OUT)).toBe(ERRNO.NOSPC);
  });

  it.each([false, true])('list a large directory into a large buffer without a hole (%s)', (suspends) => {
    const one = guest({ suspends });
    const count = 3000;
    for (let i = 0; i < count; i++) vfs.control.writeFile(`/tmp/a-rather-long-name-${i}`, new Uint8Array(0));
    const fd = open(one, 'tmp', 2);
    const buffer = 100_000;
    const room = 400_000;
    expect(one.call('fd_readdir', fd, buffer, room, 0n, OUT)).toBe(0);
    const used = one.view().getUint32(OUT, true);
    expect(used).toBeLessThan(room);
    const names: string[] = [];
    for (let at = buffer; at < buffer + used; ) {
      const end = at + 24 + one.view().getUint32(at + 16, true);
      names.push(Buffer.from(one.bytes().subarray(at + 24, end)).toString());
      at = end;
    }
    expect(new Set(names).size).toBe(count + 2);
    expect(one.call('fd_readdir', fd, buffer, 99_000, 0n, OUT)).toBe(0);
    expect(one.view().getUint32(OUT, true)).toBe(99_000);
  });
});

describe('poll_oneoff', () => {
  const clock = (one: DirectGuest, i: number, id: number, timeout: bigint, flags = 0): void => {
    const at = 2048 + i * 48;
    one.bytes().fill(0, at, at + 48);
    one.view().setBigUint64(at, BigInt(100 + i), true);
    one.view().setUint32(at + 16, id, true);
    one.view().setBigUint64(at + 24, timeout, true);
    one.view().setUint16(at + 40, flags, true);
  };
  const descriptor = (one: DirectGuest, i: number, tag: number, fd: number): void => {
    clock(one, i, fd, 0n);
    one.view().setUint8(2048 + i * 48 + 8, tag);
  };
  const events = (one: DirectGuest): unknown[] =>
    Array.from({ length: one.view().getUint32(OUT, true) }, (_, i) => {
      const at = 4096 + i * 32;
      return [
        Number(one.view().getBigUint64(at, true)),
        one.view().getUint16(at + 8, true),
        one.view().getUint8(at + 10),
      ];
    });
  const MS = 1_000_000n;

  it('sleeps until the earliest clock, counted from the call', () => {
    const one = guest();
    one.clockMs = 50;
    clock(one, 0, 1, 30n * MS);
    clock(one, 1, 0, 20n * MS);
    expect(one.call('poll_oneoff', 2048, 4096, 2, OUT)).toBe(0);
    expect(one.clockMs).toBe(70);
    expect(events(one)).toEqual([[101, 0, 0]]);
  });

  it('leaves nothing behind for the next call when its time has passed already', () => {
    const one = guest();
    one.clockMs = 50;
    clock(one, 0, 1, 40n * MS, 1);
    expect(one.call('poll_oneoff', 2048, 4096, 1, OUT)).toBe(0);
    clock(one, 0, 1, 0n);
    expect(one.call('poll_oneoff', 2048, 4096, 1, OUT)).toBe(0);
    expect([one.step, ...one.scratch]).toEqual([0, 0, 0, 0, 0]);
  });

  it('knows absolute times of both clocks', () => {
    const one = guest();
    one.clockMs = 50;
    clock(one, 0, 1, 80n * MS, 1);
    expect(one.call('poll_oneoff', 2048, 4096, 1, OUT)).toBe(0);
    expect(one.clockMs).toBe(80);
    clock(one, 0, 0, BigInt(system.nowMs + 90) * MS, 1);
    expect(one.call('poll_oneoff', 2048, 4096, 1, OUT)).toBe(0);
    expect(one.clockMs).toBeCloseTo(90, 2);
    clock(one, 0, 1, 1n, 1);
    expect(one.call('poll_oneoff', 2048, 4096, 1, OUT)).toBe(0);
    expect(one.suspensions).toBe(2);
  });

  it.each([false, true])(
    'answers at once for descriptors, with an error for each that is none (%s)',
    (suspends) => {
      const one = guest({ suspends });
      const fd = open(one, 'tmp/file');
      vfs.control.writeFile('/tmp/file', new Uint8Array(77));
      clock(one, 0, 1, 1000n * MS);
      descriptor(one, 1, 1, fd);
      descriptor(one, 2, 2, 1);
      descriptor(one, 3, 1, 99);
      expect(one.call('poll_oneoff', 2048, 4096, 4, OUT)).toBe(0);
      expect(events(one)).toEqual([
        [101, 0, 1],
        [102, 0, 2],
        [103, ERRNO.BADF, 1],
      ]);
      expect(one.view().getBigUint64(4096 + 16, true)).toBe(77n);
      expect(one.clockMs).toBe(0);
    },
  );

  it('refuses nothing to wait for, and what it does not know', () => {
    const one = guest();
    expect(one.call('poll_oneoff', 2048, 4096, 0, OUT)).toBe(ERRNO.INVAL);
    descriptor(one, 0, 3, 1);
    expect(one.call('poll_oneoff', 2048, 4096, 1, OUT)).toBe(ERRNO.INVAL);
    clock(one, 0, 9, 0n);
    expect(one.call('poll_oneoff', 2048, 4096, 1, OUT)).toBe(0);
    expect(events(one)).toEqual([[100, ERRNO.INVAL, 0]]);
  });
});

describe('wasi_unstable', () => {
  it('counts whence and lays out filestat in its own way', () => {
    const one = guest({}, wasiUnstableCalls);
    vfs.control.writeFile('/tmp/file', new Uint8Array(10));
    const fd = open(one, 'tmp/file');
    expect(one.call('fd_seek', fd, 4n, 2, OUT)).toBe(0);
    expect(one.call('fd_seek', fd, -1n, 1, OUT)).toBe(0);
    expect(one.view().getBigUint64(OUT, true)).toBe(9n);
    expect(one.call('fd_seek', fd, 0n, 3, OUT)).toBe(ERRNO.INVAL);
    one.bytes()[OUT + 56] = 77;
    expect(one.call('fd_filestat_get', fd, OUT)).toBe(0);
    expect(one.view().getUint32(OUT + 20, true)).toBe(1);
    expect(one.view().getBigUint64(OUT + 24, true)).toBe(10n);
    expect(one.bytes()[OUT + 56]).toBe(77);
  });
});
