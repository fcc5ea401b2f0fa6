import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  actionFailed,
  askedOff,
  askedOn,
  LOOK_COUNTS_MS,
  look,
  type PowerAction,
  type PowerLimits,
  type PowerRecord,
  type PowerSight,
  QUARANTINE_AFTER,
  released,
  SILENT_FOR_MS,
} from './power-state.js';

const LIMITS: PowerLimits = {
  gracefulMs: 60_000,
  cutMs: 30_000,
  bootMs: 90_000,
  joinMs: 60_000,
  canCut: true,
};
const DARK: PowerSight = { reading: 'off', isHeard: false, silentMs: 60_000, hasInventory: false };
const ALIVE: PowerSight = { reading: 'on', isHeard: true, silentMs: 0, hasInventory: true };
const MUTE: PowerSight = { reading: 'on', isHeard: false, silentMs: 60_000, hasInventory: false };

const at = (state: PowerRecord['state'], more: Partial<PowerRecord> = {}): PowerRecord => ({
  state,
  sinceMs: 0,
  lookedAtMs: 0,
  leftMs: null,
  attempts: 0,
  failures: 0,
  reason: '',
  ...more,
});

/** Looks every ten seconds until the state is another one, or a thousand times. */
function run(
  record: PowerRecord,
  sight: PowerSight,
  limits = LIMITS,
): { record: PowerRecord; actions: PowerAction[] } {
  const actions: PowerAction[] = [];
  const { state } = record;
  for (let round = 0, now = 0; round < 1_000 && record.state === state; round++, now += 10_000) {
    const step = look(record, sight, now, limits);
    record = step.record;
    if (step.action) actions.push(step.action);
  }
  return { record, actions };
}

describe('switching off', () => {
  it('asks gently, and is done when the driver reads it', () => {
    const asked = askedOff(at('on'), 'anna', 0) as PowerRecord;
    const first = look(asked, ALIVE, 0, LIMITS);
    expect(first.action).toBe('ask-off');
    const second = look(first.record, DARK, 1_000, LIMITS);
    expect(second).toMatchObject({ entered: 'off', action: null, record: { state: 'off', leftMs: null } });
  });

  it('cuts the power of one that does not end by itself, and says so when that fails too', () => {
    const { record, actions } = run(askedOff(at('on'), 'anna', 0) as PowerRecord, ALIVE);
    expect(actions).toEqual(['ask-off', 'cut', 'cut']);
    expect(record).toMatchObject({ state: 'failed', reason: 'it did not go off in 3 tries' });
  });

  it('takes the silence of one that was asked for off where nothing reads its power', () => {
    const blind = { ...LIMITS, canCut: false };
    const asked = look(
      askedOff(at('on'), 'anna', 0) as PowerRecord,
      { ...MUTE, reading: 'unknown' },
      0,
      blind,
    );
    expect(asked.action).toBe('ask-off');
    const early = look(
      asked.record,
      { ...MUTE, reading: 'unknown', silentMs: SILENT_FOR_MS - 1 },
      100,
      blind,
    );
    expect(early.entered).toBeNull();
    const late = look(early.record, { ...MUTE, reading: 'unknown', silentMs: SILENT_FOR_MS }, 200, blind);
    expect(late.record).toMatchObject({ state: 'off' });
    expect(late.record.reason).toContain('nothing can read its power');
  });

  it('never takes the silence of one that could not be asked for off', () => {
    const blind = { ...LIMITS, canCut: false };
    const { record } = look(askedOff(at('on'), 'anna', 0) as PowerRecord, MUTE, 0, blind);
    const after = actionFailed(record, 'ask-off', 'its agent is away', blind, 10);
    expect(after).toMatchObject({ state: 'failed', reason: 'its agent is away' });
  });
});

