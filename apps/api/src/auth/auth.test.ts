import type { NewTokenView, Page, Problem, TokenView, UserView } from '@drvs/contracts';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ApiClient, startApi, type TestApi } from '../../../../test/support/api.js';
import { startPostgres, type TestPostgres } from '../../../../test/support/postgres.js';
import { Database } from '../database/database.js';
import { FAILURE_WINDOW_MS, LoginThrottle, MAX_FAILURES_PER_ACCOUNT } from './login-throttle.js';
import { verifyPassword } from './password.js';

let postgres: TestPostgres;
let api: TestApi;
beforeAll(async () => {
  postgres = await startPostgres();
  api = await startApi(await postgres.createDatabase());
  (await api.admin.post('/tenants', { name: 'fisica' })).expect(201);
});
afterAll(async () => {
  await api?.stop();
  await postgres?.stop();
});

interface Login {
  user: { name: string; role: string };
  csrfToken: string;
}

async function login(name: string, password: string) {
  const answer = await new ApiClient(api.url, null).post<Login>('/auth/login', { name, password });
  const cookie = answer.headers.get('set-cookie') ?? '';
  return { answer, cookie: cookie.split(';', 1)[0] ?? '', attributes: cookie };
}

describe('the first start', () => {
  it('makes one administrator with a random password, a token and enrolment tokens', async () => {
    expect(api.bootstrap.user).toBe('admin');
    expect(api.bootstrap.password.length).toBeGreaterThanOrEqual(20);
    expect(api.bootstrap.enrolTokens).toHaveLength(3);
    const me = (await api.admin.get<{ role: string }>('/auth/me')).expect(200);
    expect(me.role).toBe('supra-admin');
  });
});

describe('signing in', () => {
  it('gives an HttpOnly cookie, and a CSRF token without which nothing is changed', async () => {
    const { answer, cookie, attributes } = await login('admin', api.bootstrap.password);
    const { csrfToken } = answer.expect(200);
    expect(attributes).toMatch(/HttpOnly/);
    expect(attributes).toMatch(/SameSite=Lax/);
    const browser = new ApiClient(api.url, null);
    expect((await browser.get<Login['user']>('/auth/me', { cookie })).expect(200)).toMatchObject({
      name: 'admin',
      csrfToken,
    });
    const change = { name: 'via-browser' };
    expect((await browser.post<Problem>('/tenants', change, { cookie })).expect(403).field).toBe(
      'x-csrf-token',
    );
    expect((await browser.post('/tenants', change, { cookie, 'x-csrf-token': 'wrong' })).status).toBe(403);
    expect((await browser.post('/tenants', change, { cookie, 'x-csrf-token': csrfToken })).status).toBe(201);
    expect(
      (await browser.post('/auth/logout', undefined, { cookie, 'x-csrf-token': csrfToken })).status,
    ).toBe(204);
    expect((await browser.get('/auth/me', { cookie })).status).toBe(401);
  });

  it('does not tell a wrong name from a wrong password', async () => {
    const wrongName = (await login('nobody', 'wrong password')).answer as { body: unknown };
    const wrongPassword = (await login('admin', 'wrong password')).answer as { body: unknown };
    expect(wrongName.body).toEqual(wrongPassword.body);
    expect(wrongName.body).toMatchObject({ code: 'NotAuthenticated', status: 401 });
  });

  it('is slowed down after too many failures, and says for how long', async () => {
    for (let n = 0; n < MAX_FAILURES_PER_ACCOUNT; n++) await login('guessed', 'wrong password');
    const { answer } = await login('guessed', 'wrong password');
    expect(answer.status).toBe(429);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(200);
  });

  it('keeps passwords as argon2id and secrets only as hashes', async () => {
    const { unrestricted } = api.app.get(Database);
    const user = await unrestricted.user.findUniqueOrThrow({ where: { name: 'admin' } });
    expect(user.passwordHash).toMatch(/^\$argon2id\$/);
    const everything = JSON.stringify([
      await unrestricted.apiToken.findMany(),
      await unrestricted.session.findMany(),
      await unrestricted.enrolmentToken.findMany(),
    ]);
    const secret = api.bootstrap.token.split('_')[2] ?? 'missing';
    for (const kept of [secret, api.bootstrap.password, ...api.bootstrap.enrolTokens])
      expect(everything).not.toContain(kept);
  });
});

