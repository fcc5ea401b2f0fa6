import type {
  AllocationView,
  DrvmView,
  EventView,
  NodeDetailView,
  NodeView,
  OperationView,
  Page,
  Problem,
  TenantView,
} from '@drvs/contracts';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type ApiClient, addNode, startApi, type TestApi } from '../../../../test/support/api.js';
import { startPostgres, type TestPostgres } from '../../../../test/support/postgres.js';
import type { Actor } from '../auth/actor.js';
import { Database } from '../database/database.js';
import { EventsService } from '../events/events.service.js';

let postgres: TestPostgres;
let api: TestApi;
let fisica: ApiClient;
let quimica: ApiClient;
let created: { drvm: DrvmView; operation: OperationView };

beforeAll(async () => {
  postgres = await startPostgres();
  api = await startApi(await postgres.createDatabase());
  for (const name of ['node1', 'node2', 'node3']) await addNode(api, name);
  for (const name of ['fisica', 'quimica']) (await api.admin.post('/tenants', { name })).expect(201);
  fisica = await api.clientFor('tenant-admin', 'fisica');
  quimica = await api.clientFor('tenant-admin', 'quimica');
  (await api.admin.post('/users', { name: 'beto', tenant: 'quimica', role: 'member' })).expect(201);
  created = (
    await quimica.post<typeof created>('/drvms', {
      name: 'reactor',
      cpu: 0.5,
      memoryMiB: 512,
      diskGiB: 2,
      nodes: ['node1', 'node2'],
    })
  ).expect(202);
  (await fisica.post('/drvms', { name: 'atomo', cpu: 0.25, memoryMiB: 200, nodes: ['node1'] })).expect(202);
});
afterAll(async () => {
  await api?.stop();
  await postgres?.stop();
});

