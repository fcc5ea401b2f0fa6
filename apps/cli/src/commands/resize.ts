import type { DrvmView, OperationView } from '@drvs/contracts';
import type { Command } from 'commander';
import { drvmPath } from '../api/drvm-path.js';
import { usage } from '../failure.js';
import { type DrvmPlanView, renderDrvm, renderDrvmPlan } from '../output/drvm-text.js';
import { parseCpu, parseDiskGiB, parseMemoryMiB, parseNetworkMbps } from '../quantities.js';
import type { Shell } from '../shell.js';
import { noWait } from './no-wait.js';

interface ResizeBody {
  cpu?: number;
  memoryMiB?: number;
  diskGiB?: number;
  networkMbps?: number;
  ceiling?: { cpu?: number; memoryMiB?: number; diskGiB?: number; networkMbps?: number };
  nodes?: number | { add: string[]; remove: string[] };
}

const AMOUNTS = {
  cpu: { field: 'cpu', parse: parseCpu },
  memory: { field: 'memoryMiB', parse: parseMemoryMiB },
  disk: { field: 'diskGiB', parse: (text: string): number => (text === '0' ? 0 : parseDiskGiB(text)) },
  network: {
    field: 'networkMbps',
    parse: (text: string): number => (text === '0' ? 0 : parseNetworkMbps(text)),
  },
} as const;
type AmountName = keyof typeof AMOUNTS;
const isAmount = (name: string): name is AmountName => Object.hasOwn(AMOUNTS, name);

export function registerResize(drvm: Command, shell: Shell): void {
  drvm
    .command('resize')
    .description('make a DRVM larger or smaller, or bring it to other nodes, as it runs')
    .argument('<drvm>')
    .argument(
      '<changes...>',
      'new sums: cpu=2 memory=1Gi disk=8Gi network=100; up to which it may borrow: max-cpu=4; nodes=3 or nodes=+node4,-node2',
    )
    .option('--dry-run', 'only say what would be done, and why')
    .addOption(noWait())
    .action(async (name: string, words: string[], options: { dryRun?: boolean; wait: boolean }) => {
      const body = parseResize(words);
      const client = await shell.client();
      if (options.dryRun) {
        const plan = await client.patch<DrvmPlanView>(drvmPath(name), { ...body, dryRun: true });
        shell.answer(plan, renderDrvmPlan);
        return;
      }
      const operation = await client.patch<OperationView>(drvmPath(name), body);
      if ((await shell.ended(operation, options.wait)) === null) return;
      shell.answer(await client.get<DrvmView>(drvmPath(name)), renderDrvm);
    });
}

/** `cpu=2 memory=1Gi max-cpu=4 nodes=+node4,-node2`, each at most once. */
export function parseResize(words: readonly string[]): ResizeBody {
  const body: ResizeBody = {};
  const seen = new Set<string>();
  for (const word of words) {
    const at = word.indexOf('=');
    const name = word.slice(0, Math.max(at, 0));
    const value = word.slice(at + 1);
    if (seen.has(name)) throw usage(`${name} is given twice`);
    seen.add(name);
    const ceiling = name.startsWith('max-') ? name.slice('max-'.length) : '';
    if (name === 'nodes') body.nodes = parseNodeChanges(value);
    else if (isAmount(name)) body[AMOUNTS[name].field] = AMOUNTS[name].parse(value);
    else if (isAmount(ceiling)) {
      const { field, parse } = AMOUNTS[ceiling];
      body.ceiling = { ...body.ceiling, [field]: parse(value) };
    } else {
      throw usage(
        `"${word}" is no change of a DRVM`,
        'Write cpu=2, memory=1Gi, disk=8Gi, network=100, max-cpu=4, nodes=3 or nodes=+node4,-node2.',
      );
    }
  }
  return body;
}

function parseNodeChanges(text: string): number | { add: string[]; remove: string[] } {
  if (/^\d+$/.test(text)) {
    const count = Number(text);
    if (count < 1) throw usage('a DRVM needs at least one node');
    return count;
  }
  const changes = { add: [] as string[], remove: [] as string[] };
  for (const part of text.split(',')) {
    const node = part.slice(1).trim();
    if (node === '' || !/^[+-]/.test(part)) {
      throw usage(
        `"${text}" does not say which nodes come and go`,
        'Write how many in all (nodes=3), or which: nodes=+node4,-node2.',
      );
    }
    (part.startsWith('+') ? changes.add : changes.remove).push(node);
  }
  return changes;
}
