import type {
  DrvmView,
  ImportRowView,
  LeaseView,
  NodeRulesView,
  OperationView,
  Page,
  Problem,
  TemplateView,
  TenantView,
  WaitingView,
} from '@drvs/contracts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Database } from '../../apps/api/src/database/database.js';
import { LeaseLoop } from '../../apps/api/src/leases/lease-loop.js';
import { AgentPeer } from '../support/agent-peer.js';
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
});
afterAll(async () => {
  await api?.stop();
  await postgres?.stop();
});

const WITHIN_MS = 60_000;
const db = () => api.app.get(Database).unrestricted;
const create = <T = Problem>(body: object) => api.admin.post<T>('/drvms', body);
const drvm = (name: string, tenant: string, cpu: number, more: object = {}) => ({
  name,
  tenant,
  cpu,
  memoryMiB: 200,
  diskGiB: 0,
  ...more,
});
type Placed = { waiting: WaitingView } & { operation: OperationView; drvm: DrvmView };

/** As if it had been deleted. */
async function free(name: string): Promise<void> {
  await db().drvm.deleteMany({ where: { name } });
}

const queue = async () => (await api.admin.get<{ items: WaitingView[] }>('/queue')).expect(200).items;
const stateOf = async (id: string) => (await api.admin.get<WaitingView>(`/queue/${id}`)).expect(200);

describe('the queue', () => {
  beforeEach(async () => {
    await addNode(api, 'node1');
    for (const name of ['fisica', 'quimica']) (await api.admin.post('/tenants', { name })).expect(201);
  });

  it('lets in what waits when room appears, the department with the smallest share first', async () => {
    (await create(drvm('full', 'fisica', 0.5))).expect(202);
    (await create(drvm('rest', 'fisica', 0.5))).expect(202);
    const first = (await create<Placed>(drvm('f', 'fisica', 0.5, { whenFull: 'wait' }))).expect(201).waiting;
    const second = (await create<Placed>(drvm('q', 'quimica', 0.5, { whenFull: 'wait' }))).expect(
      201,
    ).waiting;
    expect((await queue()).map(({ name, position }) => [name, position])).toEqual([
      ['q', 1],
      ['f', 2],
    ]);
    expect(first.reason).toContain('none of 1 nodes qualifies');
    await free('full');
    const admitted = await until(
      'the first of the queue',
      async () => {
        const view = await stateOf(second.id);
        return view.state === 'admitted' && view;
      },
      WITHIN_MS,
    );
    expect(admitted).toMatchObject({ drvm: 'q', position: null });
    expect((await api.admin.get<OperationView>(`/operations/${admitted.operation}`)).expect(200).kind).toBe(
      'drvm.create',
    );
    expect((await stateOf(first.id)).state).toBe('waiting');
    await free('rest');
    await until(
      'the second of the queue',
      async () => (await stateOf(first.id)).state === 'admitted',
      WITHIN_MS,
    );
  });

  it('does not take what can never be, and gives up what no longer may be', async () => {
    expect((await create(drvm('huge', 'fisica', 5, { whenFull: 'wait' }))).expect(422).details?.verdict).toBe(
      'never',
    );
    (await create(drvm('full', 'fisica', 1))).expect(202);
    const { id } = (await create<Placed>(drvm('later', 'fisica', 0.5, { whenFull: 'wait' }))).expect(
      201,
    ).waiting;
    expect((await create(drvm('later', 'fisica', 0.5, { whenFull: 'wait' }))).expect(409).code).toBe(
      'AlreadyExists',
    );
    (await api.admin.delete(`/queue/${id}`)).expect(200);
    expect((await api.admin.delete<Problem>(`/queue/${id}`)).expect(409).detail).toContain('no longer waits');
    expect((await stateOf(id)).state).toBe('cancelled');
    // A department sees its own requests only.
    const other = await api.clientFor('tenant-admin', 'quimica');
    (await other.get(`/queue/${id}`)).expect(404);
    expect((await other.get<{ items: WaitingView[] }>('/queue')).expect(200).items).toEqual([]);
  });

  it('lets a large request gather room though small ones keep coming', async () => {
    for (const n of [0, 1]) (await create(drvm(`held${n}`, 'quimica', 0.5))).expect(202);
    const large = (await create<Placed>(drvm('large', 'fisica', 1, { whenFull: 'wait' }))).expect(
      201,
    ).waiting;
    await db().waitingRequest.update({
      where: { id: large.id },
      data: { holdUntil: new Date(Date.now() + 600_000), passedOver: 5 },
    });
    const small = (await create<Placed>(drvm('small', 'fisica', 0.2, { whenFull: 'wait' }))).expect(
      201,
    ).waiting;
    const looksBefore = (await stateOf(large.id)).attempts;
    await free('held0');
    await until(
      'a look at the large one',
      async () => (await stateOf(large.id)).attempts > looksBefore,
      WITHIN_MS,
    );
    expect((await stateOf(small.id)).state).toBe('waiting');
    await free('held1');
    await until('the large one', async () => (await stateOf(large.id)).state === 'admitted', WITHIN_MS);
  });

  it('keeps a creation whose lease begins later until then', async () => {
    const startsAt = new Date(Date.now() + 4_000).toISOString();
    const lease = { startsAt, forSeconds: 3_600 };
    const { id, notBefore } = (await create<Placed>(drvm('course', 'fisica', 0.5, { lease }))).expect(
      201,
    ).waiting;
    expect(notBefore).toBe(startsAt);
    await until('the start of the lease', async () => (await stateOf(id)).state === 'admitted', WITHIN_MS);
    const made = (await api.admin.get<LeaseView>('/drvms/course/lease')).expect(200);
    expect(Date.parse(made.endsAt) - Date.parse(made.startsAt)).toBe(3_600_000);
  });
});

