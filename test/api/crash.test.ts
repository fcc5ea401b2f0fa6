import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type AgentMethod,
  type DrvmView,
  DrvsError,
  type EventView,
  type NodeView,
  type OperationView,
} from '@drvs/contracts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { AgentPeer } from '../support/agent-peer.js';
import { ApiProcess, buildAll } from '../support/api-process.js';
import { until } from '../support/cluster.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';
import { hasRedis, startRedis, type TestRedis } from '../support/redis.js';

/** Until another process takes up what a killed one had begun: its lock must run out first. */
const TAKEN_UP_WITHIN_MS = 60_000;

let postgres: TestPostgres;
let redis: TestRedis | null = null;
let folder: string;
let api: ApiProcess;
let token: string;
let agents: AgentPeer[] = [];

beforeAll(async () => {
  await buildAll();
  postgres = await startPostgres();
  if (hasRedis) redis = await startRedis();
});
afterAll(async () => {
  await redis?.stop();
  await postgres?.stop();
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drvs-crash-'));
});

afterEach(async () => {
  for (const agent of agents) agent.disconnect();
  agents = [];
  await api?.kill();
  await rm(folder, { recursive: true, force: true });
});

async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(`${api.url}/api/v1/${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) },
    body: body ? JSON.stringify(body) : undefined,
  });
  const answer = (await response.json()) as T;
  if (!response.ok) throw new Error(`${method} ${path}: HTTP ${response.status} ${JSON.stringify(answer)}`);
  return answer;
}

async function clusterOfTwo(): Promise<void> {
  await api.start();
  const bootstrap = await api.bootstrap();
  token = bootstrap.token;
  for (const [index, enrolToken] of bootstrap.enrolTokens.entries()) {
    const agent = new AgentPeer(api.url, `node${index + 1}`);
    expect((await agent.enrol(enrolToken)).status).toBe(201);
    void agent.stayConnected();
    agents.push(agent);
  }
  await until(
    'both nodes are up',
    async () => {
      const { items } = await call<{ items: NodeView[] }>('GET', 'nodes');
      return (
        items.length === 2 && items.every(({ state, probation }) => state === 'up' && probation === 'passed')
      );
    },
    TAKEN_UP_WITHIN_MS,
  );
  await call('POST', 'tenants', { name: 'physics', quota: {} });
}

const create = () =>
  call<{ operation: OperationView; drvm: DrvmView }>('POST', 'drvms', {
    name: 'fisica',
    tenant: 'physics',
    cpu: 2,
    memoryMiB: 1024,
    diskGiB: 2,
    nodes: 2,
  });

const ended = (id: string) =>
  until(
    'the operation has ended',
    async () => {
      const operation = await call<OperationView>('GET', `operations/${id}`).catch(() => null);
      return operation && !['queued', 'running'].includes(operation.state) ? operation : undefined;
    },
    TAKEN_UP_WITHIN_MS,
  );

/** Kills the API when node2's agent is asked for `method`, and starts it again. */
function killAt(method: AgentMethod): Promise<void> {
  return new Promise((resolve, reject) => {
    let isDone = false;
    agents[1]!.before = async (called) => {
      if (called !== method || isDone) return;
      isDone = true;
      try {
        await api.kill();
        await api.start();
        resolve();
      } catch (error) {
        reject(error as Error);
      }
    };
  });
}

async function allocated(): Promise<number[]> {
  const { items } = await call<{ items: NodeView[] }>('GET', 'nodes');
  return items.map((node) => (node as NodeView & { allocated: { cpu: number } }).allocated.cpu);
}

const backends = hasRedis ? (['postgresql', 'redis'] as const) : (['postgresql'] as const);

describe.each(backends)('after kill -9 of the API, with jobs on %s,', (backend) => {
  beforeEach(async () => {
    api = await ApiProcess.on(await postgres.createDatabase(), folder, {
      DRVS_BOOTSTRAP_NODES: '2',
      ...(backend === 'redis' ? { REDIS_URL: `${redis?.url}` } : {}),
    });
    await clusterOfTwo();
  });

  test.each(['drvm.prepare', 'drvm.start'] as const)(
    'a creation killed in %s goes on, and every resource is given once',
    async (method) => {
      const killed = killAt(method);
      const { operation, drvm } = await create();
      await killed;
      const after = await ended(operation.id);
      expect(after).toMatchObject({ state: 'succeeded', progress: 1, error: null });
      expect(after.steps.every(({ state }) => state === 'succeeded')).toBe(true);
      expect(await call<DrvmView>('GET', 'drvms/fisica')).toMatchObject({ id: drvm.id, state: 'running' });
      expect(await allocated()).toEqual([1, 1]);
      for (const { containers } of agents) expect([...containers.keys()]).toEqual([drvm.id]);
    },
    180_000,
  );

  test('a creation that was being undone is undone to the end', async () => {
    const killed = killAt('drvm.delete');
    agents[0]!.before = (method) => {
      if (method === 'drvm.start') throw new DrvsError('InsufficientResources', 'no memory left');
    };
    const { operation } = await create();
    await killed;
    expect(await ended(operation.id)).toMatchObject({
      state: 'compensated',
      error: { code: 'InsufficientResources' },
    });
    expect((await call<{ items: DrvmView[] }>('GET', 'drvms')).items).toEqual([]);
    expect(await allocated()).toEqual([0, 0]);
    for (const { containers } of agents) expect(containers.size).toBe(0);
  }, 180_000);

  test('a deletion is finished', async () => {
    const { operation } = await create();
    await ended(operation.id);
    const killed = killAt('drvm.delete');
    const deletion = await call<OperationView>('DELETE', 'drvms/fisica');
    await killed;
    expect(await ended(deletion.id)).toMatchObject({ state: 'succeeded' });
    expect(await allocated()).toEqual([0, 0]);
    for (const { containers } of agents) expect(containers.size).toBe(0);
  }, 180_000);
});

describe('after a restart of the API', () => {
  test('silence counts from then on: nobody is told to be down for not having been heard meanwhile', async () => {
    const databaseUrl = await postgres.createDatabase();
    api = await ApiProcess.on(databaseUrl, folder, { DRVS_BOOTSTRAP_NODES: '2' });
    await clusterOfTwo();
    const [stays, leaves] = agents as [AgentPeer, AgentPeer];
    await api.kill();
    leaves.disconnect();
    // As if it had been away for five minutes.
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    await client.query(`UPDATE node SET last_seen_at = last_seen_at - interval '5 minutes'`);
    await client.query(`UPDATE api_process SET seen_at = seen_at - interval '5 minutes'`);
    await client.end();
    await api.start();
    const nodes = async () => (await call<{ items: NodeView[] }>('GET', 'nodes')).items;
    const first = await nodes();
    expect(first.map(({ name, state }) => [name, state])).toEqual([
      ['node1', 'up'],
      ['node2', 'up'],
    ]);
    // It is said when it was really heard last.
    expect(Date.now() - Date.parse(first[1]!.lastSeenAt!)).toBeGreaterThan(4 * 60_000);
    await until('one is heard again', () => stays.isConnected);
    await until(
      'the other is missed after all',
      async () => (await nodes()).some(({ name, state }) => name === 'node2' && state === 'down'),
      TAKEN_UP_WITHIN_MS,
    );
    const told = await until('it is told', async () => {
      const { items } = await call<{ items: EventView[] }>('GET', 'events');
      const down = items.filter(({ kind }) => ['node.down', 'node.lost'].includes(kind));
      return down.length > 0 ? down : undefined;
    });
    expect(told.map(({ kind, node }) => [kind, node])).toEqual([['node.down', 'node2']]);
    expect((await nodes())[0]).toMatchObject({ name: 'node1', state: 'up' });
  }, 240_000);
});
