/**
 * What this process does every so often, one round at a time: a turn that comes while a round is under way is passed over.
 * A round that fails is told, and the next one comes all the same.
 */
export class Recurring {
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | null = null;

  /**
   * @param work what is done in a round; its signal aborts when it stops
   * @param onError is told why a round failed, but not of one that was ended by `stop`
   */
  constructor(
    private readonly everyMs: number,
    private readonly work: (signal: AbortSignal) => Promise<unknown>,
    private readonly onError: (error: Error) => void,
  ) {}

  /** Aborts when it stops: for what a round has begun and does not wait for. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** The first round comes after `everyMs`. */
  start(): void {
    if (this.signal.aborted) return;
    this.#timer ??= setInterval(() => void this.now(), this.everyMs).unref();
  }

  /** A round at once, or the end of the one that is under way. Does not throw. Once it has stopped, there is none. */
  now(): Promise<void> {
    if (this.signal.aborted) return this.#round ?? Promise.resolve();
    this.#round ??= this.#once().finally(() => {
      this.#round = null;
    });
    return this.#round;
  }

  /** No further round; resolves when the one under way has ended. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stop.abort(new Error('the API is going down'));
    await this.#round;
  }

  async #once(): Promise<void> {
    try {
      await this.work(this.signal);
    } catch (error) {
      if (!this.signal.aborted) this.onError(error instanceof Error ? error : new Error(String(error)));
    }
  }
}
