// A PostgreSQL of the benchmark's own, as `./drvs up` would run it: it writes to the disk before it says so.
import { execFile, spawn } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { preparePostgres } from '../../../apps/cli/dist/stack/postgres.js';
import { freePort } from './ports.mjs';

const run = promisify(execFile);
const START_WITHIN_MS = 30_000;

/** @returns {Promise<{ url: string, port: number, stop(): Promise<void> }>} the superuser is `drvs` and needs no password */
export async function startPostgres() {
  const { bin, user } = await preparePostgres();
  const folder = await mkdtemp(join(tmpdir(), 'drvs-bench-postgres-'));
  await chmod(folder, 0o755);
  const data = join(folder, 'data');
  await mkdir(data, { mode: 0o700 });
  if (user) await chown(data, user.uid, user.gid);
  const as = {
    ...(user ? { uid: user.uid, gid: user.gid } : {}),
    cwd: '/',
    env: { LC_ALL: 'C', PATH: process.env.PATH },
  };
  await run(
    join(bin, 'initdb'),
    ['--pgdata', data, '--username', 'drvs', '--auth', 'trust', '--encoding', 'UTF8', '--locale', 'C'],
    as,
  );
  const port = await freePort();
  const settings = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: 200,
    shared_buffers: '128MB',
  };
  const child = spawn(
    join(bin, 'postgres'),
    [
      '-D',
      data,
      '-p',
      String(port),
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    { ...as, stdio: 'ignore' },
  );
  const gone = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    child.kill('SIGINT');
    await gone;
    await rm(folder, { recursive: true, force: true });
  };
  process.once('exit', () => child.kill('SIGINT'));
  const url = `postgresql://drvs@127.0.0.1:${port}/postgres`;
  for (const until = Date.now() + START_WITHIN_MS; ; ) {
    const client = new pg.Client({ connectionString: url });
    try {
      await client.connect();
      await client.query('CREATE DATABASE drvs');
      await client.end();
      return { url: url.replace(/postgres$/, 'drvs'), port, stop };
    } catch (error) {
      if (child.exitCode !== null || Date.now() > until) {
        await stop();
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
