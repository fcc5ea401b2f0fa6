import { fixedIndexOf, isSystemEndpoint, MAX_SLOTS } from './endpoint.js';

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
 * Tasks have fixed places, servers are at home: they are not entered.
 */
export class Directory {
  readonly #places = new Map<number, Place>();

  constructor(
    private readonly home: () => number,
    private readonly own: number,
  ) {}

  get isAuthority(): boolean {
    return this.home() === this.own;
  }

  get(endpoint: number): Place | undefined {
    return this.#places.get(endpoint);
  }

  indexOf(endpoint: number): number | undefined {
    return fixedIndexOf(endpoint, this.home()) ?? this.#places.get(endpoint)?.index;
  }

  /** @returns false when a newer or equally new place is known already, which stays. */
  set(endpoint: number, index: number, epoch: number): boolean {
    if (isSystemEndpoint(endpoint)) return false;
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

  /** This container becomes the authority: what is not among `places` is dead. */
  replace(places: readonly (readonly [endpoint: number, index: number, epoch: number])[]): void {
    const living = new Set(places.map(([endpoint]) => endpoint));
    for (const endpoint of this.#places.keys()) if (!living.has(endpoint)) this.#places.delete(endpoint);
    for (const [endpoint, index, epoch] of places) this.set(endpoint, index, epoch);
  }

  forget(endpoint: number): void {
    this.#places.delete(endpoint);
  }

  /** Drops what is cached of a container that is lost. */
  forgetContainer(index: number): void {
    for (const [endpoint, place] of this.#places) if (place.index === index) this.#places.delete(endpoint);
  }
}
