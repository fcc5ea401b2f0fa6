import { describe, expect, test } from '@jest/globals';
import { decide, dueTimes, GRACE_MS } from './due-times.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const at = (text: string): number => Date.parse(text);
const daily = dueTimes('0 3 * * *', 'UTC');
const TODAY = at('2026-01-05T03:00:00Z');
const due = { nextDueMs: TODAY, lastDueMs: TODAY - DAY_MS, missed: 'skip' as const };

describe('the times of a schedule', () => {
  test('go by the clock on the wall: what is skipped in spring runs when the clock jumps, what comes twice runs once', () => {
    const times = dueTimes('30 2 * * *', 'Europe/Madrid');
    const spring = times.after(at('2026-03-29T00:00:00Z'));
    expect(spring).toBe(at('2026-03-29T01:00:00Z'));
    expect(times.after(spring!)).toBe(at('2026-03-30T00:30:00Z'));
    const autumn = times.after(at('2026-10-25T00:00:00Z'));
    expect(autumn).toBe(at('2026-10-25T00:30:00Z'));
    expect(times.after(autumn!)).toBe(at('2026-10-26T01:30:00Z'));
  });

  test('may be none', () => {
    expect(dueTimes('0 0 30 2 *', 'UTC').after(TODAY)).toBeNull();
  });

  test.each(['', 'now', '61 * * * *', '* * * * * *', '0 0 * *'])('are none of "%s"', (cron) => {
    expect(() => dueTimes(cron, 'UTC')).toThrow('no expression of cron');
  });

  test('need a time zone that there is', () => {
    expect(() => dueTimes('0 3 * * *', 'Mars/Olympus')).toThrow('no time zone');
  });
});

describe('a look at a schedule', () => {
  test('before its time changes nothing', () => {
    expect(decide(due, daily, TODAY - 1)).toEqual({
      runMs: null,
      passedOver: false,
      nextDueMs: TODAY,
      lastDueMs: TODAY - DAY_MS,
    });
  });

  test('in its time runs it once, and the next is the one after', () => {
    const first = decide(due, daily, TODAY + 1_000);
    expect(first).toEqual({ runMs: TODAY, passedOver: false, nextDueMs: TODAY + DAY_MS, lastDueMs: TODAY });
    expect(decide({ ...due, ...first }, daily, TODAY + 2_000).runMs).toBeNull();
  });

  test('long after it passes over what was missed, or runs it once, as it was asked for', () => {
    const late = TODAY + 3 * DAY_MS + HOUR_MS;
    expect(decide(due, daily, late)).toEqual({
      runMs: null,
      passedOver: true,
      nextDueMs: TODAY + 4 * DAY_MS,
      lastDueMs: late,
    });
    const once = decide({ ...due, missed: 'run-once' }, daily, late);
    expect(once).toMatchObject({ runMs: TODAY, nextDueMs: TODAY + 4 * DAY_MS });
    expect(decide({ ...due, ...once, missed: 'run-once' }, daily, late + 1_000).runMs).toBeNull();
  });

  test('runs the latest of several that have come in time, and no two at once', () => {
    const minutely = dueTimes('* * * * *', 'UTC');
    const decision = decide(due, minutely, TODAY + 5 * 60_000 + 1);
    expect(decision).toMatchObject({
      runMs: TODAY + 5 * 60_000,
      passedOver: true,
      nextDueMs: TODAY + 6 * 60_000,
    });
    const afterAWeek = decide(due, minutely, TODAY + 7 * DAY_MS);
    expect(afterAWeek.runMs).toBe(TODAY + 7 * DAY_MS);
  });

  test('runs nothing again when the clock was put back', () => {
    const ran = decide(due, daily, TODAY + 1_000);
    const back = { ...due, ...ran };
    expect(decide(back, daily, TODAY - 2 * HOUR_MS)).toMatchObject({
      runMs: null,
      nextDueMs: TODAY + DAY_MS,
    });
    expect(decide(back, daily, TODAY + 1)).toMatchObject({ runMs: null });
  });

  test('counts a jump forward as an absence', () => {
    expect(decide(due, daily, TODAY + GRACE_MS).runMs).toBe(TODAY);
    expect(decide(due, daily, TODAY + GRACE_MS + 60_000).runMs).toBeNull();
  });

  test('begins anew when the clock had been days ahead', () => {
    const wrong = { ...due, nextDueMs: TODAY + 365 * DAY_MS, lastDueMs: TODAY + 364 * DAY_MS };
    expect(decide(wrong, daily, TODAY - HOUR_MS)).toEqual({
      runMs: null,
      passedOver: false,
      nextDueMs: TODAY,
      lastDueMs: null,
    });
  });

  test('that was days ahead and comes back to its time runs what is due then', () => {
    const ahead = decide(due, daily, TODAY + 9 * DAY_MS);
    expect(ahead).toMatchObject({ runMs: TODAY + 9 * DAY_MS });
    const back = decide({ ...due, ...ahead }, daily, TODAY - HOUR_MS);
    expect(back).toMatchObject({ runMs: null, nextDueMs: TODAY });
    expect(decide({ ...due, ...back }, daily, TODAY + 1).runMs).toBe(TODAY);
  });

  test('of one that names no time to come never runs', () => {
    const never = dueTimes('0 0 30 2 *', 'UTC');
    expect(decide({ ...due, nextDueMs: null }, never, TODAY)).toMatchObject({ runMs: null, nextDueMs: null });
  });
});
