import type { Endpoint, Message } from '@drvs/drvmm-core';

/**
 * One guest process as its system calls see it.
 *
 * A system call is a plain function that runs to its end and returns either the guest's result or `SUSPENDED`. In the
 * second case the process unwinds; when what it waits for has ended, **the same function is called again with the same
 * arguments** and with `step`, `scratch`, `message`, `outcome` and `replyData()` telling where it was. Nothing else
 * survives: the process may be on another node by then, so a system call keeps no closures and no references to guest
 * memory (which moves when it grows).
 *
 * The usual shape:
 *
 * ```ts
 * if (caller.step === 0) {
 *   caller.message.clear(); caller.message.type = CALL; caller.message.words[2] = …;
 *   caller.step = 1;
 *   if (caller.sendrec(VFS) === SUSPENDED) return SUSPENDED;
 * }
 * // Here both when the server answered at once and when the process was away meanwhile.
 * if (caller.outcome < 0) return errnoOf(caller.outcome);
 * … caller.message is the reply, caller.replyData() the bytes that rode with it …
 * ```
 *
 * The kernel sets `step` to 0 and clears `scratch` when the call returns a result, so `scratch` may only be used by
 * calls that set `step`.
 */
export interface Caller {
  readonly endpoint: Endpoint;
  readonly pid: number;
  /** argv[0..]. */
  readonly args: readonly string[];
  /** `K=V` each. */
  readonly env: readonly string[];

  /** The guest's memory now. Never kept across a call of `sendrec` or across suspension: growth detaches it. */
  bytes(): Uint8Array;
  view(): DataView;

  /** Where requests are written; it holds the reply when the sendrec has ended. */
  readonly message: Message;
  /** Bytes that rode with the reply, empty if none; valid until the next request. */
  replyData(): Uint8Array;
  /** How the latest `sendrec` or `sleepUntil` of this system call ended: OK, or a negative status of `ipc/errors`. */
  readonly outcome: number;

  /** 0 at the first entry; what the system call left there at later entries. A small non-negative integer. */
  step: number;
  /** Four numbers that a suspended system call may keep; 0 at the first entry. */
  readonly scratch: Float64Array;

  /**
   * Sends `message` (with `data` riding along, at most MAX_RIDING_BYTES, copied before this returns) and waits for the
   * reply. @returns OK (the reply is in `message`, `outcome` is OK), SUSPENDED, or a negative status (also in `outcome`).
   * A server's own refusal is in the reply's `type`, not here: `outcome` tells only whether there is a reply.
   */
  sendrec(to: Endpoint, data?: Uint8Array): number;

  /** @returns SUSPENDED; the call is entered again when the process's monotonic clock has reached the time. */
  sleepUntil(monotonicMs: number): number;
  /** Milliseconds (with fraction) since the process began; never goes back, also across a migration. */
  monotonicMs(): number;
  /** Milliseconds (with fraction) since 1970 on the node where the process is. */
  realtimeMs(): number;
  /** CPU time used so far, in ms. */
  cpuMs(): number;

  /** Gives the rest of the slice away. @returns SUSPENDED; entered again in the process's next turn. */
  yield(): number;
  /** Ends the process with this exit code (0..255 kept). @returns SUSPENDED, and never comes back. */
  exit(code: number): number;
  /**
   * Ends this process by the default action of a signal (abort, raise). Signals whose default is to be ignored return
   * OK. @returns SUSPENDED when the process ends or stops.
   */
  raise(signal: number): number;
}

/**
 * A system call, bound to a guest's import of the same name: i32 arguments arrive as signed 32-bit numbers (use
 * `>>> 0` for addresses and sizes), i64 arguments as bigint; the result is an i32 or SUSPENDED.
 */
// Arguments differ by call: `never[]` lets every parameter list be assigned.
export type SystemCall = (caller: Caller, ...args: never[]) => number;
