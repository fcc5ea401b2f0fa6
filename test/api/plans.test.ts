import type { ClusterPlanView, NodeView, OperationView, PlanOutcome, ProcessRow } from '@drvs/contracts';
import { DrvsError } from '@drvs/contracts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Database } from '../../apps/api/src/database/database.js';
import { type AgentPeer, containerState } from '../support/agent-peer.js';
import { startApi, type TestApi } from '../support/api.js';
import { TestCluster, until } from '../support/cluster.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';

let postgres: TestPostgres;
let api: TestApi;
let cluster: TestCluster;
let database: Database;
let tenantId: string;
let admin: string;

let nodes: AgentPeer[];
let drvmId: string;
/** What runs in the DRVM, as its home container tells it; a migration changes the node. */
let processes: Map<number, ProcessRow>;
let started: Record<string, unknown>[];
/** Called before a migration is done; what it throws is the answer. */
let beforeMove: (pid: number) => void | Promise<void>;
let moves: number[];

beforeAll(async () => {
  postgres = await startPostgres();
  api = await startApi(await postgres.createDatabase());
  cluster = new TestCluster(api);
  database = cluster.database;
  tenantId = await cluster.tenant('physics');
  admin = await cluster.token('supra-admin');
});

afterAll(async () => {
  await api?.stop();
  await postgres?.stop();
});

beforeEach(async () => {
  nodes = [await cluster.node('node1'), await cluster.node('node2'), await cluster.node('node3')];
  processes = new Map();
  started = [];
  moves = [];
  beforeMove = () => undefined;
  drvmId = await runningDrvm('fisica', nodes);
  nodes[0]!.containerCall = (id, method, params) => {
    if (id !== drvmId) return [];
    return home(method, params);
  };
});

afterEach(async () => {
  cluster.stop();
  const { plan, operation, drvm, node, enrolmentToken, event } = database.unrestricted;
  for (const table of [plan, operation, drvm, enrolmentToken, node, event]) {
    await (table.deleteMany as (args: object) => Promise<unknown>)({});
  }
});

async function runningDrvm(name: string, on: AgentPeer[], ownerId = tenantId): Promise<string> {
  const drvm = await database.unrestricted.drvm.create({
    data: { name, tenantId: ownerId, state: 'running', detail: '' },
  });
  for (const [index, agent] of on.entries()) {
    await database.unrestricted.slice.create({
      data: {
        drvmId: drvm.id,
        tenantId: ownerId,
        nodeId: agent.nodeId,
        index,
        cpuMilli: 1_000,
        memoryMiB: 512,
        diskGiB: 1,
        networkMbps: 0,
        containerState: 'running',
      },
    });
    agent.containers.set(drvm.id, { ...containerState(drvm.id, 1, 'running'), processes: 0 });
    agent.beat();
  }
  return drvm.id;
}

async function home(method: string, params: Record<string, unknown>): Promise<unknown> {
  switch (method) {
    case 'process.list': {
      for (const row of processes.values()) if (row.state === 'running') row.cpuMs += 100;
      return [...processes.values()];
    }
    case 'process.start':
      started.push(params);
      return { pid: 99, node: 'node2' };
    case 'process.migrate': {
      const { pid, to } = params as { pid: number; to: string };
      await beforeMove(pid);
      const row = processes.get(pid);
      if (!row) throw new DrvsError('NotFound', `the DRVM has no process ${pid}`);
      const from = row.node;
      row.node = to;
      moves.push(pid);
      return { pid, from, to, bytes: 1_000, pauseMs: 2, totalMs: 5, rounds: 1 };
    }
    default:
      throw new DrvsError('NotFound', `no ${method} here`);
  }
}

function runs(pid: number, node: string, state: ProcessRow['state'] = 'running'): void {
  processes.set(pid, {
    pid,
    ppid: 0,
    node,
    state,
    cpuMs: 0,
    memoryBytes: 4 << 20,
    command: 'survey',
    endpoint: pid,
    startedAt: new Date().toISOString(),
    exitCode: null,
    signal: null,
  });
}

const rest = <T>(method: string, path: string, body?: unknown, token = admin) =>
  cluster.rest<T>(token, method, path, body);
const plan = (body: object, token = admin) => rest<ClusterPlanView>('POST', 'plans', body, token);
const apply = (id: string, token = admin) =>
  rest<OperationView>('POST', `plans/${id}/apply`, undefined, token);
