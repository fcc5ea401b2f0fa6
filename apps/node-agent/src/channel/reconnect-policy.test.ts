import { expect, test } from '@jest/globals';
import { FIRST_DELAY_MS, MAX_DELAY_MS, REFUSED_DELAY_MS, ReconnectPolicy } from './reconnect-policy.js';

test('delays grow to a bound, are spread, and begin anew after a success', () => {
  const policy = new ReconnectPolicy(() => 1);
  expect(policy.next(false)).toBe(FIRST_DELAY_MS);
  expect(policy.next(false)).toBe(2 * FIRST_DELAY_MS);
  for (let tries = 0; tries < 20; tries++) policy.next(false);
  expect(policy.next(false)).toBe(MAX_DELAY_MS);
  policy.reset();
  expect(policy.next(false)).toBe(FIRST_DELAY_MS);
  expect(new ReconnectPolicy(() => 0).next(false)).toBe(FIRST_DELAY_MS / 2);
});

test('a refused credential is tried again slowly', () => {
  expect(new ReconnectPolicy(() => 1).next(true)).toBe(REFUSED_DELAY_MS);
});
