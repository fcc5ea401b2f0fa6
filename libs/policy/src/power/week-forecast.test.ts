import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type DemandHour, expectedDemand, mostWithin } from './week-forecast.js';

const HOUR = 3_600_000;
const MONDAY = 4 * 24 * HOUR; // The epoch was a Thursday.
/** A university: 8 vCPUs in the hours of lessons of weekdays, 1 else. */
const lessons = (hourMs: number): number => {
  const hour = Math.floor(hourMs / HOUR);
  const day = Math.floor((hour - MONDAY / HOUR) / 24) % 7;
  return day < 5 && hour % 24 >= 8 && hour % 24 < 18 ? 8_000 : 1_000;
};
const past = (weeks: number, untilMs: number, law = lessons): DemandHour[] =>
  Array.from({ length: weeks * 168 }, (_, back) => untilMs - (back + 1) * HOUR).map((hourMs) => ({
    hourMs,
    peakMilli: law(hourMs),
  }));
const start = MONDAY + 5 * 7 * 24 * HOUR;

describe('the forecast', () => {
  it('knows on Monday morning what Mondays are like, and on Saturday what Saturdays are', () => {
    const monday = start + 6 * HOUR;
    const expected = expectedDemand(past(2, monday), monday, 1_000, 6);
    expect(expected.map(({ cpuMilli }) => cpuMilli)).toEqual([1_000, 1_000, 8_000, 8_000, 8_000, 8_000]);
    expect(expected[2]).toMatchObject({ basis: 'same-hour-of-week', hourMs: start + 8 * HOUR });
    const saturday = start + (5 * 24 + 7) * HOUR;
    expect(expectedDemand(past(2, saturday), saturday, 1_000, 3).map(({ cpuMilli }) => cpuMilli)).toEqual([
      1_000, 1_000, 1_000,
    ]);
  });

  it('is not led astray by one odd hour of one week', () => {
    const now = start + 6 * HOUR;
    const odd = (factor: number) =>
      past(1, now).map((row) =>
        row.hourMs === now + 3 * HOUR - 168 * HOUR ? { ...row, peakMilli: row.peakMilli * factor } : row,
      );
    expect(expectedDemand(odd(100), now, 1_000, 4)[3]!.cpuMilli).toBeLessThanOrEqual(16_000);
    expect(expectedDemand(odd(0), now, 1_000, 4)[3]!.cpuMilli).toBeGreaterThanOrEqual(4_000);
  });

  it('follows the present within bounds, and less the further ahead', () => {
    const now = start + 9 * HOUR;
    const calm = expectedDemand(past(2, now), now, 1_000, 4).map(({ cpuMilli }) => cpuMilli);
    expect(calm[0]).toBe(5_600);
    expect(calm[1]).toBeLessThan(calm[2]!);
    expect(calm[3]).toBeLessThan(8_000);
    expect(expectedDemand(past(2, now), now, 80_000, 2).map(({ cpuMilli }) => cpuMilli)).toEqual([
      80_000, 11_200,
    ]);
  });

  it('says the present where there is no past, and that it does', () => {
    expect(expectedDemand([], start, 700, 2)).toEqual([
      { hourMs: start, cpuMilli: 700, basis: 'present' },
      { hourMs: start + HOUR, cpuMilli: 700, basis: 'present' },
    ]);
    const yesterday = past(1, start).slice(0, 24);
    expect(expectedDemand(yesterday, start, 1_000, 1)[0]!.basis).toBe('same-hour-of-day');
  });

  it('takes the most of the hours that a time touches', () => {
    const now = start + 7.9 * HOUR;
    const expected = expectedDemand(past(2, now), now, 1_000, 6);
    expect(mostWithin(expected, now, 60)).toBe(1_000);
    expect(mostWithin(expected, now, 600)).toBe(8_000);
    expect(mostWithin([], now, 600)).toBeNull();
  });

  it('depends neither on order nor on hours of the future, and is never negative or unbounded', () => {
    const row = fc.record({
      hourMs: fc.integer({ min: 0, max: 1e9 }).map((n) => n * 1_000),
      peakMilli: fc.integer({ min: 0, max: 1e6 }),
    });
    fc.assert(
      fc.property(fc.array(row, { maxLength: 300 }), fc.integer({ min: 0, max: 1e6 }), (rows, present) => {
        const now = 5e11;
        const most = Math.max(present, ...rows.map(({ peakMilli }) => peakMilli));
        const expected = expectedDemand(rows, now, present, 24);
        expect(expectedDemand([...rows].reverse(), now, present, 24)).toEqual(expected);
        for (const { cpuMilli } of expected) {
          expect(cpuMilli).toBeGreaterThanOrEqual(0);
          expect(cpuMilli).toBeLessThanOrEqual(most * 1.5 + 1);
        }
      }),
    );
  });
});
