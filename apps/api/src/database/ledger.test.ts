import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { startPostgres, type TestPostgres } from '../../../../test/support/postgres.js';
import { migrate } from './migrator.js';

let postgres: TestPostgres;
let db: pg.Client;
let node: string;
let tenant: string;

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(async () => {
  await db?.end();
  await postgres?.stop();
});
beforeEach(async () => {
  await db?.end();
  db = new pg.Client({ connectionString: await postgres.createDatabase() });
  await db.connect();
  node = (
    await db.query(
      `INSERT INTO node (name, credential_hash, inventory, agent_version) VALUES ('n1', 'h', '{}', '1') RETURNING id`,
    )
  ).rows[0].id;
  await db.query(
    `INSERT INTO inventory (node_id, class, total, reserved) VALUES
     ($1, 'cpuMilli', 1000, 100), ($1, 'memoryMiB', 1000, 0), ($1, 'diskGiB', 10, 0), ($1, 'networkMbps', 100, 0)`,
    [node],
  );
  tenant = (await db.query(`INSERT INTO tenant (name) VALUES ('t') RETURNING id`)).rows[0].id;
});

async function slice(name: string, cpuMilli: number, exclusive = false): Promise<string> {
  const drvm = (
    await db.query(`INSERT INTO drvm (tenant_id, name) VALUES ($1, $2) RETURNING id`, [tenant, name])
  ).rows[0].id;
  await db.query(
    `INSERT INTO slice (drvm_id, tenant_id, node_id, slice_index, cpu_milli, memory_mib, disk_gib, network_mbps, exclusive)
     VALUES ($1, $2, $3, 0, $4, 200, 1, 0, $5)`,
    [drvm, tenant, node, cpuMilli, exclusive],
  );
  return drvm;
}

async function given(name: string): Promise<number> {
  return (await db.query('SELECT used FROM inventory WHERE node_id = $1 AND class = $2', [node, name]))
    .rows[0].used;
}

describe('the ledger in the database', () => {
  it('counts what is given and gets it back, and moves its generation each time', async () => {
    const drvm = await slice('a', 400);
    expect([await given('cpuMilli'), await given('memoryMiB'), await given('diskGiB')]).toEqual([
      400, 200, 1,
    ]);
    await db.query('DELETE FROM drvm WHERE id = $1', [drvm]);
    expect([await given('cpuMilli'), await given('memoryMiB'), await given('diskGiB')]).toEqual([0, 0, 0]);
    const { rows } = await db.query(`SELECT generation FROM inventory WHERE class = 'cpuMilli'`);
    expect(rows[0].generation).toBe(3);
  });

  it('refuses a unit that is not there, and what is held back', async () => {
    await slice('a', 500);
    await expect(slice('b', 401)).rejects.toMatchObject({ code: 'DR001' });
    expect(await given('cpuMilli')).toBe(500);
  });

  it('lets an over-full node shrink and nothing grow on it', async () => {
    const drvm = await slice('a', 800);
    await db.query(`UPDATE inventory SET total = 300 WHERE class = 'cpuMilli'`);
    await db.query('UPDATE slice SET cpu_milli = 700 WHERE drvm_id = $1', [drvm]);
    expect(await given('cpuMilli')).toBe(700);
    await expect(
      db.query('UPDATE slice SET cpu_milli = 701 WHERE drvm_id = $1', [drvm]),
    ).rejects.toMatchObject({ code: 'DR001' });
  });

  it('keeps a node exclusive, both ways', async () => {
    const drvm = await slice('a', 100, true);
    await expect(slice('b', 100)).rejects.toMatchObject({ code: 'DR002' });
    await expect(slice('c', 100, true)).rejects.toMatchObject({ code: '23505' });
    await db.query('DELETE FROM drvm WHERE id = $1', [drvm]);
    await slice('d', 100);
    await expect(slice('e', 100, true)).rejects.toMatchObject({ code: 'DR002' });
  });

  it('is not to be written past', async () => {
    await slice('a', 100);
    await expect(db.query('UPDATE inventory SET used = 0')).rejects.toMatchObject({ code: 'DR003' });
    await db.query(
      `INSERT INTO node (name, credential_hash, inventory, agent_version) VALUES ('n2', 'h2', '{}', '1')`,
    );
    await expect(
      db.query(`UPDATE slice SET node_id = (SELECT id FROM node WHERE name = 'n2')`),
    ).rejects.toMatchObject({ code: 'DR003' });
    await expect(slice('tiny', 10)).rejects.toMatchObject({ code: '23514' });
    await expect(db.query(`DELETE FROM node WHERE name = 'n1'`)).rejects.toMatchObject({
      code: expect.stringMatching(/^23/),
    });
  });

  it('lets one operation of a DRVM, and one migration of a process, be under way', async () => {
    const drvm = await slice('a', 100);
    const start = (kind: string, params = '{}') =>
      db.query(
        `INSERT INTO operation (kind, subject, drvm_id, requested_by, params) VALUES ($1, 's', $2, 'u', $3)`,
        [kind, drvm, params],
      );
    await start('drvm.create');
    await expect(start('drvm.stop')).rejects.toMatchObject({ constraint: 'operation_one_per_drvm' });
    await start('process.migrate', '{"pid":7}');
    await start('process.migrate', '{"pid":8}');
    await expect(start('process.migrate', '{"pid":7}')).rejects.toMatchObject({
      constraint: 'operation_one_migration_per_process',
    });
    await db.query(`UPDATE operation SET state = 'succeeded', ended_at = now()`);
    await start('drvm.stop');
  });
});

describe('a database whose user is no superuser', () => {
  it('is brought to the newest migration all the same, and binds its users by row-level security', async () => {
    const url = new URL(await postgres.createEmptyDatabase());
    const admin = new pg.Client({ connectionString: url.href });
    await admin.connect();
    const name = `plain_${Date.now()}`;
    await admin.query(`CREATE ROLE ${name} LOGIN CREATEROLE PASSWORD 'x'`);
    await admin.query(`ALTER DATABASE "${url.pathname.slice(1)}" OWNER TO ${name}`);
    // As on a server of its own, where this user is the one who makes the role.
    await admin.query(`GRANT drvs_app TO ${name} WITH ADMIN TRUE, SET FALSE, INHERIT FALSE`);
    url.username = name;
    url.password = 'x';
    expect(await migrate(url.href)).not.toEqual([]);
    const client = new pg.Client({ connectionString: url.href });
    await client.connect();
    await client.query(`INSERT INTO tenant (name) VALUES ('a'), ('b')`);
    await client.query('BEGIN');
    await client.query(
      `SELECT set_config('role', 'drvs_app', true), set_config('app.role', 'member', true),
              set_config('app.tenant', (SELECT id::text FROM tenant WHERE name = 'a'), true)`,
    );
    expect((await client.query('SELECT name FROM tenant')).rows).toEqual([{ name: 'a' }]);
    await client.query('ROLLBACK');
    expect((await client.query('SELECT name FROM tenant')).rows).toHaveLength(2);
    await client.end();
    await admin.end();
  });
});
