import type { DrvmView, OperationView } from '@drvs/contracts';
import { type Command, Option } from 'commander';
import { usage } from '../failure.js';
import { renderFacts, renderTable } from '../output/table.js';
import {
  formatAgo,
  formatCpu,
  formatMiB,
  parseCpu,
  parseDiskGiB,
  parseMemoryMiB,
  parseNetworkMbps,
} from '../quantities.js';
import type { Shell } from '../shell.js';
import { registerResize } from './resize.js';

export const drvmPath = (name: string): string => `/drvms/${encodeURIComponent(name)}`;

interface CreateOptions {
  tenant?: string;
  dvos: string;
  cpu: number;
  memory: number;
  disk?: number;
  network?: number;
  nodes?: number | string[];
  exclusive?: boolean;
  policy?: string;
  dryRun?: boolean;
  wait: boolean;
}

export interface PlanView {
  id: string;
  kind: string;
  steps: {
    action: string;
    node?: string;
    cpu?: number;
    memoryMiB?: number;
    diskGiB?: number;
    reason: string;
  }[];
  rejected: { what: string; reason: string }[];
}

export function registerDrvm(program: Command, shell: Shell): void {
  const drvm = program.command('drvm').description('virtual machines over one or more nodes');
  const noWait = new Option('--no-wait', "do not wait; print the operation's id");

  drvm
    .command('create')
    .description('make a DRVM and start it')
    .argument('<name>')
    .option('--tenant <tenant>', 'the department (yours, when you belong to one)')
    .option('--dvos <kind>', 'its operating system', 'mol')
    .requiredOption('--cpu <cpus>', 'vCPUs in all: 2, 0.5, 500m', parseCpu)
    .requiredOption('--memory <size>', 'memory in all: 512Mi, 4Gi', parseMemoryMiB)
    .option('--disk <size>', 'disk in all: 4Gi (default 1Gi on each node)', parseDiskGiB)
    .option('--network <bandwidth>', 'network in all, Mbit/s: 100, 1G', parseNetworkMbps)
    .option('--nodes <nodes>', 'over how many nodes (2), or over which (node1,node2)', parseNodes)
    .option('--exclusive', 'share its nodes with no other DRVM')
    .addOption(new Option('--policy <policy>', 'how to choose nodes').choices(['spread', 'pack']))
    .option('--dry-run', 'only say what would be done, and why')
    .addOption(noWait)
    .action(async (name: string, options: CreateOptions) => {
      const client = await shell.client();
      const body = {
        name,
        tenant: options.tenant ?? (await client.get<{ tenant: string | null }>('/auth/me')).tenant,
        dvos: options.dvos,
        cpu: options.cpu,
        memoryMiB: options.memory,
        diskGiB: options.disk ?? (Array.isArray(options.nodes) ? options.nodes.length : (options.nodes ?? 1)),
        networkMbps: options.network,
        nodes: options.nodes,
        exclusive: options.exclusive,
        policy: options.policy,
        dryRun: options.dryRun,
      };
      if (body.tenant === null)
        throw usage('say whose it is: --tenant DEPARTMENT', 'See `drvs tenant list`.');
      if (options.dryRun) {
        shell.answer(await client.post<PlanView>('/drvms', body), renderPlan);
        return;
      }
      const { operation, drvm: made } = await client.post<{ operation: OperationView; drvm: DrvmView }>(
        '/drvms',
        body,
      );
      if (!options.wait) return shell.answer(operation, ({ id }) => `${id}\n`);
      await shell.follow(operation);
      shell.answer(await client.get<DrvmView>(drvmPath(made.id)), renderDrvm);
    });

  drvm
    .command('list')
    .alias('ls')
    .description('all DRVMs that you may see')
    .action(async () => {
      shell.table(
        await (await shell.client()).list<DrvmView>('/drvms'),
        {
          NAME: ({ name }) => name,
          DEPARTMENT: ({ tenant }) => tenant,
          STATE: ({ state }) => state,
          CPU: ({ nodes }) => formatCpu(sum(nodes, ({ cpu }) => cpu)),
          MEMORY: ({ nodes }) => formatMiB(sum(nodes, ({ memoryMiB }) => memoryMiB)),
          DISK: ({ nodes }) => `${sum(nodes, ({ diskGiB }) => diskGiB)} GiB`,
          NODES: ({ nodes }) => nodes.map(({ node }) => node).join(','),
        },
        'no DRVMs; make one with `drvs drvm create NAME --tenant T --cpu 1 --memory 512Mi`',
      );
    });

  drvm
    .command('show')
    .description('one DRVM: its slices on each node, and why it is not as wanted')
    .argument('<drvm>')
    .action(async (name: string) => {
      shell.answer(await (await shell.client()).get<DrvmView>(drvmPath(name)), renderDrvm);
    });

  registerResize(drvm, shell);

  for (const [action, done] of [
    ['start', 'runs'],
    ['stop', 'is stopped'],
  ] as const) {
    drvm
      .command(action)
      .description(
        action === 'start' ? 'start a stopped DRVM' : 'end its processes and stop it; its files stay',
      )
      .argument('<drvm>')
      .addOption(noWait)
      .action(async (name: string, options: { wait: boolean }) => {
        const client = await shell.client();
        const operation = await client.post<OperationView>(`${drvmPath(name)}/${action}`);
        if (!options.wait) return shell.answer(operation, ({ id }) => `${id}\n`);
        await shell.follow(operation);
        shell.answer(await client.get<DrvmView>(drvmPath(name)), () => `${name} ${done}\n`);
      });
  }

  drvm
    .command('delete')
    .alias('rm')
    .description('end a DRVM and remove its files')
    .argument('<drvm>')
    .option('-y, --yes', 'do not ask')
    .addOption(noWait)
    .action(async (name: string, options: { yes?: boolean; wait: boolean }) => {
      await shell.confirm(`Delete DRVM ${name} with all its files and processes?`, options.yes);
      const operation = await (await shell.client()).delete<OperationView>(drvmPath(name));
      if (!options.wait) return shell.answer(operation, ({ id }) => `${id}\n`);
      shell.answer(await shell.follow(operation), () => `${name} deleted\n`);
    });
}

