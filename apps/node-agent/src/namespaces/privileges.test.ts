import { expect, test } from '@jest/globals';
import { userFor, userRange } from './privileges.js';

test('host users of DRVMs are far from those of people, and few where a user namespace has few', () => {
  expect(userRange('         0          0 4294967295\n')?.first).toBeGreaterThan(1_000_000);
  expect(userRange('0 100000 65536\n')).toEqual({ first: 20_000, count: 40_000 });
  expect(userRange('0 1000 1\n')).toBeNull();
});

test('a DRVM gets the same user everywhere, and never one that is taken', () => {
  const range = { first: 100, count: 50 };
  const first = userFor('fisica', range, new Set());
  expect(userFor('fisica', range, new Set())).toBe(first);
  const second = userFor('fisica', range, new Set([first]));
  expect(second).not.toBe(first);
  expect(second).toBeGreaterThanOrEqual(100);
  expect(second).toBeLessThan(150);
  const all = new Set(Array.from({ length: 50 }, (_, step) => 100 + step));
  expect(() => userFor('fisica', range, all)).toThrow('are taken');
});
