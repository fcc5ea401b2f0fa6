import {
  DrvsClient,
  NotAuthenticated,
  NotFound,
  OperationFailed,
  Refused,
  StaleGeneration,
} from '@drvs/client';
import { CreateTenantDocument, MeDocument, NodesDocument } from '@drvs/client/graphql';
import { DrvsError } from '@drvs/contracts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startApi, type TestApi } from '../support/api.js';
import { TestCluster } from '../support/cluster.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';

let postgres: TestPostgres;
let api: TestApi;
let cluster: TestCluster;
let drvs: DrvsClient;
beforeAll(async () => {
  postgres = await startPostgres();
  api = await startApi(await postgres.createDatabase());
  cluster = new TestCluster(api);
  for (const name of ['node1', 'node2', 'node3']) await cluster.node(name);
  drvs = new DrvsClient({ url: api.url, token: api.bootstrap.token });
}, 120_000);
afterAll(async () => {
  cluster?.stop();
  await api?.stop();
  await postgres?.stop();
}, 60_000);

describe('the typed client, on the real API', () => {
  test('reads and changes by REST, each change once', async () => {
    const headers = { 'Idempotency-Key': 'once' };
    const first = await drvs.rest.POST('/api/v1/tenants', { body: { name: 'fisica' }, headers });
    const again = await drvs.rest.POST('/api/v1/tenants', { body: { name: 'fisica' }, headers });
    expect(again.data).toEqual(first.data);
    expect(again.response.headers.get('idempotency-replayed')).toBe('true');
    const { data } = await drvs.rest.GET('/api/v1/tenants/{tenant}', {
      params: { path: { tenant: 'fisica' } },
    });
    expect(data?.id).toBe(first.data?.id);
  });

  test('throws what the API refuses as its class, with the code, the hint and the field', async () => {
    const params = { path: { tenant: 'nobody' } };
    await expect(drvs.rest.GET('/api/v1/tenants/{tenant}', { params })).rejects.toBeInstanceOf(NotFound);
    const tooMuch = drvs.rest.POST('/api/v1/drvms', {
      body: { name: 'huge', tenant: 'fisica', cpu: 9_000, memoryMiB: 512 },
    });
    await expect(tooMuch).rejects.toBeInstanceOf(Refused);
    await expect(tooMuch).rejects.toMatchObject({ code: 'InsufficientResources', hint: expect.any(String) });
    const stale = drvs.rest.PATCH('/api/v1/tenants/{tenant}', {
      params: { path: { tenant: 'fisica' }, header: { 'If-Match': '"77"' } },
      body: { quota: { cpu: 8 } },
    });
    await expect(stale).rejects.toBeInstanceOf(StaleGeneration);
    const stranger = new DrvsClient({ url: api.url, token: 'drvs_no_such_token' });
    await expect(stranger.rest.GET('/api/v1/auth/me')).rejects.toBeInstanceOf(NotAuthenticated);
  });

  test('reads lists page after page', async () => {
    const names: string[] = [];
    for await (const { name } of drvs.each('/api/v1/nodes', { query: { limit: 1 } })) names.push(name);
    expect(names).toEqual(['node1', 'node2', 'node3']);
  });

  test('waits for an operation, and follows what happens meanwhile', async () => {
    const abort = new AbortController();
    const seen: string[] = [];
    const followed = (async () => {
      for await (const { kind, drvm } of drvs.events({ since: '0', signal: abort.signal })) {
        seen.push(kind);
        if (drvm === 'aula' && kind === 'drvm.running') return;
      }
    })();
    const { data } = await drvs.rest.POST('/api/v1/drvms', {
      body: { name: 'aula', tenant: 'fisica', cpu: 0.5, memoryMiB: 512, nodes: 2 },
    });
    if (!data || !('operation' in data)) throw new Error('it was only planned');
    const progress: number[] = [];
    const ended = await drvs.waitForOperation(data.operation, {
      onProgress: (operation) => progress.push(operation.progress),
    });
    expect(ended).toMatchObject({ state: 'succeeded', kind: 'drvm.create' });
    expect(progress.at(-1)).toBe(1);
    const { data: drvm } = await drvs.rest.GET('/api/v1/drvms/{drvm}', {
      params: { path: { drvm: 'aula' } },
    });
    expect(drvm?.nodes).toHaveLength(2);
    await Promise.race([followed, new Promise((resolve) => setTimeout(resolve, 2_000))]);
    abort.abort();
    await followed;
    expect(seen).toContain('node.up');
    expect(seen.some((kind) => kind.startsWith('drvm.'))).toBe(true);
  });

  test('throws an operation that failed with its own reason', async () => {
    for (const agent of cluster.agents) {
      agent.before = (method) => {
        if (method === 'drvm.stop') throw new DrvsError('StateConflict', 'it may not stop');
      };
    }
    const { data } = await drvs.rest.POST('/api/v1/drvms/{drvm}/stop', {
      params: { path: { drvm: 'aula' } },
    });
    const failure = drvs.waitForOperation(data?.id ?? '');
    await expect(failure).rejects.toBeInstanceOf(OperationFailed);
    await expect(failure).rejects.toMatchObject({
      operation: { state: expect.stringMatching(/failed|compensated/) },
    });
  });

  test('asks GraphQL with typed documents, and throws the same classes', async () => {
    expect((await drvs.graphql(MeDocument)).me.role).toBe('supra-admin');
    const { nodes } = await drvs.graphql(NodesDocument, { first: 2 });
    expect(nodes.nodes.map(({ name }) => name)).toEqual(['node1', 'node2']);
    expect(nodes.pageInfo.hasNextPage).toBe(true);
    await expect(drvs.graphql(CreateTenantDocument, { name: 'fisica' })).rejects.toMatchObject({
      code: 'AlreadyExists',
    });
  });
});
