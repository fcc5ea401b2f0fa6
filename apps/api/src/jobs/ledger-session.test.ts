import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { startPostgres, type TestPostgres } from '../../../../test/support/postgres.js';
import type { Config } from '../config/config.js';
import { LedgerSession } from './ledger-session.js';

let postgres: TestPostgres;
let databaseUrl: string;
const sessions: LedgerSession[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
  databaseUrl = await postgres.createDatabase();
});
afterAll(async () => postgres?.stop());
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.onApplicationShutdown();
});

async function open(): Promise<LedgerSession> {
  const session = new LedgerSession({ databaseUrl } as Config);
  await session.onModuleInit();
  sessions.push(session);
  return session;
}

describe('the locks of a session', () => {
  it('are had by one process, and by one in that process', async () => {
    const [one, other] = [await open(), await open()];
    expect(await Promise.all([one.tryLock('a'), one.tryLock('a')])).toEqual([true, false]);
    expect(await one.tryLock('a')).toBe(false);
    expect(await other.tryLock('a')).toBe(false);
    expect(await one.tryLock('b')).toBe(true);
    await one.unlock('a');
    expect(await other.tryLock('a')).toBe(true);
  });

  it('are kept by who leads, until it unlocks or ends', async () => {
    const [one, other] = [await open(), await open()];
    expect([await one.lead('a'), await one.lead('a'), await other.lead('a')]).toEqual([true, true, false]);
    await one.unlock('a');
    expect([await other.lead('a'), await one.lead('a')]).toEqual([true, false]);
    await other.onApplicationShutdown();
    expect(await one.lead('a')).toBe(true);
  });

  it('let work be done once at a time, and are free after it, also when it fails', async () => {
    const [one, other] = [await open(), await open()];
    const done: string[] = [];
    const [begun, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const working = one.alone('work', () => {
      begun.resolve();
      return held.promise;
    });
    await begun.promise;
    expect(await one.alone('work', async () => void done.push('again'))).toBe(false);
    expect(await other.alone('work', async () => void done.push('elsewhere'))).toBe(false);
    held.resolve();
    expect(await working).toBe(true);
    await expect(one.alone('work', () => Promise.reject(new Error('it broke')))).rejects.toThrow('it broke');
    expect(await other.alone('work', async () => void done.push('after'))).toBe(true);
    expect(done).toEqual(['after']);
  });
});
