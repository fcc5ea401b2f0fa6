import {
  type ClusterPlanView,
  type ContainerSpec,
  type DrvmView,
  DrvsError,
  type LoanView,
  type OperationView,
  type Problem,
  type ProcessRow,
  type Role,
} from '@drvs/contracts';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Database } from '../../apps/api/src/database/database.js';
import { Lending } from '../../apps/api/src/reconfigure/lending.js';
import { SliceChanges } from '../../apps/api/src/reconfigure/slice-changes.js';
import { AgentPeer } from '../support/agent-peer.js';
import { type ApiAnswer, ApiClient, startApi, type TestApi } from '../support/api.js';
import { TestCluster, until } from '../support/cluster.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';

let postgres: TestPostgres;
let api: TestApi;
let cluster: TestCluster;
let database: Database;

beforeAll(async () => {
  postgres = await startPostgres();
  api = await startApi(await postgres.createDatabase());
  cluster = new TestCluster(api);
  database = cluster.database;
  await cluster.tenant('physics');
});

afterEach(async () => {
  cluster.stop();
  const { operation, drvm, node, enrolmentToken, tenant } = database.unrestricted;
  await operation.deleteMany();
  await drvm.deleteMany();
  await enrolmentToken.deleteMany();
  await node.deleteMany();
  await tenant.updateMany({ data: { quotaCpuMilli: null, quotaMemoryMiB: null } });
});

afterAll(async () => {
  await api?.stop();
  await postgres?.stop();
});

/** The processes of the one DRVM under test, wherever its home is asked. */
let processes: ProcessRow[] = [];
let migrations = 0;

const row = (pid: number, node: string, memoryMiB = 4): ProcessRow => ({
  pid,
  ppid: 1,
  node,
  state: 'running',
  cpuMs: 0,
  memoryBytes: memoryMiB * 1_048_576,
  command: 'work',
  endpoint: pid,
  startedAt: '2026-01-01T00:00:00Z',
  exitCode: null,
  signal: null,
});

async function nodes(...names: string[]): Promise<AgentPeer[]> {
  processes = [];
  migrations = 0;
  const agents: AgentPeer[] = [];
  for (const name of names) {
    const agent = await cluster.node(name);
    agent.containerCall = (_, method, params) => {
      if (method === 'process.list') return processes;
      if (method === 'process.migrate') {
        const process = processes.find(({ pid }) => pid === params.pid);
        if (!process) throw new DrvsError('NotFound', `no process ${params.pid}`);
        const from = process.node;
        process.node = String(params.to);
        migrations++;
        return { pid: process.pid, from, to: process.node, bytes: 1000, pauseMs: 2, totalMs: 3, rounds: 1 };
      }
      throw new DrvsError('NotFound', `no ${method} here`);
    };
    agents.push(agent);
  }
  return agents;
}

async function create(body: object = {}): Promise<DrvmView> {
  const { operation } = (
    await api.admin.post<{ operation: OperationView }>('/drvms', {
      name: 'fisica',
      tenant: 'physics',
      cpu: 1,
      memoryMiB: 1024,
      diskGiB: 4,
      nodes: 2,
      ...body,
    })
  ).expect(202);
  expect(await ended(operation)).toMatchObject({ state: 'succeeded' });
  return show();
}

const show = async (): Promise<DrvmView> => (await api.admin.get<DrvmView>('/drvms/fisica')).expect(200);
const ended = async ({ id }: OperationView): Promise<OperationView> =>
  (await api.admin.get<OperationView>(`/operations/${id}/wait?timeoutSeconds=60`)).expect(200);
const ask = <T = OperationView>(body: object, headers?: Record<string, string>): Promise<ApiAnswer<T>> =>
  api.admin.patch<T>('/drvms/fisica', body, headers);
const resized = async (body: object): Promise<OperationView> => ended((await ask(body)).expect(202));
const refused = async (body: object, status: number): Promise<Problem> =>
  (await ask<Problem>(body)).expect(status);
