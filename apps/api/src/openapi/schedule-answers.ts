import {
  PLANNER_KINDS,
  PLANNER_MODES,
  type PlannerSettingsView,
  type PlannerWindow,
  type ScheduleView,
} from '@drvs/contracts';
import { z } from 'zod';

const time = z.iso.datetime();

const PlannerWindowAnswer = z.object({
  kinds: z.array(z.enum(PLANNER_KINDS)),
  effect: z.enum(['only', 'quiet']),
  days: z.array(z.enum(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'])),
  from: z.string(),
  to: z.string(),
  timeZone: z.string(),
}) satisfies z.ZodType<PlannerWindow>;

export const PlannerSettingsAnswer = z.object({
  modes: z.record(z.enum(PLANNER_KINDS), z.enum(PLANNER_MODES)),
  policy: z.record(z.string(), z.union([z.number(), z.record(z.string(), z.number())])),
  changed: z.array(z.string()),
  windows: z.array(PlannerWindowAnswer),
  generation: z.int(),
  updatedBy: z.string().nullable(),
  updatedAt: time.nullable(),
}) satisfies z.ZodType<PlannerSettingsView>;

export const ScheduleAnswer = z.object({
  name: z.string(),
  id: z.string(),
  cron: z.string(),
  timeZone: z.string(),
  plan: z.object({
    kind: z.string(),
    node: z.string().optional(),
    mode: z.string().optional(),
    remove: z.boolean().optional(),
  }),
  enabled: z.boolean(),
  missed: z.enum(['skip', 'run-once']),
  nextRuns: z.array(time),
  lastRunAt: time.nullable(),
  lastOutcome: z.enum(['started', 'nothing-to-do', 'refused', 'missed']).nullable(),
  lastDetail: z.string(),
  lastOperation: z.string().nullable(),
  createdBy: z.string(),
  createdAt: time,
  generation: z.int(),
}) satisfies z.ZodType<ScheduleView>;
