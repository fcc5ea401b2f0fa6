import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { planBalance, planConsolidation, planDrain, plannerPolicy, planReallocation } from '../index.js';
import type { ClusterSnapshot } from '../snapshot/cluster-snapshot.js';
import { excessOf, totalsOf, violationsOf } from '../testing/invariants.js';
import { randomCluster } from '../testing/random-cluster.js';
import { ClusterState } from './cluster-state.js';
import type { PlanInput } from './complete-plan.js';
import { phasesOfSteps } from './phases.js';
import type { Plan, PlanStep } from './plan.js';
import { randomFrom } from './seed.js';

const RUNS = Number(process.env.DRVS_PROPERTY_RUNS ?? 60);
const LIMITS = { slicesPerNode: 2, processesPerNode: 4 };

const policy = plannerPolicy({
  hotHoldSeconds: 0,
  coldHoldSeconds: 0,
  coolDownSeconds: 0,
  movesPerHourPerNode: 1000,
  hotUtilisation: 0.7,
  targetUtilisation: 0.5,
  coldUtilisation: 0.45,
  power: { headroomKept: 0.01, headroomLeast: 0 },
  reallocate: { idleHoldSeconds: 0 },
});

const planners: Record<string, (input: PlanInput) => Plan> = {
  balance: (input) => planBalance(input),
  consolidate: (input) => planConsolidation(input),
  reallocate: (input) => planReallocation(input),
  drain: (input) => {
    const up = input.snapshot.nodes.find(({ state }) => state === 'up');
    return up ? planDrain(input, up.id) : planBalance(input);
  },
};

/** The steps in an order that running the phases one after another, each at once, could have had. */
function interleaved(steps: readonly PlanStep[], phases: readonly number[], seed: number): PlanStep[] {
  const random = randomFrom(seed);
  const keys = steps.map((_, place) => ({ place, phase: phases[place], chance: random() }));
  keys.sort((a, b) => a.phase - b.phase || a.chance - b.chance);
  return keys.map(({ place }) => steps[place]);
}

function carryOut(snapshot: ClusterSnapshot, steps: readonly PlanStep[]): ClusterSnapshot {
  const state = new ClusterState(snapshot);
  const before = violationsOf(snapshot);
  let excess = excessOf(snapshot);
  for (const step of steps) {
    state.apply(step);
    const now = state.snapshot();
    expect(violationsOf(now).filter((violation) => !before.includes(violation))).toEqual([]);
    const over = excessOf(now);
    for (const [place, amount] of over) expect(amount).toBeLessThanOrEqual(excess.get(place) ?? 0);
    excess = over;
  }
  return state.snapshot();
}

describe('the phases of a plan', () => {
  for (const [kind, plan] of Object.entries(planners)) {
    it(`${kind}: the cluster is valid after every single step in any interleaving, and ends the same`, () => {
      let parallel = 0;
      fc.assert(
        fc.property(
          fc.nat(),
          fc.nat(),
          fc.integer({ min: 2, max: 10 }),
          fc.boolean(),
          (seed, order, nodes, hasOff) => {
            const snapshot = randomCluster({ seed, nodes, drvms: 12, heat: 1.1, hasOff });
            const { steps } = plan({ snapshot, policy, seed: 1 });
            const phases = phasesOfSteps(snapshot, steps, LIMITS);
            if (new Set(phases).size < steps.length) parallel++;
            const serial = carryOut(snapshot, steps);
            const mixed = carryOut(snapshot, interleaved(steps, phases, order));
            expect(totalsOf(mixed)).toEqual(totalsOf(snapshot));
            const byKey = (a: object, b: object) => JSON.stringify(a).localeCompare(JSON.stringify(b));
            expect([...mixed.slices].sort(byKey)).toEqual([...serial.slices].sort(byKey));
            expect([...mixed.processes].sort(byKey)).toEqual([...serial.processes].sort(byKey));
            expect(mixed.nodes).toEqual(serial.nodes);
          },
        ),
        { numRuns: RUNS },
      );
      expect(parallel).toBeGreaterThan(0);
    });
  }

  it('keep to the limits of each node, and let slices of different DRVMs leave a node beside each other', () => {
    const snapshot = randomCluster({ seed: 5, nodes: 8, drvms: 40, heat: 0.2, hasOff: false });
    const node = snapshot.nodes.find(
      ({ id }) => snapshot.slices.filter(({ nodeId }) => nodeId === id).length >= 4,
    );
    const { steps } = planDrain({ snapshot, policy, seed: 1 }, node?.id ?? '');
    const phases = phasesOfSteps(snapshot, steps, LIMITS);
    const moves = steps.flatMap((step, place) =>
      step.action === 'move-slice' ? [{ step, phase: phases[place] }] : [],
    );
    expect(moves.length).toBeGreaterThanOrEqual(4);
    const inPhase = Map.groupBy(moves, ({ phase }) => phase);
    for (const group of inPhase.values()) {
      expect(group.length).toBeLessThanOrEqual(LIMITS.slicesPerNode);
      expect(new Set(group.map(({ step }) => step.drvm)).size).toBe(group.length);
    }
    expect(Math.max(...[...inPhase.values()].map(({ length }) => length))).toBe(LIMITS.slicesPerNode);
    const cordon = steps.findIndex(({ action }) => action === 'cordon');
    if (cordon >= 0) for (const { phase } of moves) expect(phase).toBeGreaterThan(phases[cordon]);
  });

  it('switch a node off only when all have left it, and on before anything comes', () => {
    const amounts = { cpuMilli: 1, memoryMiB: 1, diskGiB: 0, networkMbps: 0 };
    const told = { reason: 'r', why: { code: 'empty-node' as const, data: {} } };
    const priced = { bytes: 1, pauseMs: 1, seconds: 1 };
    const move = (drvm: string, from: string, to: string): PlanStep => ({
      action: 'move-slice',
      drvm,
      from,
      to,
      guaranteed: amounts,
      ceiling: amounts,
      held: amounts,
      pids: [],
      merges: false,
      ...priced,
      ...told,
    });
    const steps: PlanStep[] = [
      { action: 'power-on', node: 'c', watts: 1, seconds: 1, ...told },
      { action: 'cordon', node: 'a', ...told },
      move('x', 'a', 'c'),
      move('y', 'a', 'b'),
      move('z', 'd', 'e'),
      { action: 'power-off', node: 'a', watts: 1, seconds: 0, ...told },
    ];
    const snapshot = { nodes: [], drvms: [] };
    expect(phasesOfSteps(snapshot, steps, LIMITS)).toEqual([0, 0, 1, 1, 0, 2]);
  });
});
