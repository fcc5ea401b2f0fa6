/**
 * What is to be expected of a load that repeats from day to day: the most that past days had in the slots from `from`
 * to `to` (of one day, in order; they may run past midnight), scaled by how the present compares with the mean of
 * those days at `now`. The scale is bounded: one odd quarter of an hour is not a new season.
 */
export function seasonalForecast(
  days: readonly (readonly number[])[],
  now: number,
  present: number,
  from: number,
  to: number,
): number | null {
  if (days.length === 0 || days[0].length === 0) return null;
  const slots = days[0].length;
  const usual = days.reduce((sum, day) => sum + day[now % slots], 0) / days.length;
  const scale = usual > 0 ? Math.min(SCALE_MOST, Math.max(SCALE_LEAST, present / usual)) : 1;
  let most = 0;
  for (let slot = from; slot <= to; slot++) {
    for (const day of days) most = Math.max(most, day[slot % slots]);
  }
  return Math.round(most * scale);
}

const SCALE_LEAST = 0.7;
const SCALE_MOST = 1.5;
