import { randomUUID } from 'node:crypto';
import { DrvsError, type HomeMoveResult, type HomePlace, type RpcPeer } from '@drvs/contracts';
import type { IpcKernel } from '@drvs/drvmm-core';
import type { Home, HomeState } from '../home.js';
import type { Nodes } from '../nodes.js';
import type { ProcessJournal } from '../process-journal.js';
import type { Programs } from '../programs.js';
import type { Storage } from '../storage.js';
import { ArrivingFolder, parseState } from './arrival.js';
import { type CopyTarget, FolderCopy } from './folder-copy.js';
import { callHome, type HomeMethod, HomeMethods, type HomeParams } from './home-methods.js';
import type { HomeRecord } from './home-record.js';

/** Rounds of copying while everything runs. */
const ROUNDS_MOST = 6;
/** What is left is copied at a standstill when a round has sent no more than this. */
const SMALL_ROUND_BYTES = 1024 * 1024;
/** Parts under way at most. */
const PARTS_UNDER_WAY = 24;
/** All that are under way, over a link that is held to 1 Mbit/s. That the other node is gone its link says sooner. */
const PART_TIMEOUT_MS = 100_000;
const SYNC_TIMEOUT_MS = 60_000;
/** The next home loads the files' journal in it; so long at most no system call is answered. */
const INSTALL_TIMEOUT_MS = 20_000;
const ACTIVATE_TIMEOUT_MS = 5_000;
const ACTIVATE_TRIES = 5;
/** What users have asked for must be over before the freeze; waited for this long, so many times. */
const QUIET_WITHIN_MS = 1_000;
const QUIET_TRIES = 30;
const QUIET_PAUSE_MS = 200;
const BARRIER_WITHIN_MS = 3_000;
const POLL_MS = 2;
/** After a move, processes whose end nobody told are looked for: first so long after it, again so much later. */
const RECONCILE_AFTER_MS = 3_000;
/** Answers kept by their request keys. */
const RESULTS_MOST = 100;

/** What makes a container home. */
export interface HomeSeat {
  readonly home: Home;
  readonly storage: Storage;
  readonly journal: ProcessJournal;
}

/** At the present home: received … decided, left; at the next one: prepared, became. */
export type HomeStep =
  | 'received'
  | 'copied'
  | 'frozen'
  | 'installed'
  | 'decided'
  | 'left'
  | 'prepared'
  | 'became';

export interface HomeHost {
  readonly index: number;
  readonly ipc: IpcKernel;
  readonly nodes: Nodes;
  readonly programs: Programs;
  control(peer: number): RpcPeer | undefined;
  /** Of the session with the peer now; null: there is none. */
  incarnationOf(peer: number): string | null;
  /** What files may occupy, were this container home. */
  diskBytes(): number;
  seat(): HomeSeat | null;
  /** Opens a home from what is in the folder and from the state, its servers bound. */
  open(folder: string, former: HomeState): HomeSeat;
  /** This container is home from now on; `incarnations` are those of the sessions when the state was packed. */
  take(seat: HomeSeat, incarnations: ReadonlyMap<number, string | null>): void;
  /** It is home no longer: `place` says who is. */
  leave(place: HomePlace): void;
  /** Another home than before is known now. */
  homeChanged(place: HomePlace): void;
  /** The freeze is over, whichever way it went. */
  thawed(): void;
  /** Told of each step as it has been taken, before the next one. */
  onStep(step: HomeStep): void;
  /** This process must end and start anew. */
  restart(reason: string): void;
}

interface Arrival {
  readonly move: string;
  readonly epoch: number;
  readonly from: number;
  readonly folder: ArrivingFolder;
  installed: { seat: HomeSeat; state: HomeState; incarnations: ReadonlyMap<number, string | null> } | null;
  /** The session with the former home has ended since: whether it decided is not known here. */
  isUncertain: boolean;
}

interface Departure {
  readonly to: number;
  readonly requestKey: string;
  readonly done: Promise<HomeMoveResult>;
  /** Why what was packed is no longer all; null: it is. */
  disturbed: string | null;
}

