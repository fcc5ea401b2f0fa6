import { OPERATION_KINDS } from '@drvs/contracts';
import { describe, expect, test } from '@jest/globals';
import { phasesOf, planOperation } from './operation-plan.js';

const slices = [2, 0, 1].map((index) => ({
  sliceId: `s${index}`,
  nodeId: `n${index}`,
  nodeName: `node${index + 1}`,
  index,
}));

describe('the plan of an operation', () => {
  test('a creation prepares all nodes before it signs, and signs before it starts any', () => {
    const phases = phasesOf(planOperation('drvm.create', slices));
    expect(phases.map((phase) => phase.map(({ name }) => name))).toEqual([
      ['make the authority of the DRVM'],
      ['prepare the container on node1', 'prepare the container on node2', 'prepare the container on node3'],
      ['sign the certificates'],
      ['start the container on node1', 'start the container on node2', 'start the container on node3'],
      ['wait until all containers run'],
    ]);
  });

  test.each(OPERATION_KINDS)('%s comes out the same again, with positions in order', (kind) => {
    const plan = planOperation(kind, slices);
    expect(plan.map(({ position }) => position)).toEqual([...plan.keys()]);
    expect(planOperation(kind, slices.toReversed())).toEqual(plan);
  });
});
