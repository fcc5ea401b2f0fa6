// What 1,000 agents cost the API: each is a real WebSocket of the agents' channel and sends a heartbeat every second, with
// one container in it. Measured is the processor time of the API's process. Then how long an event takes to arrive at a
// webhook. Jobs go over Redis, as docs say for clusters of this size.
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { RpcPeer } from '@drvs/contracts';
import pg from 'pg';
import { WebSocket } from 'ws';
import { websocketPipe } from '../../apps/api/dist/agents/websocket-pipe.js';
import { startApi } from './support/api-process.mjs';
import { insertDrvms, insertNodes } from './support/cluster-rows.mjs';
import { startPostgres } from './support/postgres.mjs';
import { startRedis } from './support/redis.mjs';
import { quantile, Report } from './support/report.mjs';

const NODES = 1_000;
const CONNECT_AT_ONCE = 20;
const SETTLE_MS = 4_000;
const ROUNDS = 3;
const ROUND_MS = 5_000;
const EVENTS = 20;
const TICKS_PER_SECOND = 100;

const report = new Report();
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const cpuSeconds = (pid) => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
};

const redis = await startRedis();
if (redis === null) {
  console.error('  redis-server is not installed: not measured');
  report.end();
  process.exit(0);
}
const postgres = await startPostgres();
const api = await startApi(postgres.url, { env: { REDIS_URL: redis.url } });
const client = new pg.Client({ connectionString: postgres.url });
await client.connect();
const beats = [];
try {
  const amounts = { cpuMilli: 16_000, memoryMiB: 65_536, diskGiB: 1_000, networkMbps: 10_000 };
  const ids = await insertNodes(client, NODES, amounts);
  const tenant = (await api.rest('POST', '/tenants', { name: 'bench' })).id;
  const drvms = await insertDrvms(client, tenant, ids, NODES, 1, {
    cpuMilli: 250,
    memoryMiB: 512,
    diskGiB: 1,
    networkMbps: 10,
  });
  const { rows } = await client.query('SELECT id, inventory FROM node');
  const inventories = new Map(rows.map(({ id, inventory }) => [id, inventory]));
  const connect = async (id, nth) => {
    const credential = randomBytes(16).toString('hex');
    const hash = createHash('sha256').update(credential).digest('hex');
    await client.query('UPDATE node SET credential_hash = $2, last_seen_at = now() WHERE id = $1', [
      id,
      hash,
    ]);
    const socket = new WebSocket(`${api.url.replace('http', 'ws')}/agent/v1/channel`, {
      headers: { authorization: `Bearer ${credential}` },
    });
    await new Promise((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    });
    socket.on('error', () => undefined);
    let cpuMs = 0;
    const container = () => ({
      drvmId: drvms[nth],
      generation: 1,
      state: 'running',
      detail: '',
      osPid: 1,
      cpuMs,
      residentBytes: 100 << 20,
      guestMemoryBytes: 0,
      processes: 3,
      restarts: 0,
      isolation: 'cpu: fuel-only',
    });
    const peer = new RpcPeer(websocketPipe(socket), 'the API');
    peer.handle('drvm.list', async () => [container()]);
    peer.emit('inventory', inventories.get(id));
    const beat = () => {
      cpuMs += Math.floor(Math.random() * 200);
      peer.emit('heartbeat', {
        at: new Date().toISOString(),
        used: { cpuMilli: Math.floor(Math.random() * 16_000), memoryMiB: 512, diskGiB: 1, networkMbps: 0 },
        load1: 0.1,
        containers: [container()],
      });
    };
    // Not all in the same instant.
    setTimeout(() => beats.push(setInterval(beat, 1_000)), Math.random() * 1_000);
  };
  let next = 0;
  await Promise.all(
    Array.from({ length: CONNECT_AT_ONCE }, async () => {
      for (let nth = next++; nth < NODES; nth = next++) await connect(ids[nth], nth);
    }),
  );
  await pause(SETTLE_MS);
  const cores = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = cpuSeconds(api.pid);
    const begun = performance.now();
    await pause(ROUND_MS);
    cores.push((cpuSeconds(api.pid) - before) / ((performance.now() - begun) / 1000));
  }
  report.add({
    name: `heartbeats of ${NODES} nodes, one a second`,
    unit: 'cores',
    ours: cores,
    wanted: { most: 0.5 },
  });
  const { rows: late } = await client.query(
    `SELECT extract(epoch FROM now() - min(last_seen_at))::float8 AS seconds FROM node`,
  );
  report.add({
    name: 'the node heard of longest ago',
    unit: 's',
    ours: [late[0].seconds],
    wanted: { most: 3 },
  });
  for (const timer of beats) clearInterval(timer);

  const arrived = new Map();
  const hook = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      response.end();
      for (const [name, resolve] of arrived) if (body.includes(name)) resolve(performance.now());
    });
  });
  await new Promise((resolve) => hook.listen(0, '127.0.0.1', resolve));
  await api.rest('PUT', '/settings/webhooks.allowPrivateAddresses', { value: true });
  await api.rest('POST', '/webhooks', {
    url: `http://127.0.0.1:${hook.address().port}/`,
    events: ['*'],
    tenant: null,
  });
  const delays = [];
  for (let n = 0; n < EVENTS; n++) {
    const name = `hooked-${n}-end`;
    const came = new Promise((resolve) => arrived.set(name, resolve));
    const begun = performance.now();
    await client.query(`INSERT INTO event (kind, text) VALUES ('bench.event', $1)`, [name]);
    delays.push((await came) - begun);
    arrived.delete(name);
  }
  hook.closeAllConnections();
  hook.close();
  report.add({
    name: 'an event to its webhook, 95th of 100',
    unit: 'ms',
    ours: [quantile(delays, 0.95)],
    wanted: { most: 1_000 },
  });
} finally {
  for (const timer of beats) clearInterval(timer);
  await client.end();
  await api.stop();
  await redis.stop();
  await postgres.stop();
}
report.end();
process.exit(0);
