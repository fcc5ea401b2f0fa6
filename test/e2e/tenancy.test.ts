import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Stack, startStack, words } from '../support/stack.js';

describe('what belongs to one department is not there for another', () => {
  let stack: Stack;
  let physicist: string;
  let chemist: string;
  let secret: { id: string };
  beforeAll(async () => {
    stack = await startStack('--no-demo', '--nodes', '2');
    for (const name of ['fisica', 'quimica']) await stack.json('tenant', 'create', name);
    const token = async (name: string, tenant: string) =>
      (
        await stack.json<{ token: string }>(
          'token',
          'create',
          name,
          '--tenant',
          tenant,
          '--role',
          'tenant-admin',
        )
      ).token;
    physicist = await token('physicist', 'fisica');
    chemist = await token('chemist', 'quimica');
    secret = await stack.json(
      ...words('drvm create reactor --tenant quimica --cpu 0.2 --memory 400Mi --disk 2Gi'),
    );
  }, 300_000);
  afterAll(async () => {
    await stack?.stop();
  }, 60_000);

  it('is 404 over REST, whatever the verb', async () => {
    expect((await stack.rest('GET', `drvms/${secret.id}`, undefined, chemist)).status).toBe(200);
    const attempts: [string, string, unknown?][] = [
      ['GET', `drvms/${secret.id}`],
      ['GET', 'drvms/reactor'],
      ['GET', 'drvms/quimica~reactor'],
      ['DELETE', `drvms/${secret.id}`],
      ['POST', `drvms/${secret.id}/start`, {}],
      ['POST', `drvms/${secret.id}/stop`, {}],
      ['GET', `drvms/${secret.id}/processes`],
      ['POST', `drvms/${secret.id}/processes`, { program: '/bin/hello' }],
      ['POST', `drvms/${secret.id}/processes/2/kill`, { signal: 'SIGKILL' }],
      ['POST', `drvms/${secret.id}/processes/2/migrate`, { to: 'node1' }],
      ['GET', `drvms/${secret.id}/processes/2/output`],
      ['GET', `drvms/${secret.id}/files?path=/&list=true`],
      ['GET', `drvms/${secret.id}/files/content?path=/etc/motd`],
      ['DELETE', `drvms/${secret.id}/files?path=/home`],
      ['GET', 'tenants/quimica'],
    ];
    for (const [method, path, body] of attempts) {
      const { status, body: answer } = await stack.rest<{ code: string }>(method, path, body, physicist);
      expect({ method, path, status, code: answer.code }).toEqual({
        method,
        path,
        status: 404,
        code: 'NotFound',
      });
    }
  });

  it('is in no list', async () => {
    for (const path of [
      'drvms',
      'allocations',
      'operations',
      'events',
      'tenants',
      'users',
      'tokens',
      'audit',
    ]) {
      const { status, body } = await stack.rest('GET', path, undefined, physicist);
      expect({ path, status }).toEqual({ path, status: 200 });
      expect(JSON.stringify(body)).not.toMatch(/reactor|quimica|chemist/);
    }
    const nodes = await stack.rest('GET', 'nodes', undefined, physicist);
    expect(JSON.stringify(nodes.body)).not.toMatch(/reactor|quimica/);
  });

  it('is null or NotFound over GraphQL', async () => {
    const query = await stack.graphql(
      'query ($id: ID!) { drvm(id: $id) { name } drvms { nodes { name } } nodes { nodes { slices { drvm } } } }',
      { id: secret.id },
      physicist,
    );
    expect(JSON.stringify(query)).not.toMatch(/reactor/);
    for (const mutation of [
      'mutation ($id: ID!) { stopDrvm(id: $id) { id } }',
      'mutation ($id: ID!) { deleteDrvm(id: $id) { id } }',
      'mutation ($id: ID!) { killProcess(drvm: $id, pid: 2) }',
      'mutation ($id: ID!) { migrateProcess(drvm: $id, pid: 2, to: "node1") { id } }',
      'mutation ($id: ID!) { runProgram(drvm: $id, input: { program: "/bin/hello" }) { pid } }',
    ]) {
      const answer = await stack.graphql(mutation, { id: secret.id }, physicist);
      expect({ mutation, code: answer.errors?.[0]?.extensions?.code }).toEqual({
        mutation,
        code: 'NotFound',
      });
    }
  });

  it('cannot be made in the name of another department', async () => {
    const { status } = await stack.rest(
      'POST',
      'drvms',
      { name: 'spy', tenant: 'quimica', dvos: 'mol', cpu: 0.1, memoryMiB: 200, diskGiB: 1 },
      physicist,
    );
    expect([403, 404]).toContain(status);
    const token = await stack.rest(
      'POST',
      'tokens',
      { name: 'up', tenant: 'fisica', role: 'supra-admin' },
      physicist,
    );
    expect([400, 403, 404]).toContain(token.status);
  });

  it('refuses a revoked, a mistyped and a missing token alike', async () => {
    const made = await stack.json<{ id: string; token: string }>(
      ...words('token create short --tenant fisica --role member'),
    );
    expect((await stack.rest('GET', 'drvms', undefined, made.token)).status).toBe(200);
    expect((await stack.drvs('token', 'revoke', made.id)).code).toBe(0);
    for (const token of [made.token, `${physicist}x`, 'drvs_nonsense', '']) {
      const { status, body } = await stack.rest<{ code: string }>('GET', 'drvms', undefined, token);
      expect({ status, code: body.code }).toEqual({ status: 401, code: 'NotAuthenticated' });
    }
  });
});
