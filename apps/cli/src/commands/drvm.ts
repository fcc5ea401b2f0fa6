import type { DrvmView, OperationView } from '@drvs/contracts';
import type { Command } from 'commander';
import { drvmPath } from '../api/drvm-path.js';
import { renderDrvm } from '../output/drvm-text.js';
import { formatCpu, formatMiB } from '../quantities.js';
import type { Shell } from '../shell.js';
import { registerCreate } from './create.js';
import { noWait } from './no-wait.js';
import { registerResize } from './resize.js';
import { registerRules } from './rules.js';

export function registerDrvm(program: Command, shell: Shell): void {
  const drvm = program.command('drvm').description('virtual machines over one or more nodes');

  registerCreate(drvm, shell);

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
  registerRules(drvm, shell);

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
      .addOption(noWait())
      .action(async (name: string, options: { wait: boolean }) => {
        const client = await shell.client();
        const operation = await client.post<OperationView>(`${drvmPath(name)}/${action}`);
        if ((await shell.ended(operation, options.wait)) === null) return;
        shell.answer(await client.get<DrvmView>(drvmPath(name)), () => `${name} ${done}\n`);
      });
  }

  drvm
    .command('delete')
    .alias('rm')
    .description('end a DRVM and remove its files')
    .argument('<drvm>')
    .option('-y, --yes', 'do not ask')
    .addOption(noWait())
    .action(async (name: string, options: { yes?: boolean; wait: boolean }) => {
      await shell.confirm(`Delete DRVM ${name} with all its files and processes?`, options.yes);
      const operation = await (await shell.client()).delete<OperationView>(drvmPath(name));
      const ended = await shell.ended(operation, options.wait);
      if (ended) shell.answer(ended, () => `${name} deleted\n`);
    });
}

const sum = <T>(items: readonly T[], of: (item: T) => number): number =>
  items.reduce((all, item) => all + of(item), 0);
