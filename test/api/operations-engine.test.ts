import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentMethod, DrvmView, OperationLogPage, OperationView, Page, Problem } from '@drvs/contracts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import pg from 'pg';
import type { Database } from '../../apps/api/src/database/database.js';
import { AgentPeer } from '../support/agent-peer.js';
import { ApiClient, startApi, type TestApi } from '../support/api.js';
import { ApiProcess, buildAll } from '../support/api-process.js';
import { TestCluster, until } from '../support/cluster.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';

const PATIENT_MS = 120_000;
jest.setTimeout(240_000);

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

/** What must never be false, whatever was cancelled, timed out or killed. */
interface Facts {
  /** Given by the ledger and by the slices, of each node and class. */
  unequal: number;
  open: number;
  /** A DRVM that is neither whole nor gone: it has no slice, or is being created by nobody. */
  halves: number;
}
const FACTS = `SELECT
  (SELECT count(*)::int FROM inventory i WHERE i.class = 'cpuMilli' AND i.used <>
    coalesce((SELECT sum(s.cpu_milli) FROM slice s WHERE s.node_id = i.node_id), 0)) AS unequal,
  (SELECT count(*)::int FROM operation WHERE state IN ('queued', 'running')) AS open,
  (SELECT count(*)::int FROM drvm d WHERE d.state = 'creating'
    OR NOT EXISTS (SELECT FROM slice s WHERE s.drvm_id = d.id)) AS halves`;

