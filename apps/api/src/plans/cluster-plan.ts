import type { ClusterPlanStep, ClusterPlanView, PlanRejectionView, ResourceAmounts } from '@drvs/contracts';
import {
  adviceFor,
  type Departure,
  type PhaseLimits,
  type Plan,
  type PlanInput,
  type PlannerPolicy,
  type PlanStep,
  phasesOfSteps,
  planBalance,
  planConsolidation,
  planDrain,
  planEvacuation,
  planReallocation,
  planRestore,
  planUndo,
  planWake,
  type RestoreMode,
} from '@drvs/policy';
import { fromAmounts, toAmounts } from '../allocations/amounts.js';
import { liveSnapshot } from './live-snapshot.js';
import type { Observation } from './live-state.service.js';

/** Between equals the planners decide by this. */
const SEED = 1;
/** What one node takes part in at once: each slice that moves holds its room on both nodes meanwhile. */
const LIMITS: PhaseLimits = { slicesPerNode: 2, processesPerNode: 8 };

export type PlannedCluster = Pick<ClusterPlanView, 'snapshot' | 'steps' | 'gain' | 'cost' | 'rejected'>;

/** What is planned, with all that the planners need besides the cluster itself. */
export type PlanWish =
  | { kind: 'balance' }
  | { kind: 'reallocate'; lendsCpu: boolean }
  | { kind: 'consolidate'; forecastCpuMilli: number | null }
  | { kind: 'power'; forecastCpuMilli: number | null; waiting: ResourceAmounts[][] }
  | { kind: 'drain'; nodeId: string; remove: boolean }
  | { kind: 'restore'; nodeId: string; mode: RestoreMode; departures: Departure[] }
  | { kind: 'evacuate'; nodeId: string }
  | { kind: 'undo'; done: ClusterPlanStep[] };

/**
 * A plan of the running cluster. What the planners would do besides, and what cannot be judged, is among the rejected,
 * each with its reason.
 * @param seesAll whether moves of slices are any business of whoever asks; a department moves processes within its DRVMs
 * @throws DrvsError NotFound, or StateConflict when the node that it is about is in no state for it
 */
export function clusterPlan(
  seen: Observation,
  policy: PlannerPolicy,
  wish: PlanWish,
  seesAll: boolean,
): PlannedCluster {
  const snapshot = liveSnapshot(seen);
  const input: PlanInput = { snapshot, policy, seed: SEED };
  const plan = planFor(input, wish, seen, seesAll);
  const phases = phasesOfSteps(snapshot, plan.steps, LIMITS);
  const steps = plan.steps.map(
    (step, place): ClusterPlanStep => ({
      ...stepOf(seen, step),
      why: step.why,
      phase: phases[place]!,
    }),
  );
  const node =
    wish.kind === 'drain' && wish.remove ? seen.nodes.find(({ id }) => id === wish.nodeId) : undefined;
  if (node) {
    steps.push({
      action: 'remove-node',
      node: node.name,
      nodeId: node.id,
      reason: `${node.name} is to be removed for good, once it is empty`,
      phase: Math.max(-1, ...phases) + 1,
    });
  }
  const { gain, cost } = plan;
  return {
    snapshot: plan.snapshot,
    steps,
    gain: {
      strainBefore: rounded(gain.strainBefore),
      strainAfter: rounded(gain.strainAfter),
      wattsBefore: rounded(gain.wattsBefore),
      wattsAfter: rounded(gain.wattsAfter),
      nodesOnBefore: gain.nodesOnBefore,
      nodesOnAfter: gain.nodesOnAfter,
      unmetCpuBefore: gain.unmetCpuMilliBefore / 1_000,
      unmetCpuAfter: gain.unmetCpuMilliAfter / 1_000,
      summary: gain.summary,
    },
    cost,
    rejected: [
      ...plan.rejected.map(rejectionOf),
      ...[...seen.silent].map(([id, why]) => ({
        what: nameOf(seen.drvms, id),
        reason: `its processes are not known: ${why}`,
        rule: 'busy',
        when: 'not-now' as const,
      })),
    ],
  };
}

function planFor(input: PlanInput, wish: PlanWish, seen: Observation, seesAll: boolean): Plan {
  switch (wish.kind) {
    case 'balance':
      return planBalance(input, { slices: seesAll });
    case 'reallocate':
      return planReallocation(input, wish.lendsCpu);
    case 'consolidate':
      return planConsolidation({ ...input, forecastCpuMilli: wish.forecastCpuMilli });
    case 'power':
      return planWake({ ...input, forecastCpuMilli: wish.forecastCpuMilli, waiting: wish.waiting });
    case 'drain':
      return planDrain(input, wish.nodeId);
    case 'restore':
      return planRestore(input, wish.nodeId, wish.departures, wish.mode);
    case 'evacuate':
      return planEvacuation(input, wish.nodeId);
    case 'undo':
      return planUndo(
        input,
        wish.done.flatMap((step) => policyStepOf(seen, step)),
      );
  }
}

