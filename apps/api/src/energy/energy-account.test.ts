import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { byHour, energyOf, type NodeDraw } from './energy-account.js';

const node = (more: Partial<NodeDraw> = {}): NodeDraw => ({
  watts: 100,
  isMeasured: false,
  isOff: false,
  idleWatts: 60,
  offeredMilli: 4_000,
  holders: [],
  ...more,
});

describe("a node's energy", () => {
  it('is divided by what is given and by what is used', () => {
    const holders = [
      { drvmId: 'busy', givenMilli: 1_000, usedMilli: 900 },
      { drvmId: 'idle', givenMilli: 2_000, usedMilli: 0 },
    ];
    const energy = energyOf(node({ holders }), 10);
    expect(energy.joules).toBe(1_000);
    // Idle 60 W: a quarter and a half are given, a quarter is nobody's. Work 40 W: all of it is busy's.
    expect(energy.byDrvm.get('busy')).toBe((15 + 40) * 10);
    expect(energy.byDrvm.get('idle')).toBe(30 * 10);
    expect(energy.restJoules).toBe(15 * 10);
    expect(energy).toMatchObject({ onSeconds: 10, offSeconds: 0, allOnJoules: 1_000, measuredJoules: 0 });
  });

  it('of one that is off is compared with what it would have drawn idle, and is nobody’s', () => {
    const holders = [{ drvmId: 'away', givenMilli: 1_000, usedMilli: 0 }];
    expect(energyOf(node({ watts: 2, isOff: true, holders }), 100)).toMatchObject({
      joules: 200,
      allOnJoules: 6_000,
      offSeconds: 100,
      onSeconds: 0,
      restJoules: 200,
    });
  });

  it('that is measured below its model is shared as it is', () => {
    const holders = [{ drvmId: 'a', givenMilli: 4_000, usedMilli: 10 }];
    const energy = energyOf(node({ watts: 45, isMeasured: true, holders }), 1);
    expect(energy).toMatchObject({ joules: 45, measuredJoules: 45 });
    expect(energy.byDrvm.get('a')).toBe(45);
  });

  it('is never more, in its parts, than the whole, and nothing of it is lost', () => {
    const holder = fc.record({
      drvmId: fc.constantFrom('a', 'b', 'c'),
      givenMilli: fc.nat(9_000),
      usedMilli: fc.nat(9_000),
    });
    const draw = fc.record({
      watts: fc.double({ min: 0, max: 2_000, noNaN: true }),
      isMeasured: fc.boolean(),
      isOff: fc.boolean(),
      idleWatts: fc.double({ min: 0, max: 500, noNaN: true }),
      offeredMilli: fc.nat(64_000),
      holders: fc.array(holder, { maxLength: 6 }),
    });
    fc.assert(
      fc.property(draw, fc.double({ min: 0, max: 3_600, noNaN: true }), (some, seconds) => {
        const energy = energyOf(some, seconds);
        const parts = [...energy.byDrvm.values()];
        for (const part of parts) expect(part).toBeGreaterThanOrEqual(0);
        expect(parts.reduce((sum, part) => sum + part, energy.restJoules)).toBeCloseTo(energy.joules, 3);
        expect(energy.allOnJoules).toBeGreaterThanOrEqual(energy.joules - 1e-6);
      }),
    );
  });
});

describe('hours', () => {
  it('divide a time where they meet', () => {
    expect(byHour(3_599_000, 3_601_500)).toEqual([
      { hourMs: 0, seconds: 1 },
      { hourMs: 3_600_000, seconds: 1.5 },
    ]);
    expect(byHour(5, 5)).toEqual([]);
    expect(byHour(10, 5)).toEqual([]);
  });
});