describe('a department', () => {
  it('gets 404 for everything of another, by name and by id, to read and to change', async () => {
    const { drvm, operation } = created;
    const token = (await quimica.post<{ id: string }>('/tokens', { name: 'theirs', role: 'member' })).expect(
      201,
    );
    const beto = (await quimica.get<{ id: string }>('/users/beto')).expect(200);
    const tenant = (await quimica.get<TenantView>('/tenants/quimica')).expect(200);
    const requests: [string, string, unknown?][] = [
      ...[drvm.id, 'reactor', 'quimica~reactor'].flatMap((reference): [string, string, unknown?][] => [
        ['GET', `/drvms/${reference}`],
        ['POST', `/drvms/${reference}/start`],
        ['POST', `/drvms/${reference}/stop`],
        ['DELETE', `/drvms/${reference}`],
        ['GET', `/allocations?drvm=${reference}`],
        ['GET', `/drvms/${reference}/processes`],
        ['GET', `/drvms/${reference}/processes/1`],
        ['POST', `/drvms/${reference}/processes`, { program: '/a.wasm' }],
        ['POST', `/drvms/${reference}/processes/1/kill`, { signal: 'SIGKILL' }],
        ['POST', `/drvms/${reference}/processes/1/migrate`, { to: 'node2' }],
        ['GET', `/drvms/${reference}/files?path=/&list=true`],
        ['DELETE', `/drvms/${reference}/files?path=/x`],
      ]),
      ['GET', `/operations/${operation.id}`],
      ['POST', `/operations/${operation.id}/cancel`],
      ['POST', `/operations/${operation.id}/retry`],
      ['GET', `/tenants/${tenant.id}`],
      ['GET', '/tenants/quimica'],
      ['GET', `/users/${beto.id}`],
      ['GET', '/users/beto'],
      ['PATCH', '/users/beto', { password: 'taken over now' }],
      ['DELETE', '/users/beto'],
      ['DELETE', `/tokens/${token.id}`],
      ['GET', '/nodes/node2'],
      ['GET', '/nodes/node3'],
      ['GET', '/allocations?node=node2'],
      ['GET', '/drvms?tenant=quimica'],
      ['POST', '/drvms', { name: 'x', tenant: 'quimica', cpu: 0.1, memoryMiB: 200 }],
      ['POST', '/users', { name: 'mole', tenant: 'quimica', role: 'member' }],
      ['POST', '/tokens', { name: 'mole', tenant: 'quimica', role: 'member' }],
    ];
    const wrong: string[] = [];
    for (const [method, path, body] of requests) {
      const answer = await fisica.send<Problem>(method, path, body);
      if (answer.status !== 404 || answer.body.code !== 'NotFound')
        wrong.push(`${method} ${path}: ${answer.status}`);
    }
    expect(wrong).toEqual([]);
  });

  it('finds nothing of another in any list', async () => {
    for (const path of [
      '/drvms',
      '/tenants',
      '/users',
      '/tokens',
      '/allocations',
      '/operations',
      '/nodes',
      '/audit',
    ]) {
      const page = (await fisica.get<Page<unknown>>(path)).expect(200);
      expect(JSON.stringify(page)).not.toMatch(/quimica|reactor|beto/);
    }
    const [mine] = (await fisica.get<Page<AllocationView>>('/allocations')).expect(200).items;
    expect(mine).toMatchObject({ drvm: 'atomo', node: 'node1' });
  });

  it('sees of a shared node its own share as if that were all', async () => {
    const [node, ...others] = (await fisica.get<Page<NodeView>>('/nodes')).expect(200).items;
    expect(others).toEqual([]);
    expect(node).toMatchObject({
      name: 'node1',
      capacity: { cpu: 0.25, memoryMiB: 200 },
      reserved: { cpu: 0.25 },
    });
    const detail = (await fisica.get<NodeDetailView>('/nodes/node1')).expect(200);
    expect(detail.allocations.map(({ drvm }) => drvm)).toEqual(['atomo']);
    expect(detail.interfaces).toEqual([]);
    const whole = (await api.admin.get<NodeView>('/nodes/node1')).expect(200);
    expect(whole).toMatchObject({ capacity: { cpu: 1 }, reserved: { cpu: 0.5 }, allocated: { cpu: 0.5 } });
  });

  it('is told nothing about other nodes by plans and refusals', async () => {
    const input = { name: 'p', cpu: 0.1, memoryMiB: 200, nodes: ['node1'] };
    const plan = (await fisica.post<{ rejected: unknown }>('/drvms', { ...input, dryRun: true })).expect(200);
    expect(JSON.stringify(plan)).not.toMatch(/node[23]|stay free|FreeAfter/);
    expect(plan.rejected).toEqual([{ what: '2 nodes', reason: 'not-named' }]);
    const refused = (await fisica.post<Problem>('/drvms', { ...input, cpu: 9, nodes: undefined })).expect(
      422,
    );
    expect(refused.details).toMatchObject({ short: [{ class: 'cpuMilli' }], nearest: {} });
    expect(JSON.stringify(refused)).not.toMatch(/node[123]/);
  });

  it('may not touch nodes, tenants or quotas at all', async () => {
    for (const [method, path, body] of [
      ['POST', '/nodes/enroll-tokens', {}],
      ['PATCH', '/nodes/node1', { labels: { a: 'b' } }],
      ['DELETE', '/nodes/node1'],
      ['POST', '/tenants', { name: 'own' }],
      ['PATCH', '/tenants/fisica', { quota: { cpu: 100 } }],
      ['DELETE', '/tenants/fisica'],
    ] as const) {
      expect((await fisica.send<Problem>(method, path, body)).status).toBe(403);
    }
  });

  it('has members who read and run, and do not create or delete DRVMs', async () => {
    const member = await api.clientFor('member', 'quimica');
    expect((await member.get('/drvms/reactor')).status).toBe(200);
    expect((await member.delete<Problem>('/drvms/reactor')).expect(403).code).toBe('NotAllowed');
    expect(
      (await member.post<Problem>('/drvms', { name: 'm', cpu: 0.1, memoryMiB: 200 })).expect(403).code,
    ).toBe('NotAllowed');
  });

  it('has auditors who read and change nothing; those of the cluster read all', async () => {
    const auditor = await api.clientFor('auditor', null);
    expect((await auditor.get<Page<DrvmView>>('/drvms')).expect(200).items).toHaveLength(2);
    expect((await auditor.post('/tenants', { name: 'no' })).status).toBe(403);
    const own = await api.clientFor('auditor', 'fisica');
    expect((await own.get<Page<DrvmView>>('/drvms')).expect(200).items.map(({ name }) => name)).toEqual([
      'atomo',
    ]);
  });
});

