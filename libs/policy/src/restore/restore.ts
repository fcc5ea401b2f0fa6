import { DrvsError } from '@drvs/contracts';
import { planBalance } from '../balance/balance.js';
import { ClusterState } from '../plan/cluster-state.js';
import { completePlan, type PlanInput } from '../plan/complete-plan.js';
import type { Plan, PlanStep } from '../plan/plan.js';
import { Rejections } from '../plan/rejections.js';
import { bringBack, type Departure } from './bring-back.js';

/** After maintenance: what left comes back, or stays where it went, or load comes as a balance finds it. */
export type RestoreMode = 'return' | 'stay' | 'rebalance';

/**
 * Opens a node again (one that is off is switched on) and, by `mode`, brings back what a drain moved off it, the last to
 * leave first. What has gone elsewhere since, was deleted, or no longer fits stays where it is, and the plan says so.
 * Nobody who asked for this is kept waiting by cool-downs or the hour's budget of moves.
 * @throws DrvsError NotFound, or StateConflict when the node is down
 */
export function planRestore(
  input: PlanInput,
  nodeId: string,
  departures: readonly Departure[],
  mode: RestoreMode,
): Plan {
  const { snapshot, policy } = input;
  const node = snapshot.nodes.find(({ id }) => id === nodeId);
  if (!node) throw new DrvsError('NotFound', `there is no node ${nodeId}`, { field: 'node' });
  const { name, power } = node;
  if (node.state === 'down' || node.state === 'powering-on') {
    throw new DrvsError(
      'StateConflict',
      `${name} is ${node.state}, only a node that answers is opened again`,
      {
        hint: node.state === 'down' ? 'Start its agent.' : 'Wait until it is up.',
      },
    );
  }
  const why = { code: 'maintenance-over' as const, data: { node: nodeId } };
  const open: PlanStep[] = [];
  if (node.state === 'off') {
    open.push({
      action: 'power-on',
      node: nodeId,
      watts: power.idleWatts - power.offWatts,
      seconds: power.bootSeconds,
      reason: `${name} is wanted again`,
      why,
    });
  }
  if (node.isCordoned) {
    open.push({ action: 'uncordon', node: nodeId, reason: `the maintenance of ${name} is over`, why });
  }
  const state = new ClusterState(snapshot);
  for (const step of open) state.apply(step);
  const rejections = new Rejections();
  if (mode === 'rebalance') {
    const balance = planBalance({ ...input, snapshot: state.snapshot() });
    for (const { what, rule, reason, data } of balance.rejected) rejections.add(what, rule, reason, data);
    return completePlan('restore', input, [...open, ...balance.steps], rejections);
  }
  const steps = [...open];
  if (mode === 'return') {
    for (const departure of [...departures].reverse()) {
      const drvm = state.drvms.get(departure.drvm)?.name ?? departure.drvm;
      const where = state.nodes.get(departure.to)?.name ?? departure.to;
      const back = bringBack(state, { ...departure, from: nodeId }, policy.migration, {
        reason: `${name} is open again; ${drvm} was on it before it was drained`,
        why,
      });
      if ('step' in back) steps.push(back.step);
      else rejections.add(`${drvm}@${where}`, back.rule, back.words);
    }
  }
  return completePlan('restore', input, steps, rejections);
}
