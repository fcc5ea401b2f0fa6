import { describe, expect, it } from '@jest/globals';
import {
  ANY,
  ECALLDENIED,
  EDEADSRCDST,
  EINTR,
  ELOCKED,
  ENOTREADY,
  type Endpoint,
  EPERM,
  ETRAPDENIED,
  GRANT_READ,
  GRANT_WRITE,
  IpcKernel,
  Message,
  NOTIFY_MESSAGE,
  OK,
  type Owner,
  PEER_PRIVILEGES,
  PM,
  SERVER_PRIVILEGES,
  SUSPENDED,
  SYSTASK,
  USER_PRIVILEGES,
  VFS,
} from '../index.js';
import { bytes, Cluster, message, user } from './testing/kernel-cluster.js';

interface End {
  status: number;
  type: number;
  source: number;
  data: string;
}

/** Remembers how its suspended calls ended. */
class Caller implements Owner {
  readonly ends: End[] = [];
  onComplete(_self: Endpoint, status: number, message: Message, data: Uint8Array): void {
    this.ends.push({
      status,
      type: message.type,
      source: message.source,
      data: Buffer.from(data).toString(),
    });
  }
}

function echoServer(kernel: IpcKernel, endpoint: Endpoint): Owner {
  const owner: Owner = {
    onMessage(self, request, data) {
      const { source } = request;
      request.type = -request.type;
      kernel.reply(self, source, request, data);
    },
  };
  kernel.bind(endpoint, 'server', owner, SERVER_PRIVILEGES);
  return owner;
}

