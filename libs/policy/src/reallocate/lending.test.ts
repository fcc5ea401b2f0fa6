import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type CpuSlice, isIdle, isPressed, planLending } from './lending.js';

const NOW = 1_000_000;

const slice = (id: string, more: Partial<CpuSlice> = {}): CpuSlice => ({
  id,
  nodeId: 'node',
  drvmId: id,
  tenantId: id,
  weight: 1,
  guaranteed: 1000,
  ceiling: 1000,
  held: 1000,
  used: 0,
  idleSinceMs: null,
  isFixed: false,
  isStopped: false,
  ...more,
});
const asleep = { used: 5, idleSinceMs: NOW - 10_000 };
const needy = { ceiling: 2000, used: 990 };

const lent = (slices: CpuSlice[], capacity = 2000): Record<string, number> => {
  const held = Object.fromEntries(slices.map(({ id, held: has }) => [id, has]));
  for (const { id, to } of planLending(slices, new Map([['node', capacity]]), NOW)) held[id] = to;
  return held;
};

describe('lending', () => {
  it('lends what an idle owner is guaranteed above its need, up to the ceiling of who is pressed', () => {
    expect(lent([slice('owner', asleep), slice('needy', needy)])).toEqual({ owner: 200, needy: 1800 });
    expect(lent([slice('owner', asleep), slice('needy', { ...needy, ceiling: 1300 })])).toEqual({
      owner: 700,
      needy: 1300,
    });
  });

  it('lends what is free before anything that is guaranteed', () => {
    expect(lent([slice('owner', asleep), slice('needy', needy)], 2600)).toEqual({ owner: 600, needy: 2000 });
    expect(lent([slice('owner', asleep), slice('needy', needy)], 3000)).toEqual({ owner: 1000, needy: 2000 });
  });

  it('gives an owner that wakes all of its guarantee back at once', () => {
    expect(
      lent([
        slice('owner', { held: 200, used: 190, idleSinceMs: null }),
        slice('needy', { ...needy, held: 1800, used: 1800 }),
      ]),
    ).toEqual({ owner: 1000, needy: 1000 });
  });

  it('leaves those alone that use what they have, and those that have only just become quiet', () => {
    const pressed = slice('needy', needy);
    expect(lent([slice('owner', { used: 950 }), pressed])).toEqual({ owner: 1000, needy: 1000 });
    expect(lent([slice('owner', { used: 5, idleSinceMs: NOW - 1_000 }), pressed])).toEqual({
      owner: 1000,
      needy: 1000,
    });
  });

  it('gives back what nobody wants any more', () => {
    const slices = [
      slice('owner', { ...asleep, held: 200 }),
      slice('needy', { ...needy, held: 1800, used: 20, idleSinceMs: NOW - 60_000 }),
    ];
    expect(lent(slices)).toEqual({ owner: 1000, needy: 1000 });
  });

  it('shares by the weights of the tenants, whatever the number of their DRVMs', () => {
    const borrower = (id: string, tenantId: string, weight: number) =>
      slice(id, { tenantId, weight, guaranteed: 100, held: 100, used: 100, ceiling: 5000 });
    const held = lent([borrower('a', 'one', 1), borrower('b', 'three', 3), borrower('c', 'three', 3)], 4300);
    expect(held.a! - 100).toBeCloseTo(1000, -2);
    expect(held.b! + held.c! - 200).toBeCloseTo(3000, -2);
    expect(held.a! + held.b! + held.c!).toBeLessThanOrEqual(4300);
  });

  it('takes from a stopped owner all but the least, and gives one that is being changed its guarantee', () => {
    expect(lent([slice('owner', { isStopped: true }), slice('needy', needy)])).toEqual({
      owner: 50,
      needy: 1950,
    });
    expect(
      lent([
        slice('owner', { isFixed: true, held: 200 }),
        slice('needy', { ...needy, held: 1800, used: 1800 }),
      ]),
    ).toEqual({ owner: 1000, needy: 1000 });
  });

  it('never gives more than there is, nor less than a wanted guarantee, and comes to rest', () => {
    const arbitrary = fc.record({
      nodeId: fc.constantFrom('a', 'b'),
      tenantId: fc.constantFrom('t', 'u'),
      weight: fc.constantFrom(0.5, 1, 4),
      guaranteed: fc.integer({ min: 50, max: 800 }),
      spare: fc.integer({ min: 0, max: 1500 }),
      demand: fc.integer({ min: 0, max: 2000 }),
      idle: fc.boolean(),
      isFixed: fc.boolean(),
      isStopped: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(arbitrary, { minLength: 1, maxLength: 8 }), fc.nat(1000), (drawn, more) => {
        const slices = drawn.map(({ spare, demand, idle, ...rest }, index) => {
          const { guaranteed } = rest;
          const own = { ...rest, held: guaranteed, used: Math.min(demand, guaranteed) };
          return {
            demand: rest.isStopped ? 0 : demand,
            slice: slice(String(index), {
              ...own,
              ceiling: guaranteed + spare,
              idleSinceMs: idle && isIdle(own) ? NOW - 60_000 : null,
            }),
          };
        });
        const capacity = new Map(
          ['a', 'b'].map((nodeId) => [
            nodeId,
            more +
              slices.reduce((sum, { slice: one }) => sum + (one.nodeId === nodeId ? one.guaranteed : 0), 0),
          ]),
        );
        let changes = -1;
        for (let round = 0; round < 12 && changes !== 0; round++) {
          const plan = planLending(
            slices.map(({ slice: one }) => one),
            capacity,
            NOW,
          );
          changes = plan.length;
          for (const { id, to } of plan) slices[Number(id)]!.slice.held = to;
          for (const one of slices) {
            one.slice.used = Math.min(one.demand, one.slice.held);
            if (isPressed(one.slice)) one.slice.idleSinceMs = null;
          }
          for (const nodeId of ['a', 'b']) {
            const here = slices.filter(({ slice: one }) => one.nodeId === nodeId);
            expect(here.reduce((sum, { slice: one }) => sum + one.held, 0)).toBeLessThanOrEqual(
              capacity.get(nodeId)!,
            );
          }
          for (const { slice: one } of slices) {
            expect(one.held).toBeLessThanOrEqual(Math.max(one.ceiling, one.guaranteed));
            expect(one.held).toBeGreaterThanOrEqual(Math.min(50, one.guaranteed));
          }
        }
        for (const { slice: one, demand } of slices)
          if (!one.isStopped && demand >= one.guaranteed)
            expect(one.held).toBeGreaterThanOrEqual(one.guaranteed);
      }),
      { numRuns: 300 },
    );
  });
});
