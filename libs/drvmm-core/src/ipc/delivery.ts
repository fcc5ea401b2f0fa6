import { type Endpoint, fixedIndexOf, isEndpoint, isServerEndpoint, isSystemEndpoint } from './endpoint.js';
import { EBADCALL, EBADSRCDST, EDEADSRCDST, EMIGRATE, ENOTBIND, ENOTREADY, OK } from './errors.js';
import {
  EXPECTS_REPLY,
  epochOf,
  FINAL,
  FrameKind,
  HEADER_BYTES,
  isServed,
  kindOf,
  MESSAGE_END,
  makeFrame,
  NONBLOCKING,
  POST,
  readInt,
  readMessage,
  readUnsigned,
  ridingIn,
  sequenceOf,
  sourceOf,
  targetOf,
} from './frame.js';
import { type LocalProcess, NO_BYTES, Phase } from './local-process.js';
import { MAX_RIDING_BYTES, Message } from './message.js';
import type { Parts } from './parts.js';
import { MAX_PARKED_PER_SOURCE, MAX_PARKED_SOURCES, UNREACHABLE } from './places.js';
import { awaitsReply, takesNow } from './rendezvous.js';

/**
 * Takes frames of other kernels apart: believes, refuses or sets them aside by what they say about their source, and
 * brings them to their target, or says where that is.
 */
