import { type Endpoint, Message, VFS } from '@drvs/drvmm-core';
import { beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  FD,
  FIRST_LENGTH,
  LENGTH,
  LOOKUP,
  LOOKUP_FOLLOW,
  OPEN_CREATE,
  OPEN_FLAGS,
  OPEN_TRUNCATE,
  POSITION,
  RIGHTS,
  RIGHTS_FILE,
  SECOND_FD,
  STAT_LINKS,
  STAT_SIZE,
  VFS_CLOSE,
  VFS_DUP,
  VFS_FSTAT,
  VFS_GETDENTS,
  VFS_LSEEK,
  VFS_MKDIR,
  VFS_OPEN,
  VFS_READ,
  VFS_RENAME,
  VFS_RMDIR,
  VFS_STAT,
  VFS_SYMLINK,
  VFS_UNLINK,
  VFS_WRITE,
} from '../../calls.js';
import { DirectSystem } from '../../wasi/testing/direct-guest.js';
import { VfsHandover } from './handover.js';
import { OPEN_MAX } from './limits.js';
import { VfsServer } from './main.js';
import {
  EBADCALL,
  EBADF,
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  EMFILE,
  ENAMETOOLONG,
  ENOENT,
  ENOSPC,
  ENOTCAPABLE,
  ENOTDIR,
  ENOTEMPTY,
  OK,
} from './status.js';
import { MemoryStore } from './store.js';

const LIMIT_BYTES = 1_000_000;
const ONE = 100 as Endpoint;
const OTHER = 101 as Endpoint;

let system: DirectSystem;
let store: MemoryStore;
let vfs: VfsServer;
let written: [number, string][];

function start(handover?: VfsHandover): void {
  system = new DirectSystem();
  vfs = new VfsServer({
    port: system.port,
    store,
    devices: {
      terminal: {
        write: (minor, bytes) => {
          written.push([minor, Buffer.from(bytes).toString()]);
          return bytes.length;
        },
      },
      random: (target) => target.fill(7),
    },
    limitBytes: LIMIT_BYTES,
    handover,
  });
  system.add(vfs);
}

beforeEach(() => {
  store = new MemoryStore();
  written = [];
  start();
  vfs.control.makeDirectory('/home/box/inside', true);
  for (const endpoint of [ONE, OTHER]) {
    vfs.control.attach(endpoint, {
      stdinPath: null,
      directories: [{ path: '/home/box', as: '/box' }],
      ttyId: endpoint === ONE ? 8 : 9,
    });
  }
});

interface Reply {
  type: number;
  message: Message;
  data: Buffer;
}

/** One request. `fields` are [word, value]; data is what rides. */
function ask(
  from: Endpoint,
  type: number,
  fields: [number, number][] = [],
  data: string | Uint8Array = '',
): Reply {
  const message = new Message();
  message.type = type;
  for (const [word, value] of fields) message.words[word] = value;
  return send(from, message, data);
}

function send(from: Endpoint, message: Message, data: string | Uint8Array = ''): Reply {
  const bytes = system.ask(from, VFS, message, Buffer.from(data));
  return { type: message.type, message, data: Buffer.from(bytes ?? []) };
}

function open(from: Endpoint, path: string, how = 0): number {
  const fields: [number, number][] = [
    [FD, 3],
    [LOOKUP, LOOKUP_FOLLOW],
    [OPEN_FLAGS, how],
    [RIGHTS, RIGHTS_FILE],
  ];
  return ask(from, VFS_OPEN, fields, path).type;
}

const write = (from: Endpoint, fd: number, text: string): number =>
  ask(from, VFS_WRITE, [[FD, fd]], text).type;

function read(from: Endpoint, fd: number, length = 1000): string {
  const message = new Message();
  message.type = VFS_READ;
  message.words[FD] = fd;
  message.doubles[LENGTH] = length;
  return send(from, message).data.toString();
}

function seek(from: Endpoint, fd: number, position: number): number {
  const message = new Message();
  message.type = VFS_LSEEK;
  message.words[FD] = fd;
  message.doubles[POSITION] = position;
  return send(from, message).type;
}

const mkdir = (path: string): number => ask(ONE, VFS_MKDIR, [[FD, 3]], path).type;
const rmdir = (path: string): number => ask(ONE, VFS_RMDIR, [[FD, 3]], path).type;
const unlink = (path: string): number => ask(ONE, VFS_UNLINK, [[FD, 3]], path).type;
const stat = (path: string, follow = LOOKUP_FOLLOW): Reply =>
  ask(
    ONE,
    VFS_STAT,
    [
      [FD, 3],
      [LOOKUP, follow],
    ],
    path,
  );