/**
 * Moves the home of a DRVM, and knows where it is.
 *
 *   step          who is home when a container dies then (it starts again with its files)
 *   receive       the present one; the next one's folder is swept
 *   rounds        the same
 *   freeze        the same
 *   install       the same: the next one keeps its folder until it hears what was decided
 *   COMMIT        the next one: the present one has written so in its record, durably, in one step
 *   activate      the next one, by its own record
 *
 * Between install and activate the next home does not know whether it is. It asks nobody and does nothing: it is told by
 * `activate`, or when the two meet again, by `home.known`: an epoch as high as its own means yes, and a lower one, from
 * the former home in a later session, means that this never decided, and never will.
 */
export class HomeMoves {
  #gate: { readonly opened: Promise<void>; open(): void } | null = null;
  #departure: Departure | null = null;
  #arrival: Arrival | null = null;
  #undecided: { readonly epoch: number; readonly from: number } | null;
  readonly #results = new Map<string, HomeMoveResult>();
  #lastResult: HomeMoveResult | null = null;
  #reconciling: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(
    private readonly host: HomeHost,
    private readonly record: HomeRecord,
  ) {
    this.#undecided = record.sweep();
  }

  get place(): HomePlace {
    return this.record.place;
  }

  /** Calls about the whole DRVM wait for this before they begin. */
  async passGate(): Promise<void> {
    while (this.#gate !== null) await this.#gate.opened;
  }

  get isFrozen(): boolean {
    return this.#gate !== null;
  }

  /** Why the container is not as it should be, if it is not. */
  get trouble(): string | null {
    if (this.#undecided === null && this.#arrival?.isUncertain !== true) return null;
    return 'it waits to hear from the former home whether it is home';
  }

  /** Whether home is moving to this container, so that it must stay. */
  isGoingTo(index: number): boolean {
    return this.#departure?.to === index;
  }

  close(): void {
    this.#isClosed = true;
    this.disturb('the container was stopped');
    if (this.#reconciling !== null) clearTimeout(this.#reconciling);
  }

  // ── who is home

  /** Answers a peer, and exchanges with it who is home. */
  serve(peer: number, rpc: RpcPeer): void {
    const handle = <M extends HomeMethod>(
      method: M,
      work: (params: HomeParams<M>, body: Uint8Array) => unknown,
    ) =>
      rpc.handle(method, (params, { body }) =>
        work(HomeMethods[method].params.parse(params) as HomeParams<M>, body),
      );
    handle('home.known', (place) => {
      this.#heard(peer, place);
      return this.place;
    });
    handle('home.receive', (params) => this.#receive(peer, params));
    handle('home.part', ({ move, path, offset }, body) => {
      this.#arriving(peer, move).folder.part(path, offset, body);
      return {};
    });
    handle('home.cut', ({ move, path, size }) => {
      this.#arriving(peer, move).folder.cut(path, size);
      return {};
    });
    handle('home.removed', ({ move, path }) => {
      this.#arriving(peer, move).folder.removed(path);
      return {};
    });
    handle('home.program', ({ move, hash }, body) => {
      this.#arriving(peer, move);
      return this.host.programs.keep(hash, body.slice()).then(() => ({}));
    });
    handle('home.sync', ({ move }) =>
      this.#arriving(peer, move)
        .folder.sync()
        .then(() => ({})),
    );
    handle('home.install', ({ move }, body) => this.#install(this.#arriving(peer, move), body));
    handle('home.activate', (params) => this.#activated(peer, params));
    handle('home.callOff', ({ move }) => {
      const arrival = this.#arrival;
      if (arrival?.move === move && arrival.from === peer) this.#callOff(arrival);
      return {};
    });
    this.#tell(peer, rpc);
  }

  #tell(peer: number, rpc: RpcPeer): void {
    callHome(rpc, 'home.known', this.place).then(
      (place) => this.#heard(peer, place),
      // The session is over: the next one begins with it again.
      () => undefined,
    );
  }

  #tellAll(): void {
    for (const { index } of this.host.nodes.all()) {
      const rpc = index === this.host.index ? undefined : this.host.control(index);
      if (rpc !== undefined) this.#tell(index, rpc);
    }
  }

  #heard(peer: number, place: HomePlace): void {
    this.#decide(peer, place);
    this.learn(place);
    // Said by home itself: it has taken over, and what it took over is not needed here any more.
    if (place.index === peer && place.epoch === this.place.epoch && place.index !== this.host.index)
      this.record.dropFormer();
  }

  /** What it says about a home that is whole here and undecided. */
  #decide(peer: number, place: HomePlace): void {
    const arrival = this.#arrival;
    if (arrival !== null) {
      const isMine = place.index === this.host.index && place.epoch === arrival.epoch;
      if (isMine && arrival.installed !== null) this.#become(arrival);
      else if (place.epoch >= arrival.epoch) this.#callOff(arrival);
      else if (arrival.isUncertain && peer === arrival.from) this.#callOff(arrival);
    }
    const undecided = this.#undecided;
    if (undecided === null) return;
    const isMine = place.index === this.host.index && place.epoch === undecided.epoch;
    if (isMine || (place.epoch < undecided.epoch && peer !== undecided.from)) return;
    this.#undecided = null;
    this.record.drop(undecided.epoch);
  }

  /** Of a spec, or of a peer. */
  learn(place: HomePlace): void {
    const { host, record } = this;
    const former = this.place.index;
    if (!record.learn(place) || place.index === former) return;
    if (host.seat() !== null || place.index === host.index) {
      host.restart(`the DRVM’s home is ${host.nodes.nameOf(place.index)} now: this container starts anew`);
      return;
    }
    host.ipc.setHome(place.index);
    host.homeChanged(place);
  }

  peerLost(peer: number): void {
    if (this.isFrozen) this.disturb(`${this.host.nodes.nameOf(peer)} was lost meanwhile`);
    const arrival = this.#arrival;
    if (arrival === null || arrival.from !== peer) return;
    if (arrival.installed === null) this.#callOff(arrival);
    else arrival.isUncertain = true;
  }

  /** Something has changed that was packed already. */
  disturb(reason: string): void {
    if (this.#departure !== null) this.#departure.disturbed ??= reason;
  }

  // ── leaving

  /** @throws DrvsError when home stays where it is, with the reason. */
  async move(to: number, requestKey: string): Promise<HomeMoveResult> {
    const known = this.#results.get(requestKey);
    if (known !== undefined) return known;
    const { index, epoch } = this.place;
    if (to === index) {
      return { home: index, homeEpoch: epoch, bytes: 0, files: 0, pauseMs: 0, totalMs: 0, rounds: 0 };
    }
    const underWay = this.#departure;
    if (underWay !== null) {
      if (underWay.requestKey === requestKey) return underWay.done;
      throw new DrvsError(
        'OperationUnderWay',
        `the home of the DRVM is moving to ${this.host.nodes.nameOf(underWay.to)} already`,
        { hint: 'Wait until that has ended.' },
      );
    }
    if (!this.host.nodes.has(to)) {
      throw new DrvsError('InvalidInput', `the DRVM has no node of index ${to}`, { field: 'to' });
    }
    const { promise, resolve, reject } = Promise.withResolvers<HomeMoveResult>();
    const departure: Departure = { to, requestKey, done: promise, disturbed: null };
    this.#departure = departure;
    promise.catch(() => undefined);
    this.#depart(departure).then(resolve, reject);
    try {
      return await promise;
    } finally {
      this.#departure = null;
    }
  }

  async #depart(departure: Departure): Promise<HomeMoveResult> {
    const { host, record } = this;
    const { to, requestKey } = departure;
    const began = performance.now();
    const seat = host.seat();
    const rpc = host.control(to);
    if (seat === null || rpc === undefined) {
      throw new DrvsError('ContainerUnreachable', `${host.nodes.nameOf(to)} does not answer`, {
        hint: 'Home stays where it is. Look at `drvs node list`.',
      });
    }
    const epoch = this.place.epoch + 1;
    const sending = new Sending(rpc, randomUUID());
    const { move } = sending;
    const copy = new FolderCopy(record.homeFolder, sending);
    let frozenAt = 0;
    let rounds = 0;
    try {
      const linked = host.nodes
        .up()
        .map(({ index }) => index)
        .filter((index) => index !== to && index !== host.index);
      const { usedBytes } = seat.storage.vfs.usage();
      await callHome(rpc, 'home.receive', { move, epoch, usedBytes, linked });
      host.onStep('received');
      seat.storage.noteChanges(copy);
      for (let sent = Number.POSITIVE_INFINITY; rounds < ROUNDS_MOST && sent > SMALL_ROUND_BYTES; rounds++) {
        seat.storage.flush();
        await this.#sendPrograms(seat, sending);
        sent = await copy.round();
        await sending.settled();
        await callHome(rpc, 'home.sync', { move }, { timeoutMs: SYNC_TIMEOUT_MS });
      }
      host.onStep('copied');
      await this.#freeze(seat, departure);
      frozenAt = performance.now();
      host.onStep('frozen');
      seat.storage.flush();
      await this.#sendPrograms(seat, sending);
      await copy.round();
      rounds++;
      await sending.settled();
      const body = Buffer.from(JSON.stringify(seat.home.pack()));
      sending.bytes += body.length;
      await callHome(rpc, 'home.install', { move }, { body, timeoutMs: INSTALL_TIMEOUT_MS });
      host.onStep('installed');
      if (departure.disturbed !== null) throw new DrvsError('StateConflict', departure.disturbed);
      record.learn({ index: to, epoch });
      host.onStep('decided');
    } catch (error) {
      seat.storage.noteChanges(null);
      this.#thaw();
      callHome(rpc, 'home.callOff', { move }).catch(() => undefined);
      throw staying(error, host.nodes.nameOf(host.index));
    }
    // From here on the other one is home, whatever happens to either.
    const now = performance.now();
    const params = { move, requestKey, bytes: sending.bytes, files: copy.files, rounds };
    const activation = { ...params, frozenMs: now - frozenAt, sinceMs: now - began };
    const activated = this.#sendActivate(rpc, activation);
    activated.catch(() => undefined);
    host.leave(this.place);
    this.#openGate();
    host.thawed();
    host.onStep('left');
    const result = await activated;
    this.#keep(requestKey, result);
    this.#tellAll();
    record.dropFormer();
    return result;
  }

  /** A lost answer is asked for again; a lost session is made up for by `home.known` at the next. */
  async #sendActivate(rpc: RpcPeer, params: HomeParams<'home.activate'>): Promise<HomeMoveResult> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await callHome(rpc, 'home.activate', params, { timeoutMs: ACTIVATE_TIMEOUT_MS });
      } catch (error) {
        if (DrvsError.from(error).code === 'Timeout' && attempt < ACTIVATE_TRIES) continue;
        throw new DrvsError(
          'ContainerUnreachable',
          `home has moved, but its new container does not answer: ${DrvsError.from(error).message}`,
          { hint: 'It takes over as soon as it is back. Ask again with the same key.', cause: error },
        );
      }
    }
  }

  /** Programs of processes that live: a process that migrates later may need its program again. */
  async #sendPrograms(seat: HomeSeat, sending: Sending): Promise<void> {
    for (const { programHash: hash } of [...seat.home.table.alive()]) {
      if (sending.programs.has(hash)) continue;
      const body = await this.host.programs.instrumented(hash, null).catch(() => null);
      if (body !== null) await sending.program(hash, body);
    }
  }

  /**
   * Nothing that users have asked for is under way, guests' calls wait, and every answer given has arrived.
   * @throws DrvsError when it does not come to that; then everything goes on.
   */
  async #freeze(seat: HomeSeat, departure: Departure): Promise<void> {
    const { ipc } = this.host;
    for (let attempt = 1; attempt <= QUIET_TRIES && !this.#isClosed; attempt++) {
      this.#closeGate();
      departure.disturbed = null;
      if (await within(QUIET_WITHIN_MS, () => seat.home.isQuiet)) {
        ipc.pauseServers();
        seat.storage.vfs.putBackWaiting();
        const isAnswered = await within(BARRIER_WITHIN_MS, () => ipc.owedByServers() === 0);
        // Twice: an answer whose receiver had moved away comes back here and is sent on between the two.
        if (isAnswered && seat.home.isQuiet && (await this.#barrier()) && (await this.#barrier())) {
          if (departure.disturbed === null) return;
        }
      }
      this.#thaw();
      await pause(QUIET_PAUSE_MS);
    }
    throw new DrvsError(
      'OperationUnderWay',
      departure.disturbed ?? 'what was asked of the DRVM meanwhile did not come to an end',
      { hint: 'Wait until starts and migrations of processes have ended, then try again.' },
    );
  }

  async #barrier(): Promise<boolean> {
    let isReached = false;
    this.host.ipc.barrier(() => {
      isReached = true;
    });
    return within(BARRIER_WITHIN_MS, () => isReached);
  }

  #thaw(): void {
    if (this.#gate === null) return;
    this.host.ipc.resumeServers();
    this.#openGate();
    this.host.thawed();
  }

  #closeGate(): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gate = { opened: promise, open: resolve };
  }

  #openGate(): void {
    const gate = this.#gate;
    this.#gate = null;
    gate?.open();
  }

  // ── arriving

  #receive(peer: number, params: HomeParams<'home.receive'>): object {
    const { host } = this;
    const { move, epoch, usedBytes, linked } = params;
    if (peer !== this.place.index || epoch <= this.place.epoch || host.seat() !== null) {
      throw new DrvsError('StateConflict', `container ${peer} is not the DRVM’s home as it is known here`);
    }
    if (usedBytes > host.diskBytes()) {
      throw new DrvsError(
        'InsufficientResources',
        `the files of the DRVM take ${usedBytes} bytes; the disk of its slice on ${host.nodes.nameOf(host.index)} has ${host.diskBytes()}`,
        {
          hint: 'Give that slice more disk, or remove files.',
          details: { class: 'diskGiB', used: usedBytes, limit: host.diskBytes() },
        },
      );
    }
    const apart = linked.filter((index) => host.control(index) === undefined);
    if (apart.length > 0) {
      throw new DrvsError(
        'ContainerUnreachable',
        `${host.nodes.nameOf(host.index)} has no link to ${apart.map((index) => host.nodes.nameOf(index)).join(', ')}`,
        { hint: 'Home must reach all nodes of the DRVM.' },
      );
    }
    if (this.#arrival !== null) this.#callOff(this.#arrival);
    if (this.#undecided !== null) this.record.drop(this.#undecided.epoch);
    this.#undecided = null;
    this.record.drop(epoch);
    const folder = new ArrivingFolder(this.record.folderOf(epoch));
    this.#arrival = { move, epoch, from: peer, folder, installed: null, isUncertain: false };
    return {};
  }

  #arriving(peer: number, move: string): Arrival {
    const arrival = this.#arrival;
    if (arrival !== null && arrival.from === peer && arrival.move === move && arrival.installed === null)
      return arrival;
    throw new DrvsError('StateConflict', 'no home is arriving here under this number');
  }

  async #install(arrival: Arrival, body: Uint8Array): Promise<object> {
    const { host } = this;
    const state = parseState(body);
    await arrival.folder.sync();
    if (this.#arrival !== arrival) throw new DrvsError('Cancelled', 'the move was called off');
    arrival.folder.close();
    const incarnations = new Map(host.nodes.all().map(({ index }) => [index, host.incarnationOf(index)]));
    const seat = host.open(arrival.folder.path, state);
    host.ipc.pauseServers();
    arrival.installed = { seat, state, incarnations };
    this.record.setPrepared(arrival.epoch, arrival.from);
    host.onStep('prepared');
    return {};
  }

  #activated(peer: number, params: HomeParams<'home.activate'>): HomeMoveResult {
    const began = performance.now();
    const { move, requestKey, bytes, files, rounds, frozenMs, sinceMs } = params;
    const arrival = this.#arrival;
    if (arrival !== null && arrival.move === move && arrival.from === peer && arrival.installed !== null) {
      this.#become(arrival);
      const spentMs = performance.now() - began;
      this.#lastResult = {
        home: this.place.index,
        homeEpoch: this.place.epoch,
        bytes,
        files,
        rounds,
        pauseMs: frozenMs + spentMs,
        totalMs: sinceMs + spentMs,
      };
    }
    const known = this.#lastResult;
    if (known === null || known.homeEpoch !== this.place.epoch || this.host.seat() === null) {
      throw new DrvsError('StateConflict', 'no home has been installed here');
    }
    this.#keep(requestKey, known);
    return known;
  }

  #become(arrival: Arrival): void {
    const { host, record } = this;
    const { seat, state, incarnations } = arrival.installed!;
    record.learn({ index: host.index, epoch: arrival.epoch });
    host.onStep('became');
    this.#arrival = null;
    host.ipc.becomeHome(state.places);
    host.take(seat, incarnations);
    host.ipc.resumeServers();
    this.#tellAll();
    this.#reconcileLater();
  }

  #callOff(arrival: Arrival): void {
    this.#arrival = null;
    arrival.folder.close();
    if (arrival.installed !== null) {
      this.host.ipc.dropServers();
      abandonSeat(arrival.installed.seat);
    }
    this.record.drop(arrival.epoch);
  }

  // ── after it

  /**
   * A container that was out of the former home's reach for a while has ended its processes and tells nobody. Whoever
   * is missing twice has ended.
   */
  #reconcileLater(): void {
    this.#reconciling = setTimeout(() => void this.#reconcile(), RECONCILE_AFTER_MS);
    this.#reconciling.unref();
  }

  async #reconcile(): Promise<void> {
    for (const { index } of this.host.nodes.up()) {
      const seat = this.host.seat();
      if (seat === null || this.#isClosed) return;
      try {
        const missing = new Set(await seat.home.missingOn(index));
        if (missing.size === 0) continue;
        await pause(RECONCILE_AFTER_MS);
        for (const entry of await seat.home.missingOn(index))
          if (missing.has(entry)) seat.home.endMissing(entry);
      } catch {
        // Lost meanwhile: its processes are ended for that.
      }
    }
  }

  #keep(requestKey: string, result: HomeMoveResult): void {
    this.#results.set(requestKey, result);
    for (const oldest of this.#results.keys()) {
      if (this.#results.size <= RESULTS_MOST) break;
      this.#results.delete(oldest);
    }
  }
}

