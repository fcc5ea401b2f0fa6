/** What may leave at once after a pause, as time at the rate. */
const BURST_MS = 100;

/**
 * Bytes that may leave at a rate. The whole of a frame may leave while a single byte is left: what it takes beyond that is
 * owed, and nothing is left until it is paid. So frames longer than the burst pass, and the rate still holds.
 *
 * Pure: time comes as an argument, in milliseconds of a clock that never goes back. Nothing is allocated after construction.
 *
 * Invariant: within any span of `t` ms at one rate, no more leaves than `rate × (t + BURST_MS)` and one frame.
 */
export class TokenBucket {
  #bytesPerMs = 0;
  #mostBytes = 0;
  #bytes = 0;
  #atMs = 0;

  get isLimited(): boolean {
    return this.#bytesPerMs > 0;
  }

  /** 0: no limit. What is owed under the former rate is paid at the new one; without a limit it is forgotten. */
  setRate(bytesPerSecond: number, nowMs: number): void {
    const wasLimited = this.isLimited;
    this.#refill(nowMs);
    this.#bytesPerMs = bytesPerSecond / 1_000;
    this.#mostBytes = this.#bytesPerMs * BURST_MS;
    this.#bytes = wasLimited ? Math.min(this.#bytes, this.#mostBytes) : this.#mostBytes;
  }

  /** Bytes that may leave now; 0 when none, infinite without a limit. */
  room(nowMs: number): number {
    if (this.#bytesPerMs === 0) return Number.POSITIVE_INFINITY;
    this.#refill(nowMs);
    return Math.max(0, Math.floor(this.#bytes));
  }

  /** These have left, with or without room for them. */
  spend(bytes: number): void {
    if (this.#bytesPerMs > 0) this.#bytes -= bytes;
  }

  /** Milliseconds until there is room; 0 when there is. */
  waitMs(nowMs: number): number {
    if (this.#bytesPerMs === 0) return 0;
    this.#refill(nowMs);
    return Math.max(0, (1 - this.#bytes) / this.#bytesPerMs);
  }

  #refill(nowMs: number): void {
    if (nowMs <= this.#atMs) return;
    this.#bytes = Math.min(this.#mostBytes, this.#bytes + (nowMs - this.#atMs) * this.#bytesPerMs);
    this.#atMs = nowMs;
  }
}