/** What of it a request may change; reports of its containers come when they come. */
const given = ({ generation, nodes: slices }: DrvmView) => [
  generation,
  ...slices.map(({ state: _state, isolation: _isolation, ...amounts }) => amounts),
];
const cpus = async (): Promise<Record<string, number>> =>
  Object.fromEntries((await show()).nodes.map(({ node, cpu }) => [node, cpu]));

const ledgerAddsUp = async () => expect(await cluster.ledgerAddsUp()).toBe(true);

const limitsOf = (agent: AgentPeer, drvm: DrvmView) => agent.specs.get(drvm.id)?.limits;
const peersOf = (agent: AgentPeer, drvm: DrvmView) =>
  agent.specs.get(drvm.id)?.peers.map(({ nodeName }) => nodeName);

describe('a running DRVM', () => {
  test('grows and shrinks as it runs: its containers get their new limits and nothing is started again', async () => {
    const agents = await nodes('node1', 'node2');
    const drvm = await create();
    for (const agent of agents) agent.calls.length = 0;
    const operation = await resized({ cpu: 3, memoryMiB: 2048, networkMbps: 10 });
    expect(operation).toMatchObject({
      kind: 'drvm.resize',
      state: 'succeeded',
      result: { cpu: 3, memoryMiB: 2048, networkMbps: 10, nodes: ['node1', 'node2'] },
    });
    for (const agent of agents) {
      expect(limitsOf(agent, drvm)).toEqual({ cpuMilli: 1500, memoryMiB: 1024, diskGiB: 2, networkMbps: 5 });
      expect(new Set(agent.calls.map(({ method }) => method))).toEqual(new Set(['drvm.update']));
    }
    await ledgerAddsUp();
    expect(await resized({ cpu: 0.5, memoryMiB: 512 })).toMatchObject({ state: 'succeeded' });
    expect(limitsOf(agents[0]!, drvm)).toMatchObject({ cpuMilli: 250, memoryMiB: 256, diskGiB: 2 });
    expect(await cpus()).toEqual({ node1: 0.25, node2: 0.25 });
    await ledgerAddsUp();
  });

  test('takes what it grows by before its containers get it, and frees what it shrinks by after', async () => {
    const [one] = await nodes('node1', 'node2');
    await create();
    const seen: { limit: number; given: number }[] = [];
    one!.before = async (method, _drvmId, params) => {
      if (method !== 'drvm.update') return;
      const inventory = await database.unrestricted.inventory.findUnique({
        where: { nodeId_class: { nodeId: one!.nodeId, class: 'cpuMilli' } },
      });
      seen.push({ limit: (params as ContainerSpec).limits.cpuMilli, given: inventory!.used });
    };
    await resized({ cpu: 2 });
    await resized({ cpu: 1 });
    expect(seen[0]).toEqual({ limit: 1000, given: 1000 });
    // The first that shrinks it comes while all is still taken; one sent again to be sure may come after.
    expect(seen.find(({ limit }) => limit === 500)).toEqual({ limit: 500, given: 1000 });
    expect(seen.filter(({ limit, given }) => given < limit)).toEqual([]);
    await ledgerAddsUp();
  });

  test('comes to another node and leaves one, with its processes', async () => {
    const [one, two, three] = await nodes('node1', 'node2', 'node3');
    const drvm = await create();
    processes = [row(5, 'node2'), row(6, 'node2'), row(7, 'node1')];
    const operation = await resized({ nodes: { add: ['node3'], remove: ['node2'] } });
    expect(operation).toMatchObject({ kind: 'drvm.reconfigure', state: 'succeeded' });
    expect(operation.steps.map(({ name }) => name)).toEqual([
      'bring it to node3',
      'take it off node2',
      'free what is not needed any more',
    ]);
    expect(processes.some(({ node }) => node === 'node2')).toBe(false);
    expect(migrations).toBe(2);
    expect(two!.containers.has(drvm.id)).toBe(false);
    for (const agent of [one!, three!]) expect(peersOf(agent, drvm)).toEqual(['node1', 'node3']);
    const after = await show();
    expect(after.nodes.map(({ node, index, state }) => [node, index, state])).toEqual([
      ['node1', 0, 'running'],
      ['node3', 2, 'running'],
    ]);
    expect(after.state).toBe('running');
    await ledgerAddsUp();
  });

  test('chooses nodes by itself when only their number is asked for', async () => {
    await nodes('node1', 'node2', 'node3');
    await create();
    await resized({ nodes: 3 });
    expect(Object.keys(await cpus())).toEqual(['node1', 'node2', 'node3']);
    await resized({ nodes: 1 });
    expect(await cpus()).toEqual({ node1: 1 });
    await ledgerAddsUp();
  });

  test('is only planned by a dry run', async () => {
    await nodes('node1', 'node2', 'node3');
    const before = await create();
    const plan = (
      await ask<{ steps: { action: string; node: string; reason: string }[] }>({
        cpu: 2,
        nodes: 3,
        dryRun: true,
      })
    ).expect(200);
    expect(plan.steps.map(({ action, node }) => [action, node])).toEqual([
      ['slice.add', 'node3'],
      ['slice.resize', 'node1'],
      ['slice.resize', 'node2'],
    ]);
    expect(given(await show())).toEqual(given(before));
    await ledgerAddsUp();
  });
});

