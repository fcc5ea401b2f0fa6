import type { AlertRuleView, AlertView, NewWebhookView, Page, Problem } from '@drvs/contracts';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { SMTPServer } from 'smtp-server';
import { AlertWatch } from '../../apps/api/src/alerts/alert-watch.js';
import { Database } from '../../apps/api/src/database/database.js';
import { type ApiClient, addNode, startApi, type TestApi } from '../support/api.js';
import { until } from '../support/cluster.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';
import { WebhookReceiver } from '../support/webhook-receiver.js';

const PATIENT_MS = 60_000;
jest.setTimeout(180_000);

let postgres: TestPostgres;
let api: TestApi;
let database: Database;
let watch: AlertWatch;
let nodeId: string;
let physics: string;
let admin: ApiClient;
const mails: { to: string[]; text: string }[] = [];
let smtp: SMTPServer;
let refusesMail = false;
let receiver: WebhookReceiver;

beforeAll(async () => {
  postgres = await startPostgres();
  api = await startApi(await postgres.createDatabase());
  database = api.app.get(Database);
  watch = api.app.get(AlertWatch, { strict: false });
  nodeId = await addNode(api, 'node1', { diskGiB: 100 });
  physics = (await database.unrestricted.tenant.create({ data: { name: 'physics', quotaCpuMilli: 1_000 } }))
    .id;
  admin = await api.clientFor('tenant-admin', 'physics');
  receiver = await new WebhookReceiver().start();
  smtp = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onAuth: ({ username, password }, _, done) =>
      username === 'drvs' && password === 'word' ? done(null, { user: 'drvs' }) : done(new Error('no')),
    onRcptTo: (_address, _session, done) => (refusesMail ? done(new Error('busy')) : done()),
    onData: (stream, session, done) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const to = session.envelope.rcptTo.map(({ address }) => address);
        mails.push({ to, text: Buffer.concat(chunks).toString('utf8') });
        done();
      });
    },
  });
  await new Promise<void>((resolve) => smtp.listen(0, '127.0.0.1', resolve));
  const { port } = smtp.server.address() as { port: number };
  await set('mail.smtp', {
    host: '127.0.0.1',
    port,
    from: 'drvs@example.org',
    user: 'drvs',
    password: 'word',
  });
  await set('webhooks.allowPrivateAddresses', true);
});
afterAll(async () => {
  await api?.stop();
  await receiver?.stop();
  await new Promise<void>((resolve) => smtp.close(() => resolve()));
  await postgres?.stop();
});

const set = async (key: string, value: unknown) =>
  (await api.admin.send('PUT', `/settings/${key}`, { value })).expect(200);
const alerts = async (query = '', client = api.admin) =>
  (await client.get<Page<AlertView>>(`/alerts${query}`)).expect(200).items;
const rules = async (client = api.admin) =>
  (await client.get<Page<AlertRuleView>>('/alert-rules')).expect(200).items;
const usedDisk = (diskGiB: number) =>
  database.unrestricted.node.update({
    where: { id: nodeId },
    data: { used: { cpuMilli: 0, memoryMiB: 0, diskGiB, networkMbps: 0 } },
  });
const events = (kind: string) =>
  database.unrestricted.event.findMany({ where: { kind }, orderBy: { id: 'asc' } });

