import { mkdirSync } from 'node:fs';
import {
  type ContainerEvent,
  type ContainerMethod,
  ContainerMethods,
  type ContainerSpec,
  type DiskCounters,
  DrvsError,
  DVOS_MEMORY_MIB,
  type HomePlace,
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
import { DeviceTask } from './devices/device-task.js';
import { Home, type HomeState } from './home.js';
import { elsewhere, homeIsElsewhere } from './home-move/home-methods.js';
import { abandonSeat, HomeMoves, type HomeSeat, type HomeStep } from './home-move/home-moves.js';
import { HomeRecord } from './home-move/home-record.js';
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
import { openStorage } from './storage.js';
import { installSystemPrograms } from './system-programs.js';
import { wasiCalls, wasiUnstableCalls } from './wasi/index.js';

const MIB = 1_048_576;
const GIB = 1_024 * MIB;
/** Of a limit given in Mbit/s. */
const BYTES_PER_SECOND_OF_MBPS = 125_000;
/** Calls of users that are passed on to home: they may wait for the end of a process. */
const NO_TIMEOUT_MS = Number.POSITIVE_INFINITY;
/** After a stop, reports of ends get so long to reach home. */
const REPORTS_GRACE_MS = 2_000;
const POLL_MS = 20;

/** A call for home that finds it nowhere is made again so often, so far apart: home is moving. */
const HOME_TRIES = 100;
const HOME_RETRY_MS = 100;

/** Methods that are about this container, not about the DRVM. */
const OWN_METHODS: ReadonlySet<ContainerMethod> = new Set([
  'container.status',
  'container.update',
  'container.stop',
]);

/** These wait for processes, and may take for ever: home does not wait for them when it moves, they are asked again. */
const WAITING_METHODS: ReadonlySet<ContainerMethod> = new Set([
  'process.wait',
  'process.output',
  'home.move',
]);
/** Doing these a second time does no harm: they are asked again when the former home is gone before it answered. */
const REPEATABLE_METHODS: ReadonlySet<ContainerMethod> = new Set([
  'process.wait',
  'process.output',
  'process.list',
  'process.migrate',
  'home.move',
  'file.read',
  'file.stat',
  'file.list',
  'file.write',
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
  /** Told of the steps of a move of home, each as it has been taken. */
  readonly onHomeStep?: (step: HomeStep) => void;
  /** Ends this OS process, for another to begin with what it left. Default: an error that nobody catches. */
  readonly restart?: (reason: string) => void;
}

export type ContainerStatus = z.infer<(typeof ContainerMethods)['container.status']['result']>;

/**
 * One container of a DRVM whose DVOS is `mol`: the IPC kernel, the guests of this node, and at home the servers PM, VFS
 * and TTY. Which container is home may change at any time (home-move).
 *
 *     agent ──call──▶ MolContainer ──▶ HomeSeat: table, migrations, files, output
 *                        │  │             │ systask
 *                        │  └─ not home: passed on to home over the control lane
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
  readonly #devices: DeviceTask;
  readonly #programs: Programs;
  readonly #moves: HomeMoves;
  readonly #record: HomeRecord;
  /** Of the sessions with the peers that are up. */
  readonly #incarnations = new Map<number, string>();
  /** Ends of processes here that came while home, which is here, was frozen. */
  #heldEnds: EndedReport[] = [];
  #spec: ContainerSpec;
  /** While this container is home. */
  #seat: HomeSeat | null = null;
  #state: 'starting' | 'running' | 'stopping' = 'starting';
  #homeIncarnation: string | null = null;
  #stopping: Promise<void> | null = null;
  /** Since this process started, in all the times that it was home. */
  readonly #disk: DiskCounters = { readBytes: 0, writtenBytes: 0, operations: 0 };
  /** Why files cannot be stored at present, if they cannot. */
  #trouble: string | null = null;

  constructor(options: MolContainerOptions) {
    const { spec, transport } = options;
    this.#o = options;
    this.#spec = spec;
    this.#record = new HomeRecord(options.dataFolder, placeIn(spec));
    this.#ipc = new IpcKernel({
      index: spec.index,
      home: this.#record.place.index,
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
    transport.setSendLimit(spec.limits.networkMbps * BYTES_PER_SECOND_OF_MBPS);
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
    this.#reports = new EndReports(() => transport.control(this.#moves.place.index));
    this.#devices = new DeviceTask({ ipc: this.#ipc, life: options.incarnation });
    this.#programs = new Programs(options.dataFolder, options.instrument);
    this.#moves = new HomeMoves(
      {
        index: spec.index,
        ipc: this.#ipc,
        nodes: this.#nodes,
        programs: this.#programs,
        control: (peer) => transport.control(peer),
        incarnationOf: (peer) =>
          peer === spec.index ? options.incarnation : (this.#incarnations.get(peer) ?? null),
        diskBytes: () => this.#spec.limits.diskGiB * GIB,
        seat: () => this.#seat,
        open: (folder, former) => this.#openSeat(folder, former),
        take: (seat, incarnations) => this.#takeSeat(seat, incarnations),
        leave: () => this.#leaveSeat(),
        homeChanged: () => this.#homeChanged(),
        thawed: () => this.#giveHeldEnds(),
        onStep: (step) => options.onHomeStep?.(step),
        restart: (reason) => this.#restart(reason),
      },
      this.#record,
    );
  }

  get #homeIndex(): number {
    return this.#moves.place.index;
  }

  /** @throws DrvsError when the data folder is damaged, Error when the port is taken. */
  async start(): Promise<void> {
    const { dataFolder, transport, emit } = this.#o;
    mkdirSync(dataFolder, { recursive: true, mode: 0o700 });
    if (this.#homeIndex === this.#spec.index) {
      await this.#programs.open();
      this.#seat = this.#openSeat(this.#record.homeFolder);
      this.#record.dropFormer();
    }
    transport.events = {
      ipc: (peer, frame) => this.#ipc.deliver(peer, frame),
      peerUp: (peer, incarnation, version) => this.#peerUp(peer, incarnation, version),
      peerLost: (peer, reason) => this.#peerLost(peer, reason),
      control: (peer, rpc) => this.#serve(peer, rpc),
    };
    transport.setPeers(this.#spec.peers);
    await transport.start();
    this.#state = 'running';
    this.#setDevices();
    if (this.#seat !== null && this.#seat.journal.former.length > 0) {
      emit(this.#event('system.restarted', null, this.#spec.index, 'the home container was restarted'));
    }
  }

  /** Opens what a home keeps and binds its servers. With `former`, it goes on where another home stopped. */
  #openSeat(folder: string, former?: HomeState): HomeSeat {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const journal = new ProcessJournal(folder);
    const storage = openStorage({
      dataFolder: folder,
      diskBytes: this.#spec.limits.diskGiB * GIB,
      port: (endpoint) => this.#portOf(endpoint),
      handover: former?.vfs,
      onDevice: (isThere, path) => {
        const kind = isThere ? 'device.plugged' : 'device.unplugged';
        this.#o.emit(this.#event(kind, null, this.#spec.index, `${path} is ${isThere ? 'there' : 'gone'}`));
      },
      counters: this.#disk,
      onTrouble: (trouble) => {
        this.#trouble = trouble;
      },
    });
    const { vfs, tty, servers } = storage;
    if (former === undefined) installSystemPrograms(vfs);
    const home = new Home({
      drvmId: this.#spec.drvmId,
      ipc: this.#ipc,
      nodes: this.#nodes,
      programs: this.#programs,
      journal,
      vfs,
      tty,
      emit: this.#o.emit,
      former,
    });
    this.#bindServer(new Pm(this.#portOf(PM), home.table, home));
    for (const server of servers) this.#bindServer(server);
    return { home, storage, journal };
  }

  // ---- home comes and goes

  #takeSeat(seat: HomeSeat, incarnations: ReadonlyMap<number, string | null>): void {
    this.#seat = seat;
    this.#homeIncarnation = this.#o.incarnation;
    seat.storage.vfs.setLimit(this.#spec.limits.diskGiB * GIB);
    for (const report of this.#reports.takeAll()) seat.home.ended(report);
    for (const { index } of this.#nodes.all()) {
      const now = index === this.#spec.index ? this.#o.incarnation : (this.#incarnations.get(index) ?? null);
      if (now === null || now !== incarnations.get(index)) {
        seat.home.nodeLost(index);
        seat.storage.vfs.nodeLost(index);
      }
    }
    this.#devices.announce();
    const name = this.#nodes.nameOf(this.#spec.index);
    this.#o.emit(this.#event('home.moved', null, this.#spec.index, `the home of the DRVM is ${name} now`));
  }

  #leaveSeat(): void {
    const seat = this.#seat;
    this.#seat = null;
    this.#trouble = null;
    this.#ipc.dropServers(this.#homeIndex);
    seat?.home.leave(homeIsElsewhere(this.#moves.place, this.#nodes.nameOf(this.#homeIndex)));
    if (seat) abandonSeat(seat);
    this.#homeChanged();
  }

  #homeChanged(): void {
    this.#homeIncarnation = this.#incarnations.get(this.#homeIndex) ?? null;
    this.#devices.announce();
    if (this.#homeIncarnation !== null) return;
    // It does not hear this container, so it has given its processes up.
    this.#givenUp(`node lost: the home node ${this.#nodes.nameOf(this.#homeIndex)} does not answer`);
  }

  #giveHeldEnds(): void {
    const held = this.#heldEnds;
    this.#heldEnds = [];
    for (const report of held) this.#report(report);
  }

  #restart(reason: string): void {
    if (this.#o.restart !== undefined) this.#o.restart(reason);
    else
      setImmediate(() => {
        throw new Error(reason);
      });
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
    this.#o.transport.setSendLimit(spec.limits.networkMbps * BYTES_PER_SECOND_OF_MBPS);
    this.#seat?.storage.vfs.setLimit(spec.limits.diskGiB * GIB);
    this.#nodes.setPeers(spec.peers);
    this.#o.transport.setPeers(spec.peers);
    this.#moves.learn(placeIn(spec));
    this.#setDevices();
    if (isShrinking) giveMemoryBack();
  }

  #setDevices(): void {
    this.#devices.setDevices(this.#nodes.nameOf(this.#spec.index), this.#spec.devices ?? []);
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
    const files = this.#seat?.storage.vfs.usage().usedBytes ?? 0;
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
    const told = placeIn(spec);
    const home = told.epoch > this.#moves.place.epoch ? told.index : this.#homeIndex;
    if (!stay.has(spec.index) || !stay.has(home)) {
      throw new DrvsError(
        'StateConflict',
        `the spec leaves out ${this.#nodes.nameOf(stay.has(home) ? spec.index : home)}, which is ${stay.has(home) ? 'this very container' : 'home'}`,
        { hint: 'Move home to another node of the DRVM first.' },
      );
    }
    for (const { index, nodeName } of before.peers) {
      if (!stay.has(index) && this.#moves.isGoingTo(index)) {
        throw new DrvsError('OperationUnderWay', `home is moving to ${nodeName}, which the spec leaves out`);
      }
      const count = stay.has(index) ? 0 : (this.#seat?.home.processesOn(index) ?? 0);
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
    for (const trouble of [this.#trouble, this.#moves.trouble]) if (trouble !== null) problems.push(trouble);
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
      network: { ...transport.sent, receivedBytes: transport.receivedBytes },
      disk: { ...this.#disk },
      home: this.#moves.place,
    };
  }

  /** Ends the guests (SIGTERM, after `graceMs` SIGKILL), makes all files durable, closes the links. */
  stop(graceMs: number): Promise<void> {
    this.#stopping ??= this.#stop(graceMs);
    return this.#stopping;
  }

  async #stop(graceMs: number): Promise<void> {
    this.#state = 'stopping';
    this.#moves.close();
    await this.#moves.passGate();
    if (this.#seat !== null) await this.#seat.home.stopAll(graceMs);
    else await this.#endGuests(graceMs);
    this.#kernel.close();
    this.#devices.close();
    this.#reports.close();
    await this.#o.transport.close();
    this.#seat?.storage.close();
    this.#seat?.journal.close();
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
    if (OWN_METHODS.has(method)) return this.#perform(method, parsed, context);
    const asked = new AskedCall(method, parsed, context);
    for (let attempt = 1; ; attempt++) {
      await this.#moves.passGate();
      const { epoch } = this.#moves.place;
      try {
        const answer =
          this.#seat !== null
            ? await this.#perform(method, asked.params, asked.context)
            : await this.#passToHome(method, asked.params, asked.context);
        return asked.answer(answer);
      } catch (error) {
        context.signal.throwIfAborted();
        const place = elsewhere(error);
        if (place !== null && place.index !== this.#spec.index) this.#moves.learn(place);
        const hasMoved = this.#moves.place.epoch > epoch;
        const isGone = DrvsError.from(error).code === 'NodeUnreachable' && REPEATABLE_METHODS.has(method);
        if (attempt > HOME_TRIES || (place === null && !(isGone && hasMoved))) throw error;
        if (!hasMoved) await pause(HOME_RETRY_MS);
      }
    }
  }

  async #passToHome(method: ContainerMethod, params: unknown, context: RpcContext): Promise<unknown> {
    const home = this.#o.transport.control(this.#homeIndex);
    if (home === undefined) {
      throw new DrvsError(
        'ContainerUnreachable',
        `the DRVM’s home node ${this.#nodes.nameOf(this.#homeIndex)} does not answer`,
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

  /** A call of another container for the home of the DRVM. It is never passed on again: its asker hears where home is. */
  async #performForPeer(method: ContainerMethod, params: unknown, context: RpcContext): Promise<unknown> {
    const parsed = parse(method, ContainerMethods[method].params as z.ZodType, params);
    await this.#moves.passGate();
    if (this.#seat === null) throw this.#elsewhere();
    return this.#perform(method, parsed, context);
  }

  #elsewhere(): DrvsError {
    return homeIsElsewhere(this.#moves.place, this.#nodes.nameOf(this.#homeIndex));
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
    const { home } = this.#seat!;
    if (WAITING_METHODS.has(method)) return this.#performAtHome(method, params, context);
    return home.whileUnderWay(() => this.#performAtHome(method, params, context));
  }

  #performAtHome(method: ContainerMethod, params: unknown, context: RpcContext): unknown {
    const p = <M extends ContainerMethod>(_method: M) =>
      params as z.output<(typeof ContainerMethods)[M]['params']>;
    const { home, storage } = this.#seat!;
    const { vfs } = storage;
    switch (method) {
      case 'home.move':
        return this.#moves.move(p(method).to, p(method).requestKey);
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

  #serve(peer: number, rpc: RpcPeer): void {
    this.#systask.serve(rpc);
    rpc.handle(PM_ENDED, async (params) => {
      const report = EndedReport.parse(params);
      await this.#moves.passGate();
      if (this.#seat === null) throw this.#elsewhere();
      this.#seat.home.ended(report);
      return {};
    });
    for (const method of Object.keys(ContainerMethods) as ContainerMethod[]) {
      if (OWN_METHODS.has(method)) continue;
      rpc.handle(method, (params, context) => this.#performForPeer(method, params, context));
    }
    this.#moves.serve(peer, rpc);
  }

  #peerUp(peer: number, incarnation: string, version: number): void {
    this.#incarnations.set(peer, incarnation);
    this.#ipc.peerUp(peer, version);
    if (peer === this.#homeIndex) this.#devices.announce();
    if (this.#seat !== null) {
      this.#seat.home.nodeBack(peer);
      this.#o.emit(this.#event('peer.back', null, peer, `${this.#nodes.nameOf(peer)} is heard`));
    }
    if (peer !== this.#homeIndex) return;
    if (this.#homeIncarnation !== null && this.#homeIncarnation !== incarnation) {
      this.#givenUp('the DRVM’s home container was restarted');
    }
    this.#homeIncarnation = incarnation;
  }

  #peerLost(peer: number, reason: string): void {
    this.#incarnations.delete(peer);
    this.#ipc.peerLost(peer);
    if (this.#state === 'stopping') return;
    this.#moves.peerLost(peer);
    // Taken out of the DRVM, it or this one: it had nothing that could be lost, and there is nothing to tell.
    if (!this.#nodes.has(peer) || reason.endsWith(LEFT_DRVM)) {
      this.#seat?.home.nodeLost(peer);
      this.#seat?.storage.vfs.nodeLeft(peer);
      return;
    }
    const text = `${this.#nodes.nameOf(peer)} is lost: ${reason}`;
    if (this.#seat !== null) {
      this.#o.emit(this.#event('peer.lost', null, peer, text));
      this.#seat.home.nodeLost(peer);
      this.#seat.storage.vfs.nodeLost(peer);
    } else if (peer === this.#homeIndex) {
      // Home has given up the processes here when the session ended, so they must not go on.
      this.#o.emit(this.#event('peer.lost', null, peer, text));
      this.#givenUp(`node lost: the home node ${this.#nodes.nameOf(peer)} does not answer`);
    }
  }

  #givenUp(reason: string): void {
    this.#kernel.endAll(endingOfSignal(SIGKILL, reason));
    this.#reports.clear();
  }

  #ended({ endpoint, pid }: ProcessIdentity, ending: Ending, cpuMs: number): void {
    const report = { endpoint, pid, ending: { ...ending }, cpuMs };
    // What home knows is packed already: it is told when it goes on, here or elsewhere.
    if (this.#seat !== null && this.#moves.isFrozen) this.#heldEnds.push(report);
    else this.#report(report);
  }

  #report(report: EndedReport): void {
    if (this.#seat !== null) this.#seat.home.ended(report);
    else this.#reports.add(report.endpoint, report.pid, report.ending, report.cpuMs);
  }

  // ---- servers

  #portOf(self: Endpoint): ServerPort {
    return {
      reply: (to, message, data) => void this.#ipc.reply(self, to, message, data),
      notify: (to) => void this.#ipc.notify(self, to),
      post: (to, message, data) => void this.#ipc.post(self, to, message, data),
      putBack: (caller, message, data) => void this.#ipc.putBack(self, caller, message, data),
      now: () => Date.now(),
    };
  }

  #bindServer(server: Server): void {
    const owner: Owner = {
      onCancelled: (_self, caller) => server.onCancelled?.(caller),
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

/** What a call for home is, when it is made again: output goes on where it was. */
class AskedCall {
  params: unknown;
  readonly context: RpcContext;
  #lost = 0;

  constructor(method: ContainerMethod, params: unknown, context: RpcContext) {
    this.params = params;
    this.context = context;
    if (method !== 'process.output') return;
    this.context = {
      method,
      body: context.body,
      signal: context.signal,
      chunk: async (chunk, bytes = new Uint8Array(0)) => {
        const { offset } = chunk as { offset: number };
        const { offset: wanted } = this.params as { offset: number };
        await context.chunk(chunk, bytes);
        this.#lost += Math.max(0, offset - wanted);
        this.params = { ...(this.params as object), offset: offset + bytes.length };
      },
    };
  }

  /** What was lost before the last asking is no longer in its answer. */
  answer(answer: unknown): unknown {
    if (this.context.method !== 'process.output') return answer;
    return { ...(answer as object), lost: this.#lost };
  }
}

function placeIn({ home, homeEpoch = 0 }: ContainerSpec): HomePlace {
  return { index: home, epoch: homeEpoch };
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
