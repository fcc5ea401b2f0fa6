import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { planQuery } from './telemetry-query.js';

const NOW = 1_800_000_000;
const upto = ({ seconds, settleSeconds }: { seconds: number; settleSeconds: number }) =>
  Math.floor((NOW - settleSeconds) / seconds) * seconds;
const plan = (ago: number, stepSeconds?: number, length = ago) =>
  planQuery({ from: NOW - ago, to: NOW - ago + length, stepSeconds, now: NOW }, upto);

describe('the tables that a series is read from', () => {
  test('the last minutes come second by second', () => {
    expect(plan(300, 1)).toMatchObject({ stepSeconds: 1, resolutionSeconds: 1 });
    expect(plan(300, 1).segments.map(({ resolution }) => resolution.name)).toEqual(['1s']);
  });

  test('a day comes from steps of five minutes, and what these have not yet from finer ones', () => {
    const { stepSeconds, segments } = plan(86_400);
    expect(stepSeconds).toBe(600);
    expect(segments.map(({ resolution }) => resolution.name)).toEqual(['5min', '10s', '1s']);
  });

  test('what is older than the finer ones are kept comes from the coarser ones, whatever was asked for', () => {
    expect(plan(70 * 86_400, 300, 86_400)).toMatchObject({ stepSeconds: 3_600, resolutionSeconds: 3_600 });
    expect(plan(3_600, 1, 60)).toMatchObject({ stepSeconds: 10, resolutionSeconds: 10 });
  });

  test('a step that gives too many points, and a time that ends before it begins, are refused', () => {
    expect(() => plan(86_400, 10)).toThrow('more than 5000 points');
    expect(() => plan(10, 1, -5)).toThrow('ends before it begins');
  });

  test('the parts follow one another without a gap, and each begins at a whole step of its own', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 500 * 86_400 }),
        fc.integer({ min: 1, max: 86_400 }),
        fc.option(fc.integer({ min: 1, max: 100_000 }), { nil: undefined }),
        (ago, length, step) => {
          const seconds = Math.min(ago, length);
          fc.pre(step === undefined || seconds / step < 5_000);
          const { segments, from, to, stepSeconds } = plan(ago, step, seconds);
          expect(from % stepSeconds).toBe(0);
          let at = from;
          for (const segment of segments) {
            expect(segment.from).toBe(at);
            expect(segment.from % segment.resolution.seconds).toBe(0);
            at = segment.to;
          }
          expect(at).toBe(to);
        },
      ),
    );
  });
});
