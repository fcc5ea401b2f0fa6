import { DrvsError } from '@drvs/contracts';
import { z } from 'zod';
import type { Transaction } from '../database/database.js';

export const MAX_DEVICE_TYPES = 32;
/** Limits by type of device. */
export const DeviceQuota = z.record(z.string().regex(/^[a-z][a-z0-9-]{0,39}$/), z.int().min(0).max(100_000));
type DeviceQuota = z.infer<typeof DeviceQuota>;

export function deviceQuotaOf({ quotaDevices }: { quotaDevices: unknown }): DeviceQuota {
  const parsed = DeviceQuota.safeParse(quotaDevices);
  return parsed.success ? parsed.data : {};
}

/** Devices that the DRVMs of each tenant hold, by type. */
export async function devicesByTenant(
  tx: Transaction,
  tenantIds: readonly string[],
): Promise<Map<string, Record<string, number>>> {
  const rows = await tx.deviceAllocation.findMany({
    where: { tenantId: { in: [...tenantIds] } },
    select: { tenantId: true, device: { select: { type: true } } },
  });
  const used = new Map<string, Record<string, number>>();
  for (const { tenantId, device } of rows) {
    const own = used.get(tenantId) ?? {};
    own[device.type] = (own[device.type] ?? 0) + 1;
    used.set(tenantId, own);
  }
  return used;
}

/** The caller holds the tenant's row. @throws DrvsError QuotaExceeded */
export async function requireDeviceQuota(
  tx: Transaction,
  tenantId: string,
  asked: Readonly<Record<string, number>>,
): Promise<void> {
  if (Object.keys(asked).length === 0) return;
  const tenant = await tx.tenant.findUniqueOrThrow({
    where: { id: tenantId },
    select: { name: true, quotaDevices: true },
  });
  const quota = deviceQuotaOf(tenant);
  const used = (await devicesByTenant(tx, [tenantId])).get(tenantId) ?? {};
  const over = Object.entries(asked).flatMap(([type, requested]) => {
    const most = quota[type];
    const held = used[type] ?? 0;
    return most === undefined || held + requested <= most
      ? []
      : [{ class: type, quota: most, used: held, requested, left: Math.max(0, most - held) }];
  });
  if (over.length === 0) return;
  const said = over.map(
    ({ class: type, quota: most, used: held, requested }) =>
      `${requested} ${type} asked for, ${held} of ${most} held`,
  );
  throw new DrvsError('QuotaExceeded', `the quota of ${tenant.name} does not suffice: ${said.join('; ')}`, {
    hint: 'Ask for less, detach a device, or have the quota raised.',
    details: { over },
  });
}
