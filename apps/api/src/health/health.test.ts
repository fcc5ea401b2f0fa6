import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startApi, type TestApi } from '../../../../test/support/api.js';
import { startPostgres, type TestPostgres } from '../../../../test/support/postgres.js';

let postgres: TestPostgres;
let api: TestApi;
beforeAll(async () => {
  postgres = await startPostgres();
  api = await startApi(await postgres.createDatabase());
});
afterAll(async () => {
  await api?.stop();
  await postgres?.stop();
});

describe('health', () => {
  it('says that the process lives and that the database answers', async () => {
    expect(await (await fetch(`${api.url}/healthz`)).json()).toMatchObject({ status: 'ok' });
    expect(await (await fetch(`${api.url}/readyz`)).json()).toEqual({ status: 'ready', database: 'ok' });
  });

  it('answers an unknown path of the API with a problem', async () => {
    const answer = await fetch(`${api.url}/api/v1/nothing`);
    expect(answer.status).toBe(404);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(await answer.json()).toMatchObject({ code: 'NotFound', status: 404 });
  });
});
