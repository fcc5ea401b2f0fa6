import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  checkLinearizable,
  type ObservedOperation,
  type RegisterInput,
  registerModel,
  withoutUnseen,
} from './linearizability.js';

type Observed = ObservedOperation<RegisterInput, string>;
const read = (output: string, calledAt: number, returnedAt: number): Observed => ({
  input: { kind: 'read' },
  output,
  calledAt,
  returnedAt,
});
const write = (value: string, calledAt: number, returnedAt = Number.POSITIVE_INFINITY): Observed => ({
  input: { kind: 'write', value },
  output: returnedAt === Number.POSITIVE_INFINITY ? undefined : '',
  calledAt,
  returnedAt,
});

describe('the linearizability checker', () => {
  it('accepts reads that overlap a write, on either side of it', () => {
    expect(checkLinearizable(registerModel, [write('a', 0, 10), read('', 1, 3), read('a', 4, 6)])).toBe(
      'linearizable',
    );
  });

  it('refuses a read of the old value after one of the new', () => {
    expect(checkLinearizable(registerModel, [write('a', 0, 10), read('a', 1, 3), read('', 4, 6)])).toBe(
      'violated',
    );
  });

  it('refuses a stale read after the write has returned', () => {
    expect(checkLinearizable(registerModel, [write('a', 0, 1), read('', 2, 3)])).toBe('violated');
  });

  it('lets a write without an answer happen late, or never', () => {
    const lost = write('b', 0);
    expect(checkLinearizable(registerModel, [lost, write('a', 1, 2), read('a', 3, 4), read('b', 5, 6)])).toBe(
      'linearizable',
    );
    expect(checkLinearizable(registerModel, [lost, write('a', 1, 2), read('a', 3, 4)])).toBe('linearizable');
    expect(checkLinearizable(registerModel, [lost, read('b', 1, 2), write('a', 3, 4), read('b', 5, 6)])).toBe(
      'violated',
    );
  });

  it('judges many operations without an answer in few steps', () => {
    const unanswered = Array.from(
      { length: 40 },
      (_, calledAt): Observed => ({
        input: { kind: 'add', amount: 1 },
        output: undefined,
        calledAt,
        returnedAt: Number.POSITIVE_INFINITY,
      }),
    );
    expect(checkLinearizable(registerModel, [...unanswered, read('40', 50, 51)], 5_000)).toBe('linearizable');
    expect(checkLinearizable(registerModel, [...unanswered, read('41', 50, 51)], 5_000)).toBe('violated');
    const writes = Array.from({ length: 40 }, (_, at) => write(`unseen ${at}`, at));
    expect(withoutUnseen([...writes, write('seen', 41), read('seen', 42, 43)])).toHaveLength(2);
  });

  it('refuses an addition that was done twice', () => {
    const add = (output: string, calledAt: number): Observed => ({
      input: { kind: 'add', amount: 1 },
      output,
      calledAt,
      returnedAt: calledAt + 1,
    });
    expect(checkLinearizable(registerModel, [add('1', 0), add('2', 2), read('2', 4, 5)])).toBe(
      'linearizable',
    );
    expect(checkLinearizable(registerModel, [add('1', 0), add('3', 2)])).toBe('violated');
  });

  it('accepts every history made by doing operations one after another inside their intervals', () => {
    const step = fc.record({
      isRead: fc.boolean(),
      value: fc.constantFrom('a', 'b', 'c'),
      early: fc.nat(5),
      late: fc.nat(5),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        let state = '';
        const history = steps.map(({ isRead, value, early, late }, at): Observed => {
          const [calledAt, returnedAt] = [at * 2 - early, at * 2 + 1 + late];
          if (isRead) return read(state, calledAt, returnedAt);
          state = value;
          return write(value, calledAt, returnedAt);
        });
        expect(checkLinearizable(registerModel, history)).toBe('linearizable');
      }),
    );
  });
});
