import { type Amounts, type ClusterPlanStep, MigrationResult, type PlanOutcome } from '@drvs/contracts';
import { z } from 'zod';
import type { OperationStep } from '../gen/client.js';
import { MovedSlice } from './plan-slices.js';
import type { PlanWork } from './plan-work.js';

/** What a move of a process leaves behind. With `drvmId` and `pid` the next plan knows what has moved lately. */
export const MovedProcess = MigrationResult.extend({ drvm: z.string(), drvmId: z.string() });
const Resized = z.object({
  resized: z.object({
    drvm: z.string(),
    node: z.string(),
    before: z.custom<Amounts>(),
    after: z.custom<Amounts>(),
  }),
});

const CHANGES: Partial<Record<ClusterPlanStep['action'], PlanOutcome['nodes'][number]['change']>> = {
  cordon: 'closed',
  uncordon: 'opened',
  'power-off': 'off',
  'power-on': 'on',
  'remove-node': 'removed',
};

/** What became of each step of a plan, from what the steps of its operation left behind. */
export function outcomeOf(
  { plan, kind, node, work, rejected }: PlanWork,
  rows: readonly Pick<OperationStep, 'position' | 'name' | 'state' | 'error' | 'output'>[],
): PlanOutcome {
  const outcome: PlanOutcome = {
    plan,
    kind,
    node,
    moved: [],
    slices: [],
    resized: [],
    nodes: [],
    skipped: [],
    notDone: [],
    stays: rejected,
  };
  for (const { position, name, state, error, output } of rows) {
    const step = work[position];
    if (!step) continue;
    if (state === 'skipped') outcome.skipped.push({ step: name, reason: error ?? '' });
    else if (state !== 'succeeded') {
      outcome.notDone.push({ step: name, reason: error ?? 'it was not begun' });
    } else note(outcome, step, output);
  }
  return outcome;
}

function note(outcome: PlanOutcome, step: ClusterPlanStep, output: unknown): void {
  const change = CHANGES[step.action];
  if (change !== undefined && 'node' in step) outcome.nodes.push({ node: step.node, change });
  const process = MovedProcess.safeParse(output);
  if (process.success) {
    const { drvm, pid, from, to, bytes, pauseMs } = process.data;
    outcome.moved.push({ drvm, pid, from, to, bytes, pauseMs });
  }
  const slice = MovedSlice.safeParse(output);
  if (slice.success) {
    const { drvm, from, to, processes, bytes, pauseMs, home } = slice.data;
    outcome.slices.push({ drvm, from, to, processes, bytes, pauseMs, home });
  }
  const resized = Resized.safeParse(output);
  if (resized.success) outcome.resized.push(resized.data.resized);
}

/** In a line, for the event. */
export function summaryOf({ kind, node, moved, slices, resized, nodes, notDone }: PlanOutcome): string {
  const parts = [
    counted(slices.length, 'slice', 'moved'),
    counted(moved.length, 'process', 'moved'),
    counted(resized.length, 'slice', 'changed'),
    ...(['off', 'on'] as const).map((change) =>
      counted(nodes.filter((one) => one.change === change).length, 'node', `switched ${change}`),
    ),
    counted(notDone.length, 'step', 'not done'),
  ].filter((part) => part !== null);
  return `${kind}${node === null ? '' : ` of ${node}`}: ${parts.length === 0 ? 'nothing had to be moved' : parts.join(', ')}`;
}

function counted(count: number, what: string, became: string): string | null {
  if (count === 0) return null;
  const plural = what === 'process' ? 'es' : 's';
  return `${count} ${what}${count === 1 ? '' : plural} ${became}`;
}
