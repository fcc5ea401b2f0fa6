import { randomUUID } from 'node:crypto';
import { NODE_DOWN_AFTER_MS } from '@drvs/contracts';
import { Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { Database } from '../database/database.js';
import { Recurring } from '../jobs/recurring.js';

const SEEN_EVERY_MS = 2_000;
/** A process that has not said for so long that it lives does not. */
const GONE_AFTER_MS = 10_000;
/** When for so long no process has lived, nobody has heard the agents. */
const NOBODY_AFTER_MS = 3 * SEEN_EVERY_MS;
/** After a time in which nobody heard them, agents have so long to connect again until their silence is their own. */
const RECONNECT_MS = 15_000;
const ROWS_KEPT_MS = 86_400_000;

/**
 * The API processes that work on this ledger. Each tells every two seconds that it lives.
 *
 * The first one after a time without any (a restart, a crash) excuses the silence of the agents: a node that was heard
 * until then counts as heard until RECONNECT_MS from now, and what it was before it stays. Silence of before that was a
 * node's own is not excused.
 */
@Injectable()
export class ApiProcesses implements OnModuleInit, OnApplicationShutdown {
  readonly id = randomUUID();
  readonly #logger = new Logger('Processes');
  readonly #signs = new Recurring(
    SEEN_EVERY_MS,
    () => this.#sign(),
    (error) => this.#logger.warn(error.message),
  );
  readonly #gone: ((id: string) => void)[] = [];

  constructor(private readonly database: Database) {}

  async onModuleInit(): Promise<void> {
    const excused = await this.database.system(async (tx) => {
      await tx.$queryRaw`SELECT 1 AS locked FROM (SELECT pg_advisory_xact_lock(hashtext('drvs.api-processes'))) AS lock`;
      // A node that was heard proves that somebody heard it.
      const [last] = await tx.$queryRaw<{ lived_at: Date | null; away_ms: number | null }[]>`
        SELECT lived_at, extract(epoch FROM now() - lived_at)::float8 * 1000 AS away_ms FROM (
          SELECT greatest((SELECT max(seen_at) FROM api_process), (SELECT max(last_seen_at) FROM node)) AS lived_at
        ) AS life`;
      await tx.$executeRaw`INSERT INTO api_process (id) VALUES (${this.id}::uuid)`;
      await tx.$executeRaw`DELETE FROM api_process
        WHERE seen_at < now() - make_interval(secs => ${ROWS_KEPT_MS / 1_000}::float8) AND id <> ${this.id}::uuid`;
      if (!last?.lived_at || last.away_ms === null || last.away_ms < NOBODY_AFTER_MS) return 0;
      return tx.$executeRaw`UPDATE node
        SET heard_at = coalesce(heard_at, last_seen_at),
          last_seen_at = now() + make_interval(secs => ${(RECONNECT_MS - NODE_DOWN_AFTER_MS) / 1_000}::float8)
        WHERE last_seen_at >= ${last.lived_at}::timestamptz - make_interval(secs => ${NODE_DOWN_AFTER_MS / 1_000}::float8)
          AND last_seen_at < now() AND wanted_state <> 'off'`;
    });
    if (excused > 0)
      this.#logger.log(
        `${excused} nodes could not be heard; they have ${RECONNECT_MS / 1_000} s to connect again`,
      );
    this.#signs.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#signs.stop();
    await this.database.pool
      .query('UPDATE api_process SET seen_at = now(), ended_at = now() WHERE id = $1', [this.id])
      .catch(() => undefined);
  }

  /** Called with each process that has ended, or has not said for a while that it lives; more than once. */
  onGone(listener: (id: string) => void): void {
    this.#gone.push(listener);
  }

  async #sign(): Promise<void> {
    await this.database.pool.query(
      `INSERT INTO api_process (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET seen_at = now()`,
      [this.id],
    );
    const { rows } = await this.database.pool.query<{ id: string }>(
      `SELECT id::text FROM api_process WHERE ended_at IS NOT NULL OR seen_at < now() - make_interval(secs => $1)`,
      [GONE_AFTER_MS / 1_000],
    );
    for (const { id } of rows) for (const listener of this.#gone) listener(id);
  }

  /** The process that holds the channel of a node's agent; null when none that lives does. */
  async holderOf(nodeId: string): Promise<string | null> {
    const { rows } = await this.database.pool.query<{ id: string }>(
      `SELECT p.id::text FROM agent_channel c JOIN api_process p ON p.id = c.process_id
       WHERE c.node_id = $1 AND p.ended_at IS NULL AND p.seen_at >= now() - make_interval(secs => $2)`,
      [nodeId, GONE_AFTER_MS / 1_000],
    );
    return rows[0]?.id ?? null;
  }

  /** This process holds the channel now. */
  async hold(nodeId: string): Promise<void> {
    await this.database.pool.query(
      `INSERT INTO agent_channel (node_id, process_id) SELECT id, $2 FROM node WHERE id = $1
       ON CONFLICT (node_id) DO UPDATE SET process_id = EXCLUDED.process_id`,
      [nodeId, this.id],
    );
  }

  /** It holds it no more; another may have taken it meanwhile. */
  async letGo(nodeId: string): Promise<void> {
    await this.database.pool.query('DELETE FROM agent_channel WHERE node_id = $1 AND process_id = $2', [
      nodeId,
      this.id,
    ]);
  }
}
