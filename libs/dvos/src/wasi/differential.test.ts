import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WASI } from 'node:wasi';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { RIGHT, RIGHTS_DIRECTORY, RIGHTS_FILE } from '../calls.js';
import { VfsServer } from '../servers/vfs/main.js';
import { MemoryStore } from '../servers/vfs/store.js';
import { wasiCalls } from './index.js';
import { DirectGuest, DirectSystem } from './testing/direct-guest.js';

/** (module (memory (export "memory") 4)): only a memory, for node:wasi to work on. */
const ONLY_MEMORY = new Uint8Array([
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 5, 3, 1, 0, 4, 7, 10, 1, 6, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 2, 0,
]);

/** Something that carries out WASI calls on a memory. */
interface Machine {
  call(name: string, ...args: (number | bigint)[]): number;
  bytes(): Uint8Array;
}

function ours(suspends: boolean): Machine {
  const system = new DirectSystem();
  const vfs = new VfsServer({
    port: system.port,
    store: new MemoryStore(),
    devices: { terminal: { write: (_minor, bytes) => bytes.length }, random: (target) => target.fill(1) },
    limitBytes: 2 ** 30,
  });
  system.add(vfs);
  vfs.control.makeDirectory('/home/work');
  const guest = new DirectGuest(system, wasiCalls, { endpoint: 200, suspends });
  vfs.control.attach(guest.endpoint, {
    stdinPath: null,
    directories: [{ path: '/home/work', as: '/' }],
    ttyId: 1,
  });
  return guest;
}

function theirs(folder: string): Machine {
  const wasi = new WASI({ version: 'preview1', preopens: { '/': folder }, returnOnExit: true });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(ONLY_MEMORY), {});
  wasi.initialize(instance);
  const calls = wasi.wasiImport as Record<string, (...args: (number | bigint)[]) => number>;
  const memory = instance.exports.memory as WebAssembly.Memory;
  return {
    call: (name, ...args) => calls[name]!(...args),
    bytes: () => new Uint8Array(memory.buffer),
  };
}

const PATH = 1024;
const SECOND_PATH = 2048;
const OUT = 4096;
const VECTORS = 512;
const DATA = 8192;

type Step =
  | { do: 'open'; path: string; how: number; write: boolean; append: boolean }
  | { do: 'close' | 'tell' | 'fstat' | 'fdstat' | 'sync'; fd: number }
  | { do: 'write' | 'read'; fd: number; length: number; split: number }
  | { do: 'pwrite' | 'pread'; fd: number; length: number; offset: number }
  | { do: 'seek'; fd: number; offset: number; whence: number }
  | { do: 'resize'; fd: number; size: number }
  | { do: 'mkdir' | 'rmdir' | 'unlink' | 'readlink' | 'list'; path: string }
  | { do: 'stat'; path: string; follow: number }
  | { do: 'rename' | 'link' | 'symlink'; path: string; to: string }
  | { do: 'times'; path: string; access: number; modified: number };

