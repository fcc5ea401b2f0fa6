import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ClusterState } from '../plan/cluster-state.js';
import { planWake } from '../power/wake.js';
import { aCluster, aNode, inputFor } from '../testing/cluster-builder.js';
import { randomCluster } from '../testing/random-cluster.js';
import { planConsolidation } from './consolidate.js';

const six = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => aNode(name));
const light = six.map(({ id }) => ({ drvm: `on-${id}`, node: id, guaranteed: 1000, wants: [100] }));

describe('consolidation', () => {
  it('empties nodes, switches them off, and leaves the headroom that was asked for', () => {
    const { steps, gain } = planConsolidation(inputFor(aCluster(six, light)));
    // 6 vCPU are guaranteed: two nodes of 4 would leave 25 % free.
    expect(gain.nodesOnAfter).toBe(2);
    expect(gain.wattsBefore - gain.wattsAfter).toBeGreaterThan(350);
    for (const [place, step] of steps.entries()) {
      if (step.action !== 'power-off') continue;
      expect(steps.slice(0, place)).toContainEqual(
        expect.objectContaining({ action: 'cordon', node: step.node }),
      );
    }
  });

  it('keeps the least number of nodes, those that nothing could switch on, and those that once stayed off', () => {
    expect(planConsolidation(inputFor(aCluster(six, []), { power: { nodesMin: 5 } })).gain.nodesOnAfter).toBe(
      5,
    );
    const uncontrolled = six.map((node) => ({ ...node, power: { ...node.power, isControlled: false } }));
    expect(planConsolidation(inputFor(aCluster(uncontrolled, []))).rejected[0]).toMatchObject({
      rule: 'no-power-control',
      when: 'never',
    });
    const broken = six.map((node) => ({ ...node, power: { ...node.power, hasFailedToWake: true } }));
    expect(planConsolidation(inputFor(aCluster(broken, []))).steps).toEqual([]);
  });

  it('keeps what the forecast says will be wanted', () => {
    const input = inputFor(aCluster(six, light));
    expect(planConsolidation({ ...input, forecastCpuMilli: 12_000 }).gain.nodesOnAfter).toBe(5);
  });

  it('refuses what does not earn its cost', () => {
    const { steps, rejected } = planConsolidation(
      inputFor(aCluster(six, light), { power: { offSeconds: 60 } }),
    );
    expect(steps).toEqual([]);
    expect(rejected[0].rule).toBe('no-payback');
  });

  it('does not move load to where the same work draws more than the emptied node saves', () => {
    const frugal = { ...aNode('frugal'), power: { ...aNode('x').power, idleWatts: 10, fullWatts: 20 } };
    const greedy = {
      ...aNode('greedy'),
      power: { ...aNode('x').power, idleWatts: 100, fullWatts: 900, isControlled: false },
    };
    const slices = [
      { drvm: 'one', node: 'frugal', guaranteed: 400, wants: [400] },
      { drvm: 'two', node: 'greedy', guaranteed: 1600, wants: [1600] },
    ];
    const { steps, gain, rejected } = planConsolidation(
      inputFor(aCluster([frugal, greedy], slices), { power: { nodesMin: 1 } }),
    );
    expect(steps).toEqual([]);
    expect(gain.wattsAfter).toBe(gain.wattsBefore);
    expect(rejected).toContainEqual(expect.objectContaining({ what: 'frugal', rule: 'no-payback' }));
  });

  it('empties a node as a whole or not at all', () => {
    const stuck = [
      ...light,
      { drvm: 'bound', node: 'a', guaranteed: 100, wants: [1], process: { isPinned: true } },
    ];
    const { steps } = planConsolidation(inputFor(aCluster(six, stuck)));
    expect(steps.filter((step) => 'from' in step && step.from === 'a')).toEqual([]);
  });

  it('is never undone by the power planner in the next moment', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.integer({ min: 2, max: 12 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (seed, nodes, heat) => {
          const snapshot = randomCluster({ seed, nodes, drvms: nodes, heat, hasOff: true });
          const input = inputFor(snapshot, { coldHoldSeconds: 0 });
          const { steps } = planConsolidation(input);
          if (steps.length === 0) return;
          const state = new ClusterState(snapshot);
          for (const step of steps) state.apply(step);
          expect(planWake({ ...input, snapshot: state.snapshot() }).steps).toEqual([]);
        },
      ),
      { numRuns: 200 },
    );
  });
});