describe('in one process', () => {
  let api: TestApi;
  let cluster: TestCluster;
  let database: Database;
  let nodes: AgentPeer[] = [];

  beforeAll(async () => {
    api = await startApi(await postgres.createDatabase());
    cluster = new TestCluster(api);
    database = cluster.database;
    for (const name of ['physics', 'chemistry']) (await api.admin.post('/tenants', { name })).expect(201);
  });
  beforeEach(async () => {
    nodes = [];
    for (const name of ['node1', 'node2']) nodes.push(await cluster.node(name));
  });
  afterEach(async () => {
    cluster.stop();
    for (const key of ['atOnce', 'atOncePerTenant', 'atOncePerNode'])
      await api.admin.delete(`/settings/operations.${key}`);
    const { operation, drvm, node, enrolmentToken } = database.unrestricted;
    await operation.deleteMany();
    await drvm.deleteMany();
    await enrolmentToken.deleteMany();
    await node.deleteMany();
  });
  afterAll(() => api?.stop());

  const create = async (
    name = 'fisica',
    { tenant = 'physics', on = 2 as number | string[], deadline = 0, client = api.admin } = {},
  ) => {
    const body = { name, tenant, cpu: 1, memoryMiB: 512, diskGiB: 2, nodes: on };
    const headers = deadline > 0 ? { 'operation-deadline': String(deadline) } : undefined;
    const answer = await client.post<{ operation: OperationView; drvm: DrvmView }>('/drvms', body, headers);
    return answer.expect(202);
  };
  const show = async (id: string) => (await api.admin.get<OperationView>(`/operations/${id}`)).expect(200);
  const ended = (id: string) =>
    until(
      'it has ended',
      async () => {
        const view = await show(id);
        return ['queued', 'running'].includes(view.state) ? undefined : view;
      },
      PATIENT_MS,
    );
  const facts = async () => (await database.pool.query<Facts>(FACTS)).rows[0]!;
  const start = async (action: string) =>
    (
      await api.admin.send<OperationView>(
        action === 'delete' ? 'DELETE' : 'POST',
        action === 'delete' ? '/drvms/fisica' : `/drvms/fisica/${action}`,
      )
    ).expect(202);

  /** Holds node2 in `method` until released. */
  function hold(method: AgentMethod): { reached: Promise<void>; release: () => void } {
    let reach = (): void => undefined;
    let release = (): void => undefined;
    const reached = new Promise<void>((resolve) => {
      reach = resolve;
    });
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    nodes[1]!.before = async (called) => {
      if (called !== method) return;
      reach();
      await released;
    };
    return { reached, release };
  }

  describe('a cancellation', () => {
    const cases = [
      { kind: 'create', at: 'drvm.prepare', ends: 'cancelled', leaves: null },
      { kind: 'create', at: 'drvm.start', ends: 'cancelled', leaves: null },
      { kind: 'start', at: 'drvm.prepare', ends: 'cancelled', leaves: 'stopped' },
      { kind: 'start', at: 'drvm.start', ends: 'cancelled', leaves: 'stopped' },
      { kind: 'stop', at: 'drvm.stop', ends: 'succeeded', leaves: 'stopped' },
      { kind: 'delete', at: 'drvm.delete', ends: 'succeeded', leaves: null },
    ] as const;
    test.each(cases)(
      'of a $kind in $at: it is $ends and nothing is lost',
      async ({ kind, at, ends, leaves }) => {
        let operation: OperationView;
        if (kind === 'create') {
          const held = hold(at);
          operation = (await create()).operation;
          await held.reached;
          (await api.admin.post(`/operations/${operation.id}/cancel`)).expect(202);
          held.release();
        } else {
          await ended((await create()).operation.id);
          if (kind === 'start') await ended((await start('stop')).id);
          const held = hold(at);
          operation = await start(kind);
          await held.reached;
          const answer = await api.admin.post<Problem>(`/operations/${operation.id}/cancel`);
          // What is better finished than left half done is finished.
          expect(answer.status).toBe(ends === 'cancelled' ? 202 : 409);
          held.release();
        }
        nodes[1]!.before = () => undefined;
        expect((await ended(operation.id)).state).toBe(ends);
        const drvm = await database.unrestricted.drvm.findFirst();
        expect(drvm?.state ?? null).toBe(leaves);
        if (leaves === null) {
          await until(
            'no container is left',
            () => nodes.every(({ containers }) => containers.size === 0),
            PATIENT_MS,
          );
        } else {
          await until(
            'no container runs',
            () =>
              nodes.every(({ containers }) =>
                [...containers.values()].every(({ state }) => state === 'stopped'),
              ),
            PATIENT_MS,
          );
        }
        expect(await facts()).toEqual({ unequal: 0, open: 0, halves: 0 });
      },
    );

    test('of a step that waits for who never answers does not wait for it, and says what is left', async () => {
      let reach = (): void => undefined;
      const reached = new Promise<void>((resolve) => {
        reach = resolve;
      });
      const never = new Promise<void>(() => undefined);
      nodes[1]!.before = (method) => {
        if (method === 'drvm.start') reach();
        return method === 'drvm.start' || method === 'drvm.delete' ? never : undefined;
      };
      const { operation } = await create();
      await reached;
      (await api.admin.post(`/operations/${operation.id}/cancel`)).expect(202);
      expect((await ended(operation.id)).state).toBe('cancelled');
      expect(await facts()).toEqual({ unequal: 0, open: 0, halves: 0 });
      const { items } = (await api.admin.get<OperationLogPage>(`/operations/${operation.id}/logs`)).expect(
        200,
      );
      const texts = items.map(({ text }) => text);
      expect(texts).toContain('a cancellation was asked for: what is under way is ended');
      expect(texts).toContainEqual(expect.stringMatching(/^node2 did not undo its part/));
      // It is told again with its next report.
      nodes[1]!.before = () => undefined;
      await until('nothing is left there', () => nodes[1]!.containers.size === 0, PATIENT_MS);
    });

    test('of one that waits for its place ends it at once, and takes back what it wanted', async () => {
      await ended((await create()).operation.id);
      const held = hold('drvm.prepare');
      (await api.admin.send('PUT', '/settings/operations.atOnce', { value: 1 })).expect(200);
      const busy = (await create('otra')).operation;
      await held.reached;
      const waiting = await start('stop');
      const { state, steps } = await show(waiting.id);
      expect([state, steps.every((step) => step.state === 'pending')]).toEqual(['queued', true]);
      (await api.admin.post(`/operations/${waiting.id}/cancel`)).expect(202);
      expect((await ended(waiting.id)).state).toBe('cancelled');
      expect(await database.unrestricted.drvm.findFirst({ where: { name: 'fisica' } })).toMatchObject({
        wantedState: 'running',
      });
      held.release();
      expect((await ended(busy.id)).state).toBe('succeeded');
      expect(await facts()).toEqual({ unequal: 0, open: 0, halves: 0 });
    });
  });

  describe('a deadline', () => {
    test('ends a creation that takes too long, says so, and undoes it', async () => {
      const held = hold('drvm.start');
      const { operation } = await create('fisica', { deadline: 1 });
      expect(operation.deadlineAt).not.toBeNull();
      const late = await until(
        'it is too late',
        async () => {
          const view = await show(operation.id);
          return view.error ? view : undefined;
        },
        PATIENT_MS,
      );
      expect(late.error).toMatchObject({ code: 'Timeout' });
      expect(late.error?.message).toContain('by its deadline');
      held.release();
      expect((await ended(operation.id)).state).toBe('compensated');
      expect(await database.unrestricted.drvm.count()).toBe(0);
      expect(await facts()).toEqual({ unequal: 0, open: 0, halves: 0 });
    });

    test('that passes while it waits for its place ends it before it begins', async () => {
      await ended((await create()).operation.id);
      const held = hold('drvm.prepare');
      (await api.admin.send('PUT', '/settings/operations.atOnce', { value: 1 })).expect(200);
      const busy = (await create('otra')).operation;
      await held.reached;
      const stop = await api.admin.post<OperationView>('/drvms/fisica/stop', undefined, {
        'operation-deadline': '1',
      });
      const { id } = stop.expect(202);
      const over = await ended(id);
      expect(over).toMatchObject({ state: 'failed', error: { code: 'Timeout' } });
      expect(over.steps.every(({ state }) => state === 'pending')).toBe(true);
      expect((await database.unrestricted.drvm.findFirst({ where: { name: 'fisica' } }))?.wantedState).toBe(
        'running',
      );
      held.release();
      await ended(busy.id);
    });

    test('that is none is refused', async () => {
      for (const deadline of ['0', 'soon', '1e99'])
        expect(
          (await api.admin.post<Problem>('/drvms', {}, { 'operation-deadline': deadline })).expect(400).field,
        ).toBe('Operation-Deadline');
    });
  });

  describe('places', () => {
    test('one department that asks for much does not keep another from its one', async () => {
      (await api.admin.send('PUT', '/settings/operations.atOnce', { value: 2 })).expect(200);
      const held: (() => void)[] = [];
      nodes[1]!.before = async (called) => {
        if (called === 'drvm.prepare') await new Promise<void>((resolve) => held.push(resolve));
      };
      const many: OperationView[] = [];
      for (const name of ['a1', 'a2', 'a3']) many.push((await create(name)).operation);
      const other = (await create('b1', { tenant: 'chemistry' })).operation;
      await until('two have begun', async () => held.length === 2, PATIENT_MS);
      expect((await show(many[1]!.id)).state).toBe('running');
      expect((await show(many[2]!.id)).state).toBe('queued');
      // One place becomes free, while the department that asks for much still has the other.
      held.shift()!();
      await until('the other has begun', async () => (await show(other.id)).state === 'running', PATIENT_MS);
      expect((await show(many[2]!.id)).state).toBe('queued');
      nodes[1]!.before = async () => undefined;
      for (const release of held) release();
      for (const { id } of [...many, other]) expect((await ended(id)).state).toBe('succeeded');
      const begun = await database.unrestricted.operation.findMany({
        where: { id: { in: [many[2]!.id, other.id] } },
        orderBy: { admittedAt: 'asc' },
      });
      // It was asked for last, and came before the third of the other department.
      expect(begun.map(({ id }) => id)).toEqual([other.id, many[2]!.id]);
    });

    test('a node does so much at once, and the rest waits for it', async () => {
      (await api.admin.send('PUT', '/settings/operations.atOncePerNode', { value: 1 })).expect(200);
      const held = hold('drvm.prepare');
      const first = (await create('a1', { on: ['node2'] })).operation;
      await held.reached;
      const second = (await create('a2', { on: ['node2'] })).operation;
      const elsewhere = (await create('a3', { on: ['node1'] })).operation;
      expect((await ended(elsewhere.id)).state).toBe('succeeded');
      expect((await show(second.id)).state).toBe('queued');
      held.release();
      for (const { id } of [first, second]) expect((await ended(id)).state).toBe('succeeded');
    });
  });

  describe('the log of an operation', () => {
    const logs = async (id: string, query = '', client = api.admin) =>
      (await client.get<OperationLogPage>(`/operations/${id}/logs${query}`)).expect(200);

    test('tells each step, what went wrong and what was tried again, and can be followed', async () => {
      let failures = 0;
      const held = hold('drvm.prepare');
      const { operation } = await create();
      await held.reached;
      const first = await logs(operation.id);
      expect(first.items[0]).toMatchObject({ step: null, level: 'info' });
      expect(first.items[0]?.text).toContain('drvm.create of drvm/fisica, asked for by token/');
      expect(first.ended).toBe(false);
      nodes[1]!.before = (method) => {
        if (method !== 'drvm.start' || failures++ > 0) return;
        nodes[1]!.disconnect();
        setTimeout(() => void nodes[1]!.connect(), 300);
      };
      held.release();
      const lines = [...first.items];
      for (let page = first; !page.ended; ) {
        page = await logs(operation.id, `?waitSeconds=5&limit=3&cursor=${page.nextCursor}`);
        lines.push(...page.items);
      }
      expect(new Set(lines.map(({ id }) => id)).size).toBe(lines.length);
      expect(lines.some(({ level, text }) => level === 'warn' && text.includes('tried again in'))).toBe(true);
      expect(lines.some(({ step, text }) => step === 'sign the certificates' && text === 'done')).toBe(true);
      expect(lines.at(-1)).toMatchObject({ step: null, text: 'ended: succeeded' });
    });

    test('is seen by those who see the operation', async () => {
      const { operation } = await create();
      await ended(operation.id);
      const own = await api.clientFor('member', 'physics');
      const other = await api.clientFor('member', 'chemistry');
      expect((await logs(operation.id, '', own)).items.length).toBeGreaterThan(5);
      expect((await other.get(`/operations/${operation.id}/logs`)).status).toBe(404);
      expect((await api.admin.get('/operations/nonsense/logs')).status).toBe(404);
    });
  });

  test('the history is found by kind, subject, who asked and when', async () => {
    const admin = await api.clientFor('tenant-admin', 'physics');
    const before = new Date().toISOString();
    await ended((await create('fisica', { client: admin })).operation.id);
    await ended((await create('otra')).operation.id);
    await ended((await start('stop')).id);
    const list = async (query: string) =>
      (await api.admin.get<Page<OperationView>>(`/operations?${query}`)).expect(200).items;
    expect((await list('kind=drvm.stop')).map(({ subject }) => subject)).toEqual(['drvm/fisica']);
    expect((await list('subject=drvm/otra')).map(({ kind }) => kind)).toEqual(['drvm.create']);
    const [{ requestedBy }] = (await list('subject=drvm/fisica&kind=drvm.create')) as [OperationView];
    expect((await list(`actor=${requestedBy}`)).map(({ subject }) => subject)).toEqual(['drvm/fisica']);
    expect((await list(`actor=${requestedBy.split('/')[1]}`)).length).toBe(1);
    expect(await list(`to=${before}`)).toEqual([]);
    expect((await list(`from=${before}`)).length).toBe(3);
  });
});

