import { fixedIndexOf, MAX_SLOTS } from './endpoint.js';

/** Where an endpoint lives. */
export interface Place {
  index: number;
  /** Grows with each migration; an older claim never replaces a newer one. */
  epoch: number;
  /** Where it lived before; frames that it sent from there may still be on their way. -1: none known. */
  previous: number;
  /** The greatest epoch under which it was heard to begin or cancel a call: what is older is over. */
  heardEpoch: number;
}

/** Places cached beyond this push out the oldest (not at home, where the directory is the authority). */
const MAX_CACHED_PLACES = 2 * MAX_SLOTS;

/**
 * Endpoint -> container. Home's is the authority and complete; others' are caches, refreshed by asking home.
 * Tasks and servers have fixed places and are not entered.
 */
export class Directory {
  readonly #places = new Map<number, Place>();

  constructor(readonly isAuthority: boolean) {}

  get(endpoint: number): Place | undefined {
    return this.#places.get(endpoint);
  }

  indexOf(endpoint: number): number | undefined {
    return fixedIndexOf(endpoint) ?? this.#places.get(endpoint)?.index;
  }

  /** @returns false when a newer or equally new place is known already, which stays. */
  set(endpoint: number, index: number, epoch: number): boolean {
    if (fixedIndexOf(endpoint) !== undefined) return false;
    const known = this.#places.get(endpoint);
    if (known === undefined) {
      if (!this.isAuthority && this.#places.size >= MAX_CACHED_PLACES) {
        for (const oldest of this.#places.keys()) {
          this.#places.delete(oldest);
          break;
        }
      }
      this.#places.set(endpoint, { index, epoch, previous: -1, heardEpoch: 0 });
      return true;
    }
    if (epoch < known.epoch || (epoch === known.epoch && index !== known.index)) return false;
    if (index !== known.index) known.previous = known.index;
    known.index = index;
    known.epoch = epoch;
    return true;
  }

  forget(endpoint: number): void {
    this.#places.delete(endpoint);
  }

  /** Drops what is cached of a container that is lost. */
  forgetContainer(index: number): void {
    for (const [endpoint, place] of this.#places) if (place.index === index) this.#places.delete(endpoint);
  }
}
