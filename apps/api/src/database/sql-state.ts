/** SQLSTATEs that the ledger raises (see the migration). */
export const CAPACITY_EXCEEDED = 'DR001';
export const EXCLUSIVITY_VIOLATED = 'DR002';
export const NOT_IN_STEP = 'DR004';
export const NOT_APART = 'DR005';
export const DEVICE_NOT_TO_BE_HAD = 'DR006';
export const UNIQUE_VIOLATION = '23505';
export const FOREIGN_KEY_VIOLATION = '23503';
const DEADLOCK = '40P01';
const SERIALIZATION_FAILURE = '40001';

interface Nested {
  code?: unknown;
  originalCode?: unknown;
  cause?: unknown;
  meta?: { driverAdapterError?: unknown };
}

/** PostgreSQL's code for why a statement failed, wherever Prisma and its adapter have put it; null when not from there. */
export function sqlState(error: unknown): string | null {
  let level: unknown = error;
  for (let depth = 0; depth < 6 && typeof level === 'object' && level !== null; depth++) {
    const { code, originalCode, cause, meta } = level as Nested;
    for (const candidate of [originalCode, code]) {
      if (typeof candidate === 'string' && /^[0-9A-Z]{5}$/.test(candidate) && !/^P\d{4}$/.test(candidate)) {
        return candidate;
      }
    }
    if (code === 'P2002') return UNIQUE_VIOLATION;
    if (code === 'P2003') return FOREIGN_KEY_VIOLATION;
    if (code === 'P2034') return SERIALIZATION_FAILURE;
    level = meta?.driverAdapterError ?? cause;
  }
  return null;
}

/** Prisma's codes and PostgreSQL's classes for a server that is away, shutting down, or out of connections. */
const AWAY =
  /^(P1001|P1002|P1008|P1017|P2024|P2028|ECONNREFUSED|ECONNRESET|ETIMEDOUT|08...|57P0[1-3]|53300)$/;

/** Whether the statement failed because the database could not be reached, or not in time. */
export function isDatabaseAway(error: unknown): boolean {
  let level: unknown = error;
  for (let depth = 0; depth < 6 && typeof level === 'object' && level !== null; depth++) {
    const { code, originalCode, cause, meta } = level as Nested;
    for (const candidate of [originalCode, code]) {
      if (typeof candidate === 'string' && AWAY.test(candidate)) return true;
    }
    if (
      /timeout exceeded when trying to connect|Connection terminated/.test(String((level as Error).message))
    )
      return true;
    level = meta?.driverAdapterError ?? cause;
  }
  return false;
}

export function isRetryable(error: unknown): boolean {
  const state = sqlState(error);
  return state === DEADLOCK || state === SERIALIZATION_FAILURE;
}

/** Whether the statement broke this unique constraint or index (by name, or by one of its columns). */
export function violates(error: unknown, constraint: string): boolean {
  return sqlState(error) === UNIQUE_VIOLATION && describe(error).includes(constraint);
}

function describe(error: unknown): string {
  const parts: string[] = [];
  let level: unknown = error;
  for (let depth = 0; depth < 6 && typeof level === 'object' && level !== null; depth++) {
    parts.push(String((level as Error).message ?? ''), JSON.stringify(level));
    level = (level as Nested).meta?.driverAdapterError ?? (level as Nested).cause;
  }
  return parts.join(' ');
}