const ended = (id: string) => rest<OperationView>('GET', `operations/${id}/wait?timeoutSeconds=20`);
const places = () => [...processes.values()].map(({ pid, node }) => [pid, node]);
const stateOf = async (name: string) => (await rest<NodeView>('GET', `nodes/${name}`)).state;

describe('a balance', () => {
  test('moves one of two programs that compete, once, and not a third', async () => {
    runs(1, 'node1');
    runs(2, 'node1');
    runs(3, 'node2', 'waiting');
    const made = await plan({ kind: 'balance' });
    expect(made).toMatchObject({ kind: 'balance', node: null, operation: null, cost: { moves: 1 } });
    expect(made.steps).toEqual([
      expect.objectContaining({
        action: 'migrate-process',
        drvm: 'fisica',
        from: 'node1',
        command: 'survey',
      }),
    ]);
    expect(made.gain.strainAfter).toBeLessThan(made.gain.strainBefore);
    expect(places()).toContainEqual([1, 'node1']);

    const operation = await apply(made.id);
    expect(operation).toMatchObject({ kind: 'plan.apply', subject: 'plan/balance' });
    const done = await ended(operation.id);
    expect(done).toMatchObject({ state: 'succeeded', progress: 1, error: null });
    expect((done.result as PlanOutcome).moved).toHaveLength(1);
    expect(new Set([...processes.values()].map(({ node }) => node)).size).toBeGreaterThan(1);
    expect(moves).toHaveLength(1);

    await expect(apply(made.id)).rejects.toMatchObject({ code: 'StateConflict' });
    expect((await rest<ClusterPlanView>('GET', `plans/${made.id}`)).operation).toBe(operation.id);
    const again = await plan({ kind: 'balance' });
    expect(again).toMatchObject({ steps: [], gain: { summary: 'nothing to do' } });
    const { items } = await rest<{ items: ClusterPlanView[] }>('GET', 'plans');
    expect(items.map(({ id }) => id)).toEqual([again.id, made.id]);
  });

  test('is refused when it is old, and when what it counts on has changed', async () => {
    runs(1, 'node1');
    runs(2, 'node1');
    const old = await plan({ kind: 'balance' });
    await database.unrestricted.plan.update({
      where: { id: old.id },
      data: { createdAt: new Date(Date.now() - 11 * 60_000) },
    });
    await expect(apply(old.id)).rejects.toMatchObject({
      code: 'StaleGeneration',
      hint: expect.stringContaining('drvs plan balance'),
    });
    const made = await plan({ kind: 'balance' });
    await database.unrestricted.drvm.update({
      where: { id: drvmId },
      data: { generation: { increment: 1 } },
    });
    await expect(apply(made.id)).rejects.toMatchObject({
      code: 'StaleGeneration',
      message: expect.stringContaining('fisica has changed'),
    });
    expect(moves).toEqual([]);
  });

  test('says so when a DRVM does not answer, and plans for the others', async () => {
    runs(1, 'node1');
    runs(2, 'node1');
    await runningDrvm('muda', [nodes[1]!]);
    const { steps, rejected } = await plan({ kind: 'balance' });
    expect(steps).toHaveLength(1);
    expect(rejected).toContainEqual({ what: 'muda', reason: expect.stringContaining('not known') });
  });

  test('of a department looks at its own DRVMs only, and nobody else sees its plan', async () => {
    runs(1, 'node1');
    runs(2, 'node1');
    const other = await cluster.tenant(`chemistry-${Date.now()}`);
    const [own, theirs] = [await cluster.token('member', tenantId), await cluster.token('member', other)];
    const made = await plan({ kind: 'balance' }, own);
    expect(made.steps).toHaveLength(1);
    expect((await plan({ kind: 'balance' }, theirs)).steps).toEqual([]);
    await expect(rest('GET', `plans/${made.id}`, undefined, theirs)).rejects.toMatchObject({
      code: 'NotFound',
    });
    await expect(apply(made.id, theirs)).rejects.toMatchObject({ code: 'NotFound' });
    await expect(plan({ kind: 'drain', node: 'node1' }, own)).rejects.toMatchObject({ code: 'NotAllowed' });
    expect(await ended((await apply(made.id, own)).id)).toMatchObject({ state: 'succeeded' });
  });
});

