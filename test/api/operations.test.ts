import {
  type ContainerMethod,
  DrvsError,
  type OperationView,
  type RpcCallOptions,
  withBody,
} from '@drvs/contracts';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { ContainerParams } from '../../apps/api/src/agents/agent-link.js';
import { AgentLinks } from '../../apps/api/src/agents/agent-links.js';
import { AgentsService } from '../../apps/api/src/agents/agents.service.js';
import { NodeReports } from '../../apps/api/src/agents/node-reports.js';
import { SYSTEM } from '../../apps/api/src/auth/actor.js';
import { CONFIG, type Config } from '../../apps/api/src/config/config.js';
import type { Database } from '../../apps/api/src/database/database.js';
import { OperationsService } from '../../apps/api/src/operations/operations.service.js';
import { AgentPeer } from '../support/agent-peer.js';
import { startApi, type TestApi } from '../support/api.js';
import { TestCluster, until } from '../support/cluster.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';

let postgres: TestPostgres;
let api: TestApi;
let cluster: TestCluster;
let database: Database;
let operations: OperationsService;
let tenantId: string;
const signal = new AbortController().signal;

beforeAll(async () => {
  postgres = await startPostgres();
  api = await startApi(await postgres.createDatabase());
  cluster = new TestCluster(api);
  database = cluster.database;
  operations = api.app.get(OperationsService, { strict: false });
  tenantId = await cluster.tenant('physics');
});

// Each test begins with a cluster of its own.
afterEach(async () => {
  cluster.stop();
  const { operation, drvm, node, enrolmentToken } = database.unrestricted;
  await operation.deleteMany();
  await drvm.deleteMany();
  await enrolmentToken.deleteMany();
  await node.deleteMany();
});

afterAll(async () => {
  await api?.stop();
  await postgres?.stop();
});

const node = (name: string) => cluster.node(name);

async function drvmOn(nodes: AgentPeer[], name = 'fisica'): Promise<{ drvmId: string; operationId: string }> {
  return database.system(async (tx) => {
    const drvm = await tx.drvm.create({ data: { name, tenantId } });
    for (const [index, { nodeId }] of nodes.entries()) {
      await tx.slice.create({
        data: {
          drvmId: drvm.id,
          tenantId,
          nodeId,
          index,
          cpuMilli: 500,
          memoryMiB: 512,
          diskGiB: 2,
          networkMbps: 0,
        },
      });
    }
    const operation = await start(tx, 'drvm.create', drvm.id, name);
    return { drvmId: drvm.id, operationId: operation.id };
  });
}

const start = (
  tx: Parameters<OperationsService['start']>[0],
  kind: OperationView['kind'],
  drvmId: string,
  name = 'fisica',
  params = {},
) => operations.start(tx, { kind, subject: `drvm/${name}`, tenantId, drvmId, params, actor: SYSTEM });

const request = (kind: OperationView['kind'], drvmId: string, params = {}) =>
  database.system(async (tx) => (await start(tx, kind, drvmId, 'fisica', params)).id);

const ended = (operationId: string) => operations.wait(SYSTEM, operationId, 20_000, signal);
const drvmRow = (id: string) =>
  database.unrestricted.drvm.findUnique({ where: { id }, include: { slices: true } });
const given = async () =>
  (await database.unrestricted.inventory.findMany({ where: { class: 'cpuMilli' } })).map(({ used }) => used);

