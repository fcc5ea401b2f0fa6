import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import type { Actor } from '../auth/actor.js';
import { CONFIG, type Config } from '../config/config.js';
import { type Prisma, PrismaClient } from '../gen/client.js';
import { ActorStatements, ANSWER_WITHIN_MS, type Statement } from './actor-statements.js';
import { Gathered } from './gathered.js';
import type { Moment } from './moment.js';
import { isRetryable } from './sql-state.js';

export type Transaction = Prisma.TransactionClient;

/** A transaction waits this long for a connection: under a burst it queues here rather than failing. */
const TRANSACTION_WAIT_MS = 20_000;
const TRANSACTION_TIMEOUT_MS = 20_000;
/** Deadlocks and serialization failures are done again this often. */
const TRANSACTION_ATTEMPTS = 6;
const RETRY_BASE_MS = 10;
/** Changes of the system that are one statement, at once: they are short, and mostly wait for one another. */
const SYSTEM_CHANGES_MAX = 8;
/** A transaction that writes nothing but a record of the log waits for the disk, and with it for all that came before. */
const FLUSH = { name: 'flush', text: `SELECT pg_logical_emit_message(true, 'drvs', '')` };

/**
 * The door to PostgreSQL.
 * - `as(actor, work)`: a transaction bound by row-level security to what the actor may see and change.
 * - `system(work)`: a transaction of the system itself (jobs, agents, placement, sign-in), bound by nothing but the
 *   constraints; whoever calls it has checked the actor before.
 * - `unrestricted`: single statements of the system itself.
 * - `read(actor, statement)`, `readSystem(statement)`: single reads that are asked often, prepared once.
 * - `change(actor, statement)`, `systemChange(statement)`: a change that is one statement, and so a transaction by itself.
 * `work` may be run again after a deadlock: it must not do anything but talk to the database; what is to follow a
 * successful end goes through `afterCommit`.
 */
