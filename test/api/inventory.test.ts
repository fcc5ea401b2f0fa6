import type {
  CandidatesView,
  DeviceView,
  DrvmView,
  ExplanationView,
  NodeInventoryView,
  NodeRulesView,
  NodeView,
  Page,
  Problem,
  TenantView,
  TopologyView,
} from '@drvs/contracts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Database } from '../../apps/api/src/database/database.js';
import { addNode, startApi, type TestApi } from '../support/api.js';
import { TestCluster, until } from '../support/cluster.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';

let postgres: TestPostgres;
let api: TestApi;
beforeAll(async () => {
  postgres = await startPostgres();
});
beforeEach(async () => {
  await api?.stop();
  api = await startApi(await postgres.createDatabase());
  for (let n = 1; n <= 4; n++) await addNode(api, `node${n}`);
  (await api.admin.post('/tenants', { name: 'fisica' })).expect(201);
});
afterAll(async () => {
  await api?.stop();
  await postgres?.stop();
});

const small = (name: string, more: object = {}) => ({
  name,
  tenant: 'fisica',
  cpu: 0.5,
  memoryMiB: 400,
  diskGiB: 0,
  ...more,
});
const create = <T = Problem>(body: object) => api.admin.post<T>('/drvms', body);
const db = () => api.app.get(Database).unrestricted;

/** A device of a node, as its agent's report leaves it. @returns its id */
async function addDevice(node: string, key: string, host = node, traits: string[] = []): Promise<string> {
  const { id: nodeId } = await db().node.findUniqueOrThrow({ where: { name: node } });
  const device = { nodeId, key, host, type: 'gpu', name: key, traits };
  return (await db().providedDevice.create({ data: device })).id;
}