describe('a resize is refused', () => {
  test('when an amount is negative, huge, fractional or not a number, and changes nothing', async () => {
    await nodes('node1', 'node2');
    const before = await create();
    for (const body of [
      { cpu: -1 },
      { cpu: 0 },
      { cpu: 1e12 },
      { cpu: 0.0001 },
      { memoryMiB: -5 },
      { memoryMiB: 1.5 },
      { memoryMiB: 2 ** 53 },
      { diskGiB: 1e300 },
      { networkMbps: -1 },
      { ceiling: { cpu: -2 } },
      { nodes: 0 },
      { nodes: 1.5 },
      { cpu: '2' },
      { speed: 3 },
    ]) {
      expect((await refused(body, 400)).code).toBe('InvalidInput');
    }
    expect((await refused({ cpu: 0.06 }, 400)).detail).toContain('less than 2 slices of the least size');
    expect(given(await show())).toEqual(given(before));
  });

  test('below what is used, with the figures and what would fit', async () => {
    await nodes('node1', 'node2');
    await create({ memoryMiB: 2048 });
    processes = [row(5, 'node1', 700)];
    const problem = await refused({ memoryMiB: 1000 }, 409);
    expect(problem).toMatchObject({
      code: 'StateConflict',
      detail: '1000 MiB of memory is less than is in use: 860 MiB of memory on node1',
      details: { class: 'memoryMiB', requested: 1000, fits: 1052, inUse: { node1: 860 } },
    });
    expect(problem.hint).toContain('1052 MiB of memory would fit now');
    expect(await resized({ memoryMiB: 1052 })).toMatchObject({ state: 'succeeded' });
  });

  test('above what its nodes have, above the quota, and by who may not', async () => {
    await nodes('node1', 'node2');
    await create();
    expect(await refused({ cpu: 9 }, 422)).toMatchObject({
      code: 'InsufficientResources',
      details: { fits: 8000 },
    });
    await api.admin.patch('/tenants/physics', { quota: { cpu: 2 } });
    expect(await refused({ cpu: 3 }, 422)).toMatchObject({ code: 'QuotaExceeded' });
    // What shrinks is let through whatever the quota is.
    await api.admin.patch('/tenants/physics', { quota: { cpu: 0.1 } });
    expect(await resized({ cpu: 0.5 })).toMatchObject({ state: 'succeeded' });
    for (const role of ['member', 'auditor'] satisfies Role[]) {
      const client = await api.clientFor(role, 'physics');
      expect((await client.patch<Problem>('/drvms/fisica', { cpu: 0.6 })).status).toBe(403);
    }
    const stranger = new ApiClient(api.url, null);
    expect((await stranger.patch('/drvms/fisica', { cpu: 1 })).status).toBe(401);
    await ledgerAddsUp();
  });

  test('when it was read at another generation, when it is so already, and when another change is under way', async () => {
    const [one] = await nodes('node1', 'node2');
    const { generation } = await create();
    expect((await ask({ cpu: 2 }, { 'if-match': `"${generation - 1}"` })).status).toBe(412);
    expect((await refused({ cpu: 1 }, 409)).detail).toBe('fisica is as asked for already');
    let release = (): void => undefined;
    one!.before = (method) =>
      method === 'drvm.update' ? new Promise<void>((resolve) => (release = resolve)) : undefined;
    const first = (await ask({ cpu: 2 }, { 'if-match': `"${generation}"` })).expect(202);
    const second = await refused({ cpu: 3 }, 409);
    expect(second).toMatchObject({ code: 'OperationUnderWay', details: { operation: first.id } });
    expect((await api.admin.post<Problem>('/drvms/fisica/stop')).expect(409).code).toBe('OperationUnderWay');
    await until('the update has come', () => one!.calls.some(({ method }) => method === 'drvm.update'));
    one!.before = () => undefined;
    release();
    expect(await ended(first)).toMatchObject({ state: 'succeeded' });
    await ledgerAddsUp();
  });
});

