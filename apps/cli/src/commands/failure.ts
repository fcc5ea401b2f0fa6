import type { NodeFailureView } from '@drvs/contracts';
import { type Command, Option } from 'commander';
import { renderFacts, renderTable } from '../output/table.js';
import { formatAgo } from '../quantities.js';
import type { Shell } from '../shell.js';

const MODES = ['off', 'manual', 'automatic'];

export function registerFailure(node: Command, shell: Shell): void {
  const path = (name: string): string => `/nodes/${encodeURIComponent(name)}`;

  node
    .command('failures')
    .description('nodes that fell silent, with the evidence; what is done about them')
    .argument('[node]')
    .addOption(
      new Option(
        '--mode <mode>',
        'off: they are only shown as down; manual: an operator fences and evacuates; automatic: both are done once proven',
      ).choices(MODES),
    )
    .action(async (name: string | undefined, options: { mode?: string }) => {
      const client = await shell.client();
      if (options.mode !== undefined) {
        const after = await client.put<{ mode: string }>('/failures/settings', { mode: options.mode });
        return shell.answer(after, ({ mode }) => `nodes that fall silent: ${mode}\n`);
      }
      if (name !== undefined) {
        return shell.answer(await client.get<NodeFailureView>(`${path(name)}/failure`), renderFailure);
      }
      shell.table(
        await client.get<NodeFailureView[]>('/failures'),
        {
          NODE: (view) => view.node,
          STATE: ({ phase }) => phase,
          SINCE: ({ since }) => formatAgo(since, Date.now()),
          'HELD UNTIL': ({ heldUntil }) => heldUntil ?? '-',
          REASON: ({ reason }) => reason,
        },
        'all nodes are well',
      );
    });

  node
    .command('fence')
    .description('cut the power of a node that is lost, or confirm that it is off')
    .argument('<node>')
    .option('--confirmed', 'you have seen that it is off: what it had may run elsewhere')
    .option('-y, --yes', 'do not ask')
    .action(async (name: string, options: { confirmed?: boolean; yes?: boolean }) => {
      await shell.confirm(
        options.confirmed
          ? `Have you seen that ${name} is off? If it still runs, what it has runs twice.`
          : `Cut the power of ${name}?`,
        options.yes,
      );
      const after = await (await shell.client()).post<NodeFailureView>(`${path(name)}/fence`, {
        confirmed: options.confirmed ?? false,
      });
      shell.answer(after, renderFailure);
    });

  node
    .command('release')
    .description('let a node in again that is held out or quarantined')
    .argument('<node>')
    .action(async (name: string) => {
      const after = await (await shell.client()).post<NodeFailureView>(`${path(name)}/release`);
      shell.answer(after, ({ phase }) => `${name} is released (${phase})\n`);
    });
}

function renderFailure(view: NodeFailureView): string {
  return (
    renderFacts([
      ['Node', view.node],
      ['State', view.phase],
      ['Since', formatAgo(view.since, Date.now())],
      ['Because', view.reason || null],
      ['Until', view.deadline],
      ['Held out until', view.heldUntil],
      ['Came back', view.returns.length === 0 ? null : `${view.returns.length} times lately`],
      ['Operation', view.operation],
    ]) +
    (view.evidence.length === 0
      ? ''
      : `\nEvidence\n${renderTable(
          ['AT', 'BY', 'SAYS'],
          view.evidence.map(({ at, by, says }) => [at, by, says]),
        )}`)
  );
}