function rejectionOf({ what, reason, rule, when }: Plan['rejected'][number]): PlanRejectionView {
  const advice = adviceFor(rule);
  return { what, reason, rule, when, ...(advice === null ? {} : { advice }) };
}

function stepOf(seen: Observation, step: PlanStep): ClusterPlanStep {
  const { reason } = step;
  switch (step.action) {
    case 'cordon':
    case 'uncordon':
      return { action: step.action, node: nameOf(seen.nodes, step.node), nodeId: step.node, reason };
    case 'power-off':
    case 'power-on': {
      const { action, watts, seconds } = step;
      return { action, node: nameOf(seen.nodes, step.node), nodeId: step.node, watts, seconds, reason };
    }
    case 'migrate-process': {
      const { action, drvm, pid, bytes, pauseMs } = step;
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
    case 'move-slice':
    case 'rebuild-slice': {
      const { action, drvm, from, to, pids, merges, bytes, pauseMs, seconds } = step;
      const slice = seen.nodes.find(({ id }) => id === from)?.slices.find(({ drvmId }) => drvmId === drvm);
      const isWhole =
        slice !== undefined &&
        (['cpuMilli', 'memoryMiB', 'diskGiB', 'networkMbps'] as const).every(
          (name) => slice[name] === step.guaranteed[name],
        );
      return {
        action,
        drvm: nameOf(seen.drvms, drvm),
        drvmId: drvm,
        from: nameOf(seen.nodes, from),
        fromId: from,
        to: nameOf(seen.nodes, to),
        toId: to,
        guaranteed: toAmounts(step.guaranteed),
        ceiling: toAmounts(step.ceiling),
        held: toAmounts(step.held),
        pids,
        merges,
        isPart: !isWhole,
        isHome: isWhole && slice.index === seen.drvms.find(({ id }) => id === drvm)?.homeIndex,
        bytes,
        pauseMs,
        seconds,
        reason,
      };
    }
    case 'resize-slice':
      return {
        action: step.action,
        drvm: nameOf(seen.drvms, step.drvm),
        drvmId: step.drvm,
        node: nameOf(seen.nodes, step.node),
        nodeId: step.node,
        before: toAmounts(step.before),
        after: toAmounts(step.after),
        reason,
      };
  }
}

/** A step that was carried out, as the planners know it; none where its nodes are gone. */
function policyStepOf(seen: Observation, step: ClusterPlanStep): PlanStep[] {
  const told = { reason: step.reason, why: { code: 'taken-back' as const, data: {} } };
  switch (step.action) {
    case 'cordon':
    case 'uncordon':
      return [{ action: step.action, node: step.nodeId, ...told }];
    case 'power-off':
    case 'power-on':
      return [{ action: step.action, node: step.nodeId, watts: step.watts, seconds: step.seconds, ...told }];
    case 'migrate-process': {
      const [from, to] = [step.from, step.to].map(
        (name) => seen.nodes.find((node) => node.name === name)?.id,
      );
      if (from === undefined || to === undefined) return [];
      const { action, drvmId: drvm, pid, bytes, pauseMs } = step;
      return [{ action, drvm, pid, from, to, bytes, pauseMs, seconds: 0, ...told }];
    }
    case 'move-slice':
    case 'rebuild-slice': {
      const { action, drvmId: drvm, fromId: from, toId: to, pids, merges, bytes, pauseMs, seconds } = step;
      const [guaranteed, ceiling, held] = [step.guaranteed, step.ceiling, step.held].map(fromAmounts);
      return [
        {
          action,
          drvm,
          from,
          to,
          guaranteed: guaranteed!,
          ceiling: ceiling!,
          held: held!,
          pids,
          // What went as a part comes back as one.
          merges: merges || step.isPart,
          bytes,
          pauseMs,
          seconds,
          ...told,
        },
      ];
    }
    case 'resize-slice': {
      const { action, drvmId: drvm, nodeId: node, before, after } = step;
      return [{ action, drvm, node, before: fromAmounts(before), after: fromAmounts(after), ...told }];
    }
    case 'remove-node':
      return [];
  }
}

const nameOf = (rows: readonly { id: string; name: string }[], id: string): string =>
  rows.find((row) => row.id === id)?.name ?? id;

const rounded = (value: number): number => Math.round(value * 1000) / 1000;
