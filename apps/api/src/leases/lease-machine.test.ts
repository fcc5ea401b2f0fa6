import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  type DrvmFacts,
  type LeaseClock,
  type LeaseFacts,
  lookAtLease,
  readLeaseClock,
  WARNINGS_S,
} from './lease-machine.js';

const DAY = 86_400_000;
const lease = (more: Partial<LeaseFacts> = {}): LeaseFacts => ({
  state: 'active',
  endsAtMs: 30 * DAY,
  endedAtMs: null,
  keepMs: 7 * DAY,
  idleAction: null,
  idleAfterMs: null,
  idleSinceMs: null,
  idleActedAtMs: null,
  warnedSeconds: null,
  ...more,
});
const running: DrvmFacts = { isRunning: true, isIdle: false, isBusy: false };
const look = (facts: LeaseFacts, nowMs: number, drvm = running, isSure = true) =>
  lookAtLease(facts, drvm, nowMs, isSure).map((effect) => effect.do);

describe('a lease', () => {
  it('warns once at each mark, and a late look tells the last one that is due only', () => {
    const told: number[] = [];
    let facts = lease();
    for (let now = 0; now < facts.endsAtMs; now += 60_000) {
      for (const effect of lookAtLease(facts, running, now, true)) {
        if (effect.do !== 'warn') throw new Error(effect.do);
        told.push(effect.seconds);
        facts = { ...facts, warnedSeconds: effect.seconds };
      }
    }
    expect(told).toEqual(WARNINGS_S);
    expect(lookAtLease(lease(), running, 30 * DAY - 1_000, true)).toEqual([{ do: 'warn', seconds: 300 }]);
  });

  it('ends, is stopped, keeps its files as long as it says, and is deleted then', () => {
    expect(look(lease(), 30 * DAY)).toEqual(['end', 'stop']);
    const ended = lease({ state: 'ended', endedAtMs: 30 * DAY });
    expect(look(ended, 31 * DAY)).toEqual(['stop']);
    const stopped = { ...running, isRunning: false };
    expect(look(ended, 31 * DAY, stopped)).toEqual([]);
    expect(look(ended, 37 * DAY, stopped)).toEqual(['delete']);
    // An operation is under way: it is left alone until that has ended.
    expect(look(ended, 37 * DAY, { ...stopped, isBusy: true })).toEqual([]);
    expect(look(lease(), 30 * DAY, { ...running, isBusy: true })).toEqual(['end']);
  });

  it('does its idle action once for each time that the DRVM falls idle', () => {
    const idle = { ...running, isIdle: true };
    const terms = { idleAction: 'notify' as const, idleAfterMs: 3_600_000, warnedSeconds: 300 };
    expect(lookAtLease(lease(terms), idle, 1_000, true)).toEqual([{ do: 'idle-since', atMs: 1_000 }]);
    const since = lease({ ...terms, idleSinceMs: 1_000 });
    expect(look(since, 3_600_999, idle)).toEqual([]);
    expect(look(since, 3_601_000, idle)).toEqual(['idle']);
    expect(look({ ...since, idleActedAtMs: 3_601_000 }, 9_999_999, idle)).toEqual([]);
    expect(lookAtLease(since, running, 5_000, true)).toEqual([{ do: 'idle-since', atMs: null }]);
  });

  it('takes nothing away while the time is not sure', () => {
    expect(look(lease(), 31 * DAY, running, false)).toEqual([]);
    expect(look(lease({ state: 'ended', endedAtMs: 0 }), 31 * DAY, running, false)).toEqual([]);
  });
});

describe('the clock of leases', () => {
  const walk = (times: number[]) => {
    let clock: LeaseClock | null = null;
    return times.map((time) => {
      const read = readLeaseClock(clock, time);
      clock = read.clock;
      return [read.nowMs, read.isSure];
    });
  };

  it('never runs backwards', () => {
    expect(walk([10_000, 15_000, 3_000, 16_000])).toEqual([
      [10_000, true],
      [15_000, true],
      [15_000, true],
      [16_000, true],
    ]);
  });

  it('believes a jump forward only when it has held for a minute, and forgets one that was taken back', () => {
    const far = 10 * DAY;
    expect(walk([0, far, far + 5_000, far + 61_000]).map(([, isSure]) => isSure)).toEqual([
      true,
      false,
      false,
      true,
    ]);
    // Set wrong for a moment and put right: nothing was taken as passed.
    expect(walk([0, far, 10_000, 15_000])).toEqual([
      [0, true],
      [far, false],
      [10_000, true],
      [15_000, true],
    ]);
  });

  it('whatever the clock does, no end is sure before two looks have agreed, and sure time only grows', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 40 * DAY }), { maxLength: 60 }), (times) => {
        let clock: LeaseClock | null = null;
        let last = 0;
        for (const time of times) {
          const before: LeaseClock | null = clock;
          const read = readLeaseClock(before, time);
          clock = read.clock;
          if (!read.isSure) continue;
          expect(read.nowMs).toBeGreaterThanOrEqual(last);
          const jumped: number = before === null ? 0 : read.nowMs - (before as LeaseClock).seenAtMs;
          if (jumped > 5 * 60_000) expect((before as LeaseClock | null)?.jumpedToMs).not.toBeNull();
          last = read.nowMs;
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