export class Delivery {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  deliver(peer: number, frame: Uint8Array): void {
    this.#parts.counters.framesDelivered++;
    if (
      frame.length < HEADER_BYTES ||
      frame.length > MESSAGE_END + MAX_RIDING_BYTES ||
      !this.#parts.places.up.has(peer)
    ) {
      this.#parts.counters.framesDropped++;
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
        if (this.#mayReply(peer, frame)) this.dispatch(peer, frame);
        else this.#admit(peer, frame);
        return;
      case FrameKind.Relay: {
        if (frame.length < MESSAGE_END || frame.length - MESSAGE_END !== readUnsigned(frame, 28)) break;
        const to = readInt(frame, HEADER_BYTES);
        if (!isServerEndpoint(sourceOf(frame)) || !isEndpoint(to) || !isSystemEndpoint(to)) break;
        if (this.#mayReply(peer, frame)) this.dispatch(peer, frame);
        else this.#admit(peer, frame);
        return;
      }
      case FrameKind.CopyTo:
        if (frame.length - HEADER_BYTES !== readUnsigned(frame, 28)) break;
        this.#admit(peer, frame);
        return;
      case FrameKind.Notify:
      case FrameKind.Cancel:
      case FrameKind.Probe:
      case FrameKind.Watch:
      case FrameKind.AwaitBind:
      case FrameKind.CopyFrom:
        this.#admit(peer, frame);
        return;
      case FrameKind.Status:
      case FrameKind.Moved:
      case FrameKind.Probed:
        this.takeAnswer(peer, frame);
        return;
      case FrameKind.CopyAnswer:
        this.#parts.copies.takeAnswer(peer, frame);
        return;
      case FrameKind.Locate:
        if (this.#parts.index !== this.#parts.home || !isEndpoint(targetOf(frame))) break;
        this.#parts.places.answerLocate(peer, targetOf(frame));
        return;
      case FrameKind.Location:
        if (peer !== this.#parts.home || !this.#parts.places.asked.has(targetOf(frame))) break;
        this.#parts.places.takeLocation(
          targetOf(frame),
          readUnsigned(frame, 28) - 1,
          readUnsigned(frame, 24),
        );
        return;
      case FrameKind.Barrier:
        this.#parts.homeChange.answerBarrier(peer, frame);
        return;
      case FrameKind.BarrierAnswer:
        this.#parts.homeChange.takeBarrierAnswer(peer, frame);
        return;
      case FrameKind.Returned:
        if (frame.length < MESSAGE_END) break;
        this.#takeReturned(peer, frame);
        return;
      default:
        break;
    }
    this.#parts.counters.framesDropped++;
  }

  /**
   * A container may answer what was sent to it, also for a process that has died since. And a reply to one who is
   * not here is given back to where it came from, which needs no belief.
   */
  #mayReply(peer: number, frame: Uint8Array): boolean {
    const target = targetOf(frame);
    if (!isEndpoint(target) || !isEndpoint(sourceOf(frame))) return false;
    const caller = this.#parts.table.find(target);
    if (caller === undefined) return !this.#parts.table.arriving.has(target) && !isSystemEndpoint(target);
    return caller.sentTo === peer && awaitsReply(caller, sourceOf(frame), sequenceOf(frame));
  }

  /** Believes, refuses or sets aside a frame by what it says about its source. */
  #admit(peer: number, frame: Uint8Array): void {
    const source = sourceOf(frame);
    if (!isEndpoint(source) || !isEndpoint(targetOf(frame))) {
      this.#parts.counters.framesDropped++;
      return;
    }
    const fixed = fixedIndexOf(source, this.#parts.home);
    if (fixed !== undefined) {
      if (fixed === peer) this.dispatch(peer, frame);
      else this.refuse(peer, frame);
      return;
    }
    const parked = this.#parts.places.parkedIn.get(source);
    if (parked !== undefined) {
      if (parked.length < MAX_PARKED_PER_SOURCE) parked.push({ peer, frame });
      else this.#parts.counters.framesDropped++;
      return;
    }
    const verdict = this.speaksFor(peer, source, frame);
    if (verdict === true) {
      this.dispatch(peer, frame);
    } else if (
      verdict === false ||
      !this.#parts.places.mayAskHome() ||
      this.#parts.places.parkedIn.size >= MAX_PARKED_SOURCES
    ) {
      this.refuse(peer, frame);
    } else {
      this.#parts.places.parkedIn.set(source, [{ peer, frame }]);
      this.#parts.places.ask(source);
    }
  }

  /** undefined: only home knows. */
  speaksFor(peer: number, source: number, frame: Uint8Array): boolean | undefined {
    const place = this.#parts.places.directory.get(source);
    const epoch = epochOf(frame);
    if (place === undefined) return this.#parts.index === this.#parts.home ? false : undefined;
    const kind = kindOf(frame);
    const isCall = kind === FrameKind.Send || kind === FrameKind.Cancel;
    if (place.index === peer) {
      if (isCall && epoch > place.heardEpoch) place.heardEpoch = Math.min(epoch, place.epoch);
      return true;
    }
    if (epoch > place.epoch) return this.#parts.index === this.#parts.home ? false : undefined;
    return place.previous === peer && epoch < place.epoch && (!isCall || epoch >= place.heardEpoch);
  }

  /** A frame that is not believed. Callers are told, so that an honest one that home does not know cannot hang. */
  refuse(peer: number, frame: Uint8Array): void {
    this.#parts.counters.framesDropped++;
    const kind = kindOf(frame);
    if (kind === FrameKind.Send && (frame[1]! & POST) === 0) {
      this.#answer(FrameKind.Status, peer, frame, EBADSRCDST);
    } else if (kind === FrameKind.CopyFrom || kind === FrameKind.CopyTo) {
      this.#parts.copies.answer(peer, frame, EBADSRCDST, NO_BYTES);
    } else if (kind === FrameKind.Reply && this.#parts.places.directory.get(sourceOf(frame)) === undefined) {
      // Home says that whoever was asked is dead.
      this.#parts.rendezvous.settle(sourceOf(frame), targetOf(frame), sequenceOf(frame), EDEADSRCDST);
    }
  }

  /** An answer to the kernel that sent `frame`, about the call that it names. */
  #answer(kind: FrameKind, peer: number, frame: Uint8Array, a: number, hintIndex = -1, hintEpoch = 0): void {
    if (!this.#parts.places.up.has(peer)) return;
    this.#parts.places.emit(
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
  dispatch(peer: number, frame: Uint8Array): void {
    if (kindOf(frame) === FrameKind.AwaitBind) {
      this.#parts.bindWaits.take(frame);
      return;
    }
    if (kindOf(frame) === FrameKind.Cancel) this.#parts.bindWaits.forget(sourceOf(frame), sequenceOf(frame));
    const target = this.#parts.table.find(targetOf(frame));
    if (target === undefined) {
      const arriving = this.#parts.table.arriving.get(targetOf(frame));
      if (arriving === undefined) this.redirect(peer, frame);
      else this.#parts.rendezvous.hold(arriving, peer, frame);
      return;
    }
    const source = sourceOf(frame) as Endpoint;
    const sequence = sequenceOf(frame);
    switch (kindOf(frame)) {
      case FrameKind.Send:
        this.#takeSend(peer, frame, target, source, sequence);
        return;
      case FrameKind.Reply:
      case FrameKind.Relay:
        if (!awaitsReply(target, source, sequence)) {
          this.#parts.counters.framesDropped++;
        } else if (target.isExtracted) {
          if (!target.held.some((h) => isServed(kindOf(h.frame))))
            this.#parts.rendezvous.hold(target, peer, frame);
        } else if (kindOf(frame) === FrameKind.Relay) {
          const message = new Message();
          readMessage(frame, message);
          const to = message.words[0] as Endpoint;
          this.#parts.rendezvous.relay(target, to, message, ridingIn(frame));
        } else {
          readMessage(frame, target.inbox);
          this.#parts.rendezvous.complete(target, OK, source, target.inbox, ridingIn(frame));
        }
        return;
      case FrameKind.Notify:
        this.#parts.rendezvous.notifyLocal(target, source, peer);
        return;
      case FrameKind.Cancel: {
        const waiting = target.queue.get(source);
        if (waiting !== undefined && waiting.sequence === sequence) target.queue.delete(source);
        this.#parts.rendezvous.cancelOwed(target, source, sequence);
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
        if (target.isFrozen) this.#parts.rendezvous.hold(target, peer, frame);
        else this.#parts.copies.serve(peer, frame, target);
        return;
      default:
        this.#parts.counters.framesDropped++;
    }
  }

  #takeSend(peer: number, frame: Uint8Array, target: LocalProcess, source: Endpoint, sequence: number): void {
    const flags = frame[1]!;
    const expectsReply = (flags & EXPECTS_REPLY) !== 0;
    const data = ridingIn(frame);
    if ((flags & POST) !== 0) {
      const message = new Message();
      readMessage(frame, message);
      if (!target.isServer || this.#parts.rendezvous.takePost(target, source, message, data) !== OK)
        this.#parts.counters.framesDropped++;
      return;
    }
    if (takesNow(target, source)) {
      readMessage(frame, target.inbox);
      this.#parts.rendezvous.hand(target, source, sequence, expectsReply, target.inbox, data);
      if (!expectsReply) this.#parts.rendezvous.settle(target.endpoint, source, sequence, OK);
      return;
    }
    if ((flags & NONBLOCKING) !== 0) {
      this.#parts.rendezvous.settle(target.endpoint, source, sequence, ENOTREADY);
      return;
    }
    const earlier = target.queue.get(source);
    if (earlier !== undefined) {
      // A source has one call under way. The same again is a replay that crossed; another one is a lie.
      this.#parts.counters.framesDropped++;
      if (earlier.sequence !== sequence) this.#answer(FrameKind.Status, peer, frame, EBADCALL);
      return;
    }
    const message = new Message();
    readMessage(frame, message);
    target.queue.set(source, { source, sequence, expectsReply, isPost: false, message, data });
  }

  /** The target is not here: says to the sending kernel where it is, as far as is known. */
  redirect(peer: number, frame: Uint8Array): void {
    const target = targetOf(frame);
    if (isServerEndpoint(target) && this.#parts.index !== this.#parts.home) {
      // Servers were here, or will be. Whoever sent this hears of the home from home itself, and sends it there again.
      this.#parts.counters.framesDropped++;
      return;
    }
    const place = this.#parts.places.directory.get(target);
    const isElsewhere = place !== undefined && place.index !== this.#parts.index;
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
        this.#parts.copies.answer(
          peer,
          frame,
          isElsewhere ? EMIGRATE : ENOTBIND,
          NO_BYTES,
          hintIndex,
          hintEpoch,
        );
        return;
      case FrameKind.Reply:
      case FrameKind.Relay:
      case FrameKind.Notify:
        this.returnFrame(peer, frame, hintIndex, hintEpoch);
        return;
      default:
        break;
    }
    this.#parts.counters.framesDropped++;
  }

  /** Gives a Reply or Notify back to the kernel it came from, whole. */
  returnFrame(peer: number, frame: Uint8Array, hintIndex: number, hintEpoch: number): void {
    if (!this.#parts.places.up.has(peer)) return;
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
    this.#parts.places.emit(peer, back);
  }

  #takeReturned(peer: number, frame: Uint8Array): void {
    const source = sourceOf(frame) as Endpoint;
    const target = targetOf(frame) as Endpoint;
    const place = this.#parts.places.directory.get(target);
    const kind = readInt(frame, 20);
    const isReply = isServed(kind);
    // Only to users, who alone move. Nothing is believed that the peer could not have made itself while the target
    // lived there.
    const isFit = isEndpoint(source) && isEndpoint(target) && !isSystemEndpoint(target);
    if (!isFit || (!isReply && kind !== FrameKind.Notify)) {
      this.#parts.counters.framesDropped++;
      return;
    }
    const sourceEpoch =
      this.#parts.table.find(source)?.epoch ?? this.#parts.migration.moved.get(source)?.epoch;
    if (sourceEpoch === undefined) {
      // It has died since it answered; its caller must not wait for ever.
      if (isReply) this.#parts.rendezvous.settle(source, target, sequenceOf(frame), EDEADSRCDST);
      return;
    }
    const known = place?.epoch ?? 0;
    let refutedIndex = -1;
    const hintIndex = readUnsigned(frame, 28) - 1;
    const hintEpoch = readUnsigned(frame, 24);
    if (place === undefined || place.index === peer) {
      if (this.#parts.index === this.#parts.home) {
        this.#parts.counters.framesDropped++;
        return;
      }
      if (hintIndex >= 0 && hintEpoch > known) this.#parts.places.directory.set(target, hintIndex, hintEpoch);
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
    const local = this.#parts.table.find(target);
    if (local !== undefined) this.dispatch(this.#parts.index, again);
    else if (this.#parts.places.transmit(target, again, refutedIndex, known) === UNREACHABLE)
      this.#parts.counters.framesDropped++;
  }

  /** Status, Moved or Probed: what another kernel says about a call of a process that is, or was, here. */
  takeAnswer(peer: number, frame: Uint8Array): void {
    const caller = this.#parts.table.find(targetOf(frame));
    if (caller === undefined) {
      const arriving = this.#parts.table.arriving.get(targetOf(frame));
      if (arriving === undefined) this.#relay(frame);
      else this.#parts.rendezvous.hold(arriving, peer, frame);
      return;
    }
    const isCall = caller.phase === Phase.Outstanding || caller.phase === Phase.Receiving;
    const isOf = isCall && caller.sequence === sequenceOf(frame) && caller.callTarget === sourceOf(frame);
    const mayTell =
      peer === this.#parts.index ||
      peer === caller.sentTo ||
      caller.trail.includes(peer) ||
      // Its partner moved there after it was packed.
      caller.held.some((h) => kindOf(h.frame) === FrameKind.Moved && readUnsigned(h.frame, 28) - 1 === peer);
    if (!isOf || !mayTell) {
      this.#parts.counters.framesDropped++;
      return;
    }
    if (caller.isExtracted) {
      this.#parts.rendezvous.hold(caller, peer, frame);
      return;
    }
    const hintIndex = readUnsigned(frame, 28) - 1;
    const hintEpoch = readUnsigned(frame, 24);
    switch (kindOf(frame)) {
      case FrameKind.Status:
        this.#parts.rendezvous.applyStatus(
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
        this.#parts.places.learn(sourceOf(frame), hintIndex, hintEpoch, peer);
        caller.sentTo = hintIndex;
        if (hintIndex !== this.#parts.index && !this.#parts.places.up.has(hintIndex))
          this.#parts.losses.verify(caller);
        return;
      case FrameKind.Probed:
        caller.isVerifying = false;
        if (readInt(frame, 20) === 1) {
          // Relayed by a former place, more may come from there.
          if (peer === caller.sentTo) caller.trail = [this.#parts.index];
        } else if ((frame[1]! & FINAL) !== 0) this.#parts.rendezvous.fail(caller);
        return;
      default:
        break;
    }
    this.#parts.counters.framesDropped++;
  }

  /** An answer for a process that moved on from here: hands it on to where it lives now. */
  #relay(frame: Uint8Array): void {
    const target = targetOf(frame);
    const place = this.#parts.places.directory.get(target);
    if (
      !this.#parts.migration.moved.has(target) ||
      place === undefined ||
      place.index === this.#parts.index ||
      !this.#parts.places.up.has(place.index)
    ) {
      this.#parts.counters.framesDropped++;
      return;
    }
    this.#parts.places.emit(place.index, frame);
  }
}