describe('shares', () => {
  it('are shown with the weight, and weights are set', async () => {
    await addNode(api, 'node1', { memoryMiB: 2_000 });
    (await api.admin.post('/tenants', { name: 'fisica', weight: 2 })).expect(201);
    (await create(drvm('a', 'fisica', 0.25, { memoryMiB: 1_000 }))).expect(202);
    const tenant = (await api.admin.get<TenantView>('/tenants/fisica')).expect(200);
    expect(tenant).toMatchObject({ weight: 2, dominantShare: { share: 0.5, class: 'memoryMiB' } });
    expect((await api.admin.patch<TenantView>('/tenants/fisica', { weight: 3 })).expect(200).weight).toBe(3);
    for (const weight of [0, -1, 1e9]) (await api.admin.patch('/tenants/fisica', { weight })).expect(400);
  });
});

describe('leases', () => {
  beforeEach(async () => {
    await addNode(api, 'node1');
    (await api.admin.post('/tenants', { name: 'fisica' })).expect(201);
    (await create(drvm('aula', 'fisica', 0.5, { lease: { forSeconds: 86_400, keepSeconds: 3_600 } }))).expect(
      202,
    );
    // No agent is there to build it: it is as if it had been built.
    await db().operation.updateMany({ data: { state: 'succeeded', endedAt: new Date() } });
    await db().drvm.updateMany({ data: { state: 'running' } });
    // Only the looks of the tests, by the tests' time.
    await api.app.get(LeaseLoop).stop();
  });

  const events = async () =>
    (await api.admin.get<Page<{ kind: string }>>('/events?limit=500'))
      .expect(200)
      .items.map(({ kind }) => kind);
  /** Looks at leases as if it were so much later, twice: a jump of the clock is believed when it has held. */
  async function later(seconds: number): Promise<void> {
    const then = Date.now() + seconds * 1_000;
    const loop = api.app.get(LeaseLoop);
    await loop.look(new Date(then));
    await loop.look(new Date(then + 61_000));
  }

  it('warn, end, stop, and are extended; a DRVM whose lease has ended does not start', async () => {
    await later(86_400 - 1_800);
    expect(await events()).toContain('lease.ending');
    await later(86_400 + 60);
    const ended = (await api.admin.get<LeaseView>('/drvms/aula/lease')).expect(200);
    expect(ended.state).toBe('ended');
    expect(ended.filesUntil).not.toBeNull();
    const stops = (await api.admin.get<Page<OperationView>>('/operations?drvm=aula')).expect(200).items;
    expect(stops[0]?.kind).toBe('drvm.stop');
    await db().operation.updateMany({
      where: { endedAt: null },
      data: { state: 'succeeded', endedAt: new Date() },
    });
    await db().drvm.updateMany({ data: { state: 'stopped', wantedState: 'stopped' } });
    expect((await api.admin.post<Problem>('/drvms/aula/start')).expect(409).detail).toBe(
      'the lease of aula has ended',
    );
    (await api.admin.post('/drvms/aula/lease/extend', { bySeconds: 3 * 86_400 })).expect(200);
    (await api.admin.post('/drvms/aula/start')).expect(202);
  });

  it('delete the files when they were kept long enough, and nothing on the word of a clock that jumped once', async () => {
    const loop = api.app.get(LeaseLoop);
    await loop.look(new Date());
    await loop.look(new Date(Date.now() + 400 * 86_400_000));
    await loop.look(new Date());
    expect((await api.admin.get<LeaseView>('/drvms/aula/lease')).expect(200).state).toBe('active');
    await later(86_400 + 60);
    await db().operation.updateMany({
      where: { endedAt: null },
      data: { state: 'succeeded', endedAt: new Date() },
    });
    await db().drvm.updateMany({ data: { state: 'stopped', wantedState: 'stopped' } });
    await later(86_400 + 7_200);
    const [last] = (await api.admin.get<Page<OperationView>>('/operations?drvm=aula')).expect(200).items;
    expect(last?.kind).toBe('drvm.delete');
  });

  it('are set, shown and taken away under their generation', async () => {
    const before = (await api.admin.get<LeaseView>('/drvms/aula/lease')).expect(200);
    const terms = { forSeconds: 7_200, idleAction: 'notify', idleAfterSeconds: 60 };
    const stale = { 'if-match': `"${before.generation + 7}"` };
    (await api.admin.send('PUT', '/drvms/aula/lease', terms, stale)).expect(412);
    const set = (await api.admin.send<LeaseView>('PUT', '/drvms/aula/lease', terms)).expect(200);
    expect(set).toMatchObject({ idleAction: 'notify', idleAfterSeconds: 60, state: 'active' });
    await later(0);
    await later(200);
    expect(await events()).toContain('lease.idle');
    (await api.admin.delete('/drvms/aula/lease')).expect(204);
    (await api.admin.get('/drvms/aula/lease')).expect(404);
  });
});

