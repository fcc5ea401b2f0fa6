import pg from 'pg';
import type { Actor } from '../auth/actor.js';

/** Connections at most: statements are short, and reads come gathered. */
const CONNECTIONS_MAX = 8;
const WAIT_MS = 20_000;
/** A statement that has not been answered by then is given up with its connection: others wait behind it. */
export const ANSWER_WITHIN_MS = 20_000;

const OPTIONS = {
  'read-only': '-c default_transaction_read_only=on',
  // Whoever changes something waits for the disk after the commit, with others: see Database.change.
  'read-write': '-c synchronous_commit=off',
} as const;

/** A statement that PostgreSQL keeps prepared under its name. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** What of an actor row-level security judges by: readers of the same scope see the same. */
export const scopeOf = ({ role, tenantId }: Actor): string => `${role}/${tenantId ?? ''}`;

/**
 * Single statements bound by row-level security to what an actor may see and change, without a transaction around
 * each: the connections are of the role `drvs_app` from their start, and each remembers for whom it asks; that is set
 * anew whenever it is another.
 */
export class ActorStatements {
  readonly #pool: pg.Pool;
  readonly #scopes = new WeakMap<pg.PoolClient, string>();

  constructor(connectionString: string, access: keyof typeof OPTIONS) {
    this.#pool = new pg.Pool({
      connectionString,
      max: CONNECTIONS_MAX,
      connectionTimeoutMillis: WAIT_MS,
      application_name: `drvs-${access}`,
      // At the start of the session: a connection that could not take the role on is none.
      // The statements are few and simple: planned once, not for each set of values.
      options: `-c role=drvs_app -c plan_cache_mode=force_generic_plan ${OPTIONS[access]}`,
    });
    // An idle connection that breaks is replaced by the pool; without a listener it would end the process.
    this.#pool.on('error', () => undefined);
  }

  async query<Row extends pg.QueryResultRow>(
    actor: Actor,
    statement: Statement,
    values: unknown[],
  ): Promise<Row[]> {
    const client = await this.#pool.connect();
    try {
      const scope = scopeOf(actor);
      if (this.#scopes.get(client) !== scope) {
        this.#scopes.delete(client);
        await client.query({
          name: 'scope',
          text: `SELECT set_config('app.role', $1, false), set_config('app.tenant', $2, false)`,
          values: [actor.role, actor.tenantId ?? ''],
        });
        this.#scopes.set(client, scope);
      }
      const query = { ...statement, values, query_timeout: ANSWER_WITHIN_MS };
      const { rows } = await client.query<Row>(query);
      client.release();
      return rows;
    } catch (error) {
      client.release(error instanceof Error ? error : true);
      throw error;
    }
  }

  end(): Promise<void> {
    return this.#pool.ended ? Promise.resolve() : this.#pool.end();
  }
}