describe('rendezvous within one container', () => {
  it('answers a sendrec to a local server inside the call, with what rides along', () => {
    const kernel = new IpcKernel({ index: 0, network: { send() {} } });
    echoServer(kernel, PM);
    kernel.bind(user(40), 'process', new Caller(), USER_PRIVILEGES);
    const request = message(20);
    request.doubles[3] = 0.5;
    expect(kernel.sendrec(user(40), PM, request, bytes('ride'))).toBe(OK);
    expect([request.type, request.source, request.doubles[3]]).toEqual([-20, PM, 0.5]);
    expect(Buffer.from(kernel.lastReplyData(user(40))).toString()).toBe('ride');
  });

  it('suspends the caller until the server replies later', () => {
    const kernel = new IpcKernel({ index: 0, network: { send() {} } });
    const caller = new Caller();
    kernel.bind(VFS, 'server', { onMessage() {} }, SERVER_PRIVILEGES);
    kernel.bind(user(40), 'process', caller, USER_PRIVILEGES);
    expect(kernel.sendrec(user(40), VFS, message(3))).toBe(SUSPENDED);
    expect(kernel.reply(VFS, user(40), message(7), bytes('late'))).toBe(OK);
    expect(kernel.reply(VFS, user(40), message(8))).toBe(ENOTREADY);
    expect(caller.ends).toEqual([{ status: OK, type: 7, source: VFS, data: 'late' }]);
  });

  it('lets users sendrec to servers and to nobody else', () => {
    const kernel = new IpcKernel({ index: 0, network: { send() {} } });
    echoServer(kernel, PM);
    echoServer(kernel, SYSTASK(0));
    kernel.bind(user(40), 'process', new Caller(), USER_PRIVILEGES);
    kernel.bind(user(41), 'process', new Caller(), USER_PRIVILEGES);
    expect(kernel.sendrec(user(40), user(41), message(1))).toBe(ECALLDENIED);
    expect(kernel.sendrec(user(40), SYSTASK(0), message(1))).toBe(ECALLDENIED);
    expect(kernel.send(user(40), PM, message(1))).toBe(ETRAPDENIED);
    expect(kernel.receive(user(40), ANY, message(1))).toBe(ETRAPDENIED);
    expect(kernel.notify(user(40), PM)).toBe(ETRAPDENIED);
  });

  it('passes messages between peers by rendezvous, in order, and takes a send as the reply', () => {
    const kernel = new IpcKernel({ index: 0, network: { send() {} } });
    const [a, b, c] = [new Caller(), new Caller(), new Caller()];
    for (const [slot, owner] of [
      [40, a],
      [41, b],
      [42, c],
    ] as const) {
      kernel.bind(user(slot), 'process', owner, PEER_PRIVILEGES);
    }
    expect(kernel.send(user(40), user(41), message(1))).toBe(SUSPENDED);
    expect(kernel.sendrec(user(42), user(41), message(2))).toBe(SUSPENDED);
    const got = message(0);
    expect(kernel.receive(user(41), user(42), got)).toBe(OK);
    expect([got.type, got.source]).toEqual([2, user(42)]);
    expect(kernel.receive(user(41), ANY, got)).toBe(OK);
    expect([got.type, got.source]).toEqual([1, user(40)]);
    expect(a.ends).toMatchObject([{ status: OK }]);
    expect(kernel.send(user(41), user(42), message(9))).toBe(OK);
    expect(c.ends).toMatchObject([{ status: OK, type: 9, source: user(41) }]);
  });

  it('refuses to wait in a circle', () => {
    const kernel = new IpcKernel({ index: 0, network: { send() {} } });
    for (const slot of [40, 41, 42]) kernel.bind(user(slot), 'process', new Caller(), PEER_PRIVILEGES);
    expect(kernel.send(user(40), user(41), message(1))).toBe(SUSPENDED);
    expect(kernel.sendrec(user(41), user(42), message(1))).toBe(SUSPENDED);
    expect(kernel.sendrec(user(42), user(40), message(1))).toBe(ELOCKED);
    expect(kernel.receive(user(42), user(40), message(1))).toBe(ELOCKED);
  });

  it('coalesces notifications and gives those of the wanted source only', () => {
    const kernel = new IpcKernel({ index: 0, network: { send() {} } });
    echoServer(kernel, PM);
    echoServer(kernel, VFS);
    const owner = new Caller();
    kernel.bind(user(40), 'process', owner, PEER_PRIVILEGES);
    for (let i = 0; i < 3; i++) expect(kernel.notify(PM, user(40))).toBe(OK);
    const got = message(0);
    expect(kernel.receive(user(40), VFS, got)).toBe(SUSPENDED);
    expect(kernel.notify(VFS, user(40))).toBe(OK);
    expect(owner.ends).toMatchObject([{ source: VFS, type: NOTIFY_MESSAGE }]);
    expect(kernel.receive(user(40), ANY, got)).toBe(OK);
    expect([got.source, got.type]).toEqual([PM, NOTIFY_MESSAGE]);
    expect(kernel.receive(user(40), ANY, got)).toBe(SUSPENDED);
  });

  it('wakes who waits for one that dies, and never reaches the next owner of its slot', () => {
    const kernel = new IpcKernel({ index: 0, network: { send() {} } });
    const owners = [40, 41, 42].map((slot) => {
      const owner = new Caller();
      kernel.bind(user(slot), 'process', owner, PEER_PRIVILEGES);
      return owner;
    });
    kernel.sendrec(user(40), user(42), message(1));
    kernel.receive(user(41), user(42), message(0));
    kernel.unbind(user(42));
    kernel.bind(user(42, 2), 'process', new Caller(), PEER_PRIVILEGES);
    expect(owners[0]!.ends).toMatchObject([{ status: EDEADSRCDST }]);
    expect(owners[1]!.ends).toMatchObject([{ status: EDEADSRCDST }]);
    expect(kernel.send(user(40), user(42), message(1))).toBe(EDEADSRCDST);
  });

  it('never enters a server twice; what comes meanwhile waits its turn', () => {
    const kernel = new IpcKernel({ index: 0, network: { send() {} } });
    const log: string[] = [];
    let depth = 0;
    kernel.bind(
      PM,
      'server',
      {
        onMessage(self, request) {
          expect(++depth).toBe(1);
          log.push(`${request.source}:${request.type}`);
          if (request.type === 1) {
            kernel.post(VFS, PM, message(2));
            kernel.notify(VFS, PM);
            kernel.post(VFS, PM, message(3));
          }
          if (request.source === user(40)) kernel.reply(self, request.source, request);
          depth--;
        },
      },
      SERVER_PRIVILEGES,
    );
    kernel.bind(VFS, 'server', { onMessage() {} }, SERVER_PRIVILEGES);
    kernel.bind(user(40), 'process', new Caller(), USER_PRIVILEGES);
    expect(kernel.sendrec(user(40), PM, message(1))).toBe(OK);
    expect(log).toEqual([`${user(40)}:1`, `1:${NOTIFY_MESSAGE}`, '1:2', '1:3']);
  });

  it('tells the server when a caller stops waiting', () => {
    const kernel = new IpcKernel({ index: 0, network: { send() {} } });
    const cancelled: number[] = [];
    const owner = new Caller();
    kernel.bind(
      PM,
      'server',
      { onMessage() {}, onCancelled: (_self, caller) => void cancelled.push(caller) },
      SERVER_PRIVILEGES,
    );
    kernel.bind(user(40), 'process', owner, USER_PRIVILEGES);
    kernel.sendrec(user(40), PM, message(1));
    expect(kernel.cancel(user(40), EINTR)).toBe(OK);
    expect(owner.ends).toMatchObject([{ status: EINTR }]);
    expect(cancelled).toEqual([user(40)]);
    expect(kernel.reply(PM, user(40), message(1))).toBe(ENOTREADY);
  });
});

