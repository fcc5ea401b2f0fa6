import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {
  NewWebhookView,
  Page,
  WebhookDeliveryView,
  WebhookTestView,
  WebhookView,
} from '@drvs/contracts';
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import pg from 'pg';
import { Database } from '../../apps/api/src/database/database.js';
import { type ApiClient, startApi, type TestApi } from '../support/api.js';
import { ApiProcess, buildAll } from '../support/api-process.js';
import { TestCluster, until } from '../support/cluster.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';
import { WebhookReceiver } from '../support/webhook-receiver.js';

const PATIENT_MS = 60_000;

jest.setTimeout(180_000);

let postgres: TestPostgres;
let api: TestApi;
let database: Database;
let physics: string;
let receivers: WebhookReceiver[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
  api = await startApi(await postgres.createDatabase());
  database = api.app.get(Database);
  physics = await new TestCluster(api).tenant('physics');
  await new TestCluster(api).tenant('chemistry');
  await allowPrivate(true);
});
afterEach(async () => {
  for (const receiver of receivers) await receiver.stop();
  receivers = [];
  await database.unrestricted.webhook.deleteMany();
});
afterAll(async () => {
  await api?.stop();
  await postgres?.stop();
});

const allowPrivate = async (value: boolean) =>
  (await api.admin.send('PUT', '/settings/webhooks.allowPrivateAddresses', { value })).expect(200);

async function receiver(): Promise<WebhookReceiver> {
  const made = await new WebhookReceiver().start();
  receivers.push(made);
  return made;
}

async function webhook(to: WebhookReceiver, body: object = {}, client: ApiClient = api.admin) {
  const made = (await client.post<NewWebhookView>('/webhooks', { url: to.url, ...body })).expect(201);
  to.secret = made.secret;
  return made;
}

const happens = (kind: string, text: string, tenantId: string | null = null) =>
  database.unrestricted.event.create({
    data: { kind, text, tenantId, tenant: tenantId === null ? null : 'physics' },
  });

const show = async (id: string) => (await api.admin.get<WebhookView>(`/webhooks/${id}`)).expect(200);
const deliveries = async (id: string) =>
  (await api.admin.get<Page<WebhookDeliveryView>>(`/webhooks/${id}/deliveries`)).expect(200).items;
/** As if the pause had passed. */
const hurry = (id: string) =>
  database.unrestricted.webhook.update({ where: { id }, data: { retryAt: null } });

