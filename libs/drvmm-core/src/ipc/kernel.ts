import { Directory } from './directory.js';
import {
  ANY,
  type Endpoint,
  FIRST_USER_SLOT,
  fixedIndexOf,
  formatEndpoint,
  HARDWARE,
  isEndpoint,
  isSystemEndpoint,
  MAX_SLOTS,
  slotOf,
  TASK_SLOTS,
} from './endpoint.js';
import {
  E2BIG,
  EAGAIN,
  EBADCALL,
  EBADSRCDST,
  EBUSY,
  ECALLDENIED,
  EDEADSRCDST,
  EINTR,
  EINVAL,
  ELOCKED,
  EMIGRATE,
  ENOTBIND,
  ENOTREADY,
  EONCOPY,
  EPERM,
  ESLOTUSED,
  ETRAPDENIED,
  OK,
  SUSPENDED,
} from './errors.js';
import {
  EXPECTS_REPLY,
  epochOf,
  FINAL,
  FrameKind,
  HEADER_BYTES,
  kindOf,
  MESSAGE_END,
  makeFrame,
  makeMessageFrame,
  POST,
  readInt,
  readMessage,
  readUnsigned,
  sequenceOf,
  sourceOf,
  targetOf,
} from './frame.js';
import { CallKind, LOCATING, LocalProcess, NO_BYTES, Phase, type Waiting } from './local-process.js';
import { MAX_RIDING_BYTES, Message, NOTIFY_MESSAGE } from './message.js';
import { GRANT_READ, GRANT_WRITE, type GrantMemory, type Owner } from './owner.js';
import type { Privileges } from './privileges.js';
import { packState, unpackState } from './process-state.js';

/** How frames leave: reliable and in order per peer while its session lives (peerUp .. peerLost). */
export interface IpcNetwork {
  /** The frame belongs to the network from then on. */
  send(peer: number, frame: Uint8Array): void;
}

export interface IpcKernelOptions {
  /** This container's index; 0 is home and holds the authoritative directory. */
  readonly index: number;
  readonly network: IpcNetwork;
}

/** What was refused; hostile peers make these grow and nothing else. */
export interface IpcCounters {
  localMessages: number;
  framesSent: number;
  framesDelivered: number;
  framesDropped: number;
}

export type CopyDone = (status: number) => void;

/** Bytes of one safecopy at most. */
export const MAX_COPY_BYTES = 16 * 1024 * 1024;
/** Bytes of a copy per frame. */
const COPY_CHUNK_BYTES = 65_536;
/** Chunks of one copy under way at a time. */
const COPY_WINDOW = 8;
/** Copies that one process may have under way. */
const MAX_COPIES_PER_PROCESS = 64;
/** Grants of one process. */
const MAX_GRANTS_PER_PROCESS = 65_536;
/** Posts that wait for a busy server: it is busy only while its handler runs, so this many mean a loop. */
const MAX_WAITING_POSTS = 4_096;
/** A call carried along by more migrations than this in one piece makes the next one wait (EAGAIN). */
const MAX_TRAIL = 8;
/** Frames of one source that wait until home has said where it is; legal sources have a handful at most. */
const MAX_PARKED_PER_SOURCE = 256;
/** Sources that are being asked for at a time. */
const MAX_PARKED_SOURCES = 16_384;
/** Frames held for a process that is being moved: a reply, copies, and one notification per source. */
const MAX_HELD_FRAMES = 4_096;
/** Moved-away processes whose calls this container may still hear about. */
const MAX_MOVED = 65_536;

const SEND_ALL = 2;
const SEND_SERVERS = 1;
const SEND_SET = 0;
/** Where a held frame came from: a container that is lost since. */
const LOST = -1;
/** transmit() found no living container. */
const UNREACHABLE = -2;

interface ParkedOut {
  frame: Uint8Array;
  /** Said not to know the target under this epoch: the same answer again means that it is dead. */
  refutedIndex: number;
  refutedEpoch: number;
}

interface ParkedIn {
  peer: number;
  frame: Uint8Array;
}

interface Moved {
  /** Under which it lived here. */
  epoch: number;
  sequence: number;
  callTarget: Endpoint;
  sentTo: number;
}

interface Copy {
  id: number;
  by: LocalProcess;
  granter: Endpoint;
  grant: number;
  offset: number;
  /** Read into, or written from. */
  bytes: Uint8Array;
  isWrite: boolean;
  done: CopyDone;
  next: number;
  underWay: Set<number>;
  sentTo: number;
  replays: number;
}

