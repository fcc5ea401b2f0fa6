import { describe, expect, it } from '@jest/globals';
import { afterRefusal, HOLD_MS, isDue, isHolding, PASSED_OVER_MOST, type WaitingTurn } from './queue-rule.js';

const fresh: WaitingTurn = { attempts: 0, passedOver: 0, nextLookAtMs: 0, holdUntilMs: null };

describe('the rule of the queue', () => {
  it('looks less and less often at what does not fit, and at once when the ledger has changed', () => {
    let turn = fresh;
    const pauses: number[] = [];
    for (let time = 0; pauses.length < 12; time = turn.nextLookAtMs) {
      turn = afterRefusal(turn, 0, time);
      pauses.push(turn.nextLookAtMs - time);
    }
    expect(pauses.slice(0, 4)).toEqual([2_000, 4_000, 8_000, 16_000]);
    expect(pauses.at(-1)).toBe(300_000);
    expect(isDue(turn, turn.nextLookAtMs - 1, false)).toBe(false);
    expect(isDue(turn, turn.nextLookAtMs - 1, true)).toBe(true);
    expect(isDue(turn, turn.nextLookAtMs, false)).toBe(true);
  });

  it('lets what was passed over often enough hold the door for a while, and no longer', () => {
    let turn = fresh;
    for (let passed = 0; passed < PASSED_OVER_MOST; passed++) {
      expect(isHolding(turn, passed)).toBe(false);
      turn = afterRefusal(turn, 1, passed);
    }
    const since = PASSED_OVER_MOST - 1;
    expect(isHolding(turn, since + HOLD_MS - 1)).toBe(true);
    expect(isHolding(turn, since + HOLD_MS)).toBe(false);
    // Refused again while it holds, it does not hold for longer; afterwards it begins anew.
    expect(afterRefusal(turn, 0, since + 10).holdUntilMs).toBe(turn.holdUntilMs);
    expect(afterRefusal(turn, 0, since + HOLD_MS)).toMatchObject({ passedOver: 0, holdUntilMs: null });
  });

  it('keeps nobody out for ever, whatever happens: of any time less than all is held', () => {
    let turn = fresh;
    let held = 0;
    const until = 50 * HOLD_MS;
    for (let time = 0; time < until; time += 60_000) {
      if (isHolding(turn, time)) held += 60_000;
      turn = afterRefusal(turn, isHolding(turn, time) ? 0 : 1, time);
    }
    expect(held).toBeGreaterThan(0);
    expect(held / until).toBeLessThan(0.6);
  });
});