/** Lets go of files that do not count here: another container's are the DRVM's. */
export function abandonSeat({ storage, journal }: HomeSeat): void {
  storage.abandon();
  journal.close();
}

function staying(error: unknown, name: string): DrvsError {
  const { code, message, hint, details } = DrvsError.from(error);
  return new DrvsError(code, `home stays on ${name}: ${message}`, { hint, details, cause: error });
}

/** The calls that carry a home to its next container; they keep their order. */
class Sending implements CopyTarget {
  bytes = 0;
  readonly programs = new Set<string>();
  #underWay: Promise<unknown>[] = [];

  constructor(
    private readonly rpc: RpcPeer,
    readonly move: string,
  ) {}

  part(path: string, offset: number, bytes: Uint8Array): Promise<void> {
    this.bytes += bytes.length;
    return this.#call('home.part', { move: this.move, path, offset }, bytes);
  }

  cut(path: string, size: number): Promise<void> {
    return this.#call('home.cut', { move: this.move, path, size });
  }

  removed(path: string): Promise<void> {
    return this.#call('home.removed', { move: this.move, path });
  }

  program(hash: string, body: Uint8Array): Promise<void> {
    this.programs.add(hash);
    this.bytes += body.length;
    return this.#call('home.program', { move: this.move, hash }, body);
  }

  /** All has been taken. @throws DrvsError when something was not. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay);
    this.#underWay = [];
  }

  async #call<M extends HomeMethod>(method: M, params: HomeParams<M>, body?: Uint8Array): Promise<void> {
    const call = callHome(this.rpc, method, params, { body, timeoutMs: PART_TIMEOUT_MS });
    // Awaited in turn; one that fails before its turn must not count as a failure that nobody looks at.
    call.catch(() => undefined);
    this.#underWay.push(call);
    if (this.#underWay.length > PARTS_UNDER_WAY) await this.#underWay.shift();
  }
}

async function within(ms: number, isSo: () => boolean): Promise<boolean> {
  const until = performance.now() + ms;
  while (!isSo()) {
    if (performance.now() > until) return false;
    await pause(POLL_MS);
  }
  return true;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
