/**
 * `drvs up`: looks first and changes nothing until it is known that it can work; then builds, prepares the database,
 * leaves the supervisor behind and waits until every part is healthy.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { dirname } from 'node:path';
import type { DrvmView } from '@drvs/contracts';
import { ApiClient } from '../api/client.js';
import { writeConfig } from '../config-file.js';
import { EXIT_INTERRUPTED, Exit, Failure, usage } from '../failure.js';
import type { Progress } from '../output/progress.js';
import type { Shell } from '../shell.js';
import {
  assertWhole,
  DATA_FORMAT,
  type DataFolder,
  dataFolder,
  makeFolders,
  readStack,
  type StackFile,
  writeDurably,
  writeStack,
} from './data-folder.js';
import { DEMO_DRVM, DEMO_TENANT, keepDemo, makeDemo } from './demo.js';
import { stopStack } from './down.js';
import { takeLock } from './lock.js';
import { openLog, tail } from './log-file.js';
import { adminToken, readBootstrap, STACK_MARK, setAdminToken, urlOf } from './parts.js';
import { freePort, holderOf, portNear, whyNotFree } from './ports.js';
import { clusterFolder, findPostmaster, initialise, isInitialised, preparePostgres } from './postgres.js';
import { endProcess, isAlive, type ProcessIdentity } from './process-identity.js';
import { programs } from './repository.js';
import { isSupervised, liveProcessOf, type RunFile, readRunFile } from './run-file.js';
import { NODES_MAX, shareOf } from './shares.js';
import { type StackStatus, statusOf } from './status.js';

export interface UpOptions {
  nodes?: number;
  port?: number;
  data: string;
  demo: boolean;
  portal: boolean;
}

export interface UpResult extends StackStatus {
  user: string | null;
  /** Only when it is shown for the first time. */
  password: string | null;
  /** Whether it ran before. */
  wasRunning: boolean;
  data: string;
}

const DEFAULT_PORT = 3000;
const DEFAULT_NODES = 3;
/** Every part has its own limits; this is for all of them together. */
const HEALTHY_WITHIN_MS = 240_000;
const SUPERVISOR_WITHIN_MS = 15_000;
const OTHER_UP_POLL_MS = 300;
/** Longer, and `up` says which DRVMs are not back: they may need more than time. */
const DRVMS_WITHIN_MS = 60_000;
const DRVMS_POLL_MS = 250;

export async function up(shell: Shell, root: string, options: UpOptions): Promise<UpResult> {
  const folder = dataFolder(options.data);
  const lock = await waitForLock(shell, folder);
  try {
    return await upLocked(shell, root, folder, options);
  } finally {
    await lock.release();
  }
}

/** Two `up` at a time on one folder: the second waits for the first, and finds it running. */
async function waitForLock(shell: Shell, folder: DataFolder) {
  for (let isFirst = true; ; isFirst = false) {
    const lock = await takeLock('up', folder.root);
    if (lock) return lock;
    if (isFirst) shell.note(`another \`drvs up\` is starting ${folder.root}; waiting for it`);
    await new Promise((resolve) => setTimeout(resolve, OTHER_UP_POLL_MS));
  }
}

async function upLocked(
  shell: Shell,
  root: string,
  folder: DataFolder,
  options: UpOptions,
): Promise<UpResult> {
  const run = readRunFile(folder);
  if (isSupervised(run) && run.state !== 'stopping') {
    if (run.state === 'failed') await stopStack(root, folder, (text) => shell.note(text));
    else return joinRunning(shell, folder, run, options);
  }
  if (isSupervised(run) && run.state === 'stopping') {
    shell.note('it is being stopped; waiting for that');
    await stopStack(root, folder, () => undefined);
  }

  const found = await readStack(folder);
  if (found) await assertWhole(folder, found);
  await assertSetting(folder, found, options, shell.env.DATABASE_URL || null);
  const port = options.port ?? found?.port ?? DEFAULT_PORT;
  await assertPortFree(port, found, run);
  const planned = found ?? (await newStack(folder, options, port, Boolean(shell.env.DATABASE_URL)));

  // From here on something is changed.
  await makeFolders(folder);
  let stack = await settle(planned, port, run);
  await writeStack(folder, stack);
  await build(shell, root, options);
  if (stack.database.kind === 'embedded') {
    const { database } = stack;
    const program = await preparePostgres();
    const wanted = isInitialised(database.folder)
      ? database.folder
      : await clusterFolder(folder.postgres, program.user);
    if (wanted !== database.folder) {
      stack = { ...stack, database: { ...database, folder: wanted } };
      await writeStack(folder, stack);
    }
    if (!isInitialised(wanted)) {
      shell.note('making the PostgreSQL cluster');
      await initialise(program, wanted, folder.databasePasswordFile);
    }
  }
  if (shell.env.DRVS_TOKEN && stack.database.kind === 'external')
    await setAdminToken(folder, shell.env.DRVS_TOKEN);

  using _ = shell.interrupts.take((_signal, count) => {
    if (count > 1) shell.exit(EXIT_INTERRUPTED);
    shell.note('\ninterrupted: stopping what was started');
    void stopStack(root, folder, (text) => shell.note(text)).finally(() => shell.exit(EXIT_INTERRUPTED));
  });
  const supervisor = await startSupervisor(root, folder, options);
  await waitUntilHealthy(shell, root, folder, supervisor);
  return finish(shell, root, folder, stack, options);
}