describe('alerts', () => {
  test('every installation watches over nodes, disks, quotas, operations and power', async () => {
    expect((await rules()).map(({ name }) => name).sort()).toEqual([
      'disk-full',
      'node-down',
      'operation-failed',
      'power-failed',
      'quota-nearly-used',
    ]);
    const [{ name }] = (await rules()) as [AlertRuleView];
    const off = (await api.admin.delete<Problem>(`/alert-rules/${name}`)).expect(409);
    expect(off.hint).toContain('--off');
  });

  test('a rule fires after its wait, tells by mail and webhook once, and is resolved past its second threshold', async () => {
    const hook = (
      await api.admin.post<NewWebhookView>('/webhooks', { url: receiver.url, events: ['no.such'] })
    ).expect(201);
    receiver.secret = hook.secret;
    const rule = {
      name: 'disk-half',
      metric: 'node.disk',
      threshold: 50,
      clearThreshold: 40,
      forSeconds: 60,
      severity: 'critical',
      subject: 'node/node1',
      mailTo: ['ops@example.org', 'night@example.org'],
      webhooks: [hook.id],
    };
    (await api.admin.post('/alert-rules', rule)).expect(201);
    const of = async () => (await alerts()).find((alert) => alert.rule === 'disk-half');
    const now = Date.now();
    await usedDisk(60);
    await watch.look(now);
    expect(await of()).toMatchObject({ state: 'pending', value: 60, subject: 'node/node1', firedAt: null });
    await watch.look(now + 61_000);
    await watch.look(now + 62_000);
    expect(await of()).toMatchObject({ state: 'firing', severity: 'critical' });
    expect((await events('alert.raised')).filter(({ text }) => text.includes('disk-half'))).toHaveLength(1);
    await usedDisk(45);
    await watch.look(now + 63_000);
    expect(await of()).toMatchObject({ state: 'firing', value: 45 });
    await usedDisk(40);
    await watch.look(now + 64_000);
    expect(await of()).toBeUndefined();
    expect((await alerts('?state=resolved')).map(({ rule: name }) => name)).toContain('disk-half');
    await until('two mails', () => mails.length >= 2, PATIENT_MS);
    expect(mails[0]?.to).toEqual(['ops@example.org', 'night@example.org']);
    expect(mails[0]?.text).toContain('critical: disk-half of node/node1');
    expect(mails[1]?.text).toContain('resolved: disk-half');
    // Its patterns do not name alerts: it got them because the rule names it.
    await until('two deliveries', () => receiver.received.length >= 2, PATIENT_MS);
    expect(receiver.received.map(({ kind, isSigned }) => [kind, isSigned])).toEqual([
      ['alert.raised', true],
      ['alert.resolved', true],
    ]);
  });

  test('mail waits while its server refuses it, and then comes once', async () => {
    mails.length = 0;
    refusesMail = true;
    await database.unrestricted.$executeRaw`
      INSERT INTO mail_outbox (recipients, subject, body) VALUES ('{a@example.org}', 'late', 'x')`;
    const attempts = async () =>
      (
        await database.unrestricted.$queryRaw<{ attempts: number; state: string }[]>`
          SELECT attempts, state FROM mail_outbox WHERE subject = 'late'`
      )[0];
    await until('it was refused', async () => (await attempts())!.attempts > 0, PATIENT_MS);
    expect(mails).toEqual([]);
    refusesMail = false;
    await database.unrestricted.$executeRaw`UPDATE mail_outbox SET retry_at = NULL`;
    await until('it came', () => mails.length === 1, PATIENT_MS);
    await until('it is noted', async () => (await attempts())!.state === 'sent', PATIENT_MS);
    const [smtpSetting] = (
      await api.admin.get<{ items: { key: string; value: { password: string } }[] }>('/settings')
    )
      .expect(200)
      .items.filter(({ key }) => key === 'mail.smtp');
    expect(smtpSetting?.value.password).toBe('(set)');
    expect(JSON.stringify(await database.unrestricted.setting.findMany())).not.toContain('"word"');
  });

  test('a silenced alert goes on without a word', async () => {
    await api.admin.post('/alert-rules', { name: 'quiet', metric: 'node.disk', threshold: 10 });
    await usedDisk(20);
    const now = Date.now();
    await watch.look(now);
    const fired = (await alerts()).find(({ rule }) => rule === 'quiet')!;
    expect(fired.state).toBe('firing');
    const silenced = (
      await api.admin.post<AlertView>(`/alerts/${fired.id}/silence`, { seconds: 3_600 })
    ).expect(200);
    expect(silenced.silencedUntil).not.toBeNull();
    await usedDisk(0);
    await watch.look(now + 1_000);
    expect((await alerts()).some(({ rule }) => rule === 'quiet')).toBe(false);
    expect((await events('alert.resolved')).some(({ text }) => text.includes('quiet'))).toBe(false);
    (await api.admin.delete('/alert-rules/quiet')).expect(204);
  });

  test('a department watches its own, sees its own, and nothing else', async () => {
    const drvm = await database.unrestricted.drvm.create({
      data: { name: 'fisica', tenantId: physics, state: 'degraded' },
    });
    await database.unrestricted.slice.create({
      data: {
        drvmId: drvm.id,
        tenantId: physics,
        nodeId,
        index: 0,
        cpuMilli: 950,
        memoryMiB: 256,
        diskGiB: 1,
        networkMbps: 0,
      },
    });
    (await admin.post('/alert-rules', { name: 'degraded', metric: 'drvm.degraded', threshold: 0 })).expect(
      201,
    );
    expect((await admin.post('/alert-rules', { name: 'x', metric: 'node.disk', threshold: 1 })).status).toBe(
      400,
    );
    await watch.look(Date.now());
    await watch.look(Date.now() + 61_000);
    const own = await alerts('', admin);
    expect(own.map(({ rule, subject }) => [rule, subject]).sort()).toEqual([
      ['degraded', 'drvm/physics/fisica'],
      ['quota-nearly-used', 'tenant/physics'],
    ]);
    expect((await rules(admin)).map(({ name }) => name)).toEqual(['degraded']);
    (await api.admin.post('/tenants', { name: 'chemistry' })).expect(201);
    const other = await api.clientFor('tenant-admin', 'chemistry');
    expect(await alerts('', other)).toEqual([]);
    expect((await other.delete('/alert-rules/degraded')).status).toBe(404);
    expect((await other.post(`/alerts/${own[0]!.id}/silence`, { seconds: 5 })).status).toBe(404);
    const member = await api.clientFor('member', 'physics');
    expect((await member.post('/alert-rules', { name: 'y', metric: 'drvm.cpu', threshold: 1 })).status).toBe(
      403,
    );
  });

  test('a rule that contradicts itself, or names what is not there, is refused with the reason', async () => {
    const wrong = (body: object) =>
      api.admin.post<Problem>('/alert-rules', { name: 'w', metric: 'node.cpu', ...body });
    const contrary = (await wrong({ threshold: 50, clearThreshold: 60 })).expect(400);
    expect(contrary.detail).toBe('an alert that fires above 50 cannot end above 60 only');
    expect((await wrong({ threshold: 50, webhooks: ['0195e0a0-0000-7000-8000-000000000000'] })).status).toBe(
      404,
    );
    expect((await wrong({ threshold: 'much' })).status).toBe(400);
    expect((await wrong({ threshold: 1, mailTo: ['nobody'] })).status).toBe(400);
    expect(
      (await api.admin.post('/alert-rules', { name: 'disk-full', metric: 'node.disk', threshold: 1 })).status,
    ).toBe(409);
    const off = (await api.admin.patch<AlertRuleView>('/alert-rules/disk-full', { enabled: false })).expect(
      200,
    );
    expect(off.enabled).toBe(false);
  });
});
