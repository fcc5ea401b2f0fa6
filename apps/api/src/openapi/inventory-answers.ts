import {
  type CandidatesView,
  type CandidateView,
  type DeviceView,
  type ExplanationView,
  IDLE_ACTIONS,
  type ImportRowView,
  type InventoryView,
  type LeaseView,
  NodeCheckItem,
  type NodeInventoryView,
  type NodeRulesView,
  PROBATIONS,
  RESOURCE_CLASSES,
  type TemplateView,
  type TopologyView,
  type WaitingView,
} from '@drvs/contracts';
import { z } from 'zod';

/** The answers about single resources and who may have them, as `answers.ts`. */
const time = z.iso.datetime();
const id = z.string();

const InventoryAnswer = z.object({
  class: z.enum(RESOURCE_CLASSES),
  total: z.int(),
  reserved: z.int(),
  ratio: z.number(),
  step: z.int(),
  capacity: z.int(),
  given: z.int(),
  free: z.int(),
  generation: z.int(),
}) satisfies z.ZodType<InventoryView>;

export const NodeInventoryAnswer = z.object({
  node: z.string(),
  nodeId: id,
  classes: z.array(InventoryAnswer),
  generation: z.int(),
}) satisfies z.ZodType<NodeInventoryView>;

export const NodeRulesAnswer = z.object({
  node: z.string(),
  nodeId: id,
  found: z.array(z.string()),
  set: z.array(z.string()),
  taints: z.array(z.string()),
  rack: z.string().nullable(),
  site: z.string().nullable(),
  probation: z.enum(PROBATIONS),
  check: z.object({ at: time, items: z.array(NodeCheckItem) }).nullable(),
  generation: z.int(),
}) satisfies z.ZodType<NodeRulesView>;

export const DeviceAnswer = z.object({
  id,
  node: z.string(),
  nodeId: id,
  key: z.string(),
  type: z.string(),
  name: z.string(),
  path: z.string().nullable(),
  sizeBytes: z.number().nullable(),
  traits: z.array(z.string()),
  total: z.int(),
  reserved: z.int(),
  present: z.boolean(),
  drvm: z.string().nullable(),
  drvmId: id.nullable(),
  tenant: z.string().nullable(),
  generation: z.int(),
}) satisfies z.ZodType<DeviceView>;
export const DeviceListAnswer = z.object({ items: z.array(DeviceAnswer) });

export const TopologyAnswer = z.object({
  sites: z.array(
    z.object({
      site: z.string().nullable(),
      racks: z.array(
        z.object({
          rack: z.string().nullable(),
          nodes: z.array(z.object({ name: z.string(), id, state: z.string(), taints: z.array(z.string()) })),
        }),
      ),
    }),
  ),
}) satisfies z.ZodType<TopologyView>;

export const CandidateAnswer = z.object({
  id,
  rank: z.int(),
  slices: z.array(
    z.object({
      node: z.string(),
      index: z.int(),
      cpu: z.number(),
      memoryMiB: z.int(),
      diskGiB: z.int(),
      networkMbps: z.int(),
      devices: z.array(z.object({ key: z.string(), type: z.string() })),
    }),
  ),
  scores: z.object({
    fit: z.number(),
    domains: z.number(),
    network: z.number(),
    fragmentation: z.number(),
    energy: z.number(),
    total: z.number(),
  }),
}) satisfies z.ZodType<CandidateView>;

export const CandidatesAnswer = z.object({
  tenant: z.string(),
  seed: z.int(),
  snapshot: z.string(),
  expiresAt: time,
  candidates: z.array(CandidateAnswer),
  rules: z.array(z.object({ rule: z.string(), nodes: z.int() })),
}) satisfies z.ZodType<CandidatesView>;

export const ExplanationAnswer = z.object({
  verdict: z.enum(['now', 'not-now', 'never']),
  message: z.string(),
  hint: z.string().nullable(),
  quota: z.array(z.object({ class: z.string(), quota: z.number(), used: z.number(), requested: z.number() })),
  short: z.array(z.object({ class: z.string(), requested: z.number(), available: z.number() })),
  rules: z.array(z.object({ rule: z.string(), nodes: z.int(), words: z.string(), change: z.string() })),
  nearest: z
    .object({
      cpu: z.number(),
      memoryMiB: z.int(),
      diskGiB: z.int(),
      networkMbps: z.int(),
      nodes: z.int(),
      devices: z.array(z.object({ type: z.string(), count: z.int() })),
    })
    .nullable(),
  best: CandidateAnswer.omit({ id: true }).nullable(),
}) satisfies z.ZodType<ExplanationView>;

export const WaitingAnswer = z.object({
  id,
  tenant: z.string(),
  name: z.string(),
  state: z.enum(['waiting', 'admitted', 'refused', 'cancelled']),
  position: z.int().nullable(),
  reason: z.string(),
  attempts: z.int(),
  notBefore: time.nullable(),
  nextLookAt: time.nullable(),
  requestedBy: z.string(),
  createdAt: time,
  endedAt: time.nullable(),
  drvm: z.string().nullable(),
  operation: id.nullable(),
}) satisfies z.ZodType<WaitingView>;
export const WaitingListAnswer = z.object({ items: z.array(WaitingAnswer) });

export const LeaseAnswer = z.object({
  drvm: z.string(),
  drvmId: id,
  tenant: z.string(),
  state: z.enum(['active', 'ended']),
  startsAt: time,
  endsAt: time,
  filesUntil: time.nullable(),
  keepSeconds: z.int(),
  idleAction: z.enum(IDLE_ACTIONS).nullable(),
  idleAfterSeconds: z.int().nullable(),
  idleSince: time.nullable(),
  extensions: z.int(),
  generation: z.int(),
}) satisfies z.ZodType<LeaseView>;

export const TemplateAnswer = z.object({
  id,
  name: z.string(),
  tenant: z.string().nullable(),
  description: z.string(),
  body: z.record(z.string(), z.unknown()),
  createdBy: z.string(),
  createdAt: time,
  generation: z.int(),
}) satisfies z.ZodType<TemplateView>;
export const TemplateListAnswer = z.object({ items: z.array(TemplateAnswer) });

export const ImportAnswer = z.object({
  rows: z.array(
    z.object({
      row: z.int(),
      name: z.string(),
      outcome: z.enum(['created', 'waiting', 'fits', 'refused']),
      nodes: z.array(z.string()),
      operation: id.nullable(),
      error: z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }).nullable(),
    }) satisfies z.ZodType<ImportRowView>,
  ),
});
