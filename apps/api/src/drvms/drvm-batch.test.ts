import type { DrvmView, OperationView, Page, Problem } from '@drvs/contracts';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { addNode, startApi, type TestApi } from '../../../../test/support/api.js';
import { startPostgres, type TestPostgres } from '../../../../test/support/postgres.js';
import { Database } from '../database/database.js';

let postgres: TestPostgres;
let api: TestApi;
beforeAll(async () => {
  postgres = await startPostgres();
  api = await startApi(await postgres.createDatabase());
  for (const name of ['node1', 'node2', 'node3']) await addNode(api, name);
  (await api.admin.post('/tenants', { name: 'fisica', quota: { cpu: 2.5 } })).expect(201);
});
afterAll(async () => {
  await api?.stop();
  await postgres?.stop();
});

const named = (count: number, more: object = {}, from = 0) =>
  Array.from({ length: count }, (_, n) => ({
    name: `s${from + n}`,
    cpu: 0.2,
    memoryMiB: 200,
    diskGiB: 0,
    ...more,
  }));
const batch = (drvms: object[]) =>
  api.admin.post<{ items: { operationId: string; drvm: DrvmView }[] } & Problem>('/drvms/batch', {
    tenant: 'fisica',
    drvms,
  });
const count = () => api.app.get(Database).unrestricted.drvm.count();

describe('DRVMs created together', () => {
  it('get what was asked for, each with an operation, an event, and all with one entry in the audit', async () => {
    const { items } = (await batch(named(6, { nodes: 2, cpu: 0.4, memoryMiB: 400 }))).expect(202);
    expect(items.map(({ drvm }) => drvm.name)).toEqual(named(6).map(({ name }) => name));
    for (const { drvm, operationId } of items) {
      expect(drvm.nodes.map(({ cpu, memoryMiB }) => [cpu, memoryMiB])).toEqual([
        [0.2, 200],
        [0.2, 200],
      ]);
      expect((await api.admin.get<DrvmView>(`/drvms/${drvm.id}`)).expect(200).nodes).toEqual(drvm.nodes);
      const operation = (await api.admin.get<OperationView>(`/operations/${operationId}`)).expect(200);
      expect(operation).toMatchObject({ kind: 'drvm.create', subject: `drvm/${drvm.name}` });
      expect(operation.steps.length).toBeGreaterThan(3);
    }
    const [entry] = (await api.admin.get<Page<{ action: string }>>('/audit?limit=1')).expect(200).items;
    expect(entry).toMatchObject({ action: 'drvm.create-many' });
    const created = await api.app.get(Database).unrestricted.event.count({ where: { kind: 'drvm.create' } });
    expect(created).toBe(6);
  });

  it('are all refused when one has no place, when the quota does not suffice, or when a name is taken', async () => {
    const before = await count();
    const big = (await batch([...named(1, {}, 20), { name: 'big', cpu: 0.1, memoryMiB: 4000 }])).expect(422);
    expect(big).toMatchObject({ code: 'InsufficientResources', field: 'drvms.1' });
    expect(big.detail).toContain('big (2 of 2)');
    expect((await batch(named(2, {}, 20))).expect(422).code).toBe('QuotaExceeded');
    expect((await batch(named(1))).expect(409).code).toBe('AlreadyExists');
    expect((await batch([...named(1, {}, 30), ...named(1, {}, 30)])).expect(400).code).toBe('InvalidInput');
    expect((await batch([])).expect(400).code).toBe('InvalidInput');
    expect((await batch(named(1, { lease: { end: '2030-01-01' } }))).expect(400).code).toBe('InvalidInput');
    expect(await count()).toBe(before);
  });

  it('never take together more than there is, however many batches come at once', async () => {
    await api.app.get(Database).unrestricted.drvm.deleteMany();
    (await api.admin.patch('/tenants/fisica', { quota: { cpu: null } })).expect(200);
    // Three nodes of 1 vCPU and 1024 MiB hold fifteen of these.
    const answers = await Promise.all(Array.from({ length: 6 }, (_, n) => batch(named(4, {}, 100 + n * 4))));
    expect(answers.filter(({ status }) => status === 202)).toHaveLength(3);
    expect(answers.filter(({ status }) => status === 422)).toHaveLength(3);
    const rows = await api.app.get(Database).unrestricted.inventory.findMany();
    expect(rows.every(({ used, total }) => used <= total)).toBe(true);
    expect(await count()).toBe(12);
  });
});
