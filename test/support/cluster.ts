import { DrvsError, type Role } from '@drvs/contracts';
import { newApiToken, newEnrolmentToken } from '../../apps/api/src/auth/secrets.js';
import { Database } from '../../apps/api/src/database/database.js';

import { AgentPeer } from './agent-peer.js';
import type { TestApi } from './api.js';
import { DocumentedAnswers } from './documented-answers.js';

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

  /** All agents end. */
  stop(): void {
    for (const agent of this.agents) agent.disconnect();
    this.agents = [];
  }
}