/** As if it had been away for long. */
async function loseForGood(agent: AgentPeer): Promise<void> {
  agent.disconnect();
  await until('its last heartbeat is worked off', async () => {
    await database.unrestricted.node.update({
      where: { id: agent.nodeId },
      data: { lastSeenAt: new Date(0) },
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    const row = await database.unrestricted.node.findUnique({ where: { id: agent.nodeId } });
    return row?.lastSeenAt?.getTime() === 0;
  });
}

describe('drvm.create', () => {
  test('makes a running DRVM with certificates of its own on every node', async () => {
    const nodes = [await node('node1'), await node('node2'), await node('node3')];
    const { drvmId, operationId } = await drvmOn(nodes);
    const operation = await ended(operationId);
    expect(operation).toMatchObject({ state: 'succeeded', progress: 1, error: null });
    expect(
      operation.steps.every(({ state, startedAt, endedAt }) => state === 'succeeded' && startedAt && endedAt),
    ).toBe(true);
    expect(operation.steps).toHaveLength(9);
    const drvm = await drvmRow(drvmId);
    expect(drvm).toMatchObject({ state: 'running', wantedState: 'running', detail: '' });
    expect(drvm?.slices.map(({ containerState }) => containerState)).toEqual([
      'running',
      'running',
      'running',
    ]);
    const [one, two] = nodes.map(({ specs }) => specs.get(drvmId));
    expect(one?.peers.map(({ nodeName, port }) => [nodeName, port])).toEqual([
      ['node1', 20_000],
      ['node2', 20_001],
      ['node3', 20_002],
    ]);
    expect(one?.certificate).not.toBe(two?.certificate);
    expect(one?.authorityCertificate).toBe(two?.authorityCertificate);
    expect(JSON.stringify(one)).not.toContain('PRIVATE KEY');
  });

  test('leaves nothing behind when a node refuses, and says why', async () => {
    const nodes = [await node('node1'), await node('node2')];
    nodes[1]!.before = (method) => {
      if (method === 'drvm.start')
        throw new DrvsError('InsufficientResources', 'no memory left', { hint: 'add some' });
    };
    const { drvmId, operationId } = await drvmOn(nodes);
    expect(await given()).toEqual([500, 500]);
    const operation = await ended(operationId);
    expect(operation).toMatchObject({
      state: 'compensated',
      error: { code: 'InsufficientResources', message: 'node2: no memory left', hint: 'add some' },
    });
    expect(operation.steps.map(({ state }) => state)).toContain('compensated');
    expect(await drvmRow(drvmId)).toBeNull();
    expect(await given()).toEqual([0, 0]);
    for (const { containers } of nodes) expect(containers.size).toBe(0);
  });

  test('can be cancelled while it waits for a node that is away, and is undone', async () => {
    const nodes = [await node('node1'), await node('node2')];
    await loseForGood(nodes[1]!);
    const { drvmId, operationId } = await drvmOn(nodes);
    await until('the first container is prepared', async () => nodes[0]!.calls.length > 0);
    await operations.cancel(SYSTEM, operationId);
    expect(await ended(operationId)).toMatchObject({ state: 'cancelled', error: { code: 'Cancelled' } });
    expect(await drvmRow(drvmId)).toBeNull();
    expect(await given()).toEqual([0, 0]);
    expect(nodes[0]!.calls.findLast((call) => call.drvmId === drvmId)?.method).toBe('drvm.delete');
  });

  test('waits for an agent that dies in the middle, and goes on when it is back', async () => {
    const nodes = [await node('node1'), await node('node2')];
    let deaths = 0;
    nodes[1]!.before = (method) => {
      if (method !== 'drvm.start' || deaths++ > 0) return;
      nodes[1]!.disconnect();
      setTimeout(() => void nodes[1]!.connect(), 500);
    };
    const { drvmId, operationId } = await drvmOn(nodes);
    expect(await ended(operationId)).toMatchObject({ state: 'succeeded' });
    expect(deaths).toBe(2);
    expect(nodes[1]!.containers.get(drvmId)?.state).toBe('running');
  });
});

describe('the life of a DRVM', () => {
  test('is stopped, started and deleted, and each of them once at a time', async () => {
    const nodes = [await node('node1'), await node('node2')];
    const { drvmId, operationId } = await drvmOn(nodes);
    await ended(operationId);
    const generation = nodes[0]!.specs.get(drvmId)!.generation;

    const stop = await request('drvm.stop', drvmId);
    await expect(request('drvm.start', drvmId)).rejects.toThrow();
    expect(await ended(stop)).toMatchObject({ state: 'succeeded' });
    expect(await drvmRow(drvmId)).toMatchObject({ state: 'stopped', wantedState: 'stopped' });
    expect(nodes.map(({ containers }) => containers.get(drvmId)?.state)).toEqual(['stopped', 'stopped']);

    expect(await ended(await request('drvm.start', drvmId))).toMatchObject({ state: 'succeeded' });
    expect(await drvmRow(drvmId)).toMatchObject({ state: 'running', wantedState: 'running' });
    expect(nodes[0]!.specs.get(drvmId)!.generation).toBeGreaterThan(generation);

    expect(await ended(await request('drvm.delete', drvmId))).toMatchObject({ state: 'succeeded' });
    expect(await drvmRow(drvmId)).toBeNull();
    expect(await given()).toEqual([0, 0]);
    expect(nodes.map(({ containers }) => containers.size)).toEqual([0, 0]);
  });

  test('stays stopped when a report of before comes to be written only then', async () => {
    const nodes = [await node('node1'), await node('node2')];
    const { drvmId, operationId } = await drvmOn(nodes);
    await ended(operationId);
    const receivedAt = performance.now();
    const before = nodes.map(({ nodeId, containers }) => ({ nodeId, containers: [...containers.values()] }));
    expect(before.flatMap(({ containers }) => containers.map(({ state }) => state))).toEqual([
      'running',
      'running',
    ]);
    await ended(await request('drvm.stop', drvmId));
    const reports = api.app.get(NodeReports);
    for (const { nodeId, containers } of before) await reports.containers(nodeId, { containers, receivedAt });
    const row = await drvmRow(drvmId);
    expect(row).toMatchObject({ state: 'stopped', wantedState: 'stopped', detail: '' });
    expect(row?.slices.map(({ containerState }) => containerState)).toEqual(['stopped', 'stopped']);
  });

  test('a start that fails leaves a stopped DRVM stopped', async () => {
    const nodes = [await node('node1'), await node('node2')];
    const { drvmId, operationId } = await drvmOn(nodes);
    await ended(operationId);
    await ended(await request('drvm.stop', drvmId));
    // As a report leaves it that was on its way when the DRVM stopped.
    await database.unrestricted.drvm.update({ where: { id: drvmId }, data: { state: 'degraded' } });
    nodes[0]!.before = (method) => {
      if (method === 'drvm.start') throw new DrvsError('Internal', 'cannot fork');
    };
    expect(await ended(await request('drvm.start', drvmId))).toMatchObject({ state: 'compensated' });
    expect(await drvmRow(drvmId)).toMatchObject({ state: 'stopped', wantedState: 'stopped' });
    expect(nodes.map(({ containers }) => containers.get(drvmId)?.state)).toEqual(['stopped', 'stopped']);
  });

  test('a failed migration leaves the process where it was, and can be tried again', async () => {
    const nodes = [await node('node1'), await node('node2')];
    const { drvmId, operationId } = await drvmOn(nodes);
    await ended(operationId);
    const keys: unknown[] = [];
    nodes[0]!.containerCall = (_, method, params) => {
      keys.push(params.requestKey);
      if (keys.length === 1) throw new DrvsError('MigrationFailed', 'node2 refused the image');
      expect(method).toBe('process.migrate');
      return { pid: 12, from: 'node1', to: 'node2', bytes: 65_536, pauseMs: 1.5, totalMs: 4, rounds: 1 };
    };
    const migration = await request('process.migrate', drvmId, { pid: 12, to: 'node2' });
    expect(await ended(migration)).toMatchObject({ state: 'failed', error: { code: 'MigrationFailed' } });
    await operations.retry(SYSTEM, migration);
    expect(await ended(migration)).toMatchObject({
      state: 'succeeded',
      result: { pid: 12, from: 'node1', to: 'node2', bytes: 65_536 },
      error: null,
    });
    expect(keys).toEqual([migration, migration]);
    await expect(operations.retry(SYSTEM, migration)).rejects.toMatchObject({ code: 'StateConflict' });
    await expect(operations.cancel(SYSTEM, migration)).rejects.toMatchObject({ code: 'StateConflict' });
  });
});

describe('what a node holds is brought to what it should hold', () => {
  test('a deletion ends while a node is down, which deletes its part when it comes back', async () => {
    const nodes = [await node('node1'), await node('node2')];
    const { drvmId, operationId } = await drvmOn(nodes);
    await ended(operationId);
    await loseForGood(nodes[1]!);
    const deletion = await ended(await request('drvm.delete', drvmId));
    expect(deletion).toMatchObject({ state: 'succeeded' });
    expect(deletion.steps.map(({ state }) => state)).toEqual(['succeeded', 'skipped', 'succeeded']);
    expect(nodes[1]!.containers.has(drvmId)).toBe(true);
    await nodes[1]!.connect();
    await until('the container is gone', async () => !nodes[1]!.containers.has(drvmId));
  });

  test('a container that is missing is started again', async () => {
    const nodes = [await node('node1')];
    const { drvmId, operationId } = await drvmOn(nodes);
    await ended(operationId);
    nodes[0]!.containers.delete(drvmId);
    await until('it runs again', async () => nodes[0]!.containers.get(drvmId)?.state === 'running');
    await until('the DRVM is running', async () => (await drvmRow(drvmId))?.state === 'running');
  });

  test('a DRVM with a failed container is degraded, and running when it is back', async () => {
    const nodes = [await node('node1'), await node('node2')];
    const { drvmId, operationId } = await drvmOn(nodes);
    await ended(operationId);
    const good = nodes[1]!.containers.get(drvmId)!;
    nodes[1]!.containers.set(drvmId, { ...good, state: 'failed' });
    const degraded = await until('degraded', async () => {
      const row = await drvmRow(drvmId);
      return row?.state === 'degraded' ? row : undefined;
    });
    expect(degraded.detail).toBe('the container on node2 has failed');
    nodes[1]!.containers.set(drvmId, good);
    await until('running', async () => (await drvmRow(drvmId))?.state === 'running');
  });

  test('an inventory that shrinks below what is given keeps what is given', async () => {
    const [agent] = [await node('node1')];
    const { operationId } = await drvmOn([agent]);
    await ended(operationId);
    agent.emit('inventory', agent.inventory({ ...agent.offered, cpuMilli: 300 }));
    const row = await until('shrunk', async () => {
      const cpu = await database.unrestricted.inventory.findUnique({
        where: { nodeId_class: { nodeId: agent.nodeId, class: 'cpuMilli' } },
      });
      return cpu?.total === 300 ? cpu : undefined;
    });
    expect(row.used).toBe(500);
    await until('told', async () =>
      database.unrestricted.event
        .findFirst({ where: { kind: 'node.overcommitted', nodeId: agent.nodeId } })
        .then(Boolean),
    );
  });
});

describe('several API processes', () => {
  test('an operation asked of one is done by the agents of another', async () => {
    const { databaseUrl, secretFile, bootstrapFile } = api.app.get<Config>(CONFIG);
    const other = await startApi(databaseUrl, { secretFile, bootstrapFile });
    const agent = new AgentPeer(other.url, 'node1');
    try {
      expect((await agent.enrol(await cluster.enrolToken())).status).toBe(201);
      await agent.connect();
      const { drvmId, operationId } = await drvmOn([agent]);
      expect(await ended(operationId)).toMatchObject({ state: 'succeeded' });
      expect(agent.containers.get(drvmId)?.state).toBe('running');
      expect(await drvmRow(drvmId)).toMatchObject({ state: 'running' });
    } finally {
      agent.disconnect();
      await other.stop();
    }
  });

  test('what is asked of the one that does not hold the channel is asked of the agent all the same', async () => {
    const { databaseUrl, secretFile, bootstrapFile } = api.app.get<Config>(CONFIG);
    const other = await startApi(databaseUrl, { secretFile, bootstrapFile });
    const agent = new AgentPeer(other.url, 'node1');
    const content = Buffer.alloc(1_048_576, 'drvs ');
    let reach = (): void => undefined;
    const reached = new Promise<void>((resolve) => {
      reach = resolve;
    });
    const cancelled = new Promise<void>((resolve) => {
      agent.containerCall = async (_, method, _params, context) => {
        if (method === 'process.list') return [];
        if (method === 'file.stat') {
          const at = new Date(0).toISOString();
          return { path: '/data', kind: 'file', size: content.length, mode: 0o644, modifiedAt: at };
        }
        if (method === 'file.read') return withBody({ size: content.length, eof: true }, content);
        if (method === 'process.wait') {
          reach();
          await new Promise<void>((ended) => context.signal.addEventListener('abort', () => ended()));
          resolve();
          throw new DrvsError('Cancelled', 'nobody waits');
        }
        if (method !== 'process.output') throw new DrvsError('NotFound', `no ${method} here`);
        for (let part = 0; part < 20; part++)
          await context.chunk(
            { stream: 'stdout', offset: part * 100_000 },
            Buffer.alloc(100_000, `${part % 10}`),
          );
        return { nextOffset: 2_000_000, lost: 0, exit: null };
      };
    });
    try {
      expect((await agent.enrol(await cluster.enrolToken())).status).toBe(201);
      await agent.connect();
      const { drvmId, operationId } = await drvmOn([agent]);
      expect(await ended(operationId)).toMatchObject({ state: 'succeeded' });
      const agents = api.app.get(AgentsService, { strict: false });
      expect(api.app.get(AgentLinks, { strict: false }).get(agent.nodeId)).toBeUndefined();
      const ask = <M extends ContainerMethod>(
        method: M,
        params: ContainerParams<M>,
        options: RpcCallOptions = {},
      ) => agents.containerCall(drvmId, 0, method, params, options);
      expect((await ask('process.list', {})).result).toEqual([]);
      const { body } = await ask('file.read', { path: '/data', length: content.length });
      expect(content.equals(body)).toBe(true);
      const parts: Buffer[] = [];
      await ask(
        'process.output',
        { pid: 1 },
        { onChunk: (_params, bytes) => void parts.push(Buffer.from(bytes)) },
      );
      expect(parts.map((part) => [part.length, String.fromCharCode(part[0]!)])).toEqual(
        Array.from({ length: 20 }, (_, part) => [100_000, `${part % 10}`]),
      );
      // What the agent refuses is told as it said it.
      await expect(ask('process.kill', { pid: 1 })).rejects.toMatchObject({
        code: 'NotFound',
        message: 'no process.kill here',
      });
      const stop = new AbortController();
      const waiting = expect(ask('process.wait', { pid: 1 }, { signal: stop.signal })).rejects.toMatchObject({
        code: 'Cancelled',
      });
      await reached;
      stop.abort();
      await waiting;
      await cancelled;
      // A resize asks the home what is in use, before anything is changed.
      const token = await cluster.token('supra-admin');
      const operation = await cluster.rest<OperationView>(token, 'PATCH', `drvms/${drvmId}`, { cpu: 0.6 });
      expect(await ended(operation.id)).toMatchObject({ state: 'succeeded' });
      expect(agent.specs.get(drvmId)?.limits.cpuMilli).toBe(600);
      await other.stop();
      await expect(ask('process.list', {})).rejects.toMatchObject({ code: 'NodeUnreachable' });
    } finally {
      agent.disconnect();
      await other.stop();
    }
  });
});

describe('a graceful stop', () => {
  test('lets nobody wait who waits for an operation', async () => {
    const { databaseUrl, secretFile, bootstrapFile } = api.app.get<Config>(CONFIG);
    const other = await startApi(databaseUrl, { secretFile, bootstrapFile });
    const token = await cluster.token('supra-admin');
    const agent = await node('node1');
    agent.before = () => new Promise(() => undefined);
    const { operationId } = await drvmOn([agent]);
    const headers = { authorization: `Bearer ${token}` };
    const waiting = fetch(`${other.url}/api/v1/operations/${operationId}/wait?timeoutSeconds=60`, {
      headers,
    });
    const events = await fetch(`${other.url}/api/v1/events`, {
      headers: { ...headers, accept: 'text/event-stream' },
    });
    const began = Date.now();
    const stopping = other.stop();
    expect((await waiting).status).toBe(503);
    await events.text();
    await stopping;
    expect(Date.now() - began).toBeLessThan(10_000);
    agent.disconnect();
    await operations.cancel(SYSTEM, operationId);
    await loseForGood(agent);
    expect(await ended(operationId)).toMatchObject({ state: 'cancelled' });
  });
});

describe('enrolment and the channel', () => {
  test('a node that is removed loses its channel', async () => {
    const agent = await node('node1');
    await database.unrestricted.node.delete({ where: { id: agent.nodeId } });
    await until('the channel is closed', () => !agent.isConnected);
    await expect(agent.connect()).rejects.toThrow('HTTP 401');
  });

  test('a token is good once', async () => {
    const token = await cluster.enrolToken();
    expect((await new AgentPeer(api.url, 'node1').enrol(token)).status).toBe(201);
    const again = await new AgentPeer(api.url, 'node2').enrol(token);
    expect(again.status).toBe(401);
    expect(await again.json()).toMatchObject({ code: 'NotAuthenticated', field: 'token' });
  });

  test('a connected node is not pushed aside by another of its name; one that is away gets a new credential', async () => {
    const agent = await node('node1');
    const other = new AgentPeer(api.url, 'node1');
    expect((await other.enrol(await cluster.enrolToken())).status).toBe(409);
    await loseForGood(agent);
    await until('taken over', async () => (await other.enrol(await cluster.enrolToken())).status === 201);
    expect(other.nodeId).toBe(agent.nodeId);
    await expect(agent.connect()).rejects.toThrow('HTTP 401');
    await other.connect();
    other.disconnect();
  });

  test('a credential that is not known is refused', async () => {
    await expect(new AgentPeer(api.url, 'node1').connect('nonsense')).rejects.toThrow('HTTP 401');
  });
});
