import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  type FailureAction,
  type FailureMode,
  type FailureRecord,
  type FailureSight,
  fenceAsked,
  judge,
  look,
  releasedBy,
  type Testimony,
  WELL,
} from './failure-state.js';

const HEARD: FailureSight = {
  isHeard: true,
  silentMs: 0,
  isExpectedAway: false,
  isApiAlone: false,
  verdict: null,
  canFence: true,
  fence: null,
  evacuation: null,
  isEmpty: false,
};
const SILENT: FailureSight = { ...HEARD, isHeard: false, silentMs: 10_000 };
const nobody: Testimony['marks'] = [{ host: 'x', port: 1, met: 'timed-out' }];
const LOST = judge([
  { witness: 'b', marks: nobody },
  { witness: 'c', marks: nobody },
]);

/** Looks every two seconds with what `see` sees, as long as it says; gathers what is done and told. */
function run(
  record: FailureRecord,
  rounds: number,
  see: (record: FailureRecord, last: FailureAction[]) => FailureSight,
  mode: FailureMode = 'automatic',
  startMs = 1_000_000,
) {
  const actions: FailureAction[] = [];
  const told: string[] = [];
  let last: FailureAction[] = [];
  let now = startMs;
  for (let round = 0; round < rounds; round++, now += 2_000) {
    const step = look(record, 'n1', see(record, last), now, mode);
    record = step.record;
    last = step.actions;
    actions.push(...step.actions);
    if (step.told) told.push(step.told.kind);
  }
  return { record, actions, told, now };
}
const witnessed = (_: FailureRecord, last: FailureAction[]): FailureSight =>
  last.includes('ask-witnesses') ? { ...SILENT, verdict: LOST } : SILENT;

describe('a node that fell silent', () => {
  it('is suspected, confirmed by others, fenced, and evacuated, each once', () => {
    const { record, actions, told } = run(WELL, 40, (before, last) => {
      const sight = witnessed(before, last);
      if (last.includes('fence')) return { ...sight, fence: { isOff: true, says: 'PowerState is Off' } };
      if (last.includes('evacuate') || (before.phase === 'evacuating' && before.attempts === 0)) {
        return before.phase === 'evacuating'
          ? { ...sight, evacuation: 'succeeded', isEmpty: true }
          : { ...sight, evacuation: 'under-way' };
      }
      return sight;
    });
    expect(record.phase).toBe('evacuated');
    expect(told).toEqual([
      'node.suspect',
      'node.suspect',
      'node.lost',
      'node.fencing',
      'node.fenced',
      'node.evacuated',
    ]);
    expect(actions.filter((action) => action === 'fence')).toHaveLength(1);
    expect(actions.filter((action) => action === 'evacuate')).toHaveLength(1);
    expect(record.evidence.map(({ by }) => by)).toEqual(
      expect.arrayContaining(['heartbeat', 'b', 'c', 'power driver']),
    );
  });

  it('is not confirmed while one other node reaches it, or the API may be the one that is cut off', () => {
    const alive = judge([
      { witness: 'b', marks: nobody },
      { witness: 'c', marks: nobody },
      { witness: 'd', marks: [{ host: 'x', port: 1, met: 'connected' }] },
    ]);
    expect(run(WELL, 100, () => ({ ...SILENT, verdict: alive })).record).toMatchObject({
      phase: 'suspect',
      reason: 'd reached it: it lives, and only its agent is not connected',
    });
    const alone = run(WELL, 100, () => ({ ...SILENT, verdict: LOST, isApiAlone: true }));
    expect(alone.record.phase).toBe('suspect');
    expect(alone.actions).not.toContain('fence');
  });

  it('waits for the operator where nothing can prove that it is off, and in manual mode', () => {
    const noDriver = run(WELL, 60, (before, last) => ({ ...witnessed(before, last), canFence: false }));
    expect(noDriver.record).toMatchObject({
      phase: 'confirmed',
      reason: expect.stringContaining('--confirmed'),
    });
    expect(noDriver.told.filter((kind) => kind === 'node.fence-needed')).toHaveLength(1);
    const manual = run(WELL, 60, witnessed, 'manual');
    expect(manual.record.phase).toBe('confirmed');
    expect(manual.actions).not.toContain('fence');
    const step = fenceAsked(manual.record, 'n1', 'user/anna', true, manual.now);
    expect(step.record).toMatchObject({ phase: 'fenced', reason: 'user/anna confirmed that it is off' });
    expect(step.record.evidence.at(-1)).toMatchObject({ by: 'user/anna', says: 'confirmed that it is off' });
    // In manual mode the evacuation too is the operator's.
    expect(run(step.record, 30, () => SILENT, 'manual').actions).not.toContain('evacuate');
  });

  it('whose power cannot be cut stays confirmed, and is never evacuated', () => {
    const { record, actions, told } = run(WELL, 300, (before, last) => ({
      ...witnessed(before, last),
      fence: last.includes('fence') ? { isOff: false, says: 'no answer' } : null,
    }));
    expect(record.phase).toBe('confirmed');
    expect(actions.filter((action) => action === 'fence')).toHaveLength(3);
    expect(told).toContain('node.fence-failed');
    expect(actions).not.toContain('evacuate');
  });

  it('is left alone when it is off on purpose, or the watch is switched off', () => {
    expect(run(WELL, 50, () => ({ ...SILENT, isExpectedAway: true })).record.phase).toBe('well');
    expect(run(WELL, 50, () => SILENT, 'off').record.phase).toBe('well');
    const suspect = look(WELL, 'n1', SILENT, 1_000, 'automatic').record;
    expect(look(suspect, 'n1', { ...SILENT, isExpectedAway: true }, 2_000, 'automatic').record.phase).toBe(
      'well',
    );
  });
});

