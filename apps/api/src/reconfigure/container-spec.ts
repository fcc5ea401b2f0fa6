import {
  type ContainerSpec,
  DEVICES_PER_CONTAINER,
  DrvsError,
  type GivenDevice,
  type ResourceAmounts,
} from '@drvs/contracts';
import type { Prisma } from '../gen/client.js';

const NAME_MOST = 64;

export const WITH_SPEC = {
  slices: { include: { node: { select: { name: true } } }, orderBy: { index: 'asc' } },
  devices: { include: { device: true }, orderBy: { id: 'asc' } },
} satisfies Prisma.DrvmInclude;

export type SpecifiedDrvm = Prisma.DrvmGetPayload<{ include: typeof WITH_SPEC }>;

/**
 * What the container of a slice is to run under: the limits in force (with what is borrowed or lent), and as peers all
 * slices that are prepared and not on their way out. Its generation is the slice's own.
 * @param limits instead of those that the ledger says are in force
 */
export function specOf(drvm: SpecifiedDrvm, index: number, limits?: ResourceAmounts): ContainerSpec {
  const own = drvm.slices.find((slice) => slice.index === index);
  if (!own?.certificate || drvm.authorityCertificate === null) {
    throw new DrvsError('Internal', `slice ${index} of ${drvm.name} has no certificate`);
  }
  return {
    drvmId: drvm.id,
    drvmName: drvm.name,
    dvos: 'mol',
    generation: Number(own.specGeneration),
    index,
    home: drvm.homeIndex,
    homeEpoch: drvm.homeEpoch,
    limits: limits ?? heldOf(own),
    devices: drvm.devices
      .flatMap(({ nodeId, device }) => (nodeId === own.nodeId ? givenOf(device) : []))
      .slice(0, DEVICES_PER_CONTAINER),
    peers: drvm.slices
      .filter(({ leaving, host, port }) => !leaving && host !== null && port !== null)
      .map((peer) => ({
        index: peer.index,
        nodeId: peer.nodeId,
        nodeName: peer.node.name,
        host: peer.host!,
        port: peer.port!,
      })),
    authorityCertificate: drvm.authorityCertificate,
    certificate: own.certificate,
  };
}

/** Programs see devices with a file of their own on the host; others are given in the ledger alone. */
function givenOf({ key, type, path, present }: SpecifiedDrvm['devices'][number]['device']): GivenDevice[] {
  if (type !== 'character' || path === null || !present) return [];
  const name = key
    .replace(/^character:/, '')
    .replace(/[^A-Za-z0-9._+-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, NAME_MOST);
  return name === '' ? [] : [{ key, name, path }];
}

interface SliceAmounts {
  cpuMilli: number;
  memoryMiB: number;
  diskGiB: number;
  networkMbps: number;
  ceilingCpuMilli: number;
  ceilingMemoryMiB: number;
  ceilingDiskGiB: number;
  ceilingNetworkMbps: number;
  heldCpuMilli: number;
  heldMemoryMiB: number;
  heldDiskGiB: number;
  heldNetworkMbps: number;
}

export const guaranteedOf = (slice: SliceAmounts): ResourceAmounts => ({
  cpuMilli: slice.cpuMilli,
  memoryMiB: slice.memoryMiB,
  diskGiB: slice.diskGiB,
  networkMbps: slice.networkMbps,
});

export const ceilingOf = (slice: SliceAmounts): ResourceAmounts => ({
  cpuMilli: slice.ceilingCpuMilli,
  memoryMiB: slice.ceilingMemoryMiB,
  diskGiB: slice.ceilingDiskGiB,
  networkMbps: slice.ceilingNetworkMbps,
});

export const heldOf = (slice: SliceAmounts): ResourceAmounts => ({
  cpuMilli: slice.heldCpuMilli,
  memoryMiB: slice.heldMemoryMiB,
  diskGiB: slice.heldDiskGiB,
  networkMbps: slice.heldNetworkMbps,
});

/** What a slice has, and what it is to have. */
export interface SliceTerms {
  guaranteed: ResourceAmounts;
  ceiling: ResourceAmounts;
  held: ResourceAmounts;
}

export const termsOf = (slice: SliceAmounts): SliceTerms => ({
  guaranteed: guaranteedOf(slice),
  ceiling: ceilingOf(slice),
  held: heldOf(slice),
});

export const termColumns = ({ guaranteed, ceiling, held }: SliceTerms): SliceAmounts => ({
  ...guaranteed,
  ceilingCpuMilli: ceiling.cpuMilli,
  ceilingMemoryMiB: ceiling.memoryMiB,
  ceilingDiskGiB: ceiling.diskGiB,
  ceilingNetworkMbps: ceiling.networkMbps,
  heldCpuMilli: held.cpuMilli,
  heldMemoryMiB: held.memoryMiB,
  heldDiskGiB: held.diskGiB,
  heldNetworkMbps: held.networkMbps,
});
