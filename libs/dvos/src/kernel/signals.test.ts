import { constants } from 'node:os';
import { describe, expect, test } from '@jest/globals';
import { endingOfExit, endingOfSignal, endingOfTrap } from './ending.js';
import { SIGNALS, signalNamed } from './signals.js';
import { Sleepers } from './sleepers.js';

describe('signals', () => {
  test('have the numbers of Linux', () => {
    const known = constants.signals as Record<string, number | undefined>;
    for (const { name, number } of SIGNALS) {
      if (process.platform === 'linux' && known[name] !== undefined)
        expect([name, number]).toEqual([name, known[name]]);
    }
  });

  test.each(['TERM', 'SIGTERM', 'sigterm', '15'])('%s names SIGTERM', (text) => {
    expect(signalNamed(text)?.number).toBe(15);
  });

  test.each(['', 'FOO', '0', '99', '-9', '9x'])('"%s" names none', (text) => {
    expect(signalNamed(text)).toBeUndefined();
  });
});

describe('endings', () => {
  test('exit codes keep eight bits, signals show as 128 and their number', () => {
    expect(endingOfExit(0x1ff).exitCode).toBe(255);
    expect(endingOfExit(-1).exitCode).toBe(255);
    expect(endingOfSignal(9)).toEqual({ exitCode: 137, signal: 'SIGKILL', reason: null });
  });

  test('a stack overflow is told as one, in the guest and while it is set aside', () => {
    expect(endingOfTrap(new RangeError('Maximum call stack size exceeded'), false).reason).toMatch(
      /too deeply/,
    );
    expect(endingOfTrap(new Error('unreachable'), true).reason).toMatch(/too deep/);
  });
});

describe('sleepers', () => {
  test('come in the order of their alarms, whoever is taken out in between', () => {
    const sleepers = new Sleepers<{ alarmAt: number; heapIndex: number }>();
    const all = Array.from({ length: 500 }, (_, index) => ({ alarmAt: (index * 7919) % 503, heapIndex: -1 }));
    for (const sleeper of all) sleepers.add(sleeper);
    for (let index = 0; index < all.length; index += 3) sleepers.remove(all[index]!);
    const order: number[] = [];
    for (let first = sleepers.peek(); first; first = sleepers.peek()) {
      order.push(first.alarmAt);
      sleepers.remove(first);
    }
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(order.length).toBe(333);
  });
});
