/**
 * The data folder of a stack on one machine:
 *
 *     <data>/                 0711: others may pass (PostgreSQL and containers run as other users), not look
 *         stack.json          what was set up here; decides what a later `up` finds
 *         run.json            the processes that run now (see run-file.ts)
 *         secrets/            0700: database password, first administrator, API's key
 *         postgres/           the embedded PostgreSQL's cluster (elsewhere when its user cannot get here)
 *         api/                the API's files
 *         nodes/nodeN/        each agent's files
 *         log/                one log each
 *
 * It is opened before anything is touched: a folder that is damaged, from a later version, or somebody else's is
 * refused and left as it is.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, chmod, mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { Failure } from '../failure.js';

/** Grows when an older drvs could not work with the folder any more. */
export const DATA_FORMAT = 1;
const POSTGRES_MAJOR = '18';

const port = z.int().min(1).max(65_535);
const StackFile = z.object({
  format: z.literal(DATA_FORMAT),
  createdAt: z.iso.datetime(),
  port,
  portalPort: port.nullable(),
  nodes: z
    .array(
      z.object({
        name: z.string(),
        cpuMilli: z.int().min(1),
        memoryMiB: z.int().min(1),
        diskGiB: z.int().min(1),
      }),
    )
    .min(1),
  database: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('embedded'), folder: z.string(), port }),
    z.object({ kind: z.literal('external') }),
  ]),
  /** Set once it was made: a demo that its users removed is not made again. */
  demo: z.object({ drvm: z.string(), tenant: z.string() }).nullable(),
});
export type StackFile = z.infer<typeof StackFile>;

export interface DataFolder {
  root: string;
  stackFile: string;
  runFile: string;
  lockFile: string;
  secrets: string;
  bootstrapFile: string;
  databasePasswordFile: string;
  apiSecretFile: string;
  adminTokenFile: string;
  postgres: string;
  api: string;
  log: string;
  node(name: string): string;
  logOf(part: string): string;
}

export function dataFolder(path: string): DataFolder {
  const root = resolve(path);
  const secrets = join(root, 'secrets');
  return {
    root,
    stackFile: join(root, 'stack.json'),
    runFile: join(root, 'run.json'),
    lockFile: join(root, 'up.lock'),
    secrets,
    bootstrapFile: join(secrets, 'bootstrap.json'),
    databasePasswordFile: join(secrets, 'database-password'),
    apiSecretFile: join(secrets, 'api-key'),
    adminTokenFile: join(secrets, 'admin-token'),
    postgres: join(root, 'postgres'),
    api: join(root, 'api'),
    log: join(root, 'log'),
    node: (name) => join(root, 'nodes', name),
    logOf: (part) => join(root, 'log', `${part}.log`),
  };
}

const damaged = (folder: DataFolder, what: string, cause?: unknown): Failure =>
  new Failure('DataFolderDamaged', `the data folder ${folder.root} is damaged: ${what}`, {
    hint:
      'Nothing was changed. Restore it from a backup, or start anew in another folder (--data DIR), ' +
      'or give up what is in it: `./drvs down --purge`.',
    cause,
  });