function region(memory: Uint8Array, offset: number, length: number) {
  return { offset, length, bytes: () => memory };
}

describe('between containers', () => {
  it('carries sendrec, send, notify and riding bytes both ways', () => {
    const cluster = new Cluster(3);
    const { kernels } = cluster;
    echoServer(kernels[0]!, PM);
    const [a, b] = [new Caller(), new Caller()];
    kernels[0]!.setLocation(user(40), 1, 1);
    kernels[0]!.setLocation(user(41), 2, 1);
    kernels[1]!.bind(user(40), 'process', a, PEER_PRIVILEGES);
    kernels[2]!.bind(user(41), 'process', b, PEER_PRIVILEGES);
    expect(kernels[1]!.sendrec(user(40), PM, message(5), bytes('far'))).toBe(SUSPENDED);
    cluster.settle();
    expect(a.ends.pop()).toEqual({ status: OK, type: -5, source: PM, data: 'far' });
    // 1 does not know where 41 is, and 2 has never heard of 40: both ask home.
    expect(kernels[1]!.sendrec(user(40), user(41), message(6))).toBe(SUSPENDED);
    cluster.settle();
    const got = message(0);
    expect(kernels[2]!.receive(user(41), ANY, got)).toBe(OK);
    expect([got.source, got.type]).toEqual([user(40), 6]);
    expect(kernels[2]!.reply(user(41), user(40), message(7))).toBe(OK);
    cluster.settle();
    expect(a.ends.pop()).toMatchObject({ status: OK, type: 7, source: user(41) });
    kernels[2]!.receive(user(41), ANY, got);
    kernels[0]!.notify(PM, user(41));
    cluster.settle();
    expect(b.ends.pop()).toMatchObject({ status: OK, type: NOTIFY_MESSAGE, source: PM });
  });

  it('ends calls with EDEADSRCDST when partner or container are gone', () => {
    const cluster = new Cluster(3);
    const { kernels } = cluster;
    const a = new Caller();
    kernels[0]!.bind(PM, 'server', { onMessage() {} }, SERVER_PRIVILEGES);
    kernels[0]!.setLocation(user(40), 1, 1);
    kernels[1]!.bind(user(40), 'process', a, PEER_PRIVILEGES);
    expect(kernels[1]!.send(user(40), user(50), message(1))).toBe(SUSPENDED);
    cluster.settle();
    expect(a.ends.pop()).toMatchObject({ status: EDEADSRCDST });
    kernels[1]!.sendrec(user(40), PM, message(1));
    cluster.settle();
    kernels[1]!.peerLost(0);
    expect(a.ends.pop()).toMatchObject({ status: EDEADSRCDST });
    expect(kernels[1]!.sendrec(user(40), PM, message(1))).toBe(EDEADSRCDST);
  });

  it('copies through grants in chunks, within bounds and rights, until they are revoked', () => {
    const cluster = new Cluster(2);
    const { kernels } = cluster;
    const memory = new Uint8Array(300_000).map((_, i) => i % 251);
    kernels[0]!.bind(VFS, 'server', { onMessage() {} }, SERVER_PRIVILEGES);
    kernels[0]!.setLocation(user(40), 1, 1);
    kernels[1]!.bind(user(40), 'process', new Caller(), USER_PRIVILEGES);
    const read = kernels[1]!.grantDirect(user(40), VFS, region(memory, 100, 250_000), GRANT_READ);
    const write = kernels[1]!.grantDirect(user(40), VFS, region(memory, 0, 200_000), GRANT_WRITE);
    const into = new Uint8Array(200_000);
    const ends: number[] = [];
    const done = (status: number) => void ends.push(status);
    expect(kernels[0]!.safecopyFrom(VFS, user(40), read, 50_000, into, done)).toBe(SUSPENDED);
    cluster.settle();
    expect(ends).toEqual([OK]);
    expect(Buffer.compare(into, memory.subarray(50_100, 250_100))).toBe(0);
    kernels[0]!.safecopyTo(VFS, user(40), write, 1000, new Uint8Array(150_000).fill(9), done);
    cluster.settle();
    expect(ends).toEqual([OK, OK]);
    expect(memory.subarray(1000, 151_000).every((b) => b === 9)).toBe(true);
    kernels[0]!.safecopyTo(VFS, user(40), read, 0, new Uint8Array(8), done);
    cluster.settle();
    kernels[1]!.revoke(user(40), read);
    kernels[0]!.safecopyFrom(VFS, user(40), read, 0, new Uint8Array(8), done);
    cluster.settle();
    expect(ends.slice(2)).toEqual([EPERM, EPERM]);
  });

  it('drops forged and malformed frames, and counts them', () => {
    const cluster = new Cluster(3);
    const { kernels } = cluster;
    echoServer(kernels[0]!, PM);
    const a = new Caller();
    kernels[0]!.setLocation(user(40), 1, 1);
    kernels[1]!.bind(user(40), 'process', a, USER_PRIVILEGES);
    const sent: Uint8Array[] = [];
    const forger = new IpcKernel({ index: 1, network: { send: (_p, frame) => void sent.push(frame) } });
    forger.peerUp(0);
    forger.bind(user(40), 'process', new Caller(), USER_PRIVILEGES);
    forger.sendrec(user(40), PM, message(1));
    const before = kernels[0]!.counters.framesDropped;
    kernels[0]!.deliver(2, sent[0]!);
    expect(kernels[0]!.counters.framesDropped).toBe(before + 1);
    let seed = 12345;
    const random = () => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      return seed / 0x7fffffff;
    };
    for (let i = 0; i < 20_000; i++) {
      const frame = new Uint8Array(Math.floor(random() * 130));
      for (let j = 0; j < frame.length; j++) frame[j] = random() < 0.5 ? 0 : Math.floor(random() * 256);
      if (frame.length > 0) frame[0] = Math.floor(random() * 17);
      kernels[i % 2]!.deliver(2, frame);
    }
    cluster.settle();
    expect(kernels[1]!.sendrec(user(40), PM, message(3))).toBe(SUSPENDED);
    cluster.settle();
    expect(a.ends.pop()).toMatchObject({ status: OK, type: -3 });
  });
});