const symlink = (target: string, path: string): number =>
  ask(
    ONE,
    VFS_SYMLINK,
    [
      [FD, 3],
      [FIRST_LENGTH, target.length],
    ],
    target + path,
  ).type;
const rename = (from: string, to: string): number =>
  ask(
    ONE,
    VFS_RENAME,
    [
      [FD, 3],
      [SECOND_FD, 3],
      [FIRST_LENGTH, from.length],
    ],
    from + to,
  ).type;

describe('descriptors', () => {
  it('are each process’s own', () => {
    const fd = open(ONE, 'file', OPEN_CREATE);
    expect(fd).toBe(4);
    expect(write(ONE, fd, 'hello')).toBe(5);
    expect(write(OTHER, fd, 'x')).toBe(EBADF);
    const other = open(OTHER, 'file');
    expect(read(OTHER, other)).toBe('hello');
  });

  it('share their position after dup and fork', () => {
    const fd = open(ONE, 'file', OPEN_CREATE);
    write(ONE, fd, 'abcdef');
    seek(ONE, fd, 0);
    const second = ask(ONE, VFS_DUP, [[FD, fd]]).type;
    const child = 300 as Endpoint;
    vfs.control.fork(ONE, child);
    expect(read(ONE, fd, 2)).toBe('ab');
    expect(read(ONE, second, 2)).toBe('cd');
    expect(read(child, fd, 2)).toBe('ef');
    vfs.control.detach(ONE);
    expect(seek(child, fd, 1)).toBe(OK);
    expect(read(child, second, 1)).toBe('b');
  });

  it('are the lowest free numbers, and bounded', () => {
    open(ONE, 'file', OPEN_CREATE);
    for (let fd = 5; fd < OPEN_MAX; fd++) expect(open(ONE, 'file')).toBe(fd);
    expect(open(ONE, 'file')).toBe(EMFILE);
    expect(open(ONE, 'another', OPEN_CREATE)).toBe(EMFILE);
    expect(stat('another').type).toBe(ENOENT);
    expect(ask(ONE, VFS_CLOSE, [[FD, 500]]).type).toBe(OK);
    expect(ask(ONE, VFS_CLOSE, [[FD, 200]]).type).toBe(OK);
    expect(open(ONE, 'file')).toBe(200);
    expect(open(ONE, 'file')).toBe(500);
  });

  it('of standard streams lead to nothing and to the process’s terminal line', () => {
    expect(read(ONE, 0)).toBe('');
    write(ONE, 1, 'out');
    write(OTHER, 2, 'err');
    expect(written).toEqual([
      [16, 'out'],
      [19, 'err'],
    ]);
    expect(write(ONE, 0, 'x')).toBe(ENOTCAPABLE);
  });

  it('are closed when their process goes, and who has none is refused', () => {
    const before = vfs.control.usage();
    const fd = open(ONE, 'file', OPEN_CREATE);
    write(ONE, fd, 'x'.repeat(10_000));
    unlink('file');
    expect(vfs.control.usage().usedBytes).toBeGreaterThan(before.usedBytes);
    vfs.onGone(ONE);
    expect(vfs.control.usage()).toEqual(before);
    expect(write(ONE, 1, 'x')).toBe(EBADCALL);
    expect(ask(OTHER, 9999).type).toBe(EBADCALL);
    expect(ask(OTHER, -5).type).toBe(EBADCALL);
  });
});

describe('files', () => {
  it('that are removed stay readable while they are open', () => {
    const fd = open(ONE, 'file', OPEN_CREATE);
    write(ONE, fd, 'still here');
    expect(unlink('file')).toBe(OK);
    expect(stat('file').type).toBe(ENOENT);
    seek(ONE, fd, 0);
    expect(read(ONE, fd)).toBe('still here');
    const status = ask(ONE, VFS_FSTAT, [[FD, fd]]).message;
    expect([status.words[STAT_LINKS], status.doubles[STAT_SIZE]]).toEqual([0, 10]);
  });

  it('cannot grow beyond the disk: what fits is written, then ENOSPC', () => {
    const fd = open(ONE, 'file', OPEN_CREATE);
    const piece = 'x'.repeat(60_000);
    let total = 0;
    let last = 0;
    for (let i = 0; i < 40; i++) {
      last = write(ONE, fd, piece);
      if (last < 0) break;
      total += last;
    }
    expect(last).toBe(ENOSPC);
    expect(total % 4096).toBe(0);
    expect(total).toBeGreaterThan(LIMIT_BYTES - 30_000);
    expect(vfs.control.usage().usedBytes).toBeLessThanOrEqual(LIMIT_BYTES);
    seek(ONE, fd, 0);
    expect(write(ONE, fd, 'over')).toBe(4);
    expect(open(ONE, 'file', OPEN_TRUNCATE)).toBe(5);
    expect(write(ONE, fd, 'again')).toBe(5);
  });

  it('are found again by a server that starts on the same store', () => {
    const fd = open(ONE, 'inside/file', OPEN_CREATE);
    write(ONE, fd, 'kept');
    symlink('inside/file', 'link');
    // What the store asks for when it writes its journal.
    store.sync();
    start();
    vfs.control.attach(ONE, {
      stdinPath: '/home/box/inside/file',
      directories: [{ path: '/home/box', as: '/' }],
      ttyId: 1,
    });
    expect(stat('link', 0).message.doubles[STAT_SIZE]).toBe(11);
    expect(vfs.control.list('/dev').map(({ path }) => path)).toContain('/dev/null');
  });
});

