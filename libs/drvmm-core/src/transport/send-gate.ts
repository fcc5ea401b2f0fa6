import { TokenBucket } from './token-bucket.js';

/** Who sends through the gate: told to write what waits. It may ask for room again while it does. */
export interface GateUser {
  flush(): void;
}

export interface GateClock {
  /** Milliseconds; never goes back. */
  nowMs(): number;
  /** Calls gate.wake() once, after so long; instead of what was asked before. */
  wakeIn(ms: number): void;
}

/** What a container has sent to its peers since it started. */
export interface SendCounters {
  /** Headers and bodies of frames, before TLS. */
  sentBytes: number;
  /** How often the limit made frames wait, and for how long in all. */
  heldTimes: number;
  heldMs: number;
}

/**
 * One rate for all the links of a container. Who finds no room waits in line, and while anybody waits all who come later
 * line up behind; each turn gives at least one frame, then its user goes to the end. Without a limit nobody waits,
 * and asking costs one comparison.
 */
export class SendGate<User extends GateUser> {
  readonly #bucket = new TokenBucket();
  #line = new Set<User>();
  #isTurn = false;
  #heldSinceMs = 0;
  #sentBytes = 0;
  #heldTimes = 0;
  #heldMs = 0;

  constructor(private readonly clock: GateClock) {}

  /** 0: no limit. Holds at once, also for those who wait. */
  setRate(bytesPerSecond: number): void {
    const nowMs = this.clock.nowMs();
    this.#bucket.setRate(bytesPerSecond, nowMs);
    if (this.#line.size > 0) this.clock.wakeIn(this.#bucket.waitMs(nowMs));
  }

  /** Bytes the user may write now. 0: none, and its flush is called when its turn comes. */
  room(user: User): number {
    if (!this.#bucket.isLimited) return Number.POSITIVE_INFINITY;
    const nowMs = this.clock.nowMs();
    if (this.#isTurn || this.#line.size === 0) {
      const room = this.#bucket.room(nowMs);
      if (room > 0) return room;
    }
    if (this.#line.size === 0 && !this.#isTurn) {
      this.#heldTimes++;
      this.#heldSinceMs = nowMs;
      this.clock.wakeIn(this.#bucket.waitMs(nowMs));
    }
    this.#line.add(user);
    return 0;
  }

  /** These have been written. What may not wait (acknowledgements, signs of life) is written without asking, and counts. */
  sent(bytes: number): void {
    this.#sentBytes += bytes;
    this.#bucket.spend(bytes);
  }

  wake(): void {
    const line = [...this.#line];
    if (line.length === 0) return;
    this.#line.clear();
    this.#isTurn = true;
    let served = 0;
    while (served < line.length && this.#bucket.room(this.clock.nowMs()) > 0) line[served++]!.flush();
    this.#isTurn = false;
    const again = this.#line;
    this.#line = new Set(line.slice(served));
    for (const user of again) this.#line.add(user);
    const nowMs = this.clock.nowMs();
    if (this.#line.size > 0) this.clock.wakeIn(this.#bucket.waitMs(nowMs));
    else this.#heldMs += nowMs - this.#heldSinceMs;
  }

  /** The user has nothing to send any more. */
  leave(user: User): void {
    if (this.#line.delete(user) && this.#line.size === 0) {
      this.#heldMs += this.clock.nowMs() - this.#heldSinceMs;
    }
  }

  get counters(): SendCounters {
    const waitingMs = this.#line.size > 0 ? this.clock.nowMs() - this.#heldSinceMs : 0;
    return { sentBytes: this.#sentBytes, heldTimes: this.#heldTimes, heldMs: this.#heldMs + waitingMs };
  }
}
