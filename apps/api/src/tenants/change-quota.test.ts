import type { Page, Problem, TenantView } from '@drvs/contracts';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { addNode, startApi, type TestApi } from '../../../../test/support/api.js';
import { startPostgres, type TestPostgres } from '../../../../test/support/postgres.js';

let postgres: TestPostgres;
let api: TestApi;
beforeAll(async () => {
  postgres = await startPostgres();
  api = await startApi(await postgres.createDatabase());
  await addNode(api, 'node1');
  (await api.admin.post('/tenants', { name: 'fisica', quota: { cpu: 4, memoryMiB: 4096 } })).expect(201);
});
afterAll(async () => {
  await api?.stop();
  await postgres?.stop();
});

const change = (body: object, headers?: Record<string, string>) =>
  api.admin.patch<TenantView & Problem>('/tenants/fisica', body, headers);

describe('a change of a quota', () => {
  it('changes the classes that are named, lifts those that are null, and shows what is held', async () => {
    (
      await api.admin.post('/drvms', { name: 'd', tenant: 'fisica', cpu: 0.5, memoryMiB: 300, diskGiB: 1 })
    ).expect(202);
    const view = (await change({ quota: { cpu: 2.5, diskGiB: 10 } })).expect(200);
    expect(view.quota).toEqual({ cpu: 2.5, memoryMiB: 4096, diskGiB: 10 });
    expect(view.used).toEqual({ cpu: 0.5, memoryMiB: 300, diskGiB: 1, networkMbps: 0 });
    expect((await change({ quota: { memoryMiB: null } })).expect(200).quota).toEqual({
      cpu: 2.5,
      diskGiB: 10,
    });
  });

  it('made by many at once is made one after another, each with its entry in the audit', async () => {
    const { generation } = (await api.admin.get<TenantView>('/tenants/fisica')).expect(200);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => change({ quota: { networkMbps: n } })),
    );
    expect(answers.map(({ body }) => body.generation).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 20 }, (_, n) => generation + 1 + n),
    );
    const entries = (await api.admin.get<Page<{ action: string }>>('/audit?limit=20')).expect(200).items;
    expect(entries.map(({ action }) => action)).toEqual(Array.from({ length: 20 }, () => 'tenant.quota'));
    expect((await api.admin.get<{ intact: boolean }>('/audit/verify')).expect(200).intact).toBe(true);
  });

  it('from a stale generation or of no tenant changes nothing and writes nothing down', async () => {
    const before = (await api.admin.get<Page<{ id: string }>>('/audit?limit=1')).expect(200).items;
    expect((await change({ quota: { cpu: 1 } }, { 'if-match': '"1"' })).expect(412).code).toBe(
      'StaleGeneration',
    );
    const nobody = '00000000-0000-4000-8000-000000000000';
    for (const name of ['nobody', nobody]) {
      expect((await api.admin.patch<Problem>(`/tenants/${name}`, { quota: {} })).expect(404).code).toBe(
        'NotFound',
      );
    }
    const member = await api.clientFor('tenant-admin', 'fisica');
    expect((await member.patch('/tenants/fisica', { quota: { cpu: 99 } })).status).toBe(403);
    expect((await api.admin.get<Page<{ id: string }>>('/audit?limit=1')).expect(200).items[0]).toMatchObject({
      id: String(Number(before[0]?.id) + 1), // the token of the member
    });
  });
});
