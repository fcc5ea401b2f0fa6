import { z } from 'zod';
import { exitCodeOfSignal, SIGABRT, SIGFPE, SIGILL, SIGSEGV, signalByNumber } from './signals.js';

/** How a process ended: `ExitStatus` of the contracts. */
export interface Ending {
  /** 0..255: the program's own, or 128 + the signal's number. */
  readonly exitCode: number;
  readonly signal: string | null;
  /** Why, in words, where the DVOS ended it. */
  readonly reason: string | null;
}

/** An Ending that another container tells. */
export const EndingShape = z.object({
  exitCode: z.int(),
  signal: z.string().nullable(),
  reason: z.string().nullable(),
});

export function endingOfExit(code: number): Ending {
  return { exitCode: code & 0xff, signal: null, reason: null };
}

export function endingOfSignal(number: number, reason: string | null = null): Ending {
  return {
    exitCode: exitCodeOfSignal(number),
    signal: signalByNumber(number)?.name ?? `SIG${number}`,
    reason,
  };
}

/** A guest gives up by executing `unreachable`; clang's `abort` and `__builtin_trap` come out as that. */
const TRAPS: readonly [pattern: RegExp, signal: number, reason: string][] = [
  [/unreachable/, SIGILL, 'the program executed `unreachable` (abort, a failed assertion or a panic)'],
  [/memory access out of bounds/, SIGSEGV, 'memory access out of bounds'],
  [/divide by zero|remainder by zero/, SIGFPE, 'integer division by zero'],
  [/divide result unrepresentable|integer overflow/, SIGFPE, 'integer overflow in a division'],
  [/float unrepresentable/, SIGFPE, 'a floating-point number does not fit the integer type'],
  [/signature mismatch|null function/, SIGILL, 'indirect call of a function of another type, or of none'],
  [/table index is out of bounds|table access|table out of bounds/, SIGSEGV, 'table index out of bounds'],
  [/unaligned/, SIGABRT, 'unaligned atomic access'],
];

/** `thrown` came out of a guest's code. The reason is what the user reads. */
export function endingOfTrap(thrown: unknown, duringUnwind: boolean): Ending {
  if (thrown instanceof RangeError) {
    return endingOfSignal(SIGSEGV, 'stack overflow: the program recurses too deeply');
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  if (duringUnwind) {
    return endingOfSignal(SIGSEGV, 'stack overflow: the call stack is too deep to be set aside');
  }
  for (const [pattern, signal, reason] of TRAPS) {
    if (pattern.test(message)) return endingOfSignal(signal, reason);
  }
  return endingOfSignal(SIGILL, message);
}
