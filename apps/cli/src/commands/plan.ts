import { type ClusterPlanView, type OperationView, type PlanOutcome, RESTORE_MODES } from '@drvs/contracts';
import { type Command, Option } from 'commander';
import { renderMoves, renderPlan } from '../output/plan-text.js';
import { formatAgo } from '../quantities.js';
import type { Shell } from '../shell.js';
import { noWait } from './no-wait.js';

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

  const carryOut = async (made: ClusterPlanView, again: string, options: MakeOptions): Promise<void> => {
    if (!options.apply) {
      const hint = made.steps.length === 0 ? '' : `\nNothing has been done. To do it: ${again} --apply\n`;
      return shell.answer(made, (view) => renderPlan(view) + hint);
    }
    if (!shell.isJson) shell.out(renderPlan(made));
    if (made.steps.length === 0) {
      if (shell.isJson) shell.answer(made, () => '');
      return;
    }
    const client = await shell.client();
    const operation = await client.post<OperationView>(`${path(made.id)}/apply`);
    if (!options.wait) return shell.answer({ ...made, operation: operation.id }, () => `${operation.id}\n`);
    const result = outcomeOf(await shell.follow(operation));
    shell.answer({ ...made, operation: operation.id, result }, () => `\n${renderMoves(result)}`);
  };
  const make = async (
    request: { kind: string; node?: string; mode?: string },
    options: MakeOptions,
  ): Promise<void> => {
    const made = await (await shell.client()).post<ClusterPlanView>('/plans', request);
    const { kind, node, mode } = request;
    const words = [
      kind,
      ...(node === undefined ? [] : [node]),
      ...(mode === undefined ? [] : ['--mode', mode]),
    ];
    await carryOut(made, `drvs plan ${words.join(' ')}`, options);
  };

  for (const [kind, description] of [
    ['balance', 'move load from where it waits for a CPU to where it need not'],
    ['consolidate', 'empty nodes that the others can do without, and switch them off'],
    ['reallocate', 'lend what is idle to whoever wants more, and give it back'],
    ['power', 'switch nodes on before they are missed'],
  ] as const) {
    plan
      .command(kind)
      .description(description)
      .addOption(apply)
      .addOption(noWait())
      .action((options: MakeOptions) => make({ kind }, options));
  }

  plan
    .command('drain')
    .description('close a node to what is new and move everything on it elsewhere')
    .argument('<node>')
    .addOption(apply)
    .addOption(noWait())
    .action((node: string, options: MakeOptions) => make({ kind: 'drain', node }, options));

  plan
    .command('restore')
    .description('open a node again and bring back what a drain moved off it')
    .argument('<node>')
    .addOption(restoreMode())
    .addOption(apply)
    .addOption(noWait())
    .action((node: string, { mode, ...options }: MakeOptions & { mode: string }) =>
      make({ kind: 'restore', node, mode }, options),
    );

  plan
    .command('evacuate')
    .description('make anew elsewhere what was on a node that is lost and fenced')
    .argument('<node>')
    .addOption(apply)
    .addOption(noWait())
    .action((node: string, options: MakeOptions) => make({ kind: 'evacuate', node }, options));

  plan
    .command('undo')
    .description('the way back from what was carried out of a plan')
    .argument('<id>')
    .addOption(apply)
    .addOption(noWait())
    .action(async (id: string, options: MakeOptions) => {
      const made = await (await shell.client()).post<ClusterPlanView>(`${path(id)}/undo`);
      await carryOut(made, `drvs plan undo ${id}`, options);
    });

  plan
    .command('apply')
    .description('carry out a plan that was made')
    .argument('<id>')
    .addOption(noWait())
    .action(async (id: string, options: { wait: boolean }) => {
      const made = await (await shell.client()).get<ClusterPlanView>(path(id));
      await carryOut(made, '', { ...options, apply: true });
    });

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

export const restoreMode = (): Option =>
  new Option('--mode <mode>', 'what left the node comes back, stays where it went, or load is balanced anew')
    .choices(RESTORE_MODES)
    .default('return');
