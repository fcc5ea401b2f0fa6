import {
  DrvsError,
  PLANNER_KINDS,
  PLANNER_MODES,
  type PlannerKind,
  type PlannerMode,
  type PlannerSettingsView,
  type PlannerWindow,
} from '@drvs/contracts';
import { type PlannerPolicy, plannerPolicy } from '@drvs/policy';
import { z } from 'zod';
import { isTimeZone } from './planner-window.js';

const WINDOWS_MAX = 50;
const Time = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'a time is HH:MM');

export const Window = z.strictObject({
  kinds: z.array(z.enum(PLANNER_KINDS)).min(1),
  effect: z.enum(['only', 'quiet']),
  days: z
    .array(z.enum(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']))
    .min(1)
    .default(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']),
  from: Time,
  to: Time,
  timeZone: z.string().max(64).refine(isTimeZone, 'there is no such time zone').default('UTC'),
}) satisfies z.ZodType<PlannerWindow>;

/** Values of the policy by name, in groups as in docs/policies.md; null puts one back to its default. */
const PolicyValues = z.record(
  z.string().max(64),
  z.union([z.number(), z.null(), z.record(z.string().max(64), z.number().nullable())]),
);

export const PlannerChange = z.strictObject({
  modes: z.partialRecord(z.enum(PLANNER_KINDS), z.enum(PLANNER_MODES)).optional(),
  policy: PolicyValues.optional(),
  /** All of them anew. */
  windows: z.array(Window).max(WINDOWS_MAX).optional(),
});
export type PlannerChange = z.infer<typeof PlannerChange>;

/** What is kept: only what somebody has set. */
export const KeptSettings = z.object({
  modes: z.partialRecord(z.enum(PLANNER_KINDS), z.enum(PLANNER_MODES)).default({}),
  policy: z.record(z.string(), z.union([z.number(), z.record(z.string(), z.number())])).default({}),
  windows: z.array(Window).default([]),
  generation: z.int().default(1),
  updatedBy: z.string().nullable().default(null),
  updatedAt: z.string().nullable().default(null),
});
export type KeptSettings = z.infer<typeof KeptSettings>;

/** Nothing is done by itself until somebody wants it so. */
const DEFAULT_MODE: PlannerMode = 'manual';

export const modeOf = ({ modes }: Pick<KeptSettings, 'modes'>, kind: PlannerKind): PlannerMode =>
  modes[kind] ?? DEFAULT_MODE;

export const policyOf = ({ policy }: Pick<KeptSettings, 'policy'>): PlannerPolicy =>
  plannerPolicy(policy as Parameters<typeof plannerPolicy>[0]);

/**
 * The settings with a change in them.
 * @throws DrvsError InvalidInput for a policy that has no such value, or that contradicts itself; windows that leave a
 * kind no time at all contradict too
 */
export function changed(kept: KeptSettings, change: PlannerChange): KeptSettings {
  const policy = { ...kept.policy };
  for (const [name, value] of Object.entries(change.policy ?? {})) {
    if (value === null) delete policy[name];
    else if (typeof value === 'number') policy[name] = value;
    else {
      const group: Record<string, number> = { ...(typeof policy[name] === 'object' ? policy[name] : {}) };
      for (const [key, inner] of Object.entries(value)) {
        if (inner === null) delete group[key];
        else group[key] = inner;
      }
      if (Object.keys(group).length === 0) delete policy[name];
      else policy[name] = group;
    }
  }
  const after = {
    ...kept,
    modes: { ...kept.modes, ...change.modes },
    policy,
    windows: change.windows ?? kept.windows,
  };
  policyOf(after);
  requirePossible(after.windows);
  return after;
}

/** A window in which something is carried out, and one of quiet that covers it, cancel each other out. */
function requirePossible(windows: readonly PlannerWindow[]): void {
  for (const only of windows.filter(({ effect }) => effect === 'only')) {
    const covering = windows.find(
      (quiet) =>
        quiet.effect === 'quiet' &&
        quiet.timeZone === only.timeZone &&
        only.kinds.every((kind) => quiet.kinds.includes(kind)) &&
        only.days.every((day) => quiet.days.includes(day)) &&
        covers(quiet, only),
    );
    if (!covering) continue;
    throw new DrvsError(
      'InvalidInput',
      `the policy contradicts itself: ${only.kinds.join(', ')} may run only from ${only.from} to ${only.to}, and ${covering.from} to ${covering.to} is quiet`,
      { field: 'windows', hint: 'Make the quiet window shorter, or the other one longer.' },
    );
  }
}

const covers = (quiet: PlannerWindow, only: PlannerWindow): boolean => {
  if (quiet.from === quiet.to) return true;
  const passes = (window: PlannerWindow): boolean => window.from >= window.to;
  if (passes(quiet) !== passes(only)) return false;
  return quiet.from <= only.from && quiet.to >= only.to;
};

export function settingsView(kept: KeptSettings): PlannerSettingsView {
  const { windows, generation, updatedBy, updatedAt } = kept;
  return {
    modes: Object.fromEntries(PLANNER_KINDS.map((kind) => [kind, modeOf(kept, kind)])) as Record<
      PlannerKind,
      PlannerMode
    >,
    policy: policyOf(kept) as unknown as PlannerSettingsView['policy'],
    changed: Object.entries(kept.policy).flatMap(([name, value]) =>
      typeof value === 'number' ? [name] : Object.keys(value).map((inner) => `${name}.${inner}`),
    ),
    windows,
    generation,
    updatedBy,
    updatedAt,
  };
}
