import { type Endpoint, isServerEndpoint } from './endpoint.js';
import { FrameKind, makeFrame, readUnsigned } from './frame.js';
import { CallKind, LOCATING, type LocalProcess, Phase } from './local-process.js';
import { Message } from './message.js';
import type { Parts } from './parts.js';

type PlaceRow = readonly [endpoint: number, index: number, epoch: number];

/**
 * The servers of a DRVM move to another container, with the authority over places.
 *
 *   former home                      next home                     every other container
 *   pauseServers: calls wait
 *   barrier: every reply is taken ◀───────────────────────────────▶
 *   (their state is packed)  ──────▶ bind + pauseServers: calls that come wait
 *   dropServers(next) ─────────────▶ becomeHome, resumeServers ───▶ setHome: calls sent to the former go again
 *
 * Why no call is lost and none is done twice: a server answers within the call, so a paused one has answered all that it
 * took (owedByServers is 0). After the barrier those answers have arrived. So a call that is still outstanding then, and
 * was sent to the former home, was not taken: it waits there and goes down with its queue, and its own kernel sends
 * it anew, once, when it hears of the next home; to one that is bound already.
 */
export class HomeChange {
  readonly #parts: Parts;
  readonly #barriers = new Map<number, { readonly waiting: Set<number>; readonly done: () => void }>();
  #nextBarrier = 1;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  setHome(index: number): void {
    const former = this.#parts.home;
    if (index === former) return;
    this.#parts.home = index;
    if (former === this.#parts.index) this.#parts.bindWaits.clear();
    this.#askAgain();
    this.#sendAgain(former);
  }

  pauseServers(): void {
    for (const server of this.#servers()) server.isBusy = true;
  }

  resumeServers(): void {
    for (const server of this.#servers()) server.isBusy = false;
    for (const server of this.#servers()) this.#parts.rendezvous.drain(server);
  }

  putBack(endpoint: Endpoint, caller: Endpoint, message: Message, data: Uint8Array): boolean {
    const server = this.#parts.table.find(endpoint);
    const sequence = server?.owed.get(caller);
    if (server === undefined || sequence === undefined) return false;
    server.owed.delete(caller);
    const kept = new Message();
    kept.copyFrom(message);
    kept.words[0] = caller;
    const waiting = { source: caller, sequence, expectsReply: true, isPost: false, message: kept, data };
    server.queue.set(caller, waiting);
    return true;
  }

  owedByServers(): number {
    return this.#servers().reduce((sum, server) => sum + server.owed.size, 0);
  }

  dropServers(to: number = this.#parts.home): void {
    const { table, index } = this.#parts;
    for (const server of this.#servers()) table.leave(server);
    if (to !== this.#parts.home) this.setHome(to);
    else this.#sendAgain(index);
  }

  becomeHome(places: readonly PlaceRow[]): void {
    const former = this.#parts.home;
    this.#parts.home = this.#parts.index;
    this.#parts.places.directory.replace(places);
    this.#askAgain();
    if (former !== this.#parts.index) this.#sendAgain(former);
  }

  // ── barriers ────────────────────────────────────────────────────────────────────────────────────────────────────

  barrier(done: () => void): void {
    const id = this.#nextBarrier++ >>> 0;
    const waiting = new Set(this.#parts.places.up);
    if (waiting.size === 0) {
      done();
      return;
    }
    this.#barriers.set(id, { waiting, done });
    for (const peer of waiting)
      this.#parts.places.emit(peer, makeFrame(FrameKind.Barrier, 0, 0, 0, 0, 0, id, 0, 0));
  }

  answerBarrier(peer: number, frame: Uint8Array): void {
    const id = readUnsigned(frame, 20);
    this.#parts.places.emit(peer, makeFrame(FrameKind.BarrierAnswer, 0, 0, 0, 0, 0, id, 0, 0));
  }

  takeBarrierAnswer(peer: number, frame: Uint8Array): void {
    this.#reached(peer, readUnsigned(frame, 20));
  }

  peerLost(peer: number): void {
    for (const id of [...this.#barriers.keys()]) this.#reached(peer, id);
  }

  #reached(peer: number, id: number): void {
    const barrier = this.#barriers.get(id);
    if (barrier === undefined || !barrier.waiting.delete(peer) || barrier.waiting.size > 0) return;
    this.#barriers.delete(id);
    barrier.done();
  }

  // ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #servers(): LocalProcess[] {
    return [...this.#parts.table.processes].filter(
      ({ isServer, endpoint }) => isServer && isServerEndpoint(endpoint),
    );
  }

  /** Questions that the former home has not answered go to the present one, or are answered here. */
  #askAgain(): void {
    const { places, home, index } = this.#parts;
    for (const endpoint of [...places.asked]) {
      const place = places.directory.get(endpoint);
      if (home === index) places.takeLocation(endpoint, place?.index ?? -1, place?.epoch ?? 0);
      else if (!places.up.has(home)) places.takeLocation(endpoint, -1, 0);
      else places.emit(home, makeFrame(FrameKind.Locate, 0, 0, endpoint, 0, 0, 0, 0, 0));
    }
  }

  /** Calls to servers that were sent to `former` and are not answered. */
  #sendAgain(former: number): void {
    for (const caller of [...this.#parts.table.processes]) {
      const isCall = caller.phase === Phase.Outstanding || caller.phase === Phase.Receiving;
      const isOfHome = isServerEndpoint(caller.callTarget) || caller.callKind === CallKind.AwaitBind;
      if (!isCall || caller.sentTo !== former || !isOfHome) continue;
      if (caller.isExtracted) {
        caller.sentTo = LOCATING;
        caller.needsRouting = true;
        continue;
      }
      // Bound here already: it waits at the server that will answer it.
      if (this.#waitsHere(caller)) continue;
      caller.refutedIndex = -1;
      caller.isVerifying = false;
      this.#parts.rendezvous.reroute(caller);
    }
  }

  #waitsHere({ callTarget, endpoint, sequence }: LocalProcess): boolean {
    return this.#parts.table.find(callTarget)?.queue.get(endpoint)?.sequence === sequence;
  }
}
