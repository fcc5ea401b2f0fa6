import { DrvsError, type Role } from '@drvs/contracts';
import { newApiToken, newEnrolmentToken } from '../../apps/api/src/auth/secrets.js';
import { Database } from '../../apps/api/src/database/database.js';

import { AgentPeer } from './agent-peer.js';
import { startApi, type TestApi } from './api.js';
import { DocumentedAnswers } from './documented-answers.js';
import { startPostgres } from './postgres.js';

/** Reads until what it waits for is there. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | null | false> | T | undefined | null | false,
  withinMs = 15_000,
): Promise<T> {
  for (const end = Date.now() + withinMs; ; ) {
    const seen = await look();
    if (seen) return seen;
    if (Date.now() > end) throw new Error(`not seen in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

type Table =
  | 'demandHour'
  | 'drvm'
  | 'enrolmentToken'
  | 'event'
  | 'node'
  | 'operation'
  | 'plan'
  | 'schedule'
  | 'setting';

/** What most tests of the API begin with. */
export interface StartedCluster {
  api: TestApi;
  cluster: TestCluster;
  database: Database;
  /** Of the department `physics`. */
  tenantId: string;
  /** A supra-administrator's token. */
  admin: string;
  stop(): Promise<void>;
}

/** An API on a database of its own, with one department and no node. */
export async function startCluster(): Promise<StartedCluster> {
  const postgres = await startPostgres();
  try {
    const api = await startApi(await postgres.createDatabase());
    const cluster = new TestCluster(api);
    return {
      api,
      cluster,
      database: cluster.database,
      tenantId: await cluster.tenant('physics'),
      admin: await cluster.token('supra-admin'),
      stop: async () => {
        await api.stop();
        await postgres.stop();
      },
    };
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

/** Brings nodes, departments and tokens into an API under test. */
export class TestCluster {
  agents: AgentPeer[] = [];
  readonly database: Database;

  constructor(readonly api: TestApi) {
    this.database = api.app.get(Database);
  }

  async enrolToken(): Promise<string> {
    const { token, hash } = newEnrolmentToken();
    await this.database.unrestricted.enrolmentToken.create({
      data: { hash, createdBy: 'user/test', expiresAt: new Date(Date.now() + 60_000) },
    });
    return token;
  }

  /** A node whose agent is connected. */
  async node(name: string): Promise<AgentPeer> {
    const agent = new AgentPeer(this.api.url, name);
    const response = await agent.enrol(await this.enrolToken());
    if (!response.ok) throw new Error(`enrolment of ${name}: HTTP ${response.status}`);
    await agent.connect();
    this.agents.push(agent);
    // It gets nothing before its burn-in check is through.
    await until(`the check of ${name}`, async () => {
      const node = await this.database.unrestricted.node.findUnique({ where: { name } });
      return node !== null && node.probation !== 'pending';
    });
    return agent;
  }

  async tenant(name: string): Promise<string> {
    return (await this.database.unrestricted.tenant.create({ data: { name } })).id;
  }

  /** An API token of this role. */
  async token(role: Role, tenantId: string | null = null): Promise<string> {
    const { id, token, hash } = newApiToken();
    await this.database.unrestricted.apiToken.create({
      data: { id, hash, name: `${role}-${id}`, role, tenantId },
    });
    return token;
  }

  /** REST with a token; a problem is thrown as the DrvsError that it tells of. */
  async rest<T>(token: string, method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(`${this.api.url}/api/v1/${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    const answer: unknown = text === '' ? undefined : JSON.parse(text);
    const documented = await DocumentedAnswers.of(this.api.url);
    documented.check(
      method,
      `/api/v1/${path}`,
      response.status,
      response.headers.get('content-type'),
      answer ?? null,
    );
    if (response.ok) return answer as T;
    const { code, detail, hint, field } = answer as {
      code: DrvsError['code'];
      detail: string;
      hint?: string;
      field?: string;
    };
    throw new DrvsError(code, detail, { hint, field, details: { status: response.status } });
  }

  /**
   * Whether what the ledger says is given and held is what the slices have, nobody has more than there is, and no change
   * of a slice is half done.
   */
  async ledgerAddsUp(): Promise<boolean> {
    const rows = await this.database.unrestricted.$queryRaw<{ sound: boolean }[]>`
      SELECT i.used = coalesce(sum(s.cpu_milli), 0) AND i.held = coalesce(sum(s.held_cpu_milli), 0)
        AND i.held <= i.total - i.reserved AND i.used <= i.total - i.reserved AS sound
      FROM inventory i LEFT JOIN slice s ON s.node_id = i.node_id
      WHERE i.class = 'cpuMilli' GROUP BY i.node_id, i.class`;
    const halves = await this.database.unrestricted.sliceChange.count({ where: { endedAt: null } });
    return halves === 0 && rows.every(({ sound }) => sound);
  }

  /** Nothing is left in these tables, nor in what goes with them. */
  async empty(...tables: readonly Table[]): Promise<void> {
    for (const table of tables)
      await (this.database.unrestricted[table].deleteMany as (args: object) => Promise<unknown>)({});
  }

  /** All agents end. */
  stop(): void {
    for (const agent of this.agents) agent.disconnect();
    this.agents = [];
  }
}
