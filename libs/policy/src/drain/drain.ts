import { completePlan, type PlanInput } from '../plan/complete-plan.js';
import type { Plan } from '../plan/plan.js';
import { rankBySeed } from '../plan/seed.js';
import { Ledger } from '../snapshot/ledger.js';
import { bySizeDescending, sliceName } from '../snapshot/order.js';
import { drainableNode } from './drainable-node.js';
import { moveAllAnyway, moveAnyway, PARTS_PER_PLAN_MAX } from './move-anyway.js';

/**
 * Empties a node for maintenance: it gets nothing new, and everything on it goes elsewhere, the largest first
 * (see `moveAnyway` for where to). What cannot move is named with the reason and stays where it is, running.
 * @throws DrvsError NotFound, or StateConflict when the node is not up
 */
export function planDrain(input: PlanInput, nodeId: string): Plan {
  const { snapshot, policy, seed } = input;
  const { node, cordon, because } = drainableNode(snapshot, nodeId);
  const { name } = snapshot.nodes[node];
  const ledger = new Ledger(snapshot, { parts: PARTS_PER_PLAN_MAX });
  ledger.isOpen[node] = 0;
  const rank = rankBySeed(snapshot.nodes.length, seed);
  const { steps: moves, rejections } = moveAllAnyway(
    bySizeDescending(ledger, ledger.slicesOn[node]),
    (slice, refused) => {
      const stays = ledger.whyItStays(slice);
      if (stays === null) return moveAnyway(ledger, slice, policy, rank, because, 'move-slice', refused);
      const what = FIRST[stays];
      refused.add(sliceName(ledger, slice), stays, `${what}, then drain ${name} again`);
      return [];
    },
  );
  return completePlan('drain', input, [...cordon, ...moves], rejections);
}

/** What is to be done before a slice that stays can go. */
const FIRST = {
  busy: 'wait until that has ended',
  'pinned-process': 'give the device back, or stop the process',
  'stopped-home': 'start it, so that its files move with it',
} as const;
