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
  requireSense(after, policyOf(after));
  requirePossible(after);
  return after;
}

const contradiction = (field: string, message: string, hint: string): DrvsError =>
  new DrvsError('InvalidInput', `the policy contradicts itself: ${message}`, { field, hint });

/** Modes that want what the values, or other modes, do not let be. */
function requireSense(kept: Pick<KeptSettings, 'modes'>, { movesPerHourPerNode }: PlannerPolicy): void {
  if (modeOf(kept, 'balance') === 'automatic' && movesPerHourPerNode === 0) {
    throw contradiction(
      'movesPerHourPerNode',
      'balance acts by itself, and no move is allowed in any hour',
      'Let it move something (movesPerHourPerNode=4), or set balance=manual.',
    );
  }
  if (modeOf(kept, 'consolidate') === 'automatic' && modeOf(kept, 'power') === 'off') {
    throw contradiction(
      'modes.power',
      'consolidate switches nodes off by itself, and plans that would wake them again are switched off',
      'Set power=automatic, or consolidate=manual.',
    );
  }
}

/**
 * What the cluster that there is cannot keep. Asked of what is changed only: when nodes leave later, all that are left
 * stay on, and every plan that has to do with it says so.
 * @param nodes known to the cluster, in whatever state; without any nothing is known yet
 */
export function requireKept(change: PlannerChange, nodes: number): void {
  const { power } = change.policy ?? {};
  const nodesMin = typeof power === 'object' ? power?.nodesMin : null;
  if (typeof nodesMin !== 'number' || nodes === 0 || nodesMin <= nodes) return;
  throw contradiction(
    'power.nodesMin',
    `${nodesMin} nodes are to stay on, and the cluster has ${nodes}`,
    `At most ${nodes}; add nodes first (\`drvs node enroll-token\`).`,
  );
}

const DAY_MINUTES = 24 * 60;
const WEEK = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;

/**
 * A window in which something is carried out, but of which the quiet ones of its time zone leave nothing; and a kind
 * that acts by itself, but for which all the week is quiet. Windows of other time zones are no contradiction: when they
 * meet changes with the seasons.
 */
function requirePossible(kept: Pick<KeptSettings, 'modes' | 'windows'>): void {
  const { windows } = kept;
  const quietOf = (kind: PlannerKind, timeZone: string): Uint8Array =>
    minutesOf(
      windows.filter(
        (window) => window.effect === 'quiet' && window.timeZone === timeZone && window.kinds.includes(kind),
      ),
    );
  for (const only of windows.filter(({ effect }) => effect === 'only')) {
    const own = minutesOf([only]);
    const isLeft = only.kinds.some((kind) => {
      const quiet = quietOf(kind, only.timeZone);
      return own.some((inside, minute) => inside === 1 && quiet[minute] === 0);
    });
    if (isLeft) continue;
    throw contradiction(
      'windows',
      `${only.kinds.join(', ')} may run only from ${only.from} to ${only.to}, and all of that is quiet`,
      'Make the quiet window shorter, or the other one longer.',
    );
  }
  const zones = new Set(windows.map(({ timeZone }) => timeZone));
  for (const kind of PLANNER_KINDS) {
    if (modeOf(kept, kind) !== 'automatic') continue;
    if (![...zones].some((zone) => quietOf(kind, zone).every((minute) => minute === 1))) continue;
    throw contradiction(
      'windows',
      `${kind} acts by itself, and every minute of the week is quiet`,
      `Leave some time, or set ${kind}=manual.`,
    );
  }
}

/** The minutes of a week, from Monday on, that are in one of these windows of a time zone: 1. */
function minutesOf(windows: readonly PlannerWindow[]): Uint8Array {
  const week = new Uint8Array(WEEK.length * DAY_MINUTES);
  const minuteOf = (text: string): number => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
  for (const { days, from, to } of windows) {
    const begins = minuteOf(from);
    const long = (minuteOf(to) - begins + DAY_MINUTES) % DAY_MINUTES || DAY_MINUTES;
    for (const day of days) {
      const first = WEEK.indexOf(day) * DAY_MINUTES + begins;
      for (let minute = 0; minute < long; minute++) week[(first + minute) % week.length] = 1;
    }
  }
  return week;
}

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
