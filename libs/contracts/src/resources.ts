import { z } from 'zod';

/** Amounts by resource class, the unit of inventories, allocations, quotas and limits. */
export const ResourceAmounts = z.object({
  /** Thousandths of a vCPU. */
  cpuMilli: z.int().min(0).max(10_000_000),
  memoryMiB: z.int().min(0).max(1_000_000_000),
  diskGiB: z.int().min(0).max(1_000_000_000),
  networkMbps: z.int().min(0).max(100_000_000),
});
export type ResourceAmounts = z.infer<typeof ResourceAmounts>;

export const RESOURCE_CLASSES = ['cpuMilli', 'memoryMiB', 'diskGiB', 'networkMbps'] as const;
export type ResourceClass = (typeof RESOURCE_CLASSES)[number];

export const NO_RESOURCES: ResourceAmounts = { cpuMilli: 0, memoryMiB: 0, diskGiB: 0, networkMbps: 0 };

/**
 * Memory of a slice that the DVOS itself needs on a node (its container process), in MiB; what is left is for
 * guest processes, as in any virtual machine the system takes its part of the memory.
 */
export const DVOS_MEMORY_MIB = 160;
/** The smallest slice of memory that a node can give to a DRVM. */
export const MIN_SLICE_MEMORY_MIB = 192;
/** The smallest slice of CPU that a node can give to a DRVM. */
export const MIN_SLICE_CPU_MILLI = 50;

export const NetworkInterface = z.object({
  name: z.string(),
  mac: z.string().nullable(),
  addresses: z.array(z.string()),
  speedMbps: z.number().nullable(),
  state: z.string(),
});
export type NetworkInterface = z.infer<typeof NetworkInterface>;

export const Device = z.object({
  /** Stable within the node, for instance `block:vda` or `pci:0000:00:04.0`. */
  id: z.string(),
  kind: z.enum(['block', 'pci', 'usb', 'gpu', 'character']),
  name: z.string(),
  path: z.string().nullable(),
  sizeBytes: z.number().nullable(),
  traits: z.array(z.string()),
});
export type Device = z.infer<typeof Device>;

/** What an agent found on its host, and the share of it that it offers to DRVMs. */
export const NodeInventory = z.object({
  hostname: z.string(),
  /** The same for all agents on one running host, and for no others. */
  hostId: z.string().max(100).optional(),
  arch: z.string(),
  os: z.string(),
  kernel: z.string(),
  cpuModel: z.string(),
  /** All of the host. */
  host: ResourceAmounts,
  /** What this agent offers (the whole host, or a share of it where several agents live on one host). */
  offered: ResourceAmounts,
  interfaces: z.array(NetworkInterface),
  devices: z.array(Device),
  traits: z.array(z.string()),
  /** How strongly this node can keep a container to its limits, in words a person reads. */
  enforcement: z.object({
    cpu: z.enum(['cgroup-v2', 'cgroup-v1', 'fuel-only']),
    memory: z.enum(['cgroup-v2', 'cgroup-v1', 'kernel-only']),
    namespaces: z.array(z.string()),
    user: z.enum(['own-uid', 'shared-uid']),
    notes: z.array(z.string()),
  }),
  agentVersion: z.string(),
});
export type NodeInventory = z.infer<typeof NodeInventory>;
