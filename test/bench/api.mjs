// The API against its peers, each beside ours in the same round:
// - a DRVM read over REST with a token, against NestJS on Express that says hello;
// - a quota changed over REST (validated, in one transaction with its audit entry), against pgbench's simple update;
// - a GraphQL query of one field, signed in, against bare Mercurius;
// - a page of 50 nodes with 50 callers;
// - a job for a node through our queues, against bare BullMQ on the same PostgreSQL.
// PostgreSQL is one for all of it and writes to its disk. `-- api read write` runs only those parts.
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import autocannon from 'autocannon';
import pg from 'pg';
import { startApi, startServer } from './support/api-process.mjs';
import { insertDrvms, insertNodes } from './support/cluster-rows.mjs';
import { startPostgres } from './support/postgres.mjs';
import { Report } from './support/report.mjs';

const ROUNDS = 3;
const SECONDS = 2;
const WARM_SECONDS = 1;
const CALLERS = 50;
const WRITERS = 8;
const NODES = 100;
const DRVMS = 500;
const TENANTS = 200;
const JOBS = 300;
const JOBS_AT_ONCE = 8;
const run = promisify(execFile);
const peers = join(dirname(fileURLToPath(import.meta.url)), 'peers');

const parts = process.argv.slice(2).filter((word) => !word.startsWith('-'));
const wants = (part) => parts.length === 0 || parts.includes(part);

/** Requests answered with 2xx in a second, and the latency that 99 of 100 stay below. */
async function load(options) {
  const { requests, latency, non2xx, errors } = await autocannon({ connections: CALLERS, ...options });
  if (non2xx > 0 || errors > 0) throw new Error(`${options.url}: ${non2xx} refused, ${errors} failed`);
  return { rate: requests.average, p99: latency.p99 };
}

async function inTurn(ours, peer) {
  const own = [];
  const other = [];
  await ours(WARM_SECONDS);
  await peer(WARM_SECONDS);
  for (let round = 0; round < ROUNDS; round++) {
    own.push(await ours(SECONDS));
    other.push(await peer(SECONDS));
  }
  return { own, other };
}

/** The statement that pgbench's simple update sends, by eight clients of node-postgres, where pgbench is not installed. */
async function simpleUpdate(client, seconds) {
  const clients = await Promise.all(
    Array.from({ length: WRITERS }, async () => {
      const one = new pg.Client({ connectionString: client });
      await one.connect();
      return one;
    }),
  );
  const until = performance.now() + seconds * 1000;
  let count = 0;
  await Promise.all(
    clients.map(async (one) => {
      while (performance.now() < until) {
        const account = 1 + Math.floor(Math.random() * 100_000);
        await one.query('BEGIN');
        await one.query(`UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = ${account}`);
        await one.query(`SELECT abalance FROM pgbench_accounts WHERE aid = ${account}`);
        await one.query(
          `INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, ${account}, 1, CURRENT_TIMESTAMP)`,
        );
        await one.query('END');
        count++;
      }
    }),
  );
  for (const one of clients) await one.end();
  return count / seconds;
}

async function pgbench(database, seconds) {
  const { stdout } = await run('pgbench', [
    '-N',
    '-n',
    '-c',
    String(WRITERS),
    '-j',
    '2',
    '-T',
    String(seconds),
    database,
  ]);
  return Number(/tps = ([\d.]+)/.exec(stdout)[1]);
}

const report = new Report();
const postgres = await startPostgres();
const api = await startApi(postgres.url);
const headers = { authorization: `Bearer ${api.token}` };
const client = new pg.Client({ connectionString: postgres.url });
await client.connect();
const tenants = [];
for (let t = 0; t < TENANTS; t++) tenants.push((await api.rest('POST', '/tenants', { name: `t${t}` })).id);
const amounts = { cpuMilli: 16_000, memoryMiB: 65_536, diskGiB: 1_000, networkMbps: 10_000 };
const nodeIds = await insertNodes(client, NODES, amounts);
const drvms = await insertDrvms(client, tenants[0], nodeIds, DRVMS, 2, {
  cpuMilli: 250,
  memoryMiB: 512,
  diskGiB: 1,
  networkMbps: 10,
});
await client.query('ANALYZE');

