import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DrvmView, MaintenanceOutcome, NodeView, OperationView } from '@drvs/contracts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Database } from '../../apps/api/src/database/database.js';
import type { AgentPeer } from '../support/agent-peer.js';
import { startApi, type TestApi } from '../support/api.js';
import { TestCluster, until } from '../support/cluster.js';
import { Guests, runningDrvm } from '../support/guests.js';
import { Machine } from '../support/machine.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';

/** Each node offers 4 vCPU and 4 GiB. */
let postgres: TestPostgres;
let databaseUrl: string;
let api: TestApi;
let cluster: TestCluster;
let database: Database;
let tenantId: string;
let admin: string;
let guests: Guests;
let nodes: AgentPeer[];

beforeAll(async () => {
  postgres = await startPostgres();
  databaseUrl = await postgres.createDatabase();
  api = await startApi(databaseUrl);
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
  guests = new Guests();
  nodes = [];
  for (const name of ['node1', 'node2', 'node3']) nodes.push(guests.attach(await cluster.node(name)));
});

afterEach(async () => {
  guests.stop();
  cluster.stop();
  await cluster.empty('plan', 'operation', 'drvm', 'enrolmentToken', 'node', 'event');
});

const WITHIN_MS = 60_000;
const rest = <T>(method: string, path: string, body?: unknown, token = admin) =>
  cluster.rest<T>(token, method, path, body);
const maintain = (body: object, token = admin) => rest<OperationView>('POST', 'maintenances', body, token);
const proceed = (id: string, body: object = {}) =>
  rest<OperationView>('POST', `operations/${id}/continue`, body);
const show = (id: string) => rest<OperationView>('GET', `operations/${id}`);
const ended = (id: string) => rest<OperationView>('GET', `operations/${id}/wait?timeoutSeconds=60`);
const outcomeOf = ({ result }: OperationView) => (result as MaintenanceOutcome).nodes;
const drvm = (name: string, cpu: number, memoryMiB: number, on: string[]) =>
  runningDrvm(cluster, admin, { name, tenant: 'physics', cpu, memoryMiB, nodes: on });
const stateOf = async (name: string) => (await rest<NodeView>('GET', `nodes/${name}`)).state;
const awaiting = (id: string, names: string[]) =>
  until(
    `${names.join(', ')} awaited`,
    async () => JSON.stringify((await show(id)).awaits) === JSON.stringify(names),
    WITHIN_MS,
  );
const waitUntilEmpty = { kind: 'wait', withinSeconds: 600 };

/** What each DRVM is guaranteed on each node. */
async function given(): Promise<Record<string, Record<string, number>>> {
  const { items } = await rest<{ items: DrvmView[] }>('GET', 'drvms');
  return Object.fromEntries(
    items.map(({ name, nodes: on }) => [name, Object.fromEntries(on.map(({ node, cpu }) => [node, cpu]))]),
  );
}