describe('a resize that fails or is cancelled', () => {
  test('gives everything back when a container refuses', async () => {
    const [one, two] = await nodes('node1', 'node2');
    const drvm = await create();
    two!.before = (method) => {
      const limits = two!.specs.get(drvm.id)?.limits;
      if (method === 'drvm.update' && limits?.memoryMiB === 512 && refuses)
        throw new DrvsError('StateConflict', 'the programs use 400 MiB', { hint: 'End some.' });
    };
    let refuses = true;
    const operation = await resized({ memoryMiB: 600, cpu: 0.5 });
    refuses = false;
    expect(operation).toMatchObject({ state: 'compensated', error: { code: 'StateConflict' } });
    expect(operation.error?.message).toContain('the programs use 400 MiB');
    await until('the old limits are back', () => limitsOf(one!, drvm)?.memoryMiB === 512);
    expect(await cpus()).toEqual({ node1: 0.5, node2: 0.5 });
    await ledgerAddsUp();
  });

  test('gives everything back when it is cancelled at each of its steps', async () => {
    const names = ['node1', 'node2', 'node3'];
    const agents = await nodes(...names);
    const drvm = await create();
    const steps = [
      ['drvm.prepare', 2],
      ['drvm.start', 2],
      ['drvm.update', 0],
      ['drvm.delete', 1],
    ] as const;
    for (const [method, at] of steps) {
      processes = [row(5, 'node2')];
      let release = (): void => undefined;
      let reached = false;
      agents[at]!.before = (called) => {
        if (called !== method || reached) return undefined;
        reached = true;
        return new Promise<void>((resolve) => (release = resolve));
      };
      const before = await show();
      const operation = (await ask({ cpu: 1.2, nodes: { add: ['node3'], remove: ['node2'] } })).expect(202);
      await until(`${method} is reached`, () => reached);
      (await api.admin.post(`/operations/${operation.id}/cancel`)).expect(202);
      release();
      agents[at]!.before = () => undefined;
      expect(await ended(operation)).toMatchObject({ state: 'cancelled' });
      const after = await show();
      expect(after.nodes.map(({ node, cpu }) => [node, cpu])).toEqual(
        before.nodes.map(({ node, cpu }) => [node, cpu]),
      );
      await until('all run as before', async () => (await show()).state === 'running');
      expect(agents[2]!.containers.has(drvm.id)).toBe(false);
      expect(agents[1]!.containers.has(drvm.id)).toBe(true);
      await until('the peers are as before', () =>
        [agents[0]!, agents[1]!].every(
          (agent) => JSON.stringify(peersOf(agent, drvm)?.sort()) === JSON.stringify(['node1', 'node2']),
        ),
      );
      await ledgerAddsUp();
    }
  });
});

