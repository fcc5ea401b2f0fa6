import { type ChildProcess, spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { closeSync, existsSync, openSync, readSync, renameSync, statSync, truncateSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import {
  type ContainerMethod,
  type ContainerSpec,
  type ContainerState,
  DrvsError,
  type RpcContext,
  withBody,
} from '@drvs/contracts';
import type { Cgroup, CgroupTree } from '../limits/cgroup-tree.js';
import type { Log } from '../log.js';
import type { Privileges } from '../namespaces/privileges.js';
import { ContainerLink, type ContainerStatus, type LinkHooks } from './container-link.js';
import type { DeviceAccess } from './device-access.js';
import type { DrvmStore, Place, Runtime } from './drvm-store.js';
import { bootId, findContainers, isAlive, type ProcessIdentity, readStat, signal } from './host-processes.js';
import { CONTAINER_PIDS_MAX, containerCommand, describeIsolation } from './launch.js';
import type { PortHolder } from './ports.js';
import { RestartPolicy } from './restart-policy.js';
import type { StartGate } from './start-gate.js';

/**
 * The container of one DRVM on this node.
 *
 *     stopped ──start──▶ starting ──up──▶ running ◀──▶ degraded
 *        ▲                  ▲  ▲             │
 *        │              delay  └──── died ───┘
 *        └──stop── from anywhere   (too often: failed, tried again after a long delay)
 *
 * While it is wanted, one *watch* (an async loop with an AbortSignal) owns the process: it adopts or launches it, looks
 * after it, and starts it again. start, stop and remove run one after another and first end the watch; so two of them
 * never act on the process at once. Ending the watch leaves the process alone: that is how an agent goes away.
 *
 * Invariants: at most one process per folder (strays are looked for by command line before each launch); a process is
 * only ever signalled by pid *and* start time; the spec on disk is the one the container runs under or will get.
 */

/** A container with the smallest share of CPU needs many seconds to load its code. */
const START_TIMEOUT_MS = 100_000;
const STATUS_EVERY_MS = 2_000;
/** Without an answer for this long while its process lives, a container is taken for hung and killed. */
const HUNG_AFTER_MS = 45_000;
const POLL_MS = 20;
const POLL_SLOW_MS = 250;
/** After its grace a container gets this long to write its files and exit. */
const FLUSH_MS = 5_000;
const KILLED_WITHIN_MS = 10_000;
const EXIT_EVENT_MS = 500;
const REAPED_WITHIN_MS = 500;
const LOG_MAX_BYTES = 4 * 1024 * 1024;
const LOG_TAIL_BYTES = 600;
const MIB = 1_048_576;

export interface SupervisorSettings {
  tree: CgroupTree;
  privileges: Privileges;
  ports: PortHolder;
  gate: StartGate;
  /** The container's program (container/main.js). */
  containerMain: string;
  devices: DeviceAccess;
  log: Log;
  hooks: LinkHooks;
}

/** A process that runs a container. */
interface Running {
  process: ProcessIdentity;
  wrapper: ProcessIdentity | null;
  /** The host user that it runs as; null: the agent's. */
  uid: number | null;
  isolation: string;
  startedAtMs: number;
  link: ContainerLink | null;
  status: ContainerStatus | null;
  /** The spec that the process has. */
  applied: ContainerSpec | null;
  /** Set while it is a child of this very agent. */
  exit: Exit | null;
}

export class ContainerSupervisor {
  readonly #policy = new RestartPolicy();
  #spec: ContainerSpec | null;
  #state: ContainerState['state'] = 'stopped';
  #detail = '';
  #restarts = 0;
  #running: Running | null = null;
  /** What its process counted, also of one that has ended since: no byte is forgotten because it ended before a report. */
  #counted: Counted | null = null;
  #watch: { abort: AbortController; ended: Promise<void> } | null = null;
  /** Set while the watch waits before the next start. */
  #endDelay: (() => void) | null = null;
  /** start, update, stop and remove, one after another. */
  #turn: Promise<unknown> = Promise.resolve();
  /** While an update is being applied, the watch hands over nothing: its spec is the one before. */
  #isUpdating = false;
  /** Those who wait for the container to be up; told also of an attempt that failed. */
  #waiters: { up(): void; failed(error: DrvsError): void }[] = [];

  constructor(
    readonly store: DrvmStore,
    private readonly settings: SupervisorSettings,
  ) {
    this.#spec = store.spec();
  }

  get drvmId(): string {
    return this.store.drvmId;
  }

  get spec(): ContainerSpec | null {
    return this.#spec;
  }

  /** Takes up what runs, or starts what should run. Called once, when the agent starts. */
  resume(): void {
    if (this.#spec && this.store.wanted() === 'running') this.#beginWatch();
  }

  async start(spec: ContainerSpec): Promise<ContainerState> {
    // The wait is outside the turn: a stop must not queue behind a start that takes long.
    const { up } = await this.#inTurn(async () => {
      const place = this.#checkSpec(spec);
      const before = this.#spec;
      if (!isDeepStrictEqual(before, spec)) this.store.setSpec(spec);
      this.#spec = spec;
      this.store.setWanted('running');
      // Another certificate is another identity towards the peers: that takes a new process.
      const hasOtherIdentity =
        before !== null &&
        (before.certificate !== spec.certificate ||
          before.authorityCertificate !== spec.authorityCertificate);
      if (hasOtherIdentity) await this.#end(FLUSH_MS);
      if (this.#watch && this.#state === 'failed') await this.#endWatch();
      if (!this.#watch) {
        this.#policy.reset();
        this.#beginWatch();
      } else if (this.#isUp && this.#running) {
        await this.#update(this.#running, spec, place);
      } else this.#endDelay?.();
      return { up: this.#isUp ? Promise.resolve() : this.#untilUp() };
    });
    await up;
    return this.report();
  }

  /**
   * A newer spec for the container as it is: running, it goes on under the new one; stopped, it stays so. The spec is
   * kept only when all of it was applied; what was applied before a refusal is taken back.
   */
  async update(spec: ContainerSpec): Promise<ContainerState> {
    return this.#inTurn(async () => {
      const place = this.#checkSpec(spec);
      const before = this.#spec;
      if (before === null) {
        throw new DrvsError('StateConflict', `DRVM ${this.drvmId} was never started on this node`, {
          hint: 'Call drvm.start with this spec.',
        });
      }
      if (
        before.certificate !== spec.certificate ||
        before.authorityCertificate !== spec.authorityCertificate
      ) {
        throw new DrvsError('StateConflict', 'a running container cannot change its certificate', {
          hint: 'Call drvm.start with this spec: it starts the container anew.',
        });
      }
      this.#isUpdating = true;
      try {
        if (this.#isUp && this.#running) await this.#change(this.#running, before, spec, place);
        if (!isDeepStrictEqual(before, spec)) this.store.setSpec(spec);
        this.#spec = spec;
      } finally {
        this.#isUpdating = false;
      }
      return this.report();
    });
  }

  /** Its files stay; drvm.start brings it back. */
  stop(graceMs: number): Promise<void> {
    return this.#inTurn(async () => {
      this.store.setWanted('stopped');
      await this.#end(graceMs);
      this.#become('stopped', 'stopped on request');
    });
  }

  /** Stops the process and leaves what is wanted as it is: the next agent starts it again. */
  park(graceMs: number): Promise<void> {
    return this.#inTurn(async () => {
      await this.#end(graceMs);
      this.#become('stopped', 'stopped together with the agent');
    });
  }

  remove(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.store.exists) this.store.setWanted('stopped');
      await this.#end(0);
      const place = this.store.place();
      if (place) await this.settings.ports.release(place.port);
      await this.#group()?.remove();
      await this.store.remove();
      this.#become('stopped', 'removed');
    });
  }

  /** Stops looking after the container and leaves it running. */
  async leave(): Promise<void> {
    await this.#endWatch();
    this.#running?.link?.peer.close('the agent goes');
  }

  report(): ContainerState {
    const running = this.#running;
    const stat = running ? readStat(running.process.pid) : null;
    return {
      drvmId: this.drvmId,
      generation: this.#spec?.generation ?? 0,
      state: this.#state,
      detail: this.#detail,
      osPid: running?.process.pid ?? null,
      // The group's figure goes on over restarts of the process.
      cpuMs: this.#group()?.usage().cpuMs ?? stat?.cpuMs ?? 0,
      residentBytes: stat?.residentBytes ?? 0,
      guestMemoryBytes: running?.status?.guestMemoryBytes ?? 0,
      processes: running?.status?.processes ?? 0,
      restarts: this.#restarts,
      ...this.#counted,
      isolation: running?.isolation ?? '',
      home: running?.status?.home ?? null,
    };
  }

  /** Hands a call on, with body, chunks and cancellation in both directions. The caller sets the time limit. */
  async call(method: ContainerMethod, params: unknown, context: RpcContext): Promise<unknown> {
    const link = this.#running?.link;
    if (!link || link.peer.isClosed) {
      throw new DrvsError(
        'ContainerUnreachable',
        `DRVM ${this.drvmId} does not run on this node (${this.#state}${this.#detail && `: ${this.#detail}`})`,
        { hint: 'Start it with `drvs drvm start`, or wait until it is back.' },
      );
    }
    try {
      const reply = await link.peer.call(method, params, {
        body: context.body,
        signal: context.signal,
        timeoutMs: Number.POSITIVE_INFINITY,
        onChunk: (chunk, body) => context.chunk(chunk, body),
      });
      return withBody(reply.result, reply.body);
    } catch (error) {
      if (link.peer.isClosed && error instanceof DrvsError && error.code === 'NodeUnreachable') {
        throw new DrvsError(
          'ContainerUnreachable',
          `the container of DRVM ${this.drvmId} ended during ${method}; whether it was done is not known`,
          { hint: 'It is being started again. Look at the present state, then try again.', cause: error },
        );
      }
      throw error;
    }
  }

  get #isUp(): boolean {
    return this.#state === 'running' || this.#state === 'degraded';
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }

  #become(state: ContainerState['state'], detail: string): void {
    this.#state = state;
    this.#detail = detail;
  }

  /** @throws DrvsError when this spec must not or cannot be run here. */
  #checkSpec(spec: ContainerSpec): Place {
    const place = this.store.place();
    const key = this.store.key();
    if (!place || !key) {
      throw new DrvsError('StateConflict', `DRVM ${spec.drvmId} was not prepared on this node`, {
        hint: 'Call drvm.prepare first and sign the certificate request that it answers.',
      });
    }
    if (this.#spec && spec.generation < this.#spec.generation) {
      throw new DrvsError(
        'StaleGeneration',
        `generation ${spec.generation} of DRVM ${spec.drvmId} is older than ${this.#spec.generation}, which this node holds`,
        { hint: 'Read the present spec and change that.' },
      );
    }
    if (place.index !== spec.index) {
      throw new DrvsError(
        'StateConflict',
        `DRVM ${spec.drvmId} was prepared here with index ${place.index}, not ${spec.index}`,
        { hint: 'The index never changes. Delete the DRVM on this node and prepare it again.' },
      );
    }
    const own = spec.peers.find((peer) => peer.index === spec.index);
    if (own && own.port !== place.port) {
      throw new DrvsError(
        'StateConflict',
        `the spec says port ${own.port}, but port ${place.port} was prepared here`,
        { hint: 'Use what drvm.prepare answers.' },
      );
    }
    checkCertificate(spec, key);
    return place;
  }

  async #update(running: Running, spec: ContainerSpec, place: Place): Promise<void> {
    if (!running.link || isDeepStrictEqual(running.applied, spec)) return;
    this.#limit(spec);
    await this.#give(running.link, spec, place);
    running.applied = spec;
    running.isolation = this.#isolation(spec, place);
    this.#writeRuntime(running);
  }

  /** Room is given before it is used and taken after it is free: the limits of the host last when memory shrinks. */
  async #change(running: Running, before: ContainerSpec, spec: ContainerSpec, place: Place): Promise<void> {
    const { link } = running;
    if (!link || link.peer.isClosed) {
      throw new DrvsError(
        'ContainerUnreachable',
        `the container of DRVM ${this.drvmId} does not answer now`,
        {
          hint: 'It is looked after; try again in some seconds.',
        },
      );
    }
    const give = (to: ContainerSpec) => this.#give(link, to, place);
    if (spec.limits.memoryMiB < before.limits.memoryMiB) {
      await give(spec);
      try {
        await this.#checkResident(link, spec);
        this.#limit(spec);
      } catch (error) {
        this.#limit(before);
        await give({ ...before, generation: spec.generation });
        throw error;
      }
    } else {
      this.#limit(spec);
      try {
        await give(spec);
      } catch (error) {
        this.#limit(before);
        throw error;
      }
    }
    running.applied = spec;
    running.isolation = this.#isolation(spec, place);
    this.#writeRuntime(running);
  }

  /** With the devices that it can open; what it has no longer, it has closed when this returns. */
  async #give(link: ContainerLink, spec: ContainerSpec, place: Place): Promise<void> {
    const access = this.settings.devices;
    const devices = access.grant(this.drvmId, spec.devices ?? [], this.#uid(place));
    await link.peer.call('container.update', { ...spec, devices });
    access.withdraw(this.drvmId, devices);
  }

  /** Control groups of version 2 would kill the container for what version 1 refuses; so this is asked first. */
  async #checkResident(link: ContainerLink, { limits }: ContainerSpec): Promise<void> {
    const { residentBytes } = await link.status();
    if (residentBytes <= limits.memoryMiB * MIB) return;
    throw new DrvsError(
      'StateConflict',
      `the container of DRVM ${this.drvmId} holds ${Math.ceil(residentBytes / MIB)} MiB now; ${limits.memoryMiB} MiB are less`,
      {
        hint: 'End some of its processes or move them to another node, then shrink it.',
        details: { class: 'memoryMiB', used: Math.ceil(residentBytes / MIB), wanted: limits.memoryMiB },
      },
    );
  }

  /**
   * A spec that came while the container was starting, or that the last agent kept and could not hand over. A container
   * that cannot take it goes on with the one it has: that is no reason to end a DRVM.
   */
  async #handOver(running: Running, place: Place): Promise<void> {
    if (this.#isUpdating) return;
    try {
      this.#group()?.create();
      await this.#update(running, this.#spec as ContainerSpec, place);
    } catch (error) {
      this.settings.log.warn({ drvm: this.drvmId, err: error }, 'newer spec not handed over yet');
      this.#become('degraded', `its newer spec cannot be applied: ${(error as Error).message}`);
    }
  }

  #group(): Cgroup | null {
    return this.settings.tree.isEmpty ? null : this.settings.tree.group('drvms', this.drvmId);
  }

  #limit(spec: ContainerSpec): void {
    const { cpuMilli, memoryMiB } = spec.limits;
    try {
      this.#group()?.set({ cpuMilli, memoryMiB, pids: CONTAINER_PIDS_MAX });
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw new DrvsError(
        code === 'EBUSY' ? 'StateConflict' : 'Internal',
        `the limits ${cpuMilli}m CPU, ${memoryMiB} MiB cannot be set for DRVM ${this.drvmId}: ${message}`,
        {
          hint:
            code === 'EBUSY'
              ? 'It uses more memory than that now: end some of its processes first.'
              : undefined,
        },
      );
    }
  }

  #uid(place: Place): number | null {
    return this.settings.privileges.hasOwnUsers ? place.uid : null;
  }

  #isolation(spec: ContainerSpec, place: Place): string {
    const { tree, privileges } = this.settings;
    return describeIsolation(
      { privileges, uid: this.#uid(place), limits: spec.limits },
      { cpu: tree.versionOf('cpu'), memory: tree.versionOf('memory'), pids: tree.versionOf('pids') },
    );
  }

  #untilUp(): Promise<void> {
    return new Promise((resolve, reject) => this.#waiters.push({ up: resolve, failed: reject }));
  }

  #tellWaiters(error: DrvsError | null): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) error === null ? waiter.up() : waiter.failed(error);
  }

  #beginWatch(): void {
    const abort = new AbortController();
    this.#become('starting', '');
    const ended = this.#lookAfter(abort.signal).catch((error: unknown) => {
      if (abort.signal.aborted) return;
      // The loop handles what can fail; this is a defect of the agent. It must not take other DRVMs with it.
      this.settings.log.error({ drvm: this.drvmId, err: error }, 'looking after the container failed');
      this.#become('failed', `the agent failed: ${(error as Error).message}`);
      this.#tellWaiters(DrvsError.from(error));
      this.#watch = null;
    });
    this.#watch = { abort, ended };
  }

  async #endWatch(): Promise<void> {
    const watch = this.#watch;
    this.#watch = null;
    watch?.abort.abort();
    await watch?.ended;
    this.#tellWaiters(new DrvsError('Cancelled', 'the container was stopped while it started'));
  }

  /** The watch. Returns only when aborted. */
  async #lookAfter(aborted: AbortSignal): Promise<void> {
    let isFirst = true;
    while (!aborted.aborted) {
      const beganAt = performance.now();
      let end: string;
      try {
        this.#running =
          (isFirst && (await this.#adopt(aborted))) ||
          (await this.settings.gate.run(() => this.#launch(aborted), aborted));
        isFirst = false;
        end = await this.#attend(this.#running, aborted);
      } catch (error) {
        if (aborted.aborted) return;
        end = (error as Error).message;
      }
      if (aborted.aborted) return;
      this.#running?.link?.peer.close('the container has ended');
      this.#running = null;
      await this.#killStrays();
      this.store.clearRuntime();
      this.#restarts++;
      isFirst = false;
      const { delayMs, hasGivenUp } = this.#policy.died(performance.now() - beganAt);
      const again = `started again in ${Math.ceil(delayMs / 1_000)} s`;
      this.settings.log.warn({ drvm: this.drvmId, end, delayMs }, 'container ended');
      this.#become(
        hasGivenUp ? 'failed' : 'starting',
        hasGivenUp ? `${end}; given up for now, ${again}` : `${end}; ${again}`,
      );
      this.#tellWaiters(new DrvsError('ContainerUnreachable', `DRVM ${this.drvmId} did not start: ${end}`));
      await this.#delay(delayMs, aborted);
    }
  }

  /** Ends early when a start is asked for. */
  async #delay(delayMs: number, aborted: AbortSignal): Promise<void> {
    const asked = new AbortController();
    this.#endDelay = () => asked.abort();
    await sleep(delayMs, undefined, { signal: AbortSignal.any([aborted, asked.signal]) }).catch(() => {});
    this.#endDelay = null;
  }

  /** A container that an earlier agent started and that still runs, or null. */
  async #adopt(aborted: AbortSignal): Promise<Running | null> {
    const runtime = this.store.runtime(bootId());
    const place = this.store.place();
    if (!runtime || !place || !isAlive(runtime.process)) return null;
    const running: Running = {
      process: runtime.process,
      wrapper: runtime.wrapper,
      uid: runtime.uid,
      isolation: runtime.isolation,
      startedAtMs: Date.parse(runtime.startedAt),
      link: null,
      status: null,
      applied: null,
      exit: null,
    };
    try {
      await this.#connect(running, aborted);
      this.settings.log.info(
        { drvm: this.drvmId, pid: running.process.pid },
        'running container taken up again',
      );
      return running;
    } catch (error) {
      if (aborted.aborted) throw error;
      this.settings.log.warn({ drvm: this.drvmId, err: error }, 'container found running is not usable');
      running.link?.peer.close();
      await this.#kill(running);
      return null;
    }
  }

  async #launch(aborted: AbortSignal): Promise<Running> {
    const { settings, store } = this;
    const spec = this.#spec as ContainerSpec;
    const place = store.place() as Place;
    const uid = this.#uid(place);
    this.#become('starting', 'the container is being started');
    await this.#killStrays();
    store.clearRuntime();
    store.handTo(uid);
    const group = this.#group();
    group?.create();
    this.#limit(spec);
    this.#rotateLog();
    const [file, ...args] = containerCommand({
      privileges: settings.privileges,
      group,
      uid,
      limits: spec.limits,
      main: settings.containerMain,
      folder: store.folder.root,
      host: place.host,
      port: place.port,
    });
    const memoryKills = group?.usage().memoryKills ?? 0;
    await settings.ports.release(place.port);
    aborted.throwIfAborted();
    const log = openSync(store.folder.log, 'a', 0o600);
    let child: ChildProcess;
    try {
      child = spawn(file as string, args, {
        cwd: '/',
        detached: true,
        stdio: ['ignore', log, log],
        env: { PATH: process.env.PATH, LANG: 'C.UTF-8', NODE_ENV: 'production' },
      });
    } finally {
      closeSync(log);
    }
    child.unref();
    const exit: Exit = { reason: null };
    child.once('error', (error) => {
      exit.reason = error.message;
    });
    child.once('exit', (code, signalName) => {
      exit.reason = this.#explainExit(code, signalName, memoryKills);
    });
    try {
      const running = await this.#identify(child, spec, aborted, exit);
      this.#writeRuntime(running);
      await this.#connect(running, aborted);
      settings.log.info({ drvm: this.drvmId, pid: running.process.pid }, 'container started');
      return running;
    } catch (error) {
      // Aborted while starting (stop, or the agent goes): the process must not be left half started.
      await this.#killStrays();
      throw error;
    }
  }

  /** Waits until the shell has become the container (inside its namespaces) and learns who it is. */
  async #identify(
    child: ChildProcess,
    spec: ContainerSpec,
    aborted: AbortSignal,
    exit: Exit,
  ): Promise<Running> {
    const isWrapped = this.settings.privileges.unshare.includes('--fork');
    const deadline = performance.now() + START_TIMEOUT_MS;
    for (;;) {
      aborted.throwIfAborted();
      if (exit.reason !== null) throw new Error(exit.reason);
      const found = findContainers(this.store.folder.root);
      const wrapper = found.find(({ pid, role }) => role === 'wrapper' && pid === child.pid) ?? null;
      const inner = found.find(
        ({ pid, role }) => role === 'container' && (isWrapped ? wrapper : pid === child.pid),
      );
      if (inner) {
        return {
          process: { pid: inner.pid, startTicks: inner.startTicks },
          wrapper: wrapper && { pid: wrapper.pid, startTicks: wrapper.startTicks },
          uid: this.#uid(this.store.place() as Place),
          isolation: this.#isolation(spec, this.store.place() as Place),
          startedAtMs: Date.now(),
          link: null,
          status: null,
          // Its devices are handed to it when it is up.
          applied: spec.devices?.length ? null : spec,
          exit,
        };
      }
      if (performance.now() > deadline) throw new Error(`no process after ${START_TIMEOUT_MS} ms`);
      await sleep(POLL_MS);
    }
  }

  /** Opens the control socket and waits until the container says that it is up. */
  async #connect(running: Running, aborted: AbortSignal): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    let trouble = 'it has not opened its control socket';
    let pauseMs = POLL_MS;
    while (performance.now() < deadline) {
      aborted.throwIfAborted();
      if (!isAlive(running.process)) throw new Error(await this.#explainDeath(running, 0));
      try {
        if (!running.link || running.link.peer.isClosed) {
          running.link = await ContainerLink.open(
            this.store.folder.socket,
            this.drvmId,
            running.uid,
            this.settings.hooks,
          );
        }
        running.status = await running.link.status();
        if (running.status.state !== 'starting') return;
        trouble = `it is still starting: ${running.status.detail}`;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') trouble = (error as Error).message;
      }
      await sleep(pauseMs);
      pauseMs = Math.min(POLL_SLOW_MS, pauseMs * 1.5);
    }
    throw new Error(`it was not up after ${START_TIMEOUT_MS / 1_000} s: ${trouble}`);
  }

  /** Looks after a container that is up. @returns why it ended. */
  async #attend(running: Running, aborted: AbortSignal): Promise<string> {
    const place = this.store.place() as Place;
    const memoryKills = this.#group()?.usage().memoryKills ?? 0;
    let answeredAt = performance.now();
    let wake: () => void = () => {};
    this.#note(running.status as ContainerStatus);
    await this.#handOver(running, place);
    this.#tellWaiters(null);
    running.link?.peer.onClosed(() => wake());
    while (!aborted.aborted) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, STATUS_EVERY_MS);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
        aborted.addEventListener('abort', wake, { once: true });
        if (running.link?.peer.isClosed) setTimeout(wake, POLL_MS);
      });
      aborted.removeEventListener('abort', wake);
      if (aborted.aborted) break;
      if (!isAlive(running.process)) return this.#explainDeath(running, memoryKills);
      try {
        if (!running.link || running.link.peer.isClosed) {
          running.link = await ContainerLink.open(
            this.store.folder.socket,
            this.drvmId,
            running.uid,
            this.settings.hooks,
          );
          running.link.peer.onClosed(() => wake());
        }
        running.status = await running.link.status();
        answeredAt = performance.now();
        this.#note(running.status);
        await this.#handOver(running, place);
      } catch (error) {
        const silentMs = performance.now() - answeredAt;
        if (silentMs > HUNG_AFTER_MS) {
          await this.#kill(running);
          return `it did not answer for ${Math.round(silentMs / 1_000)} s (${(error as Error).message}) and was killed`;
        }
        if (isAlive(running.process)) {
          this.#become('degraded', `it does not answer: ${(error as Error).message}`);
        }
      }
      this.#trimLog();
    }
    return 'no longer looked after';
  }

  #note(status: ContainerStatus): void {
    this.#count(status);
    const isUp = status.state === 'running';
    this.#become(isUp ? 'running' : 'degraded', isUp ? '' : status.detail || status.state);
  }

  #count({ incarnation, disk, network: { receivedBytes, sentBytes } }: ContainerStatus): void {
    this.#counted = {
      incarnation,
      countedAtMs: performance.now(),
      io: disk,
      network: { receivedBytes, sentBytes },
    };
  }

  /** Ends the watch and the process: asked first, then told, then killed. */
  async #end(graceMs: number): Promise<void> {
    await this.#endWatch();
    let running = this.#running;
    this.#running = null;
    if (!running) {
      const runtime = this.store.exists ? this.store.runtime(bootId()) : null;
      if (runtime)
        running = { ...runtime, startedAtMs: 0, link: null, status: null, applied: null, exit: null };
    }
    if (running) {
      const { process: identity } = running;
      if (isAlive(identity) && graceMs > 0) {
        const limitMs = graceMs + FLUSH_MS;
        const { link } = running;
        const asked = link !== null && !link.peer.isClosed;
        if (asked) {
          // Before it stops it says what it has counted. One that hangs is not waited for twice.
          const told = link.status().then(
            (status) => this.#count(status),
            () => undefined,
          );
          const stopped = link.peer
            .call('container.stop', { graceMs }, { timeoutMs: limitMs })
            .catch((error) => {
              this.settings.log.warn({ drvm: this.drvmId, err: error }, 'container.stop failed');
              signal(identity, 'SIGTERM');
            });
          await Promise.all([told, stopped]);
        } else signal(identity, 'SIGTERM');
        await untilGone(identity, asked ? FLUSH_MS : limitMs);
      }
      running.link?.peer.close('stopped');
      await this.#kill(running);
    }
    if (this.store.exists) {
      await this.#killStrays();
      this.store.clearRuntime();
      this.settings.devices.withdraw(this.drvmId, []);
    }
    await this.#group()?.remove();
  }

  async #kill(running: Pick<Running, 'process' | 'wrapper'>): Promise<void> {
    signal(running.process, 'SIGKILL');
    if (!(await untilGone(running.process, KILLED_WITHIN_MS))) {
      throw new DrvsError('Internal', `process ${running.process.pid} of DRVM ${this.drvmId} does not die`, {
        hint: 'It waits for the host (a disk that does not answer?). Look at the host.',
      });
    }
  }

  /** Ends every process of this folder. A wrapper ends by itself when it has reaped what it wraps. */
  async #killStrays(): Promise<void> {
    for (let round = 0; round < KILLED_WITHIN_MS / POLL_MS; round++) {
      const found = findContainers(this.store.folder.root);
      if (found.length === 0) return;
      for (const stray of found) {
        if (stray.role !== 'wrapper' || round * POLL_MS >= REAPED_WITHIN_MS) signal(stray, 'SIGKILL');
      }
      await sleep(POLL_MS);
    }
    throw new Error('a process of an earlier start does not die');
  }

  #writeRuntime(running: Running): void {
    const runtime: Runtime = {
      boot: bootId(),
      process: running.process,
      wrapper: running.wrapper,
      uid: running.uid,
      isolation: running.isolation,
      startedAt: new Date(running.startedAtMs).toISOString(),
    };
    this.store.setRuntime(runtime);
  }

  async #explainDeath(running: Running, memoryKills: number): Promise<string> {
    // A child's exit event, which says more, is on its way.
    for (
      let waited = 0;
      running.exit && running.exit.reason === null && waited < EXIT_EVENT_MS;
      waited += POLL_MS
    ) {
      await sleep(POLL_MS);
    }
    if (running.exit?.reason) return running.exit.reason;
    if (this.#wasKilledForMemory(memoryKills)) return this.#memoryText();
    return `the container ended${this.#logTail()}`;
  }

  #explainExit(code: number | null, signalName: NodeJS.Signals | null, memoryKills: number): string {
    if (this.#wasKilledForMemory(memoryKills)) return this.#memoryText();
    const how = code === null ? `ended by ${signalName}` : `exit ${code}`;
    return `the container ended (${how})${this.#logTail()}`;
  }

  #wasKilledForMemory(before: number): boolean {
    return (this.#group()?.usage().memoryKills ?? 0) > before;
  }

  #memoryText(): string {
    return `the kernel killed it for going over its ${this.#spec?.limits.memoryMiB} MiB of memory`;
  }

  /** The last line that the container wrote, which says why it ended. */
  #logTail(): string {
    try {
      const fd = openSync(this.store.folder.log, 'r');
      try {
        const size = statSync(this.store.folder.log).size;
        const bytes = Buffer.alloc(Math.min(size, LOG_TAIL_BYTES));
        readSync(fd, bytes, 0, bytes.length, size - bytes.length);
        const line = bytes.toString('utf8').trim().split('\n').at(-1);
        return line ? `: ${line}` : '';
      } finally {
        closeSync(fd);
      }
    } catch {
      return '';
    }
  }

  #rotateLog(): void {
    const { log } = this.store.folder;
    if (existsSync(log) && statSync(log).size > LOG_MAX_BYTES / 4) renameSync(log, `${log}.1`);
  }

  /** The container appends (O_APPEND), so cutting the file is safe while it runs. */
  #trimLog(): void {
    const { log } = this.store.folder;
    if (existsSync(log) && statSync(log).size > LOG_MAX_BYTES) truncateSync(log, 0);
  }
}

