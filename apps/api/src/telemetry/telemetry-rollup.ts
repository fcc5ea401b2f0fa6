import { Injectable, Logger } from '@nestjs/common';
import type { PoolClient } from 'pg';
import { Database } from '../database/database.js';
import { Recurring } from '../jobs/recurring.js';
import { RecurringService } from '../jobs/recurring-service.js';
import { COLUMNS, RESOLUTIONS, type Resolution } from './resolutions.js';

const EVERY_MS = 5_000;
/** Cuts are made and dropped this often; they are made ahead for longer. */
const CUT_EVERY_MS = 60_000;
/** So much is made up at once when nobody made it for long: then the next part, at the next look. */
const MOST_STEPS_AT_ONCE = 720;
const LOCK = `SELECT pg_try_advisory_xact_lock(hashtext('drvs.telemetry')) AS taken`;

/** Makes the coarser resolutions from the finer ones, in the database, and sees to the cuts of the tables. */
@Injectable()
export class TelemetryRollup extends RecurringService {
  readonly #logger = new Logger('Telemetry');
  protected readonly rounds = new Recurring(
    EVERY_MS,
    () => this.run(),
    ({ message }) => this.#logger.warn(`telemetry is not rolled up: ${message}`),
  );
  #cutAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly database: Database) {
    super();
  }

  /** The first sample finds its cut made. */
  override async onApplicationBootstrap(): Promise<void> {
    await this.rounds.now();
    super.onApplicationBootstrap();
  }

  /** One process at a time; another one that has begun does it for all. */
  async run(): Promise<void> {
    const isCutTime = performance.now() - this.#cutAt >= CUT_EVERY_MS;
    const client = await this.database.pool.connect();
    try {
      await client.query('BEGIN');
      const { rows } = await client.query<{ taken: boolean }>(LOCK);
      if (rows[0]?.taken) {
        if (isCutTime) await this.#cut(client);
        for (const [index, coarse] of RESOLUTIONS.entries())
          if (index > 0) await this.#roll(client, RESOLUTIONS[index - 1]!, coarse);
      }
      await client.query('COMMIT');
      if (isCutTime) this.#cutAt = performance.now();
    } catch (error) {
      await client.query('ROLLBACK').catch(() => undefined);
      throw error;
    } finally {
      client.release();
    }
  }

  async #cut(client: PoolClient): Promise<void> {
    for (const { table, cutSeconds, cutsAhead, keptSeconds, logged } of RESOLUTIONS) {
      await client.query(
        `SELECT telemetry_cut($1, now(), make_interval(secs => $2), $3, now() - make_interval(secs => $4), $5)`,
        [table, cutSeconds, cutsAhead, keptSeconds, logged],
      );
    }
  }

  /** The steps that are whole and were not made yet. Means are weighted by the samples behind them. */
  async #roll(client: PoolClient, fine: Resolution, coarse: Resolution): Promise<void> {
    const { rows } = await client.query<{ from: Date; to: Date }>(
      `WITH bounds AS (
         SELECT date_bin(make_interval(secs => $2), now() - make_interval(secs => $3), 'epoch') AS whole,
           date_bin(make_interval(secs => $2), now() - make_interval(secs => $4), 'epoch') AS oldest
       ), progress AS (
         SELECT greatest(b.oldest, least(b.whole, coalesce(
           (SELECT upto FROM telemetry_progress WHERE resolution = $1), b.oldest))) AS "from", b.whole FROM bounds b
       )
       SELECT "from", least(whole, "from" + make_interval(secs => $5)) AS "to" FROM progress`,
      [
        coarse.name,
        coarse.seconds,
        coarse.settleSeconds,
        fine.keptSeconds,
        MOST_STEPS_AT_ONCE * coarse.seconds,
      ],
    );
    const range = rows[0]!;
    if (range.from.getTime() < range.to.getTime()) {
      await client.query(rollUp(fine, coarse), [range.from, range.to, coarse.seconds]);
    }
    await client.query(
      `INSERT INTO telemetry_progress (resolution, upto) VALUES ($1, $2)
       ON CONFLICT (resolution) DO UPDATE SET upto = EXCLUDED.upto`,
      [coarse.name, range.to],
    );
  }
}

function rollUp(fine: Resolution, coarse: Resolution): string {
  const isFinest = fine.seconds === 1;
  const samples = isFinest ? 'count(*)' : 'sum(samples)';
  const columns = COLUMNS.map((column) =>
    isFinest
      ? `avg("${column}"), max("${column}")`
      : `sum("${column}" * samples) / sum(samples), max("${column}_max")`,
  );
  const names = COLUMNS.map((column) => `"${column}", "${column}_max"`);
  return `INSERT INTO ${coarse.table} (at, subject, samples, ${names.join(', ')})
    SELECT date_bin(make_interval(secs => $3), at, 'epoch'), subject, ${samples}, ${columns.join(', ')}
    FROM ${fine.table} WHERE at >= $1 AND at < $2 GROUP BY 1, 2`;
}
