import type { FailurePhase } from '@drvs/contracts';
import { z } from 'zod';
import type { NodeFailure, Prisma } from '../gen/client.js';
import type { FailureRecord } from './failure-state.js';

const EvidenceColumn = z.array(z.object({ at: z.iso.datetime(), by: z.string(), says: z.string() }));
const ReturnsColumn = z.array(z.iso.datetime());
const TEXT_MAX = 500;

/** The record as the ledger keeps it. */
export function recordOf(row: NodeFailure): FailureRecord {
  return {
    phase: row.phase as FailurePhase,
    sinceMs: row.since.getTime(),
    lookedAtMs: row.lookedAt.getTime(),
    leftMs: row.leftMs,
    attempts: row.attempts,
    reason: row.reason,
    evidence: EvidenceColumn.parse(row.evidence).map(({ at, by, says }) => ({
      atMs: Date.parse(at),
      by,
      says,
    })),
    returnsMs: ReturnsColumn.parse(row.returns).map((at) => Date.parse(at)),
    heldForMs: row.heldForMs,
  };
}

export function columnsOf(record: FailureRecord): Prisma.NodeFailureUncheckedUpdateManyInput {
  return {
    phase: record.phase,
    since: new Date(record.sinceMs),
    lookedAt: new Date(record.lookedAtMs),
    leftMs: record.leftMs === null ? null : Math.round(record.leftMs),
    attempts: record.attempts,
    reason: record.reason.slice(0, TEXT_MAX),
    evidence: record.evidence.map(({ atMs, by, says }) => ({
      at: new Date(atMs).toISOString(),
      by,
      says: says.slice(0, TEXT_MAX),
    })),
    returns: record.returnsMs.map((at) => new Date(at).toISOString()),
    heldForMs: record.heldForMs,
  };
}
