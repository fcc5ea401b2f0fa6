/** Delays before connecting again: doubled each time up to a bound, spread so that a cluster does not come back at once. */
export const FIRST_DELAY_MS = 200;
export const MAX_DELAY_MS = 10_000;
/** A credential that was refused will hardly be accepted in a second. */
export const REFUSED_DELAY_MS = 60_000;

export class ReconnectPolicy {
  #tries = 0;

  constructor(private readonly random: () => number = Math.random) {}

  /** Between half of the delay and all of it. */
  next(wasRefused: boolean): number {
    const delayMs = wasRefused
      ? REFUSED_DELAY_MS
      : Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#tries++);
    return delayMs * (0.5 + this.random() / 2);
  }

  reset(): void {
    this.#tries = 0;
  }
}