describe('what a node offers', () => {
  it('is administered class by class, under its generation, and binds the ledger', async () => {
    const before = (await api.admin.get<NodeInventoryView>('/nodes/node1/inventory')).expect(200);
    expect(before.classes.find((each) => each.class === 'cpuMilli')).toMatchObject({
      total: 1000,
      capacity: 1000,
    });
    const change = { cpuMilli: { reserved: 200, ratio: 1.5, step: 100 } };
    const etag = { 'if-match': `"${before.generation}"` };
    const after = (await api.admin.patch<NodeInventoryView>('/nodes/node1/inventory', change, etag)).expect(
      200,
    );
    expect(after.classes.find((each) => each.class === 'cpuMilli')).toMatchObject({
      capacity: 1200,
      step: 100,
      free: 1200,
    });
    expect((await api.admin.patch<Problem>('/nodes/node1/inventory', change, etag)).status).toBe(412);
    // What does not divide by the step is not to be had there, and is said never to be.
    const odd = (await create(small('odd', { cpu: 0.55, nodes: ['node1'] }))).expect(422);
    expect(odd.details?.verdict).toBe('never');
    (await create(small('even', { cpu: 1.1, nodes: ['node1'] }))).expect(202);
  });

  it('is not made less than what is given, but may come back towards it', async () => {
    (await create(small('a', { cpu: 0.8, nodes: ['node1'] }))).expect(202);
    const set = (reserved: number) =>
      api.admin.patch<Problem>('/nodes/node1/inventory', { cpuMilli: { reserved } });
    expect((await set(300)).expect(409).detail).toContain('has given 800 of cpuMilli');
    (await set(200)).expect(200);
    // The node loses hardware: over-full, but a change that does not worsen it is let through.
    await db().inventory.updateMany({
      where: { class: 'cpuMilli', node: { name: 'node1' } },
      data: { total: 700 },
    });
    (await set(100)).expect(200);
    (await set(150)).expect(409);
    for (const wrong of [
      { cpuMilli: { reserved: -1 } },
      { cpuMilli: { ratio: 0 } },
      { gpu: { reserved: 1 } },
      {},
    ])
      expect((await api.admin.patch<Problem>('/nodes/node1/inventory', wrong)).status).toBe(400);
  });

  it('has traits and taints that requests are held to, and a place in the topology', async () => {
    const traits = (node: string, add: string[], remove: string[] = []) =>
      api.admin.patch<NodeRulesView>(`/nodes/${node}/traits`, { add, remove });
    (await traits('node1', ['ssd', 'rack=r1', 'site=centro'])).expect(200);
    (await traits('node2', ['rack=r1', 'site=centro'])).expect(200);
    (await traits('node3', ['rack=r2', 'site=centro'])).expect(200);
    expect((await traits('node1', ['rack=r9'])).expect(200)).toMatchObject({
      rack: 'r9',
      set: ['rack=r9', 'site=centro', 'ssd'],
    });
    (await traits('node1', ['rack=r1'])).expect(200);
    (await traits('node1', [], ['nothing'])).expect(404);
    const { sites } = (await api.admin.get<TopologyView>('/topology')).expect(200);
    expect(
      sites.map(({ site, racks }) => [site, racks.map(({ rack, nodes }) => [rack, nodes.length])]),
    ).toEqual([
      [
        'centro',
        [
          ['r1', 2],
          ['r2', 1],
        ],
      ],
      [null, [[null, 1]]],
    ]);
    const made = (await create<{ drvm: DrvmView }>(small('on-ssd', { require: ['ssd'] }))).expect(202);
    expect(made.drvm.nodes.map(({ node }) => node)).toEqual(['node1']);
    const apart = (
      await create<{ drvm: DrvmView }>(
        small('apart', { nodes: 3, cpu: 0.9, memoryMiB: 700, spreadOver: 'rack' }),
      )
    ).expect(202);
    expect(new Set(apart.drvm.nodes.map(({ node }) => (node === 'node2' ? 'node1' : node))).size).toBe(3);
    const taint = { add: ['lab=chemistry:NoSchedule'] };
    for (const n of [1, 2, 3, 4]) (await api.admin.patch(`/nodes/node${n}/taints`, taint)).expect(200);
    const refused = (await create(small('plain'))).expect(422);
    expect(refused.detail).toContain('4 nodes are tainted');
    (await create(small('tolerant', { tolerate: ['lab=chemistry'] }))).expect(202);
    (await api.admin.patch('/nodes/node4/taints', { remove: ['lab'] })).expect(200);
    (await create(small('plain'))).expect(202);
  });

  it('is closed to what is new while it is cordoned or on probation', async () => {
    for (const n of [2, 3, 4]) (await api.admin.post(`/nodes/node${n}/cordon`)).expect(200);
    await db().node.update({ where: { name: 'node1' }, data: { probation: 'failed' } });
    const refused = (await create(small('a'))).expect(422);
    expect(refused.detail).toContain('1 node is on probation');
    expect(refused.details?.verdict).toBe('not-now');
    (await api.admin.post('/nodes/node1/accept')).expect(200);
    expect((await api.admin.post<Problem>('/nodes/node1/accept')).expect(409).detail).toContain(
      'not on probation',
    );
    (await create(small('a'))).expect(202);
    (await api.admin.post('/nodes/node2/uncordon')).expect(200);
    const { items } = (await api.admin.get<Page<NodeView>>('/nodes')).expect(200);
    expect(items.map(({ state, probation }) => [state, probation]).slice(0, 2)).toEqual([
      ['up', 'accepted'],
      ['up', 'passed'],
    ]);
  });

  it('is removed for good when empty, and with what it holds only when lost and confirmed', async () => {
    (await create(small('a', { nodes: ['node1', 'node2'], memoryMiB: 500 }))).expect(202);
    (await create(small('b', { nodes: ['node1'] }))).expect(202);
    expect((await api.admin.delete<Problem>('/nodes/node1')).expect(409).hint).toContain('drain');
    (await api.admin.delete<Problem>('/nodes/node1?force=true&confirm=node1')).expect(409);
    await db().node.update({ where: { name: 'node1' }, data: { lastSeenAt: new Date(0) } });
    expect((await api.admin.delete<Problem>('/nodes/node1?force=true')).expect(400).field).toBe('confirm');
    (await api.admin.delete('/nodes/node1?force=true&confirm=node1')).expect(204);
    const b = (await api.admin.get<DrvmView>('/drvms/b')).expect(200);
    expect(b).toMatchObject({ state: 'failed', nodes: [] });
    expect((await api.admin.get<DrvmView>('/drvms/a')).expect(200).nodes).toHaveLength(1);
    (await api.admin.delete('/nodes/node4')).expect(204);
  });

  it('is not for departments to change', async () => {
    const admin = await api.clientFor('tenant-admin', 'fisica');
    for (const answer of [
      await admin.patch('/nodes/node1/inventory', { cpuMilli: { reserved: 1 } }),
      await admin.patch('/nodes/node1/traits', { add: ['ssd'] }),
      await admin.post('/nodes/node1/cordon'),
    ])
      expect(answer.status).toBe(403);
    expect((await admin.get<{ items: DeviceView[] }>('/devices')).expect(200).items).toEqual([]);
  });
});

