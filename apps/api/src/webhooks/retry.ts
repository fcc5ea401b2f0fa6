/** After so many attempts a delivery is given up: about a day of them. */
export const MAX_ATTEMPTS = 15;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 3 * 3_600_000;

/**
 * Time until the next attempt: doubled with each that failed, and of that between a half and the whole, so that those
 * who failed together do not come back together.
 *
 * @param failures 1 after the first failed attempt
 * @param random in [0, 1)
 */
export function pauseMs(failures: number, random: number): number {
  const whole = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures - 1, 30));
  return Math.round(whole / 2 + (whole / 2) * random);
}
