import { BindWaits } from './bind-waits.js';
import { Copies, type CopyDone, type CopyElement } from './copies.js';
import { Deadlines } from './deadlines.js';
import { isDeadlock } from './deadlock.js';
import { Delivery } from './delivery.js';
import {
  ANY,
  type Endpoint,
  FIRST_USER_SLOT,
  HARDWARE,
  isEndpoint,
  isServerEndpoint,
  isSystemEndpoint,
  MAX_SLOTS,
  slotOf,
} from './endpoint.js';
import {
  E2BIG,
  EBADCALL,
  EBADSRCDST,
  ECALLDENIED,
  EDEADSRCDST,
  EINTR,
  EINVAL,
  ELOCKED,
  EMIGRATE,
  ENOSYS,
  ENOTREADY,
  ETIMEDOUT,
  ETRAPDENIED,
  OK,
  SUSPENDED,
} from './errors.js';
import {
  COMPLETE_CALLS_SINCE,
  FrameKind,
  HEADER_BYTES,
  makeFrame,
  makeMessageFrame,
  POST,
  writeWord,
} from './frame.js';
import { Grants } from './grants.js';
import { HomeChange } from './home-change.js';
import { CallKind, LocalProcess, NO_BYTES, Phase } from './local-process.js';
import { Losses } from './losses.js';
import { MAX_RIDING_BYTES, type Message, NOTIFY_MESSAGE } from './message.js';
import { Migration } from './migration.js';
import type { GrantMemory, Owner } from './owner.js';
import type { IpcCounters, Parts } from './parts.js';
import { type IpcNetwork, Places, UNREACHABLE } from './places.js';
import type { Privileges } from './privileges.js';
import { ProcessTable } from './process-table.js';
import { awaitsReply, MAX_RELAYS, NOTHING, Rendezvous, takesNow } from './rendezvous.js';

export interface IpcKernelOptions {
  /** This container's index. */
  readonly index: number;
  /** The container that has the servers and the authoritative directory. Default 0. */
  readonly home?: number;
  readonly network: IpcNetwork;
  /** Milliseconds that never go back, for timed calls. Without it they never end by time. */
  readonly nowMs?: () => number;
}

/** Timeouts of the timed forms besides milliseconds (M3-IPC). */
export const TIMEOUT_NOWAIT = 0;
export const TIMEOUT_FOREVER = -1;

const SEND_ALL = 2;
const SEND_SERVERS = 1;
const SEND_SET = 0;

/**
 * The IPC kernel of one container: MINIX rendezvous between the processes bound here and, by frames, those of all
 * other containers of the DRVM. Sans-I/O and synchronous: calls and `deliver` in, owners' callbacks and frames out.
 *
 *   sendrec ──local server──▶ its onMessage runs inside the call; the reply is there when sendrec returns
 *      │ else
 *      ├─ local process that receives ──▶ done at once
 *      ├─ local, not receiving ──▶ SUSPENDED in its queue
 *      └─ elsewhere ──▶ SUSPENDED, a Send frame; the end comes as Reply or Status
 *
 * The parts, each in its file: ProcessTable (who is here), Rendezvous (how they meet), Copies (grants), Places (where
 * the others are), Delivery (frames of other kernels), Losses (containers come and go), Migration, HomeChange.
 *
 * Invariants:
 * - A process has at most one call under way, so a queue holds at most one entry per source.
 * - A call is named by (caller, sequence). Both move with the caller; a late end of an earlier call matches nothing.
 * - Every call under way ends: by its partner, by the partner's death, by the loss of the partner's container.
 * - A message is in one place: with its sender until it is taken (it is sent again where the target moved), with
 *   the receiver then. Replies and notifications are not kept by the sender: a container that finds their target
 *   moved returns them whole.
 * - A frame of peer p speaks only for endpoints that live at p, or lived there until their last migration.
 *   A place that this container has not heard of is asked of home before the frame is believed.
 */
export class IpcKernel {
  readonly index: number;
  readonly counters: IpcCounters = { localMessages: 0, framesSent: 0, framesDelivered: 0, framesDropped: 0 };
  readonly #table = new ProcessTable();
  readonly #grants = new Grants(this.#table);
  readonly #parts: Parts;