/** Carries a step out. @returns all that a program could see of it. */
function perform(machine: Machine, step: Step): unknown {
  const memory = (): Buffer => {
    const bytes = machine.bytes();
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  };
  memory().fill(0, OUT, OUT + 128);
  const path = 'path' in step ? memory().write(step.path, PATH) : 0;
  const to = 'to' in step ? memory().write(step.to, SECOND_PATH) : 0;
  const vectors = (length: number, split: number): number => {
    const first = Math.min(split, length);
    const words = [DATA, first, DATA + first, length - first];
    for (const [i, word] of words.entries()) memory().writeUInt32LE(word, VECTORS + i * 4);
    return 2;
  };
  const pattern = (length: number): void => {
    for (let i = 0; i < length; i++) memory()[DATA + i] = (i * 31 + length) & 255;
  };
  const filestat = (errno: number): unknown => {
    const view = memory();
    const kind = view[OUT + 16];
    // Sizes and links of directories are the file system's own affair.
    if (errno !== 0 || kind === 3) return [errno, kind];
    return [errno, kind, view.readBigUInt64LE(OUT + 24), view.readBigUInt64LE(OUT + 32)];
  };
  switch (step.do) {
    case 'open': {
      // uvwasi follows a link also where O_EXCL says that the name must not exist.
      if (step.how & 4) {
        machine.call('path_filestat_get', 3, 0, PATH, path, OUT);
        if (memory()[OUT + 16] === 7) return 'a link';
      }
      let rights = RIGHTS_FILE & ~RIGHT.FD_WRITE & ~RIGHT.FD_ALLOCATE & ~RIGHT.FD_FILESTAT_SET_SIZE;
      rights &= ~RIGHT.FD_DATASYNC;
      if (step.how & 2) rights = RIGHTS_DIRECTORY;
      else if (step.write) rights = RIGHTS_FILE;
      const errno = machine.call(
        'path_open',
        3,
        // uvwasi follows links whether it may or not.
        1,
        PATH,
        path,
        step.how,
        BigInt(rights),
        step.how & 2 ? BigInt(RIGHTS_DIRECTORY | RIGHTS_FILE) : 0n,
        step.append ? 1 : 0,
        OUT,
      );
      return [errno, errno === 0 ? memory().readUInt32LE(OUT) : -1];
    }
    case 'close':
      return machine.call('fd_close', step.fd);
    case 'sync':
      return machine.call('fd_sync', step.fd);
    case 'tell': {
      const errno = machine.call('fd_tell', step.fd, OUT);
      return [errno, memory().readBigUInt64LE(OUT)];
    }
    case 'fstat':
      return filestat(machine.call('fd_filestat_get', step.fd, OUT));
    case 'fdstat': {
      const errno = machine.call('fd_fdstat_get', step.fd, OUT);
      // uvwasi tells the host's flags, not WASI's.
      return [errno, memory()[OUT]];
    }
    case 'write': {
      pattern(step.length);
      const errno = machine.call('fd_write', step.fd, VECTORS, vectors(step.length, step.split), OUT);
      return [errno, memory().readUInt32LE(OUT)];
    }
    case 'read': {
      memory().fill(0xaa, DATA, DATA + step.length);
      const errno = machine.call('fd_read', step.fd, VECTORS, vectors(step.length, step.split), OUT);
      return [errno, memory().readUInt32LE(OUT), memory().toString('hex', DATA, DATA + step.length)];
    }
    case 'pwrite': {
      pattern(step.length);
      const count = vectors(step.length, 7);
      const errno = machine.call('fd_pwrite', step.fd, VECTORS, count, BigInt(step.offset), OUT);
      return [errno, memory().readUInt32LE(OUT)];
    }
    case 'pread': {
      memory().fill(0xaa, DATA, DATA + step.length);
      const count = vectors(step.length, 7);
      const errno = machine.call('fd_pread', step.fd, VECTORS, count, BigInt(step.offset), OUT);
      return [errno, memory().readUInt32LE(OUT), memory().toString('hex', DATA, DATA + step.length)];
    }
    case 'seek': {
      const errno = machine.call('fd_seek', step.fd, BigInt(step.offset), step.whence, OUT);
      return [errno, memory().readBigUInt64LE(OUT)];
    }
    case 'resize':
      return machine.call('fd_filestat_set_size', step.fd, BigInt(step.size));
    case 'mkdir':
      return machine.call('path_create_directory', 3, PATH, path);
    case 'rmdir':
      return machine.call('path_remove_directory', 3, PATH, path);
    case 'unlink':
      return machine.call('path_unlink_file', 3, PATH, path);
    case 'readlink': {
      const errno = machine.call('path_readlink', 3, PATH, path, DATA, 100, OUT);
      return [errno, errno === 0 ? memory().toString('utf8', DATA, DATA + memory().readUInt32LE(OUT)) : ''];
    }
    case 'stat':
      return filestat(machine.call('path_filestat_get', 3, step.follow, PATH, path, OUT));
    case 'rename':
      return machine.call('path_rename', 3, PATH, path, 3, SECOND_PATH, to);
    case 'link':
      return machine.call('path_link', 3, 0, PATH, path, 3, SECOND_PATH, to);
    case 'symlink':
      return machine.call('path_symlink', PATH, path, 3, SECOND_PATH, to);
    case 'times': {
      const access = BigInt(step.access) * 1_000_000_000n;
      const modified = BigInt(step.modified) * 1_000_000_000n;
      const errno = machine.call('path_filestat_set_times', 3, 1, PATH, path, access, modified, 5);
      if (errno !== 0) return errno;
      machine.call('path_filestat_get', 3, 1, PATH, path, OUT);
      return [
        memory().readBigUInt64LE(OUT + 40) / 1_000_000n,
        memory().readBigUInt64LE(OUT + 48) / 1_000_000n,
      ];
    }
    case 'list': {
      const how = BigInt(RIGHTS_DIRECTORY);
      const errno = machine.call('path_open', 3, 1, PATH, path, 2, how, 0n, 0, OUT);
      if (errno !== 0) return errno;
      const fd = memory().readUInt32LE(OUT);
      const names: string[] = [];
      let cookie = 0n;
      for (;;) {
        const status = machine.call('fd_readdir', fd, DATA, 64, cookie, OUT);
        if (status !== 0) return status;
        const used = memory().readUInt32LE(OUT);
        for (let at = DATA; at + 24 <= DATA + used; ) {
          const next = at + 24 + memory().readUInt32LE(at + 16);
          if (next > DATA + used) break;
          names.push(`${memory().toString('utf8', at + 24, next)}:${memory()[at + 20]}`);
          cookie = memory().readBigUInt64LE(at);
          at = next;
        }
        if (used < 64) break;
      }
      machine.call('fd_close', fd);
      return names.filter((name) => !/^\.\.?:/.test(name)).sort();
    }
  }
}

