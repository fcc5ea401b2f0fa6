import { DrvsError } from '@drvs/contracts';
import type { PlanStep } from '../plan/plan.js';
import type { ClusterSnapshot } from '../snapshot/cluster-snapshot.js';

/** A node that is to be emptied: its index in the snapshot, and what closes it where it is not closed already. */
export interface DrainableNode {
  node: number;
  cordon: PlanStep[];
  because: Pick<PlanStep, 'reason' | 'why'>;
}

/** @throws DrvsError NotFound, or StateConflict when the node is not up */
export function drainableNode(snapshot: ClusterSnapshot, nodeId: string): DrainableNode {
  const node = snapshot.nodes.findIndex(({ id }) => id === nodeId);
  if (node < 0) throw new DrvsError('NotFound', `there is no node ${nodeId}`, { field: 'node' });
  const { name, state, isCordoned } = snapshot.nodes[node];
  if (state !== 'up') {
    throw new DrvsError('StateConflict', `${name} is ${state}, only a node that is up can be drained`, {
      hint:
        state === 'down'
          ? 'What was on it is replaced by an evacuation once it is fenced.'
          : 'It is empty already.',
    });
  }
  const why = { code: 'maintenance' as const, data: { node: nodeId } };
  return {
    node,
    cordon: isCordoned
      ? []
      : [{ action: 'cordon', node: nodeId, reason: `${name} is to be emptied and gets nothing new`, why }],
    because: { reason: `${name} is drained`, why },
  };
}
