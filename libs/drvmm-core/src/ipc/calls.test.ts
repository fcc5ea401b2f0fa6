import { describe, expect, it } from '@jest/globals';
import {
  ANY,
  DS,
  EBADSRCDST,
  ECALLDENIED,
  EDEADSRCDST,
  ELOCKED,
  ENOSYS,
  ENOTREADY,
  type Endpoint,
  ETIMEDOUT,
  ETRAPDENIED,
  IpcKernel,
  OK,
  type Owner,
  PEER_PRIVILEGES,
  PM,
  SERVER_PRIVILEGES,
  SUSPENDED,
  SYSTASK,
  TIMEOUT_FOREVER,
  TIMEOUT_NOWAIT,
  USER_PRIVILEGES,
  VFS,
} from '../index.js';
import { bytes, Caller, Cluster, message, user } from './testing/kernel-cluster.js';

describe('the non-blocking forms', () => {
  it('send to one who receives, and to nobody else', () => {
    const cluster = new Cluster(1);
    const [kernel] = cluster.kernels as [IpcKernel];
    const [a, b] = [cluster.guest(0, 40), cluster.guest(0, 41)];
    expect(kernel.trySend(a.endpoint, b.endpoint, message(1))).toBe(ENOTREADY);
    expect(kernel.receive(b.endpoint, a.endpoint, message(0))).toBe(SUSPENDED);
    expect(kernel.trySend(a.endpoint, b.endpoint, message(2), bytes('now'))).toBe(OK);
    expect(b.owner.ends).toEqual([[OK, 2, a.endpoint, 'now']]);
    expect(kernel.tryReceive(b.endpoint, ANY, message(0))).toBe(ENOTREADY);
    expect(kernel.send(a.endpoint, b.endpoint, message(3))).toBe(SUSPENDED);
    const into = message(0);
    expect(kernel.tryReceive(b.endpoint, ANY, into)).toBe(OK);
    expect(into.type).toBe(3);
  });

  it('let the kernel of a target elsewhere decide, also when the target has moved', () => {
    const cluster = new Cluster(3);
    const [, one, two] = cluster.kernels as [IpcKernel, IpcKernel, IpcKernel];
    const [a, b] = [cluster.guest(1, 40), cluster.guest(2, 41)];
    expect(one.trySend(a.endpoint, b.endpoint, message(1))).toBe(SUSPENDED);
    cluster.settle();
    two.receive(b.endpoint, ANY, message(0));
    cluster.move(b.endpoint, 2, 0, b.owner, 2);
    expect(one.trySend(a.endpoint, b.endpoint, message(2))).toBe(SUSPENDED);
    cluster.settle();
    expect(a.owner.ends.map(([status]) => status)).toEqual([ENOTREADY, OK]);
    expect(b.owner.ends).toEqual([[OK, 2, a.endpoint, '']]);
  });
});