describe('the database', () => {
  it('hides other tenants and refuses writes for them even where a service would forget to ask', async () => {
    const database = api.app.get(Database);
    const tenant = await database.unrestricted.tenant.findUniqueOrThrow({ where: { name: 'fisica' } });
    const other = await database.unrestricted.tenant.findUniqueOrThrow({ where: { name: 'quimica' } });
    const actor: Actor = { userId: null, tokenId: 't', name: 'x', role: 'tenant-admin', tenantId: tenant.id };
    const seen = await database.as(actor, async (tx) => ({
      drvms: (await tx.drvm.findMany()).map(({ name }) => name),
      slices: await tx.slice.count(),
      operations: await tx.operation.count(),
      steps: (await tx.operationStep.findMany({ include: { operation: true } })).every(
        (step) => step.operation.tenantId === tenant.id,
      ),
      tenants: await tx.tenant.count(),
      inventories: await tx.inventory.count(),
      sessions: await tx.session.count(),
    }));
    expect(seen).toEqual({
      drvms: ['atomo'],
      slices: 1,
      operations: 1,
      steps: true,
      tenants: 1,
      inventories: 0,
      sessions: 0,
    });
    await expect(
      database.as(actor, (tx) => tx.drvm.create({ data: { tenantId: other.id, name: 'mole' } })),
    ).rejects.toThrow('row-level security');
    expect(
      await database.as(actor, (tx) =>
        tx.drvm.updateMany({ where: { tenantId: other.id }, data: { detail: 'mine' } }),
      ),
    ).toEqual({ count: 0 });
    expect(await database.as(actor, (tx) => tx.drvm.deleteMany({ where: { tenantId: other.id } }))).toEqual({
      count: 0,
    });
    await expect(database.as(actor, (tx) => tx.inventory.updateMany({ data: { total: 1 } }))).rejects.toThrow(
      'permission denied',
    );
    const reader: Actor = { ...actor, role: 'auditor' };
    expect(await database.as(reader, (tx) => tx.drvm.updateMany({ data: { detail: 'mine' } }))).toEqual({
      count: 0,
    });
  });

  it('forgets who asked when the transaction ends', async () => {
    const database = api.app.get(Database);
    const tenant = await database.unrestricted.tenant.findUniqueOrThrow({ where: { name: 'fisica' } });
    const actor: Actor = { userId: null, tokenId: 't', name: 'x', role: 'member', tenantId: tenant.id };
    await Promise.all(Array.from({ length: 30 }, () => database.as(actor, (tx) => tx.drvm.count())));
    expect(await database.unrestricted.drvm.count()).toBe(2);
  });

  it('shows a follower of events no event below one that it has shown before', async () => {
    const events = api.app.get(EventsService);
    const database = api.app.get(Database);
    const actor: Actor = { userId: null, tokenId: 't', name: 'x', role: 'supra-admin', tenantId: null };
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const isWritten = Promise.withResolvers<void>();
    const slow = database.system(async (tx) => {
      await events.record(tx, { kind: 'test', text: 'slow' });
      isWritten.resolve();
      await held;
    });
    await isWritten.promise;
    await database.system((tx) => events.record(tx, { kind: 'test', text: 'fast' }));
    const texts = async () =>
      (await events.since(actor, null, 500))
        .filter(({ kind }: EventView) => kind === 'test')
        .map(({ text }) => text);
    expect(await texts()).toEqual([]);
    release();
    await slow;
    // Any later transaction that is still open holds the readers back a little; none is here.
    for (let tries = 0; tries < 50 && (await texts()).length < 2; tries++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await texts()).toEqual(['slow', 'fast']);
  });
});
