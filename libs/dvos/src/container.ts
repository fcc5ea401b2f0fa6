import { mkdirSync } from 'node:fs';
import {
  type ContainerEvent,
  type ContainerMethod,
  ContainerMethods,
  type ContainerSpec,
  DrvsError,
  DVOS_MEMORY_MIB,
  type RpcContext,
  type RpcPeer,
  withBody,
} from '@drvs/contracts';
import {
  EIO,
  type Endpoint,
  IpcKernel,
  LEFT_DRVM,
  Message,
  type Owner,
  PM,
  SERVER_PRIVILEGES,
  type Transport,
} from '@drvs/drvmm-core';
import { z } from 'zod';
import { Home } from './home.js';
import { dvosCalls } from './kernel/dvos-calls.js';
import { type Ending, endingOfSignal } from './kernel/ending.js';
import { giveMemoryBack } from './kernel/give-memory-back.js';
import { Kernel } from './kernel/kernel.js';
import { Modules } from './kernel/modules.js';
import type { ProcessIdentity } from './kernel/process.js';
import { Processor } from './kernel/processor.js';
import { SIGKILL, SIGTERM } from './kernel/signals.js';
import { EndedReport, EndReports, PM_ENDED, remoteSystask, Systask } from './kernel/systask.js';
import { heedBranchHints } from './loader/engine.js';
import { Nodes } from './nodes.js';
import { ProcessJournal } from './process-journal.js';
import { type Instrument, Programs } from './programs.js';
import { Pm } from './servers/pm/pm.js';
import type { Server, ServerPort } from './servers/server.js';
import { openStorage, type Storage } from './storage.js';
import { installSystemPrograms } from './system-programs.js';
import { wasiCalls, wasiUnstableCalls } from './wasi/index.js';

const MIB = 1_048_576;
const GIB = 1_024 * MIB;
const HOME = 0;
/** Calls of users that are passed on to home: they may wait for the end of a process. */
const NO_TIMEOUT_MS = Number.POSITIVE_INFINITY;
/** After a stop, reports of ends get so long to reach home. */
const REPORTS_GRACE_MS = 2_000;
const POLL_MS = 20;

/** Methods that are about this container, not about the DRVM. */
const OWN_METHODS: ReadonlySet<ContainerMethod> = new Set([
  'container.status',
  'container.update',
  'container.stop',
]);

export interface MolContainerOptions {
  readonly spec: ContainerSpec;
  /** Of this OS process; another one means that the state of the former is gone. */
  readonly incarnation: string;
  readonly dataFolder: string;
  /** Not started yet: the container sets its events, starts and closes it. */
  readonly transport: Transport;
  readonly instrument: Instrument;
  readonly emit: (event: ContainerEvent) => void;
}

export type ContainerStatus = z.infer<(typeof ContainerMethods)['container.status']['result']>;

/**
 * One container of a DRVM whose DVOS is `mol`: the IPC kernel, the guests of this node, and at home (index 0) the
 * servers PM, VFS and TTY.
 *
 *     agent ──call──▶ MolContainer ──▶ Home (index 0): table, migrations, files, output
 *                        │  │             │ systask
 *                        │  └─ other index: passed on to home over the control lane
 *                        ▼                ▼
 *                     Kernel: guests ◀── Systask ──▶ system tasks of the other containers
 *                        │ messages
 *                        ▼
 *                     IpcKernel ──▶ PM, VFS, TTY here, or by the transport at home
 */
export class MolContainer {
  readonly #o: MolContainerOptions;
  readonly #ipc: IpcKernel;
  readonly #kernel: Kernel;
  readonly #systask: Systask;
  readonly #nodes: Nodes;
  readonly #reports: EndReports;
  readonly #programs: Programs;
  #spec: ContainerSpec;
  #home: Home | null = null;
  #storage: Storage | null = null;
  #journal: ProcessJournal | null = null;
  #state: 'starting' | 'running' | 'stopping' = 'starting';
  #homeIncarnation: string | null = null;
  #stopping: Promise<void> | null = null;
  /** Why files cannot be stored at present, if they cannot. */
  #trouble: string | null = null;