try {
  if (wants('read')) {
    const express = await startServer(join(peers, 'express.mjs'));
    const requests = drvms.map((id) => ({ method: 'GET', path: `/api/v1/drvms/${id}`, headers }));
    const { own, other } = await inTurn(
      async (duration) => (await load({ url: api.url, requests, duration })).rate,
      async (duration) => (await load({ url: express.url, duration })).rate,
    );
    await express.stop();
    report.add({
      name: 'a DRVM read over REST with a token',
      unit: 'requests/s',
      ours: own,
      peer: 'Nest on Express, hello',
      peers: other,
      wanted: { least: 1 },
    });
  }

  if (wants('write')) {
    const hasPgbench = await run('pgbench', ['--version']).then(
      () => true,
      () => false,
    );
    await client.query('CREATE DATABASE pgbench');
    const database = postgres.url.replace(/drvs$/, 'pgbench');
    if (hasPgbench) await run('pgbench', ['-i', '-q', '-s', '1', database]);
    else {
      const maker = new pg.Client({ connectionString: database });
      await maker.connect();
      await maker.query(`CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
        CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84)) WITH (fillfactor = 100);
        INSERT INTO pgbench_accounts SELECT n, 1, 0, '' FROM generate_series(1, 100000) n; ANALYZE`);
      await maker.end();
    }
    let quota = 0;
    const requests = tenants.map((id) => ({
      method: 'PATCH',
      path: `/api/v1/tenants/${id}`,
      headers: { ...headers, 'content-type': 'application/json' },
      setupRequest: (request) => ({ ...request, body: JSON.stringify({ quota: { memoryMiB: ++quota } }) }),
    }));
    const { own, other } = await inTurn(
      async (duration) => (await load({ url: api.url, requests, duration, connections: WRITERS })).rate,
      (seconds) => (hasPgbench ? pgbench(database, seconds) : simpleUpdate(database, seconds)),
    );
    report.add({
      name: 'a quota changed over REST, 8 callers',
      unit: 'requests/s',
      ours: own,
      peer: hasPgbench ? 'pgbench -N -c 8' : 'the statements of pgbench -N by node-postgres',
      peers: other,
      wanted: { least: 0.25 },
    });
  }

  if (wants('graphql')) {
    const mercurius = await startServer(join(peers, 'mercurius.mjs'), {}, '/graphql?query={hello}');
    const query = (url, text, more = {}) => ({
      url: `${url}/graphql`,
      method: 'POST',
      headers: { 'content-type': 'application/json', ...more },
      body: JSON.stringify({ query: text }),
    });
    const { own, other } = await inTurn(
      async (duration) => (await load({ ...query(api.url, '{ me { name } }', headers), duration })).rate,
      async (duration) => (await load({ ...query(mercurius.url, '{ hello }'), duration })).rate,
    );
    await mercurius.stop();
    report.add({
      name: 'a GraphQL query of one field, signed in',
      unit: 'requests/s',
      ours: own,
      peer: 'Mercurius',
      peers: other,
      wanted: { least: 0.6 },
    });
  }

  if (wants('page')) {
    const ours = [];
    const rates = [];
    const page = { url: `${api.url}/api/v1/nodes?limit=50`, headers };
    await load({ ...page, duration: WARM_SECONDS });
    for (let round = 0; round < ROUNDS; round++) {
      const { p99, rate } = await load({ ...page, duration: SECONDS });
      ours.push(p99);
      rates.push(rate);
    }
    report.add({
      name: 'a page of 50 nodes, 50 callers, 99th of 100',
      unit: 'ms',
      ours,
      wanted: { most: 100 },
    });
    report.add({ name: 'pages of 50 nodes', unit: 'requests/s', ours: rates });
  }

  if (wants('jobs')) {
    const { JobQueues } = await import('../../apps/api/dist/jobs/job-queues.js');
    const { NodeJobs } = await import('../../apps/api/dist/jobs/node-jobs.js');
    const { Queue, Worker, createPostgresBackend } = await import('bullmq');
    const queues = await JobQueues.open({ databaseUrl: postgres.url, redisUrl: null }, () => undefined);
    const jobs = new NodeJobs(queues);
    const nodeId = nodeIds[0];
    jobs.serve(nodeId, async () => ({}));
    const { signal } = new AbortController();
    const pool = new pg.Pool({ connectionString: postgres.url, max: 20, options: '-c search_path=bullmq' });
    pool.on('error', () => undefined);
    const bareQueue = new Queue('bench', { connection: pool }, createPostgresBackend);
    const ended = new Map();
    const bareWorker = new Worker(
      'bench',
      async () => ({}),
      { connection: pool, concurrency: JOBS_AT_ONCE, removeOnComplete: { age: 600, count: 2_000 } },
      createPostgresBackend,
    );
    bareWorker.on('completed', (job) => ended.get(job.id)?.());
    const rate = async (one) => {
      const begun = performance.now();
      let left = JOBS;
      await Promise.all(
        Array.from({ length: JOBS_AT_ONCE }, async () => {
          while (left-- > 0) await one(randomUUID());
        }),
      );
      return (JOBS / (performance.now() - begun)) * 1000;
    };
    const data = { operationId: randomUUID(), drvmId: randomUUID(), graceMs: 0 };
    const { own, other } = await inTurn(
      () => rate((key) => jobs.run(nodeId, 'drvm.stop', data, { key, withinMs: 60_000, signal })),
      () =>
        rate((id) => {
          const done = new Promise((resolve) => ended.set(id, resolve));
          return bareQueue.add('drvm.stop', data, { jobId: id }).then(() => done);
        }),
    );
    await bareWorker.close();
    await bareQueue.close();
    await pool.end();
    await jobs.stopServing(nodeId);
    await queues.close();
    report.add({
      name: 'a job for a node, added, done and its outcome read',
      unit: 'jobs/s',
      ours: own,
      peer: 'bare BullMQ',
      peers: other,
      wanted: { least: 0.5 },
    });
  }
} finally {
  await client.end();
  await api.stop();
  await postgres.stop();
}
report.end();
process.exit(0);
