/**
 * The life of an alert, as a pure function of its rule, what it was, what is measured, and the time.
 *
 * ```
 *   (none) ──past the threshold──▶ pending ──for long enough──▶ firing ──past the clearing threshold──▶ resolved
 *                                     └──no longer past it──▶ (none)
 * ```
 *
 * Between the two thresholds a firing alert goes on firing and a pending one begins to wait anew: a value that swings
 * around one of them neither floods nor hides. What is no longer measured is no longer so: its alert is resolved.
 */
export interface AlertCondition {
  comparison: 'above' | 'below';
  threshold: number;
  clearThreshold: number;
  forMs: number;
}

/** Milliseconds since 1970. */
export interface OpenAlert {
  state: 'pending' | 'firing';
  since: number;
  firedAt: number | null;
}

export type AlertStep =
  | { to: 'none' }
  | { to: 'pending'; since: number }
  | { to: 'firing'; since: number; firedAt: number; isNew: boolean }
  | { to: 'resolved' };

/** @param value null: not measured */
export function evaluate(
  condition: AlertCondition,
  open: OpenAlert | null,
  value: number | null,
  now: number,
): AlertStep {
  if (open?.state === 'firing') {
    const since = Math.min(open.since, now);
    if (value === null || isCleared(condition, value)) return { to: 'resolved' };
    return { to: 'firing', since, firedAt: open.firedAt ?? now, isNew: false };
  }
  if (value === null || !isPast(condition, value)) return { to: 'none' };
  // A clock that was set back begins the wait anew.
  const since = open === null || open.since > now ? now : open.since;
  if (now - since >= condition.forMs) return { to: 'firing', since, firedAt: now, isNew: true };
  return { to: 'pending', since };
}

const isPast = ({ comparison, threshold }: AlertCondition, value: number): boolean =>
  comparison === 'above' ? value > threshold : value < threshold;

const isCleared = ({ comparison, clearThreshold }: AlertCondition, value: number): boolean =>
  comparison === 'above' ? value <= clearThreshold : value >= clearThreshold;
