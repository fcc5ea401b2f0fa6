/**
 * Token buckets by name. Pure but for the clock that they are given: each begins full (`burst`) and fills by `perSecond`.
 */
export interface BucketRate {
  perSecond: number;
  burst: number;
}

export interface BucketState {
  /** Whole requests that may come at once. */
  remaining: number;
  /** Seconds until there is one again; 0 when there is. */
  retryAfterSeconds: number;
}

interface Bucket {
  tokens: number;
  /** Milliseconds. */
  at: number;
}

/** Buckets remembered at most; the one that was not used for longest goes first, and begins full when it comes back. */
const MAX_BUCKETS = 50_000;

export class TokenBuckets {
  readonly #buckets = new Map<string, Bucket>();

  constructor(
    private readonly now: () => number = () => performance.now(),
    private readonly maxBuckets = MAX_BUCKETS,
  ) {}

  /** Without taking anything. */
  look(name: string, rate: BucketRate): BucketState {
    return stateOf(this.#fill(name, rate).tokens, rate);
  }

  /** Takes one, which must be there (see `look`). */
  take(name: string, rate: BucketRate): BucketState {
    const bucket = this.#fill(name, rate);
    bucket.tokens -= 1;
    return stateOf(bucket.tokens, rate);
  }

  #fill(name: string, { perSecond, burst }: BucketRate): Bucket {
    const now = this.now();
    const bucket = this.#buckets.get(name);
    if (bucket) {
      // A clock that was set back fills nothing.
      const grown = bucket.tokens + (Math.max(0, now - bucket.at) / 1_000) * perSecond;
      bucket.tokens = Math.min(burst, grown);
      bucket.at = now;
      return bucket;
    }
    while (this.#buckets.size >= this.maxBuckets) this.#dropOldest();
    const made = { tokens: burst, at: now };
    this.#buckets.set(name, made);
    return made;
  }

  /** The order of the map is that of making, not of use: of a few of the first, the one that was not used for longest. */
  #dropOldest(): void {
    const looked: [string, Bucket][] = [];
    for (const entry of this.#buckets) if (looked.push(entry) >= 8) break;
    const [name] = looked.reduce((a, b) => (a[1].at <= b[1].at ? a : b));
    this.#buckets.delete(name);
  }
}

function stateOf(tokens: number, { perSecond }: BucketRate): BucketState {
  return {
    remaining: Math.max(0, Math.floor(tokens)),
    retryAfterSeconds: tokens >= 1 ? 0 : (1 - tokens) / perSecond,
  };
}