describe('migration', () => {
  it('carries an outstanding request, pending notifications and grants; the reply finds the process', () => {
    const cluster = new Cluster(3);
    const { kernels } = cluster;
    kernels[0]!.bind(PM, 'server', { onMessage() {} }, SERVER_PRIVILEGES);
    kernels[0]!.bind(VFS, 'server', { onMessage() {} }, SERVER_PRIVILEGES);
    kernels[0]!.setLocation(user(40), 1, 1);
    const [old, young] = [new Caller(), new Caller()];
    kernels[1]!.bind(user(40), 'process', old, PEER_PRIVILEGES);
    kernels[1]!.sendrec(user(40), PM, message(1));
    cluster.settle();
    kernels[0]!.notify(VFS, user(40));
    cluster.settle();
    expect(kernels[1]!.freeze(user(40))).toBe(OK);
    const state = kernels[1]!.extract(user(40));
    kernels[0]!.reply(PM, user(40), message(77), bytes('answer'));
    cluster.settle();
    kernels[2]!.install(user(40), young, PEER_PRIVILEGES, state);
    kernels[0]!.setLocation(user(40), 2, 2);
    kernels[2]!.activate(user(40), 2);
    kernels[1]!.commitAway(user(40), 2, 2);
    cluster.settle();
    expect(old.ends).toEqual([]);
    expect(young.ends).toEqual([{ status: OK, type: 77, source: PM, data: 'answer' }]);
    const got = message(0);
    expect(kernels[2]!.receive(user(40), ANY, got)).toBe(OK);
    expect(got.source).toBe(VFS);
  });
});
