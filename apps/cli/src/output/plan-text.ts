import type {
  Amounts,
  ClusterPlanStep,
  ClusterPlanView,
  PlanOutcome,
  PlanRejectionView,
} from '@drvs/contracts';
import { formatBytes, formatCpu, formatMiB } from '../quantities.js';
import { renderTable } from './table.js';

/** Plans and what came of them, for people. */
export function renderPlan(plan: ClusterPlanView): string {
  const { steps, gain, cost, rejected } = plan;
  const what = plan.node === null ? plan.kind : `${plan.kind} ${plan.node}`;
  const done =
    steps.length === 0
      ? `${what}: nothing to do\n`
      : `${what}: ${steps.length} step${steps.length === 1 ? '' : 's'}\n\n${renderTable(
          ['STEP', 'WHAT', 'WHERE', 'CPU', 'SIZE', 'REASON'],
          steps.map(describe),
        )}\nGain: ${gain.summary}\nCost: ${cost.summary}\n`;
  return rejected.length === 0 ? done : `${done}\n${renderRejected('NOT DONE', rejected)}`;
}

function describe(step: ClusterPlanStep): string[] {
  const { reason } = step;
  switch (step.action) {
    case 'cordon':
      return ['close', step.node, '-', '-', '-', reason];
    case 'uncordon':
      return ['open', step.node, '-', '-', '-', reason];
    case 'remove-node':
      return ['remove', step.node, '-', '-', '-', reason];
    case 'power-off':
    case 'power-on': {
      const on = step.action === 'power-on';
      return [
        on ? 'switch on' : 'switch off',
        step.node,
        '-',
        '-',
        `${on ? '+' : '-'}${step.watts} W`,
        reason,
      ];
    }
    case 'migrate-process': {
      const { drvm, pid, command, from, to, cpu, bytes } = step;
      const what = `${drvm}/${pid} ${command}`.slice(0, 40);
      return ['move', what, `${from} -> ${to}`, formatCpu(cpu), formatBytes(bytes), reason];
    }
    case 'move-slice':
    case 'rebuild-slice': {
      const { drvm, from, to, guaranteed, pids, isPart, bytes } = step;
      const verb = step.action === 'rebuild-slice' ? 'make anew' : isPart ? 'move part' : 'move slice';
      const inside = pids.length === 0 ? '' : `, ${pids.length} process${pids.length === 1 ? '' : 'es'}`;
      const what = `${drvm} (${formatMiB(guaranteed.memoryMiB)}${inside})`;
      return [verb, what, `${from} -> ${to}`, formatCpu(guaranteed.cpu), formatBytes(bytes), reason];
    }
    case 'resize-slice': {
      const { drvm, node, before, after } = step;
      return [
        'limit',
        drvm,
        node,
        `${formatCpu(before.cpu)} -> ${formatCpu(after.cpu)}`,
        difference(before, after),
        reason,
      ];
    }
  }
}

function difference(before: Amounts, after: Amounts): string {
  const mib = after.memoryMiB - before.memoryMiB;
  return mib === 0 ? '-' : `${mib > 0 ? '+' : '-'}${formatMiB(Math.abs(mib))}`;
}

function renderRejected(title: string, rejected: readonly PlanRejectionView[]): string {
  const hasAdvice = rejected.some(({ advice }) => advice !== undefined);
  return renderTable(
    hasAdvice ? [title, 'REASON', 'WHAT TO CHANGE'] : [title, 'REASON'],
    rejected.map(({ what, reason, advice }) => (hasAdvice ? [what, reason, advice ?? '-'] : [what, reason])),
  );
}

export function renderMoves(outcome: PlanOutcome): string {
  const { moved, slices, resized, nodes, skipped, notDone } = outcome;
  const lines = [
    ...slices.map(({ drvm, from, to, processes, bytes, pauseMs, home }) => {
      const inside = `${processes} process${processes === 1 ? '' : 'es'}`;
      return `${drvm} moved from ${from} to ${to}: ${inside}, ${formatBytes(bytes)}, longest pause ${pauseMs.toFixed(1)} ms${home ? ', its servers and files too' : ''}`;
    }),
    ...moved.map(
      ({ drvm, pid, from, to, bytes, pauseMs }) =>
        `${drvm}/${pid} moved from ${from} to ${to}: ${formatBytes(bytes)}, downtime ${pauseMs.toFixed(1)} ms`,
    ),
    ...resized.map(
      ({ drvm, node, before, after }) =>
        `${drvm} holds ${formatCpu(after.cpu)} vCPU and ${formatMiB(after.memoryMiB)} on ${node} (${formatCpu(before.cpu)} and ${formatMiB(before.memoryMiB)} before)`,
    ),
    ...nodes.flatMap(({ node, change }) =>
      change === 'closed' || change === 'opened' ? [] : [`${node} is ${change}`],
    ),
    ...skipped.map(({ step, reason }) => `not needed: ${step}: ${reason}`),
    ...notDone.map(({ step, reason }) => `not done: ${step}: ${reason}`),
  ];
  return lines.length === 0 ? 'nothing moved\n' : lines.map((line) => `${line}\n`).join('');
}

/** Of a drain: what has moved, and what stays. */
export function renderDrained(outcome: PlanOutcome): string {
  const { node, stays } = outcome;
  return (
    `${node} takes nothing new\n${renderMoves(outcome)}` +
    (stays.length === 0 ? '' : `\n${renderRejected('STAYS', stays)}`)
  );
}

/** Of a restore: what came back, and what stays where it went. */
export function renderRestored(outcome: PlanOutcome): string {
  const { node, slices, moved, skipped, notDone, stays } = outcome;
  const isQuiet = slices.length + moved.length + skipped.length + notDone.length === 0;
  return (
    `${node} is up and takes new programs and DRVMs\n${isQuiet ? '' : renderMoves(outcome)}` +
    (stays.length === 0 ? '' : `\n${renderRejected('STAYS AWAY', stays)}`)
  );
}