describe('paths', () => {
  it('never lead out of the directory that was opened', () => {
    symlink('../..', 'up');
    symlink('/home', 'absolute');
    symlink('inside/../inside', 'around');
    for (const path of [
      '..',
      '../x',
      'inside/../../x',
      '/',
      '/home/box/inside',
      'up',
      'up/x',
      'absolute/x',
      'absolute',
    ]) {
      expect([path, stat(path).type]).toEqual([path, ENOTCAPABLE]);
    }
    expect(stat('around').type).toBe(OK);
    expect(stat('inside/..').type).toBe(OK);
    expect(stat('up', 0).type).toBe(OK);
  });

  it('are bounded in length, links and components', () => {
    expect(stat('x'.repeat(256)).type).toBe(ENAMETOOLONG);
    expect(stat('é'.repeat(128)).type).toBe(ENAMETOOLONG);
    expect(mkdir('é'.repeat(127))).toBe(OK);
    expect(stat('x/'.repeat(2049)).type).toBe(ENAMETOOLONG);
    symlink('b', 'a');
    symlink('a', 'b');
    expect(stat('a').type).toBe(ELOOP);
    expect(stat('a/x').type).toBe(ELOOP);
    expect(stat('').type).toBe(ENOENT);
    expect(stat('in\0side').type).toBe(EINVAL);
  });

  it('may end in a slash only when they name a directory', () => {
    open(ONE, 'file', OPEN_CREATE);
    expect(stat('file/').type).toBe(ENOTDIR);
    expect(stat('inside/').type).toBe(OK);
    expect(open(ONE, 'new/', OPEN_CREATE)).toBe(EISDIR);
    expect(mkdir('new/')).toBe(OK);
    expect(symlink('inside', 'link')).toBe(OK);
    expect(stat('link/', 0).type).toBe(OK);
    expect(rmdir('link/')).toBe(ENOTDIR);
    expect(unlink('link/')).toBe(ENOTDIR);
  });
});

describe('rename', () => {
  it('keeps to POSIX in every case', () => {
    open(ONE, 'file', OPEN_CREATE);
    open(ONE, 'other', OPEN_CREATE);
    mkdir('full');
    mkdir('full/sub');
    mkdir('empty');
    expect(rename('missing', 'x')).toBe(ENOENT);
    expect(rename('file', 'inside')).toBe(EISDIR);
    expect(rename('inside', 'file')).toBe(ENOTDIR);
    expect(rename('empty', 'full')).toBe(ENOTEMPTY);
    expect(rename('full', 'full/sub/x')).toBe(EINVAL);
    expect(rename('full/sub', 'full')).toBe(ENOTEMPTY);
    expect(rename('full', 'full')).toBe(OK);
    expect(rename('.', 'x')).toBe(EBUSY);
    expect(rename('file', 'x/')).toBe(ENOTDIR);
    expect(rename('full', 'empty')).toBe(OK);
    expect(stat('empty/sub').type).toBe(OK);
    expect(stat('full').type).toBe(ENOENT);
    expect(rename('file', 'other')).toBe(OK);
    expect(stat('file').type).toBe(ENOENT);
    expect(rename('empty/sub', 'sub')).toBe(OK);
    expect(stat('sub/../other').type).toBe(OK);
  });

  it('is one record, so that a crash finds it done or not done', () => {
    open(ONE, 'file', OPEN_CREATE);
    open(ONE, 'other', OPEN_CREATE);
    const before = store.records.length;
    rename('file', 'other');
    expect(store.records.slice(before).map(({ kind }) => kind)).toEqual(['rename']);
  });
});

