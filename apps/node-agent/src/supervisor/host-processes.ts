import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { FOLDER_ARGUMENT } from './drvm-folder.js';

/**
 * A process of the host, named so that a reused pid is never mistaken for it: the kernel's start time (clock ticks
 * since boot) goes with the pid, and the boot's id with both.
 */
export interface ProcessIdentity {
  pid: number;
  startTicks: number;
}

/** Clock ticks per second in /proc (USER_HZ); 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4_096;

export interface ProcessStat {
  state: string;
  parentPid: number;
  cpuMs: number;
  startTicks: number;
  residentBytes: number;
}

/** @param text of /proc/PID/stat (proc(5)); the name in parentheses may hold anything, also parentheses. */
export function parseStat(text: string): ProcessStat {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    state: fields[0] as string,
    parentPid: Number(fields[1]),
    cpuMs: ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS_PER_SECOND,
    startTicks: Number(fields[19]),
    residentBytes: Number(fields[21]) * PAGE_BYTES,
  };
}

/** Null when there is no such process. */
export function readStat(pid: number): ProcessStat | null {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return null;
  }
}

/** The process itself, not one that came later under its pid. A zombie has ended. */
export function isAlive({ pid, startTicks }: ProcessIdentity): boolean {
  const stat = readStat(pid);
  return stat !== null && stat.startTicks === startTicks && stat.state !== 'Z' && stat.state !== 'X';
}

/** Signals this very process. @returns false when it has ended. */
export function signal(identity: ProcessIdentity, name: NodeJS.Signals): boolean {
  if (!isAlive(identity)) return false;
  try {
    process.kill(identity.pid, name);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

export interface FoundContainer extends ProcessIdentity {
  /** `wrapper`: unshare(1), which waits for the container inside its namespaces; `launching`: not yet node. */
  role: 'wrapper' | 'container' | 'launching';
}

/**
 * The host's processes that were started as the container of this folder, by their command line. It finds also those
 * of which the agent could not write anything down before it died.
 *
 * @param folder absolute and resolved, as it was given to them.
 */
export function findContainers(folder: string): FoundContainer[] {
  const found: FoundContainer[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    let words: string[];
    try {
      words = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
    } catch {
      continue; // It ended meanwhile.
    }
    const at = words.indexOf(FOLDER_ARGUMENT);
    if (at < 0 || words[at + 1] !== folder) continue;
    const stat = readStat(Number(name));
    if (!stat || stat.state === 'Z' || stat.state === 'X') continue;
    found.push({
      pid: Number(name),
      startTicks: stat.startTicks,
      role: roleOf(basename(words[0] as string)),
    });
  }
  return found;
}

function roleOf(program: string): FoundContainer['role'] {
  if (program === 'unshare') return 'wrapper';
  return program === basename(process.execPath) ? 'container' : 'launching';
}
