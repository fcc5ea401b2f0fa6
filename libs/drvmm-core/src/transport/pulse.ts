import { performance } from 'node:perf_hooks';

/** The longest that a Node timer waits. */
const LONGEST_MS = 2_147_483_647;

/** Ticks a core without I/O at its deadline: to be told after each of its steps, which costs a comparison. */
export class Pulse {
  readonly #deadlineMs: () => number;
  readonly #tick: () => void;
  #timer: NodeJS.Timeout | null = null;
  #immediate: NodeJS.Immediate | null = null;
  #timerMs = Number.POSITIVE_INFINITY;
  #isStopped = false;

  constructor(deadlineMs: () => number, tick: () => void) {
    this.#deadlineMs = deadlineMs;
    this.#tick = tick;
  }

  /** The deadline may have changed. One that moved away is looked at again when the timer fires. */
  set(): void {
    const dueMs = this.#deadlineMs();
    if (this.#isStopped || this.#immediate !== null || dueMs >= this.#timerMs) return;
    const waitMs = dueMs - performance.now();
    if (waitMs <= 0) {
      // After what has come in this turn of the event loop: it is answered together.
      this.#immediate = setImmediate(() => {
        this.#immediate = null;
        this.#fire();
      });
      return;
    }
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerMs = dueMs;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.#timerMs = Number.POSITIVE_INFINITY;
        this.#fire();
      },
      Math.min(LONGEST_MS, Math.ceil(waitMs)),
    );
  }

  stop(): void {
    this.#isStopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#immediate !== null) clearImmediate(this.#immediate);
  }

  #fire(): void {
    if (this.#isStopped) return;
    if (performance.now() >= this.#deadlineMs()) this.#tick();
    this.set();
  }
}