describe('a stopped DRVM', () => {
  test('is resized in the ledger, and starts as it is then', async () => {
    const [one] = await nodes('node1', 'node2');
    const drvm = await create();
    await ended((await api.admin.post<OperationView>('/drvms/fisica/stop')).expect(202));
    expect(await resized({ cpu: 2, nodes: { add: [], remove: ['node2'] } })).toMatchObject({
      state: 'succeeded',
    });
    expect((await refused({ diskGiB: 1 }, 409)).detail).toContain('how much its files take is not known');
    await ended((await api.admin.post<OperationView>('/drvms/fisica/start')).expect(202));
    expect(limitsOf(one!, drvm)).toMatchObject({ cpuMilli: 2000 });
    expect(peersOf(one!, drvm)).toEqual(['node1']);
    await ledgerAddsUp();
  });
});

describe('lending', () => {
  const loans = async (): Promise<LoanView[]> =>
    (await api.admin.get<{ items: LoanView[] }>('/loans')).expect(200).items;

  test('gives an idle owner’s CPU to who wants more, and all of it back when the owner wakes', async () => {
    const [one] = await nodes('node1');
    const owner = await create({ cpu: 2, nodes: 1 });
    const { operation, drvm: made } = (
      await api.admin.post<{ operation: OperationView; drvm: DrvmView }>('/drvms', {
        name: 'quimica',
        tenant: 'physics',
        cpu: 2,
        memoryMiB: 512,
        nodes: 1,
      })
    ).expect(202);
    await ended(operation);
    one!.wantsCpu.set(owner.id, 10);
    one!.wantsCpu.set(made.id, 4000);
    const patch = await api.admin.patch<OperationView>('/drvms/quimica', { ceiling: { cpu: 3.5 } });
    expect(await ended(patch.expect(202))).toMatchObject({ state: 'succeeded' });
    await until('it has borrowed up to its ceiling', () => limitsOf(one!, made)?.cpuMilli === 3500);
    expect(limitsOf(one!, owner)?.cpuMilli).toBe(500);
    expect(await loans()).toMatchObject([
      { drvm: 'quimica', node: 'node1', side: 'borrows', cpu: 1.5, heldCpu: 3.5, ceilingCpu: 3.5 },
      { drvm: 'fisica', node: 'node1', side: 'lends', cpu: 1.5, guaranteedCpu: 2 },
    ]);
    await ledgerAddsUp();
    one!.wantsCpu.set(owner.id, 2000);
    await until('the owner has its guarantee again', () => limitsOf(one!, owner)?.cpuMilli === 2000);
    await until('the borrower has its guarantee', () => limitsOf(one!, made)?.cpuMilli === 2000);
    expect(await loans()).toEqual([]);
    const kinds = await database.unrestricted.event.findMany({
      where: { kind: { startsWith: 'loan.' }, drvmId: { in: [owner.id, made.id] } },
    });
    expect(kinds.map(({ kind, drvm }) => `${kind} ${drvm}`).sort()).toEqual([
      'loan.lent fisica',
      'loan.lent quimica',
      'loan.returned fisica',
      'loan.returned quimica',
    ]);
    await ledgerAddsUp();
  });

  test('ends for a new DRVM that the ledger has room for, and when it is switched off', async () => {
    const [one] = await nodes('node1');
    const drvm = await create({ cpu: 1, nodes: 1 });
    one!.wantsCpu.set(drvm.id, 4000);
    await ended((await ask({ ceiling: { cpu: 4 } })).expect(202));
    await until('it has borrowed', () => limitsOf(one!, drvm)?.cpuMilli === 4000);
    const { operation } = (
      await api.admin.post<{ operation: OperationView }>('/drvms', {
        name: 'quimica',
        tenant: 'physics',
        cpu: 2,
        memoryMiB: 512,
        nodes: 1,
      })
    ).expect(202);
    await ended(operation);
    await until('it holds less', () => (limitsOf(one!, drvm)?.cpuMilli ?? 0) <= 2000);
    await ledgerAddsUp();
    (await api.admin.send('PUT', '/settings/lending.enabled', { value: false })).expect(200);
    await until('it holds what is guaranteed', () => limitsOf(one!, drvm)?.cpuMilli === 1000);
    expect(await loans()).toEqual([]);
    (await api.admin.send('DELETE', '/settings/lending.enabled')).expect(200);
  });

  test('has given back what it lent when it is off, and what plans lend then is not its to take back', async () => {
    const [one] = await nodes('node1');
    const drvm = await create({ cpu: 1, nodes: 1 });
    await ended((await ask({ ceiling: { cpu: 3 } })).expect(202));
    processes = [5, 6, 7, 8].map((pid) => row(pid, 'node1'));
    const reallocate = async () =>
      (await api.admin.post<ClusterPlanView>('/plans', { kind: 'reallocate' })).expect(201);
    const setLending = async (value: boolean) => {
      (await api.admin.send('PUT', '/settings/lending.enabled', { value })).expect(200);
      // The round under way may have begun before.
      for (let round = 0; round < 3; round++) await api.app.get(Lending, { strict: false }).now();
    };
    expect(await reallocate()).toMatchObject({
      steps: [],
      rejected: [{ what: 'fisica@node1', rule: 'lending', when: 'not-now' }],
    });
    await setLending(false);
    const { id, steps } = await reallocate();
    expect(steps).toMatchObject([{ action: 'resize-slice', before: { cpu: 1 }, after: { cpu: 3 } }]);
    const operation = (await api.admin.post<OperationView>(`/plans/${id}/apply`)).expect(202);
    expect(await ended(operation)).toMatchObject({ state: 'succeeded' });
    await setLending(false);
    expect(limitsOf(one!, drvm)?.cpuMilli).toBe(3000);
    expect(await loans()).toMatchObject([{ side: 'borrows', cpu: 2 }]);
    // Lending takes it over when it is on, and gives it back when it is off again.
    await setLending(true);
    await setLending(false);
    await until('it holds what is guaranteed', () => limitsOf(one!, drvm)?.cpuMilli === 1000);
    expect(await loans()).toEqual([]);
    (await api.admin.send('DELETE', '/settings/lending.enabled')).expect(200);
    await ledgerAddsUp();
  });
});

