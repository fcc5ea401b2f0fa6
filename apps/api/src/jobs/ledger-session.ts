import { EventEmitter, once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { DrvsError } from '@drvs/contracts';
import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  Logger,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import pg from 'pg';
import { CONFIG, type Config } from '../config/config.js';

const CHANNELS = ['drvs_operation', 'drvs_event', 'drvs_job', 'drvs_frame'] as const;
export type LedgerChannel = (typeof CHANNELS)[number];
const RECONNECT_MS = 1_000;
const TRY_LOCK = `SELECT pg_try_advisory_lock(hashtext('drvs.session'), hashtext($1)) AS taken`;
const TELL = 'SELECT pg_notify($1, $2)';
const UNLOCK = `SELECT pg_advisory_unlock(hashtext('drvs.session'), hashtext($1)) AS taken`;

/**
 * One long connection to PostgreSQL, for what lives as long as this process:
 * - Notices: what any API process changed in the ledger is told (LISTEN), so that waiting requests and subscriptions
 *   wake at once. A notice is only a hint to look: while the connection is away none come, so whoever waits also looks
 *   by itself now and then.
 * - Locks: advisory locks of this session. PostgreSQL frees them when the process dies, however it dies.
 */
@Injectable()
export class LedgerSession implements OnModuleInit, BeforeApplicationShutdown, OnApplicationShutdown {
  readonly #logger = new Logger('Ledger');
  readonly #emitter = new EventEmitter().setMaxListeners(0);
  readonly #stop = new AbortController();
  readonly #closing = new AbortController();
  readonly #locks = new Set<string>();
  readonly #asking = new Set<string>();
  #client: pg.Client | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #supervisor: Promise<void> = Promise.resolve();

  constructor(@Inject(CONFIG) private readonly config: Config) {}

  async onModuleInit(): Promise<void> {
    this.#client = await this.#connect();
    this.#supervisor = this.#superviseConnection(this.#client);
  }

  /** Requests that wait would keep the server from closing. */
  beforeApplicationShutdown(): void {
    this.#closing.abort(
      new DrvsError('NodeUnreachable', 'The API is going down', { hint: 'Ask again in a moment.' }),
    );
  }

  async onApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#client?.end().catch(() => undefined);
    await this.#supervisor;
  }

  /** Tells all API processes, this one too; nobody while the connection is away. */
  async tell(channel: LedgerChannel, id: string): Promise<void> {
    const told = this.#last.then(() => this.#client?.query(TELL, [channel, id]));
    this.#last = told.catch(() => undefined);
    await told;
  }

  /** Calls the listener with each notice of a channel. */
  onTold(channel: LedgerChannel, listener: (id: string) => void): void {
    this.#emitter.on(channel, listener);
  }

  /** Resolves at the next notice about `id`, or after `ms`; rejects when `signal` aborts. */
  next(channel: LedgerChannel, id: string, ms: number, signal: AbortSignal): Promise<void> {
    return this.#next(`${channel}/${id}`, ms, signal);
  }

  /** Resolves at the next notice of a channel, or after `ms`; rejects when `signal` aborts. */
  nextOf(channel: LedgerChannel, ms: number, signal: AbortSignal): Promise<void> {
    return this.#next(channel, ms, signal);
  }

  async #next(name: string, ms: number, signal: AbortSignal): Promise<void> {
    const end = new AbortController();
    const either = AbortSignal.any([signal, end.signal, this.#closing.signal]);
    try {
      await Promise.race([
        once(this.#emitter, name, { signal: either }),
        delay(Math.max(1, ms), undefined, { signal: either }),
      ]);
    } catch (error) {
      this.#closing.signal.throwIfAborted();
      throw error;
    } finally {
      end.abort();
    }
  }

  /**
   * Takes a lock of this session; false when somebody holds it, in this process or in another. Locks are taken anew
   * when the connection was lost; in that moment another process may get one of them.
   */
  async tryLock(name: string): Promise<boolean> {
    // PostgreSQL gives a session the lock that it holds a second time.
    if (this.#locks.has(name) || this.#asking.has(name)) return false;
    this.#asking.add(name);
    try {
      const isTaken = await this.#ask(TRY_LOCK, name);
      if (isTaken) this.#locks.add(name);
      return isTaken;
    } finally {
      this.#asking.delete(name);
    }
  }

  /** Whether this process has the lock, or gets it now: whoever asks first has it until it unlocks, or ends. */
  async lead(name: string): Promise<boolean> {
    return this.#locks.has(name) || this.tryLock(name);
  }

  /** Does the work while nobody else does it under this name; false, and nothing is done, when somebody does. */
  async alone(name: string, work: () => Promise<void>): Promise<boolean> {
    if (!(await this.tryLock(name))) return false;
    try {
      await work();
    } finally {
      await this.unlock(name);
    }
    return true;
  }

  async unlock(name: string): Promise<void> {
    if (!this.#locks.delete(name)) return;
    await this.#ask(UNLOCK, name);
  }

  /** One statement after another: a connection does one at a time. False without a connection. */
  #ask(text: string, name: string): Promise<boolean> {
    const answer = this.#last.then(async () => {
      const found = await this.#client?.query<{ taken: boolean }>(text, [name]);
      return found?.rows[0]?.taken ?? false;
    });
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  async #connect(): Promise<pg.Client> {
    const client = new pg.Client({
      connectionString: this.config.databaseUrl,
      application_name: 'drvs-session',
      keepAlive: true,
    });
    client.on('error', () => undefined);
    client.on('notification', ({ channel, payload }) => {
      this.#emitter.emit(channel, payload);
      this.#emitter.emit(`${channel}/${payload}`);
    });
    await client.connect();
    for (const channel of CHANNELS) await client.query(`LISTEN ${channel}`);
    for (const name of this.#locks) await client.query(TRY_LOCK, [name]);
    return client;
  }

  async #superviseConnection(first: pg.Client): Promise<void> {
    for (let client: pg.Client = first; ; ) {
      await new Promise<void>((resolve) => client.once('end', resolve));
      for (;;) {
        if (this.#stop.signal.aborted) return;
        this.#logger.warn('the session with the database was lost; connecting again');
        await delay(RECONNECT_MS, undefined, { signal: this.#stop.signal }).catch(() => undefined);
        try {
          client = await this.#connect();
          break;
        } catch (error) {
          this.#logger.warn((error as Error).message);
        }
      }
      this.#client = client;
      if (this.#stop.signal.aborted) await client.end();
    }
  }
}