const path = fc.constantFrom('a', 'b', 'd', 'd/a', 'd/e', 'd/e/f', 'l', 'd/l', 'missing/x');
const fd = fc.integer({ min: 3, max: 6 });
const length = fc.constantFrom(0, 1, 5, 300);
const offset = fc.constantFrom(0, 3, 100, 5000);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('open' as const),
    path,
    how: fc.constantFrom(0, 1, 1, 2, 5, 8, 9),
    write: fc.boolean(),
    append: fc.boolean(),
  }),
  fc.record({ do: fc.constantFrom('close', 'tell', 'fstat', 'fdstat', 'sync'), fd }),
  fc.record({ do: fc.constantFrom('write', 'read'), fd, length, split: fc.constantFrom(0, 2, 400) }),
  fc.record({ do: fc.constantFrom('pwrite', 'pread'), fd, length, offset }),
  fc.record({
    do: fc.constant('seek' as const),
    fd,
    offset: fc.constantFrom(-4, 0, 2, 1000),
    whence: fc.constantFrom(0, 1, 2),
  }),
  fc.record({ do: fc.constant('resize' as const), fd, size: fc.constantFrom(0, 2, 250, 10_000) }),
  fc.record({ do: fc.constantFrom('mkdir', 'rmdir', 'unlink', 'readlink', 'list'), path }),
  fc.record({ do: fc.constant('stat' as const), path, follow: fc.constantFrom(0, 1) }),
  fc.record({ do: fc.constantFrom('rename', 'link'), path, to: path }),
  fc.record({
    do: fc.constant('symlink' as const),
    path: fc.constantFrom('a', 'd', 'e', 'missing', 'l', '.'),
    to: path,
  }),
  fc.record({
    do: fc.constant('times' as const),
    path,
    access: fc.constantFrom(0, 5, 1_600_000_000),
    modified: fc.constantFrom(1, 1_500_000_001),
  }),
);

describe('WASI calls against those of node:wasi', () => {
  let root: string;
  let count = 0;

  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'drvs-wasi-'));
  });
  afterAll(() => {
    rmSync(root, { recursive: true, force: true });
  });

  it.each([
    ['at once', false],
    ['after suspension at every request', true],
  ])('answers the same to the same sequence, %s', (_name, suspends) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
        const folder = join(root, String(count++));
        mkdirSync(folder);
        const [one, other] = [ours(suspends), theirs(folder)];
        for (const each of steps) {
          const [mine, reference] = [perform(one, each), perform(other, each)];
          expect({ ...each, answer: mine }).toEqual({ ...each, answer: reference });
        }
        rmSync(folder, { recursive: true });
      }),
      { numRuns: Number(process.env.DRVS_RUNS ?? 60) },
    );
  });
});
