import { DrvsError } from '@drvs/contracts';

/** What placing a process needs to know of a node. */
export interface PlacementCandidate {
  readonly index: number;
  readonly name: string;
  /** Processes there that want to run, or are about to. */
  readonly load: number;
  readonly cpuMilli: number;
  readonly memoryBytes: number;
  readonly memoryLimitBytes: number;
}

const mib = (bytes: number) => `${Math.ceil(bytes / 1_048_576)} MiB`;

/**
 * The node with the least load per share of CPU among those with room; on equal terms the one with more free memory,
 * then the lower index.
 * @throws DrvsError ProgramTooLarge when it fits on no node even if empty, InsufficientResources when on none now.
 */
export function placeProcess(candidates: readonly PlacementCandidate[], bytes: number, what: string): number {
  const roomy = candidates.filter(
    ({ memoryBytes, memoryLimitBytes }) => memoryBytes + bytes <= memoryLimitBytes,
  );
  if (roomy.length === 0) {
    const largest = Math.max(0, ...candidates.map(({ memoryLimitBytes }) => memoryLimitBytes));
    if (bytes > largest) {
      throw new DrvsError(
        'ProgramTooLarge',
        `${what} asks for ${mib(bytes)} of memory; the DRVM has at most ${mib(largest)} for programs on a node`,
        { hint: 'Give the DRVM more memory, or build the program with a smaller initial memory.' },
      );
    }
    const free = candidates.map(
      ({ name, memoryBytes, memoryLimitBytes }) =>
        `${name} ${mib(Math.max(0, memoryLimitBytes - memoryBytes))}`,
    );
    throw new DrvsError(
      'InsufficientResources',
      `${what} asks for ${mib(bytes)} of memory; free are: ${free.join(', ')}`,
      {
        hint: 'End other programs of the DRVM, or give it more memory.',
      },
    );
  }
  const share = (node: PlacementCandidate) => node.load / Math.max(1, node.cpuMilli);
  const free = (node: PlacementCandidate) => node.memoryLimitBytes - node.memoryBytes;
  return roomy.reduce((best, node) => {
    const byShare = share(node) - share(best);
    const byFree = free(best) - free(node);
    const difference = byShare || byFree || node.index - best.index;
    return difference < 0 ? node : best;
  }).index;
}
