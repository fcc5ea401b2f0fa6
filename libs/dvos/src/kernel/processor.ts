import { SUSPENDED } from '@drvs/drvmm-core';
import { type ImportModule, KNOWN_IMPORTS, type KnownImport } from '../loader/imports.js';
import type { SystemCall } from './caller.js';
import type { GuestProcess } from './process.js';
import { type GatedCall, gateStack } from './stack-gate.js';

/**
 * The thread as a processor of guest code: one stack slot, one process at a time, and the imports through which guests
 * come into the kernel.
 *
 * The imports are the same functions for every process (the running one is `current`), so a process costs no closures.
 * A call that is answered at once costs a bound check and the call itself, and allocates nothing. Whatever changes
 * state here is reached through a gate that has proved that there is stack for it (`stack-gate.ts`); a RangeError in
 * the other calls harms the guest alone.
 */

/** A turn of a process, ms. */
export const SLICE_MS = 2;
/** System calls between two looks at the clock: they cost about a microsecond each, fuel does not count them. */
const CALLS_PER_CLOCK = 64;
/** A turn with less than this left is over. */
const SLICE_REST_MS = 0.3;
/**
 * Pages of the stack slot. V8's own stack (about 1 MB) overflows before a guest's frames fill 4 MiB of it, unless the
 * frames hold very many locals.
 */
const STACK_PAGES = 64;
/** Where the asyncify header `{i32 position, i32 end}` is; the slot begins behind it. Any place but 0. */
const STACK_HEADER = 16;
const STACK_BASE = STACK_HEADER + 8;
/** A saved stack gets room in steps of this, so that a process whose depth varies a little does not allocate. */
const SAVED_STACK_STEP = 256;

/** Immediate calls that change more than the guest's own memory: a lack of stack must not meet them half-way. */
const CHANGING_CALLS: ReadonlySet<string> = new Set(['dvos.grant', 'dvos.revoke']);

export type SystemCalls = Readonly<Record<string, SystemCall>>;

type GuestValue = number | bigint;
type AnyCall = (caller: GuestProcess, ...args: GuestValue[]) => number;

export class Processor {
  readonly imports: WebAssembly.Imports;
  readonly stackHeader = STACK_HEADER;
  current: GuestProcess | null = null;

  readonly #stack: Uint8Array;
  readonly #stackHeader: Int32Array;
  #turnBegan = 0;
  #turnEnds = 0;
  #callsToClock = CALLS_PER_CLOCK;

  /** @param calls what is bound to each import module, by the import's name */
  constructor(calls: Record<ImportModule, SystemCalls>) {
    const memory = new WebAssembly.Memory({ initial: STACK_PAGES, maximum: STACK_PAGES });
    this.#stack = new Uint8Array(memory.buffer);
    this.#stackHeader = new Int32Array(memory.buffer, STACK_HEADER, 2);
    this.imports = { drvs: { stack_memory: memory } };
    const gated: (GatedCall & { module: string; name: string })[] = [
      { module: 'drvs', name: 'safepoint', parameters: [], results: [], call: () => this.#safepoint() },
      {
        module: 'drvs',
        name: 'memory_grow',
        parameters: ['i32'],
        results: ['i32'],
        call: (pages: number) => this.current!.grow(pages),
      },
    ];
    for (const known of KNOWN_IMPORTS) {
      const { module, name, parameters, results } = known;
      const bound = calls[module][name];
      if (bound === undefined) throw new Error(`no system call is bound to ${module}.${name}`);
      const call = this.#bind(known, bound as unknown as AnyCall);
      if (known.kind === 'blocking' || CHANGING_CALLS.has(`${module}.${name}`))
        gated.push({ module, name, parameters, results, call });
      else this.#provide(module, name, call);
    }
    for (const [index, gate] of gateStack(memory, gated).entries())
      this.#provide(gated[index]!.module, gated[index]!.name, gate);
  }

  #provide(module: string, name: string, value: WebAssembly.ImportValue): void {
    this.imports[module] ??= {};
    this.imports[module][name] = value;
  }

  /** One turn. Afterwards the process is suspended or over. @returns wall milliseconds used. */
  run(process: GuestProcess): number {
    process.materialize();
    this.current = process;
    const began = performance.now();
    this.#turnBegan = began;
    this.#turnEnds = began + SLICE_MS;
    this.#callsToClock = CALLS_PER_CLOCK;
    if (!process.hasFuel) process.refuel(SLICE_MS);
    process.enter();
    this.current = null;
    const ms = performance.now() - began;
    process.fuelMs += ms;
    return ms;
  }

  /** Makes the running process come to the kernel's attention at its present system call. */
  attend(): void {
    this.#callsToClock = 0;
  }

  /** Milliseconds that `process` has run in the present turn. */
  msOfTurn(process: GuestProcess): number {
    return process === this.current ? performance.now() - this.#turnBegan : 0;
  }

  clearStack(): void {
    this.#stackHeader[0] = STACK_BASE;
    this.#stackHeader[1] = this.#stack.length;
  }

  loadStack(saved: Uint8Array, length: number): void {
    this.#stack.set(length === saved.length ? saved : saved.subarray(0, length), STACK_BASE);
    this.#stackHeader[0] = STACK_BASE + length;
    this.#stackHeader[1] = this.#stack.length;
  }

