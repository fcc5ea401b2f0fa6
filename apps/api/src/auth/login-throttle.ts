import { DrvsError } from '@drvs/contracts';

export const MAX_FAILURES_PER_ACCOUNT = 8;
const MAX_FAILURES_PER_ADDRESS = 40;
export const FAILURE_WINDOW_MS = 5 * 60_000;
/** Keys remembered at most; the oldest go first. An attacker who fills it from many addresses still meets argon2. */
const MAX_KEYS = 20_000;

/**
 * Counts failed sign-ins by account-and-address and by address over a sliding window. Not by account alone: then
 * anybody could lock anybody out. Pure but for the clock it is given.
 */
export class LoginThrottle {
  readonly #failures = new Map<string, number[]>();

  constructor(private readonly now: () => number = Date.now) {}

  /** @throws DrvsError TooManyRequests with `retryAfterSeconds`. */
  check(name: string, address: string): void {
    const wait = Math.max(
      this.#waitMs(`account:${name}@${address}`, MAX_FAILURES_PER_ACCOUNT),
      this.#waitMs(`address:${address}`, MAX_FAILURES_PER_ADDRESS),
    );
    if (wait <= 0) return;
    const retryAfterSeconds = Math.ceil(wait / 1000);
    throw new DrvsError('TooManyRequests', 'too many failed sign-ins from here', {
      hint: `Wait ${retryAfterSeconds} s and try again; an administrator can set a new password.`,
      details: { retryAfterSeconds },
    });
  }

  failed(name: string, address: string): void {
    for (const key of [`account:${name}@${address}`, `address:${address}`]) {
      const recent = this.#recent(key);
      recent.push(this.now());
      this.#failures.delete(key);
      this.#failures.set(key, recent);
    }
    while (this.#failures.size > MAX_KEYS) {
      const oldest = this.#failures.keys().next().value;
      if (oldest === undefined) break;
      this.#failures.delete(oldest);
    }
  }

  succeeded(name: string, address: string): void {
    this.#failures.delete(`account:${name}@${address}`);
  }

  #recent(key: string): number[] {
    const since = this.now() - FAILURE_WINDOW_MS;
    return (this.#failures.get(key) ?? []).filter((at) => at > since);
  }

  #waitMs(key: string, limit: number): number {
    const recent = this.#recent(key);
    const first = recent.at(-limit);
    return first === undefined ? 0 : first + FAILURE_WINDOW_MS - this.now();
  }
}