  constructor(options: IpcKernelOptions) {
    this.index = options.index;
    const { index, counters } = this;
    const { home = 0, nowMs = () => 0 } = options;
    const parts = { index, home, counters, table: this.#table, nowMs } as {
      -readonly [part in keyof Parts]: Parts[part];
    };
    parts.deadlines = new Deadlines();
    parts.bindWaits = new BindWaits(parts);
    parts.places = new Places(parts, options.network);
    parts.rendezvous = new Rendezvous(parts);
    parts.copies = new Copies(parts);
    parts.delivery = new Delivery(parts);
    parts.losses = new Losses(parts);
    parts.migration = new Migration(parts);
    parts.homeChange = new HomeChange(parts);
    this.#parts = parts;
  }

  // ── binding ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Registers a process. On a container other than home, home must know its place (setLocation there) before the
   * process makes its first call: home rejects callers that it does not know.
   * @throws Error ESLOTUSED when the slot is bound.
   */
  bind(
    endpoint: Endpoint,
    kind: 'server' | 'process',
    owner: Owner,
    privileges: Privileges,
    epoch = 1,
  ): void {
    this.#table.enter(new LocalProcess(endpoint, kind === 'server', owner, privileges, epoch));
    this.#parts.places.directory.set(endpoint, this.index, epoch);
    this.#parts.bindWaits.placed(endpoint);
  }

  isBound(endpoint: Endpoint): boolean {
    return this.#table.find(endpoint) !== undefined;
  }

  /** Ends a process's part in IPC; partners that wait for it get `status`. */
  unbind(endpoint: Endpoint, status: number = EDEADSRCDST): void {
    const process = this.#table.find(endpoint);
    if (this.#table.arriving.has(endpoint)) this.#parts.migration.rollback(endpoint);
    if (process === undefined) return;
    this.#parts.rendezvous.abandonCall(process);
    this.#parts.deadlines.clear(process);
    this.#table.leave(process);
    if (this.#parts.places.directory.get(endpoint)?.index === this.index)
      this.#parts.places.directory.forget(endpoint);
    for (const held of process.held) this.#parts.migration.refuseHeld(held.peer, held.frame);
    for (const waiting of process.queue.values()) {
      if (!waiting.isPost) this.#parts.rendezvous.settle(endpoint, waiting.source, waiting.sequence, status);
    }
    for (const [caller, sequence] of process.owed)
      this.#parts.rendezvous.settle(endpoint, caller, sequence, status);
    for (const [watcher, sequence] of process.watchers)
      this.#parts.rendezvous.settle(endpoint, watcher, sequence, status);
    for (const copy of [...this.#parts.copies.underWay.values()]) {
      if (copy.by === process || (copy.granter === endpoint && copy.sentTo === this.index)) {
        this.#parts.copies.end(copy, EDEADSRCDST);
      }
    }
  }

  /** OK, or why `caller` may not address `to`, a task with a call of this `type`. */
  #mayAddress(caller: LocalProcess, to: number, type: number): number {
    const { sendTo, kernelCalls } = caller.privileges;
    const slot = slotOf(to);
    if (to === caller.endpoint || slot >= MAX_SLOTS || !isEndpoint(to)) return EBADSRCDST;
    if (slot < 0) {
      const isAllowed = typeof kernelCalls === 'boolean' ? kernelCalls : kernelCalls.has(type);
      return isAllowed ? OK : ECALLDENIED;
    }
    const mode = sendTo === 'all' ? SEND_ALL : sendTo === 'servers' ? SEND_SERVERS : SEND_SET;
    if (mode === SEND_ALL) return OK;
    if (mode === SEND_SERVERS) return slot < FIRST_USER_SLOT ? OK : ECALLDENIED;
    return (sendTo as ReadonlySet<number>).has(slot) ? OK : ECALLDENIED;
  }

  #mayCall(caller: LocalProcess): number {
    if (caller.isFrozen) return EMIGRATE;
    return caller.phase === Phase.Idle ? OK : EBADCALL;
  }

  // ── calls ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Sends a request and waits for the answer. OK: the reply is in `message`, what rode with it in lastReplyData.
   * SUSPENDED: it comes by onComplete. To a local server: no copy, no allocation.
   */
  sendrec(from: Endpoint, to: Endpoint, message: Message, data: Uint8Array = NO_BYTES): number {
    const caller = this.#table.find(from);
    if (caller === undefined) return EBADSRCDST;
    let status = this.#mayCall(caller);
    if (status !== OK) return status;
    status = this.#mayAddress(caller, to, message.words[1]!);
    if (status !== OK) return status;
    if (data.length > MAX_RIDING_BYTES) return E2BIG;
    let server = this.#table.find(to);
    caller.callTarget = to;
    caller.callKind = CallKind.Sendrec;
    caller.relays = 0;
    caller.nextSequence();
    let riding = data;
    for (; ; riding = caller.lastData) {
      if (server === undefined || !takesNow(server, from))
        return this.#parts.rendezvous.suspendCall(caller, message, riding);
      this.#serveWithin(caller, server, message, riding);
      if (caller.isDead) return EDEADSRCDST;
      // (Read anew: the handler has changed it.)
      const phase = caller.phase as Phase;
      if (phase === Phase.Answered) {
        caller.phase = Phase.Idle;
        return caller.syncStatus;
      }
      if (phase !== Phase.Relayed) break;
      server = this.#table.find(caller.callTarget);
    }
    if (server.isDead) {
      caller.phase = Phase.Idle;
      return EDEADSRCDST;
    }
    caller.phase = Phase.Outstanding;
    caller.needsRouting = false;
    caller.isVerifying = false;
    caller.sentTo = this.index;
    if (caller.trail.length !== 1 || caller.trail[0] !== this.index) caller.trail = [this.index];
    // It may be given back (putBack), and then has to be sent anew from wherever the caller is by then.
    caller.callMessage.copyFrom(message);
    caller.callData = riding.length > 0 ? riding.slice() : NO_BYTES;
    server.owed.set(from, caller.sequence);
    return SUSPENDED;
  }

  /** The body of a sendrec whose target takes it now: `message` goes in, and the reply comes out in it. */
  #serveWithin(caller: LocalProcess, server: LocalProcess, message: Message, data: Uint8Array): void {
    const from = caller.endpoint;
    this.counters.localMessages++;
    message.words[0] = from;
    caller.phase = Phase.Serving;
    caller.syncMessage = message;
    if (!server.isServer) {
      this.#parts.rendezvous.complete(server, OK, from, message, data);
      return;
    }
    server.isBusy = true;
    server.owner.onMessage!(server.endpoint, message, data);
    server.isBusy = false;
    // Whatever the server drains now may use its reply buffer again.
    if (server.queue.size > 0 || server.notifications.size > 0) {
      if (caller.lastData.length > 0) caller.lastData = caller.lastData.slice();
      this.#parts.rendezvous.drain(server);
    }
  }

