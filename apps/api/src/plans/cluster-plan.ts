import type { ClusterPlanStep, ClusterPlanView } from '@drvs/contracts';
import {
  type Plan,
  type PlanStep,
  planBalance,
  planDrain,
  plannerPolicy,
  planProcessDrain,
} from '@drvs/policy';
import { liveSnapshot } from './live-snapshot.js';
import type { Observation } from './live-state.service.js';

/** Between equals the planners decide by this. */
const SEED = 1;

export type PlannedCluster = Pick<ClusterPlanView, 'snapshot' | 'steps' | 'gain' | 'cost' | 'rejected'>;

/**
 * A plan in which processes move within their DRVM. What the planners would do besides (moving slices), and what
 * cannot be judged, is among the rejected, each with its reason.
 * @param seesAll whether moves of slices are any business of whoever asks
 */
export function balancePlan(seen: Observation, seesAll: boolean): PlannedCluster {
  const input = { snapshot: liveSnapshot(seen), policy: plannerPolicy(), seed: SEED };
  const plan = planBalance(input, { slices: false });
  const wider = seesAll ? planBalance(input).steps.filter(({ action }) => action !== 'migrate-process') : [];
  return viewOf(seen, plan, [
    ...wider.map((step) => beyond(seen, step)),
    ...[...seen.silent].map(([id, why]) => ({
      what: nameOf(seen.drvms, id),
      reason: `its processes are not known: ${why}`,
    })),
  ]);
}

/** @throws DrvsError StateConflict when the node is not up */
export function drainPlan(seen: Observation, nodeId: string): PlannedCluster {
  const input = { snapshot: liveSnapshot(seen), policy: plannerPolicy(), seed: SEED };
  const plan = planProcessDrain(input, nodeId);
  const targets = new Map(
    planDrain(input, nodeId).steps.flatMap((step) =>
      step.action === 'move-slice' ? [[step.drvm, step.to]] : [],
    ),
  );
  const node = seen.nodes.find(({ id }) => id === nodeId);
  return viewOf(
    seen,
    plan,
    (node?.slices ?? []).flatMap(({ drvmId, index, cpuMilli, memoryMiB }) => {
      const what = `${nameOf(seen.drvms, drvmId)}@${node?.name}`;
      const silence = seen.silent.get(drvmId);
      const to = targets.get(drvmId);
      const room = to === undefined ? '' : ` (${nameOf(seen.nodes, to)} would have room)`;
      return [
        ...(silence === undefined
          ? []
          : [{ what, reason: `its processes are not known and stay: ${silence}` }]),
        ...(index === 0
          ? [
              {
                what,
                reason: 'the home of its DRVM stays: the servers and the files are there and cannot move yet',
              },
            ]
          : []),
        {
          what,
          reason: `its slice of ${cpuMilli / 1000} vCPU and ${memoryMiB} MiB stays given: slices cannot move yet${room}`,
        },
      ];
    }),
  );
}

function viewOf(seen: Observation, plan: Plan, more: PlannedCluster['rejected']): PlannedCluster {
  const { strainBefore, strainAfter, summary } = plan.gain;
  const { moves, bytes, pauseMs, seconds } = plan.cost;
  return {
    snapshot: plan.snapshot,
    steps: plan.steps.map((step) => stepOf(seen, step)),
    gain: { strainBefore: rounded(strainBefore), strainAfter: rounded(strainAfter), summary },
    cost: { moves, bytes, pauseMs, seconds, summary: plan.cost.summary },
    rejected: [...plan.rejected.map(({ what, reason }) => ({ what, reason })), ...more],
  };
}

function stepOf(seen: Observation, step: PlanStep): ClusterPlanStep {
  if (step.action === 'cordon') {
    const { action, node, reason } = step;
    return { action, node: nameOf(seen.nodes, node), nodeId: node, reason };
  }
  if (step.action !== 'migrate-process') throw new TypeError(`a plan of processes has no ${step.action}`);
  const { action, drvm, pid, bytes, pauseMs, reason } = step;
  const process = seen.processes.get(drvm)?.find((candidate) => candidate.pid === pid);
  return {
    action,
    drvm: nameOf(seen.drvms, drvm),
    drvmId: drvm,
    pid,
    command: process?.command ?? '',
    from: nameOf(seen.nodes, step.from),
    to: nameOf(seen.nodes, step.to),
    cpu: (process?.cpuMilli ?? 0) / 1000,
    bytes,
    pauseMs,
    reason,
  };
}

/** A step that the planners would take and that nothing carries out yet. */
function beyond(seen: Observation, step: PlanStep): PlannedCluster['rejected'][number] {
  if ('drvm' in step && 'to' in step) {
    const what = `${nameOf(seen.drvms, step.drvm)}@${nameOf(seen.nodes, step.from)}`;
    return {
      what,
      reason: `its slice would go to ${nameOf(seen.nodes, step.to)} (${step.reason}), but slices cannot move yet`,
    };
  }
  return { what: step.action, reason: `${step.reason}; this cannot be carried out yet` };
}

const nameOf = (rows: readonly { id: string; name: string }[], id: string): string =>
  rows.find((row) => row.id === id)?.name ?? id;

const rounded = (value: number): number => Math.round(value * 1000) / 1000;
