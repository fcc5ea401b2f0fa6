import { NO_RESOURCES, type ResourceAmounts } from '@drvs/contracts';
import type { DrvmRecord, NodeRecord } from './cluster-snapshot.js';

/** A node of which only matters what may be given: all of `total`, once. */
export const bareNode = (id: string, total: ResourceAmounts, name = id): NodeRecord => ({
  id,
  name,
  state: 'up',
  isCordoned: false,
  isFenced: false,
  total,
  reserved: NO_RESOURCES,
  ratio: { cpuMilli: 1, memoryMiB: 1, diskGiB: 1, networkMbps: 1 },
  traits: [],
  taints: [],
  domain: id,
  power: {
    idleWatts: 0,
    fullWatts: 0,
    offWatts: 0,
    bootSeconds: 0,
    isControlled: false,
    hasFailedToWake: false,
  },
  hotSinceMs: null,
  coldSinceMs: null,
});

/** A DRVM that goes by no rule of its own. */
export const bareDrvm = (id: string, tenant: string): DrvmRecord => ({
  id,
  name: id,
  tenant,
  weight: 1,
  isExclusive: false,
  requires: [],
  tolerates: [],
  avoids: [],
  replicasApart: 'node',
});