describe('devices', () => {
  it('are asked for, given to one DRVM each, and counted against the quota', async () => {
    await addDevice('node1', 'pci:1', 'node1', ['large']);
    await addDevice('node2', 'pci:1');
    (await api.admin.patch('/tenants/fisica', { devices: { gpu: 2 } })).expect(200);
    const gpu = (count: number, traits: string[] = []) => ({ devices: [{ type: 'gpu', count, traits }] });
    const made = (await create<{ drvm: DrvmView }>(small('a', gpu(1, ['large'])))).expect(202);
    expect(made.drvm.nodes.map(({ node }) => node)).toEqual(['node1']);
    expect((await create(small('b', gpu(1, ['large'])))).expect(422).detail).toContain(
      '1 device gpu (large) asked for, 0 free',
    );
    (await create(small('c', gpu(1)))).expect(202);
    await addDevice('node3', 'pci:1');
    expect((await create(small('d', gpu(1)))).expect(422).code).toBe('QuotaExceeded');
    // What the cluster has in all is read anew every few seconds.
    const view = await until('the share of the devices', async () => {
      const tenant = (await api.admin.get<TenantView>('/tenants/fisica')).expect(200);
      return tenant.dominantShare.class === 'gpu' && tenant;
    });
    expect(view.devices).toEqual({ quota: { gpu: 2 }, used: { gpu: 2 } });
    expect(view.dominantShare.share).toBe(0.6667);
  });

  it('are attached and detached one by one, where the DRVM has a slice', async () => {
    const first = await addDevice('node1', 'pci:1');
    await addDevice('node2', 'pci:1');
    (await create(small('a', { nodes: ['node1'] }))).expect(202);
    (await create(small('b', { nodes: ['node1'] }))).expect(202);
    const attach = (drvm: string, device: string) =>
      api.admin.post<DeviceView & Problem>(`/drvms/${drvm}/devices`, { device });
    expect((await attach('a', 'node2/pci:1')).expect(409).detail).toBe('a has no slice on node2');
    expect((await attach('a', 'node1/pci:1')).expect(200)).toMatchObject({ drvm: 'a', id: first });
    (await attach('a', first)).expect(200);
    expect((await attach('b', first)).expect(409).detail).toContain('given to another DRVM');
    (await api.admin.delete(`/drvms/a/devices/${first}`)).expect(200);
    (await api.admin.patch(`/devices/${first}`, { reserved: 1 })).expect(200);
    expect((await attach('b', first)).expect(409).detail).toContain('out of service');
    (await api.admin.patch(`/devices/${first}`, { reserved: 0 })).expect(200);
    (await attach('b', first)).expect(200);
  });

  it('are told to a running DRVM when they are attached, detached, or gone', async () => {
    const cluster = new TestCluster(api);
    try {
      const agent = await cluster.node('live');
      const { drvm } = (await create<{ drvm: DrvmView }>(small('a', { nodes: ['live'] }))).expect(202);
      await until('the DRVM runs', async () => {
        const view = (await api.admin.get<DrvmView>(`/drvms/${drvm.id}`)).expect(200);
        return view.state === 'running';
      });
      const told = () => agent.specs.get(drvm.id)?.devices;
      expect(told()).toEqual([]);
      const bare = { host: 'live', reserved: 0, nodeId: agent.nodeId };
      const serial = {
        ...bare,
        key: 'character:dri/card 0',
        type: 'character',
        name: 'card',
        path: '/dev/dri/card0',
      };
      const { id } = await db().providedDevice.create({ data: serial });
      await db().providedDevice.create({ data: { ...bare, key: 'pci:1', type: 'gpu', name: 'gpu' } });
      for (const key of [serial.key, 'pci:1'])
        (await api.admin.post('/drvms/a/devices', { device: `live/${key}` })).expect(200);
      const given = { key: 'character:dri/card 0', name: 'dri-card-0', path: '/dev/dri/card0' };
      await until('the container is told', () => told()?.length === 1);
      expect(told()).toEqual([given]);
      await db().providedDevice.update({ where: { id }, data: { present: false } });
      await until('it is told that the device is gone', () => told()?.length === 0);
      await db().providedDevice.update({ where: { id }, data: { present: true } });
      await until('it is told that the device is back', () => told()?.length === 1);
      (await api.admin.delete(`/drvms/a/devices/${id}`)).expect(200);
      await until('it is told that it has none', () => told()?.length === 0);
    } finally {
      cluster.stop();
    }
  });

  it('that several agents of one host find are one device', async () => {
    await addDevice('node1', 'pci:1', 'host-a');
    await addDevice('node2', 'pci:1', 'host-a');
    const gpu = { devices: [{ type: 'gpu', count: 1 }] };
    (await create(small('a', gpu))).expect(202);
    expect((await create(small('b', gpu))).expect(422).code).toBe('InsufficientResources');
  });
});