  constructor(options: MolContainerOptions) {
    const { spec, transport } = options;
    this.#o = options;
    this.#spec = spec;
    this.#ipc = new IpcKernel({
      index: spec.index,
      network: { send: (peer, frame) => void transport.sendIpc(peer, frame) },
    });
    const container = this;
    heedBranchHints();
    const processor = new Processor({
      wasi_snapshot_preview1: wasiCalls,
      wasi_unstable: wasiUnstableCalls,
      dvos: dvosCalls({
        index: spec.index,
        get name() {
          return container.#nodes.nameOf(spec.index);
        },
        get count() {
          return container.#nodes.count;
        },
      }),
    });
    this.#kernel = new Kernel({
      ipc: this.#ipc,
      processor,
      modules: new Modules(),
      memoryLimitBytes: guestMemoryBytes(spec),
      onEnded: (identity, ending, cpuMs) => this.#ended(identity, ending, cpuMs),
    });
    this.#kernel.scheduler.cpuMilli = spec.limits.cpuMilli;
    this.#systask = new Systask({
      index: spec.index,
      kernel: this.#kernel,
      cpuMilli: () => this.#spec.limits.cpuMilli,
      control: (peer) => transport.control(peer),
    });
    this.#nodes = new Nodes(
      (index, name) =>
        index === spec.index ? this.#systask.local : remoteSystask(() => transport.control(index), name),
      (index) => index === spec.index || transport.isUp(index),
    );
    this.#nodes.setPeers(spec.peers);
    this.#reports = new EndReports(() => transport.control(0));
    this.#programs = new Programs(options.dataFolder, options.instrument);
  }

  get #isHome(): boolean {
    return this.#spec.index === 0;
  }

  /** @throws DrvsError when the data folder is damaged, Error when the port is taken. */
  async start(): Promise<void> {
    const { dataFolder, transport, emit } = this.#o;
    mkdirSync(dataFolder, { recursive: true, mode: 0o700 });
    if (this.#isHome) await this.#startHome();
    transport.events = {
      ipc: (peer, frame) => this.#ipc.deliver(peer, frame),
      peerUp: (peer, incarnation) => this.#peerUp(peer, incarnation),
      peerLost: (peer, reason) => this.#peerLost(peer, reason),
      control: (_peer, rpc) => this.#serve(rpc),
    };
    transport.setPeers(this.#spec.peers);
    await transport.start();
    this.#state = 'running';
    if (this.#journal !== null && this.#journal.former.length > 0) {
      emit(this.#event('system.restarted', null, this.#spec.index, 'the home container was restarted'));
    }
  }

  async #startHome(): Promise<void> {
    const { dataFolder, emit } = this.#o;
    await this.#programs.open();
    this.#journal = new ProcessJournal(dataFolder);
    this.#storage = openStorage({
      dataFolder,
      diskBytes: this.#spec.limits.diskGiB * 1024 * MIB,
      port: (endpoint) => this.#portOf(endpoint),
      onTrouble: (trouble) => {
        this.#trouble = trouble;
      },
    });
    const { vfs, tty, servers } = this.#storage;
    installSystemPrograms(vfs);
    this.#home = new Home({
      drvmId: this.#spec.drvmId,
      ipc: this.#ipc,
      nodes: this.#nodes,
      programs: this.#programs,
      journal: this.#journal,
      vfs,
      tty,
      emit,
    });
    this.#bindServer(new Pm(this.#portOf(PM), this.#home.table, this.#home));
    for (const server of servers) this.#bindServer(server);
  }

  /**
   * A newer spec; an older one changes nothing.
   * @throws DrvsError InvalidInput when it is another's; StateConflict when it allows less than is in use, or leaves a
   * node out that is in use. Then nothing was changed.
   */
  async update(spec: ContainerSpec): Promise<void> {
    if (spec.drvmId !== this.#spec.drvmId || spec.index !== this.#spec.index) {
      throw new DrvsError('InvalidInput', `the spec is of container ${spec.index} of DRVM ${spec.drvmId}`);
    }
    if (spec.generation < this.#spec.generation) return;
    this.#checkUse(spec);
    const isShrinking = spec.limits.memoryMiB < this.#spec.limits.memoryMiB;
    this.#spec = spec;
    this.#kernel.memoryLimitBytes = guestMemoryBytes(spec);
    this.#kernel.scheduler.cpuMilli = spec.limits.cpuMilli;
    this.#storage?.vfs.setLimit(spec.limits.diskGiB * 1024 * MIB);
    this.#nodes.setPeers(spec.peers);
    this.#o.transport.setPeers(spec.peers);
    if (isShrinking) giveMemoryBack();
  }

  /** @throws DrvsError StateConflict when the spec allows less than is in use, or leaves out a node that is in use. */
  #checkUse(spec: ContainerSpec): void {
    const { limits, peers } = spec;
    const before = this.#spec;
    const used = this.#kernel.memoryBytes;
    const allowed = guestMemoryBytes(spec);
    if (limits.memoryMiB < before.limits.memoryMiB && used > allowed) {
      throw inUse(
        'memoryMiB',
        Math.ceil(used / MIB),
        allowed / MIB,
        `the programs on ${this.#nodes.nameOf(spec.index)} use ${Math.ceil(used / MIB)} MiB; of ${limits.memoryMiB} MiB, ${allowed / MIB} MiB would be for programs`,
        'End some of its processes or move them to another node, then shrink it.',
      );
    }
    const files = this.#storage?.vfs.usage().usedBytes ?? 0;
    if (limits.diskGiB < before.limits.diskGiB && files > limits.diskGiB * GIB) {
      throw inUse(
        'diskGiB',
        files / GIB,
        limits.diskGiB,
        `the DRVM’s files take ${(files / GIB).toFixed(3)} GiB; ${limits.diskGiB} GiB are less`,
        'Remove some files, then shrink it.',
      );
    }
    const stay = new Set(peers.map(({ index }) => index));
    if (!stay.has(spec.index) || !stay.has(HOME)) {
      throw new DrvsError('StateConflict', 'the spec leaves out this very container, or the home container');
    }
    for (const { index, nodeName } of before.peers) {
      const count = stay.has(index) ? 0 : (this.#home?.processesOn(index) ?? 0);
      if (count === 0) continue;
      throw inUse(
        'processes',
        count,
        0,
        `${count} processes of the DRVM are on ${nodeName}, which the spec leaves out`,
        'Move them to another node (`drvs migrate`) or end them first.',
      );
    }
  }

  status(): ContainerStatus {
    const { transport, incarnation } = this.#o;
    const links = this.#spec.peers
      .filter(({ index }) => index !== this.#spec.index)
      .map(({ index }) => ({ index, state: transport.isUp(index) ? ('up' as const) : ('down' as const) }));
    const problems = links
      .filter(({ state }) => state === 'down')
      .map(({ index }) => `no link to ${this.#nodes.nameOf(index)}`);
    if (this.#trouble !== null) problems.push(this.#trouble);
    const { user, system } = process.cpuUsage();
    return {
      drvmId: this.#spec.drvmId,
      index: this.#spec.index,
      state: this.#state === 'running' && problems.length > 0 ? 'degraded' : this.#state,
      detail: problems.join('; '),
      incarnation,
      osPid: process.pid,
      processes: this.#kernel.size,
      guestMemoryBytes: this.#kernel.memoryBytes,
      residentBytes: process.memoryUsage.rss(),
      cpuMs: Math.round((user + system) / 1000),
      links,
    };
  }

  /** Ends the guests (SIGTERM, after `graceMs` SIGKILL), makes all files durable, closes the links. */
  stop(graceMs: number): Promise<void> {
    this.#stopping ??= this.#stop(graceMs);
    return this.#stopping;
  }

  async #stop(graceMs: number): Promise<void> {
    this.#state = 'stopping';
    if (this.#home !== null) await this.#home.stopAll(graceMs);
    else await this.#endGuests(graceMs);
    this.#kernel.close();
    this.#reports.close();
    await this.#o.transport.close();
    this.#storage?.close();
    this.#journal?.close();
  }

  /** The guests of this node alone: the DRVM goes on without it. */
  async #endGuests(graceMs: number): Promise<void> {
    const reason = `the DRVM was stopped on ${this.#nodes.nameOf(this.#spec.index)}`;
    const deadline = performance.now() + graceMs;
    for (const { endpoint } of this.#kernel.counters()) {
      this.#kernel.signal(endpoint as Endpoint, SIGTERM, reason);
    }
    while (this.#kernel.size > 0 && performance.now() < deadline) await pause(POLL_MS);
    this.#kernel.endAll(endingOfSignal(SIGKILL, reason));
    const until = performance.now() + REPORTS_GRACE_MS;
    while (this.#reports.size > 0 && performance.now() < until) await pause(POLL_MS);
  }

  /**
   * Any of ContainerMethods. Parameters are validated here; what is about the whole DRVM is passed on to home when
   * this is another container.
   */
  async call(method: ContainerMethod, params: unknown, context: RpcContext): Promise<unknown> {
    const shape = ContainerMethods[method];
    if (shape === undefined) throw new DrvsError('NotFound', `a container has no method ${String(method)}`);
    const parsed = parse(method, shape.params as z.ZodType, params);
    if (this.#home === null && !OWN_METHODS.has(method)) return this.#passToHome(method, parsed, context);
    return this.#perform(method, parsed, context);
  }

  async #passToHome(method: ContainerMethod, params: unknown, context: RpcContext): Promise<unknown> {
    const home = this.#o.transport.control(0);
    if (home === undefined) {
      throw new DrvsError(
        'ContainerUnreachable',
        `the DRVM’s home node ${this.#nodes.nameOf(0)} does not answer`,
        {
          hint: 'Look at `drvs node list`; files and processes are managed there.',
        },
      );
    }
    const { result, body } = await home.call(method, params, {
      body: context.body,
      signal: context.signal,
      timeoutMs: NO_TIMEOUT_MS,
      onChunk: (chunk, bytes) => context.chunk(chunk, bytes),
    });
    return body.length > 0 ? withBody(result, body) : result;
  }

  #perform(method: ContainerMethod, params: unknown, context: RpcContext): unknown {
    const p = <M extends ContainerMethod>(_method: M) =>
      params as z.output<(typeof ContainerMethods)[M]['params']>;
    switch (method) {
      case 'container.status':
        return this.status();
      case 'container.update':
        return this.update(p(method)).then(() => ({}));
      case 'container.stop':
        return this.stop(p(method).graceMs).then(() => ({}));
    }
    const home = this.#home!;
    const { vfs } = this.#storage!;
    switch (method) {
      case 'process.list':
        return home.list();
      case 'process.start':
        return home.start(p(method));
      case 'process.kill':
        return home.kill(p(method).pid, p(method).signal);
      case 'process.wait':
        return home.wait(p(method).pid, context.signal);
      case 'process.output':
        return home.output(p(method), context);
      case 'process.migrate':
        return home.migrateTo(p(method));
      case 'file.write': {
        const { path, ...options } = p(method);
        return vfs.writeFile(path, context.body, options);
      }
      case 'file.read': {
        const { path, offset, length } = p(method);
        const { bytes, size, eof } = vfs.readFile(path, offset, length);
        return withBody({ size, eof }, bytes);
      }
      case 'file.stat':
        return vfs.stat(p(method).path);
      case 'file.list':
        return vfs.list(p(method).path);
      case 'file.makeDirectory':
        vfs.makeDirectory(p(method).path, p(method).parents);
        return {};
      case 'file.rename':
        vfs.rename(p(method).from, p(method).to);
        return {};
      case 'file.remove':
        vfs.remove(p(method).path, p(method).recursive);
        return {};
    }
  }

  // ---- peers

  #serve(rpc: RpcPeer): void {
    this.#systask.serve(rpc);
    if (this.#home === null) return;
    const home = this.#home;
    rpc.handle(PM_ENDED, (params) => {
      home.ended(EndedReport.parse(params));
      return {};
    });
    for (const method of Object.keys(ContainerMethods) as ContainerMethod[]) {
      if (OWN_METHODS.has(method)) continue;
      rpc.handle(method, (params, context) => this.call(method, params, context));
    }
  }

  #peerUp(peer: number, incarnation: string): void {
    this.#ipc.peerUp(peer);
    this.#home?.nodeBack(peer);
    if (this.#isHome)
      this.#o.emit(this.#event('peer.back', null, peer, `${this.#nodes.nameOf(peer)} is heard`));
    if (peer !== 0) return;
    if (this.#homeIncarnation !== null && this.#homeIncarnation !== incarnation) {
      this.#givenUp('the DRVM’s home container was restarted');
    }
    this.#homeIncarnation = incarnation;
  }

  #peerLost(peer: number, reason: string): void {
    this.#ipc.peerLost(peer);
    if (this.#state === 'stopping') return;
    // Taken out of the DRVM, it or this one: it had nothing that could be lost, and there is nothing to tell.
    if (!this.#nodes.has(peer) || reason.endsWith(LEFT_DRVM)) {
      this.#home?.nodeLost(peer);
      return;
    }
    const text = `${this.#nodes.nameOf(peer)} is lost: ${reason}`;
    if (this.#home !== null) {
      this.#o.emit(this.#event('peer.lost', null, peer, text));
      this.#home.nodeLost(peer);
    } else if (peer === 0) {
      // Home has given up the processes here when the session ended, so they must not go on.
      this.#o.emit(this.#event('peer.lost', null, peer, text));
      this.#givenUp(`node lost: the home node ${this.#nodes.nameOf(0)} does not answer`);
    }
  }

  #givenUp(reason: string): void {
    this.#kernel.endAll(endingOfSignal(SIGKILL, reason));
    this.#reports.clear();
  }

  #ended({ endpoint, pid }: ProcessIdentity, ending: Ending, cpuMs: number): void {
    if (this.#home !== null) this.#home.ended({ endpoint, pid, ending: { ...ending }, cpuMs });
    else this.#reports.add(endpoint, pid, ending, cpuMs);
  }

  // ---- servers

  #portOf(self: Endpoint): ServerPort {
    return {
      reply: (to, message, data) => void this.#ipc.reply(self, to, message, data),
      notify: (to) => void this.#ipc.notify(self, to),
      now: () => Date.now(),
    };
  }

  #bindServer(server: Server): void {
    const owner: Owner = {
      onMessage: (_self, message, data) => {
        try {
          server.onMessage(message, data);
        } catch (error) {
          // One request must not take the others of this DRVM along; its caller gets an error.
          console.error(`server ${server.endpoint} failed at call ${message.type}:`, error);
          const failure = new Message();
          failure.type = EIO;
          this.#ipc.reply(server.endpoint, message.source, failure);
        }
      },
    };
    this.#ipc.bind(server.endpoint, 'server', owner, SERVER_PRIVILEGES);
  }

  #event(kind: ContainerEvent['kind'], pid: number | null, index: number, text: string): ContainerEvent {
    const node = this.#nodes.nameOf(index);
    return { kind, drvmId: this.#spec.drvmId, pid, node, text, at: new Date().toISOString() };
  }
}

function guestMemoryBytes({ limits }: ContainerSpec): number {
  return Math.max(0, limits.memoryMiB - DVOS_MEMORY_MIB) * MIB;
}

function inUse(of: string, used: number, wanted: number, message: string, hint: string): DrvsError {
  return new DrvsError('StateConflict', message, { hint, details: { class: of, used, wanted } });
}

function parse(method: string, shape: z.ZodType, params: unknown): unknown {
  const parsed = shape.safeParse(params ?? {});
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue?.path.join('.');
  throw new DrvsError('InvalidInput', `${method}: ${field ? `${field}: ` : ''}${issue?.message}`, { field });
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
