import {
  type AllocationView,
  NO_RESOURCES,
  NODE_DOWN_AFTER_MS,
  type NodeDetailView,
  NodeInventory,
  type NodeView,
  RESOURCE_CLASSES,
  ResourceAmounts,
} from '@drvs/contracts';
import { sumAmounts, toAmounts } from '../allocations/amounts.js';
import { type Actor } from '../auth/actor.js';
import { seesWholeCluster } from '../auth/permissions.js';
import type { Inventory, Node, Slice } from '../gen/client.js';
import { placeOf, probationOf, traitsOf } from './node-rules.js';

export const WITH_LEDGER = {
  inventories: true,
  slices: {
    include: { drvm: { select: { name: true } }, tenant: { select: { name: true } } },
    orderBy: { drvmId: 'asc' as const },
  },
} as const;

export type SliceRow = Slice & { drvm: { name: string }; tenant: { name: string } };
export type NodeRow = Node & { inventories: Inventory[]; slices: SliceRow[] };

/**
 * What a drain has to bring away: a slice with programs in it, or one that is a DRVM's home (its servers and files are
 * there). As a Prisma condition and as a predicate.
 */
export const OCCUPYING = { OR: [{ isHome: true }, { processes: { gt: 0 } }] };
export const occupies = ({ isHome, processes }: Pick<Slice, 'isHome' | 'processes'>): boolean =>
  isHome || processes > 0;

/**
 * What a node is, from what is wanted of it and from when its agent was heard last. It is drained when nothing of any
 * DRVM would be lost with it: no slice on it is `occupied`.
 */
export function nodeState(
  node: Pick<Node, 'wantedState' | 'lastSeenAt'>,
  occupied: number,
  now: number,
): NodeView['state'] {
  if (node.wantedState === 'off') return 'off';
  if (node.lastSeenAt === null || now - node.lastSeenAt.getTime() > NODE_DOWN_AFTER_MS) return 'down';
  if (node.wantedState === 'drained') return occupied === 0 ? 'drained' : 'draining';
  return 'up';
}

/** By class, of the ledger: offered, held back for the host, given away, and what can still be given. */
export function ledgerOf(
  inventories: readonly Pick<
    Inventory,
    'class' | 'total' | 'reserved' | 'used' | 'allocationRatio' | 'step'
  >[],
): {
  total: ResourceAmounts;
  heldBack: ResourceAmounts;
  given: ResourceAmounts;
  free: ResourceAmounts;
  step: ResourceAmounts;
} {
  const total = { ...NO_RESOURCES };
  const heldBack = { ...NO_RESOURCES };
  const given = { ...NO_RESOURCES };
  const free = { ...NO_RESOURCES };
  const step = { cpuMilli: 1, memoryMiB: 1, diskGiB: 1, networkMbps: 1 };
  for (const row of inventories) {
    total[row.class] = row.total;
    heldBack[row.class] = row.reserved;
    given[row.class] = row.used;
    free[row.class] = Math.floor((row.total - row.reserved) * row.allocationRatio) - row.used;
    step[row.class] = row.step;
  }
  return { total, heldBack, given, free, step };
}

/**
 * A node as the actor may see it. A tenant sees of a node its own share as if that were all of it: what the node has
 * besides, and who else is on it, is nobody's business there.
 */
export function nodeViewOf(row: NodeRow, actor: Actor, now = Date.now()): NodeView {
  const state = nodeState(row, row.slices.filter(occupies).length, now);
  const exclusive = row.slices.find((slice) => slice.exclusive);
  const base = {
    name: row.name,
    id: row.id,
    state,
    exclusiveTo: exclusive?.drvm.name ?? null,
    probation: probationOf(row),
    taints: seesWholeCluster(actor) ? row.taints : [],
    ...(seesWholeCluster(actor) ? placeOf(row) : { rack: null, site: null }),
    lastSeenAt: (row.heardAt ?? row.lastSeenAt)?.toISOString() ?? null,
    agentVersion: row.agentVersion,
    generation: row.generation,
  };
  if (!seesWholeCluster(actor)) {
    const own = toAmounts(sumAmounts(row.slices));
    const used = toAmounts(
      sumAmounts(
        row.slices.map(({ usedCpuMilli, usedMemoryMiB }) => ({
          cpuMilli: usedCpuMilli,
          memoryMiB: usedMemoryMiB,
          diskGiB: 0,
          networkMbps: 0,
        })),
      ),
    );
    return { ...base, capacity: own, reserved: own, allocated: own, used, labels: {} };
  }
  const { total, heldBack, given } = ledgerOf(row.inventories);
  const measured = ResourceAmounts.safeParse(row.used);
  return {
    ...base,
    capacity: toAmounts(total),
    reserved: toAmounts(sumAmounts([heldBack, given])),
    allocated: toAmounts(given),
    used: toAmounts(measured.success ? measured.data : looseAmounts(row.used)),
    labels: labelsOf(row),
  };
}

/** Heartbeats may measure fractions, which the strict schema of amounts does not take. */
function looseAmounts(value: unknown): ResourceAmounts {
  const amounts = { ...NO_RESOURCES };
  for (const name of RESOURCE_CLASSES) {
    const measured = (value as Partial<Record<string, unknown>> | null)?.[name];
    if (typeof measured === 'number' && Number.isFinite(measured)) amounts[name] = measured;
  }
  return amounts;
}

export function labelsOf({ labels }: Pick<Node, 'labels'>): Record<string, string> {
  if (typeof labels !== 'object' || labels === null || Array.isArray(labels)) return {};
  return Object.fromEntries(
    Object.entries(labels).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

export function nodeDetailViewOf(row: NodeRow, actor: Actor, now = Date.now()): NodeDetailView {
  const view = nodeViewOf(row, actor, now);
  const inventory = NodeInventory.safeParse(row.inventory);
  const found = seesWholeCluster(actor) && inventory.success ? inventory.data : null;
  return {
    ...view,
    host: found ? toAmounts(found.host) : view.capacity,
    interfaces: found?.interfaces ?? [],
    devices: found?.devices ?? [],
    traits: seesWholeCluster(actor) ? traitsOf(row) : [],
    enforcement: inventory.success
      ? inventory.data.enforcement
      : {
          cpu: 'fuel-only',
          memory: 'kernel-only',
          namespaces: [],
          user: 'shared-uid',
          notes: ['not reported'],
        },
    allocations: row.slices.map((slice) => allocationViewOf(slice, row.name)),
  };
}

export function allocationViewOf(slice: SliceRow, node: string): AllocationView {
  return {
    id: slice.id,
    drvm: slice.drvm.name,
    drvmId: slice.drvmId,
    tenant: slice.tenant.name,
    node,
    index: slice.index,
    cpu: slice.cpuMilli / 1000,
    memoryMiB: slice.memoryMiB,
    diskGiB: slice.diskGiB,
    networkMbps: slice.networkMbps,
    exclusive: slice.exclusive,
  };
}
