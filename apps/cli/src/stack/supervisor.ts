/**
 * Keeps the parts of a stack running: starts them in their order, restarts those that die, tells their health in
 * run.json, and ends them in the opposite order.
 *
 * Parts are processes of their own sessions, watched by pid and start time, not by being children: a supervisor that
 * is killed leaves them running, and the next one takes them up as they are.
 */
import { spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import type { DataFolder } from './data-folder.js';
import { type LocalNodes, readSwitchedOff, writeSwitchedOff } from './local-power.js';
import { openLog, rotate, sizeOf, tail } from './log-file.js';
import { AFTER_STOP_MS, type Part } from './parts.js';
import { endProcess, identify, isAlive, type ProcessIdentity } from './process-identity.js';
import { liveProcessOf, type PartStatus, type RunFile, removeRunFile, writeRunFile } from './run-file.js';

const WATCH_MS = 200;
const HEALTH_MS = 2_000;
/** While it starts, so that the start does not wait for the clock. */
const HEALTH_STARTING_MS = 250;
/** A part that was healthy may miss this many answers (a machine under load) before it is called unhealthy. */
const MISSED_MAX = 3;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** After running this long its next death is a new one, not one more of a row. */
const STEADY_MS = 60_000;
/** A part that dies this often before it was ever healthy will not come up: the start is given up. */
const START_ATTEMPTS = 3;
const ROTATE_MS = 30_000;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** How long to wait before the n-th restart in a row (1, 2, …). */
export const pauseBefore = (failures: number): number =>
  Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(16, failures - 1));

class Keeper {
  readonly status: PartStatus;
  isStopping = false;
  everHealthy = false;
  /** Switched off by the management system: it is neither kept running nor missed. */
  isOff = false;
  #wake: (() => void) | null = null;

  constructor(
    readonly part: Part,
    readonly folder: DataFolder,
    readonly adopted: ProcessIdentity | null,
    readonly onChange: () => void,
    readonly say: (text: string) => void,
  ) {
    this.status = {
      name: part.name,
      state: 'waiting',
      process: adopted,
      detail: waitsFor(part),
      restarts: 0,
    };
  }

