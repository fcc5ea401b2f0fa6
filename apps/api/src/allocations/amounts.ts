import {
  type Amounts,
  NO_RESOURCES,
  RESOURCE_CLASSES,
  type ResourceAmounts,
  type ResourceClass,
} from '@drvs/contracts';

/** The ledger counts thousandths of a vCPU; people read and write vCPUs. */
export function toAmounts({ cpuMilli, memoryMiB, diskGiB, networkMbps }: ResourceAmounts): Amounts {
  return { cpu: cpuMilli / 1000, memoryMiB, diskGiB, networkMbps };
}

export function cpuToMilli(cpu: number): number {
  return Math.round(cpu * 1000);
}

export function fromAmounts({ cpu, memoryMiB, diskGiB, networkMbps }: Amounts): ResourceAmounts {
  return { cpuMilli: cpuToMilli(cpu), memoryMiB, diskGiB, networkMbps };
}

/** Written in the order of the classes, so that amounts of the same are the same text. */
export function eachClass(amount: (name: ResourceClass) => number): ResourceAmounts {
  return Object.fromEntries(RESOURCE_CLASSES.map((name) => [name, amount(name)])) as ResourceAmounts;
}

export function sumAmounts(all: Iterable<ResourceAmounts>): ResourceAmounts {
  const sum = { ...NO_RESOURCES };
  for (const amounts of all) for (const name of RESOURCE_CLASSES) sum[name] += amounts[name];
  return sum;
}
