import { describe, expect, test } from '@jest/globals';
import { expectedOf } from './demand-forecast.js';

const HOUR_MS = 3_600_000;
const NOW = Date.UTC(2026, 0, 9, 8, 30);

/** A week in which the demand jumps at nine in the morning. */
const week = Array.from({ length: 7 * 24 + 1 }, (_, back) => {
  const atMs = Math.floor(NOW / HOUR_MS) * HOUR_MS - back * HOUR_MS;
  return { atMs, peakMilli: new Date(atMs).getUTCHours() >= 9 ? 8_000 : 1_000 };
});

describe('what is expected of the demand', () => {
  test('is what the hours to come brought on the days before', () => {
    expect(expectedOf(week, NOW, 1)).toBe(8_000);
    expect(expectedOf(week, NOW - 6 * HOUR_MS, 2)).toBe(1_000);
  });

  test('follows a day that is busier than the others, within bounds', () => {
    const busier = week.map((hour, back) => (back === 0 ? { ...hour, peakMilli: 1_200 } : hour));
    expect(expectedOf(busier, NOW, 1)).toBe(9_600);
    const odd = week.map((hour, back) => (back === 0 ? { ...hour, peakMilli: 100_000 } : hour));
    expect(expectedOf(odd, NOW, 1)).toBe(12_000);
  });

  test('is not known without a past', () => {
    expect(expectedOf([], NOW, 1)).toBeNull();
    expect(expectedOf(week.slice(0, 1), NOW, 1)).toBeNull();
  });
});
