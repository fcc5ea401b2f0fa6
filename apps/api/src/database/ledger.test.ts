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

describe('what is held now', () => {
  const held = async (name: string): Promise<number> =>
    (await db.query('SELECT held FROM inventory WHERE node_id = $1 AND class = $2', [node, name])).rows[0]
      .held;
  const change = (drvm: string, set: string) =>
    db.query(`UPDATE slice SET ${set} WHERE drvm_id = $1`, [drvm]);

  it('is what is guaranteed, until somebody borrows what is free', async () => {
    const drvm = await slice('a', 400);
    expect([await held('cpuMilli'), await held('memoryMiB')]).toEqual([400, 200]);
    await change(drvm, 'ceiling_cpu_milli = 2000, held_cpu_milli = 900');
    expect([await held('cpuMilli'), await given('cpuMilli')]).toEqual([900, 400]);
    await expect(change(drvm, 'held_cpu_milli = 901')).rejects.toMatchObject({ code: 'DR001' });
    await db.query('DELETE FROM drvm WHERE id = $1', [drvm]);
    expect(await held('cpuMilli')).toBe(0);
  });

  it('never passes the ceiling, nor falls below a guarantee of memory and disk', async () => {
    const drvm = await slice('a', 400);
    for (const wrong of [
      'held_cpu_milli = 401',
      'held_cpu_milli = 49',
      'held_memory_mib = 199',
      'held_disk_gib = 0',
      'ceiling_cpu_milli = 399',
      'ceiling_memory_mib = 10',
    ])
      await expect(change(drvm, wrong)).rejects.toMatchObject({ code: '23514' });
    await change(drvm, 'held_cpu_milli = 50');
    expect(await held('cpuMilli')).toBe(50);
  });

  it('gives way to a new or grown guarantee in the same transaction', async () => {
    const borrower = await slice('a', 100);
    await change(borrower, 'ceiling_cpu_milli = 900, held_cpu_milli = 900');
    const owner = await slice('b', 300);
    expect(await held('cpuMilli')).toBe(400);
    await change(borrower, 'held_cpu_milli = 600');
    await change(owner, 'cpu_milli = 800');
    expect([await held('cpuMilli'), await given('cpuMilli')]).toEqual([900, 900]);
    await expect(slice('c', 50)).rejects.toMatchObject({ code: 'DR001' });
  });

  it('is not set by hand, and follows a changed guarantee with the ceiling', async () => {
    const drvm = await slice('a', 400);
    await expect(db.query('UPDATE inventory SET held = 0')).rejects.toMatchObject({ code: 'DR003' });
    await change(drvm, 'cpu_milli = 500');
    const { rows } = await db.query('SELECT ceiling_cpu_milli, held_cpu_milli FROM slice');
    expect(rows).toEqual([{ ceiling_cpu_milli: 500, held_cpu_milli: 500 }]);
  });

  it('needs a newer specification whenever it changes, and the home is marked where it is', async () => {
    const drvm = await slice('a', 400);
    const now = async () =>
      (await db.query('SELECT spec_generation::int AS spec, is_home FROM slice')).rows[0];
    const before = await now();
    expect(before.is_home).toBe(true);
    await change(drvm, 'used_cpu_milli = 7');
    expect((await now()).spec).toBe(before.spec);
    await change(drvm, 'held_cpu_milli = 300');
    expect((await now()).spec).toBeGreaterThan(before.spec);
    await db.query('UPDATE drvm SET home_index = 5');
    expect((await now()).is_home).toBe(false);
  });
});