async function joinRunning(
  shell: Shell,
  folder: DataFolder,
  run: RunFile,
  options: UpOptions,
): Promise<UpResult> {
  const found = await readStack(folder);
  if (options.port !== undefined && found !== null && options.port !== found.port) {
    throw new Failure('StateConflict', `it runs already, at ${run.url}`, {
      hint: `To have it on port ${options.port}: ./drvs down, then ./drvs up --port ${options.port}.`,
    });
  }
  if (found) await assertSetting(folder, found, options, found.database.kind === 'external' ? '' : null);
  if (run.state === 'starting') await waitUntilHealthy(shell, '', folder, run.supervisor);
  const token = await adminToken(folder);
  if (token !== null) await writeConfig(shell.env, { url: run.url, token });
  const bootstrap = await readBootstrap(folder);
  return {
    ...statusOf(folder),
    user: bootstrap?.user ?? null,
    password: null,
    wasRunning: true,
    data: folder.root,
  };
}

/** What was set up once stays: another number of nodes would leave some of them with DRVMs and no agent. */
async function assertSetting(
  folder: DataFolder,
  found: StackFile | null,
  options: UpOptions,
  databaseUrl: string | null,
): Promise<void> {
  if (options.nodes !== undefined && (options.nodes < 1 || options.nodes > NODES_MAX)) {
    throw usage(`--nodes ${options.nodes} is not possible`, `Between 1 and ${NODES_MAX}.`);
  }
  if (found === null) return;
  if (options.nodes !== undefined && options.nodes !== found.nodes.length) {
    throw new Failure(
      'StateConflict',
      `the stack in ${folder.root} has ${found.nodes.length} nodes, not ${options.nodes}`,
      { hint: 'Leave --nodes out, or set up another one in a folder of its own: --data DIR.' },
    );
  }
  const isExternal = databaseUrl !== null;
  if (isExternal !== (found.database.kind === 'external')) {
    throw new Failure(
      'StateConflict',
      isExternal
        ? `the stack in ${folder.root} keeps its state in its own PostgreSQL, and DATABASE_URL names another`
        : `the stack in ${folder.root} was set up with DATABASE_URL, which is not set now`,
      {
        hint: isExternal
          ? 'Unset DATABASE_URL, or set up another stack: --data DIR.'
          : 'Set DATABASE_URL as it was.',
      },
    );
  }
}

async function assertPortFree(port: number, found: StackFile | null, run: RunFile | null): Promise<void> {
  const why = await whyNotFree(port);
  if (why === null) return;
  const ours = liveProcessOf(run, 'api');
  const holder = holderOf(port);
  if (ours !== null && found?.port === port && (holder === null || holder.pid === ours.pid)) return;
  if (why === 'EACCES') {
    throw new Failure('PortNotAllowed', `port ${port} may only be used by root`, {
      hint: 'Choose one from 1024 on: --port 3000.',
    });
  }
  throw new Failure(
    'PortBusy',
    `port ${port} is in use${holder ? ` by process ${holder.pid} (${holder.command})` : ''}`,
    {
      hint: `Stop that program, or choose another port: ./drvs up --port ${await freePort()}.`,
      details: { port, ...holder },
    },
  );
}

