import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { startPostgres, type TestPostgres } from '../../../../test/support/postgres.js';
import { migrate } from './migrator.js';

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

async function folderOf(migrations: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'drvs-migrations-'));
  for (const [name, sql] of Object.entries(migrations)) {
    await mkdir(join(folder, name));
    await writeFile(join(folder, name, 'migration.sql'), sql);
  }
  return folder;
}

describe('the migrator', () => {
  it('applies what is missing once, also when several processes start at the same moment', async () => {
    const url = await postgres.createEmptyDatabase();
    const applied = await Promise.all([migrate(url), migrate(url), migrate(url)]);
    expect(applied.map((names) => names.length).sort()).toEqual([0, 0, expect.any(Number)]);
    expect(applied.flat().length).toBeGreaterThan(0);
    expect(await migrate(url)).toEqual([]);
  });

  it('leaves the database as it was when a migration fails half way', async () => {
    const url = await postgres.createEmptyDatabase();
    const folder = await folderOf({
      '1_a': 'CREATE TABLE a (x int)',
      '2_b': 'CREATE TABLE b (x int); SELECT 1/0',
    });
    await expect(migrate(url, folder)).rejects.toMatchObject({ code: 'StateConflict' });
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const tables = await client.query(`SELECT to_regclass('a') AS a, to_regclass('b') AS b`);
    expect(tables.rows[0]).toEqual({ a: 'a', b: null });
    await client.end();
    await rm(folder, { recursive: true });
  });

  it('refuses a database whose migrations it does not know or that were edited', async () => {
    const url = await postgres.createEmptyDatabase();
    const first = await folderOf({ '1_a': 'CREATE TABLE a (x int)' });
    const edited = await folderOf({ '1_a': 'CREATE TABLE a (y int)' });
    const other = await folderOf({ '1_z': 'SELECT 1' });
    await migrate(url, first);
    await expect(migrate(url, edited)).rejects.toThrow('edited');
    await expect(migrate(url, other)).rejects.toThrow('does not know');
    for (const folder of [first, edited, other]) await rm(folder, { recursive: true });
  });
});