  async run(isReady: (name: string) => boolean): Promise<void> {
    let { adopted } = this;
    for (let failures = 0; !this.isStopping; ) {
      if (this.isOff) {
        // An agent that a supervisor before this one was just ending.
        await stopPart(this.part, adopted ?? this.status.process, this.folder, this.say);
        adopted = null;
        failures = 0;
        // It has had its start: from here on it is kept trying, as one that was healthy is.
        this.everHealthy = true;
        this.#set('off', 'switched off', null);
        while (this.isOff && !this.isStopping) await this.#pause(WATCH_MS);
        continue;
      }
      if (!adopted) {
        this.#set('waiting', waitsFor(this.part), null);
        while (!this.part.after.every(isReady) && !this.#isToEnd) await this.#pause(WATCH_MS);
        if (this.#isToEnd) continue;
      }
      const startedAt = performance.now();
      const logFrom = sizeOf(this.folder.logOf(this.part.name));
      const exit = await this.#once(adopted);
      adopted = null;
      if (this.#isToEnd) continue;
      failures = this.everHealthy && performance.now() - startedAt > STEADY_MS ? 1 : failures + 1;
      const last = tail(this.folder.logOf(this.part.name), 5, logFrom);
      this.say(`${this.part.name} ${exit}`);
      if (!this.everHealthy && failures >= START_ATTEMPTS) {
        this.#set('failed', `${exit}${last ? `; the end of its log: ${last}` : ''}`, null);
        return;
      }
      this.status.restarts++;
      const pause = pauseBefore(failures);
      this.#set('restarting', `${exit}; started again in ${(pause / 1000).toFixed(1)} s`, null);
      await this.#pause(pause);
    }
  }

  /** One life of the process. @returns how it ended */
  async #once(adopted: ProcessIdentity | null): Promise<string> {
    let ended: string | null = null;
    let identity = adopted ?? this.part.find?.() ?? null;
    if (identity) this.say(`${this.part.name} runs already (pid ${identity.pid}): taken up`);
    else {
      this.#set('starting', 'it is starting', null);
      let launch: Awaited<ReturnType<Part['launch']>>;
      try {
        launch = await this.part.launch();
      } catch (error) {
        return `could not be started: ${(error as Error).message}`;
      }
      if (this.#isToEnd) return 'was not started';
      const log = openLog(this.folder.logOf(this.part.name));
      try {
        const { command, args, env, uid, gid } = launch;
        const child = spawn(command, args, {
          env,
          uid,
          gid,
          cwd: '/',
          detached: true,
          stdio: ['ignore', log, log],
        });
        child.on('error', (error) => {
          ended = `could not be started: ${error.message}`;
        });
        child.on('exit', (code, signal) => {
          ended = signal ? `was ended by ${signal}` : `ended with exit code ${code}`;
        });
        child.unref();
        identity = child.pid === undefined ? null : identify(child.pid);
      } finally {
        closeSync(log);
      }
      // The events come when the loop turns.
      if (identity === null) await sleep(20);
    }
    if (identity === null) return ended ?? 'ended at once';
    this.#set('starting', 'it is starting', identity);
    await this.#watch(identity);
    await sleep(20);
    return ended ?? 'is gone';
  }

  async #watch(identity: ProcessIdentity): Promise<void> {
    let missed = 0;
    let isHealthy = false;
    let nextHealthAt = 0;
    while (isAlive(identity) && !this.#isToEnd) {
      if (performance.now() >= nextHealthAt) {
        const health = await this.part
          .health()
          .catch((error: Error) => ({ isHealthy: false, detail: error.message }));
        if (this.#isToEnd) return;
        if (health.isHealthy) {
          missed = 0;
          if (!isHealthy) this.say(`${this.part.name} is healthy (pid ${identity.pid})`);
          isHealthy = true;
          this.everHealthy = true;
          this.#set('healthy', health.detail, identity);
        } else if (!isHealthy) this.#set('starting', health.detail, identity);
        else if (++missed >= MISSED_MAX) this.#set('unhealthy', health.detail, identity);
        nextHealthAt = performance.now() + (isHealthy && missed === 0 ? HEALTH_MS : HEALTH_STARTING_MS);
      }
      await this.#pause(WATCH_MS);
    }
  }

  get #isToEnd(): boolean {
    return this.isStopping || this.isOff;
  }

  /** Returns when its process, and what it left, is gone; or when it is no longer held off. */
  async switch(power: 'on' | 'off'): Promise<void> {
    if (this.status.state === 'failed') {
      throw new Error(
        `${this.part.name} could not be started and is given up: ${this.status.detail}; start the stack anew`,
      );
    }
    this.isOff = power === 'off';
    this.#wake?.();
    if (!this.isOff) return;
    while (this.status.state !== 'off' && this.isOff && !this.isStopping) await sleep(WATCH_MS);
  }

  /** Ends the process and what it leaves; nothing restarts it from now on. */
  async stop(): Promise<void> {
    this.isStopping = true;
    this.#wake?.();
    await stopPart(this.part, this.status.process, this.folder, this.say);
    this.#set('stopped', 'stopped', null);
  }

  #set(state: PartStatus['state'], detail: string, process: ProcessIdentity | null): void {
    const { status } = this;
    const isSame = status.state === state && status.detail === detail && status.process?.pid === process?.pid;
    Object.assign(status, { state, detail, process });
    if (!isSame) this.onChange();
  }

  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = null;
  }
}

const waitsFor = (part: Part): string => (part.after.length > 0 ? `waits for ${part.after.join(', ')}` : '');

/** Ends one part, whoever started it. */
export async function stopPart(
  part: Part,
  recorded: ProcessIdentity | null,
  folder: DataFolder,
  say: (text: string) => void,
): Promise<void> {
  const identity = recorded && isAlive(recorded) ? recorded : (part.find?.() ?? null);
  if (identity) {
    const how = await endProcess(identity, part.stopSignal, part.stopGraceMs);
    say(
      `${part.name} ${how === 'killed' ? `did not stop within ${part.stopGraceMs} ms and was killed` : 'stopped'}`,
    );
  }
  const launch = part.afterStop?.();
  if (!launch) return;
  const log = openLog(folder.logOf(part.name));
  try {
    const child = spawn(launch.command, launch.args, {
      env: launch.env,
      cwd: '/',
      stdio: ['ignore', log, log],
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), AFTER_STOP_MS);
    const code = await new Promise<number | null>((resolve) => {
      child.on('error', () => resolve(null));
      child.on('exit', resolve);
    });
    clearTimeout(timer);
    if (code !== 0) say(`the containers of ${part.name} were not all stopped (exit ${code}): see its log`);
  } finally {
    closeSync(log);
  }
}

/** Agents first (with their containers), side by side; then one after another what others need. */
export function stopOrder(parts: readonly Part[]): Part[][] {
  const first = parts.filter(({ after }) => after.includes('api'));
  const rest = ['api', 'portal', 'postgres'].flatMap((name) => parts.filter((part) => part.name === name));
  return [first, ...rest.map((part) => [part])];
}