describe('after kill -9 at each step', () => {
  let folder: string;
  let child: ApiProcess;
  let ledger: pg.Client;
  let client: ApiClient;
  let nodes: AgentPeer[] = [];

  beforeAll(async () => {
    await buildAll();
    folder = await mkdtemp(join(tmpdir(), 'drvs-engine-'));
    const databaseUrl = await postgres.createDatabase();
    child = await ApiProcess.on(databaseUrl, folder, { DRVS_BOOTSTRAP_NODES: '2' });
    await child.start();
    const bootstrap = await child.bootstrap();
    client = new ApiClient(child.url, bootstrap.token);
    for (const [index, token] of bootstrap.enrolTokens.entries()) {
      const agent = new AgentPeer(child.url, `node${index + 1}`);
      expect((await agent.enrol(token)).status).toBe(201);
      void agent.stayConnected();
      nodes.push(agent);
    }
    ledger = new pg.Client({ connectionString: databaseUrl });
    await ledger.connect();
    await untilUp();
    (await client.post('/tenants', { name: 'physics' })).expect(201);
  }, 180_000);
  afterAll(async () => {
    for (const agent of nodes) agent.disconnect();
    nodes = [];
    await child?.kill();
    await ledger?.end();
    await rm(folder, { recursive: true, force: true });
  });

  const untilUp = () =>
    until(
      'both nodes are up',
      async () => {
        const { body } = await client.get<Page<{ state: string; probation: string }>>('/nodes');
        const isReady = ({ state, probation }: { state: string; probation: string }) =>
          state === 'up' && probation === 'passed';
        return body.items.length === 2 && body.items.every(isReady);
      },
      PATIENT_MS,
    );
  const rows = async <T extends pg.QueryResultRow>(text: string, values: unknown[] = []) =>
    (await ledger.query<T>(text, values)).rows;

  async function request(kind: string): Promise<string> {
    if (kind === 'delete') return (await client.delete<OperationView>('/drvms/fisica')).expect(202).id;
    if (kind !== 'create') return (await client.post<OperationView>(`/drvms/fisica/${kind}`)).expect(202).id;
    const body = { name: 'fisica', tenant: 'physics', cpu: 2, memoryMiB: 1_024, diskGiB: 2, nodes: 2 };
    return (await client.post<{ operation: OperationView }>('/drvms', body)).expect(202).operation.id;
  }

  async function end(id: string): Promise<string> {
    const row = await until(
      'it has ended',
      async () => {
        const [found] = await rows<{ state: string }>('SELECT state FROM operation WHERE id = $1', [id]);
        return found && !['queued', 'running'].includes(found.state) ? found : undefined;
      },
      120_000,
    );
    return row.state;
  }

  /** Kills the API as soon as the step at `position` has begun (or when it is over already: then after it). */
  async function killAt(id: string, position: number): Promise<void> {
    await until(
      'the step has begun',
      async () => {
        const [step] = await rows<{ state: string }>(
          'SELECT state FROM operation_step WHERE operation_id = $1 AND position = $2',
          [id, position],
        );
        return step?.state !== 'pending';
      },
      PATIENT_MS,
    );
    await child.kill();
    await child.start();
    await untilUp();
  }

  const before: Record<string, { from: string[]; steps: number; leaves: string | null; back: string[] }> = {
    create: { from: [], steps: 7, leaves: 'running', back: ['delete'] },
    stop: { from: ['create'], steps: 3, leaves: 'stopped', back: ['delete'] },
    start: { from: ['create', 'stop'], steps: 6, leaves: 'running', back: ['delete'] },
    delete: { from: ['create'], steps: 3, leaves: null, back: [] },
  };
  test.each(Object.keys(before))(
    'a %s goes on to its end: nothing twice, nothing lost, nothing half',
    async (kind) => {
      const { from, steps, leaves, back } = before[kind]!;
      for (let position = 0; position < steps; position++) {
        for (const one of from) expect(await end(await request(one))).toBe('succeeded');
        const id = await request(kind);
        await killAt(id, position);
        expect([position, await end(id)]).toEqual([position, 'succeeded']);
        const [drvm] = await rows<{ state: string }>('SELECT state FROM drvm');
        expect(drvm?.state ?? null).toBe(leaves);
        expect((await rows<Facts & pg.QueryResultRow>(FACTS))[0]).toEqual({ unequal: 0, open: 0, halves: 0 });
        const wanted = leaves === null ? 0 : 1;
        await until(
          'each node holds what it should',
          () => nodes.every(({ containers }) => containers.size === wanted),
          PATIENT_MS,
        );
        for (const one of back) expect(await end(await request(one))).toBe('succeeded');
      }
    },
    400_000,
  );
});