describe('a node that comes back', () => {
  it('is welcome, until it has done so three times in an hour; then it is held out, longer each time', () => {
    let record = WELL;
    let now = 1_000_000;
    for (const phase of ['well', 'well', 'held-out'] as const) {
      record = look(record, 'n1', SILENT, now, 'automatic').record;
      now += 10_000;
      const step = look(record, 'n1', HEARD, now, 'automatic');
      expect(step.record.phase).toBe(phase);
      record = step.record;
    }
    expect(record.heldForMs).toBe(600_000);
    const after = run(record, 320, () => HEARD, 'automatic', now);
    expect(after.record.phase).toBe('well');
    expect(after.actions).toEqual(['open']);
    record = look(after.record, 'n1', SILENT, after.now, 'automatic').record;
    const again = look(record, 'n1', HEARD, after.now + 5_000, 'automatic').record;
    expect(again).toMatchObject({ phase: 'held-out', heldForMs: 1_200_000 });
    const released = releasedBy(again, 'n1', 'user/anna', after.now + 6_000);
    expect(released).toMatchObject({
      actions: ['open'],
      record: { phase: 'well', heldForMs: null, returnsMs: [] },
    });
  });

  it('after it was fenced is held out: its containers may be those of DRVMs that live elsewhere', () => {
    for (const phase of ['fencing', 'fenced', 'evacuating', 'evacuated'] as const) {
      const step = look({ ...WELL, phase }, 'n1', HEARD, 1_000, 'automatic');
      expect(step).toMatchObject({ record: { phase: 'held-out' }, actions: ['close'] });
    }
  });
});

describe('witnesses', () => {
  const met = (kind: 'connected' | 'refused' | 'timed-out' | 'unreachable') => [
    { host: 'h', port: 1, met: kind },
  ];
  it('need a majority of those that were asked', () => {
    const absent = { witness: 'w', marks: null };
    expect(judge([]).is).toBe('unclear');
    expect(judge([{ witness: 'a', marks: met('refused') }]).is).toBe('lost');
    expect(judge([{ witness: 'a', marks: met('timed-out') }, absent]).is).toBe('unclear');
    expect(
      judge([{ witness: 'a', marks: met('unreachable') }, { witness: 'b', marks: met('refused') }, absent])
        .is,
    ).toBe('lost');
    expect(
      judge([
        { witness: 'a', marks: [] },
        { witness: 'b', marks: met('refused') },
      ]).is,
    ).toBe('unclear');
  });
});

describe('whatever is seen, and however clocks jump', () => {
  it('nothing is fenced that others reach or the API is too alone to judge, and nothing is evacuated that is not fenced', () => {
    const verdict = fc.option(
      fc.array(
        fc.record({
          witness: fc.constantFrom('a', 'b', 'c'),
          marks: fc.option(
            fc.array(
              fc.record({
                host: fc.constant('h'),
                port: fc.constant(1),
                met: fc.constantFrom('connected' as const, 'refused' as const, 'timed-out' as const),
              }),
              { maxLength: 2 },
            ),
          ),
        }),
        { maxLength: 5 },
      ),
    );
    const round = fc.record({
      pauseMs: fc.oneof(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: -1e10, max: 1e10 })),
      isHeard: fc.boolean(),
      isExpectedAway: fc.boolean(),
      isApiAlone: fc.boolean(),
      canFence: fc.boolean(),
      fenceIsOff: fc.option(fc.boolean()),
      evacuation: fc.constantFrom('under-way' as const, 'succeeded' as const, 'failed' as const, null),
      isEmpty: fc.boolean(),
      verdict,
    });
    const mode = fc.constantFrom('off' as const, 'manual' as const, 'automatic' as const);
    fc.assert(
      fc.property(fc.array(round, { maxLength: 80 }), mode, (rounds, how) => {
        let record = WELL;
        let now = 1e12;
        let isProven = false;
        let wasLost = false;
        for (const seen of rounds) {
          now += seen.pauseMs;
          const judged = seen.verdict === null ? null : judge(seen.verdict);
          const step = look(
            record,
            'n1',
            {
              ...seen,
              silentMs: 9_000,
              verdict: judged,
              fence: seen.fenceIsOff === null ? null : { isOff: seen.fenceIsOff, says: '' },
            },
            now,
            how,
          );
          if (step.record.phase === 'confirmed' && record.phase === 'suspect') {
            expect(judged?.is).toBe('lost');
            expect(seen.isApiAlone).toBe(false);
            wasLost = true;
          }
          if (step.actions.includes('fence')) {
            expect(how).toBe('automatic');
            expect(wasLost).toBe(true);
          }
          if (step.record.phase === 'fenced' && record.phase === 'fencing') {
            expect(seen.fenceIsOff).toBe(true);
            isProven = true;
          }
          if (step.actions.includes('evacuate')) expect(isProven && how === 'automatic').toBe(true);
          if (step.record.phase === 'well') isProven = wasLost = false;
          if (seen.isHeard) expect(['well', 'held-out']).toContain(step.record.phase);
          expect(step.record.evidence.length).toBeLessThanOrEqual(50);
          record = step.record;
        }
      }),
    );
  });

  it('a single jump ahead confirms nothing', () => {
    const suspect = look(WELL, 'n1', SILENT, 1_000, 'automatic').record;
    const step = look(suspect, 'n1', { ...SILENT, verdict: LOST }, 1e12, 'automatic');
    expect(step.record.phase).toBe('suspect');
  });
});
