import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DrvsError } from '@drvs/contracts';
import pg from 'pg';

/** Both apps/api/src/database and apps/api/dist/database are four folders below the root. */
const MIGRATIONS_FOLDER = fileURLToPath(new URL('../../../../prisma/migrations', import.meta.url));
/** The lock that `prisma migrate` takes too, so that the two never run at once. */
const MIGRATION_LOCK = 72_707_369;
const MIN_SERVER_VERSION = 150_000;

interface AppliedMigration {
  migration_name: string;
  checksum: string;
  finished_at: Date | null;
}

async function migrationsIn(folder: string): Promise<{ name: string; sql: string; checksum: string }[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return Promise.all(
    names.sort().map(async (name) => {
      const sql = await readFile(join(folder, name, 'migration.sql'), 'utf8');
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}

/**
 * Brings the database to the newest migration; several processes may call it at once. Each migration is one
 * transaction, recorded in Prisma's own table, so that `prisma migrate deploy` goes on from here and the other way.
 * @returns the names of the migrations that were applied now.
 * @throws DrvsError StateConflict when the database is newer than the program, or an applied migration was edited.
 */
export async function migrate(databaseUrl: string, folder = MIGRATIONS_FOLDER): Promise<string[]> {
  const wanted = await migrationsIn(folder);
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 10_000 });
  await client.connect().catch((cause: unknown) => {
    const { message, code } = cause as { message: string; code?: string };
    const { host, pathname } = new URL(databaseUrl);
    throw new DrvsError(
      'StateConflict',
      `PostgreSQL does not let us in at ${host}${pathname}: ${message || code}`,
      {
        hint: 'See that the server runs, and that DATABASE_URL names a database, a user and a password that it knows.',
        cause,
      },
    );
  });
  try {
    const version = Number((await client.query('SHOW server_version_num')).rows[0].server_version_num);
    if (version < MIN_SERVER_VERSION) {
      throw new DrvsError('StateConflict', `PostgreSQL ${Math.floor(version / 10_000)} is too old`, {
        hint: 'DRVS needs PostgreSQL 15 or newer: name such a server in DATABASE_URL.',
      });
    }
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await client.query(`CREATE TABLE IF NOT EXISTS "_prisma_migrations" (
      "id" VARCHAR(36) PRIMARY KEY NOT NULL, "checksum" VARCHAR(64) NOT NULL, "finished_at" TIMESTAMPTZ,
      "migration_name" VARCHAR(255) NOT NULL, "logs" TEXT, "rolled_back_at" TIMESTAMPTZ,
      "started_at" TIMESTAMPTZ NOT NULL DEFAULT now(), "applied_steps_count" INTEGER NOT NULL DEFAULT 0)`);
    const { rows } = await client.query<AppliedMigration>(
      'SELECT migration_name, checksum, finished_at FROM "_prisma_migrations" WHERE rolled_back_at IS NULL',
    );
    const applied = new Map(rows.map((row) => [row.migration_name, row]));
    for (const row of rows) refuseForeign(row, wanted);
    const done: string[] = [];
    for (const migration of wanted.filter(({ name }) => !applied.has(name))) {
      await apply(client, migration);
      done.push(migration.name);
    }
    return done;
  } finally {
    await client.end();
  }
}

function refuseForeign(row: AppliedMigration, wanted: { name: string; checksum: string }[]): void {
  const name = row.migration_name;
  const ours = wanted.find((migration) => migration.name === name);
  if (!ours) {
    throw new DrvsError(
      'StateConflict',
      `the database has the migration ${name}, which this version does not know`,
      {
        hint: 'A newer version of DRVS has used this database: start that version, or restore a backup.',
      },
    );
  }
  if (row.finished_at === null) {
    throw new DrvsError('StateConflict', `the migration ${name} was begun and not finished`, {
      hint: `Repair the database, then mark it with \`prisma migrate resolve --rolled-back ${name}\` and start again.`,
    });
  }
  if (row.checksum !== ours.checksum) {
    throw new DrvsError('StateConflict', `the migration ${name} was edited after it had been applied`, {
      hint: 'Restore the file prisma/migrations/*/migration.sql as released; changes go into a new migration.',
    });
  }
}

async function apply(
  client: pg.Client,
  migration: { name: string; sql: string; checksum: string },
): Promise<void> {
  try {
    await client.query('BEGIN');
    await client.query(migration.sql);
    await client.query(
      `INSERT INTO "_prisma_migrations" (id, checksum, migration_name, finished_at, applied_steps_count)
       VALUES ($1, $2, $3, clock_timestamp(), 1)`,
      [randomUUID(), migration.checksum, migration.name],
    );
    await client.query('COMMIT');
  } catch (cause) {
    await client.query('ROLLBACK');
    const { message, hint } = cause as { message: string; hint?: string };
    throw new DrvsError('StateConflict', `the migration ${migration.name} was not applied: ${message}`, {
      hint: hint ?? 'The database is as it was before.',
      cause,
    });
  }
}
