import { isDeadlock } from './deadlock.js';
import { ANY, type Endpoint, isSystemEndpoint } from './endpoint.js';
import {
  EAGAIN,
  EDEADSRCDST,
  ELOCKED,
  EMIGRATE,
  ENOSYS,
  ENOTBIND,
  ENOTREADY,
  OK,
  SUSPENDED,
} from './errors.js';
import {
  COMPLETE_CALLS_SINCE,
  EXPECTS_REPLY,
  FrameKind,
  kindOf,
  MESSAGE_END,
  makeFrame,
  makeMessageFrame,
  NONBLOCKING,
  sequenceOf,
  sourceOf,
} from './frame.js';
import { CallKind, LOCATING, type LocalProcess, NO_BYTES, Phase, type Waiting } from './local-process.js';
import { Message } from './message.js';
import { nextNotification, writeNotification } from './notification.js';
import type { Parts } from './parts.js';
import { UNREACHABLE } from './places.js';

/** Posts that wait for a busy server: it is busy only while its handler runs, so this many mean a loop. */
const MAX_WAITING_POSTS = 4_096;
/** Frames held for a process that is being moved: a reply, copies, and one notification per source. */
const MAX_HELD_FRAMES = 4_096;
/** Servers that hand one request on to each other more often than this go in a circle. */
export const MAX_RELAYS = 16;

/** The message of a call that ended without one. */
export const NOTHING = new Message();

/**
 * How senders and receivers that are bound here meet: a call waits at its target until it is taken, and then, if it
 * wants a reply, until that is given. Calls to other containers leave through Places; their ends come back here.
 */
