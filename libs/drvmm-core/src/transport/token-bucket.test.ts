import { describe, expect, it } from '@jest/globals';
import { TokenBucket } from './token-bucket.js';

const RATE = 1_000_000;

function bucketAt(rate: number): TokenBucket {
  const bucket = new TokenBucket();
  bucket.setRate(rate, 0);
  return bucket;
}

describe('a token bucket', () => {
  it('has room for anything while it has no limit', () => {
    const bucket = new TokenBucket();
    bucket.spend(1e12);
    expect(bucket.room(0)).toBe(Number.POSITIVE_INFINITY);
    expect(bucket.waitMs(0)).toBe(0);
  });

  it('lets a tenth of a second leave at once, and never saves more', () => {
    const bucket = bucketAt(RATE);
    expect(bucket.room(0)).toBe(100_000);
    expect(bucket.room(3_600_000)).toBe(100_000);
  });

  it('owes what a frame takes beyond its room, and has none until that is paid', () => {
    const bucket = bucketAt(RATE);
    bucket.spend(300_000);
    expect(bucket.room(0)).toBe(0);
    expect(bucket.room(200)).toBe(0);
    expect(bucket.waitMs(200)).toBeCloseTo(0.001);
    expect(bucket.room(201)).toBe(1_000);
  });

  it('keeps to the rate whatever sizes leave', () => {
    const bucket = bucketAt(RATE);
    let sent = 0;
    let longest = 0;
    for (let nowMs = 0; nowMs < 10_000; nowMs += 7) {
      while (bucket.room(nowMs) > 0) {
        const size = 1 + ((sent * 7_919) % 65_536);
        longest = Math.max(longest, size);
        bucket.spend(size);
        sent += size;
      }
      expect(sent).toBeLessThanOrEqual(((nowMs + 100) * RATE) / 1_000 + longest);
    }
    expect(sent).toBeGreaterThan(9.9 * RATE);
  });

  it('pays what it owes at the new rate when the rate changes, and forgets it without one', () => {
    const bucket = bucketAt(RATE);
    bucket.spend(1_100_000);
    expect(bucket.waitMs(0)).toBeCloseTo(1_000, 1);
    bucket.setRate(10 * RATE, 0);
    expect(bucket.waitMs(0)).toBeCloseTo(100, 1);
    bucket.setRate(0, 0);
    expect(bucket.room(0)).toBe(Number.POSITIVE_INFINITY);
    bucket.setRate(RATE, 5);
    expect(bucket.room(5)).toBe(100_000);
  });

  it('takes a smaller rate at once, with what may leave at once', () => {
    const bucket = bucketAt(RATE);
    bucket.setRate(RATE / 10, 0);
    expect(bucket.room(0)).toBe(10_000);
  });

  it('gives nothing for a time that was before', () => {
    const bucket = bucketAt(RATE);
    bucket.spend(100_000);
    expect(bucket.room(50)).toBe(50_000);
    bucket.spend(50_000);
    expect(bucket.room(20)).toBe(0);
    expect(bucket.room(50)).toBe(0);
  });
});
