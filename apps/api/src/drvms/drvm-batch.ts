import { DrvsError, type ResourceAmounts } from '@drvs/contracts';
import type { NodeSnapshot, PlacementPlan, PlacementRequest } from '@drvs/policy';
import { z } from 'zod';
import { NewDrvm } from './drvm-request.js';

/** DRVMs created together at most: about half a second of the ledger. */
export const BATCH_MAX = 500;

/** Several DRVMs of one tenant, all or none: for instance one for each student of a course. */
export const NewDrvms = z.strictObject({
  /** By name or id; without it the actor's own. */
  tenant: z.string().max(100).optional(),
  drvms: z
    .array(
      NewDrvm.omit({
        tenant: true,
        dryRun: true,
        affinity: true,
        antiAffinity: true,
        devices: true,
        lease: true,
        candidate: true,
      }),
    )
    .min(1)
    .max(BATCH_MAX)
    .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, 'two have the same name'),
});
export type NewDrvms = z.infer<typeof NewDrvms>;

export interface BatchMember {
  input: NewDrvm;
  request: PlacementRequest;
}

export type PlacedMember = BatchMember & { plan: PlacementPlan };

/**
 * Plans one after another, each on what those before it have left.
 * @throws what `place` throws, with which of them it was
 */
export function placeAll(
  members: readonly BatchMember[],
  snapshot: readonly NodeSnapshot[],
  place: (request: PlacementRequest, snapshot: readonly NodeSnapshot[]) => PlacementPlan,
): PlacedMember[] {
  const nodes = snapshot.map((node) => ({ ...node, free: { ...node.free } }));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  return members.map((member, nth) => {
    let plan: PlacementPlan;
    try {
      plan = place(member.request, nodes);
    } catch (error) {
      const { code, message, hint, details } = DrvsError.from(error);
      throw new DrvsError(code, `${member.input.name} (${nth + 1} of ${members.length}): ${message}`, {
        field: `drvms.${nth}`,
        hint: hint ?? undefined,
        details,
        cause: error,
      });
    }
    for (const { nodeId, amounts, exclusive } of plan.slices) {
      const node = byId.get(nodeId);
      if (!node) continue;
      node.free = minus(node.free, amounts);
      node.slices++;
      node.isExclusive ||= exclusive;
    }
    return { ...member, plan };
  });
}

function minus(a: ResourceAmounts, b: ResourceAmounts): ResourceAmounts {
  return {
    cpuMilli: a.cpuMilli - b.cpuMilli,
    memoryMiB: a.memoryMiB - b.memoryMiB,
    diskGiB: a.diskGiB - b.diskGiB,
    networkMbps: a.networkMbps - b.networkMbps,
  };
}
