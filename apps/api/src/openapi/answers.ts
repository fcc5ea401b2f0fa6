import {
  type AllocationView,
  type Amounts,
  type ClusterPlanStep,
  type ClusterPlanView,
  Device,
  type DrvmRulesView,
  type DrvmView,
  type LoanView,
  NetworkInterface,
  type NewTokenView,
  type NodeDetailView,
  NodeInventory,
  type NodeView,
  OPERATION_KINDS,
  OPERATION_STATES,
  type OperationView,
  PLAN_KINDS,
  type PlanRejectionView,
  PROBATIONS,
  type Problem,
  ROLES,
  type TenantView,
  type TokenView,
  type UserView,
} from '@drvs/contracts';
import { z } from 'zod';

/** The answers of REST as schemas, for OpenAPI; the compiler holds each to its view in the contracts. */
const time = z.iso.datetime();
const id = z.string();

const AmountsAnswer = z.object({
  cpu: z.number().describe('vCPUs'),
  memoryMiB: z.number(),
  diskGiB: z.number(),
  networkMbps: z.number(),
}) satisfies z.ZodType<Amounts>;

export const ProblemAnswer = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.string(),
  detail: z.string(),
  hint: z.string().optional(),
  field: z.string().optional(),
  details: z.record(z.string(), z.unknown()).optional(),
}) satisfies z.ZodType<Problem>;

const RoleAnswer = z.enum(ROLES);

export const ViewerAnswer = z.object({
  id,
  name: z.string(),
  role: RoleAnswer,
  tenant: z.string().nullable(),
  csrfToken: z.string().optional(),
});
export const LoginAnswer = z.object({ user: ViewerAnswer, csrfToken: z.string() });

export const AllocationAnswer = z.object({
  id,
  drvm: z.string(),
  drvmId: id,
  tenant: z.string(),
  node: z.string(),
  index: z.int(),
  cpu: z.number(),
  memoryMiB: z.int(),
  diskGiB: z.int(),
  networkMbps: z.int(),
  exclusive: z.boolean(),
}) satisfies z.ZodType<AllocationView>;

export const NodeAnswer = z.object({
  name: z.string(),
  id,
  state: z.enum(['up', 'down', 'draining', 'drained', 'off']),
  capacity: AmountsAnswer,
  reserved: AmountsAnswer,
  allocated: AmountsAnswer,
  used: AmountsAnswer,
  exclusiveTo: z.string().nullable(),
  probation: z.enum(PROBATIONS),
  taints: z.array(z.string()),
  rack: z.string().nullable(),
  site: z.string().nullable(),
  labels: z.record(z.string(), z.string()),
  lastSeenAt: time.nullable(),
  agentVersion: z.string(),
  generation: z.int(),
}) satisfies z.ZodType<NodeView>;

export const NodeDetailAnswer = NodeAnswer.extend({
  host: AmountsAnswer,
  interfaces: z.array(NetworkInterface),
  devices: z.array(Device),
  traits: z.array(z.string()),
  enforcement: NodeInventory.shape.enforcement,
  allocations: z.array(AllocationAnswer),
}) satisfies z.ZodType<NodeDetailView>;

export const TenantAnswer = z.object({
  id,
  name: z.string(),
  quota: AmountsAnswer.partial(),
  used: AmountsAnswer,
  devices: z.object({
    quota: z.record(z.string(), z.int()),
    used: z.record(z.string(), z.int()),
  }),
  weight: z.number(),
  dominantShare: z.object({ share: z.number(), class: z.string().nullable() }),
  generation: z.int(),
}) satisfies z.ZodType<TenantView>;

export const UserAnswer = z.object({
  id,
  name: z.string(),
  tenant: z.string().nullable(),
  role: RoleAnswer,
  createdAt: time,
  generation: z.int(),
  password: z.string().optional(),
}) satisfies z.ZodType<UserView>;

export const TokenAnswer = z.object({
  id,
  name: z.string(),
  tenant: z.string().nullable(),
  role: RoleAnswer,
  createdAt: time,
  expiresAt: time.nullable(),
  lastUsedAt: time.nullable(),
}) satisfies z.ZodType<TokenView>;

export const NewTokenAnswer = z.object({
  token: z.string(),
  id,
  expiresAt: time.nullable(),
}) satisfies z.ZodType<NewTokenView>;

export const EnrolmentTokenAnswer = z.object({ token: z.string(), expiresAt: time });

export const DrvmAnswer = z.object({
  name: z.string(),
  id,
  tenant: z.string(),
  dvos: z.string(),
  state: z.enum(['creating', 'running', 'stopped', 'degraded', 'failed']),
  detail: z.string(),
  nodes: z.array(
    z.object({
      node: z.string(),
      index: z.int(),
      cpu: z.number(),
      memoryMiB: z.int(),
      diskGiB: z.int(),
      state: z.string(),
      isolation: z.string(),
      isHome: z.boolean(),
      ceilingCpu: z.number(),
      heldCpu: z.number(),
    }),
  ),
  createdAt: time,
  generation: z.int(),
}) satisfies z.ZodType<DrvmView>;

export const LoanAnswer = z.object({
  id,
  node: z.string(),
  drvm: z.string(),
  drvmId: id,
  tenant: z.string(),
  side: z.enum(['lends', 'borrows']),
  cpu: z.number(),
  guaranteedCpu: z.number(),
  heldCpu: z.number(),
  ceilingCpu: z.number(),
  since: time,
}) satisfies z.ZodType<LoanView>;

