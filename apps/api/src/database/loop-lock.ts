import type { Database } from './database.js';

/**
 * Does the work in this process while no other process does it under the same name; else does nothing. The lock ends
 * with its connection, so a process that dies leaves none behind.
 */
export async function onlyHere(
  database: Database,
  name: string,
  work: () => Promise<void>,
): Promise<boolean> {
  const client = await database.pool.connect();
  let isBroken = false;
  try {
    const { rows } = await client.query<{ taken: boolean }>(
      'SELECT pg_try_advisory_lock(hashtext($1), hashtext(current_schema())) AS taken',
      [name],
    );
    if (!rows[0]?.taken) return false;
    try {
      await work();
      return true;
    } finally {
      await client
        .query('SELECT pg_advisory_unlock(hashtext($1), hashtext(current_schema()))', [name])
        .catch(() => {
          isBroken = true;
        });
    }
  } finally {
    client.release(isBroken);
  }
}
