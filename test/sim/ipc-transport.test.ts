import { createServer as createTcpServer, type Server, type Socket, connect as tcpConnect } from 'node:net';
import { withBody } from '@drvs/contracts';
import { containerName, createTransport, type Transport } from '@drvs/drvmm-core';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { makeAuthority, type TestAuthority } from './ipc-certificates.js';

const DRVM = 'fisica';
let authority: TestAuthority;
let stranger: TestAuthority;
const opened: { close(): Promise<void> | void }[] = [];

beforeAll(async () => {
  authority = await makeAuthority();
  stranger = await makeAuthority('another drvm');
});
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

interface Node {
  transport: Transport;
  /** Texts of lane ipc, and `up`/`lost` as they came. */
  log: string[];
}

async function node(
  index: number,
  more: {
    incarnation?: string;
    name?: string;
    by?: TestAuthority;
    trust?: TestAuthority;
    port?: number;
  } = {},
): Promise<Node> {
  const issued = await (more.by ?? authority).issue(more.name ?? containerName(DRVM, index));
  const transport = createTransport({
    drvmId: DRVM,
    index,
    incarnation: more.incarnation ?? `run-${index}`,
    listen: { host: '127.0.0.1', port: more.port ?? 0 },
    ...issued,
    authority: (more.trust ?? authority).certificate,
    lostAfterMs: 1_500,
  });
  const log: string[] = [];
  transport.events = {
    ipc: (peer, frame) => void log.push(`${peer}:${Buffer.from(frame).toString()}`),
    peerUp: (peer, incarnation) => void log.push(`up ${peer} ${incarnation}`),
    peerLost: (peer) => void log.push(`lost ${peer}`),
    control: (_peer, rpc) => {
      rpc.handle('reverse', (_params, { body }) => withBody({ length: body.length }, body.slice().reverse()));
    },
  };
  await transport.start();
  opened.push(transport);
  return { transport, log };
}

const peer = (index: number, port: number) => ({
  index,
  nodeId: `n${index}`,
  nodeName: `node${index}`,
  host: '127.0.0.1',
  port,
});

