import { describe, expect, test } from '@jest/globals';
import { changed, KeptSettings, modeOf, PlannerChange, policyOf, settingsView } from './planner-settings.js';

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
});
