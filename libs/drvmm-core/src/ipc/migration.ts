import { ANY, type Endpoint, formatEndpoint, isSystemEndpoint } from './endpoint.js';
import { EAGAIN, EBUSY, EDEADSRCDST, EINVAL, EMIGRATE, ENOTBIND, EONCOPY, ESLOTUSED, OK } from './errors.js';
import { FrameKind, isServed, kindOf, makeFrame, sourceOf } from './frame.js';
import { CallKind, LOCATING, LocalProcess, NO_BYTES, Phase } from './local-process.js';
import { LOST } from './losses.js';
import { Message } from './message.js';
import type { Owner } from './owner.js';
import type { Parts } from './parts.js';
import type { Privileges } from './privileges.js';
import { packState, unpackState } from './process-state.js';

/** A call carried along by more migrations than this in one piece makes the next one wait (EAGAIN). */
const MAX_TRAIL = 8;
/** Moved-away processes whose calls this container may still hear about. */
const MAX_MOVED = 65_536;

export interface Moved {
  /** Under which it lived here. */
  epoch: number;
  sequence: number;
  callTarget: Endpoint;
  sentTo: number;
}

/**
 * The mechanism by which a process changes its container, with the calls that it makes and that are made to it:
 * frozen and packed here, installed there, and then either rolled back or committed.
 */
export class Migration {
  readonly #parts: Parts;
  readonly moved = new Map<number, Moved>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  freeze(endpoint: Endpoint): number {
    const process = this.#parts.table.find(endpoint);
    if (process === undefined) return ENOTBIND;
    if (process.isServer) return EINVAL;
    if (process.isFrozen) return EMIGRATE;
    if (PHASE_NAMES[process.phase] === undefined) return EBUSY;
    if (process.copies > 0) return EONCOPY;
    if (process.trail.length >= MAX_TRAIL && process.phase === Phase.Outstanding) return EAGAIN;
    process.isFrozen = true;
    return OK;
  }

