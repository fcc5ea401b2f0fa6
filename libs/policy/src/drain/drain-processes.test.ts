import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { planBalance } from '../balance/balance.js';
import { ClusterState } from '../plan/cluster-state.js';
import { DEFAULT_POLICY } from '../planner-policy.js';
import { aCluster, aNode, inputFor } from '../testing/cluster-builder.js';
import { violationsOf } from '../testing/invariants.js';
import { randomCluster } from '../testing/random-cluster.js';
import { planProcessDrain } from './drain-processes.js';

describe('draining a node of processes only', () => {
  it('closes the node, then moves each process to the least busy slice of its DRVM', () => {
    const snapshot = aCluster(
      [aNode('a'), aNode('b'), aNode('c')],
      [
        { drvm: 'x', node: 'a', wants: [300, 300] },
        { drvm: 'x', node: 'b', wants: [500] },
        { drvm: 'x', node: 'c', wants: [100] },
        { drvm: 'y', node: 'b' },
      ],
    );
    const { steps, rejected, cost } = planProcessDrain(inputFor(snapshot), 'a');
    expect(
      steps.map((step) => (step.action === 'migrate-process' ? [step.pid, step.to] : step.action)),
    ).toEqual(['cordon', [1, 'c'], [2, 'c']]);
    expect(rejected).toEqual([]);
    expect(cost).toMatchObject({ moves: 2, bytes: 8 << 20 });
  });

  it('leaves what has nowhere to go, and says why', () => {
    const pinned = { isPinned: true };
    const snapshot = aCluster(
      [aNode('a', { isCordoned: true }), aNode('b'), aNode('c', { isCordoned: true })],
      [
        { drvm: 'alone', node: 'a', wants: [100] },
        { drvm: 'closed', node: 'a', wants: [100] },
        { drvm: 'closed', node: 'c' },
        { drvm: 'full', node: 'a', wants: [100] },
        { drvm: 'full', node: 'b', memoryMiB: 0 },
        { drvm: 'bound', node: 'a', wants: [100], process: pinned },
        { drvm: 'bound', node: 'b' },
      ],
    );
    const { steps, rejected } = planProcessDrain(inputFor(snapshot), 'a');
    expect(steps).toEqual([]);
    expect(rejected.map(({ what, rule }) => [what, rule])).toEqual([
      ['alone/1', 'no-other-slice'],
      ['closed/2', 'no-other-slice'],
      ['full/3', 'no-room'],
      ['bound/4', 'pinned-process'],
    ]);
  });

  it('of any cluster is valid after every step, leaves only what it names, and is empty when made again', () => {
    const anyCluster = fc
      .record({
        seed: fc.nat(),
        nodes: fc.integer({ min: 1, max: 8 }),
        drvms: fc.integer({ min: 0, max: 10 }),
        heat: fc.double({ min: 0, max: 1.5, noNaN: true }),
        hasOff: fc.boolean(),
        hasLost: fc.boolean(),
      })
      .map(randomCluster);
    fc.assert(
      fc.property(anyCluster, (snapshot) => {
        const node = snapshot.nodes.find(({ state }) => state === 'up');
        if (!node) return;
        const input = { snapshot, policy: DEFAULT_POLICY, seed: 1 };
        const { steps, rejected } = planProcessDrain(input, node.id);
        const before = violationsOf(snapshot);
        const state = new ClusterState(snapshot);
        for (const step of steps) {
          state.apply(step);
          expect(before).toEqual(expect.arrayContaining(violationsOf(state.snapshot())));
        }
        const after = state.snapshot();
        const left = after.processes.filter(({ nodeId }) => nodeId === node.id).length;
        const counted = rejected.reduce((sum, { data }) => sum + Number(data.count ?? 1), 0);
        expect(counted).toBe(left);
        expect(planProcessDrain({ ...input, snapshot: after }, node.id).steps).toEqual([]);
      }),
      { numRuns: 150 },
    );
  });

  it('refuses a node that is down, and one that there is not', () => {
    const input = inputFor(aCluster([aNode('a', { state: 'down' })], []));
    expect(() => planProcessDrain(input, 'a')).toThrow(expect.objectContaining({ code: 'StateConflict' }));
    expect(() => planProcessDrain(input, 'z')).toThrow(expect.objectContaining({ code: 'NotFound' }));
  });
});

it('a balance of processes only leaves slices where they are', () => {
  const snapshot = aCluster(
    [aNode('a', { total: { cpuMilli: 1000, memoryMiB: 8192, diskGiB: 0, networkMbps: 0 } }), aNode('b')],
    [
      { drvm: 'x', node: 'a', guaranteed: 500, wants: [250, 250] },
      { drvm: 'x', node: 'b', guaranteed: 500 },
      { drvm: 'y', node: 'a', guaranteed: 500, wants: [500] },
    ],
  );
  const { steps } = planBalance(inputFor(snapshot), { slices: false });
  expect(steps.map((step) => step.action === 'migrate-process' && [step.pid, step.from, step.to])).toEqual([
    [1, 'a', 'b'],
  ]);
});
