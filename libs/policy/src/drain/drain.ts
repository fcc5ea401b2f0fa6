import { DrvsError } from '@drvs/contracts';
import { completePlan, type PlanInput } from '../plan/complete-plan.js';
import type { Plan, PlanStep } from '../plan/plan.js';
import { Rejections } from '../plan/rejections.js';
import { rankBySeed } from '../plan/seed.js';
import { Ledger } from '../snapshot/ledger.js';
import { bySizeDescending, sliceName } from '../snapshot/order.js';
import { moveAnyway } from './move-anyway.js';

/**
 * Empties a node for maintenance: it gets nothing new, and everything on it goes elsewhere, the largest first
 * (see `moveAnyway` for where to). What cannot move is named with the reason and stays where it is, running.
 * @throws DrvsError NotFound, or StateConflict when the node is not up
 */
export function planDrain(input: PlanInput, nodeId: string): Plan {
  const { snapshot, policy, seed } = input;
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
  const ledger = new Ledger(snapshot);
  ledger.isOpen[node] = 0;
  const rejections = new Rejections();
  const steps: PlanStep[] = [];
  if (!isCordoned) {
    steps.push({
      action: 'cordon',
      node: nodeId,
      reason: `${name} is to be emptied and gets nothing new`,
      why: { code: 'maintenance', data: { node: nodeId } },
    });
  }
  const rank = rankBySeed(snapshot.nodes.length, seed);
  const because = {
    reason: `${name} is drained`,
    why: { code: 'maintenance' as const, data: { node: nodeId } },
  };
  for (const slice of bySizeDescending(ledger, ledger.slicesOn[node])) {
    const what = sliceName(ledger, slice);
    if (ledger.hasPinned(slice)) {
      rejections.add(
        what,
        'pinned-process',
        `give the device back, or stop the process, then drain ${name} again`,
      );
      continue;
    }
    steps.push(...moveAnyway(ledger, slice, policy, rank, because, 'move-slice', rejections));
  }
  return completePlan('drain', input, steps, rejections);
}