  storeStack(process: GuestProcess): void {
    const length = this.#stackHeader[0] - STACK_BASE;
    if (process.savedStack.length < length || process.savedStack.length > 4 * length + SAVED_STACK_STEP) {
      process.savedStack = new Uint8Array(Math.ceil(length / SAVED_STACK_STEP) * SAVED_STACK_STEP);
    }
    process.savedStack.set(this.#stack.subarray(STACK_BASE, STACK_BASE + length));
    process.savedStackBytes = length;
  }

  #safepoint(): void {
    const process = this.current!;
    if (process.isRewinding) {
      process.arrive();
      return;
    }
    const now = performance.now();
    process.measureFuel(process.fuelMs + now - this.#turnBegan);
    const rest = this.#turnEnds - now;
    if (rest > SLICE_REST_MS) {
      // Too early: what was run in this turn so far must not count against the new fuel.
      process.refuel(rest);
      process.fuelMs = this.#turnBegan - now;
      return;
    }
    process.refuel(SLICE_MS);
    process.fuelMs = this.#turnBegan - now;
    process.leave();
  }

  /** A blocking call has its result: it goes back to the guest, or is kept where the guest must make room. */
  #finish(process: GuestProcess, result: number): number {
    if (process.step !== 0) {
      process.step = 0;
      process.scratch.fill(0);
    }
    if (--this.#callsToClock > 0) return result;
    this.#callsToClock = CALLS_PER_CLOCK;
    if (!process.canRun || performance.now() >= this.#turnEnds) {
      process.leaveWith(result);
      return 0;
    }
    return result;
  }

  #suspend(process: GuestProcess): number {
    process.leave();
    return 0;
  }

  /** @returns true when the call has its result already and is not made again. */
  #arrived(process: GuestProcess): boolean {
    process.arrive();
    if (!process.hasResult) return false;
    process.hasResult = false;
    return true;
  }

  #bind(known: KnownImport, call: AnyCall): (...args: never[]) => number {
    return known.kind === 'immediate'
      ? this.#bindImmediate(known.parameters.length, call)
      : this.#bindBlocking(known.parameters.length, call);
  }

  /** One function per number of parameters: rest parameters would allocate an array per call. */
  #bindImmediate(arity: number, call: AnyCall): (...args: never[]) => number {
    switch (arity) {
      case 0:
        return () => call(this.current!);
      case 1:
        return (a: GuestValue) => call(this.current!, a);
      case 2:
        return (a: GuestValue, b: GuestValue) => call(this.current!, a, b);
      case 3:
        return (a: GuestValue, b: GuestValue, c: GuestValue) => call(this.current!, a, b, c);
      case 4:
        return (a: GuestValue, b: GuestValue, c: GuestValue, d: GuestValue) =>
          call(this.current!, a, b, c, d);
      default:
        throw new Error(`no immediate system call has ${arity} parameters`);
    }
  }

  #bindBlocking(arity: number, call: AnyCall): (...args: never[]) => number {
    type V = GuestValue;
    const end = (process: GuestProcess, result: number) =>
      result === SUSPENDED ? this.#suspend(process) : this.#finish(process, result);
    switch (arity) {
      case 0:
        return () => {
          const process = this.current!;
          if (process.isRewinding && this.#arrived(process)) return process.result;
          return end(process, call(process));
        };
      case 1:
        return (a: V) => {
          const process = this.current!;
          if (process.isRewinding && this.#arrived(process)) return process.result;
          return end(process, call(process, a));
        };
      case 2:
        return (a: V, b: V) => {
          const process = this.current!;
          if (process.isRewinding && this.#arrived(process)) return process.result;
          return end(process, call(process, a, b));
        };
      case 3:
        return (a: V, b: V, c: V) => {
          const process = this.current!;
          if (process.isRewinding && this.#arrived(process)) return process.result;
          return end(process, call(process, a, b, c));
        };
      case 4:
        return (a: V, b: V, c: V, d: V) => {
          const process = this.current!;
          if (process.isRewinding && this.#arrived(process)) return process.result;
          return end(process, call(process, a, b, c, d));
        };
      case 5:
        return (a: V, b: V, c: V, d: V, e: V) => {
          const process = this.current!;
          if (process.isRewinding && this.#arrived(process)) return process.result;
          return end(process, call(process, a, b, c, d, e));
        };
      case 6:
        return (a: V, b: V, c: V, d: V, e: V, f: V) => {
          const process = this.current!;
          if (process.isRewinding && this.#arrived(process)) return process.result;
          return end(process, call(process, a, b, c, d, e, f));
        };
      case 7:
        return (a: V, b: V, c: V, d: V, e: V, f: V, g: V) => {
          const process = this.current!;
          if (process.isRewinding && this.#arrived(process)) return process.result;
          return end(process, call(process, a, b, c, d, e, f, g));
        };
      case 9:
        return (a: V, b: V, c: V, d: V, e: V, f: V, g: V, h: V, i: V) => {
          const process = this.current!;
          if (process.isRewinding && this.#arrived(process)) return process.result;
          return end(process, call(process, a, b, c, d, e, f, g, h, i));
        };
      default:
        throw new Error(`no blocking system call has ${arity} parameters`);
    }
  }
}
