import { DrvsError } from '@drvs/contracts';
import { Cron } from 'croner';
import { isTimeZone } from '../plans/planner-window.js';

/** A run that is seen no later than this after its time is in time. */
export const GRACE_MS = 10 * 60_000;
/** A clock that was put back by more than this had been wrong before. */
const CLOCK_WAS_WRONG_MS = 86_400_000;

/** Times of an expression of cron (five fields, or @daily and its like) on the wall clock of a time zone. */
export interface DueTimes {
  /** The first time after this; null when there is none. */
  after(ms: number): number | null;
}

/** @throws DrvsError InvalidInput for an expression that is none, or a time zone that there is not */
export function dueTimes(cron: string, timeZone: string): DueTimes {
  if (!isTimeZone(timeZone)) {
    throw new DrvsError('InvalidInput', `there is no time zone ${timeZone.slice(0, 64)}`, {
      field: 'timeZone',
      hint: 'For instance UTC, or America/Argentina/Buenos_Aires.',
    });
  }
  try {
    const times = new Cron(cron, { timezone: timeZone, paused: true, mode: '5-part' });
    return { after: (ms) => times.nextRun(new Date(ms))?.getTime() ?? null };
  } catch (error) {
    throw new DrvsError(
      'InvalidInput',
      `"${cron.slice(0, 100)}" is no expression of cron: ${(error as Error).message}`,
      {
        field: 'cron',
        hint: 'Minute, hour, day of the month, month, day of the week: "0 3 * * 1-5" is at three on working days.',
        cause: error,
      },
    );
  }
}

export interface Due {
  nextDueMs: number | null;
  /** Up to here everything is settled: run, or passed over. */
  lastDueMs: number | null;
  missed: 'skip' | 'run-once';
}

export interface DueDecision {
  /** The time for which it is to be run now; null for none. */
  runMs: number | null;
  /** Times that were passed over. */
  passedOver: boolean;
  /** The next time, and up to where everything is settled. */
  nextDueMs: number | null;
  lastDueMs: number | null;
}

/**
 * What is to be done at a look. The rule:
 * - a time that was reached within the grace is run, once; where several were, the latest;
 * - where the latest is longer ago (nobody was there, or the clock was put forward) it was missed: with `skip` nothing is
 *   run, with `run-once` it is run once now, however many were missed;
 * - a time that is settled is never run again: after the clock was put back, the next one is reckoned from the last that
 *   was settled. But when that lies more than a day ahead, the clock had been wrong: then from now.
 */
export function decide(due: Due, times: DueTimes, nowMs: number): DueDecision {
  const { nextDueMs, lastDueMs, missed } = due;
  const wasWrong = lastDueMs !== null && lastDueMs - nowMs > CLOCK_WAS_WRONG_MS;
  if (wasWrong) {
    return { runMs: null, passedOver: false, nextDueMs: times.after(nowMs), lastDueMs: null };
  }
  if (nextDueMs === null || nextDueMs > nowMs) {
    return { runMs: null, passedOver: false, nextDueMs, lastDueMs };
  }
  const inTime = latest(times, Math.max(nextDueMs - 1, nowMs - GRACE_MS - 1), nowMs);
  const runMs = inTime ?? (missed === 'run-once' ? nextDueMs : null);
  return {
    runMs,
    passedOver: inTime !== nextDueMs && runMs !== nextDueMs,
    nextDueMs: times.after(nowMs),
    lastDueMs: inTime ?? nowMs,
  };
}

/** The last time after `fromMs` and not after `nowMs`: within the grace there are few. */
function latest(times: DueTimes, fromMs: number, nowMs: number): number | null {
  let found: number | null = null;
  for (let at = times.after(fromMs); at !== null && at <= nowMs; at = times.after(at)) found = at;
  return found;
}
