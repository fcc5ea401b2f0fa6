import type { LocalProcess } from './local-process.js';

/**
 * The ends of timed calls, soonest first: a binary heap that holds each process once at most, so that it is bounded by
 * the processes bound here, however many calls they make. O(log n) to set and to clear, no allocation.
 */
export class Deadlines {
  readonly #heap: LocalProcess[] = [];

  /** Infinite when no call is timed. */
  get nextMs(): number {
    return this.#heap[0]?.deadlineMs ?? Number.POSITIVE_INFINITY;
  }

  set(process: LocalProcess, atMs: number): void {
    this.drop(process);
    process.deadlineMs = atMs;
    this.#heap.push(process);
    this.#rise(process, this.#heap.length - 1);
  }

  /** The call has ended. */
  clear(process: LocalProcess): void {
    this.drop(process);
    process.deadlineMs = Number.POSITIVE_INFINITY;
  }

  /** Watches it no longer; the process keeps its time. */
  drop(process: LocalProcess): void {
    const at = process.deadlineAt;
    if (at < 0) return;
    process.deadlineAt = -1;
    const last = this.#heap.pop()!;
    if (last === process) return;
    this.#rise(last, at);
    if (last.deadlineAt === at) this.#sink(last, at);
  }

  /** Takes out the next process whose time is over. */
  due(nowMs: number): LocalProcess | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.deadlineMs > nowMs) return undefined;
    this.clear(first);
    return first;
  }

  #put(process: LocalProcess, at: number): void {
    this.#heap[at] = process;
    process.deadlineAt = at;
  }

  #rise(process: LocalProcess, from: number): void {
    let at = from;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = this.#heap[above]!;
      if (parent.deadlineMs <= process.deadlineMs) break;
      this.#put(parent, at);
      at = above;
    }
    this.#put(process, at);
  }

  #sink(process: LocalProcess, from: number): void {
    let at = from;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= this.#heap.length) break;
      const right = below + 1;
      if (right < this.#heap.length && this.#heap[right]!.deadlineMs < this.#heap[below]!.deadlineMs)
        below = right;
      const child = this.#heap[below]!;
      if (child.deadlineMs >= process.deadlineMs) break;
      this.#put(child, at);
      at = below;
    }
    this.#put(process, at);
  }
}
