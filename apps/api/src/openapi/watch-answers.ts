import {
  ALERT_METRICS,
  ALERT_SEVERITIES,
  type AlertRuleView,
  type AlertView,
  type NewWebhookView,
  type OperationLogPage,
  type SettingView,
  TELEMETRY_METRICS,
  type TelemetryView,
  type UsageRow,
  type UsageView,
  type WebhookDeliveryView,
  type WebhookTestView,
  type WebhookView,
} from '@drvs/contracts';
import { z } from 'zod';

/** The answers about settings, logs, webhooks, alerts, telemetry and usage as schemas, for OpenAPI. */
const time = z.iso.datetime();

export const SettingAnswer = z.object({
  key: z.string(),
  value: z.unknown(),
  isDefault: z.boolean(),
  about: z.string(),
}) satisfies z.ZodType<SettingView>;

export const OperationLogAnswer = z.object({
  items: z.array(
    z.object({
      id: z.string(),
      at: time,
      step: z.string().nullable(),
      level: z.enum(['info', 'warn', 'error']),
      text: z.string(),
    }),
  ),
  nextCursor: z.string(),
  ended: z.boolean(),
}) satisfies z.ZodType<OperationLogPage>;

export const WebhookAnswer = z.object({
  id: z.string(),
  tenant: z.string().nullable(),
  url: z.string(),
  events: z.array(z.string()),
  description: z.string(),
  enabled: z.boolean(),
  state: z.enum(['ok', 'retrying', 'disabled']),
  pending: z.int(),
  dead: z.int(),
  failures: z.int(),
  lastSuccessAt: time.nullable(),
  lastError: z.string().nullable(),
  createdBy: z.string(),
  createdAt: time,
}) satisfies z.ZodType<WebhookView>;

export const NewWebhookAnswer = WebhookAnswer.extend({
  secret: z.string(),
}) satisfies z.ZodType<NewWebhookView>;

export const WebhookDeliveryAnswer = z.object({
  id: z.string(),
  webhook: z.string(),
  event: z.string(),
  kind: z.string(),
  state: z.enum(['pending', 'delivered', 'dead']),
  attempts: z.int(),
  status: z.int().nullable(),
  error: z.string().nullable(),
  createdAt: time,
  endedAt: time.nullable(),
}) satisfies z.ZodType<WebhookDeliveryView>;

export const WebhookTestAnswer = z.object({
  delivered: z.boolean(),
  status: z.int().nullable(),
  error: z.string().nullable(),
  milliseconds: z.number(),
}) satisfies z.ZodType<WebhookTestView>;

export const AlertRuleAnswer = z.object({
  id: z.string(),
  name: z.string(),
  tenant: z.string().nullable(),
  metric: z.enum(ALERT_METRICS),
  comparison: z.enum(['above', 'below']),
  threshold: z.number(),
  clearThreshold: z.number(),
  forSeconds: z.int(),
  severity: z.enum(ALERT_SEVERITIES),
  subject: z.string().nullable(),
  mailTo: z.array(z.string()),
  webhooks: z.array(z.string()),
  enabled: z.boolean(),
  isDefault: z.boolean(),
  createdBy: z.string(),
  createdAt: time,
}) satisfies z.ZodType<AlertRuleView>;

export const AlertAnswer = z.object({
  id: z.string(),
  rule: z.string(),
  metric: z.enum(ALERT_METRICS),
  severity: z.enum(ALERT_SEVERITIES),
  tenant: z.string().nullable(),
  subject: z.string(),
  state: z.enum(['pending', 'firing', 'resolved']),
  value: z.number().nullable(),
  threshold: z.number(),
  since: time,
  firedAt: time.nullable(),
  resolvedAt: time.nullable(),
  silencedUntil: time.nullable(),
}) satisfies z.ZodType<AlertView>;

export const TelemetryAnswer = z.object({
  from: time,
  to: time,
  stepSeconds: z.number(),
  resolutionSeconds: z.number(),
  series: z.array(
    z.object({
      node: z.string(),
      drvm: z.string().nullable(),
      metric: z.enum(TELEMETRY_METRICS),
      points: z.array(z.object({ at: time, mean: z.number(), max: z.number() })),
    }),
  ),
}) satisfies z.ZodType<TelemetryView>;

const UsageSums = z.object({
  coreHours: z.number(),
  memoryGiBHours: z.number(),
  diskGiBHours: z.number(),
  networkMbpsHours: z.number(),
  usedCoreHours: z.number(),
  usedMemoryGiBHours: z.number(),
  readBytes: z.number(),
  writtenBytes: z.number(),
  ioOperations: z.number(),
  receivedBytes: z.number(),
  sentBytes: z.number(),
  energyKWh: z.number().nullable(),
});
export const UsageAnswer = z.object({
  from: time,
  to: time,
  by: z.enum(['tenant', 'drvm', 'day']),
  items: z.array(
    UsageSums.extend({
      tenant: z.string(),
      drvm: z.string().nullable(),
      day: z.string().nullable(),
    }) satisfies z.ZodType<UsageRow>,
  ),
  total: UsageSums,
}) satisfies z.ZodType<UsageView>;
