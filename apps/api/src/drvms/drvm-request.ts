import { randomUUID } from 'node:crypto';
import { DrvsError, MIN_SLICE_CPU_MILLI, MIN_SLICE_MEMORY_MIB } from '@drvs/contracts';
import {
  MAX_SLICES,
  type NodeSnapshot,
  type PlacementPlan,
  type PlacementRequest,
  type RejectedNode,
  type RejectionRule,
} from '@drvs/policy';
import { z } from 'zod';
import { fromAmounts, sumAmounts, toAmounts } from '../allocations/amounts.js';
import type { Actor } from '../auth/actor.js';
import type { PlanView } from '../openapi/answers.js';
import { Name } from '../tenants/tenants.service.js';
import { NO_AFFINITIES, PLACEMENT_TERMS, placementRules } from './placement-terms.js';

export const NewDrvm = z.strictObject({
  name: Name,
  /** By name or id; without it the actor's own. */
  tenant: z.string().max(100).optional(),
  dvos: z.enum(['mol']).default('mol'),
  /** vCPUs over all nodes. */
  cpu: z
    .number()
    .min(MIN_SLICE_CPU_MILLI / 1000)
    .max(10_000),
  memoryMiB: z.int().min(MIN_SLICE_MEMORY_MIB).max(1_000_000_000),
  diskGiB: z.int().min(0).max(1_000_000_000).default(1),
  networkMbps: z.int().min(0).max(100_000_000).default(0),
  /** How many nodes, or which; without it the policy decides. */
  nodes: z
    .union([z.int().min(1).max(MAX_SLICES), z.array(z.string().max(100)).min(1).max(MAX_SLICES)])
    .optional(),
  exclusive: z.boolean().default(false),
  /** Without it: `spread` over the nodes asked for, `pack` into as few as suffice when none were. */
  policy: z.enum(['spread', 'pack']).optional(),
  ...PLACEMENT_TERMS,
  /** Only plan: nothing is changed, and the plan is answered. */
  dryRun: z.boolean().default(false),
});
export type NewDrvm = z.infer<typeof NewDrvm>;

/** By whose quota it is to go. @throws DrvsError InvalidInput where none is named, and the actor belongs to none */
export function tenantAsked({ tenantId }: Actor, { tenant }: Pick<NewDrvm, 'tenant'>): string {
  const reference = tenant ?? tenantId;
  if (reference !== null) return reference;
  throw new DrvsError('InvalidInput', 'a DRVM belongs to a tenant', {
    field: 'tenant',
    hint: 'Name the tenant; see `drvs tenant list`.',
  });
}

export function placementRequestOf(input: NewDrvm, affinities = NO_AFFINITIES): PlacementRequest {
  const total = fromAmounts(input);
  return {
    ...placementRules(input, total, affinities),
    total,
    nodes: input.nodes ?? null,
    exclusive: input.exclusive,
    policy: input.policy ?? (input.nodes === undefined ? 'pack' : 'spread'),
  };
}

/**
 * The plan as people and scripts read it. Who sees a tenant only is told where its slices go and why, and of all other
 * nodes how many were left out for which reason.
 */
export function planViewOf(
  plan: PlacementPlan,
  snapshot: readonly NodeSnapshot[],
  isForWholeCluster: boolean,
  now = new Date(),
): PlanView {
  const byId = new Map(snapshot.map((node) => [node.id, node]));
  const free = sumAmounts(snapshot.filter(({ state }) => state === 'up').map((node) => node.free));
  const taken = sumAmounts(plan.slices.map(({ amounts }) => amounts));
  return {
    id: randomUUID(),
    kind: 'drvm.create',
    snapshot: now.toISOString(),
    steps: plan.slices.map(({ nodeId, node, index, amounts, reason }) => {
      const { cpu, memoryMiB, diskGiB, networkMbps } = toAmounts(amounts);
      const before = byId.get(nodeId)?.free;
      const left =
        isForWholeCluster && before
          ? `; ${(before.cpuMilli - amounts.cpuMilli) / 1000} vCPU and ${before.memoryMiB - amounts.memoryMiB} MiB stay free`
          : '';
      return {
        action: 'drvm.place',
        node,
        index,
        cpu,
        memoryMiB,
        diskGiB,
        networkMbps,
        reason: `${reason}${left}`,
      };
    }),
    gain: { slices: plan.slices.length },
    cost: isForWholeCluster
      ? {
          cpuFreeAfter: (free.cpuMilli - taken.cpuMilli) / 1000,
          memoryMiBFreeAfter: free.memoryMiB - taken.memoryMiB,
          diskGiBFreeAfter: free.diskGiB - taken.diskGiB,
        }
      : {},
    rejected: isForWholeCluster
      ? plan.rejected.map(({ node, reason }) => ({ what: node, reason }))
      : countByRule(plan.rejected).map(([rule, nodes]) => ({
          what: `${nodes} node${nodes === 1 ? '' : 's'}`,
          reason: rule,
        })),
  };
}

function countByRule(rejected: readonly RejectedNode[]): [RejectionRule, number][] {
  const counts = new Map<RejectionRule, number>();
  for (const { rule } of rejected) counts.set(rule, (counts.get(rule) ?? 0) + 1);
  return [...counts];
}

/** A refusal without the names of the nodes and what each of them has free. */
export function withoutNodes(error: DrvsError): DrvsError {
  if (error.code !== 'InsufficientResources' || !error.details) return error;
  const { rejected: _, ...details } = error.details;
  return new DrvsError(error.code, error.message, { ...error, details, cause: error });
}
