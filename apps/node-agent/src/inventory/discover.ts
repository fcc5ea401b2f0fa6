import { statfsSync } from 'node:fs';
import { arch, availableParallelism, cpus, hostname, platform, release, totalmem } from 'node:os';
import { DrvsError, MIN_SLICE_MEMORY_MIB, type NodeInventory, type ResourceAmounts } from '@drvs/contracts';
import type { AgentConfig } from '../config.js';
import { type DeclaredDevice, discoverDevices } from './devices.js';
import { discoverInterfaces } from './interfaces.js';
import { listNames, readText } from './sysfs.js';

const MIB = 1_048_576;
const GIB = 1_024 * MIB;
/** Assumed where no interface says its speed (virtual ones mostly do not). */
const ASSUMED_NETWORK_MBPS = 1_000;

/** What is kept for the host itself when no share is said. */
const RESERVE = {
  cpuMilli: 200,
  memoryMiB: (hostMiB: number) => Math.max(512, Math.round(hostMiB / 20)),
  diskGiB: (totalGiB: number) => Math.max(2, Math.round(totalGiB / 20)),
};

export interface HostFacts extends Omit<NodeInventory, 'offered' | 'enforcement' | 'agentVersion'> {
  /** Of the file system that holds the agent's data. */
  diskFreeGiB: number;
  notes: string[];
}

/** @param dataFolder exists. */
export function discoverHost(dataFolder: string, declared: readonly DeclaredDevice[] = []): HostFacts {
  const interfaces = discoverInterfaces();
  const notes: string[] = [];
  const speeds = interfaces.filter(({ name, state }) => name !== 'lo' && state === 'up');
  const known = speeds.reduce((sum, { speedMbps }) => sum + (speedMbps ?? 0), 0);
  if (known === 0)
    notes.push(`No network interface says its speed; ${ASSUMED_NETWORK_MBPS} Mbit/s are assumed.`);
  const disk = statfsSync(dataFolder);
  const all = cpus();
  return {
    hostname: hostname(),
    // The kernel's own name for this boot: clones of a disk share a machine-id, running kernels share nothing.
    hostId: readText('/proc/sys/kernel/random/boot_id') ?? undefined,
    arch: arch(),
    os: osName(),
    kernel: release(),
    cpuModel: all[0]?.model || 'unknown',
    host: {
      // CPUs that this process may use, which a cpuset can make fewer than the host has.
      cpuMilli: availableParallelism() * 1_000,
      memoryMiB: Math.floor(totalmem() / MIB),
      diskGiB: Math.floor((disk.blocks * disk.bsize) / GIB),
      networkMbps: known || ASSUMED_NETWORK_MBPS,
    },
    diskFreeGiB: Math.floor((disk.bavail * disk.bsize) / GIB),
    interfaces,
    devices: discoverDevices(declared),
    traits: hostTraits(),
    notes,
  };
}

function osName(): string {
  const name = /^PRETTY_NAME="?(.*?)"?$/m.exec(readText('/etc/os-release') ?? '');
  return name?.[1] ?? platform();
}

const TRAIT_FLAGS = [
  'sse4_2',
  'avx2',
  'avx512f',
  'aes',
  'sha_ni',
  'vmx',
  'svm',
  'hypervisor',
  'asimd',
  'sha2',
];

function hostTraits(): string[] {
  const text = readText('/proc/cpuinfo') ?? '';
  const flags = new Set(/^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1]?.split(' ') ?? []);
  const traits = TRAIT_FLAGS.filter((flag) => flags.has(flag)).map((flag) => `cpu:${flag}`);
  const numaNodes = listNames('/sys/devices/system/node').filter((name) => /^node\d+$/.test(name)).length;
  if (numaNodes > 1) traits.push(`numa:${numaNodes}`);
  return traits;
}

/**
 * The share that this agent offers: what is said, and for the rest the whole host less RESERVE.
 *
 * @throws DrvsError when more is said than the host has.
 */
export function offeredShare(facts: HostFacts, offer: AgentConfig['offer']): ResourceAmounts {
  const { host } = facts;
  const share: ResourceAmounts = {
    cpuMilli: offer.cpu === undefined ? host.cpuMilli - RESERVE.cpuMilli : Math.round(offer.cpu * 1_000),
    memoryMiB: offer.memoryMiB ?? Math.max(0, host.memoryMiB - RESERVE.memoryMiB(host.memoryMiB)),
    diskGiB: offer.diskGiB ?? Math.max(0, facts.diskFreeGiB - RESERVE.diskGiB(host.diskGiB)),
    networkMbps: offer.networkMbps ?? host.networkMbps,
  };
  const tooMuch = (['cpuMilli', 'memoryMiB', 'diskGiB'] as const).find((name) => share[name] > host[name]);
  if (tooMuch) {
    const setting = {
      cpuMilli: 'DRVS_OFFER_CPU',
      memoryMiB: 'DRVS_OFFER_MEMORY_MIB',
      diskGiB: 'DRVS_OFFER_DISK_GIB',
    };
    throw new DrvsError(
      'InvalidInput',
      `${setting[tooMuch]} offers ${share[tooMuch]} ${tooMuch}, but the host has ${host[tooMuch]}`,
      {
        field: setting[tooMuch],
        hint: 'Offer at most what the host has; leave it out for all less a reserve.',
      },
    );
  }
  if (share.memoryMiB < MIN_SLICE_MEMORY_MIB) {
    throw new DrvsError(
      'InvalidInput',
      `the memory offered, ${share.memoryMiB} MiB, does not hold one DRVM`,
      {
        field: 'DRVS_OFFER_MEMORY_MIB',
        hint: `Offer at least ${MIN_SLICE_MEMORY_MIB} MiB.`,
      },
    );
  }
  return share;
}
