import { expect, test } from '@jest/globals';
import {
  FAILED_DELAY_MS,
  FIRST_DELAY_MS,
  GIVE_UP_AFTER,
  HEALTHY_AFTER_MS,
  MAX_DELAY_MS,
  RestartPolicy,
} from './restart-policy.js';

test('delays double up to a bound, then the container counts as failed and is tried now and then', () => {
  const policy = new RestartPolicy();
  const decisions = Array.from({ length: GIVE_UP_AFTER + 1 }, () => policy.died(10));
  expect(decisions[0]).toEqual({ delayMs: FIRST_DELAY_MS, hasGivenUp: false });
  expect(decisions[1]?.delayMs).toBe(2 * FIRST_DELAY_MS);
  for (const { delayMs, hasGivenUp } of decisions) {
    expect(delayMs).toBeLessThanOrEqual(hasGivenUp ? FAILED_DELAY_MS : MAX_DELAY_MS);
  }
  expect(decisions.at(-2)?.hasGivenUp).toBe(true);
  expect(decisions.at(-1)?.hasGivenUp).toBe(true);
});

test('a container that ran for a while starts afresh', () => {
  const policy = new RestartPolicy();
  for (let death = 0; death < GIVE_UP_AFTER; death++) policy.died(0);
  expect(policy.died(HEALTHY_AFTER_MS)).toEqual({ delayMs: FIRST_DELAY_MS, hasGivenUp: false });
});
