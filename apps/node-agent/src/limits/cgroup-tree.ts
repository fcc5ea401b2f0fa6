import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Control groups, version 1 and 2 behind one door (Linux: admin-guide/cgroup-v1, admin-guide/cgroup-v2).
 *
 *     <hierarchy>/drvs/<agent's scope>/drvms/<drvm>     one per container; `drvms` holds the node's share of CPU
 *     <hierarchy>/drvs/<agent's scope>/loader/<slot>    one per run of the loader
 *
 * In version 1 each controller has a hierarchy of its own; in version 2 all share one. A group here is the set of its
 * folders. All writes are to the kernel's own file system and take microseconds, so they are synchronous.
 */

export type Controller = 'cpu' | 'cpuacct' | 'memory' | 'pids';

export interface ControllerPlace {
  controller: Controller;
  version: 1 | 2;
  /** The folder of this agent's scope in that controller's hierarchy. */
  base: string;
}

/**
 * The period over which a CPU quota is given out. The kernel's default is 100 ms, which would hold a container with a
 * third of a CPU still for 67 ms at a time; its least quota is 1 ms, so 20 ms still allows 50 thousandths of a CPU.
 */
const CPU_PERIOD_US = 20_000;
const MIN_QUOTA_US = 1_000;
/** Removing a group fails with EBUSY until its last process is reaped. */
const REMOVE_TRIES = 50;
const REMOVE_PAUSE_MS = 20;

export interface GroupLimits {
  cpuMilli?: number;
  memoryMiB?: number;
  pids?: number;
  /** Share among those who compete for the CPU, 1..10000; 100 is usual. */
  cpuWeight?: number;
}

export interface GroupUsage {
  /** CPU time of all that ever ran in the group; null where the host does not count it. */
  cpuMs: number | null;
  /** Processes that the kernel killed for memory. */
  memoryKills: number;
}

const isMissing = (error: unknown): boolean =>
  ['ENOENT', 'ENODEV'].includes((error as NodeJS.ErrnoException).code ?? '');

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

/** The number after `key` in a flat keyed file such as cpu.stat. */
export function keyedNumber(text: string | null, key: string): number | null {
  const line = text?.split('\n').find((candidate) => candidate.startsWith(`${key} `));
  return line === undefined ? null : Number(line.slice(key.length + 1));
}

export class CgroupTree {
  constructor(readonly places: readonly ControllerPlace[]) {}

  get isEmpty(): boolean {
    return this.places.length === 0;
  }

  versionOf(controller: Controller): 1 | 2 | null {
    return this.places.find((place) => place.controller === controller)?.version ?? null;
  }

  group(...path: string[]): Cgroup {
    return new Cgroup(this.places, path);
  }

  /** Names of the groups right below `path`, in any hierarchy. */
  children(...path: string[]): string[] {
    const names = new Set<string>();
    for (const base of new Set(this.places.map((place) => place.base))) {
      const folder = join(base, ...path);
      if (!existsSync(folder)) continue;
      for (const entry of readdirSync(folder, { withFileTypes: true })) {
        if (entry.isDirectory()) names.add(entry.name);
      }
    }
    return [...names];
  }
}

export class Cgroup {
  constructor(
    private readonly places: readonly ControllerPlace[],
    private readonly path: readonly string[],
  ) {}

  /** One folder per hierarchy. */
  get folders(): string[] {
    return [...new Set(this.places.map((place) => join(place.base, ...this.path)))];
  }

  /** A process joins the group by writing its pid into each of these. */
  get procsFiles(): string[] {
    return this.folders.map((folder) => join(folder, 'cgroup.procs'));
  }

  /** Makes the group (and those above it) and lets its controllers work in it. */
  create(): void {
    for (const { controller, version, base } of this.places) {
      let folder = base;
      mkdirSync(folder, { recursive: true });
      for (const name of this.path) {
        if (version === 2) writeFileSync(join(folder, 'cgroup.subtree_control'), `+${controller}`);
        folder = join(folder, name);
        mkdirSync(folder, { recursive: true });
      }
    }
  }

