// What the control plane does again after it was killed:
// - 10,000 operations are open, 128 of them under way: from the start of the process until each that has its place is
//   worked on again (the rest wait for theirs);
// - events go out by webhook: from the commit of an event until the receiver has it.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { startServer } from './support/api-process.mjs';
import { insertNodes } from './support/cluster-rows.mjs';
import { startPostgres } from './support/postgres.mjs';
import { median, quantile, Report } from './support/report.mjs';

const OPEN = 10_000;
const UNDER_WAY = 128;
const TENANTS = 50;
const NODES = 100;
const LARGE = { cpuMilli: 1e9, memoryMiB: 1e9, diskGiB: 1e9, networkMbps: 1e9 };
const ROUNDS = 3;
const EVENTS = 200;
const EVENT_EVERY_MS = 20;

const main = join(dirname(fileURLToPath(import.meta.url)), '../../apps/api/dist/main.js');
const report = new Report();
const postgres = await startPostgres();
const ledger = new pg.Client({ connectionString: postgres.url });
const folder = await mkdtemp(join(tmpdir(), 'drvs-bench-recovery-'));
const bootstrap = join(folder, 'bootstrap.json');

/** The same installation each time. */
const start = () =>
  startServer(
    main,
    { DATABASE_URL: postgres.url, DRVS_DATA: folder, DRVS_BOOTSTRAP_FILE: bootstrap, LOG_LEVEL: 'error' },
    '/healthz',
  );

/** As `kill -9` does. */
async function kill({ pid, stop }) {
  process.kill(pid, 'SIGKILL');
  await stop();
}

/** DRVMs that were to be started, each by an operation that is open. */
async function openOperations() {
  await ledger.query('DELETE FROM operation');
  await ledger.query(`UPDATE drvm SET wanted_state = 'running', state = 'stopped'`);
  await ledger.query(
    `INSERT INTO operation (kind, state, subject, tenant_id, drvm_id, params, requested_by, started_at, admitted_at, node_ids)
     SELECT 'drvm.start', (CASE WHEN n <= $1 THEN 'running' ELSE 'queued' END)::operation_state, 'drvm/' || name, tenant_id, id,
       '{"wantedBefore": "stopped"}', 'user/bench', CASE WHEN n <= $1 THEN now() END, CASE WHEN n <= $1 THEN now() END, ARRAY[node_id]
     FROM (SELECT d.*, s.node_id, row_number() OVER (ORDER BY d.id) AS n FROM drvm d JOIN slice s ON s.drvm_id = d.id) AS d`,
    [UNDER_WAY],
  );
  const steps = [
    'prepare the container on',
    'sign the certificates',
    'start the container on',
    'wait until all containers run',
  ];
  await ledger.query(
    `INSERT INTO operation_step (operation_id, position, name, state, attempts)
     SELECT o.id, s.position - 1, s.name, (CASE WHEN o.state = 'running' AND s.position = 1 THEN 'running' ELSE 'pending' END)::step_state,
       CASE WHEN o.state = 'running' AND s.position = 1 THEN 1 ELSE 0 END
     FROM operation o, unnest($1::text[]) WITH ORDINALITY AS s (name, position)`,
    [steps],
  );
  await ledger.query('ANALYZE operation');
}

async function startAlone() {
  await ledger.query('DELETE FROM operation');
  const began = performance.now();
  const api = await start();
  const seconds = (performance.now() - began) / 1_000;
  await kill(api);
  return seconds;
}

async function recover() {
  await openOperations();
  const began = performance.now();
  const api = await start();
  for (;;) {
    const { rows } = await ledger.query(
      `SELECT count(*)::int AS taken FROM operation_step s JOIN operation o ON o.id = s.operation_id
       WHERE o.state = 'running' AND s.position = 0 AND s.attempts >= 2`,
    );
    if (rows[0].taken >= UNDER_WAY) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const seconds = (performance.now() - began) / 1_000;
  await kill(api);
  return seconds;
}

async function deliver(rest) {
  const arrivals = new Map();
  const receiver = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      arrivals.set(JSON.parse(body).event.text, performance.now());
      response.writeHead(204).end();
    });
  });
  await new Promise((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  await rest('PUT', '/settings/webhooks.allowPrivateAddresses', { value: true });
  const url = `http://127.0.0.1:${receiver.address().port}/`;
  await rest('POST', '/webhooks', { url, events: ['bench.*'] });
  const sent = new Map();
  for (let number = 0; number < EVENTS; number++) {
    await ledger.query(`INSERT INTO event (kind, text) VALUES ('bench.event', $1)`, [String(number)]);
    sent.set(String(number), performance.now());
    await new Promise((resolve) => setTimeout(resolve, EVENT_EVERY_MS));
  }
  while (arrivals.size < EVENTS) await new Promise((resolve) => setTimeout(resolve, 20));
  receiver.closeAllConnections();
  receiver.close();
  return [...sent].map(([text, at]) => arrivals.get(text) - at);
}

try {
  const first = await start();
  await ledger.connect();
  const { token } = JSON.parse(await readFile(bootstrap, 'utf8'));
  const rest = async (method, path, body) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const answer = await fetch(`${first.url}/api/v1${path}`, { method, headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  };
  const nodes = await insertNodes(ledger, NODES, LARGE);
  for (let number = 0; number < TENANTS; number++) await rest('POST', '/tenants', { name: `t${number}` });
  await ledger.query(
    `INSERT INTO drvm (tenant_id, name, state) SELECT t.id, t.name || '-' || n, 'stopped' FROM tenant t, generate_series(1, $1::int) AS n`,
    [OPEN / TENANTS],
  );
  await ledger.query(
    `INSERT INTO slice (drvm_id, tenant_id, node_id, slice_index, cpu_milli, memory_mib, disk_gib, network_mbps)
     SELECT d.id, d.tenant_id, ($1::uuid[])[1 + (row_number() OVER (ORDER BY d.id) % $2)], 0, 100, 256, 1, 0 FROM drvm d`,
    [nodes, nodes.length],
  );
  const delays = await deliver(rest);
  await kill(first);
  report.add({
    name: 'event to webhook, median',
    unit: 'ms',
    ours: [median(delays)],
    wanted: { most: 1_000 },
  });
  report.add({
    name: 'event to webhook, p99',
    unit: 'ms',
    ours: [quantile(delays, 0.99)],
    wanted: { most: 1_000 },
  });
  const alone = [];
  for (let round = 0; round < ROUNDS; round++) alone.push(await startAlone());
  report.add({ name: 'the start of the process alone, with nothing open', unit: 's', ours: alone });
  const seconds = [];
  for (let round = 0; round < ROUNDS; round++) seconds.push(await recover());
  report.add({
    name: `${OPEN} open operations, ${UNDER_WAY} under way, taken up again from the start of the process`,
    unit: 's',
    ours: seconds,
    wanted: { most: 5 },
  });
  report.end();
} finally {
  await ledger.end();
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
}
process.exit(0);
