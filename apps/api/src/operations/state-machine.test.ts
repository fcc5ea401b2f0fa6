import { OPERATION_STATES, type OperationState } from '@drvs/contracts';
import { describe, expect, test } from '@jest/globals';
import {
  hasEnded,
  mayBecome,
  OPERATION_TRANSITIONS,
  progressOf,
  STEP_TRANSITIONS,
  type StepState,
  statesBefore,
  stepMayBecome,
} from './state-machine.js';

const allowed: [OperationState, OperationState][] = [
  ['queued', 'running'],
  ['queued', 'cancelled'],
  ['running', 'succeeded'],
  ['running', 'failed'],
  ['running', 'cancelled'],
  ['running', 'compensated'],
  ['failed', 'queued'],
];

describe('the state machine of operations', () => {
  const pairs = OPERATION_STATES.flatMap((from) => OPERATION_STATES.map((to) => [from, to] as const));

  test.each(pairs)('%s → %s is allowed exactly where the specification says so', (from, to) => {
    expect(mayBecome(from, to)).toBe(allowed.some(([a, b]) => a === from && b === to));
  });

  test('every state can be reached from queued', () => {
    const reached = new Set<OperationState>(['queued']);
    for (const state of reached) for (const next of OPERATION_TRANSITIONS[state]) reached.add(next);
    expect([...reached].sort()).toEqual([...OPERATION_STATES].sort());
  });

  test('an operation has ended in every state but queued and running', () => {
    expect(OPERATION_STATES.filter((state) => !hasEnded(state))).toEqual(['queued', 'running']);
  });

  test('the guard of an update names the states before it', () => {
    expect(statesBefore('running')).toEqual(['queued']);
    expect(statesBefore('cancelled')).toEqual(['queued', 'running']);
    expect(statesBefore('queued')).toEqual(['failed']);
  });
});

describe('the state machine of steps', () => {
  const states = Object.keys(STEP_TRANSITIONS) as StepState[];

  test('nothing leaves compensated, and nothing stays in place', () => {
    expect(STEP_TRANSITIONS.compensated).toEqual([]);
    for (const state of states) expect(stepMayBecome(state, state)).toBe(false);
  });

  test('only what was done, or tried, can be undone', () => {
    expect(states.filter((state) => stepMayBecome(state, 'compensated'))).toEqual(['succeeded', 'failed']);
  });

  test('progress is the share of steps that are behind', () => {
    expect(progressOf([])).toBe(0);
    expect(progressOf(['succeeded', 'skipped', 'running', 'pending'])).toBe(0.5);
    expect(progressOf(['succeeded'])).toBe(1);
  });
});
