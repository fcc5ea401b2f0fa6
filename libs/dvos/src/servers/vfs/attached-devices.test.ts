import {
  DEV_ANNOUNCE,
  DeviceBackEnd,
  EAGAIN,
  type Endpoint,
  Message,
  putReply,
  readRequest,
  SYSTASK,
} from '@drvs/drvmm-core';
import { beforeEach, describe, expect, it } from '@jest/globals';
import {
  FD,
  FD_FLAGS,
  FD_NONBLOCK,
  LENGTH,
  OPEN_EXCLUSIVE,
  OPEN_FLAGS,
  RIGHTS,
  RIGHTS_DEVICE,
  VFS_CLOSE,
  VFS_OPEN,
  VFS_READ,
  VFS_WRITE,
} from '../../calls.js';
import { VfsHandover } from './handover.js';
import { VfsServer } from './main.js';
import { EBUSY, ENODEV, ENOSPC, EPERM } from './status.js';
import { MemoryStore } from './store.js';

const NODE = 1;
const ONE = 100 as Endpoint;
const OTHER = 101 as Endpoint;
/** The directory that each process has. */
const DEV = 3;

/** What the line says next; what was written to it is in `heard`. */
let says: string[];
let heard: string[];
let replies: { to: Endpoint; type: number; text: string }[];
let givenBack: { caller: Endpoint; message: Message; data: Uint8Array }[];
let store: MemoryStore;
let vfs: VfsServer;
let backEnd: DeviceBackEnd;
/** What the host is asked, done when `settle` says so. */
let work: (() => void)[];

function start(handover?: VfsHandover): void {
  vfs = new VfsServer({
    port: {
      reply: (to, { type }, data) =>
        void replies.push({ to, type, text: Buffer.from(data ?? []).toString() }),
      notify: () => {},
      post: (_to, message, data = new Uint8Array(0)) => {
        const [request, bytes] = [readRequest(message), data.slice()];
        work.push(() => backEnd.request(request, bytes));
      },
      putBack: (caller, message, data) => void givenBack.push({ caller, message, data }),
      now: () => Date.UTC(2030, 0, 2),
    },
    store,
    devices: { terminal: { write: (_minor, bytes) => bytes.length }, random: (target) => target.fill(7) },
    limitBytes: 1_000_000,
    handover,
  });
}

function settle(): void {
  for (let steps = 0; steps < 100; steps++) work.shift()?.();
}

function announce(devices: unknown): void {
  const message = new Message();
  message.type = DEV_ANNOUNCE;
  message.words[0] = SYSTASK(NODE);
  vfs.onMessage(message, Buffer.from(JSON.stringify({ life: 'first', devices })));
}

/** Makes a call. @returns what it is answered, or null while it waits. */
function ask(
  from: Endpoint,
  type: number,
  fields: [number, number][],
  data = '',
): { type: number; text: string } | null {
  const message = new Message();
  message.type = type;
  for (const [word, value] of fields) message.words[word] = value;
  if (type === VFS_READ) message.doubles[LENGTH] = 100;
  message.words[0] = from;
  replies = [];
  vfs.onMessage(message, Buffer.from(data));
  return replies.find(({ to }) => to === from) ?? null;
}

/** As `ask`, until it is answered. */
function askWaiting(...call: Parameters<typeof ask>): { type: number; text: string } {
  const answer = ask(...call);
  if (answer !== null) return answer;
  settle();
  return replies.find(({ to }) => to === call[0])!;
}

const open = (from: Endpoint, path: string, how = 0, flags = 0): number =>
  askWaiting(
    from,
    VFS_OPEN,
    [
      [FD, DEV],
      [OPEN_FLAGS, how],
      [FD_FLAGS, flags],
      [RIGHTS, RIGHTS_DEVICE],
    ],
    path,
  ).type;
const attach = (endpoint: Endpoint, stdinPath: string | null = null): void =>
  vfs.control.attach(endpoint, { stdinPath, directories: [{ path: '/dev', as: '/dev' }], ttyId: 8 });

beforeEach(() => {
  says = [];
  heard = [];
  replies = [];
  givenBack = [];
  work = [];
  store = new MemoryStore();
  start();
  backEnd = new DeviceBackEnd({
    open: (id) => void work.push(() => backEnd.hasOpened(id, 0)),
    read: (id) =>
      void work.push(() => {
        const text = says.shift();
        backEnd.hasRead(id, text === undefined ? EAGAIN : Buffer.from(text));
      }),
    write: (id, bytes) => {
      heard.push(Buffer.from(bytes).toString());
      work.push(() => backEnd.hasWritten(id, bytes.length));
    },
    close: () => {},
    wakeLater: (id) => void work.push(() => backEnd.due(id)),
    reply: (reply, data) => {
      const message = new Message();
      putReply(message, reply);
      message.words[0] = SYSTASK(NODE);
      vfs.onMessage(message, data);
    },
  });
  announce([{ id: backEnd.plug('/dev/ttyS0'), name: 'node2/line' }]);
  for (const endpoint of [ONE, OTHER]) attach(endpoint);
});

