import { DrvsError } from '@drvs/contracts';
import { RESOLUTIONS, type Resolution } from './resolutions.js';

/** Points of a series when no step is asked for. */
const USUAL_POINTS = 240;
const MAX_POINTS = 5_000;

export interface Segment {
  resolution: Resolution;
  /** Seconds since 1970; `to` is not part of it. */
  from: number;
  to: number;
}

export interface QueryPlan {
  stepSeconds: number;
  /** Coarsest part of it. */
  resolutionSeconds: number;
  from: number;
  to: number;
  segments: Segment[];
}

export interface TelemetryRange {
  /** Seconds since 1970. */
  from: number;
  to: number;
  stepSeconds: number | undefined;
  now: number;
}

/**
 * From which tables a series is read. Pure. The coarsest one that is fine enough for the step is the cheapest; what it
 * does not have yet comes from the finer ones, what it has no more from the coarser ones, so that a series has no gap
 * for being long or fresh.
 *
 * @param upto by resolution, up to where it has been made (seconds since 1970)
 * @throws DrvsError InvalidInput
 */
export function planQuery(
  { from, to, stepSeconds, now }: TelemetryRange,
  upto: (resolution: Resolution) => number,
): QueryPlan {
  if (!(from < to)) {
    throw new DrvsError('InvalidInput', 'the time asked for ends before it begins', { field: 'from' });
  }
  const wanted = stepSeconds ?? Math.max(1, Math.ceil((to - from) / USUAL_POINTS));
  // The finest that is still kept at the beginning; an older beginning is what the coarsest has.
  const kept = RESOLUTIONS.find(({ keptSeconds }) => from >= now - keptSeconds) ?? RESOLUTIONS.at(-1)!;
  const fitting = RESOLUTIONS.findLast(({ seconds }) => seconds <= wanted) ?? RESOLUTIONS[0]!;
  const best = fitting.seconds >= kept.seconds ? fitting : kept;
  const step = Math.ceil(Math.max(wanted, best.seconds) / best.seconds) * best.seconds;
  if ((to - from) / step > MAX_POINTS) {
    throw new DrvsError(
      'InvalidInput',
      `a step of ${step} s over ${Math.round(to - from)} s gives more than ${MAX_POINTS} points`,
      { field: 'step', hint: 'Ask for a longer step or a shorter time.' },
    );
  }
  const begin = Math.floor(from / step) * step;
  const segments: Segment[] = [];
  let at = begin;
  for (const resolution of RESOLUTIONS.toReversed()) {
    if (resolution.seconds > best.seconds) continue;
    const end = resolution.seconds === 1 ? to : Math.min(to, upto(resolution));
    if (end <= at) continue;
    segments.push({ resolution, from: at, to: end });
    at = end;
  }
  return { stepSeconds: step, resolutionSeconds: best.seconds, from: begin, to, segments };
}
