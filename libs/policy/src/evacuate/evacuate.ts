import { DrvsError } from '@drvs/contracts';
import { moveAllAnyway, moveAnyway, PARTS_PER_PLAN_MAX } from '../drain/move-anyway.js';
import { completePlan, type PlanInput } from '../plan/complete-plan.js';
import type { Plan } from '../plan/plan.js';
import { Rejections } from '../plan/rejections.js';
import { rankBySeed } from '../plan/seed.js';
import { Ledger } from '../snapshot/ledger.js';
import { bySizeDescending, sliceName } from '../snapshot/order.js';

/**
 * Makes the slices of a lost node anew elsewhere. Nothing starts twice: without proof that the node has stopped
 * (`isFenced`) the plan is empty and says so. A home is not made anew: its files are where they were. The DRVMs of the greatest weight come first, then the largest slices.
 * @throws DrvsError NotFound, or StateConflict when the node is not down
 */
export function planEvacuation(input: PlanInput, nodeId: string): Plan {
  const { snapshot, policy, seed } = input;
  const node = snapshot.nodes.findIndex(({ id }) => id === nodeId);
  if (node < 0) throw new DrvsError('NotFound', `there is no node ${nodeId}`, { field: 'node' });
  const { name, state, isFenced } = snapshot.nodes[node];
  if (state !== 'down') {
    throw new DrvsError('StateConflict', `${name} is ${state}, only a node that is down is evacuated`, {
      hint: 'A node that is up is emptied by a drain, with nothing lost.',
    });
  }
  if (!isFenced) {
    const rejections = new Rejections();
    rejections.add(name, 'not-fenced', 'cut its power, or confirm that it is off');
    return completePlan('evacuate', input, [], rejections);
  }
  const ledger = new Ledger(snapshot, { parts: PARTS_PER_PLAN_MAX });
  const rank = rankBySeed(snapshot.nodes.length, seed);
  const weightOf = (slice: number): number => ledger.drvms[ledger.sliceDrvm[slice]].weight;
  const slices = bySizeDescending(ledger, ledger.slicesOn[node]).sort((a, b) => weightOf(b) - weightOf(a));
  const { steps, rejections } = moveAllAnyway(slices, (slice, refused) => {
    if (snapshot.slices[slice]?.isHome) {
      refused.add(sliceName(ledger, slice), 'home-lost');
      return [];
    }
    const because = {
      reason: `${name} is lost; ${ledger.drvms[ledger.sliceDrvm[slice]].name} goes on elsewhere`,
      why: { code: 'node-lost' as const, data: { node: nodeId } },
    };
    return moveAnyway(ledger, slice, policy, rank, because, 'rebuild-slice', refused);
  });
  return completePlan('evacuate', input, steps, rejections);
}