describe('a webhook', () => {
  test('gets the events it asked for, signed, in order, and no others', async () => {
    const to = await receiver();
    const { id } = await webhook(to, { events: ['drvm.*', 'node.up'] });
    for (const [kind, text] of [
      ['drvm.created', '1'],
      ['node.down', 'not asked for'],
      ['node.up', '2'],
      ['drvm.deleted', '3'],
    ] as const)
      await happens(kind, text);
    await until('three came', () => to.received.length >= 3, PATIENT_MS);
    expect(to.received.map(({ text }) => text)).toEqual(['1', '2', '3']);
    expect(to.received.every(({ isSigned }) => isSigned)).toBe(true);
    await until('all are noted', async () => (await show(id)).pending === 0, PATIENT_MS);
    expect((await deliveries(id)).map(({ state, attempts, status }) => [state, attempts, status])).toEqual(
      Array.from({ length: 3 }, () => ['delivered', 1, 204]),
    );
  });

  test('is tried again in order when its receiver fails, dies and comes back: each comes, none twice over', async () => {
    const to = await receiver();
    let refusals = 2;
    to.behave = (response) => response.writeHead(refusals-- > 0 ? 500 : 200).end();
    const { id } = await webhook(to);
    await happens('drvm.created', '1');
    await until('it failed', async () => (await show(id)).failures > 0, PATIENT_MS);
    expect(await show(id)).toMatchObject({ state: 'retrying', lastError: 'answered 500' });
    await until('it came', () => to.received.length >= 3, PATIENT_MS);
    expect(new Set(to.received.map((received) => received.id)).size).toBe(1);
    await until('noted', async () => (await show(id)).pending === 0, PATIENT_MS);
    await to.stop();
    for (const text of ['2', '3', '4']) await happens('drvm.created', text);
    await until('nobody is there', async () => (await show(id)).failures > 0, PATIENT_MS);
    expect((await show(id)).pending).toBe(3);
    await to.start();
    await until('all are here', async () => (await show(id)).pending === 0, PATIENT_MS);
    expect(to.received.slice(3).map(({ text }) => text)).toEqual(['2', '3', '4']);
    expect(await show(id)).toMatchObject({ state: 'ok', failures: 0, lastError: null });
  });

  test('is given up after the last attempt, says so in an event, and goes out again when asked', async () => {
    const to = await receiver();
    to.behave = (response) => response.writeHead(503).end();
    const { id } = await webhook(to, { tenant: 'physics', events: ['drvm.*', 'webhook.failed'] });
    await happens('drvm.created', 'lost?', physics);
    await until('it failed', async () => (await show(id)).failures > 0, PATIENT_MS);
    await database.unrestricted.webhookDelivery.updateMany({
      where: { webhookId: id },
      data: { attempts: 14 },
    });
    await hurry(id);
    const dead = await until(
      'given up',
      async () => (await deliveries(id)).find(({ state }) => state === 'dead'),
      PATIENT_MS,
    );
    expect(dead).toMatchObject({ kind: 'drvm.created', attempts: 15, status: 503 });
    const told = await until(
      'told',
      () => database.unrestricted.event.findFirst({ where: { kind: 'webhook.failed', tenantId: physics } }),
      PATIENT_MS,
    );
    expect(told.text).toContain('drvm.created could not be delivered');
    to.behave = (response) => response.writeHead(200).end();
    const again = await api.admin.post(`/webhooks/${id}/deliveries/${dead.id}/redeliver`);
    expect(again.expect(202)).toEqual({ queued: 1 });
    await until(
      'it came after all',
      async () => (await deliveries(id)).every(({ state }) => state === 'delivered'),
      PATIENT_MS,
    );
    expect(to.received.at(-1)?.isSigned).toBe(true);
    (await api.admin.post(`/webhooks/${id}/deliveries/999999/redeliver`)).expect(404);
  });

  test('that redirects or hangs up gets nothing twice over, and a test says what came of it', async () => {
    const to = await receiver();
    const { id } = await webhook(to);
    to.behave = (response) => response.writeHead(302, { location: to.url }).end();
    const redirected = (await api.admin.post<WebhookTestView>(`/webhooks/${id}/test`)).expect(200);
    expect(redirected).toMatchObject({ delivered: false, status: 302 });
    expect(to.received).toHaveLength(1);
    to.behave = (response) => response.destroy();
    const cut = (await api.admin.post<WebhookTestView>(`/webhooks/${id}/test`)).expect(200);
    expect(cut).toMatchObject({ delivered: false, status: null });
    to.behave = (response) => response.writeHead(200).end();
    const good = (await api.admin.post<WebhookTestView>(`/webhooks/${id}/test`)).expect(200);
    expect(good).toMatchObject({ delivered: true, status: 200, error: null });
    expect(to.received.at(-1)).toMatchObject({ kind: 'webhook.test', isSigned: true });
  });

  test('that hangs keeps no other from its events', async () => {
    const hanging = await receiver();
    hanging.behave = () => undefined;
    await webhook(hanging);
    const good = await receiver();
    await webhook(good);
    await happens('drvm.created', '1');
    await until('the good one has it', () => good.received.length === 1, PATIENT_MS);
    await until('the other one hangs', () => hanging.received.length === 1, PATIENT_MS);
  });

  test('keeps its secret: shown once, sealed in the ledger', async () => {
    const to = await receiver();
    const made = await webhook(to, { secret: 'a secret of my own' });
    expect(made.secret).toBe('a secret of my own');
    expect(JSON.stringify(await show(made.id))).not.toContain('secret of my own');
    const row = await database.unrestricted.webhook.findUniqueOrThrow({ where: { id: made.id } });
    expect(Buffer.from(row.secret).toString('latin1')).not.toContain('secret of my own');
    await happens('drvm.created', '1');
    await until('it came', () => to.received[0]?.isSigned, PATIENT_MS);
  });
});

