import type { Device, NodeInventory, Probation } from '@drvs/contracts';
import type { Node } from '../gen/client.js';

/** What the agent found and what was set by hand, each once. */
export function traitsOf({ traits, foundTraits }: Pick<Node, 'traits' | 'foundTraits'>): string[] {
  return [...new Set([...foundTraits, ...traits])].sort();
}

/** Where the node stands: its traits `rack=…` and `site=…`, or else the labels of these names. */
export function placeOf({ traits, labels }: Pick<Node, 'traits' | 'labels'>): {
  rack: string | null;
  site: string | null;
} {
  const written = typeof labels === 'object' && labels !== null && !Array.isArray(labels) ? labels : {};
  const find = (key: 'rack' | 'site'): string | null => {
    const trait = traits.find((each) => each.startsWith(`${key}=`));
    if (trait !== undefined) return trait.slice(key.length + 1);
    const label = written[key];
    return typeof label === 'string' && label !== '' ? label : null;
  };
  return { rack: find('rack'), site: find('site') };
}

/** The column holds nothing else: the database sees to it. */
export function probationOf({ probation }: Pick<Node, 'probation'>): Probation {
  return probation as Probation;
}

/** Whether a node's burn-in lets it have something new. */
export function isThroughProbation(node: Pick<Node, 'probation'>): boolean {
  const probation = probationOf(node);
  return probation === 'passed' || probation === 'accepted';
}

/** What of an inventory is asked for by name: the architecture, what the CPU can do, and which kinds of device there are. */
export function foundTraits({ arch, traits, devices }: NodeInventory): string[] {
  const has = (test: (device: Device) => boolean): boolean => devices.some(test);
  const real = ({ kind, traits: own }: Device) => kind === 'block' && !own.includes('virtual');
  return [
    `arch=${arch}`,
    ...traits,
    ...(has((device) => real(device) && device.traits.includes('solid-state')) ? ['ssd'] : []),
    ...(has((device) => real(device) && device.traits.includes('rotational')) ? ['hdd'] : []),
    ...(has(({ kind }) => kind === 'gpu') ? ['gpu'] : []),
    ...(has(({ traits: own }) => own.includes('virtualization')) ? ['kvm'] : []),
  ];
}
