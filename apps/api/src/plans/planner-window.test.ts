import { describe, expect, test } from '@jest/globals';
import { isInside, isTimeZone, quietBecause } from './planner-window.js';

const night = {
  kinds: ['consolidate' as const],
  effect: 'only' as const,
  days: ['fri' as const],
  from: '22:00',
  to: '06:00',
  timeZone: 'America/Argentina/Buenos_Aires',
};
/** Friday 2026-01-02 22:30 in Buenos Aires, which is three hours behind UTC. */
const FRIDAY_NIGHT = Date.UTC(2026, 0, 3, 1, 30);
const HOUR_MS = 3_600_000;

describe('a window', () => {
  test('that runs past midnight belongs to the day on which it begins', () => {
    expect(isInside(night, FRIDAY_NIGHT)).toBe(true);
    expect(isInside(night, FRIDAY_NIGHT + 7 * HOUR_MS)).toBe(true);
    expect(isInside(night, FRIDAY_NIGHT + 8 * HOUR_MS)).toBe(false);
    expect(isInside(night, FRIDAY_NIGHT - HOUR_MS)).toBe(false);
    expect(isInside(night, FRIDAY_NIGHT + 24 * HOUR_MS)).toBe(false);
  });

  test('goes by the clock on the wall when that is put forward and back', () => {
    const morning = {
      ...night,
      days: ['sun' as const],
      from: '02:00',
      to: '03:00',
      timeZone: 'Europe/Madrid',
    };
    // 2026-03-29: 02:00 becomes 03:00, so the window does not come; 2026-10-25: the hour comes twice.
    const spring = Date.UTC(2026, 2, 29, 0, 0);
    for (let minutes = 0; minutes < 180; minutes += 10)
      expect(isInside(morning, spring + minutes * 60_000)).toBe(false);
    const autumn = Date.UTC(2026, 9, 25, 0, 0);
    expect(isInside(morning, autumn)).toBe(true);
    expect(isInside(morning, autumn + HOUR_MS)).toBe(true);
    expect(isInside(morning, autumn + 2 * HOUR_MS)).toBe(false);
  });

  test('of quiet wins over one in which it may be', () => {
    const exams = { ...night, effect: 'quiet' as const, from: '23:00', to: '23:59' };
    expect(quietBecause([night], 'consolidate', FRIDAY_NIGHT)).toBeNull();
    expect(quietBecause([night], 'consolidate', FRIDAY_NIGHT - 2 * HOUR_MS)).toContain('not its time');
    expect(quietBecause([night, exams], 'consolidate', FRIDAY_NIGHT + HOUR_MS / 2 + 1)).toContain('quiet');
    expect(quietBecause([night, exams], 'balance', FRIDAY_NIGHT - 2 * HOUR_MS)).toBeNull();
  });

  test('needs a time zone that exists', () => {
    expect(isTimeZone('Europe/Madrid')).toBe(true);
    expect(isTimeZone('Europe/Nowhere')).toBe(false);
  });
});
