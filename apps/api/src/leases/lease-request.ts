import { DrvsError, IDLE_ACTIONS } from '@drvs/contracts';
import { z } from 'zod';
import { marksBehind } from './lease-machine.js';

const MINUTE_S = 60;
const DAY_S = 86_400;
export const LEASE_LEAST_S = 5 * MINUTE_S;
const LEASE_MOST_S = 5 * 366 * DAY_S;
const KEEP_MOST_S = 5 * 366 * DAY_S;
const KEEP_DEFAULT_S = 7 * DAY_S;

const seconds = z.int().min(LEASE_LEAST_S).max(LEASE_MOST_S);

/** How long a DRVM may be had: until a time, or for so long from its start. */
export const LeaseTerms = z.strictObject({
  /** In the future: it is created then, in its turn. Without it: at once. */
  startsAt: z.iso.datetime({ offset: true }).optional(),
  endsAt: z.iso.datetime({ offset: true }).optional(),
  forSeconds: seconds.optional(),
  /** Files stay so long after the end. */
  keepSeconds: z.int().min(0).max(KEEP_MOST_S).default(KEEP_DEFAULT_S),
  /** What is done when it has been idle for `idleAfterSeconds`. */
  idleAction: z.enum(IDLE_ACTIONS).optional(),
  idleAfterSeconds: z.int().min(MINUTE_S).max(LEASE_MOST_S).optional(),
});
export type LeaseTerms = z.infer<typeof LeaseTerms>;

export const LeaseExtension = z.strictObject({ bySeconds: seconds });

const IDLE_AFTER_DEFAULT_S = 2 * 3_600;

export interface LeaseColumns {
  startsAt: Date;
  endsAt: Date;
  keepSeconds: number;
  idleAction: string | null;
  idleAfterSeconds: number | null;
  warnedSeconds: number | null;
}

/** @throws DrvsError InvalidInput when the terms contradict each other */
export function leaseColumns(terms: LeaseTerms, now: Date): LeaseColumns {
  const startsAt =
    terms.startsAt === undefined ? now : new Date(Math.max(now.getTime(), Date.parse(terms.startsAt)));
  if ((terms.endsAt === undefined) === (terms.forSeconds === undefined)) {
    throw wrong(
      'lease.endsAt',
      'a lease says either when it ends or for how long it is',
      'Give endsAt or forSeconds.',
    );
  }
  const endsAt =
    terms.endsAt === undefined
      ? new Date(startsAt.getTime() + (terms.forSeconds ?? 0) * 1000)
      : new Date(terms.endsAt);
  const lasts = (endsAt.getTime() - startsAt.getTime()) / 1000;
  if (lasts < LEASE_LEAST_S || lasts > LEASE_MOST_S) {
    throw wrong(
      'lease.endsAt',
      `a lease lasts from ${LEASE_LEAST_S / MINUTE_S} minutes to 5 years; this one lasts ${Math.round(lasts)} s`,
      'Times are compared in UTC; give the offset, for instance 2026-12-01T08:00:00-03:00.',
    );
  }
  if (terms.idleAfterSeconds !== undefined && terms.idleAction === undefined) {
    throw wrong(
      'lease.idleAction',
      'it does not say what is to be done when it is idle',
      'Give stop, shrink or notify.',
    );
  }
  return {
    startsAt,
    endsAt,
    keepSeconds: terms.keepSeconds,
    warnedSeconds: marksBehind(lasts),
    idleAction: terms.idleAction ?? null,
    idleAfterSeconds:
      terms.idleAction === undefined ? null : (terms.idleAfterSeconds ?? IDLE_AFTER_DEFAULT_S),
  };
}

function wrong(field: string, message: string, hint: string): DrvsError {
  return new DrvsError('InvalidInput', message, { field, hint });
}
