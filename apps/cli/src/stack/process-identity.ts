/**
 * A process named for good: pids are used again, so a pid is believed only together with the time its process started
 * (clock ticks since boot, field 22 of /proc/PID/stat, see proc(5)).
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';

export const ProcessIdentity = z.object({ pid: z.int().min(1), startTime: z.string() });
export type ProcessIdentity = z.infer<typeof ProcessIdentity>;

const hasProc = existsSync('/proc/self/stat');

/** null when there is no such process (a zombie is none: nothing of it runs). */
function startTimeOf(pid: number): string | null {
  try {
    if (!hasProc)
      return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || null;
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command, in parentheses, may hold anything; the fields after it are counted from its end.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}

export function identify(pid: number): ProcessIdentity | null {
  const startTime = startTimeOf(pid);
  return startTime === null ? null : { pid, startTime };
}

export const isAlive = (identity: ProcessIdentity): boolean =>
  startTimeOf(identity.pid) === identity.startTime;

/** Sends the signal to exactly this process; a process that took over its pid is never touched. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(identity)) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

const POLL_MS = 50;

/** @returns whether it is gone within the time */
export async function waitUntilGone(identity: ProcessIdentity, withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (isAlive(identity)) {
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return true;
}

/** SIGKILL works at once, but the kernel may take a moment to free a large process. */
const KILL_WAIT_MS = 5_000;

/** Asks it to end, then kills it when it has not within `graceMs`. */
export async function endProcess(
  identity: ProcessIdentity,
  signal: NodeJS.Signals,
  graceMs: number,
): Promise<'gone' | 'ended' | 'killed'> {
  if (!signalProcess(identity, signal)) return 'gone';
  if (await waitUntilGone(identity, graceMs)) return 'ended';
  signalProcess(identity, 'SIGKILL');
  await waitUntilGone(identity, KILL_WAIT_MS);
  return 'killed';
}
