import { describe, expect, it } from '@jest/globals';
import { ClusterState } from '../plan/cluster-state.js';
import { aCluster, aNode, inputFor } from '../testing/cluster-builder.js';
import { NOW_MS } from '../testing/random-cluster.js';
import { planBalance } from './balance.js';

const nodes = [aNode('a'), aNode('b')];

describe('balance', () => {
  it('moves a process of a crowded slice to the idle slice of its DRVM', () => {
    const snapshot = aCluster(nodes, [
      { drvm: 'x', node: 'a', guaranteed: 2000, wants: [900, 900, 900], ceiling: 4000 },
      { drvm: 'x', node: 'b', guaranteed: 2000, wants: [] },
    ]);
    const { steps, gain } = planBalance(inputFor(snapshot));
    expect(steps.map(({ action, why }) => [action, why.code])).toEqual([['migrate-process', 'hot-slice']]);
    expect(steps[0]).toMatchObject({ drvm: 'x', from: 'a', to: 'b', bytes: 4 << 20 });
    expect(gain.strainAfter).toBeLessThan(gain.strainBefore / 2);
  });

  it('moves a slice off a node that several DRVMs have made hot', () => {
    const snapshot = aCluster(
      nodes,
      ['x', 'y', 'z'].map((drvm) => ({ drvm, node: 'a', ceiling: 4000, wants: [1250] })),
    );
    const { steps } = planBalance(inputFor(snapshot));
    expect(steps).toHaveLength(1);
    expect(steps[0]).toMatchObject({ action: 'move-slice', from: 'a', to: 'b', why: { code: 'hot-node' } });
  });

  it('leaves uneven load alone as long as nobody waits', () => {
    const snapshot = aCluster(nodes, [
      { drvm: 'x', node: 'a', guaranteed: 2000, wants: [400, 400] },
      { drvm: 'x', node: 'b', guaranteed: 2000 },
    ]);
    expect(planBalance(inputFor(snapshot)).steps).toEqual([]);
  });

  it('waits until a node has been hot for long enough, and says so', () => {
    const hot = { ...aNode('a'), hotSinceMs: NOW_MS - 60_000 };
    const snapshot = aCluster(
      [hot, aNode('b')],
      ['x', 'y', 'z'].map((drvm) => ({ drvm, node: 'a', ceiling: 4000, wants: [1250] })),
    );
    const { steps, rejected } = planBalance(inputFor(snapshot));
    expect(steps).toEqual([]);
    expect(rejected).toMatchObject([{ what: 'a', rule: 'not-long-enough', when: 'not-now' }]);
  });

  it('stops where the moves of this hour are spent', () => {
    const crowded = aCluster(nodes, [
      { drvm: 'x', node: 'a', guaranteed: 2000, wants: [900, 900, 900], ceiling: 4000 },
      { drvm: 'x', node: 'b', guaranteed: 2000 },
    ]);
    const { steps, rejected } = planBalance(inputFor({ ...crowded, movesLastHour: 8 }));
    expect(steps).toEqual([]);
    expect(rejected).toMatchObject([{ rule: 'churn-budget' }]);
  });

  it('lets replicas of a group stay apart and pinned processes stay put', () => {
    const words = { drvm: 'x', guaranteed: 2000, ceiling: 4000 };
    const pinned = aCluster(nodes, [
      { ...words, node: 'a', wants: [900, 900, 900], process: { isPinned: true } },
      { ...words, node: 'b' },
    ]);
    expect(planBalance(inputFor(pinned)).steps).toEqual([]);
    const replicas = aCluster(nodes, [
      { ...words, node: 'a', wants: [2700], process: { replicaGroup: 'store' } },
      { ...words, node: 'b', wants: [10], process: { replicaGroup: 'store' } },
    ]);
    expect(planBalance(inputFor(replicas)).steps).toEqual([]);
  });

  describe('of slices that break a rule', () => {
    const apart = aCluster(nodes, [
      { drvm: 'x', node: 'a', wants: [100] },
      { drvm: 'y', node: 'a', wants: [100, 100, 100] },
    ]);
    const withRule = (change: object) => ({
      ...apart,
      drvms: apart.drvms.map((drvm) => (drvm.id === 'y' ? { ...drvm, ...change } : drvm)),
    });

    it('moves the cheaper of two that are to be apart, once', () => {
      expect(planBalance(inputFor(apart)).steps).toEqual([]);
      const snapshot = withRule({ avoids: ['x'] });
      const { steps } = planBalance(inputFor(snapshot));
      expect(steps).toMatchObject([
        { action: 'move-slice', drvm: 'x', from: 'a', to: 'b', why: { code: 'rule-broken' } },
      ]);
      expect(steps[0]!.reason).toContain('it meets y');
      const state = new ClusterState(snapshot);
      for (const step of steps) state.apply(step);
      expect(planBalance(inputFor(state.snapshot())).steps).toEqual([]);
    });

    it('moves one whose node lacks what it now requires, and says why one stays', () => {
      const snapshot = withRule({ requires: ['ssd'] });
      const { steps, rejected } = planBalance(inputFor(snapshot));
      expect(steps).toEqual([]);
      expect(rejected).toMatchObject([
        { what: 'y@a', rule: 'not-eligible', reason: expect.stringContaining('breaks a rule and stays') },
      ]);
      const better = { ...snapshot, nodes: [nodes[0]!, { ...nodes[1]!, traits: ['ssd'] }] };
      expect(planBalance(inputFor(better)).steps).toMatchObject([
        { action: 'move-slice', drvm: 'y', to: 'b', why: { code: 'rule-broken' } },
      ]);
    });

    it('moves nothing where only processes may move, or when the moves of the hour are spent', () => {
      const snapshot = withRule({ avoids: ['x'] });
      expect(planBalance(inputFor(snapshot), { slices: false }).steps).toEqual([]);
      const { steps, rejected } = planBalance(inputFor({ ...snapshot, movesLastHour: 8 }));
      expect(steps).toEqual([]);
      expect(rejected).toMatchObject([{ rule: 'churn-budget' }]);
    });
  });
});
