/**
 * When a container that died is started again. Pure: the times come from the caller.
 *
 * The delay doubles with each death in a row up to a bound; a container that has run for a while starts afresh. After
 * GIVE_UP_AFTER deaths in a row it counts as failed and is tried again only now and then, so that a container that
 * cannot start does not use up its node.
 */
export const FIRST_DELAY_MS = 250;
export const MAX_DELAY_MS = 30_000;
export const GIVE_UP_AFTER = 8;
export const FAILED_DELAY_MS = 300_000;
/** Running this long counts as healthy again. */
export const HEALTHY_AFTER_MS = 60_000;

export interface RestartDecision {
  delayMs: number;
  hasGivenUp: boolean;
}

export class RestartPolicy {
  #deathsInARow = 0;

  died(ranForMs: number): RestartDecision {
    if (ranForMs >= HEALTHY_AFTER_MS) this.#deathsInARow = 0;
    this.#deathsInARow++;
    if (this.#deathsInARow >= GIVE_UP_AFTER) return { delayMs: FAILED_DELAY_MS, hasGivenUp: true };
    const delayMs = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (this.#deathsInARow - 1));
    return { delayMs, hasGivenUp: false };
  }

  reset(): void {
    this.#deathsInARow = 0;
  }
}
