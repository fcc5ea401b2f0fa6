import { type Endpoint, isSystemEndpoint } from './endpoint.js';
import { EDEADSRCDST } from './errors.js';
import { FINAL, FrameKind, isServed, kindOf, makeFrame } from './frame.js';
import { CallKind, LOCATING, type LocalProcess, Phase } from './local-process.js';
import type { Moved } from './migration.js';
import type { Parts } from './parts.js';

/** Where a held frame came from: a container that is lost since. */
export const LOST = -1;

/** Containers come and go: whoever waits for an endpoint at one that is lost is told, once it is sure. */
export class Losses {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  peerUp(peer: number, version: number): void {
    if (this.#parts.places.up.has(peer)) this.peerLost(peer);
    this.#parts.places.versions.set(peer, version);
    this.#parts.places.up.add(peer);
  }

  isUp(peer: number): boolean {
    return this.#parts.places.up.has(peer);
  }

  peerLost(peer: number): void {
    if (!this.#parts.places.up.delete(peer)) return;
    this.#parts.places.versions.delete(peer);
    this.#parts.homeChange.peerLost(peer);
    for (const [source, parked] of this.#parts.places.parkedIn) {
      const rest = parked.filter((p) => p.peer !== peer);
      if (rest.length > 0) this.#parts.places.parkedIn.set(source, rest);
    }
    for (const process of this.#parts.table.arriving.values()) {
      forgetHeld(process, peer);
      if (process.sentTo === peer || process.trail.includes(peer)) process.mustVerify = true;
    }
    for (const process of [...this.#parts.table.processes]) {
      forgetHeld(process, peer);
      this.#forgetCallersAt(process, peer);
    }
    for (const copy of [...this.#parts.copies.underWay.values()])
      if (copy.sentTo === peer) this.#parts.copies.end(copy, EDEADSRCDST);
    for (const [endpoint, moved] of [...this.#parts.migration.moved]) {
      if (moved.sentTo !== peer) continue;
      const place = this.#parts.places.directory.get(endpoint);
      this.#parts.migration.moved.set(endpoint, { ...moved, sentTo: LOCATING });
      if (place !== undefined && this.#parts.places.up.has(place.index))
        this.tellLost(place.index, endpoint, moved);
    }
    for (const caller of [...this.#parts.table.processes]) {
      if (caller.phase !== Phase.Outstanding && caller.phase !== Phase.Receiving) continue;
      if (caller.isExtracted) {
        if (caller.sentTo === peer || caller.trail.includes(peer)) this.#holdLoss(caller);
        continue;
      }
      if (caller.needsRouting) continue;
      if (caller.sentTo === peer) this.verify(caller);
      else if (caller.trail.includes(peer)) this.probe(caller, true);
    }
    if (this.#parts.index !== this.#parts.home) this.#parts.places.directory.forgetContainer(peer);
    if (peer === this.#parts.home)
      for (const endpoint of [...this.#parts.places.asked]) this.#parts.places.takeLocation(endpoint, -1, 0);
  }

  /** The loss of a container may have ended the call of a process that is packed already: it is told where it wakes. */
  #holdLoss(caller: LocalProcess): void {
    const { callTarget, endpoint, sequence } = caller;
    if (caller.held.some((h) => isServed(kindOf(h.frame)))) return;
    this.#parts.rendezvous.hold(
      caller,
      this.#parts.index,
      makeFrame(FrameKind.Status, 0, callTarget, endpoint, sequence, 0, EDEADSRCDST, 0, 0),
    );
  }

  #forgetCallersAt(process: LocalProcess, peer: number): void {
    for (const [key, waiting] of [...process.queue]) {
      if (!waiting.isPost && this.#parts.places.locate(waiting.source) === peer) process.queue.delete(key);
    }
    for (const [caller, sequence] of [...process.owed]) {
      if (this.#parts.places.locate(caller as Endpoint) === peer)
        this.#parts.rendezvous.cancelOwed(process, caller as Endpoint, sequence);
    }
    for (const watcher of [...process.watchers.keys()]) {
      if (this.#parts.places.locate(watcher as Endpoint) === peer) process.watchers.delete(watcher);
    }
  }

  /** A call that a moved-away process had sent from here to the lost container: its kernel must ask for it. */
  tellLost(index: number, endpoint: number, moved: Moved): void {
    this.#parts.places.emit(
      index,
      makeFrame(FrameKind.Status, 0, moved.callTarget, endpoint, moved.sequence, 0, EDEADSRCDST, 0, 0),
    );
  }

  /** The container that a call was sent to is lost. Had the partner moved away before, the call may live on there. */
  verify(caller: LocalProcess): void {
    if (caller.callKind === CallKind.AwaitBind) {
      this.#parts.rendezvous.reroute(caller);
      return;
    }
    const target = caller.callTarget;
    if (isSystemEndpoint(target)) {
      this.#parts.rendezvous.fail(caller);
    } else if (this.#parts.table.find(target) !== undefined) {
      this.verified(caller, this.#parts.index);
    } else if (this.#parts.index === this.#parts.home) {
      this.verified(caller, this.#parts.places.directory.get(target)?.index ?? -1);
    } else if (this.#parts.places.mayAskHome()) {
      caller.isVerifying = true;
      this.#parts.places.ask(target);
    } else {
      this.#parts.rendezvous.fail(caller);
    }
  }

  verified(caller: LocalProcess, index: number): void {
    caller.isVerifying = false;
    if (index < 0 || (index !== this.#parts.index && !this.#parts.places.up.has(index))) {
      this.#parts.rendezvous.fail(caller);
      return;
    }
    if (caller.phase === Phase.Receiving) {
      this.#parts.rendezvous.reroute(caller);
      return;
    }
    caller.sentTo = index;
    this.probe(caller, true);
  }

  /** Asks the partner's kernel whether the call waits there. */
  probe(caller: LocalProcess, isFinal: boolean): void {
    if (caller.callKind === CallKind.AwaitBind) {
      this.#parts.rendezvous.reroute(caller);
      return;
    }
    const { endpoint, callTarget, sequence, epoch, sentTo } = caller;
    if (caller.phase === Phase.Receiving) return;
    if (sentTo === this.#parts.index) {
      const target = this.#parts.table.find(callTarget);
      const waits =
        target?.queue.get(endpoint)?.sequence === sequence || target?.owed.get(endpoint) === sequence;
      if (waits) caller.trail = [this.#parts.index];
      else if (isFinal) this.#parts.rendezvous.fail(caller);
    } else if (sentTo !== LOCATING && this.#parts.places.up.has(sentTo)) {
      this.#parts.places.emit(
        sentTo,
        makeFrame(FrameKind.Probe, isFinal ? FINAL : 0, endpoint, callTarget, sequence, epoch, 0, 0, 0),
      );
    } else if (sentTo !== LOCATING) {
      this.#parts.rendezvous.fail(caller);
    }
  }
}

/** Frames of a lost container say nothing any more, besides a reply, which was given. */
function forgetHeld(process: LocalProcess, peer: number): void {
  if (process.held.length === 0) return;
  process.held = process.held.filter((h) => h.peer !== peer || isServed(kindOf(h.frame)));
  for (const held of process.held) if (held.peer === peer) held.peer = LOST;
}