describe('the timed forms', () => {
  it('end by their time with ETIMEDOUT, and never before', () => {
    const cluster = new Cluster(2);
    const [home, away] = cluster.kernels as [IpcKernel, IpcKernel];
    home.bind(VFS, 'server', { onMessage() {} }, SERVER_PRIVILEGES);
    const [a, b, c] = [cluster.guest(1, 40), cluster.guest(1, 41), cluster.guest(1, 42)];
    expect(away.receiveWithin(300, a.endpoint, ANY, message(0))).toBe(SUSPENDED);
    expect(away.sendrecWithin(100, b.endpoint, VFS, message(1))).toBe(SUSPENDED);
    expect(away.sendWithin(200, c.endpoint, b.endpoint, message(1))).toBe(SUSPENDED);
    cluster.settle();
    expect(away.nextDeadlineMs).toBe(100);
    for (cluster.nowMs = 0; cluster.nowMs < 300; cluster.nowMs += 50) {
      away.expire();
      expect([a, b, c].map(({ owner }) => owner.ends.length)).toEqual([
        0,
        cluster.nowMs >= 100 ? 1 : 0,
        cluster.nowMs >= 200 ? 1 : 0,
      ]);
    }
    away.expire();
    expect([a, b, c].map(({ owner }) => owner.ends[0]?.[0])).toEqual([ETIMEDOUT, ETIMEDOUT, ETIMEDOUT]);
    expect(away.nextDeadlineMs).toBe(Number.POSITIVE_INFINITY);
    // A reply that comes now finds nobody.
    cluster.settle();
    expect(home.reply(VFS, b.endpoint, message(9))).toBe(ENOTREADY);
  });

  it('forget the time of a call that ended by its partner', () => {
    const cluster = new Cluster(1);
    const [kernel] = cluster.kernels as [IpcKernel];
    const [a, b] = [cluster.guest(0, 40), cluster.guest(0, 41)];
    expect(kernel.receiveWithin(100, a.endpoint, ANY, message(0))).toBe(SUSPENDED);
    expect(kernel.sendWithin(TIMEOUT_FOREVER, b.endpoint, a.endpoint, message(7))).toBe(OK);
    expect(kernel.receive(a.endpoint, ANY, message(0))).toBe(SUSPENDED);
    cluster.nowMs = 1_000;
    kernel.expire();
    expect(a.owner.ends).toEqual([[OK, 7, b.endpoint, '']]);
  });

  it('do not wait at all with TIMEOUT_NOWAIT', () => {
    const cluster = new Cluster(1);
    const [kernel] = cluster.kernels as [IpcKernel];
    const cancelled: Endpoint[] = [];
    const lazy: Owner = { onMessage() {}, onCancelled: (_self, caller) => void cancelled.push(caller) };
    kernel.bind(VFS, 'server', lazy, SERVER_PRIVILEGES);
    const [a, b] = [cluster.guest(0, 40), cluster.guest(0, 41)];
    expect(kernel.receiveWithin(TIMEOUT_NOWAIT, a.endpoint, ANY, message(0))).toBe(ENOTREADY);
    expect(kernel.sendWithin(TIMEOUT_NOWAIT, a.endpoint, b.endpoint, message(1))).toBe(ENOTREADY);
    expect(kernel.sendrecWithin(TIMEOUT_NOWAIT, a.endpoint, VFS, message(1))).toBe(ENOTREADY);
    expect(cancelled).toEqual([a.endpoint]);
    expect(kernel.receive(a.endpoint, ANY, message(0))).toBe(SUSPENDED);
  });

  it('keep their time when the caller moves', () => {
    const cluster = new Cluster(2);
    const [home, away] = cluster.kernels as [IpcKernel, IpcKernel];
    const a = cluster.guest(1, 40);
    away.receiveWithin(300, a.endpoint, ANY, message(0));
    cluster.nowMs = 100;
    cluster.move(a.endpoint, 1, 0, a.owner, 2);
    expect([away.nextDeadlineMs, home.nextDeadlineMs]).toEqual([Number.POSITIVE_INFINITY, 300]);
    cluster.nowMs = 300;
    home.expire();
    expect(a.owner.ends.map(([status]) => status)).toEqual([ETIMEDOUT]);
  });
});

