import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Failure } from '../failure.js';
import { type DataFolder, readStack, type StackFile } from './data-folder.js';
import { partsOf, STACK_MARK } from './parts.js';
import { preparePostgres } from './postgres.js';
import {
  endProcess,
  identify,
  isAlive,
  type ProcessIdentity,
  signalProcess,
  waitUntilGone,
} from './process-identity.js';
import { isSupervised, liveProcessOf, type RunFile, readRunFile, removeRunFile } from './run-file.js';
import { stopOrder, stopPart } from './supervisor.js';

/** All parts one after another take less; then the supervisor itself is stuck. */
const SUPERVISOR_STOP_MS = 180_000;
const LEFTOVER_GRACE_MS = 5_000;

/** Stops all that runs of the stack. @returns whether anything ran */
export async function stopStack(
  root: string,
  folder: DataFolder,
  say: (text: string) => void,
): Promise<boolean> {
  const before = readRunFile(folder);
  let ran = false;
  if (isSupervised(before)) {
    ran = true;
    await stopBySupervisor(folder, before, say);
  }
  const left = readRunFile(folder);
  // Read leniently: what runs must be stoppable also when the folder is damaged.
  const stack = await readStack(folder).catch(() => null);
  if (stack !== null) ran = (await stopWithoutSupervisor(root, folder, stack, left, say)) || ran;
  else
    for (const part of left?.parts ?? []) {
      if (part.process && (await endProcess(part.process, 'SIGTERM', LEFTOVER_GRACE_MS)) !== 'gone')
        ran = true;
    }
  for (const process of markedProcesses(folder.root)) {
    ran = true;
    say(`process ${process.pid} was left over: ended`);
    await endProcess(process, 'SIGTERM', LEFTOVER_GRACE_MS);
  }
  await removeRunFile(folder);
  return ran;
}

async function stopBySupervisor(
  folder: DataFolder,
  run: RunFile,
  say: (text: string) => void,
): Promise<void> {
  signalProcess(run.supervisor, 'SIGTERM');
  const told = new Set<string>();
  const deadline = performance.now() + SUPERVISOR_STOP_MS;
  while (isAlive(run.supervisor)) {
    for (const { name, state } of readRunFile(folder)?.parts ?? []) {
      if (state === 'stopped' && !told.has(name)) {
        told.add(name);
        say(`${name} stopped`);
      }
    }
    if (performance.now() > deadline) {
      say(`the supervisor (pid ${run.supervisor.pid}) does not stop: killed`);
      signalProcess(run.supervisor, 'SIGKILL');
      await waitUntilGone(run.supervisor, LEFTOVER_GRACE_MS);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  // Its last word goes with run.json, which it removes at the end.
  for (const { name } of run.parts) if (!told.has(name)) say(`${name} stopped`);
}

/** The supervisor was killed, or never lived: the parts are ended from here in the same order. */
async function stopWithoutSupervisor(
  root: string,
  folder: DataFolder,
  stack: StackFile,
  run: RunFile | null,
  say: (text: string) => void,
): Promise<boolean> {
  const parts = partsOf({
    root,
    folder,
    stack,
    postgres: stack.database.kind === 'embedded' ? await preparePostgres().catch(() => null) : null,
    hasPortal: true,
    env: process.env,
  });
  const isRunning = (name: string, find?: () => ProcessIdentity | null): boolean =>
    (liveProcessOf(run, name) ?? find?.() ?? null) !== null;
  const running = parts.filter(
    ({ name, find, afterStop }) => isRunning(name, find) || (afterStop?.() ?? null) !== null,
  );
  const ran = running.some(({ name, find }) => isRunning(name, find));
  for (const group of stopOrder(running)) {
    await Promise.all(group.map((part) => stopPart(part, liveProcessOf(run, part.name), folder, say)));
  }
  return ran;
}

/** Processes that were started for this stack, known by a variable in their environment, recorded or not. */
function markedProcesses(root: string): ProcessIdentity[] {
  const mark = `${STACK_MARK}=${root}\0`;
  const found: ProcessIdentity[] = [];
  let entries: string[] = [];
  try {
    entries = readdirSync('/proc');
  } catch {
    return found; // No /proc: only what is recorded is known.
  }
  for (const entry of entries) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    try {
      if (!`${readFileSync(`/proc/${entry}/environ`, 'utf8')}\0`.includes(mark)) continue;
    } catch {
      continue; // Another user's, or gone.
    }
    const identity = identify(Number(entry));
    if (identity) found.push(identity);
  }
  return found;
}

/** What `down --purge` may remove. @throws Failure when the folder is not a stack's */
export async function assertPurgeable(folder: DataFolder): Promise<void> {
  if (!existsSync(folder.root)) return;
  const entries = readdirSync(folder.root);
  if (entries.length === 0 || existsSync(folder.stackFile) || existsSync(folder.secrets)) return;
  throw new Failure('NotADataFolder', `${folder.root} is not the data folder of a DRVS: nothing is removed`, {
    hint: 'Name the folder that was given to `up`: --data DIR.',
  });
}

export async function purge(folder: DataFolder): Promise<void> {
  const stack = await readStack(folder).catch(() => null);
  if (stack?.database.kind === 'embedded' && dirname(stack.database.folder) !== folder.root) {
    await rm(stack.database.folder, { recursive: true, force: true });
  }
  await rm(folder.root, { recursive: true, force: true });
}