async function newStack(
  folder: DataFolder,
  options: UpOptions,
  port: number,
  isExternal: boolean,
): Promise<StackFile> {
  const count = options.nodes ?? DEFAULT_NODES;
  const share = shareOf(
    {
      cpus: availableParallelism(),
      memoryMiB: Math.floor(
        Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY) / 2 ** 20,
      ),
      freeDiskGiB: await freeDiskGiB(folder.root),
    },
    count,
  );
  return {
    format: DATA_FORMAT,
    createdAt: new Date().toISOString(),
    port,
    portalPort: null,
    nodes: Array.from({ length: count }, (_, index) => ({ name: `node${index + 1}`, ...share })),
    database: isExternal
      ? { kind: 'external' }
      : { kind: 'embedded', folder: folder.postgres, port: await freePort() },
    demo: null,
  };
}

async function freeDiskGiB(path: string): Promise<number> {
  let folder = path;
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  const { bavail, bsize } = await statfs(folder);
  return Math.floor((bavail * bsize) / 2 ** 30);
}

/** Ports inside of the stack: the same as the last time when they are free (or still its own), else others. */
async function settle(stack: StackFile, port: number, run: RunFile | null): Promise<StackFile> {
  // An API that its supervisor left behind keeps its port only when that is the wanted one.
  const api = liveProcessOf(run, 'api');
  if (api && port !== stack.port) await endProcess(api, 'SIGTERM', 15_000);
  const portal = liveProcessOf(run, 'portal');
  const portalPort = portal && stack.portalPort ? stack.portalPort : await portNear(stack.portalPort);
  let { database } = stack;
  if (database.kind === 'embedded') {
    const running = findPostmaster(database.folder);
    database = { ...database, port: running?.port ?? (await portNear(database.port)) };
  }
  if (
    api &&
    database.kind === 'embedded' &&
    stack.database.kind === 'embedded' &&
    database.port !== stack.database.port
  ) {
    await endProcess(api, 'SIGTERM', 15_000); // It knows the database by its former port.
  }
  return { ...stack, port, portalPort, database };
}

