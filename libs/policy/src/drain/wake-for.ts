import type { PlanStep } from '../plan/plan.js';
import type { Ledger } from '../snapshot/ledger.js';

/** The node that is off and would take a slice, with the least idle draw; it counts as open from now on. */
export function wakeFor(
  ledger: Ledger,
  slice: number,
  rank: Uint32Array,
): { node: number; step: PlanStep } | null {
  const eligible = ledger.eligibleFor(ledger.sliceDrvm[slice]);
  let best = -1;
  for (let node = 0; node < ledger.nodeCount; node++) {
    const { state, power } = ledger.nodes[node];
    if (state !== 'off' || ledger.isOpen[node] === 1 || !power.isControlled || power.hasFailedToWake)
      continue;
    if (eligible[node] === 0 || !ledger.fits(slice, node, ledger.free)) continue;
    if (ledger.isKeptOut(slice, node) || !ledger.keepsReplicasApart(slice, node)) continue;
    const idle = best < 0 ? Number.POSITIVE_INFINITY : ledger.nodes[best].power.idleWatts;
    if (power.idleWatts > idle || (power.idleWatts === idle && rank[node] > rank[best])) continue;
    best = node;
  }
  if (best < 0) return null;
  ledger.isOpen[best] = 1;
  const { id, name, power } = ledger.nodes[best];
  return {
    node: best,
    step: {
      action: 'power-on',
      node: id,
      watts: power.idleWatts - power.offWatts,
      seconds: power.bootSeconds,
      reason: `no node that is on has room, ${name} is switched on for it`,
      why: { code: 'makes-room', data: { bootSeconds: power.bootSeconds } },
    },
  };
}