describe('a listing', () => {
  function list(fd: number, cookie: number, room: number): { names: string[]; next: number; isEnd: boolean } {
    const message = new Message();
    message.type = VFS_GETDENTS;
    message.words[FD] = fd;
    message.doubles[POSITION] = cookie;
    message.doubles[LENGTH] = room;
    const { data } = send(ONE, message);
    const names: string[] = [];
    let next = cookie;
    for (let at = 0; at + 24 <= data.length; ) {
      const end = at + 24 + data.readUInt32LE(at + 16);
      if (end > data.length) break;
      names.push(data.toString('utf8', at + 24, end));
      next = Number(data.readBigUInt64LE(at));
      at = end;
    }
    return { names, next, isEnd: data.length < room };
  }

  it('shows what stays exactly once, whatever comes and goes meanwhile', () => {
    for (let i = 0; i < 200; i++) open(ONE, `stays${i}`, OPEN_CREATE);
    for (let i = 0; i < 200; i++) open(ONE, `goes${i}`, OPEN_CREATE);
    const seen: string[] = [];
    let cookie = 0;
    for (let round = 0; ; round++) {
      const { names, next, isEnd } = list(3, cookie, 300);
      seen.push(...names);
      cookie = next;
      if (isEnd) break;
      unlink(`goes${round * 3}`);
      unlink(`goes${200 - round * 3}`);
      mkdir(`new${round}`);
      rmdir(`new${round - 5}`);
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.filter((name) => name.startsWith('stays'))).toHaveLength(200);
    expect(seen).toEqual(expect.arrayContaining(['.', '..', 'inside']));
  });
});

describe('files by absolute path', () => {
  it('are made with their parents, listed, moved and removed', () => {
    const { control } = vfs;
    expect(() => control.writeFile('/a/b/c', new Uint8Array(3))).toThrow(
      expect.objectContaining({ code: 'NotFound' }),
    );
    expect(control.writeFile('/a/b/c', new Uint8Array(3), { parents: true, mode: 0o755 })).toEqual({
      size: 3,
    });
    expect(control.stat('/a/b/c')).toMatchObject({ path: '/a/b/c', kind: 'file', size: 3, mode: 0o755 });
    expect(control.writeFile('/a/b/c', Buffer.from('xy'), { offset: 2 })).toEqual({ size: 4 });
    control.rename('/a/b', '/b');
    expect(control.list('/b').map(({ path, kind }) => [path, kind])).toEqual([['/b/c', 'file']]);
    expect(control.readFile('/b/c', 1, 2)).toEqual({ bytes: new Uint8Array([0, 120]), size: 4, eof: false });
    expect(() => control.remove('/b')).toThrow(expect.objectContaining({ code: 'StateConflict' }));
    control.makeDirectory('/b/d/e/f', true);
    control.remove('/b', true);
    expect(() => control.stat('/b')).toThrow(expect.objectContaining({ code: 'NotFound' }));
    expect(() => control.makeDirectory('/a')).toThrow(expect.objectContaining({ code: 'AlreadyExists' }));
    expect(() => control.remove('/')).toThrow(expect.objectContaining({ code: 'InvalidInput' }));
    expect(() => control.stat('a')).toThrow(expect.objectContaining({ code: 'InvalidInput' }));
  });

  it('cannot be given to a process when they are not there', () => {
    const attach = (stdinPath: string | null, path: string): void =>
      vfs.control.attach(OTHER, { stdinPath, directories: [{ path, as: '/' }], ttyId: 1 });
    expect(() => attach(null, '/nowhere')).toThrow(expect.objectContaining({ code: 'NotFound' }));
    expect(() => attach('/nothing', '/')).toThrow(expect.objectContaining({ code: 'NotFound' }));
    expect(() => attach('/home', '/')).toThrow(expect.objectContaining({ code: 'InvalidInput' }));
    expect(() => attach(null, '/dev/null')).toThrow(expect.objectContaining({ code: 'InvalidInput' }));
  });

  it('exclusive creation finds what is there', () => {
    open(ONE, 'file', OPEN_CREATE);
    expect(open(ONE, 'file', OPEN_CREATE | 4)).toBe(EEXIST);
    symlink('nowhere', 'dangling');
    expect(open(ONE, 'dangling', OPEN_CREATE | 4)).toBe(EEXIST);
    expect(open(ONE, 'dangling', OPEN_CREATE)).toBeGreaterThan(3);
    expect(stat('nowhere').type).toBe(OK);
  });
});

