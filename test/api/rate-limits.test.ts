import type { Problem } from '@drvs/contracts';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { type ApiClient, startApi, type TestApi } from '../support/api.js';
import { until } from '../support/cluster.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';

jest.setTimeout(180_000);

let postgres: TestPostgres;
let api: TestApi;

beforeAll(async () => {
  postgres = await startPostgres();
  api = await startApi(await postgres.createDatabase());
  (await api.admin.post('/tenants', { name: 'physics' })).expect(201);
});
afterAll(async () => {
  await api?.stop();
  await postgres?.stop();
});

const set = async (key: string, value: unknown) =>
  (await api.admin.send('PUT', `/settings/rateLimits.${key}`, { value })).expect(200);
const RARELY = { perSecond: 0.001, burst: 3 };

/** Asks until it is refused; the settings hold after a moment. */
async function refusal(client: ApiClient) {
  return until(
    'refused',
    async () => {
      const answer = await client.get<Problem>('/auth/me');
      return answer.status === 429 ? answer : undefined;
    },
    120_000,
  );
}

test('what is answered tells the limit and what is left of it', async () => {
  const member = await api.clientFor('member', 'physics');
  const { status, headers } = await member.get('/auth/me');
  expect(status).toBe(200);
  expect(headers.get('ratelimit-policy')).toBe('"token";q=5000;w=10');
  expect(headers.get('ratelimit')).toBe('"token";r=4999;t=0');
});

test('a token that asks too often is told to wait, over REST and GraphQL, and no other with it', async () => {
  const hasty = await api.clientFor('member', 'physics');
  const calm = await api.clientFor('member', 'physics');
  await set('token', RARELY);
  const { body, headers } = await refusal(hasty);
  expect(body).toMatchObject({ code: 'TooManyRequests', details: { retryAfterSeconds: expect.any(Number) } });
  expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
  expect(headers.get('ratelimit')).toMatch(/^"token";r=0;t=\d+$/);
  const graph = await fetch(`${api.url}/graphql`, {
    method: 'POST',
    headers: { authorization: `Bearer ${hasty.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ query: '{ viewer { name } }' }),
  });
  expect(graph.status).toBe(429);
  expect((await calm.get('/auth/me')).status).toBe(200);
  expect((await api.admin.get('/nodes')).status).toBe(200);
  await set('token', null);
});

test('a department has a limit over all its tokens', async () => {
  await set('tenant', { perSecond: 0.001, burst: 5 });
  await until(
    'all are refused',
    async () => {
      const client = await api.clientFor('member', 'physics');
      return (await client.get('/auth/me')).status === 429;
    },
    120_000,
  );
  await set('tenant', null);
});
