import type { TelemetryView, UsageView } from '@drvs/contracts';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { Database } from '../../apps/api/src/database/database.js';
import { RESOLUTIONS } from '../../apps/api/src/telemetry/resolutions.js';
import { TelemetryIngest } from '../../apps/api/src/telemetry/telemetry-ingest.js';
import { TelemetryRollup } from '../../apps/api/src/telemetry/telemetry-rollup.js';
import { UsageMeter } from '../../apps/api/src/usage/usage-meter.js';
import { containerState } from '../support/agent-peer.js';
import { type ApiClient, addNode, startApi, type TestApi } from '../support/api.js';
import { until } from '../support/cluster.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';

jest.setTimeout(180_000);

let postgres: TestPostgres;
let api: TestApi;
let database: Database;
let nodeId: string;
let tenantId: string;
let drvmId: string;
let member: ApiClient;

beforeAll(async () => {
  postgres = await startPostgres();
  api = await startApi(await postgres.createDatabase());
  database = api.app.get(Database);
  nodeId = await addNode(api, 'node1', { cpuMilli: 8_000, memoryMiB: 8_192, diskGiB: 100 });
  tenantId = (await database.unrestricted.tenant.create({ data: { name: 'physics' } })).id;
  drvmId = (await database.unrestricted.drvm.create({ data: { name: 'fisica', tenantId } })).id;
  await database.unrestricted.slice.create({
    data: {
      drvmId,
      tenantId,
      nodeId,
      index: 0,
      cpuMilli: 2_000,
      memoryMiB: 512,
      diskGiB: 4,
      networkMbps: 0,
    },
  });
  member = await api.clientFor('member', 'physics');
  // What is used is written when a test says so.
  await api.app.get(UsageMeter, { strict: false }).stop();
});
afterAll(async () => {
  await api?.stop();
  await postgres?.stop();
});

const sql = async <T extends object>(text: string, values: unknown[] = []): Promise<T[]> =>
  (await database.pool.query<T>(text, values)).rows;
const heartbeat = (cpuMilli: number) => ({
  used: { cpuMilli, memoryMiB: 1_000, diskGiB: 7, networkMbps: 3 },
  load1: 0.5,
});
const container = (cpuMs: number) => ({ ...containerState(drvmId, 1, 'running'), cpuMs });
const history = async (query: string, client: ApiClient = api.admin) =>
  (await client.get<TelemetryView>(`/telemetry?${query}`)).expect(200);