  extract(endpoint: Endpoint): Uint8Array {
    const process = this.#mustBeFrozen(endpoint);
    process.isExtracted = true;
    // It does not end here any more; the time that is left goes along.
    this.#parts.deadlines.drop(process);
    const isCall = process.phase === Phase.Outstanding || process.phase === Phase.Receiving;
    const callData = process.phase === Phase.Outstanding ? process.callData : NO_BYTES;
    const endData = process.phase === Phase.Ended ? process.endData : NO_BYTES;
    const grants = [...process.grants];
    const base64 = (message: Message) => Buffer.from(message.bytes).toString('base64');
    return packState(
      {
        version: 1,
        endpoint,
        epoch: process.epoch,
        from: this.#parts.index,
        sequence: process.sequence,
        nextGrant: process.nextGrant,
        notifications: [...process.notifications],
        owed: [...process.owed],
        grants: grants.flatMap(([id, g]) =>
          'memory' in g ? [[id, g.to, g.access, g.memory.offset, g.memory.length]] : [],
        ),
        indirectGrants: grants.flatMap(([id, g]) =>
          'from' in g ? [[id, g.to, g.access, g.from, g.grant]] : [],
        ),
        phase: PHASE_NAMES[process.phase] ?? 'idle',
        callKind: process.callKind,
        leftMs: Math.max(0, process.deadlineMs - this.#parts.nowMs()),
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
    for (const [id, to, access, from, grant] of header.indirectGrants)
      process.grants.set(id, { to: to as Endpoint, access, from: from as Endpoint, grant });
    process.phase = PHASES[header.phase];
    process.callKind = header.callKind;
    process.deadlineMs = this.#parts.nowMs() + (header.leftMs ?? Number.POSITIVE_INFINITY);
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
    if (this.#parts.table.find(endpoint) !== undefined || this.#parts.table.arriving.has(endpoint)) {
      throw new Error(`ESLOTUSED (${ESLOTUSED}): ${formatEndpoint(endpoint)} is here already`);
    }
    this.#parts.table.arriving.set(endpoint, process);
    this.#parts.places.directory.set(endpoint, header.from, header.epoch);
  }

  activate(endpoint: Endpoint, epoch: number): void {
    const process = this.#parts.table.arriving.get(endpoint);
    if (process === undefined) throw new Error(`EMIGRATE: ${formatEndpoint(endpoint)} is not arriving`);
    this.#parts.table.enter(process);
    this.#parts.table.arriving.delete(endpoint);
    process.epoch = epoch;
    this.moved.delete(endpoint);
    this.#parts.places.directory.set(endpoint, this.#parts.index, epoch);
    this.#parts.bindWaits.placed(endpoint);
    this.#thaw(process);
  }

  rollback(endpoint: Endpoint): void {
    const arriving = this.#parts.table.arriving.get(endpoint);
    if (arriving !== undefined) {
      this.#parts.table.arriving.delete(endpoint);
      for (const { peer, frame } of arriving.held) this.#parts.delivery.redirect(peer, frame);
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
      process.sentTo !== this.#parts.index &&
      !this.#parts.places.up.has(process.sentTo)
    ) {
      const isStill = process.phase === Phase.Outstanding || process.phase === Phase.Receiving;
      if (isStill) this.#parts.losses.verify(process);
    }
  }

  commitAway(endpoint: Endpoint, to: number, epoch: number): void {
    const process = this.#mustBeFrozen(endpoint);
    this.#parts.deadlines.clear(process);
    this.#parts.table.leave(process);
    this.#parts.places.directory.set(endpoint, to, epoch);
    if (this.moved.size >= MAX_MOVED) {
      for (const oldest of this.moved.keys()) {
        this.moved.delete(oldest);
        break;
      }
    }
    const isCall = process.phase === Phase.Outstanding || process.phase === Phase.Receiving;
    this.moved.delete(endpoint);
    this.moved.set(endpoint, {
      epoch: process.epoch,
      sequence: process.sequence,
      callTarget: process.callTarget,
      sentTo: isCall ? process.sentTo : LOCATING,
    });
    const parked = this.#parts.places.parkedOut.get(process.callTarget);
    if (parked !== undefined) {
      const rest = parked.filter((p) => sourceOf(p.frame) !== endpoint);
      this.#parts.places.parkedOut.set(process.callTarget, rest);
    }
    // Its own message, if it waits in a queue here, stays there; the record that it points to is nobody else's now.
    for (const { peer, frame } of process.held) this.#passOn(process, peer, frame, to, epoch);
    for (const waiting of process.queue.values()) {
      this.#parts.rendezvous.settle(endpoint, waiting.source, waiting.sequence, EMIGRATE, to, epoch);
    }
    for (const [watcher, sequence] of process.watchers) {
      this.#parts.rendezvous.settle(endpoint, watcher, sequence, EMIGRATE, to, epoch);
    }
    for (const [caller, sequence] of process.owed) this.#tellMoved(endpoint, caller, sequence, to, epoch);
    this.#parts.copies.resume(endpoint);
  }

  #mustBeFrozen(endpoint: Endpoint): LocalProcess {
    const process = this.#parts.table.find(endpoint);
    if (process === undefined) throw new Error(`ENOTBIND: ${formatEndpoint(endpoint)} is not bound here`);
    if (!process.isFrozen) throw new Error(`EMIGRATE: ${formatEndpoint(endpoint)} is not frozen`);
    return process;
  }

  #thaw(process: LocalProcess): void {
    process.isFrozen = false;
    if (process.trail.some((index) => index !== this.#parts.index && !this.#parts.places.up.has(index)))
      process.mustVerify = true;
    if (process.isVerifying) process.mustVerify = true;
    if (process.deadlineMs < Number.POSITIVE_INFINITY) this.#parts.deadlines.set(process, process.deadlineMs);
    const { held, endpoint } = process;
    process.held = [];
    for (const { peer, frame } of held) this.#redeliver(peer, frame);
    this.#parts.copies.resume(endpoint);
    if (process.isDead) return;
    if (process.phase === Phase.Ended) {
      const data = process.endData;
      process.endData = NO_BYTES;
      process.phase = Phase.Idle;
      this.#parts.deadlines.clear(process);
      process.lastData = data;
      process.owner.onComplete?.(endpoint, process.endStatus, process.inbox, data);
    } else if (process.phase === Phase.Outstanding) {
      if (process.needsRouting) {
        process.needsRouting = false;
        this.#parts.rendezvous.reroute(process);
      } else if (process.mustVerify || process.trail.length > 1 || process.trail[0] !== this.#parts.index) {
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
    const mayHaveMoved = !isSystemEndpoint(callTarget) && sentTo !== this.#parts.index;
    if (mustVerify && mayHaveMoved) this.#parts.losses.verify(process);
    else this.#parts.losses.probe(process, mustVerify);
  }

  #resumeReceive(process: LocalProcess): void {
    const source = process.callTarget;
    const receives = process.callKind === CallKind.Receive;
    if (receives && this.#parts.rendezvous.takeWaiting(process, source, process.inbox)) {
      this.#parts.rendezvous.complete(process, OK, process.inbox.words[0]!, process.inbox, process.lastData);
    } else if (source !== ANY) {
      process.needsRouting = false;
      this.#parts.rendezvous.reroute(process);
    }
  }

  #redeliver(peer: number, frame: Uint8Array): void {
    const kind = kindOf(frame);
    const isAnswer = kind === FrameKind.Status || kind === FrameKind.Moved || kind === FrameKind.Probed;
    // Copies from here are taken up again as a whole, by #resumeCopies.
    if (peer === this.#parts.index && (kind === FrameKind.CopyFrom || kind === FrameKind.CopyTo)) return;
    if (isAnswer) this.#parts.delivery.takeAnswer(peer, frame);
    else this.#parts.delivery.dispatch(peer, frame);
  }

  /** What came for a process after it was packed goes on to where it lives now. */
  #passOn(process: LocalProcess, peer: number, frame: Uint8Array, to: number, epoch: number): void {
    switch (kindOf(frame)) {
      case FrameKind.Reply:
      case FrameKind.Relay:
      case FrameKind.Notify:
        if (peer === this.#parts.index) {
          if (this.#parts.places.up.has(to)) this.#parts.places.emit(to, frame);
        } else if (peer !== LOST) {
          this.#parts.delivery.returnFrame(peer, frame, to, epoch);
        } else if (isServed(kindOf(frame))) {
          // The answer's container is lost since; its caller must hear of that.
          if (this.#parts.places.up.has(to)) {
            this.#parts.losses.tellLost(to, process.endpoint, {
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
        this.#parts.copies.answer(peer, frame, EMIGRATE, NO_BYTES, to, epoch);
        return;
      default:
        if (this.#parts.places.up.has(to)) this.#parts.places.emit(to, frame);
    }
  }

  /** Copies that waited for a process that died. */
  refuseHeld(peer: number, frame: Uint8Array): void {
    const kind = kindOf(frame);
    if (kind === FrameKind.CopyFrom || kind === FrameKind.CopyTo)
      this.#parts.copies.answer(peer, frame, EDEADSRCDST, NO_BYTES);
  }

  #tellMoved(endpoint: Endpoint, caller: number, sequence: number, to: number, epoch: number): void {
    const frame = makeFrame(FrameKind.Moved, 0, endpoint, caller, sequence, 0, 0, epoch, to + 1);
    const local = this.#parts.table.find(caller);
    if (local === undefined) {
      this.#parts.places.transmit(caller, frame);
    } else if (local.isExtracted) {
      this.#parts.rendezvous.hold(local, this.#parts.index, frame);
    } else if (local.phase === Phase.Outstanding && local.sequence === sequence) {
      local.sentTo = to;
      if (!this.#parts.places.up.has(to)) this.#parts.losses.verify(local);
    }
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
