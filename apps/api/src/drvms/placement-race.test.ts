import type { AllocationView, DrvmView, NodeView, Page, Problem } from '@drvs/contracts';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { addNode, startApi, type TestApi } from '../../../../test/support/api.js';
import { startPostgres, type TestPostgres } from '../../../../test/support/postgres.js';
import { Database } from '../database/database.js';

let postgres: TestPostgres;
let api: TestApi;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres?.stop());

async function fresh(nodes: number): Promise<void> {
  api = await startApi(await postgres.createDatabase());
  for (let n = 1; n <= nodes; n++) await addNode(api, `node${n}`);
  (await api.admin.post('/tenants', { name: 'fisica' })).expect(201);
}

describe('fifty creations at once for the last free resources', () => {
  it('succeed exactly as often as they fit, and the others are told what is short', async () => {
    await fresh(3);
    // Three nodes of 1 vCPU hold twelve DRVMs of a quarter each.
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        api.admin.post<Problem>('/drvms', {
          name: `d${n}`,
          tenant: 'fisica',
          cpu: 0.25,
          memoryMiB: 200,
          diskGiB: 0,
        }),
      ),
    );
    const count = (status: number) => answers.filter((answer) => answer.status === status).length;
    expect([count(202), count(422)]).toEqual([12, 38]);
    for (const { body } of answers.filter(({ status }) => status === 422)) {
      expect(body.code).toBe('InsufficientResources');
      expect(body.detail).toContain('none of 3 nodes qualifies');
    }
    const nodes = (await api.admin.get<Page<NodeView>>('/nodes')).expect(200).items;
    expect(nodes.map((node) => node.allocated.cpu)).toEqual([1, 1, 1]);
    await ledgerAddsUp();
    await api.stop();
  });

  it('holds for DRVMs over several nodes, for exclusive ones, and for competing tenants', async () => {
    await fresh(4);
    for (const name of ['t0', 't1', 't2', 't3']) (await api.admin.post('/tenants', { name })).expect(201);
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        api.admin.post<Problem>('/drvms', {
          name: `d${n}`,
          tenant: `t${n % 4}`,
          cpu: 1,
          memoryMiB: 600,
          nodes: n % 4 === 0 ? 1 : 2,
          exclusive: n % 5 === 0,
        }),
      ),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202, 422]));
    await ledgerAddsUp();
    const allocations = (await api.admin.get<Page<AllocationView>>('/allocations?limit=500')).expect(
      200,
    ).items;
    for (const { node } of allocations.filter(({ exclusive }) => exclusive)) {
      expect(allocations.filter((other) => other.node === node)).toHaveLength(1);
    }
    const drvms = (await api.admin.get<Page<DrvmView>>('/drvms?limit=500')).expect(200).items;
    expect(drvms).toHaveLength(answers.filter(({ status }) => status === 202).length);
    await api.stop();
  });

  it('stands together with deletions that take the same locks in another order', async () => {
    await fresh(3);
    const { unrestricted } = api.app.get(Database);
    const database = api.app.get(Database);
    const make = (n: number) =>
      api.admin.post<Problem>('/drvms', {
        name: `d${n}`,
        tenant: 'fisica',
        cpu: 0.3,
        memoryMiB: 600,
        nodes: 3,
      });
    const remove = async () => {
      const drvm = await unrestricted.drvm.findFirst({
        orderBy: { name: 'desc' },
        include: { slices: true },
      });
      if (!drvm) return;
      await database.system(async (tx) => {
        for (const { id } of drvm.slices.sort((a, b) => (a.nodeId < b.nodeId ? 1 : -1)))
          await tx.slice.deleteMany({ where: { id } });
        await tx.drvm.deleteMany({ where: { id: drvm.id } });
      });
    };
    const answers = await Promise.all(
      Array.from({ length: 24 }, (_, n) => (n % 3 === 2 ? remove() : make(n))),
    );
    const statuses = answers.flatMap((answer) => (answer ? [answer.status] : []));
    expect(statuses.every((status) => status === 202 || status === 422)).toBe(true);
    await ledgerAddsUp();
    await api.stop();
  });

  it('respects the quota of the tenant in the same transaction', async () => {
    await fresh(3);
    (await api.admin.patch('/tenants/fisica', { quota: { cpu: 1 } })).expect(200);
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, n) =>
        api.admin.post<Problem>('/drvms', {
          name: `d${n}`,
          tenant: 'fisica',
          cpu: 0.25,
          memoryMiB: 200,
          diskGiB: 0,
        }),
      ),
    );
    expect(answers.filter(({ status }) => status === 202)).toHaveLength(4);
    const refused = answers.find(({ status }) => status === 422)?.body;
    expect(refused?.code).toBe('QuotaExceeded');
    expect(refused?.detail).toBe(
      'the quota of fisica does not suffice: 0.25 vCPU asked for, 1 vCPU of 1 vCPU held',
    );
    await api.stop();
  });
});

/** What is written as given is what the slices hold, and no node has given more than it has. */
async function ledgerAddsUp(): Promise<void> {
  const { unrestricted } = api.app.get(Database);
  const rows = await unrestricted.$queryRaw<{ fits: boolean; agrees: boolean }[]>`
    SELECT i.used <= i.total - i.reserved AS fits,
      i.used = coalesce((SELECT sum(CASE i.class WHEN 'cpuMilli' THEN cpu_milli WHEN 'memoryMiB' THEN memory_mib
        WHEN 'diskGiB' THEN disk_gib ELSE network_mbps END) FROM slice s WHERE s.node_id = i.node_id), 0) AS agrees
    FROM inventory i`;
  expect(rows.length).toBeGreaterThan(0);
  expect(rows.every(({ fits, agrees }) => fits && agrees)).toBe(true);
}