describe('telemetry', () => {
  test('of all nodes is written together, and read by node and by DRVM', async () => {
    const ingest = api.app.get(TelemetryIngest, { strict: false });
    ingest.take(nodeId, heartbeat(1_000), [container(0)], 0);
    ingest.take(nodeId, heartbeat(1_500), [container(500)], 1_000);
    await ingest.flush();
    const nodes = await until('it is there', async () => {
      const view = await history('node=node1&metric=cpu,memoryMiB&step=1');
      return view.series[0]?.points.length ? view : undefined;
    });
    expect(nodes.resolutionSeconds).toBe(1);
    expect(nodes.series.map(({ metric, points }) => [metric, points[0]?.mean])).toEqual([
      ['cpu', 1.5],
      ['memoryMiB', 1_000],
    ]);
    const parts = await history('drvm=fisica&metric=cpu', member);
    expect(parts.series).toMatchObject([{ node: 'node1', drvm: 'fisica', metric: 'cpu' }]);
    expect(parts.series[0]?.points[0]?.mean).toBe(0.5);
    expect((await member.get('/telemetry?node=node1')).status).toBe(404);
    expect((await history('metric=cpu', member)).series).toEqual([]);
    expect((await api.admin.get('/telemetry?node=node1&metric=heat')).status).toBe(400);
  });

  test('of the traffic of a DRVM is the rate between two readings of its counters', async () => {
    const ingest = api.app.get(TelemetryIngest, { strict: false });
    const take = (countedAtMs: number, sentBytes: number, incarnation = 'first') =>
      ingest.take(nodeId, heartbeat(0), [
        { ...container(0), incarnation, countedAtMs, network: { receivedBytes: sentBytes, sentBytes } },
      ]);
    const rates = async () => {
      await ingest.flush();
      const rows = await sql<{ network: number }>(
        `SELECT t.network FROM telemetry_1s t JOIN telemetry_subject s ON s.id = t.subject
         WHERE s.drvm_id = $1 ORDER BY t.at`,
        [drvmId],
      );
      return rows.map(({ network }) => network);
    };
    take(10_000, 1_000_000);
    take(12_000, 1_500_000);
    // Heartbeats come more often than counters are read.
    take(12_000, 1_500_000);
    await until('its rate', async () => (await rates()).includes(4));
    const view = await until('it is shown', async () => {
      const { series } = await history('drvm=fisica&metric=networkMbps&step=1');
      return series.length > 0 ? series : undefined;
    });
    expect(view).toMatchObject([{ node: 'node1', metric: 'networkMbps' }]);
    const { length } = await rates();
    take(14_000, 9_000_000, 'second');
    const after = await until('the next sample', async () => {
      const all = await rates();
      return all.length > length ? all : undefined;
    });
    // Nothing is told of a process that has only begun.
    expect(after.every((rate) => rate === 0 || rate === 4)).toBe(true);
  });

  test('is rolled up to coarser steps, weighted, each once however often it runs', async () => {
    const rollup = api.app.get(TelemetryRollup, { strict: false });
    const [subject] = await sql<{ id: number }>(
      `SELECT id FROM telemetry_subject WHERE node_id = $1 AND drvm_id IS NULL`,
      [nodeId],
    );
    // Ten minutes of seconds, of which every second minute is hot; the last whole five minutes are looked at.
    await sql(
      `SELECT telemetry_cut('telemetry_1s', now() - interval '12 minutes', interval '5 minutes', 3, 'epoch', false)`,
    );
    await sql(
      `INSERT INTO telemetry_1s SELECT t, $1, CASE WHEN extract(minute FROM t)::int % 2 = 0 THEN 4000 ELSE 2000 END, 10, 1, 1, 1, 1
       FROM generate_series(date_bin('5 minutes', now(), 'epoch') - interval '10 minutes',
         date_bin('5 minutes', now(), 'epoch') - interval '1 second', interval '1 second') AS t`,
      [subject!.id],
    );
    await sql(`TRUNCATE telemetry_10s, telemetry_5min, telemetry_1h`);
    await sql(`DELETE FROM telemetry_progress`);
    const rows = await until('rolled up', async () => {
      await rollup.run();
      await rollup.run();
      const found = await sql<{ samples: number; cpu: number; cpu_max: number }>(
        `SELECT samples, cpu, cpu_max FROM telemetry_5min WHERE subject = $1
         AND at = date_bin('5 minutes', now() - interval '20 seconds', 'epoch') - interval '5 minutes'`,
        [subject!.id],
      );
      return found.length > 0 ? found : undefined;
    });
    expect(rows).toHaveLength(1);
    expect(rows[0]?.samples).toBe(300);
    expect([2_800, 3_200]).toContain(rows[0]?.cpu);
    expect(rows[0]?.cpu_max).toBe(4_000);
    const tens = await sql<{ count: number }>(
      `SELECT count(*)::int AS count FROM telemetry_10s WHERE subject = $1 GROUP BY at HAVING count(*) > 1`,
      [subject!.id],
    );
    expect(tens).toEqual([]);
    const view = await history('node=node1&metric=cpu&step=60');
    const means = view.series[0]!.points.map(({ mean }) => mean);
    expect(means.filter((mean) => mean === 4).length).toBeGreaterThan(2);
    expect(means.filter((mean) => mean === 2).length).toBeGreaterThan(2);
  });

  test('what has run out is dropped cut by cut', async () => {
    const cuts = async () =>
      (
        await sql<{ name: string }>(
          `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'telemetry_1s'::regclass`,
        )
      ).map(({ name }) => name);
    const old = `telemetry_1s_${Math.floor(Date.now() / 300_000) * 300 - 3_600}`;
    const begins = Number(old.split('_').at(-1));
    await sql(
      `CREATE TABLE ${old} PARTITION OF telemetry_1s FOR VALUES FROM ('${new Date(begins * 1_000).toISOString()}')
        TO ('${new Date((begins + 300) * 1_000).toISOString()}')`,
    );
    expect(await cuts()).toContain(old);
    await sql(
      `SELECT telemetry_cut('telemetry_1s', now(), interval '5 minutes', 2, now() - interval '15 minutes', false)`,
    );
    expect(await cuts()).not.toContain(old);
    expect((await cuts()).length).toBeGreaterThanOrEqual(4);
  });

  test('a year of a hundred nodes with ten DRVMs each takes less than ten gibibytes', async () => {
    const rowsMade = 50_000;
    let bytes = 0;
    for (const { table, seconds, keptSeconds, cutSeconds } of RESOLUTIONS) {
      await sql(`TRUNCATE ${table}`);
      const columns =
        seconds === 1 ? 'random() * 1000, 2, 3, 4, 5, 6' : '9, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2';
      await sql(
        `INSERT INTO ${table} SELECT date_bin('1 second', now(), 'epoch'), n % 1100, ${columns} FROM generate_series(1, $1) AS n`,
        [rowsMade],
      );
      const [size] = await sql<{ bytes: string }>(
        `SELECT sum(pg_total_relation_size(inhrelid)) AS bytes FROM pg_inherits WHERE inhparent = $1::regclass`,
        [table],
      );
      const perRow = Number(size!.bytes) / rowsMade;
      expect(perRow).toBeLessThan(150);
      bytes += perRow * 1_100 * ((keptSeconds + cutSeconds) / seconds);
      await sql(`TRUNCATE ${table}`);
    }
    expect(bytes / 2 ** 30).toBeLessThan(10);
  });
});

