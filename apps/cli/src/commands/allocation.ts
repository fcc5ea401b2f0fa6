import { readFile } from 'node:fs/promises';
import type {
  CandidatesView,
  CandidateView,
  DeviceView,
  ExplanationView,
  ImportRowView,
  LeaseView,
  WaitingView,
} from '@drvs/contracts';
import type { Command } from 'commander';
import { drvmPath } from '../api/drvm-path.js';
import { Failure, usage } from '../failure.js';
import { renderFacts, renderTable } from '../output/table.js';
import { formatAgo, formatCpu, formatMiB, parseAmounts, parseDurationSeconds } from '../quantities.js';
import type { Shell } from '../shell.js';
import { type LeaseOptions, leaseBody, renderLease } from './create.js';
import { parseCsv } from './csv.js';
import {
  addPlacementOptions,
  defaultDisk,
  type PlacementOptions,
  parseNodes,
  placementBody,
} from './placement-options.js';

/** What can be asked before a DRVM is made, and what it is given beside its slices. */
export function registerAllocation(program: Command, shell: Shell): void {
  const drvm = program.commands.find((command) => command.name() === 'drvm') as Command;

  addPlacementOptions(
    drvm.command('candidates').description('ways of holding a DRVM, the best first; nothing is changed'),
  )
    .option('--seed <number>', 'decides between equals', Number)
    .option('--limit <count>', 'how many', Number)
    .action(async (options: PlacementOptions & { seed?: number; limit?: number }) => {
      const body = { ...hypothetical(options), seed: options.seed, limit: options.limit };
      const list = await (await shell.client()).post<CandidatesView>('/allocation-candidates', body);
      shell.answer(list, renderCandidates);
    });

  addPlacementOptions(
    drvm.command('explain').description('whether a DRVM would fit, and if not, why and what would change it'),
  ).action(async (options: PlacementOptions) => {
    const client = await shell.client();
    shell.answer(
      await client.post<ExplanationView>('/allocation-explanations', hypothetical(options)),
      renderExplanation,
    );
  });

  drvm
    .command('attach')
    .description('give a DRVM a device of a node on which it has a slice')
    .argument('<drvm>')
    .argument('<device>', 'its id, or NODE/KEY')
    .action(async (name: string, device: string) => {
      const view = await (await shell.client()).post<DeviceView>(`${drvmPath(name)}/devices`, { device });
      shell.answer(view, () => `${view.node}/${view.key} belongs to ${name}\n`);
    });

  drvm
    .command('detach')
    .description('take a device from a DRVM')
    .argument('<drvm>')
    .argument('<device>', 'its id, or NODE/KEY')
    .action(async (name: string, device: string) => {
      const client = await shell.client();
      const view = await client.delete<DeviceView>(`${drvmPath(name)}/devices/${encodeURIComponent(device)}`);
      shell.answer(view, () => `${view.node}/${view.key} is free\n`);
    });

  drvm
    .command('lease')
    .description('show, set, extend or take away the lease of a DRVM')
    .argument('<drvm>')
    .option('--for <duration>', 'from now on for so long: 30d', parseDurationSeconds)
    .option('--until <time>', 'until then')
    .option('--keep <duration>', 'keep its files so long after the end', parseDurationSeconds)
    .option('--idle <action>', 'stop:2h, shrink:30m or notify:1d')
    .option('--extend <duration>', 'for so much longer', parseDurationSeconds)
    .option('--none', 'let it be had without end')
    .action(
      async (
        name: string,
        options: { for?: number; until?: string; extend?: number; none?: boolean } & LeaseOptions,
      ) => {
        const client = await shell.client();
        const at = `${drvmPath(name)}/lease`;
        if (options.none) {
          await client.delete(at);
          return shell.answer({ drvm: name, lease: null }, () => `${name} may be had without end\n`);
        }
        const terms = leaseBody({ ...options, lease: options.for, leaseEnd: options.until });
        const lease =
          options.extend !== undefined
            ? await client.post<LeaseView>(`${at}/extend`, { bySeconds: options.extend })
            : terms === undefined
              ? await client.get<LeaseView>(at)
              : await client.put<LeaseView>(at, terms);
        shell.answer(lease, () => renderFacts(renderLease(lease)));
      },
    );

  drvm
    .command('import')
    .description('make several DRVMs from a template, one for each line of a CSV file')
    .argument('<file>', 'with a line of names first: name,cpu,memory,…')
    .requiredOption('--template <template>', 'what they have in common')
    .option('--dry-run', 'only say what would be done, each line on what the lines before it leave')
    .action(async (file: string, options: { template: string; dryRun?: boolean }) => {
      const rows = rowsOf(await readFile(file, 'utf8'), file);
      const client = await shell.client();
      const at = `/templates/${encodeURIComponent(options.template)}/import`;
      const answer = await client.post<{ rows: ImportRowView[] }>(at, { rows, dryRun: options.dryRun });
      shell.answer(answer.rows, renderImport);
      const refused = answer.rows.filter(({ outcome }) => outcome === 'refused').length;
      if (refused > 0)
        throw new Failure('OperationFailed', `${refused} of ${answer.rows.length} lines were refused`, {
          hint: 'The others stand. Mend these lines, and import them alone.',
        });
    });

  registerQueue(program, shell);
}