describe('switching on', () => {
  it('is done only with heartbeat and inventory, not with the power', () => {
    let record = askedOn(at('off'), 'anna', 0) as PowerRecord;
    record = look(record, DARK, 0, LIMITS).record;
    expect(look(record, MUTE, 1_000, LIMITS)).toMatchObject({ action: null, entered: null });
    const heard = look(record, { ...ALIVE, hasInventory: false }, 2_000, LIMITS);
    expect(heard).toMatchObject({ entered: 'joining', record: { state: 'joining' } });
    expect(look(heard.record, { ...ALIVE, hasInventory: false }, 3_000, LIMITS).record.state).toBe('joining');
    expect(look(heard.record, ALIVE, 4_000, LIMITS)).toMatchObject({
      entered: 'on',
      record: { failures: 0 },
    });
  });

  it('switches again what stays dark, cycles what hangs, and then gives up', () => {
    const asked = askedOn(at('off'), 'anna', 0) as PowerRecord;
    expect(run(asked, DARK).actions).toEqual(['switch-on', 'switch-on', 'switch-on']);
    expect(run(asked, MUTE)).toMatchObject({
      actions: ['switch-on', 'cycle', 'cycle'],
      record: { state: 'failed', failures: 1 },
    });
  });

  it(`quarantines one that failed ${QUARANTINE_AFTER} times in a row until it is released`, () => {
    let record = at('off');
    for (let time = 0; time < QUARANTINE_AFTER; time++)
      record = run(askedOn(record, 'x', 0) as PowerRecord, DARK).record;
    expect(record).toMatchObject({ state: 'quarantined', failures: QUARANTINE_AFTER });
    expect(askedOn(record, 'x', 0)).toBe('refused');
    expect(askedOff(record, 'x', 0)).toBe('refused');
    expect(released(record, false, 'released', 5)).toMatchObject({ state: 'off', failures: 0 });
    expect(released(record, true, 'released', 5)).toMatchObject({ state: 'on', failures: 0 });
  });

  it('begins again with one that is heard and never joins', () => {
    const { record } = look(
      at('joining', { attempts: 1, leftMs: 10 }),
      { ...ALIVE, hasInventory: false },
      1_000,
      LIMITS,
    );
    expect(record).toMatchObject({ state: 'powering-on', attempts: 2 });
  });
});

describe('what happens without being asked for', () => {
  it('sees that somebody switched it on by hand', () => {
    expect(look(at('off'), { ...ALIVE, hasInventory: false }, 9, LIMITS)).toMatchObject({
      entered: 'joining',
    });
    expect(look(at('off'), MUTE, 9, LIMITS)).toMatchObject({ entered: null, action: null });
  });

  it('takes a failed one that came back, and counts its failures on until it was switched well', () => {
    expect(look(at('failed', { failures: 1 }), ALIVE, 9, LIMITS).record).toMatchObject({
      state: 'on',
      failures: 1,
    });
  });

  it('leaves nodes that are on, off or quarantined alone', () => {
    for (const state of ['on', 'off', 'quarantined', 'failed'] as const) {
      expect(run(at(state), DARK)).toMatchObject({ actions: [], record: { state } });
    }
  });
});

describe('clocks that jump', () => {
  it('count for little when they jump ahead, and for nothing when they jump back', () => {
    const { record } = look(askedOn(at('off'), 'x', 0) as PowerRecord, DARK, 0, LIMITS);
    const ahead = look(record, DARK, 1e12, LIMITS);
    expect(ahead.record.leftMs).toBe(LIMITS.bootMs - LOOK_COUNTS_MS);
    const back = look(ahead.record, DARK, 5_000, LIMITS);
    expect(back.record).toMatchObject({ leftMs: LIMITS.bootMs - LOOK_COUNTS_MS, state: 'powering-on' });
  });

  it('whatever is seen and whenever: each try is bounded, and the states are those of the table', () => {
    const sight = fc.record({
      reading: fc.constantFrom('on' as const, 'off' as const, 'unknown' as const),
      isHeard: fc.boolean(),
      silentMs: fc.integer({ min: 0, max: 100_000 }),
      hasInventory: fc.boolean(),
    });
    const round = fc.record({
      sight,
      pauseMs: fc.integer({ min: -1e9, max: 1e9 }),
      ask: fc.constantFrom('on' as const, 'off' as const, null),
      fails: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(round, { maxLength: 60 }), fc.boolean(), (rounds, canCut) => {
        const limits = { ...LIMITS, canCut };
        let record = at('on');
        let now = 0;
        for (const { sight: seen, pauseMs, ask, fails } of rounds) {
          now += pauseMs;
          const asked = ask === null ? null : (ask === 'on' ? askedOn : askedOff)(record, 'x', now);
          if (asked !== null && asked !== 'refused') record = asked;
          const step = look(record, seen, now, limits);
          record =
            step.action && fails ? actionFailed(step.record, step.action, 'no', limits, now) : step.record;
          if (step.action === 'cut' || step.action === 'cycle') expect(canCut).toBe(true);
          expect(record.attempts).toBeLessThanOrEqual(3);
          expect(record.leftMs === null || record.leftMs >= 0).toBe(true);
          if (record.leftMs !== null)
            expect(['powering-off', 'powering-on', 'joining']).toContain(record.state);
        }
      }),
    );
  });
});
