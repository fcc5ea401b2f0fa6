import type { DrvmView, OperationView, ProcessRow } from '@drvs/contracts';
import { withBody } from '@drvs/contracts';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { hashPassword } from '../../apps/api/src/auth/password.js';
import { startApi, type TestApi } from '../support/api.js';
import { TestCluster, until } from '../support/cluster.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';

let postgres: TestPostgres;
let api: TestApi;
let cluster: TestCluster;
let admin: string;
let member: string;
let stranger: string;
let drvm: DrvmView;

interface Answer<T = Record<string, never>> {
  data: T | null;
  errors?: { message: string; extensions: { code: string; hint?: string } }[];
}

async function ask<T = Record<string, never>>(
  query: string,
  headers: Record<string, string> = {},
  variables: object = {},
): Promise<Answer<T>> {
  const response = await fetch(`${api.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ query, variables }),
  });
  return (await response.json()) as Answer<T>;
}

const by = (token: string) => ({ authorization: `Bearer ${token}` });

const ps: ProcessRow = {
  pid: 12,
  ppid: 1,
  node: 'node1',
  state: 'running',
  cpuMs: 5,
  memoryBytes: 65_536,
  command: '/bin/pi 1000',
  endpoint: 40,
  startedAt: '2026-11-24T00:00:00.000Z',
  exitCode: null,
  signal: null,
};

beforeAll(async () => {
  postgres = await startPostgres();
  api = await startApi(await postgres.createDatabase());
  cluster = new TestCluster(api);
  const physics = await cluster.tenant('physics');
  const chemistry = await cluster.tenant('chemistry');
  [admin, member, stranger] = await Promise.all([
    cluster.token('supra-admin'),
    cluster.token('member', physics),
    cluster.token('member', chemistry),
  ]);
  for (const name of ['node1', 'node2']) {
    const agent = await cluster.node(name);
    agent.containerCall = async (_, method, params, context) => {
      switch (method) {
        case 'process.list':
          return [ps];
        case 'process.start':
          return params.program === '/bin/pi' ? { pid: 12, node: 'node1' } : { pid: 77, node: 'node2' };
        case 'process.wait':
          return { exitCode: 4, signal: null, reason: null };
        case 'process.output':
          await context.chunk({ stream: 'stdout', offset: 0 }, Buffer.from('3.14'));
          await context.chunk({ stream: 'stdout', offset: 4 }, Buffer.from([0xcf]));
          await context.chunk({ stream: 'stdout', offset: 5 }, Buffer.from([0x80, 0x0a]));
          return { nextOffset: 7, lost: 0, exit: { exitCode: 3, signal: null, reason: null } };
        case 'process.migrate':
          return {
            pid: params.pid,
            from: 'node1',
            to: params.to,
            bytes: 9,
            pauseMs: 1,
            totalMs: 2,
            rounds: 1,
          };
        case 'file.list':
          return [{ path: '/tmp', kind: 'directory', size: 0, mode: 0o755, modifiedAt: ps.startedAt }];
        default:
          return withBody({}, new Uint8Array(0));
      }
    };
  }
  await until('both nodes are up', async () => {
    const { items } = await cluster.rest<{ items: { state: string }[] }>(admin, 'GET', 'nodes');
    return items.length === 2 && items.every(({ state }) => state === 'up');
  });
  const created = await ask<{ createDrvm: { drvm: DrvmView; operation: OperationView } }>(
    'mutation($i:CreateDrvmInput!){createDrvm(input:$i){drvm{id name} operation{id state}}}',
    by(admin),
    { i: { name: 'fisica', tenant: 'physics', cpu: 1, memoryMiB: 1024, diskGiB: 2, nodeCount: 2 } },
  );
  expect(created.errors).toBeUndefined();
  const { operation } = created.data!.createDrvm;
  await cluster.rest(admin, 'GET', `operations/${operation.id}/wait?timeoutSeconds=20`);
  drvm = await cluster.rest<DrvmView>(admin, 'GET', 'drvms/fisica');
  expect(drvm.state).toBe('running');
});

afterAll(async () => {
  cluster?.stop();
  await api?.stop();
  await postgres?.stop();
});

describe('many DRVMs at once', () => {
  test('are made all or none, and each item tells its DRVM and its operation', async () => {
    await cluster.tenant('biology');
    const query = `mutation($d:[BatchDrvmInput!]!){createDrvms(tenant:"biology",drvms:$d){
      name drvmId operationId drvm{name tenant slices{cpu}} operation{kind state}}}`;
    const one = (name: string, cpu = 0.1) => ({ name, cpu, memoryMiB: 192, nodeCount: 1 });
    interface Made {
      createDrvms: { name: string; drvmId: string; operationId: string; drvm: { name: string } }[];
    }
    const made = await ask<Made>(query, by(admin), { d: [one('alumno-1'), one('alumno-2')] });
    expect(made.errors).toBeUndefined();
    expect(made.data!.createDrvms).toMatchObject([
      {
        name: 'alumno-1',
        drvm: { name: 'alumno-1', tenant: 'biology' },
        operation: { kind: 'drvm.create' },
      },
      { name: 'alumno-2', drvm: { name: 'alumno-2' } },
    ]);
    const refused = await ask<Made>(query, by(admin), { d: [one('alumno-3'), one('alumno-4', 900)] });
    expect(refused.errors![0]!.extensions.code).toBe('InsufficientResources');
    expect(refused.errors![0]!.message).toContain('alumno-4 (2 of 2)');
    const { data } = await ask<{ drvm: null }>('{drvm(name:"alumno-3"){id}}', by(admin));
    expect(data!.drvm).toBeNull();
    const twice = await ask<Made>(query, by(admin), { d: [one('x'), one('x')] });
    expect(twice.errors![0]!.extensions.code).toBe('InvalidInput');
    for (const { drvmId, operationId } of made.data!.createDrvms) {
      await cluster.rest(admin, 'GET', `operations/${operationId}/wait?timeoutSeconds=60`);
      const { id } = await cluster.rest<OperationView>(admin, 'DELETE', `drvms/${drvmId}`);
      await cluster.rest(admin, 'GET', `operations/${id}/wait?timeoutSeconds=60`);
    }
  });

  test('and the rules of one, which are changed by the same rules as over REST', async () => {
    const rules = 'drvm require forbid broken{node rule reason}';
    const mutation = `mutation($r:DrvmRulesInput!){setDrvmRules(drvm:"fisica",rules:$r){${rules}}}`;
    interface Set {
      setDrvmRules: { require: string[]; broken: { node: string; rule: string }[] };
    }
    const changed = await ask<Set>(mutation, by(admin), { r: { require: ['ssd'] } });
    expect(changed.data!.setDrvmRules).toMatchObject({
      require: ['ssd'],
      broken: [
        { node: 'node1', rule: 'trait-missing' },
        { node: 'node2', rule: 'trait-missing' },
      ],
    });
    const back = await ask<Set>(mutation, by(admin), { r: { require: [] } });
    expect(back.data!.setDrvmRules.broken).toEqual([]);
    const none = await ask<Set>(mutation, by(admin), { r: {} });
    expect(none.errors![0]!.extensions.code).toBe('InvalidInput');
    const read = await ask<{ drvmRules: object }>(`{drvmRules(drvm:"fisica"){${rules}}}`, by(member));
    expect(read.data!.drvmRules).toMatchObject({ drvm: 'fisica', require: [], broken: [] });
    const hidden = await ask('{drvmRules(drvm:"fisica"){drvm}}', by(stranger));
    expect(hidden.errors![0]!.extensions.code).toBe('NotFound');
  });
});

describe('queries', () => {
  test('the map of the cluster comes in one request', async () => {
    const { data, errors } = await ask<{ nodes: { nodes: { name: string; slices: object[] }[] } }>(
      `{nodes{nodes{name state capacity{cpu memoryMiB diskGiB networkMbps} allocated{cpu} used{cpu} isolation
        labels{key value} interfaces{name addresses} slices{drvm tenant cpu memoryMiB state usedCpu usedMemoryMiB processes}}
        pageInfo{hasNextPage endCursor}}}`,
      by(admin),
    );
    expect(errors).toBeUndefined();
    expect(data?.nodes.nodes.map(({ name }) => name)).toEqual(['node1', 'node2']);
    expect(data?.nodes.nodes[0]).toMatchObject({
      state: 'up',
      capacity: { cpu: 4 },
      allocated: { cpu: 0.5 },
      slices: [{ drvm: 'fisica', tenant: 'physics', cpu: 0.5, state: 'running', processes: 3 }],
    });
  });

  test('a DRVM comes with its processes and its operations', async () => {
    const { data, errors } = await ask(
      '{drvm(name:"fisica"){name state slices{node} processes{pid node command} operations(first:5){kind state steps{name state} error{code}}}}',
      by(member),
    );
    expect(errors).toBeUndefined();
    expect(data).toMatchObject({
      drvm: {
        state: 'running',
        processes: [{ pid: 12, node: 'node1', command: '/bin/pi 1000' }],
        operations: [{ kind: 'drvm.create', state: 'succeeded' }],
      },
    });
  });

  test('output comes as text, also where a character is split between two pieces', async () => {
    const { data } = await ask('{output(drvm:"fisica",pid:12){text nextOffset exitCode}}', by(member));
    expect(data).toEqual({ output: { text: '3.14π\n', nextOffset: 7, exitCode: 3 } });
  });

  test('another department sees nothing of it', async () => {
    const { data } = await ask(
      `{drvm(id:"${drvm.id}"){id} drvms{nodes{id}} nodes{nodes{name}} operations{nodes{id}} events{nodes{id}}}`,
      by(stranger),
    );
    expect(data).toEqual({
      drvm: null,
      drvms: { nodes: [] },
      nodes: { nodes: [] },
      operations: { nodes: [] },
      events: { nodes: [] },
    });
    const { errors } = await ask(`mutation{killProcess(drvm:"${drvm.id}",pid:12)}`, by(stranger));
    expect(errors?.[0]?.extensions.code).toBe('NotFound');
  });

  test('pages go on where the one before ended', async () => {
    const first = await ask<{
      nodes: { nodes: { name: string }[]; pageInfo: { hasNextPage: boolean; endCursor: string } };
    }>('{nodes(first:1){nodes{name} edges{cursor node{name}} pageInfo{hasNextPage endCursor}}}', by(admin));
    expect(first.data?.nodes).toMatchObject({ nodes: [{ name: 'node1' }], pageInfo: { hasNextPage: true } });
    const second = await ask(
      'query($a:String){nodes(first:1,after:$a){nodes{name} pageInfo{hasNextPage}}}',
      by(admin),
      {
        a: first.data?.nodes.pageInfo.endCursor,
      },
    );
    expect(second.data).toEqual({ nodes: { nodes: [{ name: 'node2' }], pageInfo: { hasNextPage: false } } });
  });
});

describe('running a program', () => {
  const run =
    'mutation($i:RunProgramInput!){runProgram(drvm:"fisica",input:$i){pid node state command exitCode}}';

  test('answers its process', async () => {
    const input = { program: '/bin/pi', args: ['9'], env: [{ name: 'LANG', value: 'C' }] };
    expect(await ask(run, by(member), { i: input })).toMatchObject({
      data: { runProgram: { pid: 12, node: 'node1', state: 'running' } },
    });
  });

  test('answers how it ended, when that was at once', async () => {
    expect((await ask(run, by(member), { i: { program: '/bin/true' } })).data).toEqual({
      runProgram: { pid: 77, node: 'node2', state: 'zombie', command: '/bin/true', exitCode: 4 },
    });
  });
});

describe('limits', () => {
  test('introspection is for those who are signed in', async () => {
    const query = '{__schema{queryType{name}}}';
    expect((await ask(query)).errors?.[0]?.extensions.code).toBe('NotAuthenticated');
    expect((await ask(query, by(member))).data).toEqual({ __schema: { queryType: { name: 'Query' } } });
  });

  test('nothing is told without credentials, and an error has a code and a hint', async () => {
    const { errors } = await ask('{me{id}}');
    expect(errors?.[0]?.extensions).toMatchObject({ code: 'NotAuthenticated', hint: expect.any(String) });
    const unknown = await ask('{nonsense}', by(admin));
    expect(unknown.errors?.[0]?.extensions.code).toBe('InvalidInput');
  });

  test('too many aliases and too large batches are refused', async () => {
    const aliases = Array.from({ length: 31 }, (_, i) => `a${i}:me{id}`).join(' ');
    expect((await ask(`{${aliases}}`, by(admin))).errors?.[0]?.message).toMatch(/aliases/);
    const batch = await fetch(`${api.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...by(admin) },
      body: JSON.stringify(Array.from({ length: 11 }, () => ({ query: '{me{id}}' }))),
    });
    expect(JSON.stringify(await batch.json())).toMatch(/batch holds 10/);
  });
});

