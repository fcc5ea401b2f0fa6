/** How one machine is divided among several agents, so that their nodes together never promise more than there is. */
import { MIN_SLICE_MEMORY_MIB } from '@drvs/contracts';
import { Failure } from '../failure.js';

export interface Host {
  cpus: number;
  memoryMiB: number;
  /** Free on the disk that holds the data. */
  freeDiskGiB: number;
}

export interface Share {
  cpuMilli: number;
  memoryMiB: number;
  diskGiB: number;
}

/** The rest is for the control plane, PostgreSQL and the machine's other work. */
const MEMORY_FRACTION = 0.8;
/** Of every node: enough for any demonstration, and a large machine is not taken whole without being asked. */
const MEMORY_MIB_MAX = 8_192;
const DISK_FRACTION = 0.5;
const DISK_GIB_MAX = 32;
/** A node with less could not hold two DRVMs. */
const MEMORY_MIB_MIN = 2 * MIN_SLICE_MEMORY_MIB;
const CPU_MILLI_MIN = 100;
export const NODES_MAX = 32;

/** @throws Failure InsufficientResources, saying how many nodes would fit */
export function shareOf(host: Host, nodes: number): Share {
  const share = {
    cpuMilli: Math.floor((host.cpus * 1000) / nodes),
    memoryMiB: Math.min(MEMORY_MIB_MAX, Math.floor((host.memoryMiB * MEMORY_FRACTION) / nodes)),
    diskGiB: Math.min(DISK_GIB_MAX, Math.floor((host.freeDiskGiB * DISK_FRACTION) / nodes)),
  };
  if (share.memoryMiB < MEMORY_MIB_MIN || share.cpuMilli < CPU_MILLI_MIN || share.diskGiB < 1) {
    const fit = Math.min(
      Math.floor((host.memoryMiB * MEMORY_FRACTION) / MEMORY_MIB_MIN),
      Math.floor((host.cpus * 1000) / CPU_MILLI_MIN),
      Math.floor(host.freeDiskGiB * DISK_FRACTION),
    );
    throw new Failure(
      'InsufficientResources',
      `this machine (${host.cpus} CPUs, ${host.memoryMiB} MiB of memory, ${host.freeDiskGiB} GiB of free disk) ` +
        `is too small for ${nodes} nodes of at least ${CPU_MILLI_MIN}m CPU, ${MEMORY_MIB_MIN} MiB and 1 GiB each`,
      { hint: fit < 1 ? 'Free some disk or memory.' : `At most ${fit} would fit: --nodes ${fit}.` },
    );
  }
  return share;
}
