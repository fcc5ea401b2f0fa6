import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { startPostgres, type TestPostgres } from '../../../../test/support/postgres.js';
import { Prisma } from '../gen/client.js';
import { columnsOf } from './columns.js';

let postgres: TestPostgres;
let client: pg.Client;
beforeAll(async () => {
  postgres = await startPostgres();
  client = new pg.Client({ connectionString: await postgres.createDatabase() });
  await client.connect();
});
afterAll(async () => {
  await client?.end();
  await postgres?.stop();
});

describe('the columns of statements written by hand', () => {
  it.each([
    ['drvm', Prisma.DrvmScalarFieldEnum],
    ['slice', Prisma.SliceScalarFieldEnum],
    ['node', Prisma.NodeScalarFieldEnum],
    ['inventory', Prisma.InventoryScalarFieldEnum],
    ['tenant', Prisma.TenantScalarFieldEnum],
  ])('are those that the table %s has, under the names of the fields', async (table, fields) => {
    const { fields: found } = await client.query(
      `SELECT ${columnsOf(table, 'x', Object.keys(fields))} FROM ${table} x`,
    );
    expect(found.map(({ name }) => name)).toEqual(Object.keys(fields));
  });
});
