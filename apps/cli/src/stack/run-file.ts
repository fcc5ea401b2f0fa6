/**
 * `run.json`: what of the stack runs now, written by the supervisor at every change and read by `up`, `status` and
 * `down`. It survives the supervisor: whoever finds it later knows which processes are the stack's (pid and start time)
 * and takes them up again, or ends them.
 */
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { z } from 'zod';
import { type DataFolder, writeDurably } from './data-folder.js';
import { isAlive, ProcessIdentity } from './process-identity.js';

const PART_STATES = [
  'waiting',
  'starting',
  'healthy',
  'unhealthy',
  'restarting',
  'failed',
  'stopped',
  'off',
] as const;
export type PartState = (typeof PART_STATES)[number];

export const PartStatus = z.object({
  name: z.string(),
  state: z.enum(PART_STATES),
  process: ProcessIdentity.nullable(),
  /** Why it is not healthy, or what it is, in words. */
  detail: z.string(),
  restarts: z.int(),
});
export type PartStatus = z.infer<typeof PartStatus>;

export const RunFile = z.object({
  version: z.literal(1),
  supervisor: ProcessIdentity,
  url: z.string(),
  state: z.enum(['starting', 'running', 'failed', 'stopping']),
  /** With state `failed`: why the start was given up. */
  reason: z.string(),
  parts: z.array(PartStatus),
});
export type RunFile = z.infer<typeof RunFile>;

/** null when nothing is known to run. One that cannot be read is the same: nobody's pid is to be guessed. */
export function readRunFile(folder: DataFolder): RunFile | null {
  try {
    return RunFile.parse(JSON.parse(readFileSync(folder.runFile, 'utf8')));
  } catch {
    return null;
  }
}

export const writeRunFile = (folder: DataFolder, run: RunFile): Promise<void> =>
  writeDurably(folder.runFile, `${JSON.stringify(run, null, 2)}\n`, 0o644);

export const removeRunFile = (folder: DataFolder): Promise<void> => rm(folder.runFile, { force: true });

export const isSupervised = (run: RunFile | null): run is RunFile => run !== null && isAlive(run.supervisor);

/** The process of a part that is recorded and still the same process. */
export function liveProcessOf(run: RunFile | null, part: string): ProcessIdentity | null {
  const recorded = run?.parts.find(({ name }) => name === part)?.process ?? null;
  return recorded !== null && isAlive(recorded) ? recorded : null;
}