export class Rendezvous {
  readonly #parts: Parts;
  #nextPostKey = -0x1_0000_0000;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** The call of `caller` cannot end at once: keeps it and routes it. */
  suspendCall(caller: LocalProcess, message: Message, data: Uint8Array): number {
    caller.callMessage.copyFrom(message);
    caller.callMessage.words[0] = caller.endpoint;
    // (A call that leaves keeps its bytes in the frame.)
    const isHere = this.#parts.table.find(caller.callTarget) !== undefined;
    caller.callData = isHere && data.length > 0 ? data.slice() : data;
    caller.trail = [this.#parts.index];
    caller.refutedIndex = -1;
    caller.isVerifying = false;
    caller.needsRouting = false;
    caller.phase = Phase.Outstanding;
    const status = this.#route(caller);
    if (status !== SUSPENDED) caller.phase = Phase.Idle;
    return status;
  }

  /** A server here or elsewhere has handed the request of `caller` on: its own kernel, this one, brings it there. */
  relay(caller: LocalProcess, to: Endpoint, message: Message, data: Uint8Array): void {
    if (++caller.relays > MAX_RELAYS) {
      this.complete(caller, ELOCKED, caller.callTarget, NOTHING, NO_BYTES);
      return;
    }
    caller.callTarget = to;
    caller.callMessage.copyFrom(message);
    caller.callMessage.words[0] = caller.endpoint;
    caller.callData = data.length > 0 ? data.slice() : NO_BYTES;
    caller.isVerifying = false;
    caller.refutedIndex = -1;
    this.reroute(caller);
  }

  /** Brings an outstanding call to where its target is. SUSPENDED: it waits there, or was handed over. */
  #route(caller: LocalProcess): number {
    if (caller.callKind === CallKind.AwaitBind) return this.#parts.bindWaits.route(caller);
    const to = caller.callTarget;
    const target = this.#parts.table.find(to);
    const expectsReply = caller.callKind === CallKind.Sendrec;
    if (target === undefined) {
      if (caller.callKind === CallKind.TrySend) {
        const { directory, up } = this.#parts.places;
        const at = directory.indexOf(to);
        if (at !== undefined && up.has(at) && !this.#parts.places.speaks(at, COMPLETE_CALLS_SINCE))
          return ENOSYS;
      }
      const flags = expectsReply ? EXPECTS_REPLY : caller.callKind === CallKind.TrySend ? NONBLOCKING : 0;
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
      const place = this.#parts.places.transmit(to, frame, caller.refutedIndex, caller.refutedEpoch);
      if (place === UNREACHABLE) return EDEADSRCDST;
      caller.sentTo = place;
      return SUSPENDED;
    }
    caller.sentTo = this.#parts.index;
    if (takesNow(target, caller.endpoint)) {
      this.#parts.counters.localMessages++;
      const { endpoint, sequence, callMessage, callData } = caller;
      this.hand(target, endpoint, sequence, expectsReply, callMessage, callData);
      if (!expectsReply) this.settle(to, endpoint, sequence, OK);
      return SUSPENDED;
    }
    if (caller.callKind === CallKind.TrySend) return ENOTREADY;
    if (isDeadlock(this.#parts.table, caller, to)) return ELOCKED;
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
  reroute(caller: LocalProcess): void {
    if (caller.isFrozen) {
      caller.needsRouting = true;
      caller.sentTo = LOCATING;
      return;
    }
    // It is sent anew from here: what former places may still say of it is over.
    caller.trail = [this.#parts.index];
    const status = caller.phase === Phase.Receiving ? this.watch(caller) : this.#route(caller);
    if (status !== SUSPENDED) this.complete(caller, status, caller.callTarget, NOTHING, NO_BYTES);
  }

  /** A receiver of one source alone must learn of its death. */
  watch(receiver: LocalProcess): number {
    const source = receiver.callTarget;
    const local = this.#parts.table.find(source);
    if (local !== undefined) {
      local.watchers.set(receiver.endpoint, receiver.sequence);
      receiver.sentTo = this.#parts.index;
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
    const place = this.#parts.places.transmit(source, frame, receiver.refutedIndex, receiver.refutedEpoch);
    if (place === UNREACHABLE) return EDEADSRCDST;
    receiver.sentTo = place;
    return SUSPENDED;
  }

  /** Gives a message to a target that takes it now. */
  hand(
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
      this.complete(target, OK, source, message, data);
    }
  }

  /** Runs a server on its inbox, then on all that came meanwhile. */
  #serve(server: LocalProcess, data: Uint8Array): void {
    server.isBusy = true;
    server.owner.onMessage!(server.endpoint, server.inbox, data);
    server.isBusy = false;
    if (server.queue.size > 0 || server.notifications.size > 0) this.drain(server);
  }

  drain(server: LocalProcess): void {
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
      if (!expectsReply && !isPost) this.settle(server.endpoint, source, sequence, OK);
    }
  }

  takePost(server: LocalProcess, source: Endpoint, message: Message, data: Uint8Array): number {
    if (takesNow(server, source)) {
      this.hand(server, source, 0, false, message, data);
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
  takeWaiting(receiver: LocalProcess, source: number, message: Message): boolean {
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
    else this.settle(receiver.endpoint, waiting.source, waiting.sequence, OK);
    return true;
  }

  notifyLocal(target: LocalProcess, source: Endpoint, peer: number): void {
    if (target.isExtracted) {
      const isHeld = target.held.some(
        (h) => kindOf(h.frame) === FrameKind.Notify && sourceOf(h.frame) === source,
      );
      if (!isHeld)
        this.hold(target, peer, makeFrame(FrameKind.Notify, 0, source, target.endpoint, 0, 0, 0, 0, 0));
      return;
    }
    if (target.isServer) {
      target.notifications.add(source);
      if (!target.isBusy) this.drain(target);
    } else if (target.receivesFrom(source, ANY)) {
      writeNotification(target.inbox, source);
      this.complete(target, OK, source, target.inbox, NO_BYTES);
    } else {
      target.notifications.add(source);
    }
  }

  /** Ends the present call of `process`, or notes the end while it is frozen. */
  complete(process: LocalProcess, status: number, source: number, message: Message, data: Uint8Array): void {
    if (process.inbox !== message) process.inbox.copyFrom(message);
    process.inbox.words[0] = source;
    process.callData = NO_BYTES;
    process.needsRouting = false;
    process.isVerifying = false;
    if (process.deadlineAt >= 0) this.#parts.deadlines.clear(process);
    if (process.callKind === CallKind.AwaitUnbind && status === EDEADSRCDST) status = OK;
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

  /** Tells the caller of (caller, sequence), wherever it is, how its call to `target` ended. */
  settle(
    target: number,
    caller: number,
    sequence: number,
    status: number,
    hintIndex = -1,
    hintEpoch = 0,
  ): void {
    const local = this.#parts.table.find(caller);
    if (local !== undefined) {
      if (local.isExtracted) {
        this.hold(
          local,
          this.#parts.index,
          makeFrame(FrameKind.Status, 0, target, caller, sequence, 0, status, hintEpoch, hintIndex + 1),
        );
      } else {
        this.applyStatus(local, target, sequence, status, hintIndex, hintEpoch, this.#parts.index);
      }
      return;
    }
    this.#parts.places.transmit(
      caller,
      makeFrame(FrameKind.Status, 0, target, caller, sequence, 0, status, hintEpoch, hintIndex + 1),
    );
  }

  hold(process: LocalProcess, peer: number, frame: Uint8Array): void {
    if (process.held.length >= MAX_HELD_FRAMES) {
      this.#parts.counters.framesDropped++;
      return;
    }
    process.held.push({ peer, frame });
  }

  /** Takes a call back from wherever it waits; its caller is not told. */
  abandonCall(caller: LocalProcess): void {
    if (caller.phase !== Phase.Outstanding && caller.phase !== Phase.Receiving) return;
    const { endpoint, callTarget, sequence } = caller;
    if (caller.callKind === CallKind.AwaitBind) this.#parts.bindWaits.forget(endpoint, sequence);
    const target = this.#parts.table.find(callTarget);
    if (target !== undefined) {
      target.watchers.delete(endpoint);
      const waiting = target.queue.get(endpoint);
      if (waiting !== undefined && waiting.sequence === sequence) target.queue.delete(endpoint);
      this.cancelOwed(target, endpoint, sequence);
      return;
    }
    const arriving = this.#parts.table.arriving.get(callTarget);
    if (arriving !== undefined && caller.sentTo === this.#parts.index) {
      arriving.held = arriving.held.filter((h) => !isSendOf(h.frame, endpoint, sequence));
    }
    if (caller.phase === Phase.Receiving || caller.needsRouting) return;
    if (caller.sentTo === LOCATING) {
      const parked = this.#parts.places.parkedOut.get(callTarget);
      const at = parked?.findIndex((p) => isSendOf(p.frame, endpoint, sequence)) ?? -1;
      if (at >= 0) parked!.splice(at, 1);
      return;
    }
    if (caller.sentTo !== this.#parts.index && this.#parts.places.up.has(caller.sentTo)) {
      this.#parts.places.emit(
        caller.sentTo,
        makeFrame(FrameKind.Cancel, 0, endpoint, callTarget, sequence, caller.epoch, 0, 0, 0),
      );
    }
  }

  cancelOwed(server: LocalProcess, caller: Endpoint, sequence: number): void {
    // (Packed: the other copy would not know. A reply to one who no longer waits does no harm.)
    if (server.owed.get(caller) !== sequence || server.isExtracted) return;
    server.owed.delete(caller);
    server.owner.onCancelled?.(server.endpoint, caller);
  }

  applyStatus(
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
    if (caller.callKind === CallKind.AwaitBind) {
      this.#parts.bindWaits.answered(caller, status, hintIndex, hintEpoch, peer);
      return;
    }
    if (status !== EMIGRATE && status !== ENOTBIND) {
      // A request ends well by its reply alone.
      if (status === OK && caller.callKind !== CallKind.Send && caller.callKind !== CallKind.TrySend) return;
      const queue = this.#parts.table.find(target)?.queue;
      if (queue?.get(caller.endpoint)?.sequence === sequence) queue.delete(caller.endpoint);
      this.complete(caller, status > 0 ? EDEADSRCDST : status, target, NOTHING, NO_BYTES);
      return;
    }
    const before = this.#parts.places.directory.get(target);
    if (hintIndex >= 0) this.#parts.places.learn(target, hintIndex, hintEpoch, peer);
    const now = this.#parts.places.directory.get(target);
    const isHere = this.#parts.table.find(target) !== undefined;
    if (
      isSystemEndpoint(target) ||
      (this.#parts.index === this.#parts.home && !isHere && (!now || now.index === peer))
    ) {
      this.fail(caller);
      return;
    }
    const isNews = isHere || (now !== undefined && now.index !== peer);
    caller.refutedIndex = isNews ? -1 : peer;
    caller.refutedEpoch = isNews ? 0 : (before?.epoch ?? 0);
    this.reroute(caller);
  }

  fail(caller: LocalProcess): void {
    this.complete(caller, EDEADSRCDST, caller.callTarget, NOTHING, NO_BYTES);
  }
}

export function takesNow(target: LocalProcess, source: number): boolean {
  if (target.isServer) return !target.isBusy && target.queue.size === 0 && target.notifications.size === 0;
  return target.receivesFrom(source, ANY);
}

export function awaitsReply(caller: LocalProcess, from: number, sequence: number): boolean {
  return (
    caller.phase === Phase.Outstanding &&
    caller.callKind === CallKind.Sendrec &&
    caller.callTarget === from &&
    caller.sequence === sequence
  );
}

function isSendOf(frame: Uint8Array, source: number, sequence: number): boolean {
  return kindOf(frame) === FrameKind.Send && sourceOf(frame) === source && sequenceOf(frame) === sequence;
}