function registerQueue(program: Command, shell: Shell): void {
  const queue = program.command('queue').description('creations that wait for room');
  queue
    .command('list')
    .alias('ls')
    .description('who waits, in the order in which they would be let in')
    .action(async () => {
      const { items } = await (await shell.client()).get<{ items: WaitingView[] }>('/queue');
      shell.table(
        items,
        {
          '#': ({ position }) => String(position ?? '-'),
          ID: ({ id }) => id,
          NAME: ({ name }) => name,
          DEPARTMENT: ({ tenant }) => tenant,
          STATE: ({ state }) => state,
          SINCE: ({ createdAt }) => formatAgo(createdAt, Date.now()),
          REASON: ({ reason }) => reason,
        },
        'nothing waits',
      );
    });
  queue
    .command('show')
    .description('one of them')
    .argument('<id>')
    .action(async (id: string) => {
      const view = await (await shell.client()).get<WaitingView>(`/queue/${encodeURIComponent(id)}`);
      shell.facts(view, [
        ['Id', view.id],
        ['Name', view.name],
        ['Department', view.tenant],
        ['State', view.state],
        ['Position', view.position === null ? null : String(view.position)],
        ['Reason', view.reason],
        ['Not before', view.notBefore],
        ['Looked at', `${view.attempts} times`],
        ['Asked for by', view.requestedBy],
        ['Operation', view.operation],
      ]);
    });
  queue
    .command('cancel')
    .description('take a request out of the queue')
    .argument('<id>')
    .action(async (id: string) => {
      const view = await (await shell.client()).delete<WaitingView>(`/queue/${encodeURIComponent(id)}`);
      shell.answer(view, () => `${view.name} no longer waits\n`);
    });
}

function hypothetical(options: PlacementOptions): Record<string, unknown> {
  if (options.cpu === undefined || options.memory === undefined)
    throw usage('say how much: --cpu and --memory');
  return { ...placementBody(options), diskGiB: defaultDisk(options) };
}

/** A line of the file as the API takes it; columns are named as the options of `drvm create` are. */
function rowsOf(text: string, file: string): Record<string, unknown>[] {
  const [head, ...lines] = parseCsv(text);
  if (!head?.includes('name'))
    throw usage(`${file} does not begin with the names of its columns`, 'Begin it with name,cpu,memory.');
  return lines.map((cells) => {
    const row: Record<string, unknown> = {};
    for (const [place, column] of head.entries()) {
      const cell = cells[place]?.trim() ?? '';
      if (cell !== '') Object.assign(row, columnOf(column, cell));
    }
    return row;
  });
}

function columnOf(column: string, cell: string): Record<string, unknown> {
  const list = cell.split(/[;\s]+/).filter((word) => word !== '');
  switch (column) {
    case 'name':
    case 'tenant':
      return { [column]: cell };
    case 'cpu':
    case 'memory':
    case 'disk':
    case 'network':
      return parseAmounts([`${column}=${cell}`]);
    case 'nodes':
      return { nodes: parseNodes(list.join(',')) };
    case 'lease':
      return { lease: { forSeconds: parseDurationSeconds(cell) } };
    case 'require':
    case 'forbid':
    case 'tolerate':
      return { [column]: list };
    default:
      throw usage(
        `the column "${column}" is not known`,
        'Known are name, tenant, cpu, memory, disk, network, nodes, lease, require, forbid and tolerate.',
      );
  }
}

const sliceWords = ({ slices }: Pick<CandidateView, 'slices'>): string =>
  slices
    .map(
      ({ node, cpu, memoryMiB, devices }) =>
        `${node} (${formatCpu(cpu)} CPU, ${formatMiB(memoryMiB)}${devices.map(({ type, key }) => `, ${type} ${key}`).join('')})`,
    )
    .join(', ');

function renderCandidates({ seed, expiresAt, candidates, rules }: CandidatesView): string {
  const table = renderTable(
    ['ID', 'SCORE', 'FIT', 'DOMAINS', 'NETWORK', 'FRAGMENTS', 'ENERGY', 'SLICES'],
    candidates.map((candidate) => {
      const { total, fit, domains, network, fragmentation, energy } = candidate.scores;
      const scores = [total, fit, domains, network, fragmentation, energy].map((score) => score.toFixed(2));
      return [candidate.id, ...scores, sliceWords(candidate)];
    }),
  );
  const left = rules.map(({ rule, nodes }) => `${nodes} ${rule}`).join(', ');
  return `${table}\nseed ${seed}; good until ${expiresAt}${left === '' ? '' : `; left out: ${left}`}\n`;
}

function renderExplanation(view: ExplanationView): string {
  const { verdict, message, hint, rules, best } = view;
  const facts = renderFacts([
    ['Fits', verdict],
    ['Because', message],
    ['Hint', hint],
    ['Best', best && sliceWords(best)],
  ]);
  if (rules.length === 0) return facts;
  return `${facts}\n${renderTable(
    ['NODES', 'ARE', 'WOULD CHANGE IT'],
    rules.map(({ nodes, words, change }) => [String(nodes), words, change]),
  )}`;
}

function renderImport(rows: ImportRowView[]): string {
  return renderTable(
    ['LINE', 'NAME', 'OUTCOME', 'NODES', 'REASON'],
    rows.map(({ row, name, outcome, nodes, error }) => [
      String(row),
      name,
      outcome,
      nodes.join(',') || '-',
      error?.message ?? '-',
    ]),
  );
}