type Counted = Required<Pick<ContainerState, 'incarnation' | 'countedAtMs' | 'io' | 'network'>>;

interface Exit {
  /** Why the child has ended, once it has. */
  reason: string | null;
}

async function untilGone(identity: ProcessIdentity, withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (isAlive(identity)) {
    if (performance.now() > deadline) return false;
    await sleep(POLL_MS);
  }
  return true;
}

/** @throws DrvsError unless the certificate is of this key and was signed by the DRVM's authority. */
function checkCertificate(spec: ContainerSpec, key: string): void {
  let isOfThisKey: boolean;
  let isOfThisAuthority: boolean;
  try {
    const certificate = new X509Certificate(spec.certificate);
    isOfThisKey = certificate.checkPrivateKey(createPrivateKey(key));
    isOfThisAuthority = certificate.verify(new X509Certificate(spec.authorityCertificate).publicKey);
  } catch (error) {
    throw new DrvsError('InvalidInput', `the certificate cannot be read: ${(error as Error).message}`, {
      field: 'certificate',
    });
  }
  if (isOfThisKey && isOfThisAuthority) return;
  throw new DrvsError(
    'StateConflict',
    isOfThisKey
      ? "the certificate was not signed by the DRVM's authority"
      : 'the certificate was issued for another key than the one kept here',
    { hint: 'Call drvm.prepare and sign the certificate request that it answers now.' },
  );
}
