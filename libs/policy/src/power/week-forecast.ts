/** What was wanted of the cluster in a past hour; hours begin at multiples of 3,600,000 ms. */
export interface DemandHour {
  hourMs: number;
  peakMilli: number;
}

export interface ExpectedHour {
  hourMs: number;
  cpuMilli: number;
  /** What it was taken from: the same hour a week ago, such hours of other days, or only the present. */
  basis: 'same-hour-of-week' | 'same-hour-of-day' | 'present';
}

const HOUR_MS = 3_600_000;
const DAY_HOURS = 24;
const WEEK_HOURS = 7 * DAY_HOURS;
const WEEKS_USED = 4;
/** One odd day is not a new season: what a single week says is held to so much of what such hours usually had. */
const LEAST_OF_USUAL = 0.5;
const MOST_OF_USUAL = 2;
/** Nor is one odd hour: the present scales what is expected by no more than this. */
const SCALE_LEAST = 0.7;
const SCALE_MOST = 1.5;
/** How much of that scale is left after each further hour: what is odd now passes. */
const SCALE_KEPT = 0.8;

/**
 * What is to be expected of a demand that repeats from week to week, for each hour from the present one on. Taken is
 * the median of the same hour of past weeks, held near the median of the same hour of all days of the past week (so
 * that one outlier neither wakes a cluster nor lets it sleep), and scaled by how the present compares with what was
 * usual. Without a past, the present. Pure; order and gaps of `past` do not matter.
 *
 * @param hours how many, the present hour included
 */
export function expectedDemand(
  past: readonly DemandHour[],
  nowMs: number,
  presentMilli: number,
  hours: number,
): ExpectedHour[] {
  const nowHour = Math.floor(nowMs / HOUR_MS);
  const byHour = new Map<number, number>();
  for (const { hourMs, peakMilli } of past) {
    const hour = Math.floor(hourMs / HOUR_MS);
    // The present hour is not over, and what a clock that jumped wrote for the future is no past.
    if (hour < nowHour && Number.isFinite(peakMilli))
      byHour.set(hour, Math.max(byHour.get(hour) ?? 0, peakMilli));
  }
  const usualNow = usual(byHour, nowHour)?.cpuMilli ?? 0;
  const scale = usualNow > 0 ? Math.min(SCALE_MOST, Math.max(SCALE_LEAST, presentMilli / usualNow)) : 1;
  return Array.from({ length: hours }, (_, ahead): ExpectedHour => {
    const found = usual(byHour, nowHour + ahead);
    const hourMs = (nowHour + ahead) * HOUR_MS;
    if (!found) return { hourMs, cpuMilli: Math.round(presentMilli), basis: 'present' };
    const scaled = found.cpuMilli * (1 + (scale - 1) * SCALE_KEPT ** ahead);
    // What is wanted now is wanted: no past says less of this hour.
    return { ...found, hourMs, cpuMilli: Math.round(ahead === 0 ? Math.max(presentMilli, scaled) : scaled) };
  });
}

function usual(
  byHour: ReadonlyMap<number, number>,
  hour: number,
): Pick<ExpectedHour, 'cpuMilli' | 'basis'> | null {
  const at = (steps: number, every: number): number[] =>
    Array.from({ length: steps }, (_, step) => byHour.get(hour - (step + 1) * every)).filter(
      (value) => value !== undefined,
    );
  const ofDays = at(WEEK_HOURS / DAY_HOURS, DAY_HOURS);
  if (ofDays.length === 0) return null;
  const day = median(ofDays);
  const ofWeeks = at(WEEKS_USED, WEEK_HOURS);
  if (ofWeeks.length === 0) return { cpuMilli: day, basis: 'same-hour-of-day' };
  const week = median(ofWeeks);
  // Weeks that agree with each other are a season, also where it is far from the other days.
  const isSeason = ofWeeks.length > 1;
  const held = isSeason ? week : Math.min(MOST_OF_USUAL * day, Math.max(LEAST_OF_USUAL * day, week));
  return { cpuMilli: held, basis: 'same-hour-of-week' };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The most that is expected from now until so many seconds from now. */
export function mostWithin(expected: readonly ExpectedHour[], nowMs: number, seconds: number): number | null {
  const until = nowMs + seconds * 1_000;
  const within = expected.filter(({ hourMs }) => hourMs <= until && hourMs + HOUR_MS > nowMs);
  return within.length === 0 ? null : Math.max(...within.map(({ cpuMilli }) => cpuMilli));
}