describe('carrying a plan out', () => {
  test('skips what is no longer wanted, and says why', async () => {
    for (const pid of [1, 2, 3]) runs(pid, 'node2', 'waiting');
    const made = await plan({ kind: 'drain', node: 'node2' });
    expect(made.steps.map(({ action }) => action)).toEqual([
      'cordon',
      'migrate-process',
      'migrate-process',
      'migrate-process',
    ]);
    const [, first, second] = made.steps as Extract<ClusterPlanView['steps'][number], { pid: number }>[];
    processes.delete(first!.pid);
    processes.get(second!.pid)!.node = second!.to;
    const done = await ended((await apply(made.id)).id);
    expect(done.state).toBe('succeeded');
    expect(done.steps.map(({ state }) => state)).toEqual([
      'succeeded',
      'skipped',
      'skipped',
      'succeeded',
      'succeeded',
    ]);
    expect(done.steps.map(({ error }) => error)).toEqual([
      null,
      `process ${first!.pid} has ended`,
      `process ${second!.pid} is on ${second!.to} already`,
      null,
      null,
    ]);
    expect(moves).toHaveLength(1);
  });

  test('goes on where one process cannot move, and fails at the end with the reason', async () => {
    for (const pid of [1, 2]) runs(pid, 'node2', 'waiting');
    beforeMove = (pid) => {
      if (pid === 1) throw new DrvsError('MigrationFailed', 'no memory left there');
    };
    const { id } = await rest<OperationView>('POST', 'nodes/node2/drain');
    const done = await ended(id);
    expect(done).toMatchObject({ state: 'failed', error: { code: 'MigrationFailed' } });
    expect(done.steps[0]).toMatchObject({
      state: 'failed',
      error: 'it stays on node2: no memory left there',
    });
    expect(moves).toEqual([2]);
    beforeMove = () => undefined;
    await rest('POST', `operations/${id}/retry`);
    expect(await ended(id)).toMatchObject({ state: 'succeeded' });
    expect(moves).toEqual([2, 1]);
  });

  test('goes on after a crash where it was: what had moved is not moved again', async () => {
    for (const pid of [1, 2]) runs(pid, 'node2', 'waiting');
    const { id } = await rest<OperationView>('POST', 'nodes/node2/drain');
    expect((await ended(id)).state).toBe('succeeded');
    // As a process leaves it that is killed after the second move and before it could write that down.
    const second = { operationId: id, position: 1 };
    await database.system(async (tx) => {
      await tx.operationStep.update({
        where: { operationId_position: second },
        data: { state: 'running', output: {} },
      });
      await tx.operationStep.update({
        where: { operationId_position: { ...second, position: 2 } },
        data: { state: 'pending' },
      });
      await tx.operation.update({
        where: { id },
        data: { state: 'running', endedAt: null, result: {}, progress: 1 / 3 },
      });
    });
    // The next sweep finds it.
    const done = await ended(id);
    expect(done.state).toBe('succeeded');
    expect(done.steps.map(({ state }) => state)).toEqual(['succeeded', 'skipped', 'succeeded']);
    expect(done.steps[1]?.error).toMatch(/is on node[13] already/);
    expect(moves).toHaveLength(2);
  });

  test('is cancelled between two moves: the one under way is finished, and what moved stays', async () => {
    for (const pid of [1, 2, 3]) runs(pid, 'node2', 'waiting');
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let begun = 0;
    beforeMove = () => {
      begun++;
      return held;
    };
    const { id } = await rest<OperationView>('POST', 'nodes/node2/drain');
    await until('the first move has begun', () => begun === 1);
    await rest('POST', `operations/${id}/cancel`);
    await new Promise((resolve) => setTimeout(resolve, 700));
    release();
    const done = await ended(id);
    expect(done).toMatchObject({ state: 'cancelled', error: { code: 'Cancelled' } });
    expect(done.steps.map(({ state }) => state)).toEqual(['succeeded', 'pending', 'pending', 'pending']);
    expect(moves).toHaveLength(1);
  });
});

