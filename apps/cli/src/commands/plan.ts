import type { ClusterPlanStep, ClusterPlanView, OperationView, PlanOutcome } from '@drvs/contracts';
import { type Command, Option } from 'commander';
import { renderTable } from '../output/table.js';
import { formatAgo, formatBytes, formatCpu } from '../quantities.js';
import type { Shell } from '../shell.js';

/** Lists go back this far. */
const LISTED = 50;

interface MakeOptions {
  apply?: boolean;
  wait: boolean;
}

export function registerPlan(program: Command, shell: Shell): void {
  const plan = program.command('plan').description('what to move where, and why; --apply does it');
  const path = (id: string): string => `/plans/${encodeURIComponent(id)}`;
  const apply = new Option('--apply', 'carry it out');
  const noWait = new Option('--no-wait', "do not wait; print the operation's id");

  const make = async (request: { kind: string; node?: string }, options: MakeOptions): Promise<void> => {
    const client = await shell.client();
    const made = await client.post<ClusterPlanView>('/plans', request);
    if (!options.apply) {
      const again = `drvs plan ${request.kind}${request.node === undefined ? '' : ` ${request.node}`} --apply`;
      const hint = made.steps.length === 0 ? '' : `\nNothing has been done. To do it: ${again}\n`;
      return shell.answer(made, (view) => renderPlan(view) + hint);
    }
    if (!shell.isJson) shell.out(renderPlan(made));
    if (made.steps.length === 0) {
      if (shell.isJson) shell.answer(made, () => '');
      return;
    }
    const operation = await client.post<OperationView>(`${path(made.id)}/apply`);
    if (!options.wait) return shell.answer({ ...made, operation: operation.id }, () => `${operation.id}\n`);
    const result = outcomeOf(await shell.follow(operation));
    shell.answer({ ...made, operation: operation.id, result }, () => `\n${renderMoves(result)}`);
  };

  plan
    .command('balance')
    .description('move programs from nodes where they wait for a CPU to nodes where they need not')
    .addOption(apply)
    .addOption(noWait)
    .action((options: MakeOptions) => make({ kind: 'balance' }, options));

  plan
    .command('drain')
    .description('close a node to what is new and move the programs on it elsewhere')
    .argument('<node>')
    .addOption(apply)
    .addOption(noWait)
    .action((node: string, options: MakeOptions) => make({ kind: 'drain', node }, options));

  plan
    .command('list')
    .alias('ls')
    .description(`the last ${LISTED} plans`)
    .action(async () => {
      const plans = await (await shell.client()).list<ClusterPlanView>('/plans', {}, LISTED);
      shell.table(
        plans,
        {
          ID: ({ id }) => id,
          KIND: ({ kind, node }) => (node === null ? kind : `${kind} ${node}`),
          MOVES: ({ cost }) => String(cost.moves),
          MADE: ({ createdAt }) => formatAgo(createdAt, Date.now()),
          BY: ({ requestedBy }) => requestedBy,
          OPERATION: ({ operation }) => operation ?? '-',
        },
        'no plans; make one with `drvs plan balance`',
      );
    });

  plan
    .command('show')
    .description('one plan')
    .argument('<id>')
    .action(async (id: string) => {
      shell.answer(await (await shell.client()).get<ClusterPlanView>(path(id)), renderPlan);
    });
}

/** The result of an operation `plan.apply` that succeeded. */
export const outcomeOf = ({ result }: OperationView): PlanOutcome => result as PlanOutcome;

function describe(step: ClusterPlanStep): string[] {
  if (step.action === 'cordon') return ['close', step.node, '-', '-', '-', step.reason];
  const { drvm, pid, command, from, to, cpu, bytes, reason } = step;
  const what = `${drvm}/${pid} ${command}`.slice(0, 40);
  return ['move', what, `${from} -> ${to}`, formatCpu(cpu), formatBytes(bytes), reason];
}

function renderPlan(plan: ClusterPlanView): string {
  const { steps, gain, cost, rejected } = plan;
  const what = plan.node === null ? plan.kind : `${plan.kind} ${plan.node}`;
  const done =
    steps.length === 0
      ? `${what}: nothing to do\n`
      : `${what}: ${steps.length} step${steps.length === 1 ? '' : 's'}\n\n${renderTable(
          ['STEP', 'WHAT', 'WHERE', 'CPU', 'SIZE', 'REASON'],
          steps.map(describe),
        )}\nGain: ${gain.summary}\nCost: ${cost.summary}\n`;
  const left = rejected.map(({ what: subject, reason }) => [subject, reason]);
  return left.length === 0 ? done : `${done}\n${renderTable(['NOT DONE', 'REASON'], left)}`;
}

function renderMoves({ moved, skipped }: PlanOutcome): string {
  const lines = moved.map(
    ({ drvm, pid, from, to, bytes, pauseMs }) =>
      `${drvm}/${pid} moved from ${from} to ${to}: ${formatBytes(bytes)}, downtime ${pauseMs.toFixed(1)} ms\n`,
  );
  const left = skipped.map(({ step, reason }) => `not needed: ${step}: ${reason}\n`);
  return [...lines, ...left].join('') || 'nothing moved\n';
}

/** Of a drain: what has moved, and what stays. */
export function renderOutcome(outcome: PlanOutcome): string {
  const { node, stays } = outcome;
  const left = stays.map(({ what, reason }) => [what, reason]);
  return (
    `${node} takes nothing new\n${renderMoves(outcome)}` +
    (left.length === 0 ? '' : `\n${renderTable(['STAYS', 'REASON'], left)}`)
  );
}
