import { describe, expect, test } from '@jest/globals';
import { TokenBuckets } from './token-buckets.js';

const RATE = { perSecond: 2, burst: 3 };

describe('a token bucket', () => {
  test('begins full, runs empty, and fills by its rate and not beyond', () => {
    let now = 0;
    const buckets = new TokenBuckets(() => now);
    expect([1, 2, 3].map(() => buckets.take('a', RATE).remaining)).toEqual([2, 1, 0]);
    expect(buckets.look('a', RATE)).toEqual({ remaining: 0, retryAfterSeconds: 0.5 });
    now = 250;
    expect(buckets.look('a', RATE).retryAfterSeconds).toBe(0.25);
    now = 500;
    expect(buckets.look('a', RATE)).toEqual({ remaining: 1, retryAfterSeconds: 0 });
    now = 1_000_000;
    expect(buckets.look('a', RATE).remaining).toBe(3);
  });

  test('is one’s own, and a clock that is set back fills nothing', () => {
    let now = 10_000;
    const buckets = new TokenBuckets(() => now);
    for (let taken = 0; taken < 3; taken++) buckets.take('a', RATE);
    expect(buckets.look('b', RATE).remaining).toBe(3);
    now = 0;
    expect(buckets.look('a', RATE).remaining).toBe(0);
  });

  test('of which there are many are not remembered without end', () => {
    let now = 0;
    const buckets = new TokenBuckets(() => now, 4);
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) {
      now += 1;
      buckets.take(name, { perSecond: 0.001, burst: 1 });
    }
    // The first ones have gone and begin full; the last ones are empty still.
    expect(buckets.look('f', { perSecond: 0.001, burst: 1 }).remaining).toBe(0);
    expect(buckets.look('a', { perSecond: 0.001, burst: 1 }).remaining).toBe(1);
  });
});
