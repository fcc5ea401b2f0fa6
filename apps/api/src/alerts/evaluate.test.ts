import { describe, expect, test } from '@jest/globals';
import { type AlertCondition, evaluate, type OpenAlert } from './evaluate.js';

const CONDITION: AlertCondition = { comparison: 'above', threshold: 90, clearThreshold: 80, forMs: 60_000 };

/** What follows from values a minute apart, from nothing. */
function story(values: readonly (number | null)[], condition = CONDITION, stepMs = 60_000): string[] {
  let open: OpenAlert | null = null;
  return values.map((value, index) => {
    const step = evaluate(condition, open, value, index * stepMs);
    if (step.to === 'pending') open = { state: 'pending', since: step.since, firedAt: null };
    else if (step.to === 'firing') open = { state: 'firing', since: step.since, firedAt: step.firedAt };
    else open = null;
    return step.to === 'firing' && step.isNew ? 'fires' : step.to;
  });
}

describe('an alert', () => {
  test('waits, fires once, goes on between the thresholds, and is resolved past the second', () => {
    expect(story([50, 91, 92, 85, 91, 80, 85])).toEqual([
      'none',
      'pending',
      'fires',
      'firing',
      'firing',
      'resolved',
      'none',
    ]);
  });

  test('waits anew when the value was not past the threshold in between', () => {
    expect(story([91, 85, 91, 91])).toEqual(['pending', 'none', 'pending', 'fires']);
  });

  test('of a rule without a wait fires at once, and the threshold itself is not past it', () => {
    const atOnce = { ...CONDITION, forMs: 0 };
    expect(story([90, 90.1, 80.1, 80], atOnce)).toEqual(['none', 'fires', 'firing', 'resolved']);
  });

  test('below works the other way round', () => {
    const below: AlertCondition = { comparison: 'below', threshold: 10, clearThreshold: 20, forMs: 0 };
    expect(story([10, 9, 15, 20], below)).toEqual(['none', 'fires', 'firing', 'resolved']);
  });

  test('of what is no longer measured is over', () => {
    expect(story([91, null, 91, 91, null])).toEqual(['pending', 'none', 'pending', 'fires', 'resolved']);
  });

  test('with a clock that was set back waits anew and never ends before it began', () => {
    const open: OpenAlert = { state: 'pending', since: 1_000_000, firedAt: null };
    expect(evaluate(CONDITION, open, 95, 10)).toEqual({ to: 'pending', since: 10 });
    const firing: OpenAlert = { state: 'firing', since: 1_000_000, firedAt: 1_000_000 };
    expect(evaluate(CONDITION, firing, 95, 10)).toMatchObject({ to: 'firing', since: 10, isNew: false });
  });
});
