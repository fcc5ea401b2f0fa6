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
 * Whether an operation that has begun can still be cancelled; then a step that is under way is ended in the middle.
 * Creation and start can be undone; a stop or a deletion that is half done is best finished, and a migration takes
 * milliseconds. A step of a plan that is ended so gives back what it has half done; what has moved stays where it is.
 */
export const CANCELLABLE_ONCE_BEGUN: Readonly<Record<OperationKind, boolean>> = {
  'drvm.create': true,
  'drvm.start': true,
  'drvm.stop': false,
  'drvm.delete': false,
  'drvm.resize': true,
  'drvm.reconfigure': true,
  'process.migrate': false,
  'plan.apply': true,
  'node.power-off': false,
  'node.power-on': false,
  'node.maintain': true,
};
