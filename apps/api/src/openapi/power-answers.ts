import {
  type EnergyRecommendationsView,
  type EnergyReportView,
  FAILURE_PHASES,
  type NodeFailureView,
  type NodePowerView,
  POWER_DRIVERS,
  POWER_STATES,
  type PowerReadingView,
} from '@drvs/contracts';
import { z } from 'zod';

const time = z.iso.datetime();
const Source = z.enum(['driver', 'rapl', 'command', 'model']);

export const NodePowerAnswer = z.object({
  node: z.string(),
  state: z.enum(POWER_STATES),
  since: time,
  deadline: time.nullable(),
  attempts: z.int(),
  failures: z.int(),
  reason: z.string(),
  driver: z.enum(POWER_DRIVERS),
  settings: z.record(z.string(), z.unknown()),
  hasSecret: z.boolean(),
  automatic: z.boolean(),
  model: z.object({
    idleWatts: z.number(),
    fullWatts: z.number(),
    offWatts: z.number(),
    bootSeconds: z.number(),
    restWatts: z.number(),
    curve: z.array(z.object({ use: z.number(), watts: z.number() })),
    origin: z.enum(['stated', 'configured']),
  }),
  watts: z.number(),
  source: Source,
  generation: z.int(),
}) satisfies z.ZodType<NodePowerView>;

export const PowerReadingAnswer = z.object({
  node: z.string(),
  driver: z.enum(POWER_DRIVERS),
  power: z.enum(['on', 'off', 'unknown']),
  watts: z.number().nullable(),
  detail: z.string(),
  milliseconds: z.int(),
}) satisfies z.ZodType<PowerReadingView>;

const EnergySpanAnswer = z.object({
  from: time,
  to: time,
  kWh: z.number(),
  allOnKWh: z.number(),
  savedKWh: z.number(),
  measured: z.number().describe('Share that was measured, 0 to 1'),
});

export const EnergyReportAnswer = z.object({
  now: z.object({ watts: z.number(), nodesOn: z.int(), nodesOff: z.int() }),
  today: EnergySpanAnswer,
  month: EnergySpanAnswer,
  nodes: z.array(
    z.object({
      node: z.string(),
      state: z.enum(POWER_STATES),
      watts: z.number(),
      source: Source,
      todayKWh: z.number(),
      monthKWh: z.number(),
      savedKWh: z.number(),
    }),
  ),
  drvms: z.array(
    z.object({ drvm: z.string(), tenant: z.string(), todayKWh: z.number(), monthKWh: z.number() }),
  ),
  tenants: z.array(z.object({ tenant: z.string(), todayKWh: z.number(), monthKWh: z.number() })),
  unallocatedKWh: z.number(),
  formula: z.string(),
  forecast: z.array(z.object({ at: time, cpu: z.number(), basis: z.string() })),
}) satisfies z.ZodType<EnergyReportView>;

export const EnergyRecommendationsAnswer = z.object({
  recommendations: z.array(
    z.object({ node: z.string(), savedWatts: z.number(), moves: z.int(), reason: z.string() }),
  ),
  rejected: z.array(z.object({ what: z.string(), reason: z.string() })),
  summary: z.string(),
}) satisfies z.ZodType<EnergyRecommendationsView>;

export const NodeFailureAnswer = z.object({
  node: z.string(),
  phase: z.enum(FAILURE_PHASES),
  since: time,
  deadline: time.nullable(),
  reason: z.string(),
  evidence: z.array(z.object({ at: time, by: z.string(), says: z.string() })),
  returns: z.array(time),
  heldUntil: time.nullable(),
  operation: z.string().nullable(),
}) satisfies z.ZodType<NodeFailureView>;
