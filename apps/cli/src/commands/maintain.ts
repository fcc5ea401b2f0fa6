import { spawn } from 'node:child_process';
import type { MaintenanceOutcome, OperationView } from '@drvs/contracts';
import type { Command } from 'commander';
import { usage } from '../failure.js';
import { renderDrained, renderRestored } from '../output/plan-text.js';
import { parseDurationSeconds } from '../quantities.js';
import type { Shell } from '../shell.js';
import { restoreMode } from './plan.js';

/** Nodes that the API takes out of use at the same time. */
const AT_ONCE_MAX = 16;

interface MaintainOptions {
  rolling?: boolean;
  parallel?: number;
  run?: string;
  powerCycle?: boolean;
  within?: number;
  yes?: boolean;
  wait?: boolean;
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
    .option('--parallel <nodes>', 'so many at a time', parseAtOnce)
    .option(
      '--run <command>',
      'what is done, by a shell here, with the node in DRVS_NODE; without it you are asked',
    )
    .option('--power-cycle', 'what is done: each is switched off and on again')
    .option(
      '--within <duration>',
      'how long each waits to hear that the work is done (1d)',
      parseDurationSeconds,
    )
    .option('-y, --yes', 'restore at once, without asking')
    .option(
      '--no-wait',
      "do not wait; print the operation's id. It is told of the work by `drvs op continue`",
    )
    .addOption(restoreMode())
    .action(async (nodes: string[], options: MaintainOptions) => {
      requireSense(nodes, options, shell.stdin.isTTY === true);
      const atOnce = options.rolling ? 1 : (options.parallel ?? nodes.length);
      if (atOnce > AT_ONCE_MAX)
        throw usage(
          `${atOnce} nodes at a time are too many`,
          `At most ${AT_ONCE_MAX}: --parallel ${AT_ONCE_MAX}.`,
        );
      const client = await shell.client();
      const operation = await client.post<OperationView>('/maintenances', {
        nodes,
        atOnce,
        work: workOf(options),
        mode: options.mode,
      });
      if (options.wait === false) return shell.answer(operation, ({ id }) => `${id}\n`);
      const ended = await shell.follow(operation, (view) => work(shell, view, options));
      const { nodes: done } = ended.result as MaintenanceOutcome;
      shell.answer(done, () => done.map(renderMaintained).join(''));
    });
}

/** Of each node of whose work an operation waits to hear. */
async function work(
  shell: Shell,
  { id, awaits = [] }: OperationView,
  options: MaintainOptions,
): Promise<void> {
  const client = await shell.client();
  const path = `/operations/${encodeURIComponent(id)}/continue`;
  if (options.run === undefined) {
    if (!(await isDone(shell, `Is the work on ${awaits.join(', ')} done?`))) return stay(shell, id, awaits);
    await client.post(path, { nodes: awaits });
    return;
  }
  for (const node of awaits) {
    const failure = await run(shell, options.run, node);
    await client.post(path, { nodes: [node], ...(failure === null ? {} : { failure }) });
  }
}

async function isDone(shell: Shell, question: string): Promise<boolean> {
  return /^y(es)?$/i.test(await shell.ask(`${question} [y/N] `));
}

function stay(shell: Shell, id: string, nodes: readonly string[]): never {
  shell.note(`${nodes.join(', ')}: drained, and waited for. When the work is done: drvs op continue ${id}`);
  return shell.exit(1);
}

function requireSense(nodes: readonly string[], options: MaintainOptions, isAsked: boolean): void {
  if (new Set(nodes).size < nodes.length) throw usage('a node is named twice', 'Name each once.');
  if (options.rolling && options.parallel !== undefined && options.parallel !== 1)
    throw usage('--rolling is one at a time', 'Give --rolling or --parallel, not both.');
  if (options.run !== undefined && options.powerCycle)
    throw usage('--run and --power-cycle are two ways to say what is done', 'Give one of them.');
  const isTold = options.run !== undefined || options.powerCycle || options.yes || options.wait === false;
  if (isTold || isAsked) return;
  throw usage(
    'nobody is there to say when the work is done',
    'Give --run COMMAND, --power-cycle, --yes to restore at once, or --no-wait.',
  );
}

function workOf({ run: command, powerCycle, yes, within }: MaintainOptions): Record<string, unknown> {
  if (powerCycle) return { kind: 'power-cycle' };
  if (yes && command === undefined) return { kind: 'none' };
  return { kind: 'wait', withinSeconds: within };
}

function parseAtOnce(text: string): number {
  if (/^\d{1,3}$/.test(text) && Number(text) >= 1) return Number(text);
  throw usage(`"${text}" is not a number of nodes`, 'For instance --parallel 2.');
}

function renderMaintained({ node, drained, restored }: MaintenanceOutcome['nodes'][number]): string {
  return `${drained ? renderDrained(drained) : ''}${restored ? renderRestored(restored) : ''}${node}: done\n`;
}

/** What it prints goes to standard error: standard output is for the answer. @returns why it failed; null if not */
async function run(shell: Shell, command: string, node: string): Promise<string | null> {
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
  return code === 0 ? null : `the command ended with ${code ?? 'a signal'}`;
}
