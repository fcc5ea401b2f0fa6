import { ANY } from './endpoint.js';
import { type LocalProcess, Phase } from './local-process.js';
import type { ProcessTable } from './process-table.js';

/**
 * Waiting for `to` would close a circle of local processes that each wait for the next (MINIX deadlock()).
 * The chain is followed through senders and receivers of one source.
 */
export function isDeadlock(table: ProcessTable, caller: LocalProcess, to: number): boolean {
  let next = table.find(to);
  for (let steps = 0; next !== undefined && !next.isServer && steps <= table.processes.size; steps++) {
    const waitsForOne =
      next.phase === Phase.Outstanding || (next.phase === Phase.Receiving && next.callTarget !== ANY);
    if (!waitsForOne) return false;
    if (next.callTarget === caller.endpoint) return true;
    next = table.find(next.callTarget);
  }
  return false;
}
