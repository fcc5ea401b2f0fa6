import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { StartGate } from './start-gate.js';

const never = new AbortController().signal;

test('never more than so many at a time, in the order in which they came, also after failures', async () => {
  const gate = new StartGate(2);
  const order: number[] = [];
  let inside = 0;
  let most = 0;
  const starts = Array.from({ length: 7 }, (_, turn) =>
    gate.run(async () => {
      order.push(turn);
      most = Math.max(most, ++inside);
      await sleep(5);
      inside--;
      if (turn % 2 === 0) throw new Error(`start ${turn} failed`);
    }, never),
  );
  const results = await Promise.allSettled(starts);
  expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(4);
  expect(most).toBe(2);
  expect(order).toEqual([0, 1, 2, 3, 4, 5, 6]);
});

test('who gives up while waiting takes no place', async () => {
  const gate = new StartGate(1);
  const abort = new AbortController();
  const first = gate.run(() => sleep(20), never);
  const given = gate.run(async () => 'ran', abort.signal).catch(() => 'gave up');
  const last = gate.run(async () => 'ran', never);
  abort.abort();
  expect(await given).toBe('gave up');
  await first;
  expect(await last).toBe('ran');
});
