// IPC: sendrec to a local server, against an async function call; and to a server in another process over mutual TLS,
// against a bare echo over the same TLS between the same two processes, in turn within each round.
import { fork } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { connect, createServer } from 'node:tls';
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

const ROUNDS = 7;
const ECHO_BYTES = 96; // A message and its header.
const DRVM = 'bench';

const user = (i) => makeEndpoint(100 + i, 1);
const sorted = (values) => [...values].sort((a, b) => a - b);
const quantile = (values, q) => sorted(values)[Math.min(values.length - 1, Math.floor(values.length * q))];
const stats = (values) => ({
  median: quantile(values, 0.5),
  min: Math.min(...values),
  max: Math.max(...values),
});
const show = ({ median, min, max }, digits = 2) =>
  `${median.toFixed(digits)} (${min.toFixed(digits)} to ${max.toFixed(digits)})`;

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
  const [{ home, authority, users }] = await new Promise((resolve) =>
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
  // Frames of one turn leave in one write here too: what arrives together is echoed together.
  const echo = createServer(
    { key: home.key, cert: home.certificate, ca: authority, requestCert: true, minVersion: 'TLSv1.3' },
    (socket) => {
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('data', (chunk) => socket.write(chunk));
    },
  );
  echo.listen(0, '127.0.0.1', () => process.send({ port: transport.port, echoPort: echo.address().port }));
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

async function main() {
  const { makeAuthority } = await import('../sim/ipc-certificates.ts');
  const authority = await makeAuthority();
  const [home, away] = [
    await authority.issue(containerName(DRVM, 0)),
    await authority.issue(containerName(DRVM, 1)),
  ];
  const users = 64;
  const child = fork(new URL(import.meta.url), ['serve'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  try {
    const ports = new Promise((resolve, reject) => {
      child.once('message', resolve);
      child.once('exit', (code) => reject(new Error(`the other process ended with ${code}`)));
    });
    child.send({ home, authority: authority.certificate, users });
    const { port, echoPort } = await ports;

    let onUp;
    const up = new Promise((resolve) => {
      onUp = resolve;
    });
    const { transport, kernel } = startKernel(1, away, authority.certificate, 0, onUp);
    await transport.start();
    transport.setPeers([{ index: 0, nodeId: 'n0', nodeName: 'node0', host: '127.0.0.1', port }]);
    await up;
    const waiting = new Array(users);
    const messages = Array.from({ length: users }, () => new Message());
    for (let i = 0; i < users; i++) {
      kernel.bind(user(i), 'process', { onComplete: (_s, status) => waiting[i](status) }, USER_PRIVILEGES);
    }
    const ipcCall = (data) => (lane, done) => {
      waiting[lane] = (status) => {
        if (status !== OK) throw new Error(`remote sendrec: ${status}`);
        done();
      };
      if (kernel.sendrec(user(lane), PM, messages[lane], data) !== SUSPENDED) throw new Error('not remote');
    };

    const socket = connect({
      port: echoPort,
      host: '127.0.0.1',
      key: away.key,
      cert: away.certificate,
      ca: authority.certificate,
      minVersion: 'TLSv1.3',
      checkServerIdentity: () => undefined,
    });
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    socket.setNoDelay(true);
    const inFlight = [];
    let head = 0;
    let have = 0;
    let size = ECHO_BYTES;
    let corked = [];
    socket.on('data', (chunk) => {
      have += chunk.length;
      while (have >= size) {
        have -= size;
        inFlight[head++]();
      }
    });
    const echoCall = (bytes) => (_lane, done) => {
      size = bytes.length;
      inFlight.push(done);
      corked.push(bytes);
      if (corked.length === 1) {
        process.nextTick(() => {
          const all = corked.length === 1 ? corked[0] : Buffer.concat(corked);
          corked = [];
          socket.write(all);
        });
      }
    };

    const local = [];
    const bare = [];
    localRate();
    await asyncRate();
    for (let round = 0; round < ROUNDS; round++) {
      local.push(localRate());
      bare.push(await asyncRate());
    }
    console.log(`local sendrec, M/s:                ${show(stats(local))}`);
    console.log(`  ratio to an async call:          ${show(stats(local.map((rate, i) => rate / bare[i])))}`);

    for (const [title, riding, one, many] of [
      ['64 B', 0, 3_000, 60_000],
      ['64 B + 4 KiB', 4_096, 2_000, 12_000],
      ['64 B + 64 KiB', 65_536, 400, 1_200],
    ]) {
      const data = riding === 0 ? undefined : new Uint8Array(riding);
      const raw = Buffer.alloc(ECHO_BYTES + riding);
      const results = { p50: [], rawP50: [], rate: [], rawRate: [] };
      for (let round = -1; round < ROUNDS; round++) {
        const ours = await drive(one, 1, ipcCall(data));
        const theirs = await drive(one, 1, echoCall(raw));
        const oursMany = await drive(many, users, ipcCall(data));
        const theirsMany = await drive(many, users, echoCall(raw));
        if (round < 0) continue;
        results.p50.push(ours.p50);
        results.rawP50.push(theirs.p50);
        results.rate.push(oursMany.rate);
        results.rawRate.push(theirsMany.rate);
      }
      const ratio = (a, b) => show(stats(a.map((value, i) => value / b[i])));
      console.log(`remote sendrec ${title}, one caller, p50 µs: ${show(stats(results.p50), 0)}`);
      console.log(`  ratio to a bare TLS echo (less is better):  ${ratio(results.p50, results.rawP50)}`);
      console.log(`remote sendrec ${title}, ${users} callers, k/s:   ${show(stats(results.rate), 1)}`);
      console.log(`  ratio to a bare TLS echo (more is better):  ${ratio(results.rate, results.rawRate)}`);
    }
    socket.destroy();
    await transport.close();
  } finally {
    child.removeAllListeners('exit');
    child.kill();
  }
}

if (process.argv[2] === 'serve') await serve();
else await main();