describe('devices of hosts', () => {
  it('are files while they are there, and give ENODEV to those who still have them open', () => {
    expect(vfs.control.list('/dev/host/node2').map(({ path, kind }) => [path, kind])).toEqual([
      ['/dev/host/node2/line', 'device'],
    ]);
    const fd = open(ONE, 'host/node2/line');
    expect(ask(ONE, VFS_READ, [[FD, fd]])).toBeNull();
    says.push('hello');
    settle();
    expect(replies).toEqual([{ to: ONE, type: 5, text: 'hello' }]);
    expect(askWaiting(ONE, VFS_WRITE, [[FD, fd]], 'answer').type).toBe(6);
    expect(heard).toEqual(['answer']);
    expect(ask(ONE, VFS_READ, [[FD, fd]])).toBeNull();
    announce([]);
    expect(replies).toEqual([{ to: ONE, type: ENODEV, text: '' }]);
    expect(vfs.control.list('/dev/host/node2')).toEqual([]);
    expect(ask(ONE, VFS_WRITE, [[FD, fd]], 'x')?.type).toBe(ENODEV);
    expect(ask(ONE, VFS_CLOSE, [[FD, fd]])?.type).toBe(0);
  });

  it('are one process’s alone when it asks for that, and do not make those wait who do not want to', () => {
    const fd = open(ONE, 'host/node2/line', OPEN_EXCLUSIVE, FD_NONBLOCK);
    expect(open(OTHER, 'host/node2/line')).toBe(EBUSY);
    expect(() => attach(102 as Endpoint, '/dev/host/node2/line')).toThrow();
    expect(ask(ONE, VFS_READ, [[FD, fd]])?.type).toBe(EAGAIN);
    says.push('now');
    settle();
    expect(ask(ONE, VFS_READ, [[FD, fd]])?.text).toBe('now');
    vfs.control.detach(ONE);
    expect(open(OTHER, 'host/node2/line')).toBeGreaterThan(DEV);
  });

  it('go on at another home where they were, for those who wait too', () => {
    const fd = open(ONE, 'host/node2/line');
    says.push('one');
    expect(askWaiting(ONE, VFS_READ, [[FD, fd]]).text).toBe('one');
    expect(ask(ONE, VFS_READ, [[FD, fd]])).toBeNull();
    settle();
    vfs.control.putBackWaiting();
    const handover = VfsHandover.parse(JSON.parse(JSON.stringify(vfs.control.handover())));
    start(handover);
    says.push('two');
    for (const { message, data } of givenBack) vfs.onMessage(message, data);
    settle();
    expect(replies).toEqual([]);
    announce([{ id: 1, name: 'node2/line' }]);
    settle();
    expect(replies).toEqual([{ to: ONE, type: 3, text: 'two' }]);
  });

  it('that another life of the DRVM had are not there', () => {
    start();
    expect(vfs.control.list('/dev').some(({ path }) => path === '/dev/host')).toBe(false);
    attach(ONE);
    announce([{ id: 1, name: 'node2/line' }]);
    expect(open(ONE, 'host/node2/line')).toBeGreaterThan(DEV);
  });

  it('are not believed where their announcement is not well formed', () => {
    const error = console.error;
    console.error = () => {};
    try {
      for (const devices of [null, [{ id: 2, name: '../null' }], [{ id: 2, name: 'a/../../b' }], 'x'])
        announce(devices);
    } finally {
      console.error = error;
    }
    expect(vfs.control.list('/dev/host/node2')).toHaveLength(1);
  });
});

describe('devices of every DRVM', () => {
  it('are the console, the clock, and a full one', () => {
    const clock = open(ONE, 'clock');
    expect(ask(ONE, VFS_READ, [[FD, clock]])?.text).toBe('2030-01-02T00:00:00.000Z\n');
    expect(ask(ONE, VFS_WRITE, [[FD, clock]], 'x')?.type).toBe(EPERM);
    expect(ask(ONE, VFS_WRITE, [[FD, open(ONE, 'full')]], 'x')?.type).toBe(ENOSPC);
    expect(ask(ONE, VFS_WRITE, [[FD, open(ONE, 'console')]], 'hello')?.type).toBe(5);
  });
});