describe('who may', () => {
  test('a department sees and gets its own only', async () => {
    const admin = await api.clientFor('tenant-admin', 'physics');
    const other = await api.clientFor('tenant-admin', 'chemistry');
    const member = await api.clientFor('member', 'physics');
    const to = await receiver();
    const { id, tenant } = await webhook(to, {}, admin);
    expect(tenant).toBe('physics');
    await happens('drvm.created', 'of nobody');
    await happens('drvm.created', 'of physics', physics);
    await until('it came', () => to.received.length > 0, PATIENT_MS);
    expect(to.received.map(({ text }) => text)).toEqual(['of physics']);
    expect((await other.get(`/webhooks/${id}`)).status).toBe(404);
    expect((await other.delete(`/webhooks/${id}`)).status).toBe(404);
    expect((await other.post(`/webhooks/${id}/deliveries/all-dead/redeliver`)).status).toBe(404);
    expect((await member.get('/webhooks')).status).toBe(403);
    expect((await admin.post('/webhooks', { url: to.url, tenant: null })).status).toBe(403);
    (await admin.delete(`/webhooks/${id}`)).expect(204);
  });

  test('an address that is no public one is refused unless a supra-administrator allows it', async () => {
    const to = await receiver();
    const { id } = await webhook(to);
    await allowPrivate(false);
    try {
      for (const host of ['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '0.0.0.0', '2130706433']) {
        const change = await api.admin.patch(`/webhooks/${id}`, { url: `http://${host}:${to.port}/hook` });
        change.expect(200);
        const answer = (await api.admin.post<WebhookTestView>(`/webhooks/${id}/test`)).expect(200);
        expect(answer.delivered).toBe(false);
        expect(answer.error).toContain('not a public address');
      }
      expect(to.received).toEqual([]);
    } finally {
      await allowPrivate(true);
    }
    for (const url of ['file:///etc/passwd', 'ftp://example.org', 'http://user:word@example.org/'])
      expect((await api.admin.post('/webhooks', { url })).status).toBe(400);
  });
});

describe('an API that dies', () => {
  let folder: string;
  let child: ApiProcess;
  beforeAll(async () => {
    await buildAll();
    folder = await mkdtemp(join(tmpdir(), 'drvs-webhooks-'));
  }, 180_000);
  afterAll(async () => {
    await child?.kill();
    await rm(folder, { recursive: true, force: true });
  });

  test('between the event and its delivery, or in the middle of one, loses nothing', async () => {
    const databaseUrl = await postgres.createDatabase();
    const to = await receiver();
    child = await ApiProcess.on(databaseUrl, folder);
    await child.start();
    const { token } = await child.bootstrap();
    const ask = async (method: string, path: string, body: unknown) => {
      const response = await fetch(`${child.url}/api/v1/${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      expect(response.ok).toBe(true);
      return (await response.json()) as NewWebhookView;
    };
    await ask('PUT', 'settings/webhooks.allowPrivateAddresses', { value: true });
    to.secret = (await ask('POST', 'webhooks', { url: to.url, events: ['test.*'] })).secret;
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    const write = (text: string) =>
      client.query(`INSERT INTO event (kind, text) VALUES ('test.event', $1)`, [text]);
    try {
      // It hangs: the API dies in the middle of the delivery.
      to.behave = () => undefined;
      await write('1');
      await until('the first is on its way', () => to.received.length === 1, PATIENT_MS);
      await child.kill();
      // Committed while nobody is there to deliver.
      await write('2');
      await write('3');
      to.behave = (response) => response.writeHead(200).end();
      await child.start();
      await until('all came', () => to.received.length >= 4, PATIENT_MS);
      expect(to.received.map(({ text }) => text)).toEqual(['1', '1', '2', '3']);
      expect(to.received.every(({ isSigned }) => isSigned)).toBe(true);
    } finally {
      await client.end();
      await child.kill();
    }
  }, 180_000);
});
