import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type {
  DrvmView,
  NewTokenView,
  OperationView,
  Page,
  Problem,
  TenantView,
  UserView,
} from '@drvs/contracts';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import WebSocket, { WebSocketServer } from 'ws';
import { ApiClient, addNode, startApi, type TestApi } from '../../../../test/support/api.js';
import { startPostgres, type TestPostgres } from '../../../../test/support/postgres.js';
import { Database } from '../database/database.js';
import { DrvmsService } from '../drvms/drvms.service.js';

let postgres: TestPostgres;
let api: TestApi;
let portal: Server;
beforeAll(async () => {
  portal = createServer((request, response) => {
    response.setHeader('content-type', 'text/plain');
    response.end(`portal ${request.method} ${request.url} for ${request.headers.host}`);
  });
  new WebSocketServer({ server: portal }).on('connection', (socket) =>
    socket.on('message', (data) => socket.send(`echo ${data}`)),
  );
  await new Promise<void>((resolve) => portal.listen(0, '127.0.0.1', resolve));
  postgres = await startPostgres();
  api = await startApi(await postgres.createDatabase(), {
    portalUrl: `http://127.0.0.1:${(portal.address() as AddressInfo).port}`,
  });
  for (const name of ['node1', 'node2']) await addNode(api, name);
});
afterAll(async () => {
  await api?.stop();
  portal?.closeAllConnections();
  portal?.close();
  await postgres?.stop();
});

describe('a change with an Idempotency-Key', () => {
  it('is made once, however often it is sent, and the answer is the first one', async () => {
    const headers = { 'idempotency-key': 'k1' };
    const first = await api.admin.post<TenantView>('/tenants', { name: 'once' }, headers);
    const again = await api.admin.post<TenantView>('/tenants', { name: 'once' }, headers);
    expect([first.status, again.status]).toEqual([201, 201]);
    expect(again.body).toEqual(first.body);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(again.headers.get('etag')).toBe('"1"');
    expect((await api.admin.post<Problem>('/tenants', { name: 'other' }, headers)).expect(409).field).toBe(
      'Idempotency-Key',
    );
  });

  it('is made once when the same request arrives several times at the same moment', async () => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, () =>
        api.admin.post<Problem>('/users', { name: 'twin', role: 'supra-admin' }, { 'idempotency-key': 'k2' }),
      ),
    );
    const statuses = new Set(answers.map(({ status }) => status));
    expect([...statuses].every((status) => status === 201 || status === 409)).toBe(true);
    expect(
      new Set(answers.filter(({ status }) => status === 409).map(({ body }) => body.code)),
    ).not.toContain('AlreadyExists');
    expect(
      (await api.admin.get<Page<UserView>>('/users')).expect(200).items.filter(({ name }) => name === 'twin'),
    ).toHaveLength(1);
  });

  it('may be sent again after an error, and keeps secrets sealed', async () => {
    const headers = { 'idempotency-key': 'k3' };
    expect((await api.admin.post('/tokens', { name: 't', role: 'member' }, headers)).status).toBe(400);
    const made = (
      await api.admin.post<NewTokenView>('/tokens', { name: 't', role: 'auditor' }, headers)
    ).expect(201);
    const rows = await api.app.get(Database).unrestricted.idempotencyKey.findMany();
    expect(rows.map(({ answer }) => Buffer.from(answer ?? []).toString('latin1')).join()).not.toContain(
      made.token.split('_')[2],
    );
  });
});

describe('ETags', () => {
  it('are generations; a change with a stale one is refused with 412', async () => {
    (await api.admin.post('/tenants', { name: 'etag' })).expect(201);
    const shown = await api.admin.get<TenantView>('/tenants/etag');
    const etag = shown.headers.get('etag') ?? '';
    expect(etag).toBe('"1"');
    expect(
      (await api.admin.patch('/tenants/etag', { quota: { cpu: 2 } }, { 'if-match': etag })).headers.get(
        'etag',
      ),
    ).toBe('"2"');
    const stale = await api.admin.patch<Problem>(
      '/tenants/etag',
      { quota: { cpu: 3 } },
      { 'if-match': etag },
    );
    expect(stale.expect(412)).toMatchObject({ code: 'StaleGeneration', details: { expected: 1, actual: 2 } });
    expect((await api.admin.delete('/tenants/etag', { 'if-match': 'nonsense' })).status).toBe(400);
    expect((await api.admin.delete('/tenants/etag', { 'if-match': '"2"' })).status).toBe(204);
  });
});

describe('lists', () => {
  it('are cut into pages that miss nothing and repeat nothing', async () => {
    for (let n = 0; n < 7; n++) (await api.admin.post('/tenants', { name: `page${n}` })).expect(201);
    const names: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page: Page<TenantView> = (
        await api.admin.get<Page<TenantView>>(`/tenants?limit=3&cursor=${cursor}`)
      ).expect(200);
      expect(page.items.length).toBeLessThanOrEqual(3);
      names.push(...page.items.map(({ name }) => name));
      cursor = page.nextCursor;
    }
    expect(names.filter((name) => name.startsWith('page'))).toHaveLength(7);
    expect(new Set(names).size).toBe(names.length);
    expect((await api.admin.get<Problem>('/tenants?cursor=nonsense')).expect(400).field).toBe('cursor');
    expect((await api.admin.get<Problem>('/tenants?limit=501')).expect(400).field).toBe('limit');
  });
});

