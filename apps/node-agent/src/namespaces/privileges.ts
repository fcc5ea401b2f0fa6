import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/**
 * What this agent can do to keep a container apart from the host and from other containers besides control groups:
 * namespaces (unshare(1)), a host user of its own, and giving up privileges for good (setpriv(1)). As with control
 * groups, each is tried, not read from a version number.
 */
export interface Privileges {
  namespaces: Namespace[];
  /** Arguments before the command: `unshare …`; empty where no namespace can be made. */
  unshare: string[];
  /** Each DRVM's containers run as a host user of their own. */
  hasOwnUsers: boolean;
  users: UserRange | null;
  canGiveUpPrivileges: boolean;
  notes: string[];
}

type Namespace = 'pid' | 'mount' | 'ipc' | 'uts' | 'user';

export interface UserRange {
  first: number;
  count: number;
}

const PROBE_TIMEOUT_MS = 10_000;

const MOST = ['--pid', '--mount', '--ipc', '--uts', '--fork', '--kill-child', '--mount-proc'];
const CANDIDATES: readonly { namespaces: Namespace[]; unshare: string[] }[] = [
  { namespaces: ['pid', 'mount', 'ipc', 'uts'], unshare: ['unshare', ...MOST] },
  {
    namespaces: ['user', 'pid', 'mount', 'ipc', 'uts'],
    unshare: ['unshare', '--user', '--map-current-user', ...MOST],
  },
  { namespaces: ['ipc', 'uts'], unshare: ['unshare', '--ipc', '--uts'] },
];

function attempt(command: readonly string[]): string | null {
  const [file, ...args] = command;
  const run = spawnSync(file as string, args, {
    timeout: PROBE_TIMEOUT_MS,
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
    cwd: '/',
  });
  if (run.error) return run.error.message;
  if (run.status === 0) return null;
  return run.stderr.trim().split('\n').at(-1) || `exit ${run.status ?? run.signal}`;
}

/**
 * The host users that DRVMs get: high numbers, which no distribution gives to people or services, or, inside a user
 * namespace that has few, the upper part of these.
 *
 * @param uidMap text of /proc/self/uid_map (user_namespaces(7)).
 */
export function userRange(uidMap: string): UserRange | null {
  let end = 0;
  for (const line of uidMap.split('\n')) {
    const [inside, , count] = line.trim().split(/\s+/).map(Number);
    if (inside !== undefined && count !== undefined) end = Math.max(end, inside + count);
  }
  if (end > 0x7000_0000) return { first: 0x4000_0000, count: 0x3000_0000 };
  if (end >= 60_000) return { first: 20_000, count: 40_000 };
  return null;
}

/** The same DRVM gets the same user on every node; two DRVMs of one node never share one. */
export function userFor(drvmId: string, range: UserRange, taken: ReadonlySet<number>): number {
  const start = createHash('sha256').update(drvmId).digest().readUInt32BE(0) % range.count;
  for (let step = 0; step < range.count; step++) {
    const uid = range.first + ((start + step) % range.count);
    if (!taken.has(uid)) return uid;
  }
  throw new Error(`all ${range.count} host users for DRVMs are taken`);
}

/** setpriv(1) arguments: no privilege now, and none ever again through a set-user-id program (PR_SET_NO_NEW_PRIVS). */
export function giveUpPrivileges(uid: number | null): string[] {
  const user =
    uid === null ? [] : [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--bounding-set=-all'];
  return ['setpriv', ...user, '--inh-caps=-all', '--no-new-privs', '--'];
}

/**
 * @param mustRead files that a container needs; `mustEnter` folders that it must pass through. Another user can be
 * used only where it can reach them.
 */
export function detectPrivileges(mustRead: readonly string[], mustEnter: readonly string[]): Privileges {
  const notes: string[] = [];
  const failures: string[] = [];
  const found = CANDIDATES.find(({ unshare }) => {
    const failure = attempt([...unshare, '--', process.execPath, '--version']);
    if (failure !== null) failures.push(failure);
    return failure === null;
  });
  if (!found) {
    notes.push(`Containers share the host's namespaces (they see its processes): ${failures[0]}.`);
  }
  const isRoot = process.getuid?.() === 0;
  const range = userRange(readOr('/proc/self/uid_map', ''));
  let hasOwnUsers = false;
  if (isRoot && range) {
    const check =
      'const fs = require("node:fs");' +
      `for (const path of ${JSON.stringify(mustRead)}) fs.accessSync(path, fs.constants.R_OK);` +
      `for (const path of ${JSON.stringify(mustEnter)}) fs.accessSync(path, fs.constants.X_OK);`;
    const failure = attempt([...giveUpPrivileges(range.first), process.execPath, '-e', check]);
    hasOwnUsers = failure === null;
    if (failure !== null) {
      notes.push(
        `All containers run as the agent's user: a user of their own cannot reach what they need (${failure}). ` +
          'Put the program and DRVS_DATA into folders that other users may pass through (mode 711 or 755).',
      );
    }
  } else {
    notes.push("All containers run as the agent's user: only root can give each DRVM a user of its own.");
  }
  const canGiveUpPrivileges = attempt([...giveUpPrivileges(null), process.execPath, '--version']) === null;
  if (!canGiveUpPrivileges) {
    notes.push('Containers keep the right to gain privileges: setpriv (util-linux) is not usable here.');
  }
  notes.push(
    "Containers share the host's network: they talk TCP to their DRVM's other containers under its key; " +
      'their rate is not limited.',
  );
  return {
    namespaces: found?.namespaces ?? [],
    unshare: found?.unshare ?? [],
    hasOwnUsers,
    users: range,
    canGiveUpPrivileges,
    notes,
  };
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return otherwise;
  }
}
