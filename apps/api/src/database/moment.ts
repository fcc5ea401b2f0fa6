/**
 * A moment of the ledger. PostgreSQL calls it a snapshot and writes it as the transactions whose changes are seen: two
 * equal ones see the same rows, whatever is read, and any change that is committed makes another.
 */
export interface Moment {
  readonly snapshot: string;
  /** When it was asked for; milliseconds of `performance.now()`. The snapshot was taken after it. */
  readonly askedAt: number;
}

/** To be read in the same statement as what it is the moment of. */
export const SNAPSHOT_COLUMN = 'pg_current_snapshot()::text AS "snapshot"';