describe('a node that is drained', () => {
  test('is emptied of programs, takes nothing new, and is open again when it is restored', async () => {
    for (const pid of [1, 2]) runs(pid, 'node2');
    const operation = await rest<OperationView>('POST', 'nodes/node2/drain');
    expect(operation).toMatchObject({ kind: 'plan.apply', subject: 'node/node2' });
    const done = await ended(operation.id);
    expect(done.state).toBe('succeeded');
    const { moved, stays } = done.result as PlanOutcome;
    expect(moved).toHaveLength(2);
    expect(places().map(([, node]) => node)).not.toContain('node2');
    expect(stays).toEqual([
      { what: 'fisica@node2', reason: expect.stringContaining('slices cannot move yet') },
    ]);
    expect(await stateOf('node2')).toBe('drained');

    await rest('POST', 'drvms/fisica/processes', { program: '/bin/survey' });
    expect(started.at(-1)).toMatchObject({ node: null, avoid: ['node2'] });
    await expect(
      rest('POST', 'drvms/fisica/processes', { program: '/bin/survey', node: 'node2' }),
    ).rejects.toMatchObject({ code: 'StateConflict', hint: expect.stringContaining('node restore node2') });
    await expect(rest('POST', 'drvms/fisica/processes/1/migrate', { to: 'node2' })).rejects.toMatchObject({
      code: 'StateConflict',
    });
    await expect(
      rest('POST', 'drvms', { name: 'nova', tenant: 'physics', cpu: 0.5, memoryMiB: 256, nodes: ['node2'] }),
    ).rejects.toMatchObject({
      code: 'InsufficientResources',
      message: expect.stringContaining('cordoned'),
    });

    expect(await rest('POST', 'nodes/node2/restore')).toMatchObject({ name: 'node2', state: 'up' });
    await rest('POST', 'drvms/fisica/processes', { program: '/bin/survey' });
    expect(started.at(-1)).toMatchObject({ avoid: [] });
    const kinds = (await database.unrestricted.event.findMany({ where: { node: 'node2' } })).map(
      ({ kind }) => kind,
    );
    expect(kinds).toEqual(expect.arrayContaining(['node.cordoned', 'node.restored']));
  });

  test('is draining for as long as the home of a DRVM is there, and the plan says that it stays', async () => {
    runs(1, 'node1');
    const done = await ended((await rest<OperationView>('POST', 'nodes/node1/drain')).id);
    expect((done.result as PlanOutcome).stays.map(({ reason }) => reason)).toEqual([
      expect.stringContaining('home of its DRVM stays'),
      expect.stringContaining('slices cannot move yet'),
    ]);
    expect(await stateOf('node1')).toBe('draining');
  });

  test('must be up, and only a supra-administrator drains and restores', async () => {
    const member = await cluster.token('member', tenantId);
    await expect(rest('POST', 'nodes/node2/drain', undefined, member)).rejects.toMatchObject({
      code: 'NotAllowed',
    });
    await expect(rest('POST', 'nodes/node2/restore', undefined, member)).rejects.toMatchObject({
      code: 'NotAllowed',
    });
    await expect(rest('POST', 'nodes/nowhere/drain')).rejects.toMatchObject({ code: 'NotFound' });
    nodes[2]!.disconnect();
    await until('its last heartbeat is worked off', async () => {
      await database.unrestricted.node.update({
        where: { id: nodes[2]!.nodeId },
        data: { lastSeenAt: new Date(0) },
      });
      return (await stateOf('node3')) === 'down';
    });
    await expect(rest('POST', 'nodes/node3/drain')).rejects.toMatchObject({ code: 'StateConflict' });
  });
});

test('GraphQL plans, applies, drains and restores by the same services', async () => {
  runs(1, 'node1');
  runs(2, 'node1');
  const ask = async (query: string) => {
    const response = await fetch(`${api.url}/graphql`, {
      method: 'POST',
      headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
      body: JSON.stringify({ query }),
    });
    const { data, errors } = (await response.json()) as {
      data: Record<string, { id: string; kind: string }>;
      errors?: unknown;
    };
    expect(errors).toBeUndefined();
    return data;
  };
  const made = await ask(
    'mutation { makePlan(kind: "balance") { id kind steps { action drvm pid from to reason } gain { summary } cost { moves } rejected { what } } }',
  );
  const id = made.makePlan!.id;
  expect(made.makePlan).toMatchObject({ kind: 'balance', cost: { moves: 1 } });
  const applied = await ask(`mutation { applyPlan(id: "${id}") { id kind } }`);
  expect((await ended(applied.applyPlan!.id)).state).toBe('succeeded');
  expect(await ask(`{ plan(id: "${id}") { operation } plans(first: 1) { nodes { id } } }`)).toMatchObject({
    plan: { operation: applied.applyPlan!.id },
    plans: { nodes: [{ id }] },
  });
  const drained = await ask('mutation { drainNode(name: "node3") { id } }');
  expect((await ended(drained.drainNode!.id)).state).toBe('succeeded');
  expect(await ask('mutation { restoreNode(name: "node3") { name state } }')).toMatchObject({
    restoreNode: { state: 'up' },
  });
});
