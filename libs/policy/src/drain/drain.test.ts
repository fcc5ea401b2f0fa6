import { describe, expect, it } from '@jest/globals';
import { planEvacuation } from '../evacuate/evacuate.js';
import { aCluster, aNode, inputFor } from '../testing/cluster-builder.js';
import { planDrain } from './drain.js';

const words = (steps: readonly { action: string }[]): string[] => steps.map(({ action }) => action);

describe('drain', () => {
  it('closes the node, then moves everything to where the least is wanted', () => {
    const snapshot = aCluster(
      [aNode('a'), aNode('b'), aNode('c')],
      [
        { drvm: 'x', node: 'a', wants: [500] },
        { drvm: 'y', node: 'b', guaranteed: 2000, wants: [1800] },
      ],
    );
    const { steps } = planDrain(inputFor(snapshot), 'a');
    expect(words(steps)).toEqual(['cordon', 'move-slice']);
    expect(steps[1]).toMatchObject({ from: 'a', to: 'c', pids: [1], merges: false });
  });

  it('lets borrowers give back before a guarantee comes', () => {
    const snapshot = aCluster(
      [aNode('a'), aNode('b')],
      [
        { drvm: 'x', node: 'a', guaranteed: 2000, wants: [500] },
        { drvm: 'y', node: 'b', guaranteed: 1000, held: 4000, wants: [4000] },
      ],
    );
    const { steps } = planDrain(inputFor(snapshot), 'a');
    expect(words(steps)).toEqual(['cordon', 'resize-slice', 'move-slice']);
    expect(steps[1]).toMatchObject({ drvm: 'y', before: { cpuMilli: 4000 }, after: { cpuMilli: 2000 } });
  });

  it('wakes a node when none that is on has room', () => {
    const snapshot = aCluster(
      [aNode('a'), aNode('b'), aNode('c', { state: 'off' })],
      [
        { drvm: 'x', node: 'a', guaranteed: 2000 },
        { drvm: 'y', node: 'b', guaranteed: 3000 },
      ],
    );
    expect(words(planDrain(inputFor(snapshot), 'a').steps)).toEqual(['cordon', 'power-on', 'move-slice']);
  });

  it('cuts a slice that no node takes whole, with its processes, over several nodes', () => {
    const snapshot = aCluster(
      [aNode('a'), aNode('b'), aNode('c')],
      [
        { drvm: 'x', node: 'a', guaranteed: 3000, memoryMiB: 4000, wants: [800, 700, 600, 500] },
        { drvm: 'y', node: 'b', guaranteed: 2000 },
        { drvm: 'z', node: 'c', guaranteed: 2500 },
      ],
    );
    const { steps, rejected } = planDrain(inputFor(snapshot), 'a');
    expect(words(steps)).toEqual(['cordon', 'move-slice', 'move-slice']);
    const parts = steps.flatMap((step) => (step.action === 'move-slice' ? [step] : []));
    expect(parts.map(({ to }) => to)).toEqual(['b', 'c']);
    expect(parts.reduce((sum, { guaranteed }) => sum + guaranteed.cpuMilli, 0)).toBe(3000);
    expect(parts.flatMap(({ pids }) => pids).sort()).toEqual([1, 2, 3, 4]);
    expect(parts[0].reason).toContain('in 2 parts');
    expect(rejected).toEqual([]);
  });

  it('says exactly what cannot move, by which rule on how many nodes, and moves the rest', () => {
    const snapshot = aCluster(
      [aNode('a'), aNode('b'), aNode('small', { total: { ...aNode('').total, cpuMilli: 1000 } })],
      [
        { drvm: 'x', node: 'a', guaranteed: 2500, memoryMiB: 300 },
        { drvm: 'z', node: 'a', guaranteed: 500 },
        { drvm: 'bound', node: 'a', guaranteed: 100, wants: [10], process: { isPinned: true } },
        { drvm: 'y', node: 'b', guaranteed: 3000 },
      ],
    );
    const { steps, rejected } = planDrain(inputFor(snapshot), 'a');
    expect(words(steps)).toEqual(['cordon', 'move-slice']);
    expect(rejected).toMatchObject([
      { what: 'x@a', rule: 'no-room', when: 'not-now', data: { 'no-room': 1, 'too-large': 1 } },
      { what: 'bound@a', rule: 'pinned-process', when: 'never' },
    ]);
  });

  it('refuses a node that is not up', () => {
    const snapshot = aCluster([aNode('a', { state: 'down' })], []);
    expect(() => planDrain(inputFor(snapshot), 'a')).toThrow('only a node that is up');
    expect(() => planDrain(inputFor(snapshot), 'nowhere')).toThrow('there is no node nowhere');
  });
});

describe('evacuation', () => {
  const lost = (isFenced: boolean) =>
    aCluster(
      [aNode('a', { state: 'down', isFenced }), aNode('b')],
      [
        { drvm: 'light', node: 'a', guaranteed: 2500 },
        { drvm: 'heavy', node: 'a', guaranteed: 2500 },
      ],
      { heavy: { weight: 5 } },
    );

  it('does nothing until it is proven that the node has stopped', () => {
    const { steps, rejected } = planEvacuation(inputFor(lost(false)), 'a');
    expect(steps).toEqual([]);
    expect(rejected).toMatchObject([{ what: 'a', rule: 'not-fenced' }]);
  });

  it('puts the greatest weight first where not all have room', () => {
    // What is left for the light one would not do in parts either.
    const { steps, rejected } = planEvacuation(inputFor(lost(true)), 'a');
    expect(steps).toMatchObject([{ action: 'rebuild-slice', drvm: 'heavy', to: 'b' }]);
    expect(rejected).toMatchObject([{ what: 'light@a', rule: 'no-room' }]);
  });
});
