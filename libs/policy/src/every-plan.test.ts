import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  type ClusterSnapshot,
  ClusterState,
  type Plan,
  type PlanInput,
  planBalance,
  planConsolidation,
  planDrain,
  planEvacuation,
  plannerPolicy,
  planReallocation,
  planWake,
} from './index.js';
import { scoreOf } from './plan/score.js';
import { excessOf, totalsOf, violationsOf } from './testing/invariants.js';
import { randomCluster } from './testing/random-cluster.js';

/** Random clusters for each planner; set DRVS_PROPERTY_RUNS for a longer hunt. */
const RUNS = Number(process.env.DRVS_PROPERTY_RUNS ?? 120);

const anyCluster = fc
  .record({
    seed: fc.nat(),
    nodes: fc.integer({ min: 1, max: 10 }),
    drvms: fc.integer({ min: 0, max: 12 }),
    heat: fc.double({ min: 0, max: 1.5, noNaN: true }),
    hasOff: fc.boolean(),
    hasLost: fc.boolean(),
  })
  .map(randomCluster);

const anyPolicy = fc
  .record({
    hotHoldSeconds: fc.constantFrom(0, 300),
    coldHoldSeconds: fc.constantFrom(0, 2400),
    coolDownSeconds: fc.constantFrom(60, 1800),
    movesPerHourPerNode: fc.constantFrom(0, 1, 100),
    power: fc.record({ nodesMin: fc.integer({ min: 0, max: 3 }), offSeconds: fc.constantFrom(60, 3600) }),
    reallocate: fc.record({ idleHoldSeconds: fc.constantFrom(0, 120) }),
  })
  .map(plannerPolicy);

const anyInput: fc.Arbitrary<PlanInput> = fc.record({
  snapshot: anyCluster,
  policy: anyPolicy,
  seed: fc.nat(),
});

/** Carries a plan out step by step, looking at the whole cluster after each. */
function carryOut(snapshot: ClusterSnapshot, plan: Plan): ClusterSnapshot {
  const state = new ClusterState(snapshot);
  const before = violationsOf(snapshot);
  let excess = excessOf(snapshot);
  for (const step of plan.steps) {
    state.apply(step);
    const now = excessOf(state.snapshot());
    for (const [place, amount] of now) expect(amount).toBeLessThanOrEqual(excess.get(place) ?? 0);
    excess = now;
    expect(violationsOf(state.snapshot()).filter((violation) => !before.includes(violation))).toEqual([]);
    expect(step.reason).not.toBe('');
  }
  const after = state.snapshot();
  expect(totalsOf(after)).toEqual(totalsOf(snapshot));
  return after;
}

function promises(
  name: string,
  plan: (input: PlanInput) => Plan,
  goal: (plan: Plan, after: ClusterSnapshot, input: PlanInput) => void,
  given: (input: PlanInput) => PlanInput = (input) => input,
): void {
  it(`${name}: valid after every step, as predicted, the same for the same input, and empty when made again`, () => {
    fc.assert(
      fc.property(anyInput.map(given), (input) => {
        const copy = JSON.stringify(input.snapshot);
        const made = plan(input);
        expect(JSON.stringify(plan(input))).toBe(JSON.stringify(made));
        const after = carryOut(input.snapshot, made);
        expect(JSON.stringify(input.snapshot)).toBe(copy);
        const score = scoreOf(after);
        expect(made.gain).toMatchObject({
          strainAfter: score.strain,
          wattsAfter: score.watts,
          nodesOnAfter: score.nodesOn,
          unmetCpuMilliAfter: score.unmetCpuMilli,
        });
        goal(made, after, input);
        expect(plan({ ...input, snapshot: after }).steps).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });
}

describe('every plan', () => {
  promises('balance', planBalance, ({ steps, gain }) => {
    if (steps.length > 0) expect(gain.strainAfter).toBeLessThan(gain.strainBefore);
  });

  promises('consolidate', planConsolidation, ({ steps, gain }, after, { policy }) => {
    if (steps.length === 0) return;
    expect(gain.wattsAfter).toBeLessThan(gain.wattsBefore);
    expect(after.nodes.filter(({ state }) => state === 'up').length).toBeGreaterThanOrEqual(
      policy.power.nodesMin,
    );
  });

  promises('reallocate', planReallocation, ({ steps }) => {
    for (const { action } of steps) expect(action).toBe('resize-slice');
  });

  promises('power', planWake, ({ steps }) => {
    for (const { action } of steps) expect(action).toBe('power-on');
  });

  promises(
    'drain',
    (input) => {
      const up = input.snapshot.nodes.find(({ state }) => state === 'up');
      return up ? planDrain(input, up.id) : planBalance(input);
    },
    (plan, after) => {
      if (plan.kind !== 'drain') return;
      const drained = after.nodes.find(({ state }) => state === 'up')?.id;
      const left = after.slices.filter(({ nodeId }) => nodeId === drained).map(({ drvmId }) => drvmId);
      // Nothing is left, or exactly what is left is named with why.
      expect(left.length).toBe(plan.rejected.length);
    },
  );

  promises(
    'evacuate',
    (input) => planEvacuation(input, 'n0'),
    ({ rejected }, after) => {
      const left = after.slices.filter(({ nodeId }) => nodeId === 'n0');
      expect(left.length).toBe(rejected.length);
    },
    // The first node is lost, and it is proven.
    (input) => ({
      ...input,
      snapshot: {
        ...input.snapshot,
        nodes: input.snapshot.nodes.map((node, n) =>
          n === 0 ? { ...node, state: 'down', isFenced: true } : node,
        ),
      },
    }),
  );
});
