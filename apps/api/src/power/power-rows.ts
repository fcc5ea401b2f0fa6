import type { PowerState } from '@drvs/contracts';
import type { NodePower, Prisma } from '../gen/client.js';
import type { PowerRecord } from './power-state.js';

/** The state machine's record as the ledger keeps it. */
export function recordOf(row: NodePower): PowerRecord {
  return {
    state: row.state as PowerState,
    sinceMs: row.since.getTime(),
    lookedAtMs: row.lookedAt.getTime(),
    leftMs: row.leftMs,
    attempts: row.attempts,
    failures: row.failures,
    reason: row.reason,
  };
}

export function columnsOf(record: PowerRecord): Prisma.NodePowerUncheckedUpdateInput {
  return {
    state: record.state,
    since: new Date(record.sinceMs),
    lookedAt: new Date(record.lookedAtMs),
    leftMs: record.leftMs === null ? null : Math.round(record.leftMs),
    attempts: record.attempts,
    failures: record.failures,
    reason: record.reason.slice(0, 1_000),
  };
}
