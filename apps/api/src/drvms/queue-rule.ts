/**
 * What becomes of a waiting request that did not fit when it was looked at. Two things must not happen: that a large
 * request which cannot be met yet keeps all later ones out, and that small ones which come after it take every bit of
 * room before enough has gathered for it.
 *
 * - Who does not fit is passed over, and looked at again after a pause that doubles each time, up to BACK_OFF_MOST_MS;
 *   a change of the ledger ends the pause, since only then can the answer be another.
 * - Who was passed over PASSED_OVER_MOST times holds the door for HOLD_MS: what comes after it in the fair order waits,
 *   so that what is given back gathers for it. If that was not enough, it waits its turn again, and the others go on.
 */
export interface WaitingTurn {
  attempts: number;
  passedOver: number;
  nextLookAtMs: number;
  holdUntilMs: number | null;
}

export const PASSED_OVER_MOST = 5;
export const HOLD_MS = 5 * 60_000;
const BACK_OFF_LEAST_MS = 2_000;
const BACK_OFF_MOST_MS = 5 * 60_000;

export function isHolding({ holdUntilMs }: WaitingTurn, nowMs: number): boolean {
  return holdUntilMs !== null && nowMs < holdUntilMs;
}

/** Whether it is looked at in this pass. */
export function isDue(turn: WaitingTurn, nowMs: number, hasLedgerChanged: boolean): boolean {
  return hasLedgerChanged || isHolding(turn, nowMs) || nowMs >= turn.nextLookAtMs;
}

/** It did not fit. @param letIn how many that come after it were let in since it was looked at last */
export function afterRefusal(turn: WaitingTurn, letIn: number, nowMs: number): WaitingTurn {
  const attempts = turn.attempts + 1;
  const pause = Math.min(BACK_OFF_MOST_MS, BACK_OFF_LEAST_MS * 2 ** Math.min(attempts - 1, 20));
  const base = { attempts, nextLookAtMs: nowMs + pause };
  if (isHolding(turn, nowMs)) return { ...base, passedOver: turn.passedOver, holdUntilMs: turn.holdUntilMs };
  // The hold has run out without success: from the beginning.
  const passedOver = (turn.holdUntilMs === null ? turn.passedOver : 0) + letIn;
  return { ...base, passedOver, holdUntilMs: passedOver >= PASSED_OVER_MOST ? nowMs + HOLD_MS : null };
}