describe('errors', () => {
  it('are problems with a code, the field, and what to do', async () => {
    const answer = await api.admin.post<Problem>('/drvms', { name: 'Bad Name', cpu: 1, memoryMiB: 300 });
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(answer.expect(400)).toMatchObject({
      type: 'urn:drvs:problem:InvalidInput',
      code: 'InvalidInput',
      field: 'name',
    });
    expect(
      (await api.admin.post<Problem>('/drvms', { name: 'x', cpu: 1, memoryMiB: 300 })).expect(400).field,
    ).toBe('tenant');
    expect((await new ApiClient(api.url, null).get<Problem>('/nodes')).expect(401).code).toBe(
      'NotAuthenticated',
    );
    const garbage = await fetch(`${api.url}/api/v1/tenants`, {
      method: 'POST',
      headers: { authorization: `Bearer ${api.bootstrap.token}`, 'content-type': 'application/json' },
      body: '{',
    });
    expect([garbage.status, ((await garbage.json()) as Problem).code]).toEqual([400, 'InvalidInput']);
    const huge = await api.admin.post<Problem>('/tenants', { name: 'x'.repeat(2_000_000) });
    expect(huge.expect(413).code).toBe('PayloadTooLarge');
  });
});

describe('DRVMs', () => {
  it('are planned without a change, created with 202 and the operation, and named by tenant where needed', async () => {
    for (const name of ['da', 'db']) (await api.admin.post('/tenants', { name })).expect(201);
    const input = { name: 'same', cpu: 0.4, memoryMiB: 400, diskGiB: 1, nodes: 2 };
    const plan = (
      await api.admin.post<{ steps: unknown[] }>('/drvms', { ...input, tenant: 'da', dryRun: true })
    ).expect(200);
    expect(plan.steps).toHaveLength(2);
    expect((await api.admin.get<Page<DrvmView>>('/drvms')).expect(200).items).toEqual([]);
    const made = await api.admin.post<{ operation: OperationView; drvm: DrvmView }>('/drvms', {
      ...input,
      tenant: 'da',
    });
    const { operation, drvm } = made.expect(202);
    expect(operation).toMatchObject({ kind: 'drvm.create', subject: 'drvm/same' });
    expect(drvm).toMatchObject({ tenant: 'da', state: 'creating' });
    expect(drvm.nodes.map(({ node, cpu, memoryMiB }) => [node, cpu, memoryMiB])).toEqual([
      ['node1', 0.2, 200],
      ['node2', 0.2, 200],
    ]);
    expect((await api.admin.post<Problem>('/drvms', { ...input, tenant: 'da' })).expect(409).code).toBe(
      'AlreadyExists',
    );
    (await api.admin.post('/drvms', { ...input, tenant: 'db' })).expect(202);
    expect((await api.admin.get<Problem>('/drvms/same')).expect(400).hint).toContain('~same');
    expect((await api.admin.get<DrvmView>('/drvms/db~same')).expect(200).tenant).toBe('db');
    expect((await api.admin.post<Problem>('/drvms/da~same/stop')).expect(409).code).toBe('OperationUnderWay');
    const refused = (
      await api.admin.post<Problem>('/drvms', { ...input, name: 'big', tenant: 'da', cpu: 50 })
    ).expect(422);
    expect(refused).toMatchObject({ code: 'InsufficientResources' });
    expect(refused.detail).toContain('short by 48.8 vCPU');
    expect(refused.hint).toContain('This would fit: 1.2 vCPU');
    expect(
      (
        await api.admin.post<Problem>('/drvms', { ...input, name: 'n', tenant: 'da', nodes: ['nowhere'] })
      ).expect(404).field,
    ).toBe('nodes');
    expect((await api.admin.delete<Problem>('/nodes/node1')).expect(409).detail).toContain(
      'holds slices of same',
    );
  });
});

describe('the audit', () => {
  it('is a chain that shows any change made behind its back', async () => {
    const entries = (await api.admin.get<Page<{ action: string; actor: string }>>('/audit')).expect(
      200,
    ).items;
    expect(entries.length).toBeGreaterThan(3);
    expect(entries.at(-1)).toMatchObject({ action: 'user.create', actor: 'user/system' });
    const whole = (await api.admin.get<{ intact: boolean; entries: number }>('/audit/verify')).expect(200);
    expect(whole.intact).toBe(true);
    const { unrestricted } = api.app.get(Database);
    await expect(
      unrestricted.$executeRaw`UPDATE audit_entry SET actor = 'user/nobody' WHERE id = 2`,
    ).rejects.toThrow('neither changed nor removed');
    await expect(unrestricted.$executeRaw`DELETE FROM audit_entry WHERE id = 2`).rejects.toThrow(
      'neither changed nor removed',
    );
    await unrestricted.$executeRaw`ALTER TABLE audit_entry DISABLE TRIGGER USER`;
    await unrestricted.$executeRaw`UPDATE audit_entry SET actor = 'user/nobody' WHERE id = 2`;
    const broken = (await api.admin.get<{ intact: boolean; firstBroken: string }>('/audit/verify')).expect(
      200,
    );
    expect(broken).toMatchObject({ intact: false, firstBroken: '2' });
  });
});

