import type {
  DeviceView,
  InventoryView,
  NodeInventoryView,
  NodeRulesView,
  TopologyView,
} from '@drvs/contracts';
import type { Command } from 'commander';
import { usage } from '../failure.js';
import { renderFacts, renderTable } from '../output/table.js';
import { formatBytes, parseDiskGiB, parseMemoryMiB, parseNetworkMbps } from '../quantities.js';
import type { Shell } from '../shell.js';

const CLASSES = {
  cpu: { name: 'cpuMilli', parse: parseMilli },
  memory: { name: 'memoryMiB', parse: (text: string) => amount(text, parseMemoryMiB) },
  disk: { name: 'diskGiB', parse: (text: string) => amount(text, parseDiskGiB) },
  network: { name: 'networkMbps', parse: (text: string) => amount(text, parseNetworkMbps) },
} as const;
const CHECK_LOOK_MS = 500;

/** What nodes offer, by which rules, and where they stand. */
export function registerInventory(program: Command, shell: Shell): void {
  const node = program.commands.find((command) => command.name() === 'node') as Command;
  const path = (name: string): string => `/nodes/${encodeURIComponent(name)}`;

  node
    .command('inventory')
    .description(
      'what a node offers of each class; with `set`, change what is held back, the ratio, the step',
    )
    .argument('<node>')
    .argument('[words...]', 'set cpu.reserved=500 cpu.ratio=1.5 memory.step=64Mi')
    .action(async (name: string, [verb, ...words]: string[]) => {
      const client = await shell.client();
      const before = await client.get<NodeInventoryView>(`${path(name)}/inventory`);
      if (verb === undefined) return shell.answer(before, renderInventory);
      if (verb !== 'set' || words.length === 0)
        throw usage(`"${verb}" is not known here`, 'Write: drvs node inventory NODE set cpu.reserved=500');
      const after = await client.patch<NodeInventoryView>(`${path(name)}/inventory`, inventoryChange(words));
      shell.answer(after, renderInventory);
    });

  const trait = node.command('trait').description('traits of a node that are set by hand');
  for (const verb of ['add', 'remove'] as const) {
    trait
      .command(verb)
      .description(verb === 'add' ? 'ssd, rack=r1, site=centro, …' : 'take them away')
      .argument('<node>')
      .argument('<traits...>')
      .action(async (name: string, words: string[]) => {
        const after = await (await shell.client()).patch<NodeRulesView>(`${path(name)}/traits`, {
          [verb]: words,
        });
        shell.answer(after, renderRules);
      });
  }

  node
    .command('taint')
    .description('keep new DRVMs off that do not tolerate it')
    .argument('<node>')
    .argument('<taints...>', 'key=value:NoSchedule, or key- to take it away')
    .action(async (name: string, words: string[]) => {
      const remove = words.filter((word) => word.endsWith('-')).map((word) => word.slice(0, -1));
      const add = words.filter((word) => !word.endsWith('-'));
      const after = await (await shell.client()).patch<NodeRulesView>(`${path(name)}/taints`, {
        add,
        remove,
      });
      shell.answer(after, renderRules);
    });

  for (const [verb, description, done] of [
    ['cordon', 'close a node to what is new; what is on it stays', 'takes nothing new'],
    ['uncordon', 'open a node again', 'takes new programs and DRVMs'],
    ['accept', 'let a node have DRVMs though its check failed', 'takes new programs and DRVMs'],
  ] as const) {
    node
      .command(verb)
      .description(description)
      .argument('<node>')
      .action(async (name: string) => {
        const after = await (await shell.client()).post<NodeRulesView>(`${path(name)}/${verb}`);
        shell.answer(after, () => `${name} ${done}\n`);
      });
  }

  node
    .command('check')
    .description('make the burn-in check of a node again, and show what came of it')
    .argument('<node>')
    .option('--no-wait', 'do not wait for it')
    .option('--last', 'only show what came of the last one')
    .action(async (name: string, options: { wait: boolean; last?: boolean }) => {
      const client = await shell.client();
      let view = options.last
        ? await client.get<NodeRulesView>(`${path(name)}/rules`)
        : await client.post<NodeRulesView>(`${path(name)}/check`);
      const progress = shell.progress();
      while (options.wait && !options.last && view.probation === 'pending') {
        progress.show(`${name} is being checked`);
        await new Promise((resolve) => setTimeout(resolve, CHECK_LOOK_MS));
        view = await client.get<NodeRulesView>(`${path(name)}/rules`);
      }
      progress.clear();
      shell.answer(view, renderRules);
    });

  program
    .command('topology')
    .description('sites, racks and nodes')
    .action(async () => {
      shell.answer(await (await shell.client()).get<TopologyView>('/topology'), renderTopology);
    });

  registerDevices(program, shell);
}

