import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { HeldIntegral, type HeldSpan, type UsageBy } from './integrate.js';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const T0 = Date.parse('2026-11-24T00:00:00Z');
const span = (more: Partial<HeldSpan>): HeldSpan => ({
  tenant: 'physics',
  drvm: 'fisica',
  cpuMilli: 2_000,
  memoryMiB: 512,
  diskGiB: 4,
  networkMbps: 100,
  from: T0,
  to: T0 + HOUR,
  ...more,
});
const rows = (spans: HeldSpan[], by: UsageBy = 'tenant', now = T0 + 10 * DAY, to = T0 + 10 * DAY) => {
  const integral = new HeldIntegral({ from: T0, to }, by, now);
  for (const one of spans) integral.add(one);
  return integral.rows();
};

describe('what was held', () => {
  test('is its amount by the time it was held, change after change', () => {
    const grown = [span({ to: T0 + HOUR }), span({ cpuMilli: 4_000, from: T0 + HOUR, to: T0 + 1.5 * HOUR })];
    expect(rows(grown)).toEqual([
      {
        key: { tenant: 'physics', drvm: null, day: null },
        held: { coreHours: 4, memoryGiBHours: 0.75, diskGiBHours: 6, networkMbpsHours: 150 },
      },
    ]);
  });

  test('is counted within the time asked for only, and up to now where it is held still', () => {
    const still = span({ from: T0 - DAY, to: null });
    expect(rows([still], 'tenant', T0 + HOUR)[0]?.held.coreHours).toBe(2);
    expect(rows([still], 'tenant', T0 + 5 * DAY, T0 + DAY)[0]?.held.coreHours).toBe(48);
    expect(rows([span({ from: T0 - DAY, to: T0 - HOUR })])).toEqual([]);
  });

  test('falls to the days, in UTC, in which it was', () => {
    const night = span({ from: T0 + 23 * HOUR, to: T0 + 26 * HOUR });
    expect(rows([night], 'day').map(({ key, held }) => [key.day, held.coreHours])).toEqual([
      ['2026-11-24', 2],
      ['2026-11-25', 4],
    ]);
  });

  test('is by DRVM where that is asked for', () => {
    const two = [span({}), span({ drvm: 'quimica' }), span({})];
    expect(rows(two, 'drvm').map(({ key, held }) => [key.drvm, held.coreHours])).toEqual([
      ['fisica', 4],
      ['quimica', 2],
    ]);
  });

  test('a clock that was set back counts nothing, and never less than nothing', () => {
    // The ledger writes a span that ends before it began as one without length.
    expect(rows([span({ from: T0 + HOUR, to: T0 + HOUR })])).toEqual([]);
    // Held still, and now is before its beginning.
    expect(rows([span({ from: T0 + 2 * HOUR, to: null })], 'tenant', T0 + HOUR)).toEqual([]);
  });

  test('is the same however a time is cut, and exact over a year of the largest amounts', () => {
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: 9 * DAY }), { maxLength: 20 });
    fc.assert(
      fc.property(cuts, fc.constantFrom<UsageBy>('tenant', 'drvm', 'day'), (places, by) => {
        const edges = [0, ...places.sort((a, b) => a - b), 9 * DAY];
        const parts = edges.slice(1).map((to, index) => span({ from: T0 + edges[index]!, to: T0 + to }));
        expect(rows(parts, by)).toEqual(rows([span({ from: T0, to: T0 + 9 * DAY })], by));
      }),
    );
    const year = [span({ cpuMilli: 2_000_000_000, from: T0, to: T0 + 365 * DAY })];
    const [row] = rows(year, 'tenant', T0 + 400 * DAY, T0 + 400 * DAY);
    expect(row?.held.coreHours).toBe(2_000_000 * 365 * 24);
  });
});