export const OperationAnswer = z.object({
  id,
  kind: z.enum(OPERATION_KINDS),
  state: z.enum(OPERATION_STATES),
  progress: z.number(),
  subject: z.string(),
  steps: z.array(
    z.object({
      name: z.string(),
      state: z.enum(['pending', 'running', 'succeeded', 'failed', 'skipped', 'compensated']),
      startedAt: time.nullable(),
      endedAt: time.nullable(),
      error: z.string().nullable(),
    }),
  ),
  result: z.unknown(),
  error: z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }).nullable(),
  requestedBy: z.string(),
  deadlineAt: time.nullable().optional(),
  awaits: z.array(z.string()).optional(),
  createdAt: time,
  endedAt: time.nullable(),
}) satisfies z.ZodType<OperationView>;

export const DrvmRulesAnswer = z.object({
  drvm: z.string(),
  drvmId: id,
  affinity: z.array(z.string()),
  antiAffinity: z.array(z.string()),
  require: z.array(z.string()),
  forbid: z.array(z.string()),
  tolerate: z.array(z.string()),
  broken: z.array(z.object({ node: z.string(), rule: z.string(), reason: z.string() })),
  generation: z.int(),
}) satisfies z.ZodType<DrvmRulesView>;

export const DrvmOperationAnswer = z.object({ operation: OperationAnswer, drvm: DrvmAnswer });

export const DrvmBatchAnswer = z.object({
  items: z.array(z.object({ operationId: id, drvm: DrvmAnswer })),
});

export const PlanAnswer = z.object({
  id,
  kind: z.string(),
  snapshot: z.string(),
  steps: z.array(
    z.object({
      action: z.string(),
      node: z.string(),
      index: z.int(),
      cpu: z.number(),
      memoryMiB: z.int(),
      diskGiB: z.int(),
      networkMbps: z.int(),
      reason: z.string(),
    }),
  ),
  gain: z.record(z.string(), z.number()),
  cost: z.record(z.string(), z.number()),
  rejected: z.array(z.object({ what: z.string(), reason: z.string() })),
});
export type PlanView = z.infer<typeof PlanAnswer>;

const told = {
  reason: z.string(),
  why: z
    .object({ code: z.string(), data: z.record(z.string(), z.union([z.string(), z.number()])) })
    .optional(),
  phase: z.int().optional(),
};
const sliceMove = {
  drvm: z.string(),
  drvmId: id,
  from: z.string(),
  fromId: id,
  to: z.string(),
  toId: id,
  guaranteed: AmountsAnswer,
  ceiling: AmountsAnswer,
  held: AmountsAnswer,
  pids: z.array(z.int()),
  merges: z.boolean(),
  isPart: z.boolean(),
  isHome: z.boolean(),
  bytes: z.number(),
  pauseMs: z.number(),
  seconds: z.number(),
  ...told,
};
const ofNode = { node: z.string(), nodeId: id, ...told };

export const ClusterPlanStepAnswer = z.discriminatedUnion('action', [
  z.object({ action: z.enum(['cordon', 'uncordon', 'remove-node']), ...ofNode }),
  z.object({
    action: z.enum(['power-off', 'power-on']),
    watts: z.number(),
    seconds: z.number(),
    ...ofNode,
  }),
  z.object({
    action: z.literal('migrate-process'),
    drvm: z.string(),
    drvmId: id,
    pid: z.int(),
    command: z.string(),
    from: z.string(),
    to: z.string(),
    cpu: z.number(),
    bytes: z.number(),
    pauseMs: z.number(),
    ...told,
  }),
  z.object({ action: z.enum(['move-slice', 'rebuild-slice']), ...sliceMove }),
  z.object({
    action: z.literal('resize-slice'),
    drvm: z.string(),
    drvmId: id,
    before: AmountsAnswer,
    after: AmountsAnswer,
    ...ofNode,
  }),
]) satisfies z.ZodType<ClusterPlanStep>;

const PlanRejectionAnswer = z.object({
  what: z.string(),
  reason: z.string(),
  rule: z.string().optional(),
  when: z.enum(['not-now', 'never']).optional(),
  advice: z.string().optional(),
}) satisfies z.ZodType<PlanRejectionView>;

export const ClusterPlanAnswer = z.object({
  id,
  kind: z.enum(PLAN_KINDS),
  node: z.string().nullable(),
  snapshot: z.string(),
  steps: z.array(ClusterPlanStepAnswer),
  gain: z.object({
    strainBefore: z.number(),
    strainAfter: z.number(),
    wattsBefore: z.number().default(0),
    wattsAfter: z.number().default(0),
    nodesOnBefore: z.number().default(0),
    nodesOnAfter: z.number().default(0),
    unmetCpuBefore: z.number().default(0),
    unmetCpuAfter: z.number().default(0),
    summary: z.string(),
  }),
  cost: z.object({
    moves: z.int(),
    bytes: z.number(),
    pauseMs: z.number(),
    seconds: z.number(),
    summary: z.string(),
  }),
  rejected: z.array(PlanRejectionAnswer),
  origin: z.enum(['request', 'automatic', 'schedule']),
  requestedBy: z.string(),
  createdAt: time,
  expiresAt: time,
  operation: id.nullable(),
}) satisfies z.ZodType<ClusterPlanView>;

export const AuditAnswer = z.object({
  id,
  at: time,
  actor: z.string(),
  action: z.string(),
  object: z.string(),
  tenant: z.string().nullable(),
  details: z.unknown(),
  hash: z.string(),
});
export const AuditVerificationAnswer = z.object({
  intact: z.boolean(),
  entries: z.int(),
  headHash: z.string().nullable(),
  firstBroken: z.string().nullable(),
});

export function pageAnswer(item: z.ZodType) {
  return z.object({ items: z.array(item), nextCursor: z.string().nullable() });
}