describe('candidates', () => {
  const ask = { tenant: 'fisica', cpu: 1, memoryMiB: 800, diskGiB: 0, nodes: 2 };

  it('are listed with their scores and the seed, and one is claimed', async () => {
    const list = (
      await api.admin.post<CandidatesView>('/allocation-candidates', { ...ask, seed: 5, limit: 3 })
    ).expect(200);
    expect(list).toMatchObject({ seed: 5, tenant: 'fisica' });
    expect(list.candidates).toHaveLength(3);
    const again = (
      await api.admin.post<CandidatesView>('/allocation-candidates', { ...ask, seed: 5, limit: 3 })
    ).expect(200);
    expect(again.candidates.map(({ slices }) => slices)).toEqual(list.candidates.map(({ slices }) => slices));
    const [, second] = list.candidates;
    const made = (await create<{ drvm: DrvmView }>({ ...ask, name: 'chosen', candidate: second?.id })).expect(
      202,
    );
    expect(made.drvm.nodes.map(({ node }) => node)).toEqual(second?.slices.map(({ node }) => node));
    expect((await create({ ...ask, name: 'other', cpu: 0.8, candidate: second?.id })).expect(400).field).toBe(
      'candidate',
    );
    (await create({ ...ask, name: 'gone', candidate: '00000000-0000-4000-8000-000000000000' })).expect(404);
  });

  it('claimed by fifty at once are had by as many as they hold, and the others are told', async () => {
    const tight = { tenant: 'fisica', cpu: 2, memoryMiB: 2000, diskGiB: 0, nodes: 2 };
    const lists = await Promise.all(
      Array.from({ length: 50 }, (_, seed) =>
        api.admin.post<CandidatesView>('/allocation-candidates', { ...tight, seed, limit: 1 }),
      ),
    );
    const answers = await Promise.all(
      lists.map((list, n) =>
        create({ ...tight, name: `d${n}`, candidate: list.expect(200).candidates[0]?.id }),
      ),
    );
    const made = answers.filter(({ status }) => status === 202).length;
    expect(made).toBeGreaterThanOrEqual(1);
    expect(made).toBeLessThanOrEqual(2);
    for (const { status, body } of answers.filter((answer) => answer.status !== 202))
      expect([status, body.code]).toEqual([409, 'StateConflict']);
    const rows = await db().$queryRaw<{ fits: boolean }[]>`SELECT used <= total AS fits FROM inventory`;
    expect(rows.every(({ fits }) => fits)).toBe(true);
  });

  it('that there are none of are explained: now, not now, or never, and with what would fit', async () => {
    const explain = async (more: object) =>
      (await api.admin.post<ExplanationView>('/allocation-explanations', { ...ask, ...more })).expect(200);
    expect(await explain({})).toMatchObject({ verdict: 'now', best: { slices: [{}, {}] } });
    const never = await explain({ cpu: 9, memoryMiB: 800, nodes: 4 });
    expect(never).toMatchObject({ verdict: 'never', nearest: { cpu: 4, nodes: 4 } });
    (await create(small('a', { cpu: 4, memoryMiB: 2000, nodes: 4 }))).expect(202);
    const later = await explain({});
    expect(later).toMatchObject({
      verdict: 'not-now',
      rules: [{ rule: 'cpu', nodes: 4, change: 'free some CPU there' }],
    });
    (await api.admin.patch('/tenants/fisica', { quota: { cpu: 4 } })).expect(200);
    expect((await explain({})).quota).toMatchObject([
      { class: 'cpuMilli', quota: 4000, used: 4000, requested: 1000 },
    ]);
    // A department is told how many nodes, not which.
    const own = await api.clientFor('tenant-admin', 'fisica');
    const said = (await own.post<ExplanationView>('/allocation-explanations', ask)).expect(200);
    expect(JSON.stringify(said)).not.toContain('node1');
  });

  it('keep DRVMs together and apart, also where several come at once', async () => {
    (await create(small('first', { nodes: ['node2'] }))).expect(202);
    const near = (
      await create<{ drvm: DrvmView }>(small('near', { affinity: ['first'], cpu: 0.2, memoryMiB: 200 }))
    ).expect(202);
    expect(near.drvm.nodes.map(({ node }) => node)).toEqual(['node2']);
    const far = (
      await create(small('far', { antiAffinity: ['first'], nodes: ['node2'], cpu: 0.1, memoryMiB: 200 }))
    ).expect(422);
    expect(far.detail).toContain('taken by a DRVM that it is to be apart from');
    expect(
      (await create(small('both', { affinity: ['first'], antiAffinity: ['first'] }))).expect(400).field,
    ).toBe('antiAffinity');
    (await create(small('nobody', { affinity: ['no-such'] }))).expect(404);
  });
});
