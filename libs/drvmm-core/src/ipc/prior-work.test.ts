import { describe, expect, it } from '@jest/globals';
import {
  ANY,
  EBADSRCDST,
  EBUSY,
  EDEADSRCDST,
  EMIGRATE,
  type Endpoint,
  ETIMEDOUT,
  type IpcKernel,
  MAX_RIDING_BYTES,
  NOTIFY_MESSAGE,
  OK,
  PEER_PRIVILEGES,
  PM,
  SERVER_PRIVILEGES,
  SUSPENDED,
  VFS,
} from '../index.js';
import { bytes, Caller, Cluster, message, user } from './testing/kernel-cluster.js';

/** A server at home that keeps what it is asked until it is told to answer. */
function slowServer(
  home: IpcKernel,
  endpoint: Endpoint,
): { asked: Endpoint[]; answer(to: Endpoint): number } {
  const asked: Endpoint[] = [];
  home.bind(
    endpoint,
    'server',
    { onMessage: (_self, request) => void asked.push(request.source) },
    SERVER_PRIVILEGES,
  );
  return { asked, answer: (to) => home.reply(endpoint, to, message(77)) };
}

/** Weaknesses that the authors of M3-IPC wrote down of their own system, each as what must hold here. */
describe('what the migration of M3-IPC left open', () => {
  it('notifications that are pending, or come while it moves, are carried to the new node', () => {
    const cluster = new Cluster(3);
    const [home, one, two] = cluster.kernels as [IpcKernel, IpcKernel, IpcKernel];
    for (const server of [PM, VFS]) slowServer(home, server);
    const a = cluster.guest(1, 40);
    home.notify(PM, a.endpoint);
    cluster.settle();
    expect(one.freeze(a.endpoint)).toBe(OK);
    const state = one.extract(a.endpoint);
    home.notify(VFS, a.endpoint);
    cluster.settle();
    two.install(a.endpoint, a.owner, PEER_PRIVILEGES, state);
    home.setLocation(a.endpoint, 2, 2);
    two.activate(a.endpoint, 2);
    one.commitAway(a.endpoint, 2, 2);
    cluster.settle();
    const into = message(0);
    for (const source of [PM, VFS]) {
      expect([two.receive(a.endpoint, ANY, into), into.type, into.source]).toEqual([
        OK,
        NOTIFY_MESSAGE,
        source,
      ]);
    }
    expect(two.receive(a.endpoint, ANY, into)).toBe(SUSPENDED);
  });

  it('what a process had sent before it moved is taken though it comes from its former node', () => {
    const cluster = new Cluster(3);
    const [home, one] = cluster.kernels as [IpcKernel, IpcKernel];
    const { asked, answer } = slowServer(home, PM);
    const [a, b] = [cluster.guest(1, 40), cluster.guest(2, 41)];
    expect(one.sendrec(a.endpoint, PM, message(1))).toBe(SUSPENDED);
    expect(one.notify(a.endpoint, b.endpoint)).toBe(OK);
    expect(cluster.underWay).toBeGreaterThan(0);
    cluster.move(a.endpoint, 1, 2, a.owner, 2);
    cluster.settle();
    expect(asked).toEqual([a.endpoint]);
    expect(answer(a.endpoint)).toBe(OK);
    cluster.settle();
    expect(a.owner.ends).toEqual([[OK, 77, PM, '']]);
    const into = message(0);
    expect([cluster.kernels[2]!.receive(b.endpoint, ANY, into), into.source]).toEqual([OK, a.endpoint]);
  });

  it('a process that runs inside a call is not frozen in it, and is after it', () => {
    const cluster = new Cluster(1);
    const [home] = cluster.kernels as [IpcKernel];
    const tried: number[] = [];
    home.bind(
      PM,
      'server',
      {
        onMessage(self, request) {
          tried.push(home.freeze(request.source));
          home.reply(self, request.source, request);
        },
      },
      SERVER_PRIVILEGES,
    );
    const a = cluster.guest(0, 40);
    expect(home.sendrec(a.endpoint, PM, message(1))).toBe(OK);
    expect([...tried, home.freeze(a.endpoint), home.freeze(a.endpoint)]).toEqual([EBUSY, OK, EMIGRATE]);
    // Frozen, it makes no calls.
    expect(home.send(a.endpoint, PM, message(1))).toBe(EMIGRATE);
  });

  it('a client that is moved in the sending half of a sendrec is served once, and hears of it', () => {
    const cluster = new Cluster(3);
    const [, one, two] = cluster.kernels as [IpcKernel, IpcKernel, IpcKernel];
    const [a, b] = [cluster.guest(1, 40), cluster.guest(2, 41)];
    expect(one.sendrec(a.endpoint, b.endpoint, message(5), bytes('x'))).toBe(SUSPENDED);
    cluster.settle();
    cluster.move(a.endpoint, 1, 0, a.owner, 2);
    cluster.settle();
    const into = message(0);
    expect([two.tryReceive(b.endpoint, ANY, into), into.type, into.source]).toEqual([OK, 5, a.endpoint]);
    expect(two.tryReceive(b.endpoint, ANY, into)).not.toBe(OK);
    expect(two.reply(b.endpoint, a.endpoint, message(6))).toBe(OK);
    cluster.settle();
    expect(a.owner.ends).toEqual([[OK, 6, b.endpoint, '']]);
  });

  it('senders that wait at a process that moves, and those that come late to its former node, follow it in order', () => {
    const cluster = new Cluster(4);
    const [, one, two] = cluster.kernels as [IpcKernel, IpcKernel, IpcKernel];
    const [a, b, c] = [cluster.guest(1, 40), cluster.guest(2, 41), cluster.guest(3, 42)];
    expect(two.send(b.endpoint, a.endpoint, message(1))).toBe(SUSPENDED);
    cluster.settle();
    // This one is on its way while the process leaves.
    expect(cluster.kernels[3]!.send(c.endpoint, a.endpoint, message(2))).toBe(SUSPENDED);
    cluster.move(a.endpoint, 1, 2, a.owner, 2);
    cluster.settle();
    expect(one.list()).toEqual([]);
    const types = [1, 2].map(() => {
      const into = message(0);
      expect(two.receive(a.endpoint, ANY, into)).toBe(OK);
      return into.type;
    });
    cluster.settle();
    expect(types.sort()).toEqual([1, 2]);
    expect([b, c].map(({ owner }) => owner.ends.map(([status]) => status))).toEqual([[OK], [OK]]);
  });

  it('the copy that is left behind makes no calls, and its end is not the end of the process', () => {
    const cluster = new Cluster(2);
    const [home, one] = cluster.kernels as [IpcKernel, IpcKernel];
    slowServer(home, PM);
    const [a, b] = [cluster.guest(1, 40), cluster.guest(1, 41)];
    cluster.move(a.endpoint, 1, 0, a.owner, 2);
    expect(one.isBound(a.endpoint)).toBe(false);
    expect(one.sendrec(a.endpoint, PM, message(1))).toBe(EBADSRCDST);
    one.unbind(a.endpoint);
    home.receive(a.endpoint, ANY, message(0));
    expect(one.send(b.endpoint, a.endpoint, message(3))).toBe(SUSPENDED);
    cluster.settle();
    expect(a.owner.ends).toEqual([[OK, 3, b.endpoint, '']]);
    expect(home.locate(a.endpoint)).toBe(0);
  });

  it('a commit that comes late or twice changes nothing', () => {
    const cluster = new Cluster(3);
    const [home, one, two] = cluster.kernels as [IpcKernel, IpcKernel, IpcKernel];
    const a = cluster.guest(1, 40);
    cluster.move(a.endpoint, 1, 2, a.owner, 2);
    cluster.move(a.endpoint, 2, 1, a.owner, 3);
    expect(home.setLocation(a.endpoint, 2, 2)).toBe(false);
    expect(home.setLocation(a.endpoint, 0, 3)).toBe(false);
    expect([home.locate(a.endpoint), home.epochOf(a.endpoint)]).toEqual([1, 3]);
    expect(() => two.activate(a.endpoint, 2)).toThrow('EMIGRATE');
    expect(() => two.commitAway(a.endpoint, 1, 3)).toThrow('ENOTBIND');
    expect(() => one.commitAway(a.endpoint, 2, 4)).toThrow('EMIGRATE');
    expect(one.isBound(a.endpoint)).toBe(true);
  });

  it('a caller with a time does not wait longer because its partner moves', () => {
    const cluster = new Cluster(3);
    const [, one, two] = cluster.kernels as [IpcKernel, IpcKernel, IpcKernel];
    const [a, b] = [cluster.guest(1, 40), cluster.guest(2, 41)];
    expect(one.sendWithin(50, a.endpoint, b.endpoint, message(1))).toBe(SUSPENDED);
    cluster.settle();
    expect(two.freeze(b.endpoint)).toBe(OK);
    two.extract(b.endpoint);
    cluster.nowMs = 50;
    one.expire();
    cluster.settle();
    expect(a.owner.ends.map(([status]) => status)).toEqual([ETIMEDOUT]);
    two.rollback(b.endpoint);
    cluster.settle();
    expect(two.tryReceive(b.endpoint, ANY, message(0))).not.toBe(OK);
  });
});