/** A TCP relay that can cut what passes through it. */
async function relay(target: number): Promise<{ port: number; cut(): void; refuse: boolean; close(): void }> {
  const sockets = new Set<Socket>();
  const state = { refuse: false };
  const server: Server = createTcpServer((inward) => {
    if (state.refuse) {
      inward.destroy();
      return;
    }
    const outward = tcpConnect(target, '127.0.0.1');
    for (const [a, b] of [
      [inward, outward],
      [outward, inward],
    ] as const) {
      sockets.add(a);
      a.on('error', () => {});
      a.on('close', () => {
        sockets.delete(a);
        b.destroy();
      });
      a.pipe(b);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const port = (server.address() as { port: number }).port;
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  const made = {
    port,
    cut,
    get refuse() {
      return state.refuse;
    },
    set refuse(value: boolean) {
      state.refuse = value;
    },
    close() {
      cut();
      server.close();
    },
  };
  opened.push(made);
  return made;
}

async function until(isTrue: () => boolean, what: string, limitMs = 30_000): Promise<void> {
  const end = Date.now() + limitMs;
  while (!isTrue()) {
    if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function pair(): Promise<{ low: Node; high: Node; link: Awaited<ReturnType<typeof relay>> }> {
  const low = await node(0);
  const high = await node(1);
  const link = await relay(low.transport.port);
  high.transport.setPeers([peer(0, link.port), peer(1, 1)]);
  low.transport.setPeers([peer(0, 1), peer(1, high.transport.port)]);
  await until(() => low.transport.isUp(1) && high.transport.isUp(0), 'both up');
  return { low, high, link };
}

describe('the transport between containers', () => {
  it('changes keys, certificates and the authority under traffic, and loses nothing', async () => {
    const { low, high } = await pair();
    const next = await makeAuthority('the next authority');
    const both = `${authority.certificate}\n${next.certificate}`;
    const newKeys = async (of: Node, index: number, by: TestAuthority, trust: string) =>
      of.transport.rotate({ ...(await by.issue(containerName(DRVM, index))), authority: trust });
    let sent = 0;
    const traffic = async (isOver: () => boolean) => {
      while (!isOver()) {
        low.transport.sendIpc(1, Buffer.from(`${sent}`));
        high.transport.sendIpc(0, Buffer.from(`${sent++}`));
        await pause(1);
      }
    };
    const steps = [
      () => newKeys(low, 0, authority, both),
      () => newKeys(high, 1, authority, both),
      () => newKeys(low, 0, next, both),
      () => newKeys(high, 1, next, both),
      () => newKeys(low, 0, next, next.certificate),
      () => newKeys(high, 1, next, next.certificate),
    ];
    let isDone = false;
    const flow = traffic(() => isDone);
    for (const step of steps) {
      const before = sent;
      await step();
      await until(() => sent > before + 20, 'traffic between two steps');
    }
    // Who has a certificate of the former authority is not let in any more.
    const former = await node(2);
    low.transport.setPeers([peer(1, high.transport.port), peer(2, former.transport.port)]);
    former.transport.setPeers([peer(0, low.transport.port)]);
    await pause(100);
    isDone = true;
    await flow;
    expect(former.log).toEqual([]);
    await until(() => low.log.length > sent && high.log.length > sent, 'all frames');
    const numbers = Array.from({ length: sent }, (_, i) => i);
    expect(high.log).toEqual(['up 0 run-0', ...numbers.map((i) => `0:${i}`)]);
    expect(low.log).toEqual(['up 1 run-1', ...numbers.map((i) => `1:${i}`)]);
  });

  it('carries frames both ways, in order, and says who is up', async () => {
    const { low, high } = await pair();
    for (let i = 0; i < 500; i++) {
      low.transport.sendIpc(1, Buffer.from(`d${i}`));
      high.transport.sendIpc(0, Buffer.from(`u${i}`));
    }
    await until(() => low.log.length === 501 && high.log.length === 501, 'all frames');
    expect(high.log).toEqual(['up 0 run-0', ...Array.from({ length: 500 }, (_, i) => `0:d${i}`)]);
    expect(low.log).toEqual(['up 1 run-1', ...Array.from({ length: 500 }, (_, i) => `1:u${i}`)]);
  });

  it('loses and doubles nothing when the link is cut again and again', async () => {
    const { low, high, link } = await pair();
    const count = 4_000;
    const filler = 'x'.repeat(300);
    for (let i = 0; i < count; i++) {
      low.transport.sendIpc(1, Buffer.from(`${i} ${filler}`));
      high.transport.sendIpc(0, Buffer.from(`${i} ${filler}`));
      if (i % 500 === 250) {
        await pause(2);
        link.cut();
      }
      if (i % 100 === 0) await pause(1);
    }
    const numbers = (log: string[]) => log.slice(1).map((line) => Number(line.slice(2).split(' ')[0]));
    await until(() => low.log.length > count && high.log.length > count, 'all frames');
    const wanted = Array.from({ length: count }, (_, i) => i);
    expect(numbers(low.log)).toEqual(wanted);
    expect(numbers(high.log)).toEqual(wanted);
  });

  it('carries calls with large bodies while small frames pass by, over cuts', async () => {
    const { low, high, link } = await pair();
    const body = Buffer.alloc(24 * 1024 * 1024, 7);
    body[0] = 1;
    const call = high.transport.control(0)!.call<{ length: number }>('reverse', {}, { body });
    let answered = false;
    void call.then(() => {
      answered = true;
    });
    const started = Date.now();
    low.transport.sendIpc(1, Buffer.from('quick'));
    await until(() => high.log.includes('0:quick'), 'the small frame');
    expect(answered).toBe(false);
    expect(Date.now() - started).toBeLessThan(1_000);
    link.cut();
    const reply = await call;
    expect(reply.result.length).toBe(body.length);
    expect(reply.body.length).toBe(body.length);
    expect(reply.body.at(-1)).toBe(1);
    expect(low.log).not.toContain('lost 1');
  });

  it('says lost after the outage limit, ends calls under way, and up again when the link is back', async () => {
    const { low, high, link } = await pair();
    low.transport.control(1)!.handle('wait', () => new Promise(() => {}));
    const call = high.transport.control(0)!.call('wait', {}, { timeoutMs: 20_000 });
    call.catch(() => {});
    await pause(20);
    link.refuse = true;
    link.cut();
    await until(() => low.log.includes('lost 1') && high.log.includes('lost 0'), 'lost');
    await expect(call).rejects.toMatchObject({ code: 'NodeUnreachable' });
    expect(high.transport.sendIpc(0, Buffer.from('into the void'))).toBe(false);
    link.refuse = false;
    await until(() => low.transport.isUp(1) && high.transport.isUp(0), 'up again');
    high.transport.sendIpc(0, Buffer.from('again'));
    await until(() => low.log.includes('1:again'), 'frame');
    expect(low.log).toEqual(['up 1 run-1', 'lost 1', 'up 1 run-1', '1:again']);
  });

  it('sees a container that was started anew, on another port too', async () => {
    const { low, high } = await pair();
    await high.transport.close();
    await until(() => low.log.includes('lost 1'), 'lost');
    const again = await node(1, { incarnation: 'second' });
    again.transport.setPeers([peer(0, low.transport.port)]);
    await until(() => low.log.includes('up 1 second'), 'up');
    await low.transport.close();
    const moved = await node(0, { incarnation: 'moved' });
    moved.transport.setPeers([peer(1, again.transport.port)]);
    await until(() => again.log.includes('lost 0'), 'lost');
    again.transport.setPeers([peer(0, moved.transport.port)]);
    await until(() => again.log.includes('up 0 moved'), 'up on the new port');
  });

  it.each([
    ['of another authority', { by: 'stranger' as const }],
    ['of another DRVM', { name: containerName('quimica', 1) }],
    ['of another index than it dials from below', { name: containerName(DRVM, 0) }],
    ['without a name of ours', { name: 'www.example.org' }],
  ])('refuses a container with a certificate %s', async (_title, how) => {
    const low = await node(0);
    const { by, ...rest } = how as { by?: 'stranger'; name?: string };
    const bad = await node(1, { ...rest, by: by === 'stranger' ? stranger : authority });
    bad.transport.setPeers([peer(0, low.transport.port)]);
    await pause(300);
    expect([...low.log, ...bad.log]).toEqual([]);
  });

  it('refuses to talk to a listener that is not the container it dialled', async () => {
    const wrong = await node(0, { name: containerName(DRVM, 2) });
    const high = await node(3);
    high.transport.setPeers([peer(0, wrong.transport.port)]);
    await pause(300);
    expect([...wrong.log, ...high.log]).toEqual([]);
  });

  it('is not harmed by garbage on its port', async () => {
    const { low, high } = await pair();
    for (const garbage of [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.alloc(70_000, 0x16),
      Buffer.alloc(0),
    ]) {
      const socket = tcpConnect(low.transport.port, '127.0.0.1');
      socket.on('error', () => {});
      socket.end(garbage);
      opened.push({ close: () => void socket.destroy() });
    }
    await pause(50);
    high.transport.sendIpc(0, Buffer.from('still here'));
    await until(() => low.log.includes('1:still here'), 'frame');
  });

  it('sends no faster than its limit, stays up meanwhile, and goes on at once when the limit is raised', async () => {
    const { low, high } = await pair();
    const MIB = 1_048_576;
    const began = performance.now();
    low.transport.setSendLimit(1_000_000);
    const rpc = low.transport.control(1)!;
    const { body } = await rpc.call('reverse', {}, { body: Buffer.alloc(2 * MIB, 3), timeoutMs: 60_000 });
    expect(body.length).toBe(2 * MIB);
    const ms = performance.now() - began;
    expect(ms).toBeGreaterThanOrEqual(1_000);
    const { sentBytes, heldTimes, heldMs } = low.transport.sent;
    expect(sentBytes).toBeGreaterThan(2 * MIB);
    // What may leave at once, and a frame of 64 KiB beyond it.
    expect(sentBytes).toBeLessThanOrEqual(1_000 * ms + 100_000 + 70_000);
    expect(heldTimes).toBeGreaterThanOrEqual(1);
    expect(heldMs).toBeGreaterThan(500);
    // The other one has no limit, and was not held.
    expect(high.transport.sent.heldTimes).toBe(0);

    // Two minutes at this rate; links are lost after a second and a half.
    low.transport.setSendLimit(125_000);
    const large = rpc.call('reverse', {}, { body: Buffer.alloc(16 * MIB, 5), timeoutMs: 100_000 });
    await pause(2_000);
    low.transport.sendIpc(1, Buffer.from('passes the bulk'));
    await until(() => high.log.includes('0:passes the bulk'), 'a small frame under a limit', 20_000);
    low.transport.setSendLimit(0);
    expect((await large).body.length).toBe(16 * MIB);
    expect([...low.log, ...high.log].filter((line) => line.startsWith('lost'))).toEqual([]);
  }, 60_000);
});
