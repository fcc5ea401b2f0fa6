/** A process that must leave its slice, and where there is room for it. */
export interface LeavingProcess {
  pid: number;
  memoryBytes: number;
}

export interface SliceRoom {
  /** The node's name. */
  node: string;
  /** For guests, not used by any. */
  freeBytes: number;
  /** What each process there gets of the CPU falls with their number. */
  cpuMilli: number;
  processes: number;
}

/**
 * Where each process goes: the largest first, each to the slice that has the most CPU for one more of those that have
 * the memory; of equals to the one with more memory, then to the first. One that fits nowhere goes where the most
 * memory is: whether it really does not fit is for the DVOS to say, which knows.
 */
export function spreadProcesses(
  processes: readonly LeavingProcess[],
  rooms: readonly SliceRoom[],
): Map<number, string> {
  const left = rooms.map((room) => ({ ...room }));
  const targets = new Map<number, string>();
  if (left.length === 0) return targets;
  const largestFirst = [...processes].sort((a, b) => b.memoryBytes - a.memoryBytes || a.pid - b.pid);
  for (const { pid, memoryBytes } of largestFirst) {
    const share = ({ cpuMilli, processes: count }: SliceRoom): number => cpuMilli / (count + 1);
    const fitting = left.filter(({ freeBytes }) => freeBytes >= memoryBytes);
    const by = fitting.length > 0 ? share : ({ freeBytes }: SliceRoom): number => freeBytes;
    const among = fitting.length > 0 ? fitting : left;
    const best = among.reduce((found, room) =>
      by(room) > by(found) || (by(room) === by(found) && room.freeBytes > found.freeBytes) ? room : found,
    );
    best.freeBytes -= memoryBytes;
    best.processes++;
    targets.set(pid, best.node);
  }
  return targets;
}