export class Supervisor implements LocalNodes {
  readonly #keepers: Keeper[];
  #state: RunFile['state'] = 'starting';
  #reason = '';
  #writing: Promise<void> = Promise.resolve();
  #isDirty = false;
  #isStopping = false;

  constructor(
    readonly folder: DataFolder,
    readonly parts: readonly Part[],
    readonly url: string,
    readonly identity: ProcessIdentity,
    before: RunFile | null,
    readonly say: (text: string) => void,
  ) {
    this.#keepers = parts.map(
      (part) => new Keeper(part, folder, liveProcessOf(before, part.name), () => this.#changed(), say),
    );
    const off = readSwitchedOff(folder);
    for (const keeper of this.#nodeKeepers()) keeper.isOff = off.has(keeper.part.name);
  }

  names(): string[] {
    return this.#nodeKeepers().map(({ part }) => part.name);
  }

  status(node: string): { power: 'on' | 'off'; detail: string } {
    const { state, process, detail } = this.#keeperOf(node).status;
    if (state === 'off') return { power: 'off', detail: 'no process of it is left' };
    return {
      power: 'on',
      detail: `${state}${process ? `, process ${process.pid}` : ''}${detail ? `: ${detail}` : ''}`,
    };
  }

  async switch(node: string, power: 'on' | 'off'): Promise<void> {
    const keeper = this.#keeperOf(node);
    const off = new Set(
      this.#nodeKeepers()
        .filter(({ isOff }) => isOff)
        .map(({ part }) => part.name),
    );
    if (power === 'off') off.add(node);
    else off.delete(node);
    // Written first: a supervisor that is killed in between comes back to what was asked for.
    await writeSwitchedOff(this.folder, off);
    this.say(`${node} is switched ${power}`);
    await keeper.switch(power);
  }

  /** The agents: the only parts that stand for nodes. */
  #nodeKeepers(): Keeper[] {
    return this.#keepers.filter(({ part }) => part.after.includes('api'));
  }

  #keeperOf(node: string): Keeper {
    const keeper = this.#nodeKeepers().find(({ part }) => part.name === node);
    if (keeper) return keeper;
    throw new Error(`this stack has no node ${node}`);
  }

  /** Runs until stop() is called. */
  async run(): Promise<void> {
    this.#changed();
    const byName = new Map(this.#keepers.map((keeper) => [keeper.part.name, keeper]));
    const isReady = (name: string): boolean => byName.get(name)?.status.state === 'healthy';
    const rotating = setInterval(() => {
      for (const name of [...byName.keys(), 'supervisor']) {
        rotate(this.folder.logOf(name)).catch((error: Error) => this.say(`log of ${name}: ${error.message}`));
      }
    }, ROTATE_MS);
    try {
      await Promise.all(this.#keepers.map((keeper) => keeper.run(isReady)));
      // All keepers have returned: either each was stopped, or some gave up and the others go on until stop().
      while (!this.#isStopping) await sleep(WATCH_MS);
    } finally {
      clearInterval(rotating);
    }
  }

  async stop(): Promise<void> {
    if (this.#isStopping) return;
    this.#state = 'stopping';
    this.#changed();
    const keeperOf = (part: Part): Keeper => this.#keepers.find((keeper) => keeper.part === part)!;
    for (const keeper of this.#keepers) keeper.isStopping = true;
    for (const group of stopOrder(this.parts)) await Promise.all(group.map((part) => keeperOf(part).stop()));
    this.#isStopping = true;
    await this.#writing;
    await removeRunFile(this.folder);
  }

  #changed(): void {
    if (this.#state !== 'stopping') {
      const failed = this.#keepers.find(({ status }) => status.state === 'failed');
      if (failed) {
        this.#state = 'failed';
        this.#reason = `${failed.part.name} ${failed.status.detail}`;
      } else if (
        this.#state === 'starting' &&
        this.#keepers.every(({ everHealthy, isOff }) => everHealthy || isOff)
      ) {
        this.#state = 'running';
      }
    }
    if (this.#isDirty) return;
    this.#isDirty = true;
    this.#writing = this.#writing
      .then(() => {
        this.#isDirty = false;
        return writeRunFile(this.folder, {
          version: 1,
          supervisor: this.identity,
          url: this.url,
          state: this.#state,
          reason: this.#reason,
          parts: this.#keepers.map(({ status }) => status),
        });
      })
      .catch((error: Error) => this.say(`run.json could not be written: ${error.message}`));
  }
}
