import type { ClusterPlanStep } from '@drvs/contracts';
import { describe, expect, test } from '@jest/globals';
import { claimsOf, clashOf } from './plan-claims.js';

const amounts = { cpu: 1, memoryMiB: 256, diskGiB: 0, networkMbps: 0 };
const process = (drvm: string, from: string, to: string): ClusterPlanStep => ({
  action: 'migrate-process',
  drvm,
  drvmId: drvm,
  pid: 1,
  command: '',
  from,
  to,
  cpu: 1,
  bytes: 1,
  pauseMs: 1,
  reason: '',
});
const slice = (drvm: string, from: string, to: string): ClusterPlanStep => ({
  action: 'move-slice',
  drvm,
  drvmId: drvm,
  from,
  fromId: from,
  to,
  toId: to,
  guaranteed: amounts,
  ceiling: amounts,
  held: amounts,
  pids: [],
  merges: false,
  isPart: false,
  isHome: false,
  bytes: 1,
  pauseMs: 1,
  seconds: 1,
  reason: '',
});
const cordon = (node: string): ClusterPlanStep => ({ action: 'cordon', node, nodeId: node, reason: '' });
const clash = (a: ClusterPlanStep[], b: ClusterPlanStep[]) => clashOf(claimsOf(a, null), claimsOf(b, null));

describe('two plans at once', () => {
  test('may move processes of different DRVMs between the same nodes', () => {
    expect(clash([process('a', 'n1', 'n2')], [process('b', 'n2', 'n1')])).toBeNull();
  });

  test('may not touch the same DRVM', () => {
    expect(clash([process('a', 'n1', 'n2')], [slice('a', 'n3', 'n4')])).toEqual({ drvmId: 'a' });
  });

  test('may not give and take room of the same node, nor close one that the other needs open', () => {
    expect(clash([slice('a', 'n1', 'n2')], [slice('b', 'n2', 'n3')])).toEqual({ node: 'n2' });
    expect(clash([process('a', 'n1', 'n2')], [cordon('n2')])).toEqual({ node: 'n2' });
    expect(clash([cordon('n1')], [process('a', 'n2', 'n1')])).toEqual({ node: 'n1' });
    expect(clash([slice('a', 'n1', 'n2')], [process('b', 'n1', 'n3')])).toEqual({ node: 'n1' });
  });

  test('may be about different nodes and DRVMs', () => {
    expect(clash([cordon('n1'), slice('a', 'n1', 'n2')], [cordon('n3'), slice('b', 'n3', 'n4')])).toBeNull();
  });

  test('of one that has nothing to move, the node that it is about still counts', () => {
    expect(clashOf(claimsOf([], 'n1'), claimsOf([slice('a', 'n1', 'n2')], null))).toEqual({ node: 'n1' });
  });
});
