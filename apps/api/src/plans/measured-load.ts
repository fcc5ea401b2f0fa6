import type { ProcessRow } from '@drvs/contracts';

export interface MeasuredProcess {
  pid: number;
  /** The node's name. */
  node: string;
  /** CPU that it used, or waited for, between the two looks; thousandths of a vCPU. */
  cpuMilli: number;
  memoryBytes: number;
  command: string;
}

/** No process of one thread wants more. */
const ONE_VCPU = 1_000;

/**
 * What the processes of a DRVM want of the CPU, from two looks at them. Measured use says too little where several
 * compete: a process that was ready to run at both looks wants at least its equal share of what the slice may have,
 * whether or not it got it (the host may be busy with other things). More is not assumed, so a slice never wants more
 * than its ceiling because of this.
 * @param reachMilli CPU that the DRVM's slice may have at most, by the node's name
 */
export function measuredLoad(
  before: readonly ProcessRow[],
  after: readonly ProcessRow[],
  elapsedMs: number,
  reachMilli: ReadonlyMap<string, number>,
): MeasuredProcess[] {
  const earlier = new Map(before.map((row) => [row.pid, row]));
  const isReady = (row: ProcessRow): boolean =>
    row.state === 'running' && earlier.get(row.pid)?.state === 'running';
  const ready = new Map<string, number>();
  for (const row of after) if (isReady(row)) ready.set(row.node, (ready.get(row.node) ?? 0) + 1);
  return after
    .filter(({ state }) => state !== 'zombie')
    .map((row) => {
      const used = Math.max(0, row.cpuMs - (earlier.get(row.pid)?.cpuMs ?? row.cpuMs));
      const usedMilli = (used / Math.max(1, elapsedMs)) * 1_000;
      const share = isReady(row) ? (reachMilli.get(row.node) ?? 0) / (ready.get(row.node) ?? 1) : 0;
      return {
        pid: row.pid,
        node: row.node,
        cpuMilli: Math.round(Math.min(ONE_VCPU, Math.max(usedMilli, share))),
        memoryBytes: row.memoryBytes,
        command: row.command,
      };
    });
}
