import type { ResourceAmounts } from '@drvs/contracts';
import type { Cgroup } from '../limits/cgroup-tree.js';
import { giveUpPrivileges, type Privileges } from '../namespaces/privileges.js';
import { FOLDER_ARGUMENT, LISTEN_ARGUMENT } from './drvm-folder.js';

/**
 * The command line of a container. A shell joins the control groups before anything of the container runs, then
 * becomes, one after another, unshare (namespaces), setpriv (another user, no privileges) and node:
 *
 *     sh -c '…join…; exec "$@"' sh N procs-file… unshare … -- setpriv … -- node … container/main.js …
 */

/** Threads and processes of a container: node's own are about a dozen; a guest cannot make any. */
export const CONTAINER_PIDS_MAX = 256;
/** Guests' files are in one process; each host file of the DVOS may be open. */
const OPEN_FILES_MAX = 65_536;

const JOIN_AND_BECOME =
  'n=$1; shift; while [ "$n" -gt 0 ]; do echo $$ > "$1" || exit 71; shift; n=$((n-1)); done; ' +
  `ulimit -c 0; ulimit -n ${OPEN_FILES_MAX} 2>/dev/null || ulimit -n "$(ulimit -H -n)"; umask 077; exec "$@"`;

/** Runs `command` inside the group; without a usable group just with the resource limits of the shell. */
export function joinAndBecome(group: Cgroup | null, command: readonly string[]): string[] {
  const files = group?.procsFiles ?? [];
  return ['/bin/sh', '-c', JOIN_AND_BECOME, 'sh', String(files.length), ...files, ...command];
}

/**
 * V8's heap holds the DVOS's own objects only: guests' memories and file contents lie outside of it. A fixed part of
 * the slice is plenty, and keeps the collector from growing the heap at the guests' expense.
 */
function heapMiB(memoryMiB: number): number {
  return Math.max(64, Math.min(1_024, Math.floor(memoryMiB / 3)));
}

function nodeFlags(limits: ResourceAmounts): string[] {
  return [
    `--max-old-space-size=${heapMiB(limits.memoryMiB)}`,
    // Small young generation: the paths that run all the time allocate nothing.
    '--max-semi-space-size=2',
    // Errors show the lines of the sources.
    '--enable-source-maps',
  ];
}

export interface LaunchPlan {
  privileges: Privileges;
  group: Cgroup | null;
  uid: number | null;
  limits: ResourceAmounts;
  /** The container's program. */
  main: string;
  folder: string;
  host: string;
  port: number;
}

export function containerCommand(plan: LaunchPlan): string[] {
  const { privileges, uid } = plan;
  return joinAndBecome(plan.group, [
    ...(privileges.unshare.length > 0 ? [...privileges.unshare, '--'] : []),
    ...(privileges.canGiveUpPrivileges ? giveUpPrivileges(uid) : []),
    process.execPath,
    ...nodeFlags(plan.limits),
    plan.main,
    FOLDER_ARGUMENT,
    plan.folder,
    LISTEN_ARGUMENT,
    `${plan.host}:${plan.port}`,
  ]);
}

/** What ContainerState.isolation says. */
export function describeIsolation(
  plan: Pick<LaunchPlan, 'privileges' | 'uid' | 'limits'>,
  versions: { cpu: 1 | 2 | null; memory: 1 | 2 | null; pids: 1 | 2 | null },
): string {
  const { privileges, uid, limits } = plan;
  const parts = [
    versions.cpu === null
      ? `cpu: fuel only (${limits.cpuMilli}m)`
      : `cpu: cgroup-v${versions.cpu} (${limits.cpuMilli}m)`,
    versions.memory === null
      ? `memory: kernel of the DVOS only (${limits.memoryMiB} MiB)`
      : `memory: cgroup-v${versions.memory} (${limits.memoryMiB} MiB)`,
  ];
  if (versions.pids !== null) parts.push(`pids: cgroup-v${versions.pids} (${CONTAINER_PIDS_MAX})`);
  parts.push(
    privileges.namespaces.length > 0 ? `${privileges.namespaces.join('+')} namespaces` : "host's namespaces",
  );
  parts.push(uid === null ? "agent's user" : `own user ${uid}`);
  if (privileges.canGiveUpPrivileges) parts.push('no new privileges');
  return parts.join(', ');
}