describe('messages', () => {
  it('of any content get a reply, and leave a tree that can be loaded again', () => {
    const word = fc.oneof(
      fc.integer({ min: -2, max: 12 }),
      fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    );
    const double = fc.oneof(fc.constantFrom(0, 1, 3.5, -1, 1e300, Number.NaN, 2 ** 53), fc.double());
    const path = fc.constantFrom('a', 'b', 'inside/x', 'inside', '../a', 'a/../b', '', 'é', '/', 'ab');
    const request = fc.record({
      type: fc.integer({ min: 0, max: 145 }),
      words: fc.array(word, { minLength: 14, maxLength: 14 }),
      doubles: fc.array(fc.tuple(fc.integer({ min: 3, max: 5 }), double), { maxLength: 2 }),
      data: fc.oneof(
        path.map((text) => Buffer.from(text)),
        fc.uint8Array({ maxLength: 100 }),
      ),
    });
    fc.assert(
      fc.property(fc.array(request, { maxLength: 80, size: 'max' }), (requests) => {
        for (const { type, words, doubles, data } of requests) {
          const message = new Message();
          message.words.set(words, 2);
          for (const [at, value] of doubles) message.doubles[at] = value;
          message.words[FD] = Math.abs(words[0]!) % 7;
          message.type = type;
          const reply = send(ONE, message, data);
          if (type === 0) expect(reply.type).toBe(EBADCALL);
          expect(reply.data.length).toBeLessThanOrEqual(65_536);
        }
        start();
        vfs.control.attach(ONE, { stdinPath: null, directories: [{ path: '/home/box', as: '/' }], ttyId: 1 });
        expect(vfs.control.usage().usedBytes).toBeLessThanOrEqual(LIMIT_BYTES);
      }),
      { numRuns: 100 },
    );
  });
});

describe('VFS goes on in another container', () => {
  /** What the next one is given: the journal, with which MemoryStore begins anew, and who has what open. */
  const moveOn = () => {
    const handover = VfsHandover.parse(JSON.parse(JSON.stringify(vfs.control.handover())));
    vfs.control.sync();
    start(handover);
  };

  it('open files keep their numbers, positions, flags and rights, also those shared or without a name', () => {
    const fd = open(ONE, 'file', OPEN_CREATE);
    write(ONE, fd, 'one two three');
    const twin = ask(ONE, VFS_DUP, [[FD, fd]]).type;
    seek(ONE, fd, 4);
    const gone = open(ONE, 'gone', OPEN_CREATE);
    write(ONE, gone, 'still here');
    unlink('gone');
    const usage = vfs.control.usage();
    moveOn();
    expect(vfs.control.usage()).toEqual(usage);
    expect(read(ONE, twin, 3)).toBe('two');
    expect(read(ONE, fd, 6)).toBe(' three');
    seek(ONE, gone, 0);
    expect(read(ONE, gone)).toBe('still here');
    expect(open(ONE, 'gone')).toBe(ENOENT);
    const next = open(ONE, 'next', OPEN_CREATE);
    write(ONE, next, 'new');
    seek(ONE, gone, 0);
    expect(read(ONE, gone)).toBe('still here');
    ask(ONE, VFS_CLOSE, [[FD, gone]]);
    moveOn();
    expect(read(OTHER, 0)).toBe('');
    write(ONE, 1, 'to the terminal');
    expect(written.at(-1)).toEqual([16, 'to the terminal']);
  });

  it('a listing goes on where it was, though names have come and gone before', () => {
    for (let i = 0; i < 60; i++) open(ONE, `name${i}`, OPEN_CREATE);
    for (let i = 0; i < 50; i++) unlink(`name${i}`);
    const list = (cookie: number): { names: string[]; next: number } => {
      const request = new Message();
      request.type = VFS_GETDENTS;
      request.words[FD] = 3;
      request.doubles[POSITION] = cookie;
      request.doubles[LENGTH] = 170;
      const { data } = send(ONE, request, '');
      const names: string[] = [];
      let next = cookie;
      for (let at = 0; at + 24 <= data.length; ) {
        const length = data.readUInt32LE(at + 16);
        if (at + 24 + length > data.length) break;
        names.push(data.toString('utf8', at + 24, at + 24 + length));
        next = Number(data.readBigUInt64LE(at));
        at += 24 + length;
      }
      return { names, next };
    };
    const whole: string[] = [];
    for (let page = list(0); page.names.length > 0; page = list(page.next)) whole.push(...page.names);
    const seen: string[] = [];
    for (let page = list(0); page.names.length > 0; page = list(page.next)) {
      seen.push(...page.names);
      moveOn();
    }
    expect(seen).toEqual(whole);
    expect(whole.filter((name) => name.startsWith('name'))).toHaveLength(10);
  });
});
