import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from '@jest/globals';
import { eachAtMost } from './each-at-most.js';

it('does all of it in its order, and never more at once than it may', async () => {
  const begun: number[] = [];
  let now = 0;
  let most = 0;
  await eachAtMost(3, [0, 1, 2, 3, 4, 5, 6], async (item) => {
    begun.push(item);
    most = Math.max(most, ++now);
    for (let turns = 0; turns <= item; turns++) await turn();
    now--;
  });
  expect(begun).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(most).toBe(3);
  await expect(eachAtMost(3, [], () => Promise.reject(new Error('nothing to do')))).resolves.toBeUndefined();
});

it('begins nothing more after a failure, and throws it when the rest has ended', async () => {
  const ended: number[] = [];
  const work = eachAtMost(2, [0, 1, 2, 3], async (item) => {
    if (item === 1) throw new Error('the second failed');
    for (let turns = 0; turns < 5; turns++) await turn();
    ended.push(item);
  });
  await expect(work).rejects.toThrow('the second failed');
  expect(ended).toEqual([0]);
});
