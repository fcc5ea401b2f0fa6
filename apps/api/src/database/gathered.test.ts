import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { Gathered } from './gathered.js';

/** Reads that end when the test says so. */
function gathering() {
  const batches: { scope: string; keys: readonly string[]; end(values?: Map<string, string>): void }[] = [];
  const gathered = new Gathered<string, string>(
    (scope, keys) =>
      new Promise((resolve) => {
        batches.push({
          scope,
          keys,
          end: (values = new Map(keys.map((key) => [key, `${key} of ${scope}`]))) => resolve(values),
        });
      }),
  );
  return { batches, gathered };
}

describe('reads gathered', () => {
  it('are one read for all that arrive together, each key once', async () => {
    const { batches, gathered } = gathering();
    const answers = ['a', 'b', 'a'].map((key) => gathered.load('s', 's', key));
    await turn();
    expect(batches.map(({ keys }) => keys)).toEqual([['a', 'b']]);
    batches[0]?.end();
    expect(await Promise.all(answers)).toEqual(['a of s', 'b of s', 'a of s']);
  });

  it('never join a read that has been sent, and are gathered while one is under way', async () => {
    const { batches, gathered } = gathering();
    const first = gathered.load('s', 's', 'a');
    await turn();
    const later = [gathered.load('s', 's', 'a'), gathered.load('s', 's', 'b')];
    await turn();
    expect(batches.map(({ keys }) => keys)).toEqual([['a']]);
    batches[0]?.end(new Map([['a', 'old']]));
    expect(await first).toBe('old');
    for (let turns = 0; turns < 3; turns++) await turn();
    expect(batches.map(({ keys }) => keys)).toEqual([['a'], ['a', 'b']]);
    batches[1]?.end(new Map([['a', 'new']]));
    expect(await Promise.all(later)).toEqual(['new', undefined]);
  });

  it('keep scopes apart', async () => {
    const { batches, gathered } = gathering();
    const answers = [gathered.load('x', 'x', 'a'), gathered.load('y', 'y', 'a')];
    await turn();
    for (const batch of batches) batch.end();
    expect(await Promise.all(answers)).toEqual(['a of x', 'a of y']);
  });

  it('hand an error to everybody who waits for it, and go on', async () => {
    let fails = true;
    const gathered = new Gathered<null, number>(async (_, keys) => {
      if (fails) throw new Error('away');
      return new Map(keys.map((key) => [key, 1]));
    });
    const answers = await Promise.allSettled([gathered.load('', null, 'a'), gathered.load('', null, 'b')]);
    expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    fails = false;
    expect(await gathered.load('', null, 'a')).toBe(1);
  });

  it('take no more than 256 keys at once', async () => {
    const sizes: number[] = [];
    const gathered = new Gathered<null, number>(async (_, keys) => {
      sizes.push(keys.length);
      return new Map(keys.map((key) => [key, Number(key)]));
    });
    const answers = await Promise.all(
      Array.from({ length: 600 }, (_, n) => gathered.load('', null, String(n))),
    );
    expect(answers[599]).toBe(599);
    expect(sizes).toEqual([256, 256, 88]);
  });
});