describe('a request that is handed on', () => {
  /** PM hands on to VFS, which answers with what rode along, now or when told. */
  function servers(home: IpcKernel, isLate = false): { answer(caller: Endpoint): void } {
    home.bind(
      PM,
      'server',
      {
        onMessage(self, request, data) {
          request.type += 1;
          expect(home.relay(self, request.source, VFS, request, data)).toBe(OK);
          expect(home.reply(self, request.source, request)).toBe(ENOTREADY);
        },
      },
      SERVER_PRIVILEGES,
    );
    const answer = (caller: Endpoint, data: Uint8Array = bytes('later')) => {
      expect(home.reply(VFS, caller, message(77), data)).toBe(OK);
    };
    home.bind(
      VFS,
      'server',
      {
        onMessage(_self, request, data) {
          expect(request.type).toBe(21);
          if (!isLate) answer(request.source, data);
        },
      },
      SERVER_PRIVILEGES,
    );
    return { answer };
  }

  it('is answered by the other server, within the call where all are here', () => {
    const cluster = new Cluster(1);
    const [kernel] = cluster.kernels as [IpcKernel];
    servers(kernel);
    const a = cluster.guest(0, 40);
    const request = message(20);
    expect(kernel.sendrec(a.endpoint, PM, request, bytes('ride'))).toBe(OK);
    expect([request.type, request.source]).toEqual([77, VFS]);
    expect(Buffer.from(kernel.lastReplyData(a.endpoint)).toString()).toBe('ride');
  });

  it('is answered later, and over containers, wherever the caller has moved meanwhile', () => {
    const cluster = new Cluster(3);
    const [home, away] = cluster.kernels as [IpcKernel, IpcKernel];
    const { answer } = servers(home, true);
    const [a, b] = [cluster.guest(0, 40), cluster.guest(1, 41)];
    expect(home.sendrec(a.endpoint, PM, message(20))).toBe(SUSPENDED);
    expect(away.sendrec(b.endpoint, PM, message(20), bytes('x'))).toBe(SUSPENDED);
    cluster.settle();
    cluster.move(b.endpoint, 1, 2, b.owner, 2);
    cluster.settle();
    answer(a.endpoint);
    answer(b.endpoint);
    cluster.settle();
    expect([...a.owner.ends, ...b.owner.ends]).toEqual([
      [OK, 77, VFS, 'later'],
      [OK, 77, VFS, 'later'],
    ]);
  });

  it('finds a caller that moves while it is on its way', () => {
    const cluster = new Cluster(3);
    const [home, away, third] = cluster.kernels as [IpcKernel, IpcKernel, IpcKernel];
    servers(home);
    const b = cluster.guest(1, 41);
    expect(away.sendrec(b.endpoint, PM, message(20), bytes('x'))).toBe(SUSPENDED);
    // Packed before the request is even taken; the relay comes to a copy that is no longer the process.
    expect(away.freeze(b.endpoint)).toBe(OK);
    const state = away.extract(b.endpoint);
    cluster.settle();
    third.install(b.endpoint, b.owner, PEER_PRIVILEGES, state);
    home.setLocation(b.endpoint, 2, 2);
    third.activate(b.endpoint, 2);
    away.commitAway(b.endpoint, 2, 2);
    cluster.settle();
    expect(b.owner.ends).toEqual([[OK, 77, VFS, 'x']]);
  });

  it('goes no further than a number of servers, and comes from servers alone', () => {
    const cluster = new Cluster(2);
    const [home, away] = cluster.kernels as [IpcKernel, IpcKernel];
    const refused: number[] = [];
    for (const [self, other] of [
      [PM, VFS],
      [VFS, PM],
    ] as const) {
      home.bind(
        self,
        'server',
        {
          onMessage(_self, request) {
            const status = home.relay(self, request.source, other, request);
            if (status === OK) return;
            refused.push(status);
            home.reply(self, request.source, message(status));
          },
        },
        SERVER_PRIVILEGES,
      );
    }
    const [a, b] = [cluster.guest(0, 40), cluster.guest(1, 41)];
    const request = message(1);
    expect(home.sendrec(a.endpoint, PM, request)).toBe(OK);
    expect([request.type, refused]).toEqual([ELOCKED, [ELOCKED]]);
    expect(away.sendrec(b.endpoint, PM, message(1))).toBe(SUSPENDED);
    cluster.settle();
    expect(b.owner.ends.map(([status]) => status)).toEqual([ELOCKED]);
    expect(home.relay(a.endpoint, b.endpoint, PM, message(1))).toBe(ETRAPDENIED);
    expect(home.relay(PM, b.endpoint, a.endpoint, message(1))).toBe(EBADSRCDST);
    expect(home.relay(PM, b.endpoint, VFS, message(1))).toBe(ENOTREADY);
  });

  it('ends with the server that has it', () => {
    const cluster = new Cluster(2);
    const [home, away] = cluster.kernels as [IpcKernel, IpcKernel];
    servers(home, true);
    const b = cluster.guest(1, 41);
    away.sendrec(b.endpoint, PM, message(20));
    cluster.settle();
    home.unbind(PM);
    cluster.settle();
    expect(b.owner.ends).toEqual([]);
    home.unbind(VFS);
    cluster.settle();
    expect(b.owner.ends.map(([status]) => status)).toEqual([EDEADSRCDST]);
  });
});

