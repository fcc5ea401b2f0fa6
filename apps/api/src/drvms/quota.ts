import { DrvsError, RESOURCE_CLASSES, type ResourceAmounts, type ResourceClass } from '@drvs/contracts';

const UNITS: Record<ResourceClass, (amount: number) => string> = {
  cpuMilli: (amount) => `${amount / 1000} vCPU`,
  memoryMiB: (amount) => `${amount} MiB of memory`,
  diskGiB: (amount) => `${amount} GiB of disk`,
  networkMbps: (amount) => `${amount} Mbit/s`,
};

/** @throws DrvsError QuotaExceeded with the numbers of each class that would go over. */
export function requireQuota(
  tenant: string,
  quota: Record<ResourceClass, number | null>,
  used: ResourceAmounts,
  asked: ResourceAmounts,
): void {
  const over = RESOURCE_CLASSES.flatMap((name) => {
    const most = quota[name];
    if (most === null || used[name] + asked[name] <= most) return [];
    return [
      {
        class: name,
        quota: most,
        used: used[name],
        requested: asked[name],
        left: Math.max(0, most - used[name]),
      },
    ];
  });
  if (over.length === 0) return;
  const said = over.map(
    ({ class: name, quota: most, used: held, requested }) =>
      `${UNITS[name](requested)} asked for, ${UNITS[name](held)} of ${UNITS[name](most)} held`,
  );
  throw new DrvsError('QuotaExceeded', `the quota of ${tenant} does not suffice: ${said.join('; ')}`, {
    hint: `${over.map(({ class: name, left }) => UNITS[name](left)).join(', ')} left. Ask for less, delete a DRVM, or have the quota raised.`,
    details: { over },
  });
}
