import { RESOURCE_CLASSES, type ResourceAmounts } from '@drvs/contracts';
import type { NodeRecord } from './cluster-snapshot.js';

/** Places of the classes in the flat arrays of the ledger: those of RESOURCE_CLASSES. */
export const CLASS_COUNT = RESOURCE_CLASSES.length;
export const CPU = 0;
export const MEMORY = 1;

/** What may be given of each class; never negative. */
export function capacityOf({ total, reserved, ratio }: NodeRecord): ResourceAmounts {
  return mapAmounts((name) => Math.max(0, Math.floor((total[name] - reserved[name]) * ratio[name])));
}

export function mapAmounts(amount: (name: (typeof RESOURCE_CLASSES)[number]) => number): ResourceAmounts {
  return {
    cpuMilli: amount('cpuMilli'),
    memoryMiB: amount('memoryMiB'),
    diskGiB: amount('diskGiB'),
    networkMbps: amount('networkMbps'),
  };
}

export const addAmounts = (a: ResourceAmounts, b: ResourceAmounts): ResourceAmounts =>
  mapAmounts((name) => a[name] + b[name]);

export const subtractAmounts = (a: ResourceAmounts, b: ResourceAmounts): ResourceAmounts =>
  mapAmounts((name) => a[name] - b[name]);

export const amountsFit = (a: ResourceAmounts, within: ResourceAmounts): boolean =>
  RESOURCE_CLASSES.every((name) => a[name] <= within[name]);

const UNITS: Record<(typeof RESOURCE_CLASSES)[number], (amount: number) => string> = {
  cpuMilli: (amount) => `${amount / 1000} vCPU`,
  memoryMiB: (amount) => `${amount} MiB of memory`,
  diskGiB: (amount) => `${amount} GiB of disk`,
  networkMbps: (amount) => `${amount} Mbit/s`,
};

/** The classes that are not zero, for people. */
export function describeAmounts(amounts: ResourceAmounts): string {
  const parts = RESOURCE_CLASSES.filter((name) => amounts[name] !== 0).map((name) =>
    UNITS[name](amounts[name]),
  );
  return parts.length === 0 ? 'nothing' : parts.join(', ');
}

/**
 * What a slice cannot do without: its guarantee, and what is in use of that which cannot be taken away while used
 * (memory, disk). CPU and network above the guarantee can be taken back at once.
 */
export function floorOf(slice: {
  guaranteed: ResourceAmounts;
  held: ResourceAmounts;
  used: ResourceAmounts;
}): ResourceAmounts {
  const { guaranteed, held, used } = slice;
  return {
    cpuMilli: guaranteed.cpuMilli,
    memoryMiB: Math.max(guaranteed.memoryMiB, Math.min(used.memoryMiB, held.memoryMiB)),
    diskGiB: Math.max(guaranteed.diskGiB, Math.min(used.diskGiB, held.diskGiB)),
    networkMbps: guaranteed.networkMbps,
  };
}