describe('waiting for others to come and go', () => {
  it('wait4bind ends when the endpoint is bound, here or elsewhere, and a message then arrives', () => {
    const cluster = new Cluster(3);
    const [home, one, two] = cluster.kernels as [IpcKernel, IpcKernel, IpcKernel];
    const [a, b, c] = [cluster.guest(0, 40), cluster.guest(1, 41), cluster.guest(2, 42)];
    expect(one.wait4bind(b.endpoint, user(50))).toBe(SUSPENDED);
    expect(home.wait4bind(a.endpoint, user(50))).toBe(SUSPENDED);
    expect(two.wait4bind(c.endpoint, user(50))).toBe(SUSPENDED);
    cluster.settle();
    // Its place is known before it is there.
    home.setLocation(user(50), 2, 1);
    cluster.settle();
    expect([a, b, c].map(({ owner }) => owner.ends.length)).toEqual([0, 0, 0]);
    two.bind(user(50), 'process', new Caller(), PEER_PRIVILEGES);
    cluster.settle();
    expect([a, b, c].map(({ owner }) => owner.ends[0]?.[0])).toEqual([OK, OK, OK]);
    expect(one.wait4bind(b.endpoint, user(50))).toBe(SUSPENDED);
    cluster.settle();
    expect(b.owner.ends.map(([status]) => status)).toEqual([OK, OK]);
    expect(home.wait4bind(a.endpoint, a.endpoint)).toBe(OK);
    expect(home.wait4bind(a.endpoint, ANY)).toBe(EBADSRCDST);
  });

  it('wait4bind goes on when its caller moves, ends with its time, and with home', () => {
    const cluster = new Cluster(3);
    const [home, one, two] = cluster.kernels as [IpcKernel, IpcKernel, IpcKernel];
    const [a, b] = [cluster.guest(1, 40), cluster.guest(1, 41)];
    one.wait4bind(a.endpoint, user(50));
    one.wait4bind(b.endpoint, user(51));
    one.limit(b.endpoint, 10);
    cluster.settle();
    cluster.move(a.endpoint, 1, 2, a.owner, 2);
    cluster.settle();
    cluster.nowMs = 10;
    one.expire();
    cluster.settle();
    home.setLocation(user(50), 0, 1);
    home.bind(user(50), 'process', new Caller(), PEER_PRIVILEGES);
    cluster.settle();
    expect([...a.owner.ends, ...b.owner.ends].map(([status]) => status)).toEqual([OK, ETIMEDOUT]);
    two.wait4bind(a.endpoint, user(52));
    cluster.settle();
    two.peerLost(0);
    expect(a.owner.ends.map(([status]) => status)).toEqual([OK, EDEADSRCDST]);
  });

  it('wait4unbind ends when the endpoint dies, wherever it has moved, and takes no message of it', () => {
    const cluster = new Cluster(3);
    const [home, one, two] = cluster.kernels as [IpcKernel, IpcKernel, IpcKernel];
    const [a, b] = [cluster.guest(1, 40), cluster.guest(1, 41)];
    expect(one.wait4unbind(a.endpoint, b.endpoint)).toBe(SUSPENDED);
    expect(one.trySend(b.endpoint, a.endpoint, message(1))).toBe(ENOTREADY);
    cluster.move(b.endpoint, 1, 2, b.owner, 2);
    cluster.settle();
    expect(a.owner.ends).toEqual([]);
    two.unbind(b.endpoint);
    home.forgetLocation(b.endpoint);
    cluster.settle();
    expect(a.owner.ends.map(([status]) => status)).toEqual([OK]);
    expect(one.wait4unbind(a.endpoint, user(60))).toBe(SUSPENDED);
    cluster.settle();
    expect(a.owner.ends.map(([status]) => status)).toEqual([OK, OK]);
  });
});

describe('privileges', () => {
  it('may name the kernel calls one by one', () => {
    const kernel = new IpcKernel({ index: 0, network: { send() {} } });
    const echo: Owner = {
      onMessage: (self, request) => void kernel.reply(self, request.source, request),
    };
    kernel.bind(SYSTASK(0), 'server', echo, SERVER_PRIVILEGES);
    kernel.bind(DS, 'process', {}, { ...SERVER_PRIVILEGES, kernelCalls: new Set([0x61a]) });
    kernel.bind(user(40), 'process', {}, USER_PRIVILEGES);
    expect(kernel.sendrec(DS, SYSTASK(0), message(0x61a))).toBe(OK);
    expect(kernel.sendrec(DS, SYSTASK(0), message(0x61b))).toBe(ECALLDENIED);
    expect(kernel.send(DS, SYSTASK(0), message(0x61b))).toBe(ECALLDENIED);
    expect(kernel.sendrec(user(40), SYSTASK(0), message(0x61a))).toBe(ECALLDENIED);
  });
});

describe('a container of an earlier release', () => {
  it('is asked for nothing that it would not understand', () => {
    const cluster = new Cluster(2);
    const [home, away] = cluster.kernels as [IpcKernel, IpcKernel];
    home.peerUp(1, 1);
    away.peerUp(0, 1);
    const refused: number[] = [];
    home.bind(
      PM,
      'server',
      {
        onMessage(self, request) {
          refused.push(home.relay(self, request.source, VFS, request));
          home.reply(self, request.source, request);
        },
      },
      SERVER_PRIVILEGES,
    );
    const [a, b] = [cluster.guest(1, 40), cluster.guest(0, 41)];
    expect(away.sendrec(a.endpoint, PM, message(5))).toBe(SUSPENDED);
    cluster.settle();
    expect([a.owner.ends, refused]).toEqual([[[OK, 5, PM, '']], [ENOSYS]]);
    expect(away.wait4bind(a.endpoint, user(50))).toBe(ENOSYS);
    expect(home.trySend(b.endpoint, a.endpoint, message(1))).toBe(ENOSYS);
    expect(home.send(b.endpoint, a.endpoint, message(1))).toBe(SUSPENDED);
  });
});
