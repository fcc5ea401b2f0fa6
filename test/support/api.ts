import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type NodeInventory, RESOURCE_CLASSES, type ResourceAmounts, type Role } from '@drvs/contracts';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createApp } from '../../apps/api/src/app.js';
import { sha256 } from '../../apps/api/src/auth/secrets.js';
import { type Config, readConfig } from '../../apps/api/src/config/config.js';
import { Database } from '../../apps/api/src/database/database.js';
import { DocumentedAnswers } from './documented-answers.js';

/** What the first start writes down. */
export interface Bootstrap {
  user: string;
  password: string;
  token: string;
  enrolTokens: string[];
}

/** The real API process's application, listening on a port of its own. */
export interface TestApi {
  app: NestFastifyApplication;
  /** `http://127.0.0.1:<port>` */
  url: string;
  bootstrap: Bootstrap;
  /** The first administrator, by token. */
  admin: ApiClient;
  /** Makes a user with this role and a token of its own. */
  clientFor(role: Role, tenant: string | null): Promise<ApiClient>;
  stop(): Promise<void>;
}

export async function startApi(databaseUrl: string, overrides: Partial<Config> = {}): Promise<TestApi> {
  const folder = await mkdtemp(join(tmpdir(), 'drvs-api-'));
  const config = readConfig({
    DATABASE_URL: databaseUrl,
    DRVS_DATA: folder,
    DRVS_BOOTSTRAP_FILE: join(folder, 'bootstrap.json'),
    DRVS_BOOTSTRAP_NODES: '3',
    PORT: '0',
    LOG_LEVEL: process.env.TEST_LOG_LEVEL ?? 'fatal',
  });
  const app = await createApp({ ...config, ...overrides });
  await app.listen(0, '127.0.0.1');
  const url = (await app.getUrl()).replace('[::1]', '127.0.0.1');
  const bootstrapFile = overrides.bootstrapFile ?? config.bootstrapFile ?? '';
  const bootstrap = JSON.parse(await readFile(bootstrapFile, 'utf8')) as Bootstrap;
  const admin = new ApiClient(url, bootstrap.token);
  return {
    app,
    url,
    bootstrap,
    admin,
    async clientFor(role, tenant) {
      const body = { name: `token-${randomBytes(4).toString('hex')}`, role, tenant };
      const { token } = (await admin.post<{ token: string }>('/tokens', body)).expect(201);
      return new ApiClient(url, token);
    },
    async stop() {
      await app.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export class ApiAnswer<T> {
  constructor(
    readonly status: number,
    readonly body: T,
    readonly headers: Headers,
  ) {}

  /** The body, when the status is the one expected. */
  expect(status: number): T {
    if (this.status !== status)
      throw new Error(`expected ${status}, got ${this.status}: ${JSON.stringify(this.body)}`);
    return this.body;
  }
}

/** REST below /api/v1 with a bearer token (null: not signed in). */
export class ApiClient {
  constructor(
    readonly url: string,
    readonly token: string | null,
  ) {}

  get<T = unknown>(path: string, headers?: Record<string, string>): Promise<ApiAnswer<T>> {
    return this.send('GET', path, undefined, headers);
  }
  post<T = unknown>(path: string, body?: unknown, headers?: Record<string, string>): Promise<ApiAnswer<T>> {
    return this.send('POST', path, body, headers);
  }
  patch<T = unknown>(path: string, body: unknown, headers?: Record<string, string>): Promise<ApiAnswer<T>> {
    return this.send('PATCH', path, body, headers);
  }
  delete<T = unknown>(path: string, headers?: Record<string, string>): Promise<ApiAnswer<T>> {
    return this.send('DELETE', path, undefined, headers);
  }

  async send<T>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<ApiAnswer<T>> {
    const answer = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: {
        ...(this.token === null ? {} : { authorization: `Bearer ${this.token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    const value: unknown = text === '' ? null : JSON.parse(text);
    const documented = await DocumentedAnswers.of(this.url);
    documented.check(method, `/api/v1${path}`, answer.status, answer.headers.get('content-type'), value);
    return new ApiAnswer(answer.status, value as T, answer.headers);
  }
}

/** A node that is up, as an agent's enrolment leaves it in the ledger. @returns its id. */
export async function addNode(
  api: TestApi,
  name: string,
  offered: Partial<ResourceAmounts> = {},
): Promise<string> {
  const total = { cpuMilli: 1000, memoryMiB: 1024, diskGiB: 10, networkMbps: 1000, ...offered };
  const inventory: NodeInventory = {
    hostname: name,
    arch: 'x64',
    os: 'linux',
    kernel: '6.1',
    cpuModel: 'test',
    host: total,
    offered: total,
    interfaces: [],
    devices: [],
    traits: [],
    enforcement: { cpu: 'fuel-only', memory: 'kernel-only', namespaces: [], user: 'shared-uid', notes: [] },
    agentVersion: '0.1.0',
  };
  const node = await api.app.get(Database).unrestricted.node.create({
    data: {
      name,
      credentialHash: sha256(randomBytes(16).toString('hex')),
      inventory,
      agentVersion: '0.1.0',
      // Far in the future: nobody sends heartbeats for it.
      lastSeenAt: new Date(Date.now() + 3_600_000),
      inventories: { create: RESOURCE_CLASSES.map((name) => ({ class: name, total: total[name] })) },
    },
  });
  return node.id;
}
