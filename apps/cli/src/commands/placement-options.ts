import { type Command, Option } from 'commander';
import { usage } from '../failure.js';
import { parseAmounts, parseCpu, parseDiskGiB, parseMemoryMiB, parseNetworkMbps } from '../quantities.js';

/** What a DRVM is to be and where, as it is said on the command line. */
export interface PlacementOptions {
  tenant?: string;
  cpu?: number;
  memory?: number;
  disk?: number;
  network?: number;
  nodes?: number | string[];
  exclusive?: boolean;
  policy?: string;
  maxCpu?: number;
  ceiling?: string;
  require?: string[];
  forbid?: string[];
  tolerate?: string[];
  spread?: string;
  affinity?: string[];
  antiAffinity?: string[];
  device?: { type: string; count: number; traits: string[] }[];
}

const words = (text: string, before: string[] = []): string[] => [
  ...before,
  ...text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== ''),
];

export function addPlacementOptions(command: Command): Command {
  return command
    .option('--tenant <tenant>', 'the department (yours, when you belong to one)')
    .option('--cpu <cpus>', 'vCPUs in all: 2, 0.5, 500m', parseCpu)
    .option('--memory <size>', 'memory in all: 512Mi, 4Gi', parseMemoryMiB)
    .option('--disk <size>', 'disk in all: 4Gi (default 1Gi on each node)', parseDiskGiB)
    .option('--network <bandwidth>', 'network in all, Mbit/s: 100, 1G', parseNetworkMbps)
    .option('--nodes <nodes>', 'over how many nodes (2), or over which (node1,node2)', parseNodes)
    .option('--exclusive', 'share its nodes with no other DRVM')
    .addOption(new Option('--policy <policy>', 'how to choose nodes').choices(['spread', 'pack']))
    .option('--max-cpu <cpus>', 'up to so many vCPUs in all it may borrow', parseCpu)
    .option('--ceiling <amounts>', 'up to which it may borrow: cpu=4,memory=8Gi')
    .option('--require <traits>', 'traits that its nodes must have: ssd,arch=x64', words)
    .option('--forbid <traits>', 'traits that its nodes must not have', words)
    .option('--tolerate <taints>', 'taints that it puts up with: key, key=value, or *', words)
    .addOption(
      new Option('--spread <domain>', 'no two of its slices in one of these').choices([
        'node',
        'rack',
        'site',
      ]),
    )
    .option('--affinity <drvm>', 'only on nodes that hold this DRVM', words)
    .option('--anti-affinity <drvm>', 'on no node that holds this DRVM', words)
    .option('--device <need>', 'devices: type=gpu,count=1,trait=large', parseDevice);
}

/** The body of a request; what was not said is left out. */
export function placementBody(options: PlacementOptions): Record<string, unknown> {
  return {
    tenant: options.tenant,
    cpu: options.cpu,
    memoryMiB: options.memory,
    diskGiB: options.disk,
    networkMbps: options.network,
    nodes: options.nodes,
    exclusive: options.exclusive,
    policy: options.policy,
    ceiling: ceilingOf(options),
    require: options.require,
    forbid: options.forbid,
    tolerate: options.tolerate,
    spreadOver: options.spread,
    affinity: options.affinity,
    antiAffinity: options.antiAffinity,
    devices: options.device,
  };
}

function ceilingOf({ ceiling, maxCpu }: PlacementOptions): Record<string, unknown> | undefined {
  if (ceiling === undefined) return maxCpu === undefined ? undefined : { cpu: maxCpu };
  const amounts = parseAmounts(ceiling.split(','));
  return maxCpu === undefined ? amounts : { ...amounts, cpu: maxCpu };
}

/** Disk that was not said: a little on each node. */
export function defaultDisk({ disk, nodes }: PlacementOptions): number {
  return disk ?? (Array.isArray(nodes) ? nodes.length : (nodes ?? 1));
}

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

type DeviceNeed = { type: string; count: number; traits: string[] };

export function parseDevice(text: string, before: DeviceNeed[] = []): DeviceNeed[] {
  const need: DeviceNeed = { type: '', count: 1, traits: [] };
  for (const word of text.split(',')) {
    const at = word.indexOf('=');
    const [key, value] = [word.slice(0, Math.max(at, 0)), word.slice(at + 1)];
    if (key === 'type') need.type = value;
    else if (key === 'count' && /^\d+$/.test(value)) need.count = Number(value);
    else if (key === 'trait') need.traits.push(value);
    else throw usage(`"${word}" does not say anything of a device`, 'Write type=gpu,count=1,trait=large.');
  }
  if (need.type === '') throw usage(`"${text}" does not say which type of device`, 'Write type=gpu,count=1.');
  return [...before, need];
}
