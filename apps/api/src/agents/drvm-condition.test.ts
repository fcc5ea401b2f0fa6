import { describe, expect, test } from '@jest/globals';
import { drvmCondition, type SliceCondition } from './drvm-condition.js';

const slices = (...conditions: SliceCondition[]) =>
  conditions.map((condition, index) => ({ node: `node${index + 1}`, index, condition }));

describe('the condition of a DRVM that should run', () => {
  test('is running only when every container runs', () => {
    expect(drvmCondition('running', slices('running', 'running'))).toEqual({ state: 'running', detail: '' });
  });

  test('is degraded while some containers run, and says which do not', () => {
    expect(drvmCondition('running', slices('running', 'failed', 'lost'))).toEqual({
      state: 'degraded',
      detail: 'the container on node2 has failed; the container on node3 is on a node that is down',
    });
  });

  test('is degraded while a container does not reach its peers', () => {
    expect(drvmCondition('running', slices('degraded', 'running')).state).toBe('degraded');
  });

  test('is failed when none is alive', () => {
    expect(drvmCondition('running', slices('failed', 'lost')).state).toBe('failed');
    expect(drvmCondition('running', slices('stopped', 'absent')).state).toBe('failed');
  });
});

describe('the condition of a DRVM that should be stopped', () => {
  test('is stopped when no container is up', () => {
    expect(drvmCondition('stopped', slices('stopped', 'absent'))).toEqual({ state: 'stopped', detail: '' });
    expect(drvmCondition('stopped', slices('stopped', 'lost')).state).toBe('stopped');
  });

  test('is degraded while a container is still up', () => {
    expect(drvmCondition('stopped', slices('running', 'stopped'))).toEqual({
      state: 'degraded',
      detail: 'the container on node1 runs',
    });
  });
});