/** What was set up in the folder; null when there is nothing yet. @throws Failure when it cannot be used */
export async function readStack(folder: DataFolder): Promise<StackFile | null> {
  let text: string;
  try {
    text = await readFile(folder.stackFile, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTDIR') throw notUsable(folder, 'something on its path is not a folder');
    if (code !== 'ENOENT') throw notUsable(folder, `stack.json cannot be read (${code})`);
    const found = await readdir(folder.root).catch((reason: NodeJS.ErrnoException) => {
      if (reason.code === 'ENOENT') return [];
      if (reason.code === 'ENOTDIR') throw notUsable(folder, 'it is not a folder');
      throw notUsable(folder, `it cannot be read (${reason.code})`);
    });
    const foreign = found.filter((name) => name !== 'up.lock');
    if (foreign.length === 0) return null;
    if (foreign.some((name) => ['postgres', 'secrets', 'nodes'].includes(name))) {
      throw damaged(folder, 'stack.json, which says what was set up in it, is missing');
    }
    throw new Failure(
      'NotADataFolder',
      `${folder.root} holds files that are not of a DRVS (${foreign[0]}, …)`,
      {
        hint: 'Nothing was changed. Name an empty or a new folder: --data DIR.',
      },
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw damaged(folder, 'stack.json is not JSON', error);
  }
  const format = (json as { format?: unknown } | null)?.format;
  if (typeof format === 'number' && format > DATA_FORMAT) {
    throw new Failure(
      'DataFolderNewer',
      `the data folder ${folder.root} was written by a later version (format ${format}; this one knows ${DATA_FORMAT})`,
      { hint: 'Nothing was changed. Update this checkout, or use another folder: --data DIR.' },
    );
  }
  const parsed = StackFile.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw damaged(
      folder,
      `stack.json is not as it was written (${issue?.path.join('.') || 'it'}: ${issue?.message})`,
    );
  }
  return parsed.data;
}

/** Looks at what a stack that was set up must still have. @throws Failure DataFolderDamaged */
export async function assertWhole(folder: DataFolder, stack: StackFile): Promise<void> {
  const { database } = stack;
  if (database.kind !== 'embedded') return;
  const wasSetUp = (await stat(folder.databasePasswordFile).catch(() => null)) !== null;
  const version = await readFile(join(database.folder, 'PG_VERSION'), 'utf8').catch(() => null);
  // Set up only in part: `up` was stopped between stack.json and the cluster, and takes it up again.
  if (version === null && (await stat(database.folder).catch(() => null)) === null && !wasSetUp) return;
  if (version === null)
    throw damaged(folder, `${database.folder} holds no PostgreSQL cluster (PG_VERSION is missing)`);
  if (version.trim() !== POSTGRES_MAJOR) {
    throw new Failure(
      'DataFolderNewer',
      `the PostgreSQL cluster in ${database.folder} is of version ${version.trim()}, not ${POSTGRES_MAJOR}`,
      { hint: 'Nothing was changed. Dump and load it, or use another folder: --data DIR.' },
    );
  }
  for (const file of ['global/pg_control', 'postgresql.conf', 'base']) {
    if ((await stat(join(database.folder, file)).catch(() => null)) === null) {
      throw damaged(folder, `${join(database.folder, file)} is missing`);
    }
  }
  if (!wasSetUp) throw damaged(folder, `${folder.databasePasswordFile} is missing`);
}

const notUsable = (folder: DataFolder, why: string): Failure =>
  new Failure('DataFolderUnusable', `the data folder ${folder.root} cannot be used: ${why}`, {
    hint: 'Nothing was changed. Name another folder: --data DIR.',
  });

/** Makes the folders (again) with the right modes. */
export async function makeFolders(folder: DataFolder): Promise<void> {
  try {
    await mkdir(folder.root, { recursive: true });
    await access(folder.root, constants.W_OK | constants.X_OK);
    await chmod(folder.root, 0o711);
    await mkdir(folder.secrets, { recursive: true, mode: 0o700 });
    await chmod(folder.secrets, 0o700);
    await mkdir(folder.log, { recursive: true, mode: 0o750 });
    await mkdir(folder.api, { recursive: true, mode: 0o700 });
    await mkdir(join(folder.root, 'nodes'), { recursive: true, mode: 0o711 });
  } catch (error) {
    throw notUsable(folder, (error as Error).message);
  }
}

export async function writeStack(folder: DataFolder, stack: StackFile): Promise<void> {
  await writeDurably(folder.stackFile, `${JSON.stringify(stack, null, 2)}\n`, 0o644);
}

/** Whole or not at all: written beside, then renamed. */
export async function writeDurably(path: string, text: string, mode: number): Promise<void> {
  const part = join(dirname(path), `.${randomBytes(4).toString('hex')}.part`);
  await writeFile(part, text, { mode, flush: true });
  await rename(part, path);
}
