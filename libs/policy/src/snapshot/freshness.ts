/** Whether what was last moved at `movedAtMs` may move again; what never moved may. */
export const hasCooled = (movedAtMs: number | null, atMs: number, coolDownSeconds: number): boolean =>
  movedAtMs === null || atMs - movedAtMs >= coolDownSeconds * 1000;

/** Whether something has been so, without a break, for at least `seconds`. */
export const hasHeld = (sinceMs: number | null, atMs: number, seconds: number): boolean =>
  seconds === 0 || (sinceMs !== null && atMs - sinceMs >= seconds * 1000);
