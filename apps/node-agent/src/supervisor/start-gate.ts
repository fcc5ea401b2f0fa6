/**
 * Lets so many starts through at a time, in the order in which they came. After a host's boot an agent has all its
 * containers to start; all at once they would take each other's time until none is up in time.
 */
export class StartGate {
  readonly #waiting: (() => void)[] = [];

  constructor(private free: number) {}

  /** @throws the signal's reason when it aborts while waiting. */
  async run<T>(work: () => Promise<T>, aborted: AbortSignal): Promise<T> {
    await this.#enter(aborted);
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.free++;
    }
  }

  async #enter(aborted: AbortSignal): Promise<void> {
    aborted.throwIfAborted();
    if (this.free > 0) {
      this.free--;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        reject(aborted.reason);
      };
      const enter = () => {
        aborted.removeEventListener('abort', onAbort);
        resolve();
      };
      aborted.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(enter);
    });
  }
}
