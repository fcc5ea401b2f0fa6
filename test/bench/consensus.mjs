// Consensus, locks and multicast on three processes of their own with disks of their own, callers in this one, all over
// mutual TLS: against etcd (same disks, TLS, over bare gRPC), Redis and bare echoes, in turn within each round. A peer
// that is not installed is named and left out. `-- consensus put read lock multicast failover election` runs parts.
import { fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import {
  containerName,
  createTransport,
  DEFAULT_GROUP_TIMING,
  GateMode,
  GroupNode,
  GroupOrder,
  groupMemberId,
  SyncNode,
  SyncSession,
  SyncStatus,
} from '@drvs/drvmm-core';
import { startEtcd } from './support/etcd.mjs';
import { freePort } from './support/ports.mjs';
import { startRedis } from './support/redis.mjs';
import { median, quantile, Report } from './support/report.mjs';

const DRVM = 'bench';
const REPLICAS = [1, 2, 3];
const CALLER = 3;
const GROUP = 1;
const LANES = 64;
const ROUNDS = 7;
const FAILOVERS = 7;
const ELECTION_MS = 60_000;
const GROUP_FRAMES = 4; // The protocol byte of the envelope.
const ECHO = 255;
const EMPTY = new Uint8Array(0);

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function startTransport(config, index, events) {
  const transport = createTransport({
    drvmId: DRVM,
    index,
    incarnation: `${process.pid}`,
    listen: { host: '127.0.0.1', port: config.ports[index] },
    ...config.identity,
    authority: config.authority,
  });
  transport.events = { peerUp() {}, peerLost() {}, control() {}, ...events };
  await transport.start();
  const peers = config.ports.map((port, at) => ({
    index: at,
    nodeId: `n${at}`,
    nodeName: `node${at}`,
    host: '127.0.0.1',
    port,
  }));
  transport.setPeers(peers);
  return transport;
}

function joinGroup(place, transport, options) {
  const node = new GroupNode({
    group: GROUP,
    id: groupMemberId(place, process.pid % 2 ** 20),
    isFounder: true,
    hasState: false,
    timing: DEFAULT_GROUP_TIMING,
    send: (to, frame) => transport.sendIpc(to, frame),
    entered() {},
    deliver() {},
    ...options,
  });
  return node;
}

// ── one of the three: a replica, a member of the group, an echo ─────────────────────────────────────────────────
async function serve(config) {
  const { index } = config;
  let replica = null;
  let member = null;
  const transport = await startTransport(config, index, {
    ipc(peer, frame) {
      if (frame[4] === ECHO) transport.sendIpc(peer, frame);
      else if (frame[4] === GROUP_FRAMES) member?.receive(frame);
      else replica?.receive(frame);
    },
  });
  replica = await SyncNode.open({
    group: GROUP,
    id: index + 1,
    founders: REPLICAS,
    folder: config.folder,
    send: (to, frame) => transport.sendIpc(to - 1, frame),
    reply: (client, frame) => transport.sendIpc(client, frame),
    failed(error) {
      console.error(error);
      process.exit(1);
    },
  });
  process.on('message', (what) => {
    const { raft } = replica.service.replica;
    if (what === 'status') process.send({ leader: raft.leader, term: raft.term, id: raft.id });
    if (what === 'join') {
      member = joinGroup(index, transport, {});
      member.contacts([0, 1, CALLER].filter((place) => place !== index));
    }
  });
  process.once('disconnect', () => process.exit(0));
  process.send('ready');
}

// ── here: three such processes, and the caller ──────────────────────────────────────────────────────────────────
class Cluster {
  #children = [];
  #authority;
  #folder;
  #ports;
  transport;
  session;
  member = null;
  onEcho = () => {};

  static async start(authority, { isDurable }) {
    const cluster = new Cluster();
    cluster.#authority = authority;
    cluster.#folder = isDurable ? await mkdtemp(join(tmpdir(), 'drvs-bench-consensus-')) : null;
    cluster.#ports = [];
    for (let i = 0; i <= CALLER; i++) cluster.#ports.push(await freePort());
    for (let i = 0; i < CALLER; i++) await cluster.startReplica(i);
    cluster.transport = await startTransport(await cluster.#configOf(CALLER), CALLER, {
      ipc: (peer, frame) => {
        if (frame[4] === ECHO) cluster.onEcho(peer, frame);
        else if (frame[4] === GROUP_FRAMES) cluster.member?.receive(frame);
        else cluster.session.receive(frame);
      },
    });
    while (![0, 1, 2].every((i) => cluster.transport.isUp(i))) await pause(10);
    cluster.session = new SyncSession({
      client: CALLER,
      replicas: REPLICAS,
      leaseMs: 10_000,
      send: (to, frame) => cluster.transport.sendIpc(to - 1, frame),
    });
    await cluster.session.opened();
    return cluster;
  }

  async #configOf(index) {
    return {
      index,
      identity: await this.#authority.issue(containerName(DRVM, index)),
      authority: this.#authority.certificate,
      ports: this.#ports,
      folder: this.#folder && join(this.#folder, `r${index}`),
    };
  }

  async startReplica(index) {
    const child = fork(new URL(import.meta.url), ['serve'], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#children[index] = child;
    child.send(await this.#configOf(index));
    await new Promise((resolve, reject) => {
      child.once('message', resolve);
      child.once('exit', (code) => reject(new Error(`replica ${index} ended with ${code}`)));
    });
  }

  async status(index) {
    const child = this.#children[index];
    return new Promise((resolve) => {
      child.once('message', resolve);
      child.send('status');
    });
  }

  /** Its place; null while there is none. */
  async leader() {
    const all = await Promise.all([0, 1, 2].map((i) => this.status(i)));
    const leading = all.find(({ leader, id, term }) => leader === id && all.every((one) => one.term <= term));
    return leading === undefined ? null : leading.id - 1;
  }

  async kill(index) {
    const child = this.#children[index];
    child.removeAllListeners('exit');
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  /** Two of the processes and this one. */
  async joinGroup(deliver) {
    const places = [0, 1, CALLER];
    for (const place of [0, 1]) this.#children[place].send('join');
    this.member = joinGroup(CALLER, this.transport, { deliver });
    this.member.contacts(places);
    while (this.member.process.members.length < places.length) await pause(10);
  }

  async put(name, value) {
    const { status } = await this.session.operate({ kind: 'write', name, value, lock: '', fence: 0 });
    if (status !== SyncStatus.Done) throw new Error(`put: ${SyncStatus[status]}`);
  }

  async get(name, isLeaseEnough) {
    const { status } = await this.session.ask({ kind: 'read', name }, isLeaseEnough);
    if (status !== SyncStatus.Done) throw new Error(`get: ${SyncStatus[status]}`);
  }

  async lockAndUnlock(name) {
    const { status, token } = await this.session.operate({
      kind: 'acquire',
      name,
      mode: GateMode.Exclusive,
      permits: 1,
      capacity: 0,
      isTry: false,
      value: EMPTY,
    });
    if (status !== SyncStatus.Granted) throw new Error(`acquire: ${SyncStatus[status]}`);
    await this.session.operate({ kind: 'release', name, token });
  }

  async stop() {
    this.session?.close();
    this.member?.close();
    await this.transport?.close();
    for (const child of this.#children) {
      child.removeAllListeners('exit');
      child.kill('SIGKILL');
    }
    if (this.#folder) await rm(this.#folder, { recursive: true, force: true });
  }
}

/** `count` calls, `lanes` at a time: rate per second and the median in µs. */
async function drive(count, lanes, call) {
  const latencies = [];
  let begun = 0;
  const startedMs = performance.now();
  await Promise.all(
    Array.from({ length: lanes }, async (_, lane) => {
      while (begun < count) {
        begun++;
        const fromMs = performance.now();
        await call(lane);
        latencies.push(performance.now() - fromMs);
      }
    }),
  );
  return { rate: (count / (performance.now() - startedMs)) * 1e3, p50: median(latencies) * 1e3 };
}

/** In turn, in each round, after one round to warm up; the figures of each, by name. */
async function inTurn(runs, rounds = ROUNDS) {
  const results = Object.fromEntries(Object.keys(runs).map((name) => [name, []]));
  for (let round = -1; round < rounds; round++) {
    for (const [name, run] of Object.entries(runs)) {
      const result = await run();
      if (round >= 0) results[name].push(result);
    }
  }
  return results;
}

const VALUE = Buffer.alloc(64, 7);

async function measurePut(report, { cluster, etcd }) {
  const ours = (lane) => cluster.put(`k${lane}`, VALUE);
  const runs = { ours: () => drive(400, 1, ours), ours64: () => drive(8_000, LANES, ours) };
  if (etcd !== null) {
    const leader = await etcd.leader();
    const theirs = (lane) => etcd.call(leader, 'put', { key: `k${lane}`, value: VALUE });
    runs.etcd = () => drive(400, 1, theirs);
    runs.etcd64 = () => drive(4_000, LANES, theirs);
  }
  const results = await inTurn(runs);
  report.add({
    name: 'Raft put with fsync, one caller, median',
    unit: 'µs',
    ours: results.ours.map(({ p50 }) => p50),
    peer: 'etcd',
    peers: results.etcd?.map(({ p50 }) => p50) ?? null,
    wanted: results.etcd ? { most: 0.75 } : null,
  });
  report.add({
    name: `the same, ${LANES} outstanding`,
    unit: '/s',
    ours: results.ours64.map(({ rate }) => rate),
    peer: 'etcd',
    peers: results.etcd64?.map(({ rate }) => rate) ?? null,
    wanted: results.etcd64 ? { least: 2.5 } : null,
  });
  return median(results.ours.map(({ p50 }) => p50));
}

async function measureRead(report, { cluster, etcd }) {
  await cluster.put('k0', VALUE);
  const runs = {
    majority: () => drive(800, 1, () => cluster.get('k0', false)),
    lease: () => drive(800, 1, () => cluster.get('k0', true)),
  };
  if (etcd !== null) {
    const leader = await etcd.leader();
    await etcd.call(leader, 'put', { key: 'k0', value: VALUE });
    runs.etcd = () => drive(800, 1, () => etcd.call(leader, 'range', { key: 'k0' }));
  }
  const results = await inTurn(runs);
  for (const [kind, title] of [
    ['majority', 'linearizable read, asking a majority, median'],
    ['lease', 'the same by lease'],
  ]) {
    report.add({
      name: title,
      unit: 'µs',
      ours: results[kind].map(({ p50 }) => p50),
      peer: 'etcd',
      peers: results.etcd?.map(({ p50 }) => p50) ?? null,
      wanted: results.etcd && kind === 'majority' ? { most: 0.5 } : null,
    });
  }
}

async function measureLock(report, { cluster, authority, durablePutUs }) {
  const durable = await inTurn({ ours: () => drive(300, 1, (lane) => cluster.lockAndUnlock(`l${lane}`)) });
  const putUs = durablePutUs ?? (await drive(800, 1, (lane) => cluster.put(`k${lane}`, VALUE))).p50;
  report.add({
    name: 'lock and unlock, durable, median',
    unit: 'µs',
    ours: durable.ours.map(({ p50 }) => p50),
    peer: 'own put',
    peers: durable.ours.map(() => putUs),
    wanted: { most: 2.2 },
  });
  const redis = await startRedis();
  if (redis === null) console.error('  redis-server is not installed: locks in memory without a peer');
  const inMemory = await Cluster.start(authority, { isDurable: false });
  const { Redis } = await import('ioredis');
  const client = redis === null ? null : new Redis(redis.url);
  try {
    const ours = (lane) => inMemory.lockAndUnlock(`l${lane}`);
    const theirs = async (lane) => {
      await client.set(`l${lane}`, '1', 'PX', 10_000, 'NX');
      await client.del(`l${lane}`);
    };
    const runs = { ours: () => drive(500, 1, ours), ours64: () => drive(6_000, LANES, ours) };
    if (client !== null) {
      runs.redis = () => drive(500, 1, theirs);
      runs.redis64 = () => drive(6_000, LANES, theirs);
    }
    const results = await inTurn(runs);
    report.add({
      name: 'lock and unlock, in the memory of three, median',
      unit: 'µs',
      ours: results.ours.map(({ p50 }) => p50),
      peer: 'Redis SET NX and DEL, one server, no TLS',
      peers: results.redis?.map(({ p50 }) => p50) ?? null,
      wanted: results.redis ? { most: 2 } : null,
    });
    report.add({
      name: `the same, ${LANES} outstanding`,
      unit: 'pairs/s',
      ours: results.ours64.map(({ rate }) => rate),
      peer: 'Redis',
      peers: results.redis64?.map(({ rate }) => rate) ?? null,
      wanted: results.redis64 ? { least: 0.5 } : null,
    });
  } finally {
    client?.disconnect();
    await inMemory.stop();
    await redis?.stop();
  }
}

async function measureMulticast(report, { cluster }) {
  const { transport } = cluster;
  const waiting = new Map();
  let lastId = 0;
  const numbered = (bytes) => {
    const data = Buffer.alloc(bytes);
    data.writeUInt32LE(++lastId, bytes - 4);
    return data;
  };
  await cluster.joinGroup(({ from, data }) => {
    if (from !== cluster.member.process.id) return;
    const id = Buffer.from(data).readUInt32LE(data.length - 4);
    waiting.get(id)();
    waiting.delete(id);
  });
  const multicast = (order) => () =>
    new Promise((resolve) => {
      const data = numbered(64);
      waiting.set(lastId, resolve);
      cluster.member.multicast(order, data);
    });
  // A bare write to a majority: sent to two, the first answer counts.
  cluster.onEcho = (_peer, frame) => {
    const id = Buffer.from(frame).readUInt32LE(frame.length - 4);
    waiting.get(id)?.();
    waiting.delete(id);
  };
  const echo = () =>
    new Promise((resolve) => {
      const data = numbered(96);
      data[4] = ECHO;
      waiting.set(lastId, resolve);
      for (const place of [0, 1]) transport.sendIpc(place, Buffer.from(data));
    });
  const total = multicast(GroupOrder.Total);
  const safe = multicast(GroupOrder.Safe);
  const results = await inTurn({
    total: () => drive(1_000, 1, total),
    safe: () => drive(1_000, 1, safe),
    bare: () => drive(1_000, 1, echo),
    total64: () => drive(30_000, LANES, total),
    bare64: () => drive(30_000, LANES, echo),
  });
  for (const [kind, title, wanted] of [
    ['total', 'totally ordered multicast among three, to its own delivery, median', { most: 1.7 }],
    ['safe', 'the same, safe', null],
  ]) {
    report.add({
      name: title,
      unit: 'µs',
      ours: results[kind].map(({ p50 }) => p50),
      peer: 'bare majority',
      peers: results.bare.map(({ p50 }) => p50),
      wanted,
    });
  }
  report.add({
    name: `totally ordered, ${LANES} outstanding`,
    unit: '/s',
    ours: results.total64.map(({ rate }) => rate),
    peer: 'bare majority',
    peers: results.bare64.map(({ rate }) => rate),
    wanted: { least: 0.25 },
  });
  cluster.member.close();
  cluster.member = null;
}

/** From the death of the leader to the first put that was begun after it and is confirmed. */
async function failover({ leader, kill, put, restart }) {
  let at = await leader();
  while (at === null) {
    await pause(50);
    at = await leader();
  }
  await put(at);
  const fromMs = performance.now();
  const gone = kill(at);
  await put(at);
  const tookMs = performance.now() - fromMs;
  await gone;
  await restart(at);
  return tookMs;
}

async function measureFailover(report, { cluster, etcd }) {
  const ours = {
    leader: () => cluster.leader(),
    kill: (at) => cluster.kill(at),
    put: () => cluster.put('k', VALUE),
    restart: async (at) => {
      await cluster.startReplica(at);
      while (!cluster.transport.isUp(at)) await pause(20);
      await pause(1_000);
    },
  };
  const theirs = etcd && {
    leader: () => etcd.leader(),
    kill: (at) => etcd.kill(at),
    // At the two others in turn, as a client that notices at once that one is gone.
    async put(gone) {
      for (let turn = 0; ; turn++) {
        const at = (gone + 1 + (turn % 2)) % 3;
        try {
          await etcd.call(at, 'put', { key: 'k', value: VALUE }, 300);
          return;
        } catch {
          await pause(10);
        }
      }
    },
    restart: async (at) => {
      etcd.restart(at);
      for (;;) {
        const isUp = await etcd.call(at, 'put', { key: 'k', value: VALUE }).then(
          () => true,
          () => false,
        );
        if (isUp) break;
        await pause(100);
      }
      await pause(1_000);
    },
  };
  const results = { ours: [], etcd: [] };
  for (let round = 0; round < FAILOVERS; round++) {
    results.ours.push(await failover(ours));
    if (theirs) results.etcd.push(await failover(theirs));
  }
  report.add({
    name: 'leader killed: until the next put is confirmed',
    unit: 'ms',
    ours: [median(results.ours)],
    peer: 'etcd',
    peers: theirs ? [median(results.etcd)] : null,
    wanted: theirs ? { most: 0.5 } : null,
  });
  console.error(`    slowest of ${FAILOVERS}: ${quantile(results.ours, 1).toFixed(0)} ms`);
}

/** Both processors busy by the puts themselves; nobody may take the leader for dead. */
async function measureElection(report, { cluster }) {
  const before = await cluster.status(0);
  const untilMs = performance.now() + ELECTION_MS;
  while (performance.now() < untilMs) await drive(4_000, LANES, (lane) => cluster.put(`k${lane}`, VALUE));
  const after = await cluster.status(0);
  report.add({
    name: `elections in ${ELECTION_MS / 1000} s of puts by ${LANES}`,
    unit: '',
    ours: [after.term - before.term],
    wanted: { most: 0 },
  });
}

async function main() {
  const parts = {
    put: measurePut,
    read: measureRead,
    lock: measureLock,
    multicast: measureMulticast,
    election: measureElection,
    failover: measureFailover,
  };
  const asked = process.argv.slice(2).filter((word) => word in parts);
  const wanted = asked.length > 0 ? asked : Object.keys(parts);
  const { makeAuthority } = await import('../sim/ipc-certificates.ts');
  const authority = await makeAuthority();
  const needsEtcd = wanted.some((name) => ['put', 'read', 'failover'].includes(name));
  const etcd = needsEtcd ? await startEtcd(authority) : null;
  if (needsEtcd && etcd === null)
    console.error('  etcd is not installed (Debian: etcd-server): its figures are left out');
  const cluster = await Cluster.start(authority, { isDurable: true });
  const report = new Report();
  const context = { cluster, etcd, authority, durablePutUs: null };
  try {
    for (const name of wanted) {
      const result = await parts[name](report, context);
      if (name === 'put') context.durablePutUs = result;
    }
  } finally {
    await cluster.stop();
    await etcd?.stop();
  }
  report.end();
}

if (process.argv[2] === 'serve') process.once('message', (config) => void serve(config));
else await main();
