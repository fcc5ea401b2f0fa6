import { type Amounts, NO_RESOURCES, RESOURCE_CLASSES, type ResourceAmounts } from '@drvs/contracts';

/** The ledger counts thousandths of a vCPU; people read and write vCPUs. */
export function toAmounts({ cpuMilli, memoryMiB, diskGiB, networkMbps }: ResourceAmounts): Amounts {
  return { cpu: cpuMilli / 1000, memoryMiB, diskGiB, networkMbps };
}

export function cpuToMilli(cpu: number): number {
  return Math.round(cpu * 1000);
}

export function sumAmounts(all: Iterable<ResourceAmounts>): ResourceAmounts {
  const sum = { ...NO_RESOURCES };
  for (const amounts of all) for (const name of RESOURCE_CLASSES) sum[name] += amounts[name];
  return sum;
}