@Injectable()
export class Database implements OnApplicationShutdown {
  readonly unrestricted: PrismaClient;
  readonly pool: pg.Pool;
  readonly #reads: ActorStatements;
  readonly #changes: ActorStatements;
  readonly #systemChanges: pg.Pool;
  /** Of its own: who waits for the disk does not wait behind transactions too. One flush is under way at a time. */
  readonly #flusher: pg.Pool;
  readonly #flushed = new Gathered<null, true>(async (_, keys) => {
    await this.#flusher.query(FLUSH);
    return new Map(keys.map((key) => [key, true]));
  });
  /**
   * Connections made so far. A server that broke down may number transactions anew that it had lost: a snapshot seen
   * over a connection that came after it is another one, though it reads the same.
   */
  #connected = 0;
  readonly #followUps = new WeakMap<Transaction, (() => void | Promise<void>)[]>();

  constructor(@Inject(CONFIG) config: Config) {
    this.pool = new pg.Pool({
      connectionString: config.databaseUrl,
      max: config.databasePool,
      connectionTimeoutMillis: TRANSACTION_WAIT_MS,
      application_name: 'drvs-api',
    });
    // An idle connection that breaks is replaced by the pool; without a listener it would end the process.
    this.pool.on('error', () => undefined);
    this.pool.on('connect', () => {
      this.#connected++;
    });
    this.unrestricted = new PrismaClient({ adapter: new PrismaPg(this.pool) });
    this.#reads = new ActorStatements(config.databaseUrl, 'read-only');
    this.#changes = new ActorStatements(config.databaseUrl, 'read-write');
    this.#systemChanges = new pg.Pool({
      connectionString: config.databaseUrl,
      max: SYSTEM_CHANGES_MAX,
      connectionTimeoutMillis: TRANSACTION_WAIT_MS,
      application_name: 'drvs-changes',
      // Whoever changes something waits for the disk after the commit, with others.
      options: '-c synchronous_commit=off',
    });
    this.#systemChanges.on('error', () => undefined);
    this.#flusher = new pg.Pool({
      connectionString: config.databaseUrl,
      max: 1,
      connectionTimeoutMillis: TRANSACTION_WAIT_MS,
      application_name: 'drvs-flush',
    });
    this.#flusher.on('error', () => undefined);
  }

  as<T>(actor: Actor, work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#transaction(async (tx) => {
      await tx.$executeRaw`SELECT set_config('role', 'drvs_app', true), set_config('app.role', ${actor.role}, true),
        set_config('app.tenant', ${actor.tenantId ?? ''}, true)`;
      return work(tx);
    });
  }

  system<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#transaction(work);
  }

  /** One statement that only reads, bound by row-level security to what the actor may see. */
  read<Row extends pg.QueryResultRow>(actor: Actor, statement: Statement, values: unknown[]): Promise<Row[]> {
    return this.#reads.query<Row>(actor, statement, values);
  }

  /**
   * One statement that changes something, bound as those of `as`: it stands as a whole or not at all.
   *
   * It is on the disk when this resolves, but commits before that: the locks that it took (that of the audit's chain
   * orders all changes) are not held while the disk turns, and those who wait for the disk share one flush. What is
   * committed later is never on the disk without what was committed before.
   */
  async change<Row extends pg.QueryResultRow>(
    actor: Actor,
    statement: Statement,
    values: unknown[],
  ): Promise<Row[]> {
    const rows = await this.#changes.query<Row>(actor, statement, values);
    await this.#flushed.load('', null, '');
    return rows;
  }

  /** As `change`, by the system itself: bound by nothing but the constraints; done again after a deadlock. */
  async systemChange<Row extends pg.QueryResultRow>(statement: Statement, values: unknown[]): Promise<Row[]> {
    const query = { ...statement, values, query_timeout: ANSWER_WITHIN_MS };
    const { rows } = await retried(() => this.#systemChanges.query<Row>(query));
    await this.#flushed.load('', null, '');
    return rows;
  }

  /** One statement of the system itself, bound by nothing. */
  async readSystem<Row extends pg.QueryResultRow>(statement: Statement, values: unknown[]): Promise<Row[]> {
    const query = { ...statement, values, query_timeout: ANSWER_WITHIN_MS };
    return (await this.pool.query<Row>(query)).rows;
  }

  /** As `readSystem`, of a statement that has SNAPSHOT_COLUMN, and the moment of the ledger that it read at. */
  async readAtMoment<Row extends pg.QueryResultRow & { snapshot: string }>(
    statement: Statement,
    values: unknown[],
  ): Promise<{ rows: Row[]; moment: Moment }> {
    const askedAt = performance.now();
    const rows = await this.readSystem<Row>(statement, values);
    return { rows, moment: { snapshot: `${this.#connected}/${rows[0]?.snapshot}`, askedAt } };
  }

  /** Runs once the transaction has been committed, before its caller goes on; never when it was rolled back. */
  afterCommit(tx: Transaction, followUp: () => void | Promise<void>): void {
    const followUps = this.#followUps.get(tx);
    if (!followUps) throw new Error('afterCommit outside a transaction of Database');
    followUps.push(followUp);
  }

  async #transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return retried(async () => {
      const followUps: (() => void | Promise<void>)[] = [];
      const result = await this.unrestricted.$transaction(
        (tx) => {
          this.#followUps.set(tx, followUps);
          return work(tx);
        },
        { maxWait: TRANSACTION_WAIT_MS, timeout: TRANSACTION_TIMEOUT_MS },
      );
      for (const followUp of followUps) await followUp();
      return result;
    });
  }

  async ping(): Promise<void> {
    await this.pool.query('SELECT 1');
  }

  async onApplicationShutdown(): Promise<void> {
    await this.unrestricted.$disconnect();
    await this.#reads.end();
    await this.#changes.end();
    if (!this.#systemChanges.ended) await this.#systemChanges.end();
    if (!this.#flusher.ended) await this.#flusher.end();
    if (!this.pool.ended) await this.pool.end();
  }
}

/** Deadlocks and serialization failures are done again, a little later each time. */
async function retried<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt >= TRANSACTION_ATTEMPTS || !isRetryable(error)) throw error;
      await sleep(Math.random() * RETRY_BASE_MS * 2 ** attempt);
    }
  }
}