describe('the throttle', () => {
  it('lets in again when the window has passed, and does not lock out others', () => {
    let now = 0;
    const throttle = new LoginThrottle(() => now);
    for (let n = 0; n < MAX_FAILURES_PER_ACCOUNT; n++) throttle.failed('ana', '10.0.0.1');
    expect(() => throttle.check('ana', '10.0.0.1')).toThrow('too many failed sign-ins');
    expect(() => throttle.check('ana', '10.0.0.2')).not.toThrow();
    now = FAILURE_WINDOW_MS + 1;
    expect(() => throttle.check('ana', '10.0.0.1')).not.toThrow();
  });
});

describe('an unknown user', () => {
  it('never matches, whatever the password', async () => {
    expect(await verifyPassword(null, 'no such user')).toBe(false);
  });
});

describe('API tokens', () => {
  it('work until they are revoked, expire, or are mistyped', async () => {
    const made = (
      await api.admin.post<NewTokenView>('/tokens', { name: 'ci', role: 'auditor', expiresInDays: 1 })
    ).expect(201);
    expect(made.token).toMatch(/^drvs_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$/);
    const client = new ApiClient(api.url, made.token);
    expect((await client.get('/nodes')).status).toBe(200);
    expect((await new ApiClient(api.url, `${made.token.slice(0, -1)}-`).get('/nodes')).status).toBe(401);
    expect((await new ApiClient(api.url, 'drvs_nonsense').get('/nodes')).status).toBe(401);
    const { unrestricted } = api.app.get(Database);
    await unrestricted.apiToken.update({ where: { id: made.id }, data: { expiresAt: new Date(0) } });
    expect((await client.get<Problem>('/nodes')).expect(401)).toMatchObject({
      code: 'NotAuthenticated',
      detail: 'the API token has expired',
    });
    await unrestricted.apiToken.update({ where: { id: made.id }, data: { expiresAt: null } });
    expect((await api.admin.delete(`/tokens/${made.id}`)).status).toBe(204);
    expect((await client.get<Problem>('/nodes')).expect(401).detail).toBe('the API token has been revoked');
    const listed = (await api.admin.get<Page<TokenView>>('/tokens')).expect(200).items;
    expect(listed.some(({ id }) => id === made.id)).toBe(false);
  });

  it('end with a change of role of the user who made them', async () => {
    const user = (
      await api.admin.post<UserView>('/users', { name: 'luis', tenant: 'fisica', role: 'tenant-admin' })
    ).expect(201);
    const session = await login('luis', user.password ?? '');
    const { csrfToken } = session.answer.expect(200);
    const headers = { cookie: session.cookie, 'x-csrf-token': csrfToken };
    const browser = new ApiClient(api.url, null);
    const { token } = (
      await browser.post<NewTokenView>('/tokens', { name: 'mine', role: 'tenant-admin' }, headers)
    ).expect(201);
    expect((await new ApiClient(api.url, token).get('/drvms')).status).toBe(200);
    (await api.admin.patch('/users/luis', { role: 'member' })).expect(200);
    expect((await new ApiClient(api.url, token).get('/drvms')).status).toBe(401);
    expect((await browser.get('/auth/me', headers)).status).toBe(401);
  });
});

describe('users', () => {
  it('are refused a role above that of whoever makes them, and the last supra-administrator stays', async () => {
    const head = await api.clientFor('tenant-admin', 'fisica');
    expect((await head.post<Problem>('/users', { name: 'eve', role: 'supra-admin' })).status).toBe(403);
    expect((await head.post<Problem>('/tokens', { name: 'eve', role: 'supra-admin' })).status).toBe(403);
    expect((await head.post<Problem>('/users', { name: 'eve', role: 'auditor', tenant: null })).status).toBe(
      403,
    );
    const member = await api.clientFor('member', 'fisica');
    expect((await member.post<Problem>('/tokens', { name: 'eve', role: 'tenant-admin' })).status).toBe(403);
    expect((await member.get('/users')).status).toBe(403);
    expect((await api.admin.delete<Problem>('/users/admin')).expect(409).detail).toContain(
      'last supra-administrator',
    );
  });

  it('set their own password only with the current one', async () => {
    const made = (
      await api.admin.post<UserView>('/users', { name: 'rosa', tenant: 'fisica', role: 'member' })
    ).expect(201);
    const session = await login('rosa', made.password ?? '');
    const headers = { cookie: session.cookie, 'x-csrf-token': session.answer.expect(200).csrfToken };
    const browser = new ApiClient(api.url, null);
    const password = 'a new password';
    expect((await browser.patch('/users/rosa', { password }, headers)).status).toBe(403);
    expect(
      (await browser.patch('/users/rosa', { password, currentPassword: made.password }, headers)).status,
    ).toBe(200);
    expect((await login('rosa', password)).answer.status).toBe(200);
    expect((await login('rosa', made.password ?? '')).answer.status).toBe(401);
  });
});