/** A copy chased a migrating granter this often: something is wrong. */
const MAX_COPY_REPLAYS = 1_024;

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

  readonly #network: IpcNetwork;
  readonly #directory: Directory;
  /** By slot + TASK_SLOTS. */
  #table: (LocalProcess | undefined)[] = new Array(TASK_SLOTS + 256).fill(undefined);
  readonly #processes = new Set<LocalProcess>();
  readonly #up = new Set<number>();
  readonly #parkedOut = new Map<number, ParkedOut[]>();
  readonly #parkedIn = new Map<number, ParkedIn[]>();
  readonly #asked = new Set<number>();
  /**
   * Installed, and not committed yet: not visible to anybody here. What comes for them is held; what goes to them
   * goes to where they still live.
   */
  readonly #arriving = new Map<number, LocalProcess>();
  readonly #moved = new Map<number, Moved>();
  readonly #copies = new Map<number, Copy>();
  #nextCopy = 1;
  #nextPostKey = -0x1_0000_0000;
  readonly #nothing = new Message();

  constructor(options: IpcKernelOptions) {
    this.index = options.index;
    this.#network = options.network;
    this.#directory = new Directory(options.index === 0);
  }

  // ── binding ──────────────────────────────────────────────────────────────────────────────────────────────────

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
    this.#enter(new LocalProcess(endpoint, kind === 'server', owner, privileges, epoch));
    this.#directory.set(endpoint, this.index, epoch);
  }

  isBound(endpoint: Endpoint): boolean {
    return this.#find(endpoint) !== undefined;
  }

  /** Ends a process's part in IPC; partners that wait for it get `status`. */
  unbind(endpoint: Endpoint, status: number = EDEADSRCDST): void {
    const process = this.#find(endpoint);
    if (this.#arriving.has(endpoint)) this.rollback(endpoint);
    if (process === undefined) return;
    this.#abandonCall(process);
    this.#leave(process);
    if (this.#directory.get(endpoint)?.index === this.index) this.#directory.forget(endpoint);
    for (const held of process.held) this.#refuseHeld(held.peer, held.frame);
    for (const waiting of process.queue.values()) {
      if (!waiting.isPost) this.#settle(endpoint, waiting.source, waiting.sequence, status);
    }
    for (const [caller, sequence] of process.owed) this.#settle(endpoint, caller, sequence, status);
    for (const [watcher, sequence] of process.watchers) this.#settle(endpoint, watcher, sequence, status);
    for (const copy of [...this.#copies.values()]) {
      if (copy.by === process || (copy.granter === endpoint && copy.sentTo === this.index)) {
        this.#endCopy(copy, EDEADSRCDST);
      }
    }
  }

  #enter(process: LocalProcess): void {
    const slot = slotOf(process.endpoint);
    if (!isEndpoint(process.endpoint)) throw new Error(`EBADSRCDST: ${process.endpoint} is not an endpoint`);
    const at = slot + TASK_SLOTS;
    while (at >= this.#table.length)
      this.#table = this.#table.concat(new Array(this.#table.length).fill(undefined));
    const holder = this.#table[at];
    if (holder !== undefined) {
      throw new Error(
        `ESLOTUSED (${ESLOTUSED}): slot ${slot} is bound to ${formatEndpoint(holder.endpoint)}`,
      );
    }
    this.#table[at] = process;
    this.#processes.add(process);
  }

  #leave(process: LocalProcess): void {
    process.isDead = true;
    this.#table[slotOf(process.endpoint) + TASK_SLOTS] = undefined;
    this.#processes.delete(process);
  }

  #find(endpoint: number): LocalProcess | undefined {
    const process = this.#table[slotOf(endpoint) + TASK_SLOTS];
    return process !== undefined && process.endpoint === endpoint ? process : undefined;
  }

  /** OK, or why `caller` may not address `to`. */
  #mayAddress(caller: LocalProcess, to: number): number {
    const { sendTo, kernelCalls } = caller.privileges;
    const slot = slotOf(to);
    if (to === caller.endpoint || slot >= MAX_SLOTS || !isEndpoint(to)) return EBADSRCDST;
    if (slot < 0) return kernelCalls ? OK : ECALLDENIED;
    const mode = sendTo === 'all' ? SEND_ALL : sendTo === 'servers' ? SEND_SERVERS : SEND_SET;
    if (mode === SEND_ALL) return OK;
    if (mode === SEND_SERVERS) return slot < FIRST_USER_SLOT ? OK : ECALLDENIED;
    return (sendTo as ReadonlySet<number>).has(slot) ? OK : ECALLDENIED;
  }

  #mayCall(caller: LocalProcess): number {
    if (caller.isFrozen) return EMIGRATE;
    return caller.phase === Phase.Idle ? OK : EBADCALL;
  }

  // ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Sends a request and waits for the answer. OK: the reply is in `message`, what rode with it in lastReplyData.
   * SUSPENDED: it comes by onComplete. To a local server: no copy, no allocation.
   */
  sendrec(from: Endpoint, to: Endpoint, message: Message, data: Uint8Array = NO_BYTES): number {
    const caller = this.#find(from);
    if (caller === undefined) return EBADSRCDST;
    let status = this.#mayCall(caller);
    if (status !== OK) return status;
    status = this.#mayAddress(caller, to);
    if (status !== OK) return status;
    if (data.length > MAX_RIDING_BYTES) return E2BIG;
    const server = this.#find(to);
    caller.callTarget = to;
    caller.callKind = CallKind.Sendrec;
    caller.nextSequence();
    if (server === undefined || !this.#takesNow(server, from))
      return this.#suspendCall(caller, message, data);
    this.counters.localMessages++;
    message.words[0] = from;
    caller.phase = Phase.Serving;
    caller.syncMessage = message;
    if (server.isServer) {
      server.isBusy = true;
      server.owner.onMessage!(to, message, data);
      server.isBusy = false;
    } else {
      this.#complete(server, OK, from, message, data);
    }
    // Whatever the server drains now may use its reply buffer again.
    if (server.isServer && (server.queue.size > 0 || server.notifications.size > 0)) {
      if (caller.lastData.length > 0) caller.lastData = caller.lastData.slice();
      this.#drain(server);
    }
    if (caller.isDead) return EDEADSRCDST;
    // (Read anew: the handler has changed it.)
    if ((caller.phase as Phase) === Phase.Answered) {
      caller.phase = Phase.Idle;
      return caller.syncStatus;
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
    caller.callData = NO_BYTES;
    server.owed.set(from, caller.sequence);
    return SUSPENDED;
  }

  /** What rode with the message or reply that the last call of `endpoint` gave; valid until its next call. */
  lastReplyData(endpoint: Endpoint): Uint8Array {
    return this.#find(endpoint)?.lastData ?? NO_BYTES;
  }

  /** Sends and waits until it is taken. To one who waits in a sendrec for `from`, it is the reply. */
  send(from: Endpoint, to: Endpoint, message: Message, data: Uint8Array = NO_BYTES): number {
    const caller = this.#find(from);
    if (caller === undefined) return EBADSRCDST;
    if (!caller.privileges.maySend) return ETRAPDENIED;
    const waiter = this.#find(to);
    const isServed = waiter !== undefined && waiter.phase === Phase.Serving && waiter.callTarget === from;
    if (isServed || caller.owed.has(to)) return this.reply(from, to, message, data);
    let status = this.#mayCall(caller);
    if (status !== OK) return status;
    status = this.#mayAddress(caller, to);
    if (status !== OK) return status;
    if (data.length > MAX_RIDING_BYTES) return E2BIG;
    caller.callTarget = to;
    caller.callKind = CallKind.Send;
    caller.nextSequence();
    const target = this.#find(to);
    if (target !== undefined && this.#takesNow(target, from)) {
      this.counters.localMessages++;
      this.#hand(target, from, caller.sequence, false, message, data);
      return OK;
    }
    return this.#suspendCall(caller, message, data);
  }

  /**
   * Sends to a task or server and waits for nothing (after MINIX senda): it is taken as soon as the server runs, in
   * order with whatever else `from` sends there. Nobody is told when the server's container is lost, besides by
   * peerLost. EAGAIN: too many wait.
   */
  post(from: Endpoint, to: Endpoint, message: Message, data: Uint8Array = NO_BYTES): number {
    const caller = this.#find(from);
    if (caller === undefined) return EBADSRCDST;
    if (!caller.privileges.maySend) return ETRAPDENIED;
    const status = this.#mayAddress(caller, to);
    if (status !== OK) return status;
    if (!isSystemEndpoint(to)) return EBADSRCDST;
    if (data.length > MAX_RIDING_BYTES) return E2BIG;
    const server = this.#find(to);
    if (server === undefined) {
      const frame = makeMessageFrame(FrameKind.Send, POST, from, to, 0, caller.epoch, message, data);
      return this.#transmit(to, frame) === UNREACHABLE ? EDEADSRCDST : OK;
    }
    if (!server.isServer) return EBADSRCDST;
    this.counters.localMessages++;
    return this.#takePost(server, from, message, data);
  }

  /** Takes the next message or notification of `source` (or ANY). OK: it is in `message`, its data in lastReplyData. */
  receive(from: Endpoint, source: Endpoint, message: Message): number {
    const receiver = this.#find(from);
    if (receiver === undefined) return EBADSRCDST;
    if (!receiver.privileges.maySend) return ETRAPDENIED;
    if (receiver.isServer) return EBADCALL;
    const status = this.#mayCall(receiver);
    if (status !== OK) return status;
    if (source !== ANY && (!isEndpoint(source) || source === from)) return EBADSRCDST;
    if (this.#takeWaiting(receiver, source, message)) return OK;
    if (source !== ANY && this.#isDeadlock(receiver, source)) return ELOCKED;
    receiver.callKind = CallKind.Receive;
    receiver.callTarget = source;
    receiver.nextSequence();
    receiver.trail = [this.index];
    receiver.refutedIndex = -1;
    receiver.needsRouting = false;
    receiver.sentTo = this.index;
    receiver.phase = Phase.Receiving;
    if (source === ANY) return SUSPENDED;
    const watched = this.#watch(receiver);
    if (watched !== SUSPENDED) receiver.phase = Phase.Idle;
    return watched;
  }

  /**
   * Sets a bit at `to` that it receives as a message of type NOTIFY_MESSAGE. Never waits; notifications of one
   * source that are not yet received are one. `from` may be HARDWARE.
   */
  notify(from: Endpoint, to: Endpoint): number {
    const source = this.#find(from);
    if (from !== HARDWARE) {
      if (source === undefined) return EBADSRCDST;
      if (!source.privileges.maySend) return ETRAPDENIED;
      const status = this.#mayAddress(source, to);
      if (status !== OK) return status;
    }
    const target = this.#find(to);
    if (target !== undefined) {
      this.#notifyLocal(target, from, this.index);
      return OK;
    }
    if (source === undefined) return EDEADSRCDST;
    const frame = makeFrame(FrameKind.Notify, 0, from, to, 0, source.epoch, 0, 0, 0);
    return this.#transmit(to, frame) === UNREACHABLE ? EDEADSRCDST : OK;
  }

  /**
   * Answers a sendrec; never waits. ENOTREADY: the caller does not wait for `from`. EDEADSRCDST: it is gone.
   * `message` may be the request itself, answered in place.
   */
  reply(from: Endpoint, to: Endpoint, message: Message, data: Uint8Array = NO_BYTES): number {
    const server = this.#find(from);
    if (server === undefined) return EBADSRCDST;
    if (data.length > MAX_RIDING_BYTES) return E2BIG;
    const caller = this.#find(to);
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
    if (sequence === undefined) return this.#isKnown(to) ? ENOTREADY : EDEADSRCDST;
    server.owed.delete(to);
    if (caller === undefined) {
      const frame = makeMessageFrame(FrameKind.Reply, 0, from, to, sequence, server.epoch, message, data);
      return this.#transmit(to, frame) === UNREACHABLE ? EDEADSRCDST : OK;
    }
    if (!this.#awaitsReply(caller, from, sequence)) return ENOTREADY;
    if (caller.isExtracted) {
      this.#hold(
        caller,
        this.index,
        makeMessageFrame(FrameKind.Reply, 0, from, to, sequence, 0, message, data),
      );
    } else {
      this.#complete(caller, OK, from, message, data);
    }
    return OK;
  }

  /** Ends a call that returned SUSPENDED, for a signal (EINTR) or a timeout (ETIMEDOUT). */
  cancel(from: Endpoint, status: number = EINTR): number {
    const caller = this.#find(from);
    if (caller === undefined) return EBADSRCDST;
    if (caller.isExtracted) return EMIGRATE;
    if (caller.phase === Phase.Serving) {
      caller.syncStatus = status;
      caller.lastData = NO_BYTES;
      caller.phase = Phase.Answered;
      return OK;
    }
    if (caller.phase !== Phase.Outstanding && caller.phase !== Phase.Receiving) return ENOTREADY;
    this.#abandonCall(caller);
    this.#complete(caller, status, caller.callTarget, this.#nothing, NO_BYTES);
    return OK;
  }

  // ── grants and copies ────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Opens a region of `owner`'s memory to `to`, to read (GRANT_READ), to write (GRANT_WRITE), or both.
   * @returns the grant's id (> 0), or a negative status.
   */
  grantDirect(owner: Endpoint, to: Endpoint, memory: GrantMemory, access: number): number {
    const granter = this.#find(owner);
    if (granter === undefined) return EBADSRCDST;
    if (granter.grants.size >= MAX_GRANTS_PER_PROCESS) return EAGAIN;
    if ((access & ~(GRANT_READ | GRANT_WRITE)) !== 0 || access === 0) return EINVAL;
    const id = granter.nextGrant;
    granter.nextGrant = id >= 0x7fff_ffff ? 1 : id + 1;
    if (granter.grants.has(granter.nextGrant)) return EAGAIN;
    granter.grants.set(id, { to, access, memory });
    return id;
  }

  revoke(owner: Endpoint, id: number): number {
    const granter = this.#find(owner);
    if (granter === undefined) return EBADSRCDST;
    return granter.grants.delete(id) ? OK : EINVAL;
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
    return this.#copy(by, granter, grant, offset, target, false, done);
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
    return this.#copy(by, granter, grant, offset, source, true, done);
  }

  #copy(
    by: Endpoint,
    granter: Endpoint,
    grant: number,
    offset: number,
    bytes: Uint8Array,
    isWrite: boolean,
    done: CopyDone,
  ): number {
    const copier = this.#find(by);
    if (copier === undefined || !isEndpoint(granter)) return EBADSRCDST;
    if (copier.isFrozen) return EMIGRATE;
    if (bytes.length > MAX_COPY_BYTES) return E2BIG;
    if (!Number.isInteger(offset) || offset < 0 || offset > 0xffff_ffff) return EINVAL;
    const local = this.#find(granter);
    if (local !== undefined && !local.isFrozen)
      return copyWithGrant(local, by, grant, offset, bytes, isWrite);
    if (bytes.length === 0) return OK;
    if (copier.copies >= MAX_COPIES_PER_PROCESS) return EAGAIN;
    const id = this.#nextCopy;
    this.#nextCopy = id >= 0xffff_ffff ? 1 : id + 1;
    if (this.#copies.has(id)) return EAGAIN;
    const copy: Copy = {
      id,
      by: copier,
      granter,
      grant,
      offset,
      bytes,
      isWrite,
      done,
      next: 0,
      underWay: new Set(),
      sentTo: local === undefined ? LOCATING : this.index,
      replays: 0,
    };
    if (local === undefined) {
      const place = this.#directory.indexOf(granter);
      if (place === undefined && !this.#mayAskHome()) return EDEADSRCDST;
      const isHere = place === this.index && this.#arriving.has(granter);
      if (place !== undefined && !isHere && !this.#up.has(place)) return EDEADSRCDST;
    }
    this.#copies.set(id, copy);
    copier.copies++;
    if (local === undefined) this.#pumpCopy(copy);
    return SUSPENDED;
  }

  #pumpCopy(copy: Copy): void {
    while (copy.next < copy.bytes.length && copy.underWay.size < COPY_WINDOW && this.#copies.has(copy.id)) {
      const at = copy.next;
      copy.next += Math.min(COPY_CHUNK_BYTES, copy.bytes.length - at);
      copy.underWay.add(at);
      this.#sendChunk(copy, at);
    }
  }

  #sendChunk(copy: Copy, at: number): void {
    const length = Math.min(COPY_CHUNK_BYTES, copy.bytes.length - at);
    const kind = copy.isWrite ? FrameKind.CopyTo : FrameKind.CopyFrom;
    const { by, granter, grant, id } = copy;
    const extra = copy.isWrite ? length : 0;
    const frame = makeFrame(
      kind,
      0,
      by.endpoint,
      granter,
      id,
      by.epoch,
      grant,
      copy.offset + at,
      length,
      extra,
    );
    if (copy.isWrite) frame.set(copy.bytes.subarray(at, at + length), HEADER_BYTES);
    const place = this.#transmit(granter, frame);
    if (place === UNREACHABLE) this.#endCopy(copy, EDEADSRCDST);
    else copy.sentTo = place;
  }

  #endCopy(copy: Copy, status: number): void {
    if (!this.#copies.delete(copy.id)) return;
    copy.by.copies--;
    copy.done(status);
  }

  /** The granter of copies that waited here has thawed, or moved. */
  #resumeCopies(granter: Endpoint): void {
    const local = this.#find(granter);
    for (const copy of [...this.#copies.values()]) {
      if (copy.granter !== granter || copy.sentTo !== this.index) continue;
      if (local === undefined) {
        copy.next = 0;
        copy.underWay.clear();
        this.#pumpCopy(copy);
      } else if (!local.isFrozen) {
        this.#endCopy(
          copy,
          copyWithGrant(local, copy.by.endpoint, copy.grant, copy.offset, copy.bytes, copy.isWrite),
        );
      }
    }
  }

  // ── places ───────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Says where an endpoint lives. At home this is the truth, set before the process is bound on its container (so
   * that its first call is accepted) and by the commit of a migration. Elsewhere a hint that saves a question.
   * @returns false when a place as new or newer is known; it stays.
   */
  setLocation(endpoint: Endpoint, index: number, epoch: number): boolean {
    return this.#directory.set(endpoint, index, epoch);
  }

  /** (home) The endpoint is dead; questions for it are answered so. */
  forgetLocation(endpoint: Endpoint): void {
    this.#directory.forget(endpoint);
  }

  locate(endpoint: Endpoint): number | undefined {
    return this.#find(endpoint) === undefined ? this.#directory.indexOf(endpoint) : this.index;
  }

  /** The epoch of the endpoint's place; undefined when it is not known here. */
  epochOf(endpoint: Endpoint): number | undefined {
    return this.#directory.get(endpoint)?.epoch;
  }

  #isKnown(endpoint: number): boolean {
    return this.#find(endpoint) !== undefined || this.#directory.indexOf(endpoint) !== undefined;
  }

  #mayAskHome(): boolean {
    return this.index !== 0 && this.#up.has(0);
  }

  /**
   * Sends a frame towards `target`, which is not here.
   * @returns the container it went to, LOCATING when home is asked first, UNREACHABLE.
   */
  #transmit(target: number, frame: Uint8Array, refutedIndex = -1, refutedEpoch = 0): number {
    const place = refutedIndex === -1 ? this.#directory.indexOf(target) : undefined;
    if (place !== undefined && place !== this.index) {
      if (!this.#up.has(place)) return UNREACHABLE;
      this.#emit(place, frame);
      return place;
    }
    const arriving = place === this.index ? this.#arriving.get(target) : undefined;
    if (arriving !== undefined) {
      this.#hold(arriving, this.index, frame);
      return this.index;
    }
    if (fixedIndexOf(target) !== undefined || !this.#mayAskHome()) return UNREACHABLE;
    let parked = this.#parkedOut.get(target);
    if (parked === undefined) {
      parked = [];
      this.#parkedOut.set(target, parked);
    }
    parked.push({ frame, refutedIndex, refutedEpoch });
    this.#ask(target);
    return LOCATING;
  }

  #ask(endpoint: number): void {
    if (this.#asked.has(endpoint)) return;
    this.#asked.add(endpoint);
    this.#emit(0, makeFrame(FrameKind.Locate, 0, 0, endpoint, 0, 0, 0, 0, 0));
  }

  #emit(peer: number, frame: Uint8Array): void {
    this.counters.framesSent++;
    this.#network.send(peer, frame);
  }

  // ── the local half ───────────────────────────────────────────────────────────────────────────────────────────

  /** The call of `caller` cannot end at once: keeps it and routes it. */
  #suspendCall(caller: LocalProcess, message: Message, data: Uint8Array): number {
    caller.callMessage.copyFrom(message);
    caller.callMessage.words[0] = caller.endpoint;
    // (A call that leaves keeps its bytes in the frame.)
    const isHere = this.#find(caller.callTarget) !== undefined;
    caller.callData = isHere && data.length > 0 ? data.slice() : data;
    caller.trail = [this.index];
    caller.refutedIndex = -1;
    caller.isVerifying = false;
    caller.needsRouting = false;
    caller.phase = Phase.Outstanding;
    const status = this.#route(caller);
    if (status !== SUSPENDED) caller.phase = Phase.Idle;
    return status;
  }

  /** Brings an outstanding call to where its target is. SUSPENDED: it waits there, or was handed over. */
  #route(caller: LocalProcess): number {
    const to = caller.callTarget;
    const target = this.#find(to);
    const expectsReply = caller.callKind === CallKind.Sendrec;
    if (target === undefined) {
      const flags = expectsReply ? EXPECTS_REPLY : 0;
      const { endpoint, sequence, epoch, callMessage, callData } = caller;
      const frame = makeMessageFrame(
        FrameKind.Send,
        flags,
        endpoint,
        to,
        sequence,
        epoch,
        callMessage,
        callData,
      );
      caller.callData = callData.length === 0 ? NO_BYTES : frame.subarray(MESSAGE_END);
      const place = this.#transmit(to, frame, caller.refutedIndex, caller.refutedEpoch);
      if (place === UNREACHABLE) return EDEADSRCDST;
      caller.sentTo = place;
      return SUSPENDED;
    }
    caller.sentTo = this.index;
    if (this.#takesNow(target, caller.endpoint)) {
      this.counters.localMessages++;
      const { endpoint, sequence, callMessage, callData } = caller;
      this.#hand(target, endpoint, sequence, expectsReply, callMessage, callData);
      if (!expectsReply) this.#settle(to, endpoint, sequence, OK);
      return SUSPENDED;
    }
    if (this.#isDeadlock(caller, to)) return ELOCKED;
    target.queue.set(caller.endpoint, {
      source: caller.endpoint,
      sequence: caller.sequence,
      expectsReply,
      isPost: false,
      message: caller.callMessage,
      data: caller.callData,
    });
    return SUSPENDED;
  }

  /** As #route, for a call that had returned SUSPENDED already: what ends now is told. */
  #reroute(caller: LocalProcess): void {
    if (caller.isFrozen) {
      caller.needsRouting = true;
      caller.sentTo = LOCATING;
      return;
    }
    // It is sent anew from here: what former places may still say of it is over.
    caller.trail = [this.index];
    const status = caller.phase === Phase.Receiving ? this.#watch(caller) : this.#route(caller);
    if (status !== SUSPENDED) this.#complete(caller, status, caller.callTarget, this.#nothing, NO_BYTES);
  }

  /** A receiver of one source alone must learn of its death. */
  #watch(receiver: LocalProcess): number {
    const source = receiver.callTarget;
    const local = this.#find(source);
    if (local !== undefined) {
      local.watchers.set(receiver.endpoint, receiver.sequence);
      receiver.sentTo = this.index;
      return SUSPENDED;
    }
    const frame = makeFrame(
      FrameKind.Watch,
      0,
      receiver.endpoint,
      source,
      receiver.sequence,
      receiver.epoch,
      0,
      0,
      0,
    );
    const place = this.#transmit(source, frame, receiver.refutedIndex, receiver.refutedEpoch);
    if (place === UNREACHABLE) return EDEADSRCDST;
    receiver.sentTo = place;
    return SUSPENDED;
  }

  #takesNow(target: LocalProcess, source: number): boolean {
    if (target.isServer) return !target.isBusy && target.queue.size === 0 && target.notifications.size === 0;
    return target.receivesFrom(source, ANY);
  }

  /** Gives a message to a target that takes it now. */
  #hand(
    target: LocalProcess,
    source: Endpoint,
    sequence: number,
    expectsReply: boolean,
    message: Message,
    data: Uint8Array,
  ): void {
    if (expectsReply) target.owed.set(source, sequence);
    if (target.isServer) {
      const inbox = target.inbox;
      if (inbox !== message) inbox.copyFrom(message);
      inbox.words[0] = source;
      this.#serve(target, data);
    } else {
      this.#complete(target, OK, source, message, data);
    }
  }

  /** Runs a server on its inbox, then on all that came meanwhile. */
  #serve(server: LocalProcess, data: Uint8Array): void {
    server.isBusy = true;
    server.owner.onMessage!(server.endpoint, server.inbox, data);
    server.isBusy = false;
    if (server.queue.size > 0 || server.notifications.size > 0) this.#drain(server);
  }

  #drain(server: LocalProcess): void {
    while (!server.isBusy && !server.isDead) {
      const next = nextNotification(server, ANY);
      if (next !== undefined) {
        server.notifications.delete(next);
        writeNotification(server.inbox, next);
        server.isBusy = true;
        server.owner.onMessage!(server.endpoint, server.inbox, NO_BYTES);
        server.isBusy = false;
        continue;
      }
      let waiting: Waiting | undefined;
      for (const [key, first] of server.queue) {
        waiting = first;
        server.queue.delete(key);
        break;
      }
      if (waiting === undefined) return;
      const { source, sequence, expectsReply, isPost, data } = waiting;
      server.inbox.copyFrom(waiting.message);
      server.inbox.words[0] = source;
      if (expectsReply) server.owed.set(source, sequence);
      server.isBusy = true;
      server.owner.onMessage!(server.endpoint, server.inbox, data);
      server.isBusy = false;
      if (!expectsReply && !isPost) this.#settle(server.endpoint, source, sequence, OK);
    }
  }

  #takePost(server: LocalProcess, source: Endpoint, message: Message, data: Uint8Array): number {
    if (this.#takesNow(server, source)) {
      this.#hand(server, source, 0, false, message, data);
      return OK;
    }
    if (server.queue.size >= MAX_WAITING_POSTS) return EAGAIN;
    const kept = new Message();
    kept.copyFrom(message);
    // Keys below every endpoint, so that a post never takes the place of the source's call.
    server.queue.set(this.#nextPostKey--, {
      source,
      sequence: 0,
      expectsReply: false,
      isPost: true,
      message: kept,
      data: data.slice(),
    });
    return OK;
  }

  /** What waits for a receiver already: notifications first, then senders in order. */
  #takeWaiting(receiver: LocalProcess, source: number, message: Message): boolean {
    const notifier = nextNotification(receiver, source);
    if (notifier !== undefined) {
      receiver.notifications.delete(notifier);
      writeNotification(message, notifier);
      receiver.lastData = NO_BYTES;
      return true;
    }
    let waiting: Waiting | undefined;
    if (source === ANY) {
      for (const first of receiver.queue.values()) {
        waiting = first;
        break;
      }
    } else {
      waiting = receiver.queue.get(source);
    }
    if (waiting === undefined) return false;
    receiver.queue.delete(waiting.source);
    message.copyFrom(waiting.message);
    message.words[0] = waiting.source;
    receiver.lastData = waiting.data;
    if (waiting.expectsReply) receiver.owed.set(waiting.source, waiting.sequence);
    else this.#settle(receiver.endpoint, waiting.source, waiting.sequence, OK);
    return true;
  }

  #notifyLocal(target: LocalProcess, source: Endpoint, peer: number): void {
    if (target.isExtracted) {
      const isHeld = target.held.some(
        (h) => kindOf(h.frame) === FrameKind.Notify && sourceOf(h.frame) === source,
      );
      if (!isHeld)
        this.#hold(target, peer, makeFrame(FrameKind.Notify, 0, source, target.endpoint, 0, 0, 0, 0, 0));
      return;
    }
    if (target.isServer) {
      target.notifications.add(source);
      if (!target.isBusy) this.#drain(target);
    } else if (target.receivesFrom(source, ANY)) {
      writeNotification(target.inbox, source);
      this.#complete(target, OK, source, target.inbox, NO_BYTES);
    } else {
      target.notifications.add(source);
    }
  }

  /**
   * Waiting for `to` would close a circle of local processes that each wait for the next (MINIX deadlock()).
   * The chain is followed through senders and receivers of one source.
   */
  #isDeadlock(caller: LocalProcess, to: number): boolean {
    let next = this.#find(to);
    for (let steps = 0; next !== undefined && !next.isServer && steps <= this.#processes.size; steps++) {
      const waitsForOne =
        next.phase === Phase.Outstanding || (next.phase === Phase.Receiving && next.callTarget !== ANY);
      if (!waitsForOne) return false;
      if (next.callTarget === caller.endpoint) return true;
      next = this.#find(next.callTarget);
    }
    return false;
  }

  /** Ends the present call of `process`, or notes the end while it is frozen. */
  #complete(process: LocalProcess, status: number, source: number, message: Message, data: Uint8Array): void {
    if (process.inbox !== message) process.inbox.copyFrom(message);
    process.inbox.words[0] = source;
    process.callData = NO_BYTES;
    process.needsRouting = false;
    process.isVerifying = false;
    if (process.isFrozen) {
      process.phase = Phase.Ended;
      process.endStatus = status;
      process.endData = data.length === 0 ? NO_BYTES : data.slice();
      return;
    }
    process.phase = Phase.Idle;
    process.lastData = data;
    process.owner.onComplete?.(process.endpoint, status, process.inbox, data);
  }

  #awaitsReply(caller: LocalProcess, from: number, sequence: number): boolean {
    return (
      caller.phase === Phase.Outstanding &&
      caller.callKind === CallKind.Sendrec &&
      caller.callTarget === from &&
      caller.sequence === sequence
    );
  }

  /** Tells the caller of (caller, sequence), wherever it is, how its call to `target` ended. */
  #settle(
    target: number,
    caller: number,
    sequence: number,
    status: number,
    hintIndex = -1,
    hintEpoch = 0,
  ): void {
    const local = this.#find(caller);
    if (local !== undefined) {
      if (local.isExtracted) {
        this.#hold(
          local,
          this.index,
          makeFrame(FrameKind.Status, 0, target, caller, sequence, 0, status, hintEpoch, hintIndex + 1),
        );
      } else {
        this.#applyStatus(local, target, sequence, status, hintIndex, hintEpoch, this.index);
      }
      return;
    }
    this.#transmit(
      caller,
      makeFrame(FrameKind.Status, 0, target, caller, sequence, 0, status, hintEpoch, hintIndex + 1),
    );
  }

  #hold(process: LocalProcess, peer: number, frame: Uint8Array): void {
    if (process.held.length >= MAX_HELD_FRAMES) {
      this.counters.framesDropped++;
      return;
    }
    process.held.push({ peer, frame });
  }

  /** Takes a call back from wherever it waits; its caller is not told. */
  #abandonCall(caller: LocalProcess): void {
    if (caller.phase !== Phase.Outstanding && caller.phase !== Phase.Receiving) return;
    const { endpoint, callTarget, sequence } = caller;
    const target = this.#find(callTarget);
    if (target !== undefined) {
      target.watchers.delete(endpoint);
      const waiting = target.queue.get(endpoint);
      if (waiting !== undefined && waiting.sequence === sequence) target.queue.delete(endpoint);
      this.#cancelOwed(target, endpoint, sequence);
      return;
    }
    const arriving = this.#arriving.get(callTarget);
    if (arriving !== undefined && caller.sentTo === this.index) {
      arriving.held = arriving.held.filter((h) => !isSendOf(h.frame, endpoint, sequence));
    }
    if (caller.phase === Phase.Receiving || caller.needsRouting) return;
    if (caller.sentTo === LOCATING) {
      const parked = this.#parkedOut.get(callTarget);
      const at = parked?.findIndex((p) => isSendOf(p.frame, endpoint, sequence)) ?? -1;
      if (at >= 0) parked!.splice(at, 1);
      return;
    }
    if (caller.sentTo !== this.index && this.#up.has(caller.sentTo)) {
      this.#emit(
        caller.sentTo,
        makeFrame(FrameKind.Cancel, 0, endpoint, callTarget, sequence, caller.epoch, 0, 0, 0),
      );
    }
  }

  #cancelOwed(server: LocalProcess, caller: Endpoint, sequence: number): void {
    // (Packed: the other copy would not know. A reply to one who no longer waits does no harm.)
    if (server.owed.get(caller) !== sequence || server.isExtracted) return;
    server.owed.delete(caller);
    server.owner.onCancelled?.(server.endpoint, caller);
  }

  // ── frames ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Takes a frame that arrived from `peer`. Garbage and lies are dropped and counted, and never throw. */
  deliver(peer: number, frame: Uint8Array): void {
    this.counters.framesDelivered++;
    if (frame.length < HEADER_BYTES || frame.length > MESSAGE_END + MAX_RIDING_BYTES || !this.#up.has(peer)) {
      this.counters.framesDropped++;
      return;
    }
    const kind = kindOf(frame);
    switch (kind) {
      case FrameKind.Send:
        if (frame.length < MESSAGE_END || frame.length - MESSAGE_END !== readUnsigned(frame, 28)) break;
        this.#admit(peer, frame);
        return;
      case FrameKind.Reply:
        if (frame.length < MESSAGE_END || frame.length - MESSAGE_END !== readUnsigned(frame, 28)) break;
        if (this.#mayReply(peer, frame)) this.#dispatch(peer, frame);
        else this.#admit(peer, frame);
        return;
      case FrameKind.CopyTo:
        if (frame.length - HEADER_BYTES !== readUnsigned(frame, 28)) break;
        this.#admit(peer, frame);
        return;
      case FrameKind.Notify:
      case FrameKind.Cancel:
      case FrameKind.Probe:
      case FrameKind.Watch:
      case FrameKind.CopyFrom:
        this.#admit(peer, frame);
        return;
      case FrameKind.Status:
      case FrameKind.Moved:
      case FrameKind.Probed:
        this.#takeAnswer(peer, frame);
        return;
      case FrameKind.CopyAnswer:
        this.#takeCopyAnswer(peer, frame);
        return;
      case FrameKind.Locate:
        if (this.index !== 0 || !isEndpoint(targetOf(frame))) break;
        this.#answerLocate(peer, targetOf(frame));
        return;
      case FrameKind.Location:
        if (peer !== 0 || !this.#asked.has(targetOf(frame))) break;
        this.#takeLocation(targetOf(frame), readUnsigned(frame, 28) - 1, readUnsigned(frame, 24));
        return;
      case FrameKind.Returned:
        if (frame.length < MESSAGE_END) break;
        this.#takeReturned(peer, frame);
        return;
      default:
        break;
    }
    this.counters.framesDropped++;
  }

  /**
   * A container may answer what was sent to it, also for a process that has died since. And a reply to one who is
   * not here is given back to where it came from, which needs no belief.
   */
  #mayReply(peer: number, frame: Uint8Array): boolean {
    const target = targetOf(frame);
    if (!isEndpoint(target) || !isEndpoint(sourceOf(frame))) return false;
    const caller = this.#find(target);
    if (caller === undefined) return !this.#arriving.has(target) && fixedIndexOf(target) === undefined;
    return caller.sentTo === peer && this.#awaitsReply(caller, sourceOf(frame), sequenceOf(frame));
  }

  /** Believes, refuses or sets aside a frame by what it says about its source. */
  #admit(peer: number, frame: Uint8Array): void {
    const source = sourceOf(frame);
    if (!isEndpoint(source) || !isEndpoint(targetOf(frame))) {
      this.counters.framesDropped++;
      return;
    }
    const fixed = fixedIndexOf(source);
    if (fixed !== undefined) {
      if (fixed === peer) this.#dispatch(peer, frame);
      else this.#refuse(peer, frame);
      return;
    }
    const parked = this.#parkedIn.get(source);
    if (parked !== undefined) {
      if (parked.length < MAX_PARKED_PER_SOURCE) parked.push({ peer, frame });
      else this.counters.framesDropped++;
      return;
    }
    const verdict = this.#speaksFor(peer, source, frame);
    if (verdict === true) {
      this.#dispatch(peer, frame);
    } else if (verdict === false || !this.#mayAskHome() || this.#parkedIn.size >= MAX_PARKED_SOURCES) {
      this.#refuse(peer, frame);
    } else {
      this.#parkedIn.set(source, [{ peer, frame }]);
      this.#ask(source);
    }
  }

  /** undefined: only home knows. */
  #speaksFor(peer: number, source: number, frame: Uint8Array): boolean | undefined {
    const place = this.#directory.get(source);
    const epoch = epochOf(frame);
    if (place === undefined) return this.index === 0 ? false : undefined;
    const kind = kindOf(frame);
    const isCall = kind === FrameKind.Send || kind === FrameKind.Cancel;
    if (place.index === peer) {
      if (isCall && epoch > place.heardEpoch) place.heardEpoch = Math.min(epoch, place.epoch);
      return true;
    }
    if (epoch > place.epoch) return this.index === 0 ? false : undefined;
    return place.previous === peer && epoch < place.epoch && (!isCall || epoch >= place.heardEpoch);
  }

  /** A frame that is not believed. Callers are told, so that an honest one that home does not know cannot hang. */
  #refuse(peer: number, frame: Uint8Array): void {
    this.counters.framesDropped++;
    const kind = kindOf(frame);
    if (kind === FrameKind.Send && (frame[1]! & POST) === 0) {
      this.#answer(FrameKind.Status, peer, frame, EBADSRCDST);
    } else if (kind === FrameKind.CopyFrom || kind === FrameKind.CopyTo) {
      this.#answerCopy(peer, frame, EBADSRCDST, NO_BYTES);
    } else if (kind === FrameKind.Reply && this.#directory.get(sourceOf(frame)) === undefined) {
      // Home says that whoever was asked is dead.
      this.#settle(sourceOf(frame), targetOf(frame), sequenceOf(frame), EDEADSRCDST);
    }
  }

  /** An answer to the kernel that sent `frame`, about the call that it names. */
  #answer(kind: FrameKind, peer: number, frame: Uint8Array, a: number, hintIndex = -1, hintEpoch = 0): void {
    if (!this.#up.has(peer)) return;
    this.#emit(
      peer,
      makeFrame(
        kind,
        frame[1]!,
        targetOf(frame),
        sourceOf(frame),
        sequenceOf(frame),
        0,
        a,
        hintEpoch,
        hintIndex + 1,
      ),
    );
  }

  /** A frame whose source is believed, for a target that may be here, moved, or dead. */
  #dispatch(peer: number, frame: Uint8Array): void {
    const target = this.#find(targetOf(frame));
    if (target === undefined) {
      const arriving = this.#arriving.get(targetOf(frame));
      if (arriving === undefined) this.#redirect(peer, frame);
      else this.#hold(arriving, peer, frame);
      return;
    }
    const source = sourceOf(frame) as Endpoint;
    const sequence = sequenceOf(frame);
    switch (kindOf(frame)) {
      case FrameKind.Send:
        this.#takeSend(peer, frame, target, source, sequence);
        return;
      case FrameKind.Reply:
        if (!this.#awaitsReply(target, source, sequence)) {
          this.counters.framesDropped++;
        } else if (target.isExtracted) {
          if (!target.held.some((h) => kindOf(h.frame) === FrameKind.Reply)) this.#hold(target, peer, frame);
        } else {
          readMessage(frame, target.inbox);
          this.#complete(target, OK, source, target.inbox, frame.subarray(MESSAGE_END));
        }
        return;
      case FrameKind.Notify:
        this.#notifyLocal(target, source, peer);
        return;
      case FrameKind.Cancel: {
        const waiting = target.queue.get(source);
        if (waiting !== undefined && waiting.sequence === sequence) target.queue.delete(source);
        this.#cancelOwed(target, source, sequence);
        return;
      }
      case FrameKind.Probe: {
        const waits = target.queue.get(source)?.sequence === sequence || target.owed.get(source) === sequence;
        this.#answer(FrameKind.Probed, peer, frame, waits ? 1 : 0);
        return;
      }
      case FrameKind.Watch:
        target.watchers.set(source, sequence);
        return;
      case FrameKind.CopyFrom:
      case FrameKind.CopyTo:
        if (target.isFrozen) this.#hold(target, peer, frame);
        else this.#serveCopy(peer, frame, target);
        return;
      default:
        this.counters.framesDropped++;
    }
  }

  #takeSend(peer: number, frame: Uint8Array, target: LocalProcess, source: Endpoint, sequence: number): void {
    const flags = frame[1]!;
    const expectsReply = (flags & EXPECTS_REPLY) !== 0;
    const data = frame.length === MESSAGE_END ? NO_BYTES : frame.subarray(MESSAGE_END);
    if ((flags & POST) !== 0) {
      const message = new Message();
      readMessage(frame, message);
      if (!target.isServer || this.#takePost(target, source, message, data) !== OK)
        this.counters.framesDropped++;
      return;
    }
    if (this.#takesNow(target, source)) {
      readMessage(frame, target.inbox);
      this.#hand(target, source, sequence, expectsReply, target.inbox, data);
      if (!expectsReply) this.#settle(target.endpoint, source, sequence, OK);
      return;
    }
    const earlier = target.queue.get(source);
    if (earlier !== undefined) {
      // A source has one call under way. The same again is a replay that crossed; another one is a lie.
      this.counters.framesDropped++;
      if (earlier.sequence !== sequence) this.#answer(FrameKind.Status, peer, frame, EBADCALL);
      return;
    }
    const message = new Message();
    readMessage(frame, message);
    target.queue.set(source, { source, sequence, expectsReply, isPost: false, message, data });
  }

  #serveCopy(peer: number, frame: Uint8Array, granter: LocalProcess): void {
    const grant = readInt(frame, 20);
    const offset = readUnsigned(frame, 24);
    const length = readUnsigned(frame, 28);
    const by = sourceOf(frame);
    if (kindOf(frame) === FrameKind.CopyTo) {
      const bytes = frame.subarray(HEADER_BYTES);
      this.#answerCopy(peer, frame, copyWithGrant(granter, by, grant, offset, bytes, true), NO_BYTES);
      return;
    }
    const region =
      length > COPY_CHUNK_BYTES ? EINVAL : grantedRegion(granter, by, grant, offset, length, GRANT_READ);
    if (typeof region === 'number') this.#answerCopy(peer, frame, region, NO_BYTES);
    else this.#answerCopy(peer, frame, OK, region);
  }

  #answerCopy(
    peer: number,
    frame: Uint8Array,
    status: number,
    bytes: Uint8Array,
    hintIndex = -1,
    hintEpoch = 0,
  ): void {
    if (!this.#up.has(peer)) return;
    const answer = makeFrame(
      FrameKind.CopyAnswer,
      0,
      targetOf(frame),
      sourceOf(frame),
      sequenceOf(frame),
      hintEpoch,
      status,
      readUnsigned(frame, 24),
      hintIndex + 1,
      bytes.length,
    );
    answer.set(bytes, HEADER_BYTES);
    this.#emit(peer, answer);
  }

  /** The target is not here: says to the sending kernel where it is, as far as is known. */
  #redirect(peer: number, frame: Uint8Array): void {
    const target = targetOf(frame);
    const place = this.#directory.get(target);
    const isElsewhere = place !== undefined && place.index !== this.index;
    const hintIndex = isElsewhere ? place.index : -1;
    const hintEpoch = isElsewhere ? place.epoch : 0;
    switch (kindOf(frame)) {
      case FrameKind.Send:
        if ((frame[1]! & POST) !== 0) break;
        this.#answer(FrameKind.Status, peer, frame, isElsewhere ? EMIGRATE : ENOTBIND, hintIndex, hintEpoch);
        return;
      case FrameKind.Watch:
        this.#answer(FrameKind.Status, peer, frame, isElsewhere ? EMIGRATE : ENOTBIND, hintIndex, hintEpoch);
        return;
      case FrameKind.Probe:
        this.#answer(FrameKind.Probed, peer, frame, 0);
        return;
      case FrameKind.CopyFrom:
      case FrameKind.CopyTo:
        this.#answerCopy(peer, frame, isElsewhere ? EMIGRATE : ENOTBIND, NO_BYTES, hintIndex, hintEpoch);
        return;
      case FrameKind.Reply:
      case FrameKind.Notify:
        this.#returnFrame(peer, frame, hintIndex, hintEpoch);
        return;
      default:
        break;
    }
    this.counters.framesDropped++;
  }

  /** Gives a Reply or Notify back to the kernel it came from, whole. */
  #returnFrame(peer: number, frame: Uint8Array, hintIndex: number, hintEpoch: number): void {
    if (!this.#up.has(peer)) return;
    const content = frame.subarray(HEADER_BYTES);
    const extra = content.length === 0 ? MESSAGE_END - HEADER_BYTES : content.length;
    const back = makeFrame(
      FrameKind.Returned,
      0,
      sourceOf(frame),
      targetOf(frame),
      sequenceOf(frame),
      0,
      kindOf(frame),
      hintEpoch,
      hintIndex + 1,
      extra,
    );
    back.fill(0, HEADER_BYTES);
    back.set(content, HEADER_BYTES);
    this.#emit(peer, back);
  }

  #takeReturned(peer: number, frame: Uint8Array): void {
    const source = sourceOf(frame) as Endpoint;
    const target = targetOf(frame) as Endpoint;
    const place = this.#directory.get(target);
    const kind = readInt(frame, 20);
    const isReply = kind === FrameKind.Reply;
    // Only to users, who alone move. Nothing is believed that the peer could not have made itself while the target
    // lived there.
    const isFit = isEndpoint(source) && isEndpoint(target) && fixedIndexOf(target) === undefined;
    if (!isFit || (!isReply && kind !== FrameKind.Notify)) {
      this.counters.framesDropped++;
      return;
    }
    const sourceEpoch = this.#find(source)?.epoch ?? this.#moved.get(source)?.epoch;
    if (sourceEpoch === undefined) {
      // It has died since it answered; its caller must not wait for ever.
      if (isReply) this.#settle(source, target, sequenceOf(frame), EDEADSRCDST);
      return;
    }
    const known = place?.epoch ?? 0;
    let refutedIndex = -1;
    const hintIndex = readUnsigned(frame, 28) - 1;
    const hintEpoch = readUnsigned(frame, 24);
    if (place === undefined || place.index === peer) {
      if (this.index === 0) {
        this.counters.framesDropped++;
        return;
      }
      if (hintIndex >= 0 && hintEpoch > known) this.#directory.set(target, hintIndex, hintEpoch);
      else refutedIndex = peer;
    }
    const content = frame.subarray(HEADER_BYTES);
    const again = makeFrame(
      kind,
      0,
      source,
      target,
      sequenceOf(frame),
      sourceEpoch,
      0,
      0,
      isReply ? content.length - (MESSAGE_END - HEADER_BYTES) : 0,
      isReply ? content.length : 0,
    );
    if (isReply) again.set(content, HEADER_BYTES);
    const local = this.#find(target);
    if (local !== undefined) this.#dispatch(this.index, again);
    else if (this.#transmit(target, again, refutedIndex, known) === UNREACHABLE)
      this.counters.framesDropped++;
  }

  /** Status, Moved or Probed: what another kernel says about a call of a process that is, or was, here. */
  #takeAnswer(peer: number, frame: Uint8Array): void {
    const caller = this.#find(targetOf(frame));
    if (caller === undefined) {
      const arriving = this.#arriving.get(targetOf(frame));
      if (arriving === undefined) this.#relay(frame);
      else this.#hold(arriving, peer, frame);
      return;
    }
    const isCall = caller.phase === Phase.Outstanding || caller.phase === Phase.Receiving;
    const isOf = isCall && caller.sequence === sequenceOf(frame) && caller.callTarget === sourceOf(frame);
    const mayTell =
      peer === this.index ||
      peer === caller.sentTo ||
      caller.trail.includes(peer) ||
      // Its partner moved there after it was packed.
      caller.held.some((h) => kindOf(h.frame) === FrameKind.Moved && readUnsigned(h.frame, 28) - 1 === peer);
    if (!isOf || !mayTell) {
      this.counters.framesDropped++;
      return;
    }
    if (caller.isExtracted) {
      this.#hold(caller, peer, frame);
      return;
    }
    const hintIndex = readUnsigned(frame, 28) - 1;
    const hintEpoch = readUnsigned(frame, 24);
    switch (kindOf(frame)) {
      case FrameKind.Status:
        this.#applyStatus(
          caller,
          sourceOf(frame),
          sequenceOf(frame),
          readInt(frame, 20),
          hintIndex,
          hintEpoch,
          peer,
        );
        return;
      case FrameKind.Moved:
        if (hintIndex < 0 || hintIndex > 1023) break;
        this.#learn(sourceOf(frame), hintIndex, hintEpoch, peer);
        caller.sentTo = hintIndex;
        if (hintIndex !== this.index && !this.#up.has(hintIndex)) this.#verify(caller);
        return;
      case FrameKind.Probed:
        caller.isVerifying = false;
        if (readInt(frame, 20) === 1) {
          // Relayed by a former place, more may come from there.
          if (peer === caller.sentTo) caller.trail = [this.index];
        } else if ((frame[1]! & FINAL) !== 0) this.#fail(caller);
        return;
      default:
        break;
    }
    this.counters.framesDropped++;
  }

  /** A hint of the container where the endpoint was. Home knows better. */
  #learn(endpoint: number, index: number, epoch: number, peer: number): void {
    if (this.index === 0 || index < 0 || index > 1023) return;
    const place = this.#directory.get(endpoint);
    if (place === undefined || place.index === peer) this.#directory.set(endpoint, index, epoch);
  }

  #applyStatus(
    caller: LocalProcess,
    target: number,
    sequence: number,
    status: number,
    hintIndex: number,
    hintEpoch: number,
    peer: number,
  ): void {
    if (caller.phase !== Phase.Outstanding && caller.phase !== Phase.Receiving) return;
    if (caller.sequence !== sequence || caller.callTarget !== target) return;
    if (status !== EMIGRATE && status !== ENOTBIND) {
      // A request ends well by its reply alone.
      if (status === OK && caller.callKind !== CallKind.Send) return;
      const queue = this.#find(target)?.queue;
      if (queue?.get(caller.endpoint)?.sequence === sequence) queue.delete(caller.endpoint);
      this.#complete(caller, status > 0 ? EDEADSRCDST : status, target, this.#nothing, NO_BYTES);
      return;
    }
    const before = this.#directory.get(target);
    if (hintIndex >= 0) this.#learn(target, hintIndex, hintEpoch, peer);
    const now = this.#directory.get(target);
    const isHere = this.#find(target) !== undefined;
    if (fixedIndexOf(target) !== undefined || (this.index === 0 && !isHere && (!now || now.index === peer))) {
      this.#fail(caller);
      return;
    }
    const isNews = isHere || (now !== undefined && now.index !== peer);
    caller.refutedIndex = isNews ? -1 : peer;
    caller.refutedEpoch = isNews ? 0 : (before?.epoch ?? 0);
    this.#reroute(caller);
  }

  #fail(caller: LocalProcess): void {
    this.#complete(caller, EDEADSRCDST, caller.callTarget, this.#nothing, NO_BYTES);
  }

  /** An answer for a process that moved on from here: hands it on to where it lives now. */
  #relay(frame: Uint8Array): void {
    const target = targetOf(frame);
    const place = this.#directory.get(target);
    if (
      !this.#moved.has(target) ||
      place === undefined ||
      place.index === this.index ||
      !this.#up.has(place.index)
    ) {
      this.counters.framesDropped++;
      return;
    }
    this.#emit(place.index, frame);
  }

  #takeCopyAnswer(peer: number, frame: Uint8Array): void {
    const copy = this.#copies.get(sequenceOf(frame));
    const at = copy === undefined ? 0 : readUnsigned(frame, 24) - copy.offset;
    if (
      copy === undefined ||
      copy.by.endpoint !== targetOf(frame) ||
      copy.granter !== sourceOf(frame) ||
      !copy.underWay.has(at)
    ) {
      this.counters.framesDropped++;
      return;
    }
    const place = this.#directory.indexOf(copy.granter);
    if (peer !== copy.sentTo && peer !== place) {
      this.counters.framesDropped++;
      return;
    }
    const status = readInt(frame, 20);
    if (status === EMIGRATE || status === ENOTBIND) {
      this.#replayChunk(copy, at, peer, status, readUnsigned(frame, 28) - 1, epochOf(frame));
      return;
    }
    if (status !== OK) {
      this.#endCopy(copy, status > 0 ? EINVAL : status);
      return;
    }
    if (!copy.isWrite) {
      const bytes = frame.subarray(HEADER_BYTES);
      if (bytes.length !== Math.min(COPY_CHUNK_BYTES, copy.bytes.length - at)) {
        this.#endCopy(copy, EINVAL);
        return;
      }
      copy.bytes.set(bytes, at);
    }
    copy.underWay.delete(at);
    if (copy.next >= copy.bytes.length && copy.underWay.size === 0) this.#endCopy(copy, OK);
    else this.#pumpCopy(copy);
  }

  #replayChunk(
    copy: Copy,
    at: number,
    peer: number,
    status: number,
    hintIndex: number,
    hintEpoch: number,
  ): void {
    const before = this.#directory.get(copy.granter);
    if (status === EMIGRATE) this.#learn(copy.granter, hintIndex, hintEpoch, peer);
    const place = this.#directory.indexOf(copy.granter);
    const local = this.#find(copy.granter);
    if (++copy.replays > MAX_COPY_REPLAYS) {
      this.#endCopy(copy, EDEADSRCDST);
    } else if (local !== undefined) {
      copy.sentTo = this.index;
      this.#resumeCopies(copy.granter);
    } else if (place !== undefined && place !== peer) {
      this.#sendChunk(copy, at);
    } else if (fixedIndexOf(copy.granter) !== undefined || !this.#mayAskHome()) {
      this.#endCopy(copy, EDEADSRCDST);
    } else {
      const length = Math.min(COPY_CHUNK_BYTES, copy.bytes.length - at);
      const frame = makeFrame(
        copy.isWrite ? FrameKind.CopyTo : FrameKind.CopyFrom,
        0,
        copy.by.endpoint,
        copy.granter,
        copy.id,
        copy.by.epoch,
        copy.grant,
        copy.offset + at,
        length,
        copy.isWrite ? length : 0,
      );
      if (copy.isWrite) frame.set(copy.bytes.subarray(at, at + length), HEADER_BYTES);
      copy.sentTo = LOCATING;
      this.#transmit(copy.granter, frame, peer, before?.epoch ?? 0);
    }
  }

  #answerLocate(peer: number, endpoint: number): void {
    const place = this.#directory.get(endpoint);
    const index = place?.index ?? -1;
    const epoch = place?.epoch ?? 0;
    this.#emit(peer, makeFrame(FrameKind.Location, 0, 0, endpoint, 0, 0, 0, epoch, index + 1));
  }

  /** Home has said where an endpoint is (index -1: nowhere): lets go what waited for it. */
  #takeLocation(endpoint: number, index: number, epoch: number): void {
    this.#asked.delete(endpoint);
    if (index > 1023) index = -1;
    const local = this.#find(endpoint);
    if (index >= 0) this.#directory.set(endpoint, index, epoch);
    else if (local === undefined) this.#directory.forget(endpoint);
    const out = this.#parkedOut.get(endpoint);
    this.#parkedOut.delete(endpoint);
    for (const parked of out ?? []) this.#release(parked, endpoint, index);
    for (const caller of [...this.#processes]) {
      if (caller.isVerifying && !caller.isExtracted && caller.callTarget === endpoint) {
        this.#verified(caller, index);
      }
    }
    const inward = this.#parkedIn.get(endpoint);
    this.#parkedIn.delete(endpoint);
    for (const { peer, frame } of inward ?? []) {
      if (this.#up.has(peer) && this.#speaksFor(peer, endpoint, frame) === true) this.#dispatch(peer, frame);
      else this.#refuse(peer, frame);
    }
  }

  #release(parked: ParkedOut, target: number, index: number): void {
    const { frame, refutedIndex, refutedEpoch } = parked;
    const place = this.#directory.get(target);
    const isRefuted = place !== undefined && refutedIndex === place.index && place.epoch <= refutedEpoch;
    const isReachable =
      index >= 0 &&
      place !== undefined &&
      !isRefuted &&
      (place.index === this.index || this.#up.has(place.index));
    const source = this.#find(sourceOf(frame));
    const kind = kindOf(frame);
    if (kind === FrameKind.CopyFrom || kind === FrameKind.CopyTo) {
      const copy = this.#copies.get(sequenceOf(frame));
      if (copy === undefined || copy.by !== source) return;
      if (isReachable && this.#find(target) === undefined) {
        copy.sentTo = place.index;
        this.#emit(place.index, frame);
      } else if (isReachable) {
        copy.sentTo = this.index;
        this.#resumeCopies(copy.granter);
      } else {
        this.#endCopy(copy, EDEADSRCDST);
      }
      return;
    }
    if (kind === FrameKind.Send || kind === FrameKind.Watch) {
      if (source === undefined || source.sequence !== sequenceOf(frame)) return;
      if (source.phase !== Phase.Outstanding && source.phase !== Phase.Receiving) return;
      if (source.isFrozen) {
        source.needsRouting = true;
      } else if (isReachable) {
        source.refutedIndex = -1;
        this.#reroute(source);
      } else {
        this.#fail(source);
      }
      return;
    }
    if (!isReachable) this.counters.framesDropped++;
    else if (this.#find(target) !== undefined) this.#dispatch(this.index, frame);
    else this.#emit(place.index, frame);
  }

  // ── containers come and go ───────────────────────────────────────────────────────────────────────────────────

  peerUp(peer: number): void {
    if (this.#up.has(peer)) this.peerLost(peer);
    this.#up.add(peer);
  }

  isUp(peer: number): boolean {
    return this.#up.has(peer);
  }

  /** The session with a container is over: whoever waits for an endpoint there gets EDEADSRCDST. */
  peerLost(peer: number): void {
    if (!this.#up.delete(peer)) return;
    for (const [source, parked] of this.#parkedIn) {
      const rest = parked.filter((p) => p.peer !== peer);
      if (rest.length > 0) this.#parkedIn.set(source, rest);
    }
    for (const process of this.#arriving.values()) {
      forgetHeld(process, peer);
      if (process.sentTo === peer || process.trail.includes(peer)) process.mustVerify = true;
    }
    for (const process of [...this.#processes]) {
      forgetHeld(process, peer);
      this.#forgetCallersAt(process, peer);
    }
    for (const copy of [...this.#copies.values()]) if (copy.sentTo === peer) this.#endCopy(copy, EDEADSRCDST);
    for (const [endpoint, moved] of [...this.#moved]) {
      if (moved.sentTo !== peer) continue;
      const place = this.#directory.get(endpoint);
      this.#moved.set(endpoint, { ...moved, sentTo: LOCATING });
      if (place !== undefined && this.#up.has(place.index)) this.#tellLost(place.index, endpoint, moved);
    }
    for (const caller of [...this.#processes]) {
      if (caller.phase !== Phase.Outstanding && caller.phase !== Phase.Receiving) continue;
      if (caller.isExtracted) {
        if (caller.sentTo === peer || caller.trail.includes(peer)) this.#holdLoss(caller);
        continue;
      }
      if (caller.needsRouting) continue;
      if (caller.sentTo === peer) this.#verify(caller);
      else if (caller.trail.includes(peer)) this.#probe(caller, true);
    }
    if (this.index !== 0) this.#directory.forgetContainer(peer);
    if (peer === 0) for (const endpoint of [...this.#asked]) this.#takeLocation(endpoint, -1, 0);
  }

  /** The loss of a container may have ended the call of a process that is packed already: it is told where it wakes. */
  #holdLoss(caller: LocalProcess): void {
    const { callTarget, endpoint, sequence } = caller;
    if (caller.held.some((h) => kindOf(h.frame) === FrameKind.Reply)) return;
    this.#hold(
      caller,
      this.index,
      makeFrame(FrameKind.Status, 0, callTarget, endpoint, sequence, 0, EDEADSRCDST, 0, 0),
    );
  }

  #forgetCallersAt(process: LocalProcess, peer: number): void {
    for (const [key, waiting] of [...process.queue]) {
      if (!waiting.isPost && this.locate(waiting.source) === peer) process.queue.delete(key);
    }
    for (const [caller, sequence] of [...process.owed]) {
      if (this.locate(caller as Endpoint) === peer) this.#cancelOwed(process, caller as Endpoint, sequence);
    }
    for (const watcher of [...process.watchers.keys()]) {
      if (this.locate(watcher as Endpoint) === peer) process.watchers.delete(watcher);
    }
  }

  /** A call that a moved-away process had sent from here to the lost container: its kernel must ask for it. */
  #tellLost(index: number, endpoint: number, moved: Moved): void {
    this.#emit(
      index,
      makeFrame(FrameKind.Status, 0, moved.callTarget, endpoint, moved.sequence, 0, EDEADSRCDST, 0, 0),
    );
  }

  /** The container that a call was sent to is lost. Had the partner moved away before, the call may live on there. */
  #verify(caller: LocalProcess): void {
    const target = caller.callTarget;
    if (fixedIndexOf(target) !== undefined) {
      this.#fail(caller);
    } else if (this.#find(target) !== undefined) {
      this.#verified(caller, this.index);
    } else if (this.index === 0) {
      this.#verified(caller, this.#directory.get(target)?.index ?? -1);
    } else if (this.#mayAskHome()) {
      caller.isVerifying = true;
      this.#ask(target);
    } else {
      this.#fail(caller);
    }
  }

  #verified(caller: LocalProcess, index: number): void {
    caller.isVerifying = false;
    if (index < 0 || (index !== this.index && !this.#up.has(index))) {
      this.#fail(caller);
      return;
    }
    if (caller.phase === Phase.Receiving) {
      this.#reroute(caller);
      return;
    }
    caller.sentTo = index;
    this.#probe(caller, true);
  }

  /** Asks the partner's kernel whether the call waits there. */
  #probe(caller: LocalProcess, isFinal: boolean): void {
    const { endpoint, callTarget, sequence, epoch, sentTo } = caller;
    if (caller.phase === Phase.Receiving) return;
    if (sentTo === this.index) {
      const target = this.#find(callTarget);
      const waits =
        target?.queue.get(endpoint)?.sequence === sequence || target?.owed.get(endpoint) === sequence;
      if (waits) caller.trail = [this.index];
      else if (isFinal) this.#fail(caller);
    } else if (sentTo !== LOCATING && this.#up.has(sentTo)) {
      this.#emit(
        sentTo,
        makeFrame(FrameKind.Probe, isFinal ? FINAL : 0, endpoint, callTarget, sequence, epoch, 0, 0, 0),
      );
    } else if (sentTo !== LOCATING) {
      this.#fail(caller);
    }
  }

  // ── migration ────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Stops all IPC of a process where it stands: its calls wait, senders queue, what ends is kept. DVK MIGR_START.
   * EBUSY: inside a call that runs now. EONCOPY: copies of it go on. EMIGRATE: frozen already. EAGAIN: later.
   */
  freeze(endpoint: Endpoint): number {
    const process = this.#find(endpoint);
    if (process === undefined) return ENOTBIND;
    if (process.isServer) return EINVAL;
    if (process.isFrozen) return EMIGRATE;
    if (process.phase === Phase.Serving || process.phase === Phase.Answered) return EBUSY;
    if (process.copies > 0) return EONCOPY;
    if (process.trail.length >= MAX_TRAIL && process.phase === Phase.Outstanding) return EAGAIN;
    process.isFrozen = true;
    return OK;
  }

  /** Packs the IPC state of a frozen process. From then on, until rollback or commitAway, nothing of it changes. */
  extract(endpoint: Endpoint): Uint8Array {
    const process = this.#mustBeFrozen(endpoint);
    process.isExtracted = true;
    const isCall = process.phase === Phase.Outstanding || process.phase === Phase.Receiving;
    const callData = process.phase === Phase.Outstanding ? process.callData : NO_BYTES;
    const endData = process.phase === Phase.Ended ? process.endData : NO_BYTES;
    const base64 = (message: Message) => Buffer.from(message.bytes).toString('base64');
    return packState(
      {
        version: 1,
        endpoint,
        epoch: process.epoch,
        from: this.index,
        sequence: process.sequence,
        nextGrant: process.nextGrant,
        notifications: [...process.notifications],
        owed: [...process.owed],
        grants: [...process.grants].map(([id, g]) => [id, g.to, g.access, g.memory.offset, g.memory.length]),
        phase: PHASE_NAMES[process.phase] ?? 'idle',
        callKind: process.callKind,
        callTarget: process.callTarget,
        sentTo: process.needsRouting ? LOCATING : process.sentTo,
        trail: isCall ? process.trail : [],
        message: base64(process.callMessage),
        inbox: base64(process.inbox),
        endStatus: process.endStatus,
        mustVerify: process.isVerifying || process.mustVerify,
        callDataBytes: callData.length,
        endDataBytes: endData.length,
      },
      callData,
      endData,
    );
  }

  /**
   * Installs an arriving process, frozen until activate.
   * @throws ProcessStateInvalid, or Error ESLOTUSED.
   */
  install(endpoint: Endpoint, owner: Owner, privileges: Privileges, state: Uint8Array): void {
    const { header, callData, endData } = unpackState(state);
    if (header.endpoint !== endpoint)
      throw new Error(`EBADSRCDST: the state is of ${formatEndpoint(header.endpoint)}`);
    const process = new LocalProcess(endpoint, false, owner, privileges, header.epoch);
    process.isFrozen = true;
    process.sequence = header.sequence;
    process.nextGrant = header.nextGrant;
    for (const source of header.notifications) process.notifications.add(source);
    for (const [caller, sequence] of header.owed) process.owed.set(caller, sequence);
    for (const [id, to, access, offset, length] of header.grants) {
      const memory = owner.grantMemory?.(endpoint, offset, length);
      if (memory !== undefined) process.grants.set(id, { to: to as Endpoint, access, memory });
    }
    process.phase = PHASES[header.phase];
    process.callKind = header.callKind;
    process.callTarget = header.callTarget as Endpoint;
    process.callMessage.bytes.set(Buffer.from(header.message, 'base64').subarray(0, 64));
    process.inbox.bytes.set(Buffer.from(header.inbox, 'base64').subarray(0, 64));
    process.callData = callData;
    process.sentTo = header.sentTo;
    process.needsRouting = header.phase === 'outstanding' && header.sentTo === LOCATING;
    process.trail = [...new Set([...header.trail, header.from])].slice(-16);
    process.endStatus = header.endStatus;
    process.mustVerify = header.mustVerify;
    process.endData = endData;
    if (this.#find(endpoint) !== undefined || this.#arriving.has(endpoint)) {
      throw new Error(`ESLOTUSED (${ESLOTUSED}): ${formatEndpoint(endpoint)} is here already`);
    }
    this.#arriving.set(endpoint, process);
    this.#directory.set(endpoint, header.from, header.epoch);
  }

  /** Sets an installed process going: it lives here now, under `epoch`. */
  activate(endpoint: Endpoint, epoch: number): void {
    const process = this.#arriving.get(endpoint);
    if (process === undefined) throw new Error(`EMIGRATE: ${formatEndpoint(endpoint)} is not arriving`);
    this.#enter(process);
    this.#arriving.delete(endpoint);
    process.epoch = epoch;
    this.#moved.delete(endpoint);
    this.#directory.set(endpoint, this.index, epoch);
    this.#thaw(process);
  }

  /** Undoes freeze and extract at the source; at the target, discards what was installed. DVK ROLLBACK. */
  rollback(endpoint: Endpoint): void {
    const arriving = this.#arriving.get(endpoint);
    if (arriving !== undefined) {
      this.#arriving.delete(endpoint);
      for (const { peer, frame } of arriving.held) this.#redirect(peer, frame);
      return;
    }
    const process = this.#mustBeFrozen(endpoint);
    process.isExtracted = false;
    const lost = process.phase === Phase.Outstanding || process.phase === Phase.Receiving;
    this.#thaw(process);
    // The partner's container may have been lost meanwhile.
    if (
      lost &&
      !process.isDead &&
      process.sentTo >= 0 &&
      process.sentTo !== this.index &&
      !this.#up.has(process.sentTo)
    ) {
      const isStill = process.phase === Phase.Outstanding || process.phase === Phase.Receiving;
      if (isStill) this.#verify(process);
    }
  }

  /** The process lives at `to` now, under `epoch`: gives up this copy and sends all who wait for it there. */
  commitAway(endpoint: Endpoint, to: number, epoch: number): void {
    const process = this.#mustBeFrozen(endpoint);
    this.#leave(process);
    this.#directory.set(endpoint, to, epoch);
    if (this.#moved.size >= MAX_MOVED) {
      for (const oldest of this.#moved.keys()) {
        this.#moved.delete(oldest);
        break;
      }
    }
    const isCall = process.phase === Phase.Outstanding || process.phase === Phase.Receiving;
    this.#moved.delete(endpoint);
    this.#moved.set(endpoint, {
      epoch: process.epoch,
      sequence: process.sequence,
      callTarget: process.callTarget,
      sentTo: isCall ? process.sentTo : LOCATING,
    });
    const parked = this.#parkedOut.get(process.callTarget);
    if (parked !== undefined) {
      const rest = parked.filter((p) => sourceOf(p.frame) !== endpoint);
      this.#parkedOut.set(process.callTarget, rest);
    }
    // Its own message, if it waits in a queue here, stays there; the record that it points to is nobody else's now.
    for (const { peer, frame } of process.held) this.#passOn(process, peer, frame, to, epoch);
    for (const waiting of process.queue.values()) {
      this.#settle(endpoint, waiting.source, waiting.sequence, EMIGRATE, to, epoch);
    }
    for (const [watcher, sequence] of process.watchers) {
      this.#settle(endpoint, watcher, sequence, EMIGRATE, to, epoch);
    }
    for (const [caller, sequence] of process.owed) this.#tellMoved(endpoint, caller, sequence, to, epoch);
    this.#resumeCopies(endpoint);
  }

  #mustBeFrozen(endpoint: Endpoint): LocalProcess {
    const process = this.#find(endpoint);
    if (process === undefined) throw new Error(`ENOTBIND: ${formatEndpoint(endpoint)} is not bound here`);
    if (!process.isFrozen) throw new Error(`EMIGRATE: ${formatEndpoint(endpoint)} is not frozen`);
    return process;
  }

  #thaw(process: LocalProcess): void {
    process.isFrozen = false;
    if (process.trail.some((index) => index !== this.index && !this.#up.has(index)))
      process.mustVerify = true;
    if (process.isVerifying) process.mustVerify = true;
    const { held, endpoint } = process;
    process.held = [];
    for (const { peer, frame } of held) this.#redeliver(peer, frame);
    this.#resumeCopies(endpoint);
    if (process.isDead) return;
    if (process.phase === Phase.Ended) {
      const data = process.endData;
      process.endData = NO_BYTES;
      process.phase = Phase.Idle;
      process.lastData = data;
      process.owner.onComplete?.(endpoint, process.endStatus, process.inbox, data);
    } else if (process.phase === Phase.Outstanding) {
      if (process.needsRouting) {
        process.needsRouting = false;
        this.#reroute(process);
      } else if (process.mustVerify || process.trail.length > 1 || process.trail[0] !== this.index) {
        this.#takeUp(process);
      }
    } else if (process.phase === Phase.Receiving) {
      this.#resumeReceive(process);
    }
  }

  /** The call of a process that woke at another place than it was made from. */
  #takeUp(process: LocalProcess): void {
    const { sentTo, callTarget, mustVerify } = process;
    process.mustVerify = false;
    const mayHaveMoved = fixedIndexOf(callTarget) === undefined && sentTo !== this.index;
    if (mustVerify && mayHaveMoved) this.#verify(process);
    else this.#probe(process, mustVerify);
  }

  #resumeReceive(process: LocalProcess): void {
    const source = process.callTarget;
    if (this.#takeWaiting(process, source, process.inbox)) {
      this.#complete(process, OK, process.inbox.words[0]!, process.inbox, process.lastData);
    } else if (source !== ANY) {
      process.needsRouting = false;
      this.#reroute(process);
    }
  }

  #redeliver(peer: number, frame: Uint8Array): void {
    const kind = kindOf(frame);
    const isAnswer = kind === FrameKind.Status || kind === FrameKind.Moved || kind === FrameKind.Probed;
    // Copies from here are taken up again as a whole, by #resumeCopies.
    if (peer === this.index && (kind === FrameKind.CopyFrom || kind === FrameKind.CopyTo)) return;
    if (isAnswer) this.#takeAnswer(peer, frame);
    else this.#dispatch(peer, frame);
  }

  /** What came for a process after it was packed goes on to where it lives now. */
  #passOn(process: LocalProcess, peer: number, frame: Uint8Array, to: number, epoch: number): void {
    switch (kindOf(frame)) {
      case FrameKind.Reply:
      case FrameKind.Notify:
        if (peer === this.index) {
          if (this.#up.has(to)) this.#emit(to, frame);
        } else if (peer !== LOST) {
          this.#returnFrame(peer, frame, to, epoch);
        } else if (kindOf(frame) === FrameKind.Reply) {
          // The answer's container is lost since; its caller must hear of that.
          if (this.#up.has(to)) {
            this.#tellLost(to, process.endpoint, {
              epoch,
              sequence: process.sequence,
              callTarget: process.callTarget,
              sentTo: peer,
            });
          }
        }
        return;
      case FrameKind.CopyFrom:
      case FrameKind.CopyTo:
        this.#answerCopy(peer, frame, EMIGRATE, NO_BYTES, to, epoch);
        return;
      default:
        if (this.#up.has(to)) this.#emit(to, frame);
    }
  }

  /** Copies that waited for a process that died. */
  #refuseHeld(peer: number, frame: Uint8Array): void {
    const kind = kindOf(frame);
    if (kind === FrameKind.CopyFrom || kind === FrameKind.CopyTo)
      this.#answerCopy(peer, frame, EDEADSRCDST, NO_BYTES);
  }

  #tellMoved(endpoint: Endpoint, caller: number, sequence: number, to: number, epoch: number): void {
    const frame = makeFrame(FrameKind.Moved, 0, endpoint, caller, sequence, 0, 0, epoch, to + 1);
    const local = this.#find(caller);
    if (local === undefined) {
      this.#transmit(caller, frame);
    } else if (local.isExtracted) {
      this.#hold(local, this.index, frame);
    } else if (local.phase === Phase.Outstanding && local.sequence === sequence) {
      local.sentTo = to;
      if (!this.#up.has(to)) this.#verify(local);
    }
  }

  /** What IS shows: one row per process bound here. */
  list(): { endpoint: Endpoint; phase: string; partner: Endpoint; queued: number; isFrozen: boolean }[] {
    return [...this.#processes].map((p) => ({
      endpoint: p.endpoint,
      phase: Phase[p.phase].toLowerCase(),
      partner: p.callTarget,
      queued: p.queue.size,
      isFrozen: p.isFrozen,
    }));
  }
}

