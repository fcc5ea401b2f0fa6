import { Directory } from './directory.js';
import { type Endpoint, isSystemEndpoint } from './endpoint.js';
import { EDEADSRCDST } from './errors.js';
import { FrameKind, kindOf, makeFrame, sequenceOf, sourceOf } from './frame.js';
import { LOCATING, Phase } from './local-process.js';
import type { Parts } from './parts.js';

/** How frames leave: reliable and in order per peer while its session lives (peerUp .. peerLost). */
export interface IpcNetwork {
  /** The frame belongs to the network from then on. */
  send(peer: number, frame: Uint8Array): void;
}

/** Frames of one source that wait until home has said where it is; legal sources have a handful at most. */
export const MAX_PARKED_PER_SOURCE = 256;
/** Sources that are being asked for at a time. */
export const MAX_PARKED_SOURCES = 16_384;
/** transmit() found no living container. */
export const UNREACHABLE = -2;

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

/**
 * Where everybody is: the directory, the containers that are up, and what waits until home has said where an
 * endpoint lives.
 */
export class Places {
  readonly directory: Directory;
  readonly up = new Set<number>();
  /** What version of the protocol the kernels that are up understand. */
  readonly versions = new Map<number, number>();
  readonly parkedOut = new Map<number, ParkedOut[]>();
  readonly parkedIn = new Map<number, ParkedIn[]>();
  readonly asked = new Set<number>();
  readonly #network: IpcNetwork;
  readonly #parts: Parts;

  constructor(parts: Parts, network: IpcNetwork) {
    this.#parts = parts;
    this.#network = network;
    this.directory = new Directory(() => parts.home, parts.index);
  }

  setLocation(endpoint: Endpoint, index: number, epoch: number): boolean {
    return this.directory.set(endpoint, index, epoch);
  }

  forgetLocation(endpoint: Endpoint): void {
    this.directory.forget(endpoint);
  }

  locate(endpoint: Endpoint): number | undefined {
    return this.#parts.table.find(endpoint) === undefined
      ? this.directory.indexOf(endpoint)
      : this.#parts.index;
  }

  epochOf(endpoint: Endpoint): number | undefined {
    return this.directory.get(endpoint)?.epoch;
  }

  isKnown(endpoint: number): boolean {
    return this.#parts.table.find(endpoint) !== undefined || this.directory.indexOf(endpoint) !== undefined;
  }

  /** The kernel of `peer` understands the frames of this version. */
  speaks(peer: number, version: number): boolean {
    return (this.versions.get(peer) ?? 0) >= version;
  }

  mayAskHome(): boolean {
    return this.#parts.index !== this.#parts.home && this.up.has(this.#parts.home);
  }

  /**
   * Sends a frame towards `target`, which is not here.
   * @returns the container it went to, LOCATING when home is asked first, UNREACHABLE.
   */
  transmit(target: number, frame: Uint8Array, refutedIndex = -1, refutedEpoch = 0): number {
    const place = refutedIndex === -1 ? this.directory.indexOf(target) : undefined;
    if (place !== undefined && place !== this.#parts.index) {
      if (!this.up.has(place)) return UNREACHABLE;
      this.emit(place, frame);
      return place;
    }
    const arriving = place === this.#parts.index ? this.#parts.table.arriving.get(target) : undefined;
    if (arriving !== undefined) {
      this.#parts.rendezvous.hold(arriving, this.#parts.index, frame);
      return this.#parts.index;
    }
    if (isSystemEndpoint(target) || !this.mayAskHome()) return UNREACHABLE;
    let parked = this.parkedOut.get(target);
    if (parked === undefined) {
      parked = [];
      this.parkedOut.set(target, parked);
    }
    parked.push({ frame, refutedIndex, refutedEpoch });
    this.ask(target);
    return LOCATING;
  }

  ask(endpoint: number): void {
    if (this.asked.has(endpoint)) return;
    this.asked.add(endpoint);
    this.emit(this.#parts.home, makeFrame(FrameKind.Locate, 0, 0, endpoint, 0, 0, 0, 0, 0));
  }

  emit(peer: number, frame: Uint8Array): void {
    this.#parts.counters.framesSent++;
    this.#network.send(peer, frame);
  }

  /** A hint of the container where the endpoint was. Home knows better. */
  learn(endpoint: number, index: number, epoch: number, peer: number): void {
    if (this.#parts.index === this.#parts.home || index < 0 || index > 1023) return;
    const place = this.directory.get(endpoint);
    if (place === undefined || place.index === peer) this.directory.set(endpoint, index, epoch);
  }

  answerLocate(peer: number, endpoint: number): void {
    const place = this.directory.get(endpoint);
    const index = place?.index ?? -1;
    const epoch = place?.epoch ?? 0;
    this.emit(peer, makeFrame(FrameKind.Location, 0, 0, endpoint, 0, 0, 0, epoch, index + 1));
  }

  /** Home has said where an endpoint is (index -1: nowhere): lets go what waited for it. */
  takeLocation(endpoint: number, index: number, epoch: number): void {
    this.asked.delete(endpoint);
    if (index > 1023) index = -1;
    const local = this.#parts.table.find(endpoint);
    if (index >= 0) this.directory.set(endpoint, index, epoch);
    else if (local === undefined) this.directory.forget(endpoint);
    const out = this.parkedOut.get(endpoint);
    this.parkedOut.delete(endpoint);
    for (const parked of out ?? []) this.#release(parked, endpoint, index);
    for (const caller of [...this.#parts.table.processes]) {
      if (caller.isVerifying && !caller.isExtracted && caller.callTarget === endpoint) {
        this.#parts.losses.verified(caller, index);
      }
    }
    const inward = this.parkedIn.get(endpoint);
    this.parkedIn.delete(endpoint);
    for (const { peer, frame } of inward ?? []) {
      if (this.up.has(peer) && this.#parts.delivery.speaksFor(peer, endpoint, frame) === true)
        this.#parts.delivery.dispatch(peer, frame);
      else this.#parts.delivery.refuse(peer, frame);
    }
  }

  #release(parked: ParkedOut, target: number, index: number): void {
    const { frame, refutedIndex, refutedEpoch } = parked;
    const place = this.directory.get(target);
    const isRefuted = place !== undefined && refutedIndex === place.index && place.epoch <= refutedEpoch;
    const isReachable =
      index >= 0 &&
      place !== undefined &&
      !isRefuted &&
      (place.index === this.#parts.index || this.up.has(place.index));
    const source = this.#parts.table.find(sourceOf(frame));
    const kind = kindOf(frame);
    if (kind === FrameKind.CopyFrom || kind === FrameKind.CopyTo) {
      const copy = this.#parts.copies.underWay.get(sequenceOf(frame));
      if (copy === undefined || copy.by !== source) return;
      if (isReachable && this.#parts.table.find(target) === undefined) {
        copy.sentTo = place.index;
        this.emit(place.index, frame);
      } else if (isReachable) {
        copy.sentTo = this.#parts.index;
        this.#parts.copies.resume(copy.granter);
      } else {
        this.#parts.copies.end(copy, EDEADSRCDST);
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
        this.#parts.rendezvous.reroute(source);
      } else {
        this.#parts.rendezvous.fail(source);
      }
      return;
    }
    if (!isReachable) this.#parts.counters.framesDropped++;
    else if (this.#parts.table.find(target) !== undefined)
      this.#parts.delivery.dispatch(this.#parts.index, frame);
    else this.emit(place.index, frame);
  }
}
