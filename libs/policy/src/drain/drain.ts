import { DrvsError } from '@drvs/contracts';
import { completePlan, type PlanInput } from '../plan/complete-plan.js';
import type { Plan, PlanStep } from '../plan/plan.js';
import { rankBySeed } from '../plan/seed.js';
import { Ledger } from '../snapshot/ledger.js';
import { bySizeDescending, sliceName } from '../snapshot/order.js';
import { moveAllAnyway, moveAnyway, PARTS_PER_PLAN_MAX } from './move-anyway.js';

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
  const ledger = new Ledger(snapshot, { parts: PARTS_PER_PLAN_MAX });
  ledger.isOpen[node] = 0;
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
  const { steps: moves, rejections } = moveAllAnyway(
    bySizeDescending(ledger, ledger.slicesOn[node]),
    (slice, refused) => {
      if (!ledger.hasPinned(slice))
        return moveAnyway(ledger, slice, policy, rank, because, 'move-slice', refused);
      refused.add(
        sliceName(ledger, slice),
        'pinned-process',
        `give the device back, or stop the process, then drain ${name} again`,
      );
      return [];
    },
  );
  return completePlan('drain', input, [...steps, ...moves], rejections);
}
