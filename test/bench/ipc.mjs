// IPC: sendrec to a local server, against an async function call; and to a server in another process over mutual TLS, in
// turn within each round against a bare echo of frames over the same TLS between the same two processes, gRPC over the
// same TLS, Erlang distribution, an echo over a Unix socket, and a thread behind a MessagePort. Latency is judged with
// both processes on one core, where waking the other one costs nothing, and told for two as well.
import { execFileSync, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectPlain, createServer as createPlainServer } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { connect, createServer } from 'node:tls';
import { Worker } from 'node:worker_threads';
import {
  containerName,
  createTransport,
  IpcKernel,
  Message,
  makeEndpoint,
  OK,
  PM,
  SERVER_PRIVILEGES,
  SUSPENDED,
  USER_PRIVILEGES,
} from '@drvs/drvmm-core';
import { echo, echoClient, frameOf } from './peers/echo-frames.mjs';
import { startErlang } from './peers/erlang.mjs';
import { grpcClient, serveGrpc } from './peers/grpc.mjs';
import { Report } from './support/report.mjs';

const ROUNDS = 5;
const MESSAGE_BYTES = 64;
const CALLERS = 64;
const DRVM = 'bench';

const user = (i) => makeEndpoint(100 + i, 1);
function startKernel(index, identity, authority, port, onUp) {
  const transport = createTransport({
    drvmId: DRVM,
    index,
    incarnation: `bench-${index}`,
    listen: { host: '127.0.0.1', port },
    ...identity,
    authority,
  });
  const kernel = new IpcKernel({ index, network: { send: (peer, frame) => transport.sendIpc(peer, frame) } });
  transport.events = {
    ipc: (peer, frame) => kernel.deliver(peer, frame),
    peerUp: (peer) => {
      kernel.peerUp(peer);
      onUp?.();
    },
    peerLost: (peer) => kernel.peerLost(peer),
    control() {},
  };
  return { transport, kernel };
}

// ── the other process: a server that answers in place, and a bare echo ──────────────────────────────────────────
async function serve() {
  const [{ home, authority, users, unixPath }] = await new Promise((resolve) =>
    process.once('message', (m) => resolve([m])),
  );
  const { transport, kernel } = startKernel(0, home, authority, 0);
  for (let i = 0; i < users; i++) kernel.setLocation(user(i), 1, 1);
  kernel.bind(
    PM,
    'server',
    {
      onMessage(self, message, data) {
        kernel.reply(self, message.source, message, data);
      },
    },
    SERVER_PRIVILEGES,
  );
  await transport.start();
  // Who dials is the container with the greater index; its port is not asked for.
  transport.setPeers([{ index: 1, nodeId: 'n1', nodeName: 'node1', host: '127.0.0.1', port: 1 }]);
  const secure = createServer(
    { key: home.key, cert: home.certificate, ca: authority, requestCert: true, minVersion: 'TLSv1.3' },
    (socket) => {
      socket.setNoDelay(true);
      echo(socket);
    },
  );
  const plain = createPlainServer(echo);
  await new Promise((resolve) => secure.listen(0, '127.0.0.1', resolve));
  await new Promise((resolve) => plain.listen(unixPath, resolve));
  const grpcPort = await serveGrpc({ ...home, authority });
  process.send({ port: transport.port, echoPort: secure.address().port, grpcPort });
  process.once('disconnect', () => process.exit(0));
}

// ── here: the callers ───────────────────────────────────────────────────────────────────────────────────────────
function localRate() {
  const kernel = new IpcKernel({ index: 0, network: { send() {} } });
  const endpoint = user(0);
  kernel.bind(
    PM,
    'server',
    {
      onMessage(self, message) {
        message.words[2]++;
        kernel.reply(self, message.source, message);
      },
    },
    SERVER_PRIVILEGES,
  );
  kernel.bind(endpoint, 'process', {}, USER_PRIVILEGES);
  const message = new Message();
  const count = 2_000_000;
  const started = performance.now();
  for (let i = 0; i < count; i++) {
    message.words[1] = 20;
    if (kernel.sendrec(endpoint, PM, message) !== OK) throw new Error('local sendrec failed');
  }
  return count / (performance.now() - started) / 1e3;
}

async function asyncRate() {
  let served = 0;
  const serve = async (message) => {
    served++;
    message.value++;
    return message;
  };
  const count = 500_000;
  const started = performance.now();
  for (let i = 0; i < count; i++) await serve({ type: 20, value: i });
  if (served !== count) throw new Error('not served');
  return count / (performance.now() - started) / 1e3;
}

