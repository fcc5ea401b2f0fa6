import { describe, expect, it } from '@jest/globals';
import { LeaseTerms, leaseColumns } from './lease-request.js';

const now = new Date('2026-11-25T12:00:00Z');
const columns = (terms: object) => leaseColumns(LeaseTerms.parse(terms), now);

describe('the terms of a lease', () => {
  it('say when it ends or for how long it is, whatever the zone', () => {
    expect(columns({ forSeconds: 3_600 }).endsAt.toISOString()).toBe('2026-11-25T13:00:00.000Z');
    expect(columns({ endsAt: '2026-11-25T12:00:00-03:00' }).endsAt.toISOString()).toBe(
      '2026-11-25T15:00:00.000Z',
    );
    expect(columns({ startsAt: '2026-12-01T08:00:00Z', forSeconds: 3_600 }).endsAt.toISOString()).toBe(
      '2026-12-01T09:00:00.000Z',
    );
    expect(columns({ forSeconds: 3_600, idleAction: 'stop' }).idleAfterSeconds).toBe(7_200);
    // Nobody is warned a day before of what lasts four hours.
    expect(columns({ forSeconds: 4 * 3_600 }).warnedSeconds).toBe(86_400);
    expect(columns({ forSeconds: 30 * 86_400 }).warnedSeconds).toBeNull();
  });

  it('are refused where they contradict each other', () => {
    for (const wrong of [
      {},
      { forSeconds: 3_600, endsAt: '2026-12-01T08:00:00Z' },
      { endsAt: '2026-11-25T11:00:00Z' },
      { endsAt: '2026-11-25T12:01:00Z' },
      { forSeconds: 3_600, idleAfterSeconds: 600 },
    ])
      expect(() => columns(wrong)).toThrow();
    expect(LeaseTerms.safeParse({ forSeconds: -1 }).success).toBe(false);
    expect(LeaseTerms.safeParse({ forSeconds: 1e12 }).success).toBe(false);
  });
});