describe('what M3-IPC bounded too tightly, or not at all', () => {
  it('a DRVM spans more than 32 nodes', () => {
    const cluster = new Cluster(100);
    const [home] = cluster.kernels as [IpcKernel];
    home.bind(
      PM,
      'server',
      { onMessage: (self, request) => void home.reply(self, request.source, request) },
      SERVER_PRIVILEGES,
    );
    const guests = cluster.kernels.map((kernel, index) => ({ kernel, ...cluster.guest(index, 100 + index) }));
    for (const { kernel, endpoint } of guests) kernel.sendrec(endpoint, PM, message(endpoint & 0xff));
    cluster.settle();
    expect(guests.slice(1).every(({ owner }) => owner.ends[0]?.[0] === OK)).toBe(true);
  });

  it('10,000 senders to one receiver wait in the order of their container, one message each, and none is lost', () => {
    const cluster = new Cluster(3);
    const [home, one] = cluster.kernels as [IpcKernel, IpcKernel];
    const receiver = cluster.guest(0, 40);
    const owner = new Caller();
    const senders = Array.from({ length: 10_000 }, (_, i) => cluster.guest(1 + (i % 2), 100 + i, owner));
    for (const [i, { endpoint }] of senders.entries()) {
      expect(cluster.kernels[1 + (i % 2)]!.send(endpoint, receiver.endpoint, message(i))).toBe(SUSPENDED);
      // A second call of the same sender is refused, so a queue holds one entry for each.
      if (i % 1_000 === 0)
        expect(one.send(senders[0]!.endpoint, receiver.endpoint, message(i))).toBeLessThan(0);
    }
    cluster.settle();
    expect(home.list()[0]!.queued).toBe(10_000);
    const taken = senders.map(() => {
      const into = message(0);
      expect(home.receive(receiver.endpoint, ANY, into)).toBe(OK);
      return into.type;
    });
    cluster.settle();
    for (const container of [1, 2]) {
      const sent = senders.map((_, i) => i).filter((i) => 1 + (i % 2) === container);
      expect(taken.filter((i) => 1 + (i % 2) === container)).toEqual(sent);
    }
    expect(owner.ends.length).toBe(10_000);
    expect(owner.ends.every(([status]) => status === OK)).toBe(true);
  });

  it('a message and its data go together, up to a bound, and a dead partner is told, never a hang', () => {
    const cluster = new Cluster(2);
    const [home, one] = cluster.kernels as [IpcKernel, IpcKernel];
    const sizes: number[] = [];
    home.bind(
      PM,
      'server',
      {
        onMessage(self, request, data) {
          sizes.push(data.length);
          home.reply(self, request.source, request, data);
        },
      },
      SERVER_PRIVILEGES,
    );
    const a = cluster.guest(1, 40);
    expect(one.sendrec(a.endpoint, PM, message(1), new Uint8Array(MAX_RIDING_BYTES + 1))).toBeLessThan(0);
    expect(one.sendrec(a.endpoint, PM, message(1), new Uint8Array(MAX_RIDING_BYTES))).toBe(SUSPENDED);
    cluster.settle();
    expect(sizes).toEqual([MAX_RIDING_BYTES]);
    expect(one.send(a.endpoint, user(77), message(1))).toBe(SUSPENDED);
    cluster.settle();
    expect(a.owner.ends.map(([status]) => status)).toEqual([OK, EDEADSRCDST]);
  });
});
