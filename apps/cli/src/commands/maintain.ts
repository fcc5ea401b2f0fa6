import { spawn } from 'node:child_process';
import type { OperationView, PlanOutcome } from '@drvs/contracts';
import type { Command } from 'commander';
import { Failure, usage } from '../failure.js';
import { renderDrained, renderRestored } from '../output/plan-text.js';
import type { Shell } from '../shell.js';
import { outcomeOf, restoreMode } from './plan.js';

interface Maintained {
  node: string;
  drained: PlanOutcome;
  restored: PlanOutcome;
}

interface MaintainOptions {
  rolling?: boolean;
  run?: string;
  yes?: boolean;
  mode: string;
}

export function registerMaintain(node: Command, shell: Shell): void {
  node
    .command('maintain')
    .description(
      'drain nodes, have something done to them, and restore them; with --rolling one after another',
    )
    .argument('<nodes...>')
    .option('--rolling', 'each node is restored before the next is drained')
    .option(
      '--run <command>',
      'what is done, by a shell here, with the node in DRVS_NODE; without it you are asked',
    )
    .option('-y, --yes', 'restore at once, without asking')
    .addOption(restoreMode())
    .action(async (nodes: string[], options: MaintainOptions) => {
      if (new Set(nodes).size < nodes.length) throw usage('a node is named twice', 'Name each once.');
      if (options.run === undefined && !options.yes && !shell.stdin.isTTY) {
        throw usage(
          'nobody is there to say when the work is done',
          'Give --run COMMAND, or --yes to restore at once.',
        );
      }
      const groups = options.rolling ? nodes.map((name) => [name]) : [nodes];
      const done: Maintained[] = [];
      for (const group of groups) done.push(...(await maintain(shell, group, options)));
      shell.answer(done, () => `${done.map(({ node: name }) => name).join(', ')}: done\n`);
    });
}

/** Stops at the first thing that fails, and leaves the nodes as they are then: drained ones stay so. */
async function maintain(
  shell: Shell,
  nodes: readonly string[],
  options: MaintainOptions,
): Promise<Maintained[]> {
  const drained = new Map<string, PlanOutcome>();
  for (const name of nodes) {
    const outcome = outcomeOf(await shell.follow(await post(shell, name, 'drain')));
    if (!shell.isJson) shell.out(renderDrained(outcome));
    if (outcome.stays.length > 0) {
      throw new Failure(
        'StateConflict',
        `${name} is not empty: ${outcome.stays.map(({ what }) => what).join(', ')}`,
        {
          hint: `See why: drvs plan drain ${name}. To open it again: drvs node restore ${name}`,
          details: { stays: outcome.stays },
        },
      );
    }
    drained.set(name, outcome);
  }
  for (const name of nodes) {
    if (options.run !== undefined) await run(shell, options.run, name);
  }
  if (options.run === undefined) {
    const question = `Is the work on ${nodes.join(', ')} done?`;
    await shell.confirm(question, options.yes);
  }
  const done: Maintained[] = [];
  for (const name of nodes) {
    const operation = await post(shell, name, 'restore', { mode: options.mode });
    const restored = outcomeOf(await shell.follow(operation));
    if (!shell.isJson) shell.out(renderRestored(restored));
    done.push({ node: name, drained: drained.get(name)!, restored });
  }
  return done;
}

async function post(
  shell: Shell,
  node: string,
  what: 'drain' | 'restore',
  body?: object,
): Promise<OperationView> {
  return (await shell.client()).post<OperationView>(`/nodes/${encodeURIComponent(node)}/${what}`, body);
}

/** What it prints goes to standard error: standard output is for the answer. */
async function run(shell: Shell, command: string, node: string): Promise<void> {
  shell.note(`${node}: ${command}`);
  const child = spawn(command, {
    shell: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...shell.env, DRVS_NODE: node },
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes: Buffer) => shell.stderr.write(bytes));
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code === 0) return;
  throw new Failure('OperationFailed', `the command for ${node} ended with ${code ?? 'a signal'}`, {
    hint: `${node} stays drained, and no other node is touched. When it is well: drvs node restore ${node}`,
    details: { node, exitCode: code },
  });
}
