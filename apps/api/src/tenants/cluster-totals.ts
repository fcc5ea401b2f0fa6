import { NO_RESOURCES } from '@drvs/contracts';
import type { Transaction } from '../database/database.js';

/** What the whole cluster could give of each class, and how many devices in service it has of each type. */
export async function clusterTotals(tx: Transaction): Promise<Record<string, number>> {
  const classes = await tx.$queryRaw<{ class: string; total: bigint }[]>`
    SELECT class::text, coalesce(sum(greatest(0, floor((total - reserved) * allocation_ratio))), 0)::bigint AS total
    FROM inventory GROUP BY class`;
  const devices = await tx.$queryRaw<{ type: string; total: bigint }[]>`
    SELECT type, count(DISTINCT host || '/' || key) AS total FROM device WHERE present AND reserved < total GROUP BY type`;
  const totals: Record<string, number> = { ...NO_RESOURCES };
  for (const row of classes) totals[row.class] = Number(row.total);
  for (const row of devices) totals[row.type] = Number(row.total);
  return totals;
}