  set(limits: GroupLimits): void {
    for (const { controller, version, base } of this.places) {
      const folder = join(base, ...this.path);
      const put = (file: string, value: string | number) => writeFileSync(join(folder, file), String(value));
      if (controller === 'cpu' && limits.cpuMilli !== undefined) {
        const quota = Math.max(MIN_QUOTA_US, Math.round((limits.cpuMilli * CPU_PERIOD_US) / 1_000));
        if (version === 2) put('cpu.max', `${quota} ${CPU_PERIOD_US}`);
        else {
          // The quota goes first to "none": a new period alone could ask for more than the parent has.
          put('cpu.cfs_quota_us', -1);
          put('cpu.cfs_period_us', CPU_PERIOD_US);
          put('cpu.cfs_quota_us', quota);
        }
      }
      if (controller === 'cpu' && limits.cpuWeight !== undefined) {
        if (version === 2) put('cpu.weight', limits.cpuWeight);
        else put('cpu.shares', Math.max(2, Math.round((limits.cpuWeight * 1_024) / 100)));
      }
      if (controller === 'memory' && limits.memoryMiB !== undefined) {
        const bytes = limits.memoryMiB * 1_048_576;
        if (version === 2) {
          put('memory.max', bytes);
          if (existsSync(join(folder, 'memory.swap.max'))) put('memory.swap.max', 0);
        } else this.#setMemory1(folder, bytes);
      }
      if (controller === 'pids' && limits.pids !== undefined) put('pids.max', limits.pids);
    }
  }

  /** memory+swap must never be below memory, so which of the two is written first depends on the direction. */
  #setMemory1(folder: string, bytes: number): void {
    const memory = join(folder, 'memory.limit_in_bytes');
    const both = join(folder, 'memory.memsw.limit_in_bytes');
    const hasSwapFile = existsSync(both);
    const isGrowing = Number(read(memory)) < bytes;
    if (hasSwapFile && isGrowing) writeFileSync(both, String(bytes));
    writeFileSync(memory, String(bytes));
    if (hasSwapFile && !isGrowing) writeFileSync(both, String(bytes));
  }

  /** Takes the CPU quota away. */
  clearCpu(): void {
    for (const { controller, version, base } of this.places) {
      if (controller !== 'cpu') continue;
      const folder = join(base, ...this.path);
      if (version === 2) writeFileSync(join(folder, 'cpu.max'), 'max');
      else writeFileSync(join(folder, 'cpu.cfs_quota_us'), '-1');
    }
  }

  usage(): GroupUsage {
    let cpuMs: number | null = null;
    let memoryKills = 0;
    for (const { controller, version, base } of this.places) {
      const folder = join(base, ...this.path);
      if (version === 2 && controller === 'cpu') {
        const microseconds = keyedNumber(read(join(folder, 'cpu.stat')), 'usage_usec');
        if (microseconds !== null) cpuMs = microseconds / 1_000;
      } else if (controller === 'cpuacct') {
        const nanoseconds = read(join(folder, 'cpuacct.usage'));
        if (nanoseconds !== null) cpuMs = Number(nanoseconds) / 1e6;
      } else if (controller === 'memory') {
        const file = version === 2 ? 'memory.events' : 'memory.oom_control';
        memoryKills = keyedNumber(read(join(folder, file)), 'oom_kill') ?? 0;
      }
    }
    return { cpuMs, memoryKills };
  }

  /** Pids in the group, as this process sees them; 0 (a pid of another namespace) left out. */
  pids(): number[] {
    const pids = new Set<number>();
    for (const file of this.procsFiles) {
      for (const line of read(file)?.split('\n') ?? []) if (Number(line) > 0) pids.add(Number(line));
    }
    return [...pids];
  }

  /** SIGKILL to all that is in the group. Membership is read from the kernel, so no reused pid is hit. */
  kill(): void {
    for (const pid of this.pids()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
  }

  /** Kills what is in the group and removes its folders. @throws Error when it is still busy after a second. */
  async remove(): Promise<void> {
    for (const folder of this.folders) {
      for (let tries = 1; ; tries++) {
        try {
          rmdirSync(folder);
          break;
        } catch (error) {
          if (isMissing(error)) break;
          if (tries === REMOVE_TRIES) throw error;
          this.kill();
          await sleep(REMOVE_PAUSE_MS);
        }
      }
    }
  }
}
