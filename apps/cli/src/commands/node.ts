import type { NodeDetailView, NodeView, OperationView } from '@drvs/contracts';
import { DrvsError } from '@drvs/contracts';
import type { Command } from 'commander';
import { usage } from '../failure.js';
import { renderDrained, renderRestored } from '../output/plan-text.js';
import { renderFacts, renderTable } from '../output/table.js';
import { formatAgo, formatBytes, formatCpu, formatMiB, parseDurationSeconds } from '../quantities.js';
import type { Shell } from '../shell.js';
import { registerFailure } from './failure.js';
import { registerMaintain } from './maintain.js';
import { noWait } from './no-wait.js';
import { outcomeOf, restoreMode } from './plan.js';
import { registerPower } from './power.js';

const of = (used: string, total: string): string => `${used}/${total}`;

export function registerNode(program: Command, shell: Shell): void {
  const node = program.command('node').description('the nodes of the cluster and their resources');
  const path = (name: string): string => `/nodes/${encodeURIComponent(name)}`;

  registerPower(node, shell);
  registerFailure(node, shell);

  node
    .command('list')
    .alias('ls')
    .description('all nodes: state, use and capacity')
    .action(async () => {
      const nodes = await (await shell.client()).list<NodeView>('/nodes');
      shell.table(
        nodes,
        {
          NAME: ({ name }) => name,
          STATE: ({ state }) => state,
          CPU: ({ used, capacity }) => of(formatCpu(used.cpu), formatCpu(capacity.cpu)),
          MEMORY: ({ used, capacity }) => of(formatMiB(used.memoryMiB), formatMiB(capacity.memoryMiB)),
          DISK: ({ used, capacity }) => of(`${used.diskGiB} GiB`, `${capacity.diskGiB} GiB`),
          EXCLUSIVE: ({ exclusiveTo }) => exclusiveTo ?? '-',
          SEEN: ({ lastSeenAt }) => formatAgo(lastSeenAt, Date.now()),
        },
        'no nodes yet; `drvs node enroll-token` makes the token with which an agent joins',
      );
    });

  node
    .command('show')
    .description('one node: resources, devices, what it gives to whom')
    .argument('<node>')
    .action(async (name: string) => {
      shell.answer(await (await shell.client()).get<NodeDetailView>(path(name)), renderNode);
    });

  node
    .command('enroll-token')
    .description('a token with which one agent joins, once')
    .option('--expires <duration>', 'how long it may be used', parseDurationSeconds)
    .action(async (options: { expires?: number }) => {
      const answer = await (await shell.client()).post<{ token: string; expiresAt: string }>(
        '/nodes/enroll-tokens',
        {
          expiresIn: options.expires,
        },
      );
      if (!shell.isJson) shell.note(`for one agent, until ${answer.expiresAt}; it is not shown again`);
      shell.answer(answer, ({ token }) => `${token}\n`);
    });

  node
    .command('label')
    .description('set labels of a node (k=v), or take them away (k-)')
    .argument('<node>')
    .argument('<labels...>', 'k=v, or k- to remove')
    .action(async (name: string, words: string[]) => {
      const changes = words.map(parseLabel);
      const client = await shell.client();
      for (let isFirst = true; ; isFirst = false) {
        const before = await client.get<NodeView>(path(name));
        const labels = { ...before.labels };
        for (const { key, value } of changes) {
          if (value === null) delete labels[key];
          else labels[key] = value;
        }
        try {
          const after = await client.patch<NodeView>(
            path(name),
            { labels },
            { headers: { 'if-match': `"${before.generation}"` } },
          );
          shell.answer(after, () => `${name}: ${renderLabels(labels)}\n`);
          return;
        } catch (error) {
          // Somebody else changed the node in between: once more with what it is now.
          if (!(isFirst && error instanceof DrvsError && error.code === 'StaleGeneration')) throw error;
        }
      }
    });

  node
    .command('drain')
    .description('close a node to what is new, and move everything on it elsewhere')
    .argument('<node>')
    .addOption(noWait())
    .action(async (name: string, options: { wait: boolean }) => {
      const operation = await (await shell.client()).post<OperationView>(`${path(name)}/drain`);
      const ended = await shell.ended(operation, options.wait);
      if (ended) shell.answer(outcomeOf(ended), renderDrained);
    });

  node
    .command('restore')
    .description('open a drained node again; what left it comes back')
    .argument('<node>')
    .addOption(restoreMode())
    .addOption(noWait())
    .action(async (name: string, { mode, wait }: { mode: string; wait: boolean }) => {
      const client = await shell.client();
      const operation = await client.post<OperationView>(`${path(name)}/restore`, { mode });
      const ended = await shell.ended(operation, wait);
      if (ended) shell.answer(outcomeOf(ended), renderRestored);
    });

  registerMaintain(node, shell);

  node
    .command('remove')
    .alias('rm')
    .description('forget a node that holds nothing of any DRVM')
    .argument('<node>')
    .option('--drain', 'move everything off it first')
    .option('-y, --yes', 'do not ask')
    .action(async (name: string, options: { yes?: boolean; drain?: boolean }) => {
      await shell.confirm(
        `Remove node ${name}? Its agent needs a new enrolment token to come back.`,
        options.yes,
      );
      if (options.drain) {
        const operation = await (await shell.client()).post<OperationView>(`${path(name)}/retire`);
        shell.answer(outcomeOf(await shell.follow(operation)), renderDrained);
        return;
      }
      await (await shell.client()).delete(path(name));
      shell.answer({ name }, () => `${name} removed\n`);
    });
}

