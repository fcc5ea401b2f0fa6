import { pino } from 'pino';

export type Log = ReturnType<typeof createLog>;

/** Structured lines on standard output. */
export function createLog(level: string, node: string) {
  return pino({ level, base: { part: 'agent', node }, timestamp: pino.stdTimeFunctions.isoTime });
}