const PHASES = {
  idle: Phase.Idle,
  outstanding: Phase.Outstanding,
  receiving: Phase.Receiving,
  ended: Phase.Ended,
} as const;
const PHASE_NAMES: Partial<Record<Phase, keyof typeof PHASES>> = {
  [Phase.Idle]: 'idle',
  [Phase.Outstanding]: 'outstanding',
  [Phase.Receiving]: 'receiving',
  [Phase.Ended]: 'ended',
};

function isSendOf(frame: Uint8Array, source: number, sequence: number): boolean {
  return kindOf(frame) === FrameKind.Send && sourceOf(frame) === source && sequenceOf(frame) === sequence;
}

function writeNotification(message: Message, source: number): void {
  message.words.fill(0);
  message.words[0] = source;
  message.words[1] = NOTIFY_MESSAGE;
}

/** Frames of a lost container say nothing any more, besides a reply, which was given. */
function forgetHeld(process: LocalProcess, peer: number): void {
  if (process.held.length === 0) return;
  process.held = process.held.filter((h) => h.peer !== peer || kindOf(h.frame) === FrameKind.Reply);
  for (const held of process.held) if (held.peer === peer) held.peer = LOST;
}

/** Filtered by the wanted source, unlike M3-IPC's. */
function nextNotification(receiver: LocalProcess, wanted: number): number | undefined {
  if (receiver.notifications.size === 0) return undefined;
  if (wanted !== ANY) return receiver.notifications.has(wanted) ? wanted : undefined;
  for (const first of receiver.notifications) return first;
  return undefined;
}

/** The bytes that `by` may touch, or a status. */
function grantedRegion(
  granter: LocalProcess,
  by: number,
  id: number,
  offset: number,
  length: number,
  access: number,
): Uint8Array | number {
  const grant = granter.grants.get(id);
  if (grant === undefined || (grant.to !== by && grant.to !== ANY) || (grant.access & access) === 0)
    return EPERM;
  const { memory } = grant;
  if (offset + length > memory.length) return EINVAL;
  const bytes = memory.bytes();
  const start = memory.offset + offset;
  return start + length > bytes.length ? EINVAL : bytes.subarray(start, start + length);
}

function copyWithGrant(
  granter: LocalProcess,
  by: number,
  id: number,
  offset: number,
  bytes: Uint8Array,
  isWrite: boolean,
): number {
  const region = grantedRegion(granter, by, id, offset, bytes.length, isWrite ? GRANT_WRITE : GRANT_READ);
  if (typeof region === 'number') return region;
  if (isWrite) region.set(bytes);
  else bytes.set(region);
  return OK;
}