export function parseLabel(word: string): { key: string; value: string | null } {
  if (/^[^=]+-$/.test(word)) return { key: word.slice(0, -1), value: null };
  const at = word.indexOf('=');
  if (at < 1) throw usage(`"${word}" is not a label`, 'Write rack=a1 to set one, rack- to take it away.');
  return { key: word.slice(0, at), value: word.slice(at + 1) };
}

const renderLabels = (labels: Record<string, string>): string =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ') || 'no labels';

function renderNode(node: NodeDetailView): string {
  const { capacity, used, enforcement } = node;
  const facts = renderFacts([
    ['Name', node.name],
    ['Id', node.id],
    ['State', node.state],
    ['Seen', formatAgo(node.lastSeenAt, Date.now())],
    ['Agent', node.agentVersion],
    ['Labels', node.labels && renderLabels(node.labels)],
    ['Exclusive to', node.exclusiveTo],
    ['Place', [node.site, node.rack].filter(Boolean).join(' / ')],
    ['Taints', node.taints?.join(', ')],
    ['Burn-in', node.probation],
    ['CPU', `${formatCpu(used.cpu)} used of ${formatCpu(capacity.cpu)} offered`],
    ['Memory', `${formatMiB(used.memoryMiB)} used of ${formatMiB(capacity.memoryMiB)} offered`],
    ['Disk', `${used.diskGiB} GiB used of ${capacity.diskGiB} GiB offered`],
    [
      'Host',
      node.host &&
        `${formatCpu(node.host.cpu)} CPUs, ${formatMiB(node.host.memoryMiB)}, ${node.host.diskGiB} GiB`,
    ],
    ['Limits by', enforcement && `cpu ${enforcement.cpu}, memory ${enforcement.memory}, ${enforcement.user}`],
    ['Namespaces', enforcement?.namespaces.join(', ')],
    ['Notes', enforcement?.notes.join('; ')],
    ['Traits', node.traits?.join(', ')],
  ]);
  const part = <T>(
    title: string,
    items: readonly T[] | undefined,
    columns: Record<string, (item: T) => string>,
  ) =>
    items?.length
      ? `\n${title}\n${renderTable(
          Object.keys(columns),
          items.map((item) => Object.values(columns).map((column) => column(item))),
        )}`
      : '';
  return (
    facts +
    part('Given to DRVMs', node.allocations, {
      DRVM: ({ tenant, drvm }) => `${tenant}/${drvm}`,
      CPU: ({ cpu }) => formatCpu(cpu),
      MEMORY: ({ memoryMiB }) => formatMiB(memoryMiB),
      DISK: ({ diskGiB }) => `${diskGiB} GiB`,
      MODE: ({ exclusive }) => (exclusive ? 'exclusive' : 'shared'),
    }) +
    part('Network interfaces', node.interfaces, {
      NAME: ({ name }) => name,
      STATE: ({ state }) => state,
      SPEED: ({ speedMbps }) => (speedMbps === null ? '-' : `${speedMbps} Mbit/s`),
      ADDRESSES: ({ addresses }) => addresses.join(', '),
    }) +
    part('Devices', node.devices, {
      ID: ({ id }) => id,
      KIND: ({ kind }) => kind,
      SIZE: ({ sizeBytes }) => (sizeBytes === null ? '-' : formatBytes(sizeBytes)),
      NAME: ({ name }) => name,
    })
  );
}