describe('OpenAPI', () => {
  it('describes every resource of REST, from the schemas that parse', async () => {
    const answer = await fetch(`${api.url}/api/v1/openapi.json`);
    const document = (await answer.json()) as {
      openapi: string;
      paths: Record<
        string,
        Record<string, { requestBody?: { content: Record<string, { schema: { required: string[] } }> } }>
      >;
    };
    expect(document.openapi).toMatch(/^3\./);
    for (const path of [
      'auth/login',
      'nodes',
      'tenants',
      'users',
      'tokens',
      'drvms',
      'allocations',
      'audit',
      'operations',
    ]) {
      expect(Object.keys(document.paths)).toContain(`/api/v1/${path}`);
    }
    const body = document.paths['/api/v1/drvms']?.post?.requestBody?.content['application/json']?.schema;
    expect(body?.required).toEqual(['name', 'cpu', 'memoryMiB']);
  });
});

describe('a read that was answered at this moment of the ledger', () => {
  let id: string;
  const read = (client: ApiClient) => client.get<DrvmView>(`/drvms/${id}`);
  beforeAll(async () => {
    const { id: tenantId } = (await api.admin.post<TenantView>('/tenants', { name: 'still' })).expect(201);
    const { unrestricted } = api.app.get(Database);
    ({ id } = await unrestricted.drvm.create({ data: { tenantId, name: 'still', state: 'stopped' } }));
  });

  it('is answered with the same text and ETag, without being made again', async () => {
    const made = jest.spyOn(api.app.get(DrvmsService), 'show');
    const first = await read(api.admin);
    // Other work of the process may make another moment at any time: not each read is a repetition.
    for (let reads = 1; made.mock.calls.length === reads; reads++) {
      const again = await read(api.admin);
      expect(again.body).toEqual(first.body);
      expect(again.headers.get('etag')).toBe(first.headers.get('etag'));
      expect(again.headers.get('content-type')).toBe(first.headers.get('content-type'));
      expect(again.headers.get('ratelimit')).not.toBeNull();
    }
    made.mockRestore();
  });

  it('is never answered with what has changed since', async () => {
    const { unrestricted } = api.app.get(Database);
    for (let change = 1; change <= 40; change++) {
      await unrestricted.drvm.update({ where: { id }, data: { detail: `changed ${change}` } });
      expect((await read(api.admin)).expect(200).detail).toBe(`changed ${change}`);
      expect((await read(api.admin)).expect(200).detail).toBe(`changed ${change}`);
    }
  });

  it('is answered to nobody else, nor to a token that was revoked meanwhile', async () => {
    const token = { name: 'reader', role: 'auditor' };
    const made = (await api.admin.post<NewTokenView>('/tokens', token)).expect(201);
    const auditor = new ApiClient(api.url, made.token);
    for (let reads = 0; reads < 5; reads++) (await read(auditor)).expect(200);
    expect((await read(new ApiClient(api.url, null))).status).toBe(401);
    expect((await read(await api.clientFor('member', 'da'))).status).toBe(404);
    expect((await read(await api.clientFor('member', 'still'))).status).toBe(200);
    (await api.admin.delete(`/tokens/${made.id}`)).expect(204);
    expect((await read(auditor)).status).toBe(401);
  });
});

describe('one origin', () => {
  it('hands on what is not the API to the portal, and answers unknown paths of the API itself', async () => {
    const page = await fetch(`${api.url}/es/drvms/x?tab=1`);
    expect(await page.text()).toBe(`portal GET /es/drvms/x?tab=1 for ${new URL(api.url).host}`);
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self'");
    const data = await api.admin.get('/drvms');
    expect(data.headers.get('content-security-policy')).toBe("default-src 'none';frame-ancestors 'none'");
    expect(data.headers.get('x-content-type-options')).toBe('nosniff');
    const unknown = await fetch(`${api.url}/api/v1/nothing`);
    expect([unknown.status, ((await unknown.json()) as Problem).code]).toEqual([404, 'NotFound']);
  });

  it('hands on WebSockets too', async () => {
    const socket = new WebSocket(`${api.url.replace('http', 'ws')}/_next/webpack-hmr`);
    const said = await new Promise((resolve, reject) => {
      socket.on('open', () => socket.send('hello'));
      socket.on('message', (data) => resolve(String(data)));
      socket.on('error', reject);
    });
    socket.close();
    expect(said).toBe('echo hello');
  });

  it('shows its metrics without names', async () => {
    await api.admin.get('/nodes');
    const text = await (await fetch(`${api.url}/metrics`)).text();
    expect(text).toContain('drvs_nodes{state="up"} 2');
    expect(text).toContain('route="/api/v1/nodes"');
    expect(text).not.toContain('node1');
  });
});
