/**
 * Whether a history of concurrent operations could have been done one after another, each at some instant between
 * its call and its return (Herlihy and Wing 1990): the search of Wing and Gong with Lowe's memory of what was tried,
 * as in Porcupine (Athalye). The objects of a history are judged apart, as linearizability is local.
 */
export interface ObservedOperation<Input, Output> {
  readonly input: Input;
  /** Undefined: never heard of; it may have happened at any time after the call, or not at all. */
  readonly output: Output | undefined;
  readonly calledAt: number;
  /** Infinite without an output. */
  readonly returnedAt: number;
}

/** What the object is when used by one alone. */
export interface SequentialModel<State, Input, Output> {
  readonly initial: State;
  /** The state afterwards, or null when the output cannot be. */
  step(state: State, input: Input, output: Output | undefined): State | null;
  /** Equal for equal states only. */
  keyOf(state: State): string;
}

export type Verdict = 'linearizable' | 'violated' | 'undecided';

interface Entry {
  readonly operation: number;
  readonly isCall: boolean;
  match: Entry | null;
  previous: Entry | null;
  next: Entry | null;
}

const STEPS_MAX = 300_000;

export function checkLinearizable<State, Input, Output>(
  model: SequentialModel<State, Input, Output>,
  history: readonly ObservedOperation<Input, Output>[],
  stepsMax = STEPS_MAX,
): Verdict {
  const head = linked(history);
  const twins = twinsOf(history);
  const done = new Uint8Array(history.length);
  const seen = new Set<string>();
  const trail: { entry: Entry; state: State }[] = [];
  let state = model.initial;
  let left = history.filter(({ output }) => output !== undefined).length;
  let entry = head.next;
  for (let steps = 0; left > 0; steps++) {
    if (steps > stepsMax) return 'undecided';
    if (entry?.isCall) {
      const { input, output } = history[entry.operation]!;
      const twin = twins[entry.operation]!;
      const isOutOfTurn = twin >= 0 && done[twin] === 0;
      const next = isOutOfTurn ? null : model.step(state, input, output);
      if (next !== null) {
        done[entry.operation] = 1;
        const key = `${model.keyOf(next)} ${Buffer.from(done.buffer).toString('latin1')}`;
        if (!seen.has(key)) {
          seen.add(key);
          trail.push({ entry, state });
          state = next;
          if (output !== undefined) left--;
          lift(entry);
          entry = head.next;
          continue;
        }
        done[entry.operation] = 0;
      }
      entry = entry.next;
      continue;
    }
    // A return before its call was placed, or the end: the last choice was wrong.
    const last = trail.pop();
    if (last === undefined) return 'violated';
    state = last.state;
    done[last.entry.operation] = 0;
    if (history[last.entry.operation]!.output !== undefined) left++;
    unlift(last.entry);
    entry = last.entry.next;
  }
  return 'linearizable';
}

/**
 * Of operations without an answer that are the same, one that was called later need not be tried before one that was
 * called earlier: for each, the one before it, or -1.
 */
function twinsOf(history: readonly ObservedOperation<unknown, unknown>[]): number[] {
  const lastOf = new Map<string, number>();
  const twins = new Array<number>(history.length).fill(-1);
  const unanswered = [...history.keys()].filter((at) => history[at]!.output === undefined);
  unanswered.sort((a, b) => history[a]!.calledAt - history[b]!.calledAt);
  for (const at of unanswered) {
    const key = JSON.stringify(history[at]!.input);
    twins[at] = lastOf.get(key) ?? -1;
    lastOf.set(key, at);
  }
  return twins;
}

function linked(history: readonly ObservedOperation<unknown, unknown>[]): Entry {
  const head: Entry = { operation: -1, isCall: false, match: null, previous: null, next: null };
  const moments: { at: number; entry: Entry }[] = [];
  history.forEach(({ calledAt, returnedAt, output }, operation) => {
    const back: Entry = { operation, isCall: false, match: null, previous: null, next: null };
    const call: Entry = {
      operation,
      isCall: true,
      match: output === undefined ? null : back,
      previous: null,
      next: null,
    };
    moments.push({ at: calledAt, entry: call });
    if (output !== undefined) moments.push({ at: returnedAt, entry: back });
  });
  // Calls before returns of the same instant: they may have overlapped.
  moments.sort((a, b) => a.at - b.at || Number(b.entry.isCall) - Number(a.entry.isCall));
  let last = head;
  for (const { entry } of moments) {
    last.next = entry;
    entry.previous = last;
    last = entry;
  }
  return head;
}

function lift(call: Entry): void {
  for (const entry of [call, call.match]) {
    if (entry === null) continue;
    entry.previous!.next = entry.next;
    if (entry.next !== null) entry.next.previous = entry.previous;
  }
}

function unlift(call: Entry): void {
  for (const entry of [call.match, call]) {
    if (entry === null) continue;
    entry.previous!.next = entry;
    if (entry.next !== null) entry.next.previous = entry;
  }
}

export type RegisterInput =
  | { kind: 'read' }
  | { kind: 'write'; value: string }
  | { kind: 'compareAndSet'; expected: string; value: string }
  | { kind: 'add'; amount: number };

/** Of a read: the value; of an addition: the sum; of compareAndSet: '' when done, else what it found with '!' before. */
export type RegisterOutput = string;

export const registerModel: SequentialModel<string, RegisterInput, RegisterOutput> = {
  initial: '',
  keyOf: (state) => state,
  step(state, input, output) {
    switch (input.kind) {
      case 'read':
        return output === undefined || output === state ? state : null;
      case 'write':
        return input.value;
      case 'compareAndSet':
        if (state === input.expected) return output === undefined || output === '' ? input.value : null;
        return output === undefined || output === `!${state}` ? state : null;
      case 'add': {
        const sum = String(Number(state === '' ? 0 : state) + input.amount);
        return output === undefined || output === sum ? sum : null;
      }
    }
  },
};

/**
 * Without the writes that have no answer and whose value nobody saw: whether they happened makes no difference, as
 * nothing with an answer can stand between them and the next write.
 */
export function withoutUnseen(
  history: readonly ObservedOperation<RegisterInput, RegisterOutput>[],
): ObservedOperation<RegisterInput, RegisterOutput>[] {
  const seen = new Set<string>();
  for (const { input, output } of history) {
    if (output !== undefined && input.kind === 'read') seen.add(output);
    if (input.kind !== 'compareAndSet') continue;
    seen.add(input.expected);
    if (output?.startsWith('!')) seen.add(output.slice(1));
  }
  return history.filter(
    ({ input, output }) => output !== undefined || !('value' in input) || seen.has(input.value),
  );
}
