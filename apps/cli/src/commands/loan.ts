import type { LoanView, SettingView } from '@drvs/contracts';
import { Argument, type Command } from 'commander';
import { formatAgo, formatCpu } from '../quantities.js';
import type { Shell } from '../shell.js';

const SETTING = '/settings/lending.enabled';

export function registerLoan(program: Command, shell: Shell): void {
  program
    .command('loan')
    .description('CPU that idle DRVMs lend to those that want more')
    .command('list')
    .alias('ls')
    .description('what is lent and borrowed now')
    .option('--node <node>', 'only on one node')
    .option('--drvm <drvm>', 'only of one DRVM')
    .action(async ({ node, drvm }: { node?: string; drvm?: string }) => {
      const wishes = Object.entries({ node, drvm }).flatMap(([name, value]) =>
        value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
      );
      const query = wishes.length === 0 ? '' : `?${wishes.join('&')}`;
      const { items } = await (await shell.client()).get<{ items: LoanView[] }>(`/loans${query}`);
      shell.table(
        items,
        {
          NODE: (loan) => loan.node,
          DRVM: (loan) => loan.drvm,
          DEPARTMENT: ({ tenant }) => tenant,
          '': ({ side }) => side,
          CPU: ({ cpu }) => formatCpu(cpu),
          HOLDS: ({ heldCpu }) => formatCpu(heldCpu),
          GUARANTEED: ({ guaranteedCpu }) => formatCpu(guaranteedCpu),
          CEILING: ({ ceilingCpu }) => formatCpu(ceilingCpu),
          SINCE: ({ since }) => formatAgo(since, Date.now()),
        },
        'nothing is lent',
      );
    });
}

/** `policy lending on|off`. */
export function registerLending(policy: Command, shell: Shell): void {
  policy
    .command('lending')
    .description('whether idle DRVMs lend their CPU to those that want more')
    .addArgument(new Argument('<state>').choices(['on', 'off']))
    .action(async (state: 'on' | 'off') => {
      const client = await shell.client();
      const { value } = await client.send<SettingView>('PUT', SETTING, { body: { value: state === 'on' } });
      shell.answer(value, () =>
        state === 'on' ? 'lending is on\n' : 'lending is off; what is lent goes back now\n',
      );
    });
}