describe('a slice that moves', () => {
  test('takes its processes and the home along, and is given back when that fails', async () => {
    const [one, two, three] = await nodes('node1', 'node2', 'node3');
    const drvm = await create();
    processes = [row(5, 'node1'), row(6, 'node2')];
    const changes = api.app.get(SliceChanges, { strict: false });
    const operationId = await runningOperation();
    const options = { key: 'k', withinMs: 60_000, signal: new AbortController().signal, operationId };
    const change = { drvmId: drvm.id, from: one!.nodeId, to: three!.nodeId };
    let fails = true;
    const calls = one!.containerCall;
    one!.containerCall = (id, method, params, context) => {
      if (method !== 'home.move') return calls(id, method, params, context);
      if (fails) throw new DrvsError('InsufficientResources', 'the files do not fit');
      return { home: params.to, homeEpoch: 1, bytes: 5000, files: 3, pauseMs: 7, totalMs: 9, rounds: 1 };
    };
    await expect(changes.move(change, options)).rejects.toMatchObject({ code: 'InsufficientResources' });
    expect(processes[0]?.node).toBe('node1');
    expect(three!.containers.has(drvm.id)).toBe(false);
    expect((await show()).nodes.map(({ node }) => node)).toEqual(['node1', 'node2']);
    await ledgerAddsUp();
    fails = false;
    expect(await changes.move(change, options)).toEqual({
      processes: 1,
      bytes: 6000,
      pauseMs: 7,
      home: true,
    });
    // Asked for again, it answers the same and does nothing.
    expect(await changes.move(change, options)).toEqual({
      processes: 1,
      bytes: 6000,
      pauseMs: 7,
      home: true,
    });
    expect(processes[0]?.node).toBe('node3');
    expect(one!.containers.has(drvm.id)).toBe(false);
    for (const agent of [two!, three!]) {
      const { home, homeEpoch, peers } = agent.specs.get(drvm.id)!;
      expect([home, homeEpoch, peers.map(({ nodeName }) => nodeName)]).toEqual([3, 1, ['node2', 'node3']]);
    }
    await ledgerAddsUp();
  });

  test('goes on where it was when the process that moved it is no more', async () => {
    const [, two, three] = await nodes('node1', 'node2', 'node3');
    const drvm = await create();
    processes = [row(6, 'node2'), row(7, 'node2')];
    const changes = api.app.get(SliceChanges, { strict: false });
    const operationId = await runningOperation();
    const change = { drvmId: drvm.id, from: two!.nodeId, to: three!.nodeId };
    for (const method of ['drvm.prepare', 'drvm.start', 'drvm.update', 'drvm.delete'] as const) {
      const gone = new AbortController();
      for (const agent of [two!, three!]) {
        agent.before = (called) => {
          if (called === method) gone.abort(new Error('killed'));
        };
      }
      const options = { key: method, withinMs: 60_000, signal: gone.signal, operationId };
      await changes.move(change, options).catch(() => undefined);
      expect(gone.signal.aborted).toBe(true);
      for (const agent of [two!, three!]) agent.before = () => undefined;
    }
    const options = { key: 'last', withinMs: 60_000, signal: new AbortController().signal, operationId };
    expect(await changes.move(change, options)).toMatchObject({ processes: 2, bytes: 2000 });
    expect(processes.map(({ node }) => node)).toEqual(['node3', 'node3']);
    expect(two!.containers.has(drvm.id)).toBe(false);
    expect((await show()).nodes.map(({ node }) => node)).toEqual(['node1', 'node3']);
    await ledgerAddsUp();
  });

  test('leaves a node that is lost, with what the ledger had of it', async () => {
    const [one, two, three] = await nodes('node1', 'node2', 'node3');
    const drvm = await create();
    two!.disconnect();
    await database.unrestricted.node.update({
      where: { id: two!.nodeId },
      data: { lastSeenAt: new Date(0) },
    });
    // The lost one is among the peers until the new one has come up, and is never reached.
    three!.unreachable.add(two!.nodeId);
    const changes = api.app.get(SliceChanges, { strict: false });
    const operationId = await runningOperation();
    const options = { key: 'k', withinMs: 60_000, signal: new AbortController().signal, operationId };
    await changes.rebuild({ drvmId: drvm.id, from: two!.nodeId, to: three!.nodeId }, options);
    expect(peersOf(one!, drvm)).toEqual(['node1', 'node3']);
    await expect(
      changes.rebuild({ drvmId: drvm.id, from: one!.nodeId, to: two!.nodeId }, options),
    ).rejects.toMatchObject({ code: 'StateConflict' });
    await ledgerAddsUp();
    // What is left there is removed when it comes back.
    await two!.connect();
    await until('it has no container of it any more', () => !two!.containers.has(drvm.id));
  });

  /** An operation of which the changes are part, as a plan that is carried out. */
  async function runningOperation(): Promise<string> {
    const { id } = await database.unrestricted.operation.create({
      data: {
        kind: 'plan.apply',
        state: 'running',
        subject: 'cluster',
        requestedBy: 'user/test',
        startedAt: new Date(),
      },
    });
    return id;
  }
});
