import { describe, expect, test } from '@jest/globals';
import {
  changed,
  KeptSettings,
  modeOf,
  PlannerChange,
  policyOf,
  requireKept,
  settingsView,
} from './planner-settings.js';

const fresh = KeptSettings.parse({});
const change = (input: object) => changed(fresh, PlannerChange.parse(input));
const window = (effect: string, from: string, to: string, more: object = {}) => ({
  kinds: ['balance'],
  effect,
  from,
  to,
  ...more,
});

describe('what the planners go by', () => {
  test('is the default until somebody sets it, and again when it is unset', () => {
    expect(modeOf(fresh, 'balance')).toBe('manual');
    expect(policyOf(fresh).hotUtilisation).toBe(0.81);
    const set = change({ policy: { hotUtilisation: 0.9, power: { nodesMin: 3, payback: 4 } } });
    expect(policyOf(set)).toMatchObject({
      hotUtilisation: 0.9,
      power: { nodesMin: 3, payback: 4, offSeconds: 3600 },
    });
    expect(settingsView(set).changed).toEqual(['hotUtilisation', 'power.nodesMin', 'power.payback']);
    const back = changed(
      set,
      PlannerChange.parse({ policy: { hotUtilisation: null, power: { payback: null } } }),
    );
    expect(settingsView(back).changed).toEqual(['power.nodesMin']);
  });

  test('keeps what a change does not name', () => {
    const first = change({ modes: { balance: 'automatic' }, windows: [window('quiet', '08:00', '18:00')] });
    const second = changed(first, PlannerChange.parse({ modes: { power: 'off' } }));
    expect(second.modes).toEqual({ balance: 'automatic', power: 'off' });
    expect(second.windows).toHaveLength(1);
  });

  test('is refused where it contradicts itself', () => {
    expect(() => change({ policy: { targetUtilisation: 0.99 } })).toThrow('contradicts itself');
    const only = window('only', '22:00', '04:00');
    expect(() => change({ windows: [only, window('quiet', '21:00', '05:00')] })).toThrow(
      'contradicts itself',
    );
    expect(() => change({ windows: [only, window('quiet', '00:00', '00:00')] })).toThrow(
      'contradicts itself',
    );
    // Some of the time is left, or another zone's clock decides.
    change({ windows: [only, window('quiet', '23:00', '05:00')] });
    change({ windows: [only, window('quiet', '21:00', '05:00', { timeZone: 'Asia/Tokyo' })] });
    change({ windows: [only, window('quiet', '21:00', '05:00', { days: ['mon'] })] });
  });

  test('is refused where several quiet windows leave no time, or what acts by itself may never act', () => {
    const only = window('only', '22:00', '04:00');
    const halves = [window('quiet', '21:00', '01:00'), window('quiet', '01:00', '05:00')];
    expect(() => change({ windows: [only, ...halves] })).toThrow('all of that is quiet');
    change({ windows: [only, halves[0]] });
    const always = [window('quiet', '00:00', '12:00'), window('quiet', '12:00', '00:00')];
    change({ windows: always });
    expect(() => change({ modes: { balance: 'automatic' }, windows: always })).toThrow(
      'every minute of the week',
    );
    const week = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
    change({ modes: { balance: 'automatic' }, windows: [window('quiet', '00:00', '00:00', { days: week })] });
    expect(() => change({ modes: { balance: 'automatic' }, policy: { movesPerHourPerNode: 0 } })).toThrow(
      'no move is allowed',
    );
    expect(() => change({ modes: { consolidate: 'automatic', power: 'off' } })).toThrow('wake them again');
    for (const policy of [
      { power: { headroomKept: 1 } },
      { power: { offSeconds: 0 } },
      { balance: { horizonSeconds: 0 } },
    ])
      expect(() => change({ policy })).toThrow('contradicts itself');
  });

  test('is refused where the cluster cannot keep it, which is asked of what is changed only', () => {
    const nodesMin = (value: number | null) =>
      PlannerChange.parse({ policy: { power: { nodesMin: value } } });
    expect(() => requireKept(nodesMin(5), 3)).toThrow('5 nodes are to stay on, and the cluster has 3');
    requireKept(nodesMin(3), 3);
    requireKept(nodesMin(null), 3);
    requireKept(nodesMin(5), 0);
    requireKept(PlannerChange.parse({ policy: { hotUtilisation: 0.9 } }), 3);
  });
});
