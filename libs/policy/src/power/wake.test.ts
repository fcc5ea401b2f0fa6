import { describe, expect, it } from '@jest/globals';
import { aCluster, amounts, aNode, inputFor } from '../testing/cluster-builder.js';
import { seasonalForecast } from './forecast.js';
import { planWake } from './wake.js';

const off = (name: string, idleWatts = 100) => {
  const node = aNode(name, { state: 'off' });
  return { ...node, power: { ...node.power, idleWatts } };
};
const busy = { drvm: 'x', node: 'a', guaranteed: 2000, held: 3500, wants: [3500] };

describe('waking', () => {
  it('switches on the node with the least draw for its size when demand is above the hot mark', () => {
    const { steps } = planWake(inputFor(aCluster([aNode('a'), off('dear', 150), off('cheap', 80)], [busy])));
    expect(steps).toMatchObject([{ action: 'power-on', node: 'cheap', why: { code: 'demand-rises' } }]);
  });

  it('does so ahead of a demand that is forecast, and not for one that is not', () => {
    const input = inputFor(aCluster([aNode('a'), off('b'), off('c')], [{ ...busy, wants: [500] }]));
    expect(planWake(input).steps).toEqual([]);
    expect(planWake({ ...input, forecastCpuMilli: 7000 }).steps).toHaveLength(2);
  });

  it('counts nodes that are on their way up', () => {
    const snapshot = aCluster([aNode('a'), aNode('b', { state: 'powering-on' }), off('c')], [busy]);
    expect(planWake(inputFor(snapshot)).steps).toEqual([]);
  });

  it('wakes a node for each slice of a request that fits nowhere, and says what no node could take', () => {
    const input = inputFor(aCluster([aNode('a'), off('b'), off('c')], [busy]), { hotUtilisation: 1 });
    const { steps, rejected } = planWake({
      ...input,
      waiting: [[amounts(2500, 512), amounts(2500, 512)], [amounts(50_000, 512)]],
    });
    expect(steps.map(({ why }) => why.code)).toEqual(['request-waits', 'request-waits']);
    expect(rejected).toMatchObject([{ what: '50 vCPU, 512 MiB of memory' }]);
  });

  it('keeps so many on as are to be, and all where there are fewer', () => {
    const calm = { ...busy, held: 2000, wants: [100] };
    const cluster = aCluster([aNode('a'), off('dear', 150), off('cheap', 80)], [calm]);
    expect(planWake(inputFor(cluster)).steps).toEqual([]);
    const two = planWake(inputFor(cluster, { power: { nodesMin: 2 } }));
    expect(two.steps).toMatchObject([{ node: 'cheap', why: { code: 'too-few-on' } }]);
    expect(two.rejected).toEqual([]);
    const nine = planWake(inputFor(cluster, { power: { nodesMin: 9 } }));
    expect(nine.steps).toHaveLength(2);
    expect(nine.rejected).toMatchObject([
      { what: 'power.nodesMin', rule: 'minimum-nodes', reason: expect.stringContaining('there are 3: all') },
    ]);
  });

  it('forecasts the most of past days, scaled by how today compares', () => {
    const days = [
      [10, 20, 90, 20],
      [10, 20, 70, 20],
    ];
    expect(seasonalForecast(days, 0, 10, 0, 2)).toBe(90);
    expect(seasonalForecast(days, 0, 12, 1, 2)).toBe(108);
    expect(seasonalForecast(days, 3, 20, 3, 5)).toBe(20);
    expect(seasonalForecast(days, 0, 1000, 2, 2)).toBe(135);
    expect(seasonalForecast([], 0, 10, 0, 2)).toBeNull();
  });
});