describe('templates', () => {
  beforeEach(async () => {
    await addNode(api, 'node1');
    for (const name of ['fisica', 'quimica']) (await api.admin.post('/tenants', { name })).expect(201);
    const body = { cpu: 0.25, memoryMiB: 200, diskGiB: 0, lease: { forSeconds: 86_400 } };
    (await api.admin.post('/templates', { name: 'course', description: 'lab', body })).expect(201);
  });

  it('make DRVMs that say only what is other, and import a course line by line', async () => {
    const made = (
      await api.admin.post<Placed>('/templates/course/drvms', { name: 'ana', tenant: 'fisica' })
    ).expect(202);
    expect(made.drvm.nodes[0]).toMatchObject({ cpu: 0.25, memoryMiB: 200 });
    (await api.admin.get('/drvms/ana/lease')).expect(200);
    const rows = [
      { name: 'luis', tenant: 'fisica' },
      { name: 'eva', tenant: 'quimica', cpu: 0.5 },
      { name: 'tom', tenant: 'fisica' },
      { name: 'luis', tenant: 'fisica' },
      { name: 'Not A Name', tenant: 'fisica' },
    ];
    const run = async (dryRun: boolean) =>
      (await api.admin.post<{ rows: ImportRowView[] }>('/templates/course/import', { rows, dryRun })).expect(
        200,
      ).rows;
    // Three quarters are left: the third does not fit on what the first two leave, in the dry run either.
    expect((await run(true)).map(({ outcome }) => outcome)).toEqual([
      'fits',
      'fits',
      'refused',
      'refused',
      'refused',
    ]);
    expect(await db().drvm.count()).toBe(1);
    const imported = await run(false);
    expect(imported.map(({ outcome, error }) => error?.code ?? outcome)).toEqual([
      'created',
      'created',
      'InsufficientResources',
      'AlreadyExists',
      'InvalidInput',
    ]);
    expect(await db().drvm.count()).toBe(3);
  });

  it('are a department’s own or for all, and are checked when they are made', async () => {
    const own = await api.clientFor('tenant-admin', 'fisica');
    (await own.post('/templates', { name: 'course', body: { cpu: 0.5, memoryMiB: 300 } })).expect(201);
    // Who belongs to no department makes from it what that department is to have.
    (await own.post('/templates', { name: 'own', body: { cpu: 0.2, memoryMiB: 300, nodes: 1 } })).expect(201);
    const dry = { rows: [{ name: 'eva' }], dryRun: true };
    const made = await api.admin.post<{ rows: ImportRowView[] }>('/templates/own/import', dry);
    expect(made.expect(200).rows).toMatchObject([{ name: 'eva', outcome: 'fits' }]);
    (await own.delete('/templates/own')).expect(204);
    const seen = (await own.get<TemplateView>('/templates/course')).expect(200);
    expect(seen).toMatchObject({ tenant: 'fisica', body: { cpu: 0.5 } });
    const other = await api.clientFor('tenant-admin', 'quimica');
    expect((await other.get<TemplateView>('/templates/course')).expect(200).tenant).toBeNull();
    (await other.delete('/templates/course')).expect(403);
    (await other.post('/templates', { name: 'wrong', body: { cpu: -1 } })).expect(400);
    (await other.post('/templates', { name: 'wrong', body: { cup: 1 } })).expect(400);
    (await own.delete('/templates/course')).expect(204);
    expect((await own.get<TemplateView>('/templates/course')).expect(200).tenant).toBeNull();
  });
});