describe('the maintenance of a list of nodes', () => {
  test('takes one after another, empties it, and brings back all that was on it', async () => {
    const a = await drvm('aula', 1, 512, ['node1']);
    await drvm('banco', 0.5, 512, ['node2', 'node3']);
    guests.run(a, 1, 'node1');
    const before = await given();
    const operation = await maintain({ nodes: ['node1', 'node2'], work: { kind: 'none' } });
    expect(operation).toMatchObject({ kind: 'node.maintain', subject: 'maintenance/2 nodes', awaits: [] });
    const done = await ended(operation.id);
    expect(done).toMatchObject({ state: 'succeeded', progress: 1, error: null });
    expect(outcomeOf(done).map(({ node, state, reason }) => [node, state, reason])).toEqual([
      ['node1', 'done', null],
      ['node2', 'done', null],
    ]);
    expect(outcomeOf(done)[0]!.drained).toMatchObject({ kind: 'drain', node: 'node1', stays: [] });
    expect(outcomeOf(done)[0]!.restored).toMatchObject({ kind: 'restore', node: 'node1' });
    expect(await given()).toEqual(before);
    expect(guests.places(a)).toEqual({ 1: 'node1' });
    // Never two of them closed at the same time.
    const told = await database.unrestricted.event.findMany({
      where: { kind: { in: ['node.cordoned', 'node.restored', 'maintenance.done'] } },
      orderBy: { id: 'asc' },
    });
    expect(told.map(({ kind, node }) => `${kind} ${node}`)).toEqual([
      'node.cordoned node1',
      'node.restored node1',
      'node.cordoned node2',
      'node.restored node2',
      'maintenance.done null',
    ]);
  });

  test('waits at each group until somebody has said that the work is done', async () => {
    await drvm('aula', 0.5, 256, ['node1']);
    const { id } = await maintain({ nodes: ['node1', 'node2', 'node3'], atOnce: 2, work: waitUntilEmpty });
    await awaiting(id, ['node1', 'node2']);
    for (const name of ['node1', 'node2']) expect(await stateOf(name)).toBe('drained');
    expect(await stateOf('node3')).toBe('up');
    await expect(proceed(id, { nodes: ['node3'] })).rejects.toMatchObject({
      code: 'StateConflict',
      hint: 'It waits for node1, node2.',
    });
    expect((await proceed(id, { nodes: ['node2'] })).awaits).toEqual(['node1']);
    await proceed(id, { nodes: ['node1'] });
    await awaiting(id, ['node3']);
    expect(await given()).toMatchObject({ aula: { node1: 0.5 } });
    const events = await database.unrestricted.event.findMany({ where: { kind: 'maintenance.waiting' } });
    expect(events.map(({ node }) => node).sort()).toEqual(['node1', 'node2', 'node3']);
    await proceed(id);
    expect(await ended(id)).toMatchObject({ state: 'succeeded' });
    await expect(proceed(id)).rejects.toMatchObject({ code: 'StateConflict' });
    const audit = await database.unrestricted.auditEntry.findMany({
      where: { action: 'operation.continue' },
    });
    expect(audit.length).toBeGreaterThanOrEqual(3);
  });

  test('leaves a node drained on which the work failed, begins no other group, and goes on when it is tried again', async () => {
    const { id } = await maintain({ nodes: ['node1', 'node2'], work: waitUntilEmpty });
    await awaiting(id, ['node1']);
    await proceed(id, { failure: 'the new disk does not start' });
    const failed = await ended(id);
    expect(failed).toMatchObject({
      state: 'failed',
      error: { code: 'StateConflict', message: 'the work on node1 failed: the new disk does not start' },
    });
    expect(outcomeOf(failed)).toMatchObject([
      { node: 'node1', state: 'drained', reason: expect.stringContaining('new disk') },
      { node: 'node2', state: 'untouched', reason: null },
    ]);
    expect(await stateOf('node1')).toBe('drained');
    expect(await stateOf('node2')).toBe('up');
    await rest('POST', `operations/${id}/retry`);
    await awaiting(id, ['node1']);
    await proceed(id);
    await awaiting(id, ['node2']);
    await proceed(id);
    expect(await ended(id)).toMatchObject({ state: 'succeeded' });
    for (const name of ['node1', 'node2']) expect(await stateOf(name)).toBe('up');
  });

  test('leaves a node drained of whose work nobody told in time', async () => {
    const { id } = await maintain({ nodes: ['node1'], work: { kind: 'wait', withinSeconds: 1 } });
    expect(await ended(id)).toMatchObject({
      state: 'failed',
      error: { message: expect.stringContaining('nobody said within 1 s') },
    });
    expect(await stateOf('node1')).toBe('drained');
  });

  test('tells what keeps a node from being empty, and goes on with it when that is gone', async () => {
    await drvm('llena', 3.5, 3500, ['node1']);
    const large = await drvm('grande', 3, 3000, ['node2']);
    await drvm('ocupa', 3, 3000, ['node3']);
    const { id } = await maintain({ nodes: ['node2', 'node1'], work: { kind: 'none' } });
    const failed = await ended(id);
    expect(failed).toMatchObject({
      state: 'failed',
      error: { message: expect.stringContaining('node2 is not empty: grande@node2') },
    });
    expect(outcomeOf(failed)).toMatchObject([
      { node: 'node2', state: 'closed' },
      { node: 'node1', state: 'untouched' },
    ]);
    await ended((await rest<OperationView>('DELETE', `drvms/${large}`)).id);
    await database.unrestricted.drvm.deleteMany({ where: { name: { in: ['llena', 'ocupa'] } } });
    await rest('POST', `operations/${id}/retry`);
    expect(await ended(id)).toMatchObject({ state: 'succeeded', error: null });
    for (const name of ['node1', 'node2']) expect(await stateOf(name)).toBe('up');
  });

  test('that is cancelled opens what it closed and brings back what it moved', async () => {
    const a = await drvm('aula', 1, 512, ['node1']);
    guests.run(a, 1, 'node1');
    const before = await given();
    const { id } = await maintain({ nodes: ['node1', 'node2'], atOnce: 2, work: waitUntilEmpty });
    await awaiting(id, ['node1', 'node2']);
    expect(await given()).not.toEqual(before);
    await rest('POST', `operations/${id}/cancel`);
    const cancelled = await ended(id);
    expect(cancelled).toMatchObject({ state: 'cancelled' });
    expect(outcomeOf(cancelled).map(({ state }) => state)).toEqual(['opened', 'opened']);
    expect(await given()).toEqual(before);
    for (const name of ['node1', 'node2']) expect(await stateOf(name)).toBe('up');
    const left = await database.unrestricted.operation.count({
      where: { state: { in: ['queued', 'running'] } },
    });
    expect(left).toBe(0);
  });

  test('that is cancelled in the middle of a drain ends it and brings back what had moved', async () => {
    const [a, b] = [await drvm('aula', 0.5, 256, ['node1']), await drvm('banco', 0.5, 256, ['node1'])];
    for (const [id, pid] of [
      [a, 1],
      [b, 2],
    ] as const)
      guests.run(id, pid, 'node1');
    const before = await given();
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let begun = 0;
    guests.beforeMove = async () => {
      begun++;
      await held;
    };
    const { id } = await maintain({ nodes: ['node1'], work: { kind: 'none' } });
    await until('a move begun', () => begun > 0, WITHIN_MS);
    await rest('POST', `operations/${id}/cancel`);
    release();
    expect(await ended(id)).toMatchObject({ state: 'cancelled' });
    expect(await given()).toEqual(before);
    expect(await stateOf('node1')).toBe('up');
  });

  test('outlives the API: the next process goes on where the first was, and drains nothing twice', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'drvs-maintenance-'));
    const kept = { secretFile: join(folder, 'secret'), bootstrapFile: join(folder, 'bootstrap.json') };
    const url = await postgres.createDatabase();
    const own = new Guests();
    const running = [await startApi(url, kept)];
    try {
      const first = new TestCluster(running[0]!);
      await first.tenant('physics');
      const token = await first.token('supra-admin');
      const peers: AgentPeer[] = [];
      for (const name of ['node1', 'node2']) peers.push(own.attach(await first.node(name)));
      await runningDrvm(first, token, {
        name: 'aula',
        tenant: 'physics',
        cpu: 0.5,
        memoryMiB: 256,
        nodes: ['node1'],
      });
      const { id } = await first.rest<OperationView>(token, 'POST', 'maintenances', { nodes: ['node1'] });
      const look = (cluster: TestCluster) => () =>
        cluster
          .rest<OperationView>(token, 'GET', `operations/${id}`)
          .then(({ awaits }) => awaits?.includes('node1'));
      await until('node1 awaited', look(first), WITHIN_MS);
      for (const peer of peers) peer.disconnect();
      await running.pop()!.stop();
      running.push(await startApi(url, kept));
      for (const peer of peers) {
        Object.assign(peer, { url: running[0]!.url });
        await peer.connect();
      }
      const second = new TestCluster(running[0]!);
      await until('node1 awaited still', look(second), WITHIN_MS);
      await second.rest(token, 'POST', `operations/${id}/continue`, {});
      const done = await second.rest<OperationView>(token, 'GET', `operations/${id}/wait?timeoutSeconds=60`);
      expect(done).toMatchObject({ state: 'succeeded', error: null });
      const plans = await second.database.unrestricted.operation.findMany({ where: { kind: 'plan.apply' } });
      expect(plans.map(({ params }) => (params as { kind: string }).kind)).toEqual(['drain', 'restore']);
      for (const peer of peers) peer.disconnect();
    } finally {
      own.stop();
      for (const one of running) await one.stop();
      await rm(folder, { recursive: true, force: true });
    }
  });

  test('switches a node off and on again by its driver', async () => {
    const machine = await Machine.behind(nodes[0]!);
    try {
      await rest('PATCH', 'nodes/node1/power', { driver: 'command', settings: machine.settings() });
      await drvm('aula', 0.5, 256, ['node1']);
      const before = await given();
      const { id } = await maintain({ nodes: ['node1'], work: { kind: 'power-cycle' } });
      expect(await ended(id)).toMatchObject({ state: 'succeeded', error: null });
      expect(await machine.asked()).toEqual(['off node1', 'on node1']);
      expect(await given()).toEqual(before);
      expect(await stateOf('node1')).toBe('up');
    } finally {
      await machine.remove();
    }
  });

  test('is refused where it makes no sense', async () => {
    await expect(maintain({ nodes: ['node1', 'node1'] })).rejects.toMatchObject({ code: 'InvalidInput' });
    await expect(maintain({ nodes: [] })).rejects.toMatchObject({ code: 'InvalidInput' });
    await expect(maintain({ nodes: ['node1'], atOnce: 17 })).rejects.toMatchObject({ code: 'InvalidInput' });
    await expect(maintain({ nodes: ['node9'] })).rejects.toMatchObject({ code: 'NotFound' });
    await expect(maintain({ nodes: ['node1'], work: { kind: 'power-cycle' } })).rejects.toMatchObject({
      code: 'StateConflict',
      message: expect.stringContaining('no way is known to switch it'),
    });
    const member = await cluster.token('tenant-admin', tenantId);
    await expect(maintain({ nodes: ['node1'] }, member)).rejects.toMatchObject({ code: 'NotAllowed' });
    const { id } = await maintain({ nodes: ['node1'], work: waitUntilEmpty });
    await expect(maintain({ nodes: ['node2', 'node1'] })).rejects.toMatchObject({
      code: 'OperationUnderWay',
    });
    await awaiting(id, ['node1']);
    await expect(rest('POST', `operations/${id}/continue`, {}, member)).rejects.toMatchObject({
      code: 'NotAllowed',
    });
    await rest('POST', `operations/${id}/cancel`);
    await ended(id);
    nodes[2]!.disconnect();
    await database.unrestricted.node.update({
      where: { name: 'node3' },
      data: { lastSeenAt: new Date(Date.now() - 600_000) },
    });
    await expect(maintain({ nodes: ['node3'] })).rejects.toMatchObject({
      code: 'StateConflict',
      message: expect.stringContaining('node3 is down'),
    });
  });

  test('is asked for over GraphQL by the same rules', async () => {
    const graphql = async <T>(query: string, variables: object = {}): Promise<T> => {
      const answer = await fetch(`${api.url}/graphql`, {
        method: 'POST',
        headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
        body: JSON.stringify({ query, variables }),
      });
      return (await answer.json()) as T;
    };
    const begun = await graphql<{ data: { maintainNodes: { id: string } } }>(
      'mutation { maintainNodes(nodes: ["node1"], withinSeconds: 600) { id kind awaits } }',
    );
    const { id } = begun.data.maintainNodes;
    await awaiting(id, ['node1']);
    const told = await graphql<{ data: { continueOperation: { awaits: string[] } } }>(
      'mutation ($id: ID!) { continueOperation(id: $id) { awaits } }',
      { id },
    );
    expect(told.data.continueOperation.awaits).toEqual([]);
    expect(await ended(id)).toMatchObject({ state: 'succeeded' });
    const refused = await graphql<{ errors: { extensions: { code: string } }[] }>(
      'mutation { maintainNodes(nodes: ["node1", "node1"]) { id } }',
    );
    expect(refused.errors[0]!.extensions.code).toBe('InvalidInput');
  });
});
