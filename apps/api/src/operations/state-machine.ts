import type { OperationKind, OperationState, OperationView } from '@drvs/contracts';

/**
 * The life of an operation, written down once.
 *
 * ```
 * queued ──▶ running ──▶ succeeded
 *    │          ├──────▶ failed        what it had done stays, or there was nothing to undo; it may be retried
 *    │          ├──────▶ compensated   it failed, and everything that it had done has been undone
 *    └──────────┴──────▶ cancelled     somebody asked for it, and everything that it had done has been undone
 * failed ──▶ queued                    a retry
 * ```
 *
 * While an operation undoes its steps it is still `running`, and carries the error that ended its way forward.
 */
export const OPERATION_TRANSITIONS: Readonly<Record<OperationState, readonly OperationState[]>> = {
  queued: ['running', 'cancelled'],
  running: ['succeeded', 'failed', 'cancelled', 'compensated'],
  succeeded: [],
  failed: ['queued'],
  cancelled: [],
  compensated: [],
};

export type StepState = OperationView['steps'][number]['state'];

/**
 * A step may begin again after a crash (`running` → `running` is no transition: its attempt counter grows), and a
 * retry of the operation puts failed steps back to `pending`.
 */
export const STEP_TRANSITIONS: Readonly<Record<StepState, readonly StepState[]>> = {
  pending: ['running', 'skipped'],
  running: ['succeeded', 'failed', 'skipped'],
  succeeded: ['compensated'],
  failed: ['pending', 'compensated'],
  skipped: ['pending'],
  compensated: [],
};

export function mayBecome(from: OperationState, to: OperationState): boolean {
  return OPERATION_TRANSITIONS[from].includes(to);
}

export function stepMayBecome(from: StepState, to: StepState): boolean {
  return STEP_TRANSITIONS[from].includes(to);
}

/** An ended operation moves by itself no more (a failed one only when somebody retries it). */
export function hasEnded(state: OperationState): boolean {
  return !mayBecome(state, 'running') && state !== 'running';
}

/** The states from which an operation can come to `to`: the guard of a conditional update. */
export function statesBefore(to: OperationState): OperationState[] {
  return (Object.keys(OPERATION_TRANSITIONS) as OperationState[]).filter((from) => mayBecome(from, to));
}

/** Share of the steps that are behind it, 0..1. */
export function progressOf(states: readonly StepState[]): number {
  if (states.length === 0) return 0;
  const done = states.filter((state) => state === 'succeeded' || state === 'skipped').length;
  return done / states.length;
}

/**
 * What becomes of an operation that has begun and does not come to its end.
 *
 * - `none`: it cannot be cancelled. A stop or a deletion that is half done is best finished, and a migration takes
 *   milliseconds.
 * - `whole`: all that it did is undone.
 * - `by-steps`: what is done stays done; a step that is ended in the middle gives back itself what it has half done.
 * - `when-cancelled`: cancelled it is undone, failed it is left as it is. Nothing is to come back to a node that somebody
 *   may have open before him.
 */
export type WayBack = 'none' | 'whole' | 'by-steps' | 'when-cancelled';

export const WAY_BACK: Readonly<Record<OperationKind, WayBack>> = {
  'drvm.create': 'whole',
  'drvm.start': 'whole',
  'drvm.stop': 'none',
  'drvm.delete': 'none',
  'drvm.resize': 'whole',
  'drvm.reconfigure': 'whole',
  'process.migrate': 'none',
  'plan.apply': 'by-steps',
  'node.power-off': 'none',
  'node.power-on': 'none',
  'node.maintain': 'when-cancelled',
};
