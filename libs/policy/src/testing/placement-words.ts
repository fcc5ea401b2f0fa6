import type { ResourceAmounts } from '@drvs/contracts';
import type { NodeSnapshot, PlacementRequest } from '../placement/placement-request.js';

export const placeable = (
  cpuMilli: number,
  memoryMiB: number,
  diskGiB = 0,
  networkMbps = 0,
): ResourceAmounts => ({ cpuMilli, memoryMiB, diskGiB, networkMbps });

/** A node of which this much is free, in steps of one. */
export const freeNode = (
  name: string,
  free: ResourceAmounts,
  more: Partial<NodeSnapshot> = {},
): NodeSnapshot => ({
  id: `id-${name}`,
  name,
  state: 'up',
  free,
  step: placeable(1, 1, 1, 1),
  slices: 0,
  isExclusive: false,
  ...more,
});

/** So much in all, packed, on as many nodes as it takes. */
export const requestOf = (
  total: ResourceAmounts,
  more: Partial<PlacementRequest> = {},
): PlacementRequest => ({ total, nodes: null, exclusive: false, policy: 'pack', ...more });
