import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { ApiClient } from '../support/api.js';
import { buildAll } from '../support/api-process.js';
import { freePort } from '../support/ports.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';

const ROOT = join(import.meta.dirname, '../..');
let postgres: TestPostgres;
let folder: string;
const running: ChildProcess[] = [];

beforeAll(async () => {
  await buildAll();
  postgres = await startPostgres();
});
afterAll(() => postgres?.stop());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drvs-api-process-'));
});
afterEach(async () => {
  for (const child of running.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  await rm(folder, { recursive: true, force: true });
});

interface Started {
  child: ChildProcess;
  output: () => string;
  ended: Promise<number | null>;
}

function start(databaseUrl: string, port: number, more: Record<string, string> = {}): Started {
  const child = spawn(process.execPath, [join(ROOT, 'apps/api/dist/main.js')], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: databaseUrl,
      PORT: String(port),
      DRVS_DATA: folder,
      DRVS_BOOTSTRAP_FILE: join(folder, 'bootstrap.json'),
      ...more,
    },
  });
  running.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (bytes) => (output += String(bytes)));
  return { child, output: () => output, ended: once(child, 'exit').then(([code]) => code as number | null) };
}

async function ready(url: string, { child, output }: Started): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    if (child.exitCode !== null) throw new Error(`it ended: ${output()}`);
    const answer = await fetch(`${url}/readyz`).catch(() => null);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`it is not ready: ${output()}`);
}

/** A way to the database that can be shut and opened again. */
async function openGate(target: number) {
  let isOpen = true;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    if (!isOpen) return void client.destroy();
    const upstream = connect(target, '127.0.0.1');
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy()).on('close', () => sockets.delete(socket));
      socket.pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const shut = () => {
    isOpen = false;
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as { port: number }).port,
    shut,
    open: () => {
      isOpen = true;
    },
    close: () => {
      shut();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('the API process', () => {
  it('starts on an empty database, and after kill -9 goes on with what was there', async () => {
    const database = await postgres.createEmptyDatabase();
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const first = start(database, port);
    await ready(url, first);
    const { token, password } = JSON.parse(await readFile(join(folder, 'bootstrap.json'), 'utf8'));
    for (const file of ['bootstrap.json', 'secret'])
      expect((await stat(join(folder, file))).mode & 0o777).toBe(0o600);
    expect(first.output()).not.toContain(password);
    const client = new ApiClient(url, token);
    (await client.post('/tenants', { name: 'fisica' }, { 'idempotency-key': 'k' })).expect(201);
    first.child.kill('SIGKILL');
    await first.ended;
    const second = start(database, port);
    await ready(url, second);
    expect(
      (await client.post('/tenants', { name: 'fisica' }, { 'idempotency-key': 'k' })).headers.get(
        'idempotency-replayed',
      ),
    ).toBe('true');
    second.child.kill('SIGTERM');
    expect(await second.ended).toBe(0);
  });

  it('stops on SIGTERM also while clients wait for what may never come', async () => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const api = start(await postgres.createEmptyDatabase(), port);
    await ready(url, api);
    const { token } = JSON.parse(await readFile(join(folder, 'bootstrap.json'), 'utf8'));
    const events = fetch(`${url}/api/v1/events`, {
      headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' },
    })
      .then((answer) => answer.text())
      .catch(() => 'cut off');
    await new Promise((resolve) => setTimeout(resolve, 300));
    api.child.kill('SIGTERM');
    expect(await api.ended).toBe(0);
    await events;
  });

  it('says that the database is away, and goes on when it is back', async () => {
    const database = new URL(await postgres.createDatabase());
    const gate = await openGate(Number(database.port));
    database.port = String(gate.port);
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const api = start(database.href, port);
    await ready(url, api);
    const { token } = JSON.parse(await readFile(join(folder, 'bootstrap.json'), 'utf8'));
    gate.shut();
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    const answer = await new ApiClient(url, token).get<{ code: string }>('/nodes');
    expect(answer.expect(504).code).toBe('Timeout');
    gate.open();
    await ready(url, api);
    expect((await new ApiClient(url, token).get('/nodes')).status).toBe(200);
    api.child.kill('SIGTERM');
    expect(await api.ended).toBe(0);
    await gate.close();
  });

  it('says what is wrong with its database, its port and its environment, and ends with 1', async () => {
    const noDatabase = start('postgresql://nobody@127.0.0.1:1/none', 0);
    expect(await noDatabase.ended).toBe(1);
    expect(noDatabase.output()).toContain('PostgreSQL does not let us in at 127.0.0.1:1/none');
    const noEnvironment = start('', 0, { PORT: 'none' });
    expect(await noEnvironment.ended).toBe(1);
    expect(noEnvironment.output()).toMatch(/DATABASE_URL: .*PORT: /);
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
    const { port } = holder.address() as { port: number };
    const busy = start(await postgres.createDatabase(), port);
    expect(await busy.ended).toBe(1);
    expect(busy.output()).toContain(`the port ${port} of 127.0.0.1 is in use`);
    holder.close();
  });
});