describe('a node that joins', () => {
  it('is on probation until its check has passed, and gets nothing when it fails', async () => {
    const cluster = new TestCluster(api);
    const sound = await cluster.node('sound');
    const rules = async (name: string) =>
      (await api.admin.get<NodeRulesView>(`/nodes/${name}/rules`)).expect(200);
    expect(await rules('sound')).toMatchObject({ probation: 'passed', found: ['arch=x64'] });
    expect((await rules('sound')).check?.items.map(({ name }) => name)).toEqual([
      'cpu',
      'memory',
      'disk',
      'clock',
    ]);
    const faulty = new AgentPeer(api.url, 'faulty');
    faulty.before = (method) => {
      if (method === 'node.check') throw new Error('the disk is gone');
    };
    await faulty.enrol(await cluster.enrolToken());
    expect((await rules('faulty')).probation).toBe('pending');
    await faulty.connect();
    await until('the check', async () => (await rules('faulty')).probation === 'failed', WITHIN_MS);
    (await api.admin.post('/tenants', { name: 'fisica' })).expect(201);
    const refused = (await create(drvm('a', 'fisica', 0.5, { nodes: ['faulty'] }))).expect(422);
    expect(refused.detail).toContain('on probation');
    faulty.before = () => undefined;
    (await api.admin.post('/nodes/faulty/check')).expect(202);
    await until('the second check', async () => (await rules('faulty')).probation === 'passed', WITHIN_MS);
    sound.disconnect();
    faulty.disconnect();
  });
});