async function build(shell: Shell, root: string, options: UpOptions): Promise<void> {
  const args = [programs(root).build, '--all', ...(options.portal ? [] : ['--no-portal'])];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 2, 2] });
  using _ = shell.interrupts.take((signal) => {
    child.kill(signal);
    shell.exit(EXIT_INTERRUPTED);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (code !== 0) throw new Failure('BuildFailed', 'the build failed', { hint: 'See the lines above.' });
  const missing = [
    programs(root).api,
    programs(root).agent,
    ...(options.portal ? [programs(root).portal] : []),
  ].find((path) => !existsSync(path));
  if (missing) throw new Failure('BuildFailed', `the build did not make ${missing}`);
}

async function startSupervisor(
  root: string,
  folder: DataFolder,
  options: UpOptions,
): Promise<ProcessIdentity> {
  const log = openLog(folder.logOf('supervisor'));
  try {
    const child = spawn(
      process.execPath,
      [
        '--enable-source-maps',
        programs(root).supervisor,
        root,
        folder.root,
        ...(options.portal ? [] : ['--no-portal']),
      ],
      {
        cwd: '/',
        detached: true,
        stdio: ['ignore', log, log],
        env: { ...process.env, [STACK_MARK]: folder.root },
      },
    );
    let ended = false;
    child.on('exit', () => {
      ended = true;
    });
    child.unref();
    const deadline = performance.now() + SUPERVISOR_WITHIN_MS;
    for (;;) {
      const run = readRunFile(folder);
      if (run && run.supervisor.pid === child.pid) return run.supervisor;
      if (ended || performance.now() > deadline) {
        throw new Failure('StartFailed', 'the supervisor did not start', {
          hint: `See ${folder.logOf('supervisor')}.`,
          details: { log: tail(folder.logOf('supervisor'), 10) },
        });
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  } finally {
    closeSync(log);
  }
}

async function waitUntilHealthy(
  shell: Shell,
  root: string,
  folder: DataFolder,
  supervisor: ProcessIdentity,
): Promise<void> {
  const progress = shell.progress();
  const told = new Set<string>();
  const started = performance.now();
  for (;;) {
    const run = readRunFile(folder);
    const parts = run?.parts ?? [];
    for (const { name, state, detail } of parts) {
      if (state === 'healthy' && !told.has(name)) {
        told.add(name);
        progress.clear();
        shell.note(`${name} is healthy${detail ? ` (${detail})` : ''}`);
      }
    }
    if (
      run &&
      run.state !== 'starting' &&
      run.state !== 'failed' &&
      parts.every(({ state }) => state === 'healthy' || state === 'off')
    ) {
      progress.clear();
      return;
    }
    const waiting = parts.filter(({ state }) => state !== 'healthy' && state !== 'off');
    progress.show(
      waiting.map(({ name, detail }) => `${name}: ${detail}`).join(', '),
      parts.length === 0 ? 0 : 1 - waiting.length / parts.length,
    );
    const isOver = performance.now() - started > HEALTHY_WITHIN_MS;
    if (run?.state === 'failed' || !isAlive(supervisor) || isOver) {
      progress.clear();
      const reason =
        run?.state === 'failed'
          ? run.reason
          : isOver
            ? waiting.map(({ name, state, detail }) => `${name} is ${state}: ${detail}`).join('; ')
            : 'the supervisor ended';
      const sick = run?.parts.find(({ state }) => state === 'failed') ?? waiting[0];
      const logPath = folder.logOf(sick?.name ?? 'supervisor');
      if (root !== '') await stopStack(root, folder, () => undefined);
      throw new Failure('StartFailed', `it does not come up: ${reason}`, {
        hint: `See ${logPath}. What was started is stopped again; nothing is lost.`,
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** DRVMs that ran when the stack was stopped run again; `up` is done when they do. */
async function waitForDrvms(shell: Shell, client: ApiClient, progress: Progress): Promise<void> {
  const deadline = performance.now() + DRVMS_WITHIN_MS;
  for (;;) {
    const waiting = (await client.list<DrvmView>('/drvms')).filter(({ state }) => state === 'degraded');
    if (waiting.length === 0) return;
    if (performance.now() > deadline) {
      progress.clear();
      for (const { name, detail } of waiting) shell.note(`warning: DRVM ${name} does not run yet: ${detail}`);
      return;
    }
    progress.show(
      `DRVM ${waiting.map(({ name }) => name).join(', ')} ${waiting.length === 1 ? 'starts' : 'start'}`,
    );
    await new Promise((resolve) => setTimeout(resolve, DRVMS_POLL_MS));
  }
}

/** After all is healthy: who may use it, the demonstration, the user's configuration. */
async function finish(
  shell: Shell,
  root: string,
  folder: DataFolder,
  stack: StackFile,
  options: UpOptions,
): Promise<UpResult> {
  const url = urlOf(stack.port);
  const bootstrap = await readBootstrap(folder);
  const token = await adminToken(folder);
  if (token === null) {
    throw new Failure(
      'NoAdministrator',
      'the database has users already, and no token of an administrator is known here',
      {
        hint: 'Set DRVS_TOKEN to a token with the role supra-admin and run `up` again.',
      },
    );
  }
  await writeConfig(shell.env, { url, token });
  const client = new ApiClient({ url, token, session: null });
  const progress = shell.progress();
  try {
    await waitForDrvms(shell, client, progress);
    if (options.demo && stack.demo === null) {
      await makeDemo(client, stack.nodes.length, programs(root).demo, (text, fraction) =>
        progress.show(`demonstration: ${text}`, fraction),
      );
      await writeStack(folder, { ...stack, demo: { drvm: DEMO_DRVM, tenant: DEMO_TENANT } });
      await waitForDrvms(shell, client, progress);
    } else if (stack.demo !== null) await keepDemo(client, programs(root).demo);
  } catch (error) {
    if (error instanceof Exit) throw error;
    progress.clear();
    shell.note(`warning: the demonstration is not there: ${(error as Error).message}`);
    const { hint } = error as { hint?: string };
    if (hint) shell.note(`hint:    ${hint}`);
  } finally {
    progress.clear();
    await client.close();
  }
  const password = bootstrap?.password ?? null;
  if (bootstrap && password !== null) {
    // Shown once: from now on it is nowhere but in its user's hands.
    await writeDurably(
      folder.bootstrapFile,
      JSON.stringify({ user: bootstrap.user, token: bootstrap.token }),
      0o600,
    );
  }
  return {
    ...statusOf(folder),
    user: bootstrap?.user ?? null,
    password,
    wasRunning: false,
    data: folder.root,
  };
}
