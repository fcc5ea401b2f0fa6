import { DrvsError } from '@drvs/contracts';
import { ClusterState } from '../plan/cluster-state.js';
import { completePlan, type PlanInput } from '../plan/complete-plan.js';
import { migrationCost } from '../plan/migration-cost.js';
import type { Plan, PlanStep } from '../plan/plan.js';
import { Rejections } from '../plan/rejections.js';
import { bringBack } from '../restore/bring-back.js';
import { mapAmounts } from '../snapshot/amounts.js';

/**
 * The way back from what was done: nodes are switched on and opened again, then the reverse of each other step, the last
 * first, as far as the cluster of now lets it be.
 * What has changed since is left alone and named. A slice that was made anew after its node was lost is not undone.
 * @param done the steps that were carried out, in order
 */
export function planUndo(input: PlanInput, done: readonly PlanStep[]): Plan {
  const state = new ClusterState(input.snapshot);
  const rejections = new Rejections();
  const backwards = [...done].reverse();
  const opens = (step: PlanStep, action: PlanStep['action']): boolean => step.action === action;
  const ordered = [
    ...backwards.filter((step) => opens(step, 'power-off')),
    ...backwards.filter((step) => opens(step, 'cordon')),
    ...backwards.filter((step) => !opens(step, 'power-off') && !opens(step, 'cordon')),
  ];
  const steps = ordered.flatMap((step) => reverse(state, step, input, rejections));
  return completePlan('undo', input, steps, rejections);
}

function reverse(
  state: ClusterState,
  step: PlanStep,
  { policy }: PlanInput,
  rejections: Rejections,
): PlanStep[] {
  const because = (what: string): Pick<PlanStep, 'reason' | 'why'> => ({
    reason: `${what}, as it was before the plan`,
    why: { code: 'taken-back', data: { action: step.action } },
  });
  const nodeName = (id: string): string => state.nodes.get(id)?.name ?? id;
  const attempt = (what: string, back: PlanStep): PlanStep[] => {
    try {
      state.apply(back);
      return [back];
    } catch (thrown) {
      const { code, message } = DrvsError.from(thrown);
      if (code !== 'StateConflict') throw thrown;
      rejections.add(what, 'no-longer-so', message);
      return [];
    }
  };
  switch (step.action) {
    case 'cordon':
    case 'uncordon': {
      const { node } = step;
      const isClosed = state.nodes.get(node)?.isCordoned;
      if (isClosed === undefined || isClosed !== (step.action === 'cordon')) return [];
      return step.action === 'cordon'
        ? attempt(nodeName(node), { action: 'uncordon', node, ...because(`${nodeName(node)} is opened`) })
        : attempt(nodeName(node), { action: 'cordon', node, ...because(`${nodeName(node)} is closed`) });
    }
    case 'power-off': {
      const { node, watts } = step;
      const seconds = state.nodes.get(node)?.power.bootSeconds ?? 0;
      const back = because(`${nodeName(node)} is switched on`);
      return attempt(nodeName(node), { action: 'power-on', node, watts, seconds, ...back });
    }
    case 'power-on': {
      const { node, watts } = step;
      const back = because(`${nodeName(node)} is switched off`);
      const off = attempt(nodeName(node), { action: 'power-off', node, watts, seconds: 0, ...back });
      // A node is closed before it is switched off.
      return off.length === 0 ? [] : [{ action: 'cordon', node, ...back }, ...off];
    }
    case 'resize-slice': {
      const { drvm, node } = step;
      const what = `${state.drvms.get(drvm)?.name ?? drvm}@${nodeName(node)}`;
      const slice = state.nodes.has(node) ? state.findSlice(drvm, node) : undefined;
      if (!slice) {
        rejections.add(what, 'moved-on');
        return [];
      }
      const after = mapAmounts((name) =>
        Math.max(slice.guaranteed[name], Math.min(slice.ceiling[name], step.before[name])),
      );
      const back = because(`${what} holds what it held`);
      return attempt(what, { action: 'resize-slice', drvm, node, before: slice.held, after, ...back });
    }
    case 'migrate-process': {
      const { drvm, pid, from, to } = step;
      const name = `${state.drvms.get(drvm)?.name ?? drvm}/${pid}`;
      const process = state.drvms.has(drvm)
        ? [...state.processesOf(drvm)].find((candidate) => candidate.pid === pid)
        : undefined;
      if (process?.nodeId !== to) {
        rejections.add(name, 'moved-on');
        return [];
      }
      const cost = migrationCost([process.imageBytes], 0, process.cpuMilli, policy.migration);
      const { bytes, pauseMs, seconds } = cost;
      const back = because(`${name} goes back to ${nodeName(from)}`);
      return attempt(name, { ...step, from: to, to: from, bytes, pauseMs, seconds, ...back });
    }
    case 'move-slice': {
      const name = `${state.drvms.get(step.drvm)?.name ?? step.drvm}@${nodeName(step.to)}`;
      const back = bringBack(
        state,
        step,
        policy.migration,
        because(`${name} goes back to ${nodeName(step.from)}`),
      );
      if ('step' in back) return [back.step];
      rejections.add(name, back.rule, back.words);
      return [];
    }
    case 'rebuild-slice':
      rejections.add(
        nodeName(step.from),
        'no-longer-so',
        'what was on a lost node is not brought back to it',
      );
      return [];
  }
}
