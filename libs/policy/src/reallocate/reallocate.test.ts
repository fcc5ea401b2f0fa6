import { describe, expect, it } from '@jest/globals';
import { ClusterState } from '../plan/cluster-state.js';
import { aCluster, aNode, inputFor, type SliceWords } from '../testing/cluster-builder.js';
import { planReallocation } from './reallocate.js';

/** What each DRVM holds on the one node after the plan, in thousandths of a vCPU. */
function heldAfter(slices: SliceWords[], drvms = {}): Record<string, number> {
  const snapshot = aCluster([aNode('a')], slices, drvms);
  const state = new ClusterState(snapshot);
  for (const step of planReallocation(inputFor(snapshot)).steps) state.apply(step);
  return Object.fromEntries(state.snapshot().slices.map(({ drvmId, held }) => [drvmId, held.cpuMilli]));
}

const idle = { node: 'a', guaranteed: 1000, ceiling: 4000 };

describe('reallocation', () => {
  it('lends what is free, and what is held above the need, up to the ceiling', () => {
    expect(
      heldAfter([
        { ...idle, drvm: 'sleepy', held: 3000, wants: [100] },
        { ...idle, drvm: 'needy', ceiling: 2800, wants: [5000] },
      ]),
    ).toEqual({ sleepy: 1000, needy: 2800 });
  });

  it('gives back to the owner that wakes, and never below a guarantee', () => {
    expect(
      heldAfter([
        { ...idle, drvm: 'owner', wants: [3000] },
        { ...idle, drvm: 'borrower', held: 3000, wants: [3000] },
      ]),
    ).toEqual({ owner: 2000, borrower: 2000 });
  });

  it('shares by weight between those that all want more', () => {
    const held = heldAfter(
      [
        { ...idle, drvm: 'one', guaranteed: 500, wants: [4000] },
        { ...idle, drvm: 'three', guaranteed: 500, wants: [4000] },
      ],
      { three: { weight: 3 } },
    );
    // 3 vCPU are borrowed, one part to three.
    expect(held.one).toBeCloseTo(1250, -2);
    expect(held.three).toBeCloseTo(2750, -2);
  });

  it('lets an idle loan be for a while when nobody misses it', () => {
    const snapshot = aCluster([aNode('a')], [{ ...idle, drvm: 'sleepy', held: 3000, wants: [100] }]);
    const fresh = {
      ...snapshot,
      slices: snapshot.slices.map((slice) => ({ ...slice, idleSinceMs: snapshot.atMs })),
    };
    expect(planReallocation(inputFor(fresh)).steps).toEqual([]);
    expect(planReallocation(inputFor(snapshot)).steps).toMatchObject([
      { why: { code: 'holds-more-than-it-needs' }, after: { cpuMilli: 1000 } },
    ]);
  });

  it('leaves CPU to whoever else lends it, says so, and lends memory all the same', () => {
    const snapshot = aCluster(
      [aNode('a')],
      [
        { ...idle, drvm: 'sleepy', held: 3000, wants: [100] },
        { ...idle, drvm: 'needy', ceiling: 2800, wants: [5000] },
      ],
    );
    const needy = snapshot.slices[1]!;
    needy.ceiling = { ...needy.ceiling, memoryMiB: 2048 };
    needy.wanted = { ...needy.wanted, memoryMiB: 1500 };
    const { steps, rejected } = planReallocation(inputFor(snapshot), false);
    expect(steps).toEqual([
      expect.objectContaining({
        drvm: 'needy',
        before: expect.objectContaining({ cpuMilli: 1000, memoryMiB: 1024 }),
        after: expect.objectContaining({ cpuMilli: 1000, memoryMiB: 1664 }),
      }),
    ]);
    expect(rejected).toEqual([
      expect.objectContaining({ what: 'sleepy@a', rule: 'lending', when: 'not-now' }),
      expect.objectContaining({ what: 'needy@a', rule: 'lending', when: 'not-now' }),
    ]);
  });

  it('names who goes without', () => {
    const snapshot = aCluster(
      [aNode('a')],
      [
        { ...idle, drvm: 'full', guaranteed: 3000, wants: [3000] },
        { ...idle, drvm: 'needy', guaranteed: 1000, wants: [3000] },
      ],
    );
    expect(planReallocation(inputFor(snapshot)).rejected).toContainEqual(
      expect.objectContaining({ what: 'needy@a', rule: 'nothing-to-lend' }),
    );
  });
});
