import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CgroupTree, type Controller, type ControllerPlace } from './cgroup-tree.js';

/**
 * Which control groups this agent can really use: each candidate is tried by making a group, limiting it, moving a
 * process into it and looking whether the kernel says that it is there. What a mount table or a version number
 * promises is not believed: in a container of somebody else's the files are often there and read-only.
 */

export interface CgroupFindings {
  tree: CgroupTree;
  /** Why a controller cannot be used, and what to do. */
  notes: string[];
}

export interface CgroupMount {
  version: 1 | 2;
  path: string;
  /** Version 1: the controllers of this hierarchy. */
  controllers: string[];
}

/** @param text of /proc/self/mounts. */
export function parseCgroupMounts(text: string): CgroupMount[] {
  const mounts: CgroupMount[] = [];
  for (const line of text.split('\n')) {
    const [, path, type, options] = line.split(' ');
    if (path === undefined || options === undefined) continue;
    if (type === 'cgroup2') mounts.push({ version: 2, path, controllers: [] });
    if (type === 'cgroup') mounts.push({ version: 1, path, controllers: options.split(',') });
  }
  return mounts;
}

/** @param text of /proc/self/cgroup. @returns the path of this process by controller; '' is version 2's. */
export function parseOwnCgroups(text: string): Map<string, string> {
  const paths = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^\d+:([^:]*):(.*)$/.exec(line);
    if (!match) continue;
    for (const controller of (match[1] as string).split(',')) paths.set(controller, match[2] as string);
  }
  return paths;
}

const WANTED: readonly Controller[] = ['cpu', 'cpuacct', 'memory', 'pids'];
/** Large enough for the probe, small enough to be refused nowhere. */
const PROBE_LIMITS = { cpuMilli: 100, memoryMiB: 64, pids: 16 };

/**
 * @param scope the name of this agent's own part of the tree; unique on the host.
 */
export async function detectCgroups(scope: string): Promise<CgroupFindings> {
  if (process.platform !== 'linux') {
    return { tree: new CgroupTree([]), notes: ['Control groups exist on Linux only.'] };
  }
  const mounts = parseCgroupMounts(readFileSync('/proc/self/mounts', 'utf8'));
  const own = parseOwnCgroups(readFileSync('/proc/self/cgroup', 'utf8'));
  const places: ControllerPlace[] = [];
  const notes: string[] = [];
  for (const controller of WANTED) {
    const failures: string[] = [];
    const place = await firstThatWorks(candidates(controller, mounts, own, scope), failures);
    if (place) places.push(place);
    else if (controller !== 'cpuacct') {
      const why = failures.length > 0 ? failures.join('; ') : 'no hierarchy with it is mounted';
      notes.push(
        `${controller} is not limited by control groups: ${why}. ` +
          'Run the agent as root on the host, or in a control group delegated to it (systemd: Delegate=yes).',
      );
    }
  }
  return { tree: new CgroupTree(places), notes };
}

function* candidates(
  controller: Controller,
  mounts: readonly CgroupMount[],
  own: ReadonlyMap<string, string>,
  scope: string,
): Generator<ControllerPlace> {
  // Below the hierarchy's root first: an agent may be restarted from another session's group, and its containers must
  // neither die with the old one nor be lost from sight.
  for (const mount of mounts) {
    if (mount.version === 2 && controller !== 'cpuacct') {
      const available = readWords(join(mount.path, 'cgroup.controllers'));
      if (!available.includes(controller)) continue;
      yield { controller, version: 2, base: join(mount.path, 'drvs', scope) };
      yield { controller, version: 2, base: join(mount.path, own.get('') ?? '/', 'drvs', scope) };
    }
    if (mount.version === 1 && mount.controllers.includes(controller)) {
      yield { controller, version: 1, base: join(mount.path, 'drvs', scope) };
      yield { controller, version: 1, base: join(mount.path, own.get(controller) ?? '/', 'drvs', scope) };
    }
  }
}

function readWords(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split(/\s+/).filter(Boolean);
  } catch {
    return [];
  }
}

async function firstThatWorks(
  places: Iterable<ControllerPlace>,
  failures: string[],
): Promise<ControllerPlace | null> {
  const tried = new Set<string>();
  for (const place of places) {
    if (tried.has(place.base)) continue;
    tried.add(place.base);
    try {
      await tryPlace(place);
      return place;
    } catch (error) {
      failures.push((error as Error).message);
    }
  }
  return null;
}

async function tryPlace(place: ControllerPlace): Promise<void> {
  if (place.version === 2) delegate(place);
  const group = new CgroupTree([place]).group('probe');
  const child = spawn('sleep', ['30'], { stdio: 'ignore' });
  try {
    await once(child, 'spawn');
    group.create();
    group.set(PROBE_LIMITS);
    for (const file of group.procsFiles) writeFileSync(file, String(child.pid));
    const path = parseOwnCgroups(readFileSync(`/proc/${child.pid}/cgroup`, 'utf8')).get(
      place.version === 2 ? '' : place.controller,
    );
    if (!path?.endsWith('/probe')) throw new Error(`the kernel left a process in ${path}`);
  } finally {
    child.kill('SIGKILL');
    await group.remove();
  }
}

/**
 * Version 2 hands a controller down one level at a time, and only from groups that hold no process themselves. An
 * agent in a delegated group of its own therefore first moves itself into a leaf beside its containers.
 */
function delegate({ controller, base }: ControllerPlace): void {
  const drvs = join(base, '..');
  const top = join(drvs, '..');
  const enable = () => writeFileSync(join(top, 'cgroup.subtree_control'), `+${controller}`);
  try {
    enable();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
    const leaf = join(top, 'drvs-agent');
    mkdirSync(leaf, { recursive: true });
    writeFileSync(join(leaf, 'cgroup.procs'), String(process.pid));
    enable();
  }
  mkdirSync(drvs, { recursive: true });
  writeFileSync(join(drvs, 'cgroup.subtree_control'), `+${controller}`);
  mkdirSync(base, { recursive: true });
  writeFileSync(join(base, 'cgroup.subtree_control'), `+${controller}`);
}
