import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Recurring } from './recurring.js';

const EVERY_MS = 1_000;

/** A round that a test ends when it wants to. */
class Rounds {
  begun = 0;
  readonly told: string[] = [];
  end: () => void = () => undefined;
  fail: (error: Error) => void = () => undefined;
  readonly recurring = new Recurring(
    EVERY_MS,
    () => {
      this.begun++;
      return new Promise<void>((resolve, reject) => {
        this.end = resolve;
        this.fail = reject;
      });
    },
    ({ message }) => this.told.push(message),
  );
}

describe('what recurs', () => {
  let rounds: Rounds;
  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'queueMicrotask', 'nextTick'] });
    rounds = new Rounds();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it('comes every so often once it has begun, and passes over the turns that come while a round is under way', async () => {
    jest.advanceTimersByTime(5 * EVERY_MS);
    expect(rounds.begun).toBe(0);
    rounds.recurring.start();
    jest.advanceTimersByTime(EVERY_MS - 1);
    expect(rounds.begun).toBe(0);
    jest.advanceTimersByTime(5 * EVERY_MS);
    expect(rounds.begun).toBe(1);
    rounds.end();
    await turn();
    expect(rounds.begun).toBe(1);
    jest.advanceTimersByTime(EVERY_MS);
    expect(rounds.begun).toBe(2);
  });

  it('tells why a round failed, and goes on', async () => {
    rounds.recurring.start();
    jest.advanceTimersByTime(EVERY_MS);
    rounds.fail(new Error('the database is away'));
    await turn();
    expect(rounds.told).toEqual(['the database is away']);
    jest.advanceTimersByTime(EVERY_MS);
    expect(rounds.begun).toBe(2);
  });

  it('tells of an error that comes before anything was awaited', async () => {
    const told: string[] = [];
    const recurring = new Recurring(
      EVERY_MS,
      () => {
        throw new Error('at once');
      },
      ({ message }) => told.push(message),
    );
    await recurring.now();
    expect(told).toEqual(['at once']);
  });

  it('is done at once when asked, by one round for all who ask meanwhile', async () => {
    const [first, second] = [rounds.recurring.now(), rounds.recurring.now()];
    expect(rounds.begun).toBe(1);
    rounds.end();
    await Promise.all([first, second]);
    void rounds.recurring.now();
    expect(rounds.begun).toBe(2);
  });

  it('stops when the round under way has ended, whose signal it aborts, and does nothing more', async () => {
    rounds.recurring.start();
    jest.advanceTimersByTime(EVERY_MS);
    let hasStopped = false;
    const stopping = rounds.recurring.stop().then(() => {
      hasStopped = true;
    });
    await turn();
    expect(rounds.recurring.signal.aborted).toBe(true);
    expect(hasStopped).toBe(false);
    rounds.fail(new Error('aborted'));
    await stopping;
    expect(rounds.told).toEqual([]);
    rounds.recurring.start();
    jest.advanceTimersByTime(5 * EVERY_MS);
    await rounds.recurring.now();
    await rounds.recurring.stop();
    expect(rounds.begun).toBe(1);
  });
});
