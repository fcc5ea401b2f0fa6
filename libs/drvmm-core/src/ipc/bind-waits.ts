import type { Endpoint } from './endpoint.js';
import { EAGAIN, EDEADSRCDST, EMIGRATE, ENOSYS, OK, SUSPENDED } from './errors.js';
import { COMPLETE_CALLS_SINCE, FrameKind, makeFrame, sequenceOf, sourceOf, targetOf } from './frame.js';
import { type LocalProcess, NO_BYTES } from './local-process.js';
import type { Parts } from './parts.js';
import { NOTHING } from './rendezvous.js';

/** Callers that may wait here for others to be bound; more are told EAGAIN. */
const MAX_BIND_WAITS = 16_384;

interface BindWait {
  readonly endpoint: number;
  readonly sequence: number;
}

/**
 * Who waits until an endpoint is bound (M3-IPC wait4bind).
 *
 *   caller's kernel ──AwaitBind──▶ home: waits until the endpoint has a place ──EMIGRATE, the place──▶ caller's kernel
 *                   ──AwaitBind──▶ that container: waits until the endpoint is bound there ──OK──▶
 *
 * Home knows a place before the process is bound there, so its word alone would let a message come too early.
 */
export class BindWaits {
  readonly #parts: Parts;
  /** By caller: it makes one call at a time. */
  readonly #waits = new Map<number, BindWait>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Brings the wait of `caller` to where it can be answered. OK: the endpoint is bound. */
  route(caller: LocalProcess): number {
    const { table, places, index, home } = this.#parts;
    const { endpoint, sequence, callTarget, epoch } = caller;
    if (table.find(callTarget) !== undefined) return OK;
    const place = places.directory.indexOf(callTarget) ?? home;
    caller.sentTo = place;
    if (place === index) return this.#keep(endpoint, callTarget, sequence);
    if (!places.up.has(place)) return EDEADSRCDST;
    if (!places.speaks(place, COMPLETE_CALLS_SINCE)) return ENOSYS;
    places.emit(place, makeFrame(FrameKind.AwaitBind, 0, endpoint, callTarget, sequence, epoch, 0, 0, 0));
    return SUSPENDED;
  }

  /** A frame AwaitBind whose source is believed. */
  take(frame: Uint8Array): void {
    const { table, places, index, rendezvous } = this.#parts;
    const [caller, target, sequence] = [sourceOf(frame), targetOf(frame) as Endpoint, sequenceOf(frame)];
    const place = places.directory.get(target);
    if (table.find(target) !== undefined) {
      rendezvous.settle(target, caller, sequence, OK);
    } else if (place !== undefined && place.index !== index && !table.arriving.has(target)) {
      rendezvous.settle(target, caller, sequence, EMIGRATE, place.index, place.epoch);
    } else {
      const status = this.#keep(caller, target, sequence);
      if (status !== SUSPENDED) rendezvous.settle(target, caller, sequence, status);
    }
  }

  #keep(caller: number, endpoint: number, sequence: number): number {
    if (this.#waits.size >= MAX_BIND_WAITS && !this.#waits.has(caller)) return EAGAIN;
    this.#waits.set(caller, { endpoint, sequence });
    return SUSPENDED;
  }

  /** The caller no longer waits. */
  forget(caller: number, sequence: number): void {
    if (this.#waits.get(caller)?.sequence === sequence) this.#waits.delete(caller);
  }

  /** The endpoint is bound here, or (home) has a place elsewhere. */
  placed(endpoint: number): void {
    if (this.#waits.size === 0) return;
    const { table, places, index, rendezvous } = this.#parts;
    const isHere = table.find(endpoint) !== undefined;
    const place = places.directory.get(endpoint);
    if (!isHere && (place === undefined || place.index === index)) return;
    for (const [caller, wait] of [...this.#waits]) {
      if (wait.endpoint !== endpoint) continue;
      this.#waits.delete(caller);
      if (isHere) rendezvous.settle(endpoint, caller, wait.sequence, OK);
      else rendezvous.settle(endpoint, caller, wait.sequence, EMIGRATE, place!.index, place!.epoch);
    }
  }

  /** Home is elsewhere now: callers ask there. */
  clear(): void {
    this.#waits.clear();
  }

  /** As `applyStatus` for a caller that waits so. */
  answered(caller: LocalProcess, status: number, hintIndex: number, hintEpoch: number, peer: number): void {
    const { places, rendezvous } = this.#parts;
    if (status !== EMIGRATE) {
      rendezvous.complete(caller, status > 0 ? EDEADSRCDST : status, caller.callTarget, NOTHING, NO_BYTES);
      return;
    }
    places.learn(caller.callTarget, hintIndex, hintEpoch, peer);
    rendezvous.reroute(caller);
  }
}