const sum = <T>(items: readonly T[], of: (item: T) => number): number =>
  items.reduce((all, item) => all + of(item), 0);

export function parseNodes(text: string): number | string[] {
  if (/^\d+$/.test(text)) {
    const count = Number(text);
    if (count < 1) throw usage('a DRVM needs at least one node');
    return count;
  }
  const names = text.split(',').map((name) => name.trim());
  if (names.some((name) => name === '') || new Set(names).size !== names.length) {
    throw usage(`"${text}" does not name nodes`, 'Write how many (2), or different names (node1,node2).');
  }
  return names;
}

export function renderDrvm(view: DrvmView): string {
  return (
    renderFacts([
      ['Name', view.name],
      ['Id', view.id],
      ['Department', view.tenant],
      ['DVOS', view.dvos],
      ['State', view.state],
      ['Detail', view.detail],
      ['Created', formatAgo(view.createdAt, Date.now())],
    ]) +
    (view.nodes.length === 0
      ? ''
      : `\n${renderTable(
          ['NODE', 'CPU', 'MEMORY', 'DISK', 'STATE', 'ISOLATION'],
          view.nodes.map((slice) => [
            slice.node,
            formatCpu(slice.cpu),
            formatMiB(slice.memoryMiB),
            `${slice.diskGiB} GiB`,
            slice.state,
            slice.isolation,
          ]),
        )}`)
  );
}

export function renderPlan(plan: PlanView): string {
  return (
    renderTable(
      ['STEP', 'NODE', 'CPU', 'MEMORY', 'DISK', 'REASON'],
      plan.steps.map((step) => [
        step.action,
        step.node ?? '-',
        step.cpu === undefined ? '-' : formatCpu(step.cpu),
        step.memoryMiB === undefined ? '-' : formatMiB(step.memoryMiB),
        step.diskGiB === undefined ? '-' : `${step.diskGiB} GiB`,
        step.reason,
      ]),
    ) +
    (plan.rejected.length === 0
      ? ''
      : `\n${renderTable(
          ['NOT CHOSEN', 'REASON'],
          plan.rejected.map(({ what, reason }) => [what, reason]),
        )}`)
  );
}