describe('sessions of browsers', () => {
  test('signing in gives a cookie; a change needs the CSRF token that goes with it', async () => {
    await cluster.database.unrestricted.user.create({
      data: {
        name: 'marie',
        role: 'supra-admin',
        passwordHash: await hashPassword('a long enough password'),
      },
    });
    const response = await fetch(`${api.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        query: 'mutation{login(name:"marie",password:"a long enough password"){name role csrfToken}}',
      }),
    });
    const cookie = response.headers.get('set-cookie')?.split(';', 1)[0] ?? '';
    const { data } = (await response.json()) as Answer<{ login: { csrfToken: string } }>;
    expect(data?.login).toMatchObject({ name: 'marie', role: 'supra-admin' });
    expect((await ask('{me{name}}', { cookie })).data).toEqual({ me: { name: 'marie' } });
    const create = 'mutation{createTenant(name:"geology"){name}}';
    expect((await ask(create, { cookie })).errors?.[0]?.extensions.code).toBe('NotAllowed');
    const csrf = { cookie, 'x-csrf-token': data!.login.csrfToken };
    expect((await ask(create, csrf)).data).toEqual({ createTenant: { name: 'geology' } });
    expect((await ask('mutation{logout}', csrf)).data).toEqual({ logout: true });
    expect((await ask('{me{name}}', { cookie })).errors?.[0]?.extensions.code).toBe('NotAuthenticated');
  });
});

describe('subscriptions', () => {
  const client = (token: string) =>
    createClient({
      url: `${api.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { authorization: `Bearer ${token}` },
      retryAttempts: 0,
    });
  const collect = async (token: string, query: string, enough: (values: unknown[]) => boolean) => {
    const socket = client(token);
    const values: unknown[] = [];
    try {
      for await (const value of socket.iterate({ query })) {
        values.push(value.data ?? value.errors);
        if (enough(values)) break;
      }
    } finally {
      await socket.dispose();
    }
    return values;
  };

  test('an operation is told until it has ended', async () => {
    const migration = await ask<{ migrateProcess: { id: string } }>(
      'mutation{migrateProcess(drvm:"fisica",pid:12,to:"node2"){id state}}',
      by(member),
    );
    expect(migration.errors).toBeUndefined();
    const id = migration.data?.migrateProcess.id;
    const seen = await collect(
      member,
      `subscription{operation(id:"${id}"){state progress result}}`,
      () => false,
    );
    expect(seen.at(-1)).toMatchObject({ operation: { state: 'succeeded', progress: 1 } });
    expect(JSON.parse((seen.at(-1) as { operation: { result: string } }).operation.result)).toMatchObject({
      to: 'node2',
    });
  });

  test('output comes as it is written, and ends with the process', async () => {
    const seen = await collect(
      member,
      'subscription{output(drvm:"fisica",pid:12){stream offset text exitCode}}',
      () => false,
    );
    expect(seen.map((value) => (value as { output: { text: string } }).output.text).join('')).toBe('3.14π\n');
    expect(seen.at(-1)).toMatchObject({ output: { exitCode: 3 } });
  });

  test('processes and the map come at once, redacted as in queries', async () => {
    expect(
      await collect(member, 'subscription{processes(drvm:"fisica"){pid command}}', (v) => v.length === 1),
    ).toEqual([{ processes: [{ pid: 12, command: '/bin/pi 1000' }] }]);
    expect(
      await collect(member, 'subscription{telemetry{name capacity{cpu}}}', (v) => v.length === 1),
    ).toEqual([
      {
        telemetry: [
          { name: 'node1', capacity: { cpu: 0.5 } },
          { name: 'node2', capacity: { cpu: 0.5 } },
        ],
      },
    ]);
  });

  test('events come as they happen', async () => {
    const arriving = collect(admin, 'subscription{events{kind text}}', (v) =>
      JSON.stringify(v).includes('a test'),
    );
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await cluster.database.unrestricted.event.create({ data: { kind: 'test', text: 'a test' } });
    expect(await arriving).toContainEqual({ events: { kind: 'test', text: 'a test' } });
  });

  test('what is another department’s is not found, and without credentials nothing is told', async () => {
    await expect(
      collect(stranger, 'subscription{processes(drvm:"fisica"){pid}}', (v) => v.length === 1),
    ).rejects.toEqual([expect.objectContaining({ message: expect.stringContaining('no DRVM') })]);
    await expect(
      collect('nonsense', 'subscription{events{kind}}', (v) => v.length === 1),
    ).rejects.toBeDefined();
  });

  test('a page of another origin is refused', async () => {
    const socket = new WebSocket(`${api.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', {
      origin: 'http://evil.example',
    });
    const status = await new Promise((resolve) => {
      socket.once('unexpected-response', (_, response) => resolve(response.statusCode));
      socket.once('error', () => undefined);
    });
    expect(status).toBe(403);
  });

  test('a subscription ends when its token is revoked', async () => {
    const token = await cluster.token('supra-admin');
    const socket = client(token);
    const closed = new Promise<{ code: number }>((resolve) =>
      socket.on('closed', (event) => resolve(event as { code: number })),
    );
    const iterator = socket.iterate({ query: 'subscription{telemetry{name}}' });
    await iterator.next();
    const id = token.split('_')[1]!;
    await cluster.database.unrestricted.apiToken.update({ where: { id }, data: { revokedAt: new Date() } });
    iterator.next().catch(() => undefined);
    expect((await closed).code).toBe(4401);
    await socket.dispose();
  });
});