function registerDevices(program: Command, shell: Shell): void {
  const device = program.command('device').description('devices of nodes, each given to one DRVM at most');
  device
    .command('list')
    .alias('ls')
    .description('all devices and who has them')
    .option('--node <node>', 'of this node')
    .option('--drvm <drvm>', 'that this DRVM has')
    .option('--type <type>', 'gpu, usb, block, pci or character')
    .action(async (options: Record<string, string | undefined>) => {
      const query = new URLSearchParams(
        Object.entries(options).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
      );
      const { items } = await (await shell.client()).get<{ items: DeviceView[] }>(`/devices?${query}`);
      shell.table(
        items,
        {
          DEVICE: ({ node, key }) => `${node}/${key}`,
          TYPE: ({ type }) => type,
          NAME: ({ name }) => name,
          SIZE: ({ sizeBytes }) => (sizeBytes === null ? '-' : formatBytes(sizeBytes)),
          STATE: ({ present, reserved, total, drvm }) =>
            drvm !== null ? 'given' : !present ? 'gone' : reserved >= total ? 'out of service' : 'free',
          DRVM: ({ tenant, drvm }) => (drvm === null ? '-' : `${tenant}/${drvm}`),
          TRAITS: ({ traits }) => traits.join(','),
        },
        'no devices',
      );
    });
  for (const [verb, reserved, done] of [
    ['enable', 0, 'is in service'],
    ['disable', 1, 'is out of service'],
  ] as const) {
    device
      .command(verb)
      .description(verb === 'enable' ? 'put a device into service' : 'take a device out of service')
      .argument('<device>', 'its id, or NODE/KEY')
      .action(async (reference: string) => {
        const client = await shell.client();
        const view = await client.patch<DeviceView>(`/devices/${encodeURIComponent(reference)}`, {
          reserved,
        });
        shell.answer(view, () => `${view.node}/${view.key} ${done}\n`);
      });
  }
}

/** CPU in thousandths of a vCPU, as the ledger counts it: 500, 500m, or 0.5. */
function parseMilli(text: string): number {
  const match = /^(?:(\d+)m?|(\d*\.\d+))$/.exec(text);
  if (!match) throw usage(`"${text}" is not an amount of CPU`, 'Write thousandths of a vCPU, such as 500.');
  return match[1] !== undefined ? Number(match[1]) : Math.round(Number(match[2]) * 1000);
}

function amount(text: string, parse: (text: string) => number): number {
  return /^\d+$/.test(text) ? Number(text) : parse(text);
}

export function inventoryChange(words: readonly string[]): Record<string, Record<string, number>> {
  const change: Record<string, Record<string, number>> = {};
  for (const word of words) {
    const match = /^(cpu|memory|disk|network)\.(reserved|ratio|step)=(.+)$/.exec(word);
    if (!match) {
      throw usage(
        `"${word}" does not say what to change`,
        'Write cpu.reserved=500, memory.ratio=1.2 or disk.step=4.',
      );
    }
    const [, key, field, value] = match as unknown as [string, keyof typeof CLASSES, string, string];
    const { name, parse } = CLASSES[key];
    change[name] = { ...change[name], [field]: field === 'ratio' ? Number(value) : parse(value) };
  }
  return change;
}

function renderInventory({ classes }: NodeInventoryView): string {
  return renderTable(
    ['CLASS', 'TOTAL', 'RESERVED', 'RATIO', 'STEP', 'CAPACITY', 'GIVEN', 'FREE', 'GENERATION'],
    classes.map((row: InventoryView) => [
      row.class,
      ...[
        row.total,
        row.reserved,
        row.ratio,
        row.step,
        row.capacity,
        row.given,
        row.free,
        row.generation,
      ].map(String),
    ]),
  );
}

function renderRules(view: NodeRulesView): string {
  const facts = renderFacts([
    ['Node', view.node],
    ['Found', view.found.join(', ')],
    ['Set', view.set.join(', ')],
    ['Taints', view.taints.join(', ')],
    ['Site', view.site],
    ['Rack', view.rack],
    ['Burn-in', view.probation],
    ['Checked', view.check?.at],
  ]);
  if (view.check === null) return facts;
  return `${facts}\n${renderTable(
    ['PART', 'PASSED', 'FIGURES', 'DETAIL'],
    view.check.items.map(({ name, passed, detail, figures }) => [
      name,
      passed ? 'yes' : 'NO',
      Object.entries(figures)
        .map(([key, value]) => `${key}=${value}`)
        .join(' ') || '-',
      detail,
    ]),
  )}`;
}

function renderTopology({ sites }: TopologyView): string {
  const lines: string[] = [];
  for (const { site, racks } of sites) {
    lines.push(site ?? '(no site)');
    for (const { rack, nodes } of racks) {
      lines.push(`  ${rack ?? '(no rack)'}`);
      for (const { name, state, taints } of nodes)
        lines.push(`    ${name} ${state}${taints.length > 0 ? ` ${taints.join(' ')}` : ''}`);
    }
  }
  return lines.length === 0 ? 'no nodes\n' : `${lines.join('\n')}\n`;
}