describe('usage', () => {
  test('of what is held is the time of each amount, through growth and deletion', async () => {
    const from = new Date(Date.now() - 60_000).toISOString();
    const slice = { drvmId_index: { drvmId, index: 0 } };
    await database.unrestricted.slice.update({ where: slice, data: { cpuMilli: 4_000 } });
    // What a heartbeat measures is no change of what is held.
    await database.unrestricted.slice.update({ where: slice, data: { usedCpuMilli: 77 } });
    const spans = await sql<{ cpu_milli: number; open: boolean; joined: boolean }>(
      `SELECT cpu_milli, to_at IS NULL AS open, from_at = lag(to_at) OVER (ORDER BY id) AS joined
       FROM usage_span WHERE drvm_id = $1 ORDER BY id`,
      [drvmId],
    );
    expect(spans.map(({ cpu_milli, open }) => [cpu_milli, open])).toEqual([
      [2_000, false],
      [4_000, true],
    ]);
    expect(spans[1]?.joined).toBe(true);
    // As if each had gone on for an hour.
    await sql(
      `UPDATE usage_span SET from_at = now() - interval '2 hours', to_at = now() - interval '1 hour' WHERE drvm_id = $1 AND to_at IS NOT NULL`,
      [drvmId],
    );
    await sql(
      `UPDATE usage_span SET from_at = now() - interval '1 hour' WHERE drvm_id = $1 AND to_at IS NULL`,
      [drvmId],
    );
    const begin = new Date(Date.now() - 3 * 3_600_000).toISOString();
    const view = (await api.admin.get<UsageView>(`/usage?by=drvm&from=${begin}`)).expect(200);
    expect(view.items[0]).toMatchObject({ tenant: 'physics', drvm: 'fisica', day: null });
    expect(view.items[0]?.coreHours).toBeCloseTo(6, 1);
    expect(view.total.memoryGiBHours).toBeCloseTo(1, 1);
    expect(from < new Date().toISOString()).toBe(true);
  });

  test('of what was measured adds the differences of counters, also when they begin anew or another process reads on', async () => {
    const meter = api.app.get(UsageMeter, { strict: false });
    const read = async (cpuMs: number, readBytes: number) => {
      const io = { readBytes, writtenBytes: 2 * readBytes, operations: 3 };
      meter.take(nodeId, [{ ...container(cpuMs), io, network: { receivedBytes: 5, sentBytes: 6 } }]);
      await meter.flush();
    };
    await sql(`DELETE FROM usage_counter`);
    await sql(`DELETE FROM usage_measured`);
    await read(3_600_000, 1_000);
    await read(7_200_000, 4_000);
    await read(7_200_000, 4_000);
    // Started anew.
    await read(1_800_000, 500);
    const view = (await api.admin.get<UsageView>('/usage?tenant=physics')).expect(200);
    expect(view.items).toHaveLength(1);
    expect(view.items[0]).toMatchObject({
      usedCoreHours: 2.5,
      readBytes: 4_500,
      writtenBytes: 9_000,
      ioOperations: 3,
      receivedBytes: 5,
      sentBytes: 6,
    });
    await sql(`DELETE FROM energy_share`);
    await sql(
      `INSERT INTO energy_share (hour, drvm_id, drvm, tenant_id, joules) VALUES (date_trunc('hour', now()), $1, 'fisica', $2, 7200000)
       ON CONFLICT (hour, drvm_id) DO UPDATE SET joules = EXCLUDED.joules`,
      [drvmId, tenantId],
    );
    expect((await api.admin.get<UsageView>('/usage?by=day')).expect(200).total.energyKWh).toBeCloseTo(2, 3);
  });

  test('of a process that was started anew counts all it did, and a late reading counts nothing twice', async () => {
    const meter = api.app.get(UsageMeter, { strict: false });
    await sql(`DELETE FROM usage_counter`);
    await sql(`DELETE FROM usage_measured`);
    const take = (incarnation: string | undefined, sentBytes: number, receivedAt?: number) => {
      const counted = {
        incarnation,
        io: { readBytes: 0, writtenBytes: 0, operations: sentBytes / 10 },
        network: { receivedBytes: 2 * sentBytes, sentBytes },
      };
      meter.take(
        nodeId,
        [{ ...container(0), ...(incarnation === undefined ? {} : counted) }],
        receivedAt ?? performance.now(),
      );
    };
    const before = performance.now();
    take('first', 1_000);
    // Two processes between two writings: what the first one did last is not lost.
    take('first', 1_500);
    take('second', 400);
    await meter.flush();
    // More than the process before had done, and yet none of it is that one's.
    take('third', 600);
    await meter.flush();
    // It tells nothing while it is being taken up again.
    take(undefined, 0);
    await meter.flush();
    take('third', 700);
    await meter.flush();
    // From an API process that the agent has left meanwhile.
    take('second', 450, before);
    await meter.flush();
    const [usage] = (await api.admin.get<UsageView>('/usage?tenant=physics')).expect(200).items;
    expect(usage).toMatchObject({ sentBytes: 2_600, receivedBytes: 5_200, ioOperations: 260 });
  });

  test('is exported as CSV and to Prometheus, to each what is its own', async () => {
    const headers = { authorization: `Bearer ${api.bootstrap.token}` };
    const csv = await fetch(`${api.url}/api/v1/usage?by=drvm&format=csv`, { headers });
    expect(csv.headers.get('content-type')).toContain('text/csv');
    const lines = (await csv.text()).trim().split('\r\n');
    expect(lines[0]).toMatch(/^tenant,drvm,day,coreHours/);
    expect(lines[1]).toMatch(/^physics,fisica,,/);
    const metrics = await (await fetch(`${api.url}/api/v1/usage/metrics`, { headers })).text();
    expect(metrics).toMatch(/drvs_tenant_core_hours\{tenant="physics"\} [\d.]+/);
    expect((await member.get('/usage')).status).toBe(403);
    (await api.admin.post('/tenants', { name: 'chemistry' })).expect(201);
    const other = await api.clientFor('tenant-admin', 'chemistry');
    expect((await other.get<UsageView>('/usage')).expect(200).items).toEqual([]);
    expect((await other.get('/usage?tenant=physics')).status).toBe(404);
    expect((await api.admin.get('/usage?from=2026-01-02&to=2026-01-01')).status).toBe(400);
  });

  test('goes on with the slice that is gone', async () => {
    await database.unrestricted.drvm.delete({ where: { id: drvmId } });
    const [span] = await sql<{ open: number }>(
      `SELECT count(*) FILTER (WHERE to_at IS NULL)::int AS open FROM usage_span`,
    );
    expect(span?.open).toBe(0);
    expect((await api.admin.get<UsageView>('/usage?by=drvm')).expect(200).items[0]?.drvm).toBe('fisica');
  });
});