  /** What rode with the message or reply that the last call of `endpoint` gave; valid until its next call. */
  lastReplyData(endpoint: Endpoint): Uint8Array {
    return this.#table.find(endpoint)?.lastData ?? NO_BYTES;
  }

  /** Sends and waits until it is taken. To one who waits in a sendrec for `from`, it is the reply. */
  send(from: Endpoint, to: Endpoint, message: Message, data: Uint8Array = NO_BYTES): number {
    return this.#send(CallKind.Send, from, to, message, data);
  }

  /**
   * Sends to one who receives at this moment, else ENOTREADY (MINIX sendnb). Of a target elsewhere its kernel decides,
   * so the call is SUSPENDED for the way there and back.
   */
  trySend(from: Endpoint, to: Endpoint, message: Message, data: Uint8Array = NO_BYTES): number {
    return this.#send(CallKind.TrySend, from, to, message, data);
  }

  #send(kind: CallKind, from: Endpoint, to: Endpoint, message: Message, data: Uint8Array): number {
    const caller = this.#table.find(from);
    if (caller === undefined) return EBADSRCDST;
    if (!caller.privileges.maySend) return ETRAPDENIED;
    const waiter = this.#table.find(to);
    const isServed = waiter !== undefined && waiter.phase === Phase.Serving && waiter.callTarget === from;
    if (isServed || caller.owed.has(to)) return this.reply(from, to, message, data);
    let status = this.#mayCall(caller);
    if (status !== OK) return status;
    status = this.#mayAddress(caller, to, message.type);
    if (status !== OK) return status;
    if (data.length > MAX_RIDING_BYTES) return E2BIG;
    caller.callTarget = to;
    caller.callKind = kind;
    caller.nextSequence();
    const target = this.#table.find(to);
    if (target !== undefined && takesNow(target, from)) {
      this.counters.localMessages++;
      this.#parts.rendezvous.hand(target, from, caller.sequence, false, message, data);
      return OK;
    }
    return this.#parts.rendezvous.suspendCall(caller, message, data);
  }

  /**
   * Sends to a task or server and waits for nothing (after MINIX senda): it is taken as soon as the server runs, in
   * order with whatever else `from` sends there. Nobody is told when the server's container is lost, besides by
   * peerLost. EAGAIN: too many wait.
   */
  post(from: Endpoint, to: Endpoint, message: Message, data: Uint8Array = NO_BYTES): number {
    const caller = this.#table.find(from);
    if (caller === undefined) return EBADSRCDST;
    if (!caller.privileges.maySend) return ETRAPDENIED;
    const status = this.#mayAddress(caller, to, message.type);
    if (status !== OK) return status;
    if (!isSystemEndpoint(to)) return EBADSRCDST;
    if (data.length > MAX_RIDING_BYTES) return E2BIG;
    const server = this.#table.find(to);
    if (server === undefined) {
      const frame = makeMessageFrame(FrameKind.Send, POST, from, to, 0, caller.epoch, message, data);
      return this.#parts.places.transmit(to, frame) === UNREACHABLE ? EDEADSRCDST : OK;
    }
    if (!server.isServer) return EBADSRCDST;
    this.counters.localMessages++;
    return this.#parts.rendezvous.takePost(server, from, message, data);
  }

  /** Takes the next message or notification of `source` (or ANY). OK: it is in `message`, its data in lastReplyData. */
  receive(from: Endpoint, source: Endpoint, message: Message): number {
    return this.#receive(from, source, message, true);
  }

  /** As receive of what is there already; ENOTREADY when there is nothing. */
  tryReceive(from: Endpoint, source: Endpoint, message: Message): number {
    return this.#receive(from, source, message, false);
  }

  #receive(from: Endpoint, source: Endpoint, message: Message, waits: boolean): number {
    const receiver = this.#table.find(from);
    if (receiver === undefined) return EBADSRCDST;
    if (!receiver.privileges.maySend) return ETRAPDENIED;
    if (receiver.isServer) return EBADCALL;
    const status = this.#mayCall(receiver);
    if (status !== OK) return status;
    if (source !== ANY && (!isEndpoint(source) || source === from)) return EBADSRCDST;
    if (this.#parts.rendezvous.takeWaiting(receiver, source, message)) return OK;
    if (!waits) return ENOTREADY;
    if (source !== ANY && isDeadlock(this.#table, receiver, source)) return ELOCKED;
    this.#begin(receiver, CallKind.Receive, source, Phase.Receiving);
    if (source === ANY) return SUSPENDED;
    const watched = this.#parts.rendezvous.watch(receiver);
    if (watched !== SUSPENDED) receiver.phase = Phase.Idle;
    return watched;
  }

  /** A call that waits without having sent anything. */
  #begin(caller: LocalProcess, kind: CallKind, target: Endpoint, phase: Phase): void {
    caller.callKind = kind;
    caller.callTarget = target;
    caller.nextSequence();
    caller.trail = [this.index];
    caller.refutedIndex = -1;
    caller.isVerifying = false;
    caller.needsRouting = false;
    caller.sentTo = this.index;
    caller.phase = phase;
  }

  /**
   * Waits until `endpoint` is bound, on whatever container (M3-IPC wait4bind); a message sent to it then arrives. One that
   * has died already is never bound again: give the call a time (limit).
   */
  wait4bind(from: Endpoint, endpoint: Endpoint): number {
    const caller = this.#table.find(from);
    if (caller === undefined) return EBADSRCDST;
    const status = this.#mayCall(caller);
    if (status !== OK) return status;
    if (!isEndpoint(endpoint)) return EBADSRCDST;
    this.#begin(caller, CallKind.AwaitBind, endpoint, Phase.Outstanding);
    const routed = this.#parts.bindWaits.route(caller);
    if (routed !== SUSPENDED) caller.phase = Phase.Idle;
    return routed;
  }

  /** Waits until `endpoint` is dead, or its container is lost (M3-IPC wait4unbind). OK too when it never was. */
  wait4unbind(from: Endpoint, endpoint: Endpoint): number {
    const caller = this.#table.find(from);
    if (caller === undefined) return EBADSRCDST;
    const status = this.#mayCall(caller);
    if (status !== OK) return status;
    if (!isEndpoint(endpoint) || endpoint === from) return EBADSRCDST;
    this.#begin(caller, CallKind.AwaitUnbind, endpoint, Phase.Receiving);
    const watched = this.#parts.rendezvous.watch(caller);
    if (watched === SUSPENDED) return SUSPENDED;
    caller.phase = Phase.Idle;
    return watched === EDEADSRCDST ? OK : watched;
  }

  // ── timed forms ─────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Gives the present call of `from`, which returned SUSPENDED, this many milliseconds: then it ends with ETIMEDOUT. What
   * is left of them goes along when it moves. TIMEOUT_FOREVER takes the limit away.
   */
  limit(from: Endpoint, timeoutMs: number): number {
    const caller = this.#table.find(from);
    if (caller === undefined) return EBADSRCDST;
    if (caller.isExtracted) return EMIGRATE;
    if (caller.phase !== Phase.Outstanding && caller.phase !== Phase.Receiving) return ENOTREADY;
    if (timeoutMs === TIMEOUT_FOREVER) this.#parts.deadlines.clear(caller);
    else if (timeoutMs >= 0) this.#parts.deadlines.set(caller, this.#parts.nowMs() + timeoutMs);
    else return EINVAL;
    return OK;
  }

  /** send within a time: TIMEOUT_NOWAIT is trySend. */
  sendWithin(timeoutMs: number, from: Endpoint, to: Endpoint, message: Message, data?: Uint8Array): number {
    if (timeoutMs === TIMEOUT_NOWAIT) return this.trySend(from, to, message, data);
    return this.#within(from, timeoutMs, this.send(from, to, message, data));
  }

  receiveWithin(timeoutMs: number, from: Endpoint, source: Endpoint, message: Message): number {
    if (timeoutMs === TIMEOUT_NOWAIT) return this.tryReceive(from, source, message);
    return this.#within(from, timeoutMs, this.receive(from, source, message));
  }

  /** sendrec within a time, for sending and reply together. With TIMEOUT_NOWAIT only a server here can answer at once. */
  sendrecWithin(
    timeoutMs: number,
    from: Endpoint,
    to: Endpoint,
    message: Message,
    data?: Uint8Array,
  ): number {
    const status = this.sendrec(from, to, message, data);
    if (timeoutMs !== TIMEOUT_NOWAIT || status !== SUSPENDED) return this.#within(from, timeoutMs, status);
    const caller = this.#table.find(from)!;
    this.#parts.rendezvous.abandonCall(caller);
    caller.phase = Phase.Idle;
    return ENOTREADY;
  }

  #within(from: Endpoint, timeoutMs: number, status: number): number {
    if (status === SUSPENDED && timeoutMs !== TIMEOUT_FOREVER) {
      const limited = this.limit(from, timeoutMs);
      if (limited !== OK) throw new RangeError(`a timeout of ${timeoutMs} ms`);
    }
    return status;
  }

  /** When expire() has something to do, by the kernel's clock; infinite when no call is timed. */
  get nextDeadlineMs(): number {
    return this.#parts.deadlines.nextMs;
  }

  /** Ends the calls whose time is over. */
  expire(): void {
    const nowMs = this.#parts.nowMs();
    for (let caller = this.#parts.deadlines.due(nowMs); caller !== undefined; ) {
      this.cancel(caller.endpoint, ETIMEDOUT);
      caller = this.#parts.deadlines.due(nowMs);
    }
  }

  // ── notifications and answers ───────────────────────────────────────────────────────────────────────────────────

  /**
   * Sets a bit at `to` that it receives as a message of type NOTIFY_MESSAGE. Never waits; notifications of one
   * source that are not yet received are one. `from` may be HARDWARE.
   */
  notify(from: Endpoint, to: Endpoint): number {
    const source = this.#table.find(from);
    if (from !== HARDWARE) {
      if (source === undefined) return EBADSRCDST;
      if (!source.privileges.maySend) return ETRAPDENIED;
      const status = this.#mayAddress(source, to, NOTIFY_MESSAGE);
      if (status !== OK) return status;
    }
    const target = this.#table.find(to);
    if (target !== undefined) {
      this.#parts.rendezvous.notifyLocal(target, from, this.index);
      return OK;
    }
    if (source === undefined) return EDEADSRCDST;
    const frame = makeFrame(FrameKind.Notify, 0, from, to, 0, source.epoch, 0, 0, 0);
    return this.#parts.places.transmit(to, frame) === UNREACHABLE ? EDEADSRCDST : OK;
  }

  /**
   * Answers a sendrec; never waits. ENOTREADY: the caller does not wait for `from`. EDEADSRCDST: it is gone.
   * `message` may be the request itself, answered in place.
   */
  reply(from: Endpoint, to: Endpoint, message: Message, data: Uint8Array = NO_BYTES): number {
    const server = this.#table.find(from);
    if (server === undefined) return EBADSRCDST;
    if (data.length > MAX_RIDING_BYTES) return E2BIG;
    const caller = this.#table.find(to);
    if (caller !== undefined && caller.phase === Phase.Serving && caller.callTarget === from) {
      const into = caller.syncMessage;
      if (into !== message) into.copyFrom(message);
      into.words[0] = from;
      caller.lastData = data;
      caller.syncStatus = OK;
      caller.phase = Phase.Answered;
      return OK;
    }
    const sequence = server.owed.get(to);
    if (sequence === undefined) return this.#parts.places.isKnown(to) ? ENOTREADY : EDEADSRCDST;
    server.owed.delete(to);
    if (caller === undefined) {
      const frame = makeMessageFrame(FrameKind.Reply, 0, from, to, sequence, server.epoch, message, data);
      return this.#parts.places.transmit(to, frame) === UNREACHABLE ? EDEADSRCDST : OK;
    }
    if (!awaitsReply(caller, from, sequence)) return ENOTREADY;
    if (caller.isExtracted) {
      this.#parts.rendezvous.hold(
        caller,
        this.index,
        makeMessageFrame(FrameKind.Reply, 0, from, to, sequence, 0, message, data),
      );
    } else {
      this.#parts.rendezvous.complete(caller, OK, from, message, data);
    }
    return OK;
  }

  /**
   * Hands the request of `caller`, which waits for `from`, on to another server or task: the answer goes straight from
   * there to the caller, and `from` owes it nothing any more. Never waits. Servers alone may. ELOCKED: handed on too often.
   * ENOSYS: the caller's container is of a release that cannot; answer the request yourself.
   */
  relay(
    from: Endpoint,
    caller: Endpoint,
    to: Endpoint,
    message: Message,
    data: Uint8Array = NO_BYTES,
  ): number {
    const server = this.#table.find(from);
    if (server === undefined) return EBADSRCDST;
    if (!server.isServer || !isServerEndpoint(from)) return ETRAPDENIED;
    if (!isSystemEndpoint(to)) return EBADSRCDST;
    const status = this.#mayAddress(server, to, message.type);
    if (status !== OK) return status;
    if (data.length > MAX_RIDING_BYTES) return E2BIG;
    const waiter = this.#table.find(caller);
    if (waiter !== undefined && waiter.phase === Phase.Serving && waiter.callTarget === from) {
      if (++waiter.relays > MAX_RELAYS) return ELOCKED;
      if (waiter.syncMessage !== message) waiter.syncMessage.copyFrom(message);
      waiter.lastData = data.length > 0 ? data.slice() : NO_BYTES;
      waiter.callTarget = to;
      waiter.phase = Phase.Relayed;
      return OK;
    }
    const sequence = server.owed.get(caller);
    if (sequence === undefined) return this.#parts.places.isKnown(caller) ? ENOTREADY : EDEADSRCDST;
    if (waiter !== undefined && !awaitsReply(waiter, from, sequence)) return ENOTREADY;
    const place = waiter === undefined ? this.#parts.places.locate(caller) : undefined;
    if (place !== undefined && !this.#parts.places.speaks(place, COMPLETE_CALLS_SINCE)) return ENOSYS;
    server.owed.delete(caller);
    if (waiter !== undefined && !waiter.isExtracted) {
      this.#parts.rendezvous.relay(waiter, to, message, data);
      return OK;
    }
    const frame = makeMessageFrame(FrameKind.Relay, 0, from, caller, sequence, server.epoch, message, data);
    writeWord(frame, HEADER_BYTES, to);
    if (waiter !== undefined) this.#parts.rendezvous.hold(waiter, this.index, frame);
    else if (this.#parts.places.transmit(caller, frame) === UNREACHABLE) return EDEADSRCDST;
    return OK;
  }

  /** Ends a call that returned SUSPENDED, for a signal (EINTR) or a timeout (ETIMEDOUT). */
  cancel(from: Endpoint, status: number = EINTR): number {
    const caller = this.#table.find(from);
    if (caller === undefined) return EBADSRCDST;
    if (caller.isExtracted) return EMIGRATE;
    if (caller.phase === Phase.Serving || caller.phase === Phase.Relayed) {
      caller.syncStatus = status;
      caller.lastData = NO_BYTES;
      caller.phase = Phase.Answered;
      return OK;
    }
    if (caller.phase !== Phase.Outstanding && caller.phase !== Phase.Receiving) return ENOTREADY;
    this.#parts.rendezvous.abandonCall(caller);
    this.#parts.rendezvous.complete(caller, status, caller.callTarget, NOTHING, NO_BYTES);
    return OK;
  }

  // ── grants and copies ───────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Opens a region of `owner`'s memory to `to`, to read (GRANT_READ), to write (GRANT_WRITE), or both.
   * @returns the grant's id (> 0), or a negative status.
   */
  grantDirect(owner: Endpoint, to: Endpoint, memory: GrantMemory, access: number): number {
    return this.#grants.direct(owner, to, memory, access);
  }

  /** Hands on to `to` what `from` has granted to `owner`. It ends with that grant, with this one, and with `owner`. */
  grantIndirect(owner: Endpoint, to: Endpoint, from: Endpoint, grant: number, access: number): number {
    return this.#grants.indirect(owner, to, from, grant, access);
  }

  /**
   * Opens `length` bytes from `offset` of the memory of `subject`, which need not know (MINIX: VFS, to drivers). Only for
   * servers whose privileges say so, of processes whose owner gives their memory (Owner.grantMemory).
   */
  grantMagic(
    owner: Endpoint,
    to: Endpoint,
    subject: Endpoint,
    offset: number,
    length: number,
    access: number,
  ): number {
    return this.#grants.magic(owner, to, subject, offset, length, access);
  }

  revoke(owner: Endpoint, id: number): number {
    return this.#grants.revoke(owner, id);
  }

  /** Several copies as one (MINIX vsafecopy): `done` gets OK, or the first failure once all that were begun have ended. */
  vsafecopy(by: Endpoint, vector: readonly CopyElement[], done: CopyDone): number {
    return this.#parts.copies.copyVector(by, vector, done);
  }

  /** Fills `target` from the grant. OK: done. SUSPENDED: done(status) says when; `target` is the kernel's until then. */
  safecopyFrom(
    by: Endpoint,
    granter: Endpoint,
    grant: number,
    offset: number,
    target: Uint8Array,
    done: CopyDone,
  ): number {
    return this.#parts.copies.copy(by, granter, grant, offset, target, false, done);
  }

  /** Writes `source` into the grant. As safecopyFrom. */
  safecopyTo(
    by: Endpoint,
    granter: Endpoint,
    grant: number,
    offset: number,
    source: Uint8Array,
    done: CopyDone,
  ): number {
    return this.#parts.copies.copy(by, granter, grant, offset, source, true, done);
  }

  // ── places ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Says where an endpoint lives. At home this is the truth, set before the process is bound on its container (so
   * that its first call is accepted) and by the commit of a migration. Elsewhere a hint that saves a question.
   * @returns false when a place as new or newer is known; it stays.
   */
  setLocation(endpoint: Endpoint, index: number, epoch: number): boolean {
    const isNew = this.#parts.places.setLocation(endpoint, index, epoch);
    if (isNew) this.#parts.bindWaits.placed(endpoint);
    return isNew;
  }

  /** (home) The endpoint is dead; questions for it are answered so. */
  forgetLocation(endpoint: Endpoint): void {
    this.#parts.places.forgetLocation(endpoint);
  }

  locate(endpoint: Endpoint): number | undefined {
    return this.#parts.places.locate(endpoint);
  }

  /** The epoch of the endpoint's place; undefined when it is not known here. */
  epochOf(endpoint: Endpoint): number | undefined {
    return this.#parts.places.epochOf(endpoint);
  }

  // ── frames and containers ───────────────────────────────────────────────────────────────────────────────────────

  /** Takes a frame that arrived from `peer`. Garbage and lies are dropped and counted, and never throw. */
  deliver(peer: number, frame: Uint8Array): void {
    this.#parts.delivery.deliver(peer, frame);
  }

  /** `version`: of the protocol, as the transport says; calls that a kernel there does not know give ENOSYS. */
  peerUp(peer: number, version = COMPLETE_CALLS_SINCE): void {
    this.#parts.losses.peerUp(peer, version);
  }

  isUp(peer: number): boolean {
    return this.#parts.losses.isUp(peer);
  }

  /** The session with a container is over: whoever waits for an endpoint there gets EDEADSRCDST. */
  peerLost(peer: number): void {
    this.#parts.losses.peerLost(peer);
  }

  // ── migration ───────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Stops all IPC of a process where it stands: its calls wait, senders queue, what ends is kept. DVK MIGR_START.
   * EBUSY: inside a call that runs now. EONCOPY: copies of it go on. EMIGRATE: frozen already. EAGAIN: later.
   */
  freeze(endpoint: Endpoint): number {
    return this.#parts.migration.freeze(endpoint);
  }

  /** Packs the IPC state of a frozen process. From then on, until rollback or commitAway, nothing of it changes. */
  extract(endpoint: Endpoint): Uint8Array {
    return this.#parts.migration.extract(endpoint);
  }

  /**
   * Installs an arriving process, frozen until activate.
   * @throws ProcessStateInvalid, or Error ESLOTUSED.
   */
  install(endpoint: Endpoint, owner: Owner, privileges: Privileges, state: Uint8Array): void {
    this.#parts.migration.install(endpoint, owner, privileges, state);
  }

  /** Sets an installed process going: it lives here now, under `epoch`. */
  activate(endpoint: Endpoint, epoch: number): void {
    this.#parts.migration.activate(endpoint, epoch);
  }

  /** Undoes freeze and extract at the source; at the target, discards what was installed. DVK ROLLBACK. */
  rollback(endpoint: Endpoint): void {
    this.#parts.migration.rollback(endpoint);
  }

  /** The process lives at `to` now, under `epoch`: gives up this copy and sends all who wait for it there. */
  commitAway(endpoint: Endpoint, to: number, epoch: number): void {
    this.#parts.migration.commitAway(endpoint, to, epoch);
  }

  // ── home ────────────────────────────────────────────────────────────────────────────────────────────────────────

  get home(): number {
    return this.#parts.home;
  }

  /** Another container is home now: calls to servers that were sent to the former one go to it. */
  setHome(index: number): void {
    this.#parts.homeChange.setHome(index);
  }

  /** The servers bound here take nothing more until resumeServers; what comes waits. */
  pauseServers(): void {
    this.#parts.homeChange.pauseServers();
  }

  /** They take what has come meanwhile, in order. */
  resumeServers(): void {
    this.#parts.homeChange.resumeServers();
  }

  /**
   * A server gives a call back that it has taken and not answered, without having done anything of it: it waits in the
   * queue as if it had never been taken, and goes where the server goes. Only while servers are paused.
   * @returns false when nobody waits for an answer any more.
   */
  putBack(server: Endpoint, caller: Endpoint, message: Message, data: Uint8Array): boolean {
    return this.#parts.homeChange.putBack(server, caller, message, data);
  }

  /** Calls that the servers bound here have taken and not answered. */
  owedByServers(): number {
    return this.#parts.homeChange.owedByServers();
  }

  /** `done` is called when every container that is up has taken all frames sent to it so far, or was lost. */
  barrier(done: () => void): void {
    this.#parts.homeChange.barrier(done);
  }

  /**
   * The servers bound here leave, unanswered callers and all. With `to`, that container is home from now on. Callers
   * here are sent to where home is.
   */
  dropServers(to?: number): void {
    this.#parts.homeChange.dropServers(to);
  }

  /** This container is home from now on: its directory is the truth, and holds these places and no others. */
  becomeHome(places: readonly (readonly [endpoint: number, index: number, epoch: number])[]): void {
    this.#parts.homeChange.becomeHome(places);
  }

  /** What IS shows: one row per process bound here. */
  list(): { endpoint: Endpoint; phase: string; partner: Endpoint; queued: number; isFrozen: boolean }[] {
    return [...this.#table.processes].map((p) => ({
      endpoint: p.endpoint,
      phase: Phase[p.phase].toLowerCase(),
      partner: p.callTarget,
      queued: p.queue.size,
      isFrozen: p.isFrozen,
    }));
  }
}