/** `calls` round trips with `outstanding` at a time; call(i, done) begins one. Rate per ms, and median latency in µs. */
function drive(calls, outstanding, call) {
  return new Promise((resolve) => {
    const latencies = new Float64Array(calls);
    let begun = 0;
    let ended = 0;
    const started = performance.now();
    const next = (lane) => {
      const at = begun++;
      const from = performance.now();
      call(lane, () => {
        latencies[at] = performance.now() - from;
        if (++ended === calls) {
          resolve({
            rate: calls / (performance.now() - started),
            p50: latencies.sort()[calls >> 1] * 1e3,
          });
        } else if (begun < calls) next(lane);
      });
    };
    for (let lane = 0; lane < outstanding; lane++) next(lane);
  });
}

/** Puts the processes on one core, or (null) lets them run on all. @returns false where that cannot be done */
function pin(pids, cpu) {
  const list = cpu === null ? `0-${cpus().length - 1}` : String(cpu);
  try {
    for (const pid of pids)
      execFileSync('taskset', ['-a', '-c', '-p', list, String(pid)], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

async function main() {
  const { makeAuthority } = await import('../sim/ipc-certificates.ts');
  const authority = await makeAuthority();
  const [home, away] = [
    await authority.issue(containerName(DRVM, 0)),
    await authority.issue(containerName(DRVM, 1)),
  ];
  const folder = mkdtempSync(join(tmpdir(), 'drvs-bench-ipc-'));
  const unixPath = join(folder, 'echo');
  const child = fork(new URL(import.meta.url), ['serve'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const erlang = await startErlang();
  const worker = new Worker(new URL('./peers/message-port.mjs', import.meta.url));
  try {
    const ports = new Promise((resolve, reject) => {
      child.once('message', resolve);
      child.once('exit', (code) => reject(new Error(`the other process ended with ${code}`)));
    });
    child.send({ home, authority: authority.certificate, users: CALLERS, unixPath });
    const { port, echoPort, grpcPort } = await ports;

    let onUp;
    const up = new Promise((resolve) => {
      onUp = resolve;
    });
    const { transport, kernel } = startKernel(1, away, authority.certificate, 0, onUp);
    await transport.start();
    transport.setPeers([{ index: 0, nodeId: 'n0', nodeName: 'node0', host: '127.0.0.1', port }]);
    await up;
    const waiting = new Array(CALLERS);
    const messages = Array.from({ length: CALLERS }, () => new Message());
    for (let i = 0; i < CALLERS; i++) {
      kernel.bind(user(i), 'process', { onComplete: (_s, status) => waiting[i](status) }, USER_PRIVILEGES);
    }
    const ours = (riding) => {
      const data = riding === 0 ? undefined : new Uint8Array(riding);
      return (lane, done) => {
        waiting[lane] = (status) => {
          if (status !== OK) throw new Error(`remote sendrec: ${status}`);
          done();
        };
        if (kernel.sendrec(user(lane), PM, messages[lane], data) !== SUSPENDED) throw new Error('not remote');
      };
    };

    const secure = connect({
      port: echoPort,
      host: '127.0.0.1',
      key: away.key,
      cert: away.certificate,
      ca: authority.certificate,
      minVersion: 'TLSv1.3',
      checkServerIdentity: () => undefined,
    });
    await new Promise((resolve) => secure.once('secureConnect', resolve));
    secure.setNoDelay(true);
    const unix = connectPlain(unixPath);
    await new Promise((resolve) => unix.once('connect', resolve));
    const echoes = (client) => (riding) => {
      const frame = frameOf(MESSAGE_BYTES + riding);
      return (_lane, done) => client(frame, done);
    };
    const threadDone = [];
    worker.on('message', () => threadDone.shift()());
    const peers = [
      { name: 'an echo of frames over TLS', call: echoes(echoClient(secure)) },
      { name: 'an echo over a Unix socket', call: echoes(echoClient(unix)) },
      {
        name: 'a thread behind a MessagePort',
        call: (riding) => {
          const bytes = new Uint8Array(MESSAGE_BYTES + riding);
          return (_lane, done) => {
            threadDone.push(done);
            worker.postMessage(bytes);
          };
        },
      },
    ];
    let grpc = null;
    if (grpcPort === null) console.error('  gRPC is not installed: absent');
    else {
      grpc = await grpcClient(grpcPort, { ...away, authority: authority.certificate });
      peers.push({
        name: 'gRPC over TLS',
        call: (riding) => {
          const bytes = Buffer.alloc(MESSAGE_BYTES + riding);
          return (_lane, done) => grpc.call(bytes, done);
        },
      });
    }
    if (erlang === null) console.error('  Erlang is not installed (Debian: erlang-base): absent');
    const [TLS, GRPC, ERLANG] = [peers[0].name, 'gRPC over TLS', 'Erlang distribution, without TLS'];

    const report = new Report();
    const local = [];
    const bare = [];
    localRate();
    await asyncRate();
    for (let round = 0; round < ROUNDS; round++) {
      local.push(localRate());
      bare.push(await asyncRate());
    }
    const atLeast = (least) => ({ least });
    const atMost = (most) => ({ most });
    report.add({
      name: 'sendrec to a server here',
      unit: 'M/s',
      ours: local,
      peer: 'an async call',
      peers: bare,
      wanted: atLeast(0.4),
    });

    const pids = [process.pid, child.pid];
    const canPin = pin(pids, 0);
    if (!canPin) console.error('  taskset is not installed: latency is measured on all cores alone');
    const oursName = 'sendrec';
    for (const [title, riding, one, many, wanted] of [
      [
        '64 B',
        0,
        2_000,
        60_000,
        {
          same: { [TLS]: 1.5, [GRPC]: 1 / 4, [ERLANG]: 1.4 },
          free: { [TLS]: 1.3, [GRPC]: 1 / 1.7 },
          rate: { [TLS]: 0.3, [GRPC]: 10, [ERLANG]: 1 },
        },
      ],
      ['64 B and 4 KiB', 4_096, 1_000, 12_000, { same: { [TLS]: 1.3 }, free: {}, rate: { [TLS]: 0.5 } }],
      ['64 B and 64 KiB', 65_536, 300, 1_200, { same: { [TLS]: 1.25 }, free: {}, rate: { [TLS]: 0.75 } }],
    ]) {
      const calls = new Map([
        [oursName, ours(riding)],
        ...peers.map(({ name, call }) => [name, call(riding)]),
      ]);
      const results = new Map(
        [...calls.keys(), ERLANG].map((name) => [name, { same: [], free: [], rate: [] }]),
      );
      // gRPC and threads are an order of magnitude slower: fewer calls tell as much.
      const few = (name, count) => (name === GRPC ? Math.ceil(count / 6) : count);
      for (let round = -2; round < ROUNDS; round++) {
        if (canPin) pin(pids, 0);
        for (const [name, call] of calls) {
          const { p50 } = await drive(few(name, one), 1, call);
          if (round >= 0 && canPin) results.get(name).same.push(p50);
        }
        if (canPin) pin(pids, null);
        for (const [name, call] of calls) {
          const { p50 } = await drive(few(name, one), 1, call);
          const { rate } = await drive(few(name, many), CALLERS, call);
          if (round < 0) continue;
          results.get(name).free.push(p50);
          results.get(name).rate.push(rate);
        }
        if (erlang === null || round < 0) continue;
        const bytes = MESSAGE_BYTES + riding;
        if (canPin) {
          pin([erlang.pid], 0);
          results.get(ERLANG).same.push(erlang.measure(bytes, one, CALLERS, CALLERS, 0).p50);
          pin([erlang.pid], null);
        }
        const free = erlang.measure(bytes, one, many, CALLERS, null);
        results.get(ERLANG).free.push(free.p50);
        results.get(ERLANG).rate.push(free.rate);
      }
      const own = results.get(oursName);
      for (const [kind, what, unit, limit] of [
        ['same', 'one caller, one core', 'µs', atMost],
        ['free', 'one caller', 'µs', atMost],
        ['rate', `${CALLERS} callers`, 'k/s', atLeast],
      ]) {
        for (const [peer, values] of results) {
          if (peer === oursName || values[kind].length === 0) continue;
          const goal = wanted[kind][peer];
          report.add({
            name: `sendrec to another process, ${title}, ${what}`,
            unit,
            ours: own[kind],
            peer,
            peers: values[kind],
            wanted: goal === undefined ? null : limit(goal),
          });
        }
      }
    }
    report.end();
    secure.destroy();
    unix.destroy();
    grpc?.close();
    await transport.close();
  } finally {
    child.removeAllListeners('exit');
    child.kill();
    await worker.terminate();
    await erlang?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[2] === 'serve') await serve();
else await main();
