import {
  type Endpoint,
  type GrantMemory,
  type IpcKernel,
  Message,
  OK,
  type Owner,
  SUSPENDED,
} from '@drvs/drvmm-core';
import { LOADER_VERSION } from '../loader/meta.js';
import type { Caller } from './caller.js';
import { type Ending, endingOfExit, endingOfSignal, endingOfTrap } from './ending.js';
import type { PackedRecord, ProcessRecord } from './image.js';
import {
  applyPart,
  BLOCK_BYTES,
  captureGlobals,
  captureTables,
  type FunctionNames,
  type GlobalValues,
  memoryParts,
  nameFunctions,
  nonZeroBlocks,
  restoreGlobals,
  restoreTables,
  type TableValues,
} from './machine-state.js';
import type { CompiledModule } from './modules.js';
import type { Processor } from './processor.js';
import { signalByNumber } from './signals.js';
import type { Sleeper } from './sleepers.js';

/** Bytes of a WebAssembly page. */
export const PAGE_BYTES = 65_536;

/** What a process that does not run waits for. */
export const Wait = {
  /** Nothing: it may run. */
  turn: 0,
  /** The end of an IPC call. */
  ipc: 1,
  /** Its monotonic clock. */
  clock: 2,
} as const;
export type Wait = (typeof Wait)[keyof typeof Wait];

/** Who and what a process is; it goes with it wherever it goes. */
export interface ProcessIdentity {
  readonly endpoint: Endpoint;
  readonly pid: number;
  readonly args: readonly string[];
  readonly env: readonly string[];
  /** SHA-256 of the program as it is in the file system, hex. */
  readonly programHash: string;
}

/** What the kernel does for its processes. */
export interface ProcessHost {
  readonly ipc: IpcKernel;
  readonly processor: Processor;
  /** Takes memory out of what the container may give to guests. @returns false when there is not so much. */
  reserve(bytes: number): boolean;
  release(bytes: number): void;
  /** `process` may run again. */
  wake(process: GuestProcess): void;
}

/** Globals, tables and the memory's size, of a process that has begun. */
export interface MachineState {
  readonly globals: GlobalValues;
  readonly tables: TableValues;
  readonly memoryPages: number;
}

interface GuestExports {
  readonly memory: WebAssembly.Memory;
  readonly _start: () => void;
  readonly asyncify_start_unwind: (data: number) => void;
  readonly asyncify_stop_unwind: () => void;
  readonly asyncify_start_rewind: (data: number) => void;
  readonly asyncify_stop_rewind: () => void;
  readonly 'drvs.fuel': WebAssembly.Global;
}

const NO_BYTES = new Uint8Array(0);
/** First guess of fuel units per millisecond, before the first measurement. */
const FUEL_PER_MS_AT_FIRST = 200_000;
const FUEL_LEAST = 1_000;
const FUEL_MOST = 0x7fff_ffff;

/**
 * A guest process: a portable image and the machine that it runs on at present.
 *
 * It never runs while anything else of the container does: between its turns its stack is unwound into `savedStack`,
 * so the rest (linear memory, globals, tables, this record) is all there is of it.
 */
export class GuestProcess implements Caller, Owner, Sleeper {
  readonly endpoint: Endpoint;
  readonly pid: number;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly programHash: string;

  readonly message = new Message();
  readonly scratch = new Float64Array(4);
  step = 0;
  outcome: number = OK;
  /** Bytes of the reply that ended a suspended call; null: the call ended at once and IPC still holds them. */
  reply: Uint8Array | null = NO_BYTES;

  /** Of its place: one more with each migration. */
  epoch = 1;
  wait: Wait = Wait.turn;
  /** In its own monotonic clock. */
  wakeAt = 0;
  /** The same in the container's. */
  alarmAt = 0;
  heapIndex = -1;
  isQueued = false;
  isStopped = false;
  isFrozen = false;
  /** It has begun, and its stack is in `savedStack`. */
  isSuspended = false;
  /** The call or safe point at which it was set aside is to be entered again. */
  isRewinding = false;
  isUnwinding = false;
  /** The call at which it was set aside had already its result. */
  hasResult = false;
  result = 0;
  /** Set: it is over (or will be when the call that it is in has unwound). */
  ending: Ending | null = null;

  savedStack: Uint8Array = NO_BYTES;
  savedStackBytes = 0;

  cpuMsUsed = 0;
  /** The process's monotonic clock is the container's plus this. */
  clockOffsetMs: number;
  memoryBytes: number;

  fuelPerMs = FUEL_PER_MS_AT_FIRST;
  #fuelGiven = 0;
  /** Time run since the fuel was given, without the present turn. */
  fuelMs = 0;

  #exports: GuestExports | null = null;
  #functionNames: FunctionNames = null;
  /** The machine's state while the process is put away. */
  #away: (MachineState & { parts: Uint8Array[] }) | null = null;
  #fuel!: WebAssembly.Global;
  #bytes!: Uint8Array;
  #view!: DataView;

  constructor(
    readonly host: ProcessHost,
    identity: ProcessIdentity,
    readonly module: CompiledModule,
  ) {
    this.endpoint = identity.endpoint;
    this.pid = identity.pid;
    this.args = identity.args;
    this.env = identity.env;
    this.programHash = identity.programHash;
    this.memoryBytes = module.meta.memory.initialPages * PAGE_BYTES;
    this.clockOffsetMs = -performance.now();
  }

  // ---- Caller

  bytes(): Uint8Array {
    return this.#bytes;
  }

  view(): DataView {
    return this.#view;
  }

  replyData(): Uint8Array {
    return this.reply ?? this.host.ipc.lastReplyData(this.endpoint);
  }

  sendrec(to: Endpoint, data?: Uint8Array): number {
    return this.settle(this.host.ipc.sendrec(this.endpoint, to, this.message, data));
  }

  /** Takes the answer of an IPC call of this process: ended at once, or to be waited for. */
  settle(status: number): number {
    if (status === SUSPENDED) {
      this.wait = Wait.ipc;
      return SUSPENDED;
    }
    this.outcome = status;
    this.reply = null;
    return status;
  }

  sleepUntil(monotonicMs: number): number {
    this.outcome = OK;
    this.wait = Wait.clock;
    this.wakeAt = monotonicMs;
    return SUSPENDED;
  }

  monotonicMs(): number {
    return performance.now() + this.clockOffsetMs;
  }

  realtimeMs(): number {
    return performance.timeOrigin + performance.now();
  }

  cpuMs(): number {
    return this.cpuMsUsed + this.host.processor.msOfTurn(this);
  }

  yield(): number {
    this.outcome = OK;
    return SUSPENDED;
  }

  exit(code: number): number {
    this.ending = endingOfExit(code);
    return SUSPENDED;
  }

  raise(number: number): number {
    const signal = signalByNumber(number);
    switch (signal?.action) {
      case 'terminate':
        this.ending = endingOfSignal(number);
        return SUSPENDED;
      case 'stop':
        this.isStopped = true;
        this.host.processor.attend();
        return OK;
      default:
        return OK;
    }
  }

  // ---- Owner

  onComplete(_self: Endpoint, status: number, message: Message, data: Uint8Array): void {
    this.outcome = status;
    if (message !== this.message) this.message.copyFrom(message);
    this.reply = data.length > 0 ? data.slice() : NO_BYTES;
    this.host.wake(this);
  }

  grantMemory(_self: Endpoint, offset: number, length: number): GrantMemory {
    // A process that was put away is made live again by whoever copies from it.
    return {
      offset,
      length,
      bytes: () => {
        this.materialize();
        return this.#bytes;
      },
    };
  }

  // ---- the machine

  get isLive(): boolean {
    return this.#exports !== null;
  }

  get canRun(): boolean {
    return this.wait === Wait.turn && !this.isStopped && !this.isFrozen && this.ending === null;
  }

  /** Makes the machine if there is none: about 0.1 ms. @throws when V8 has no address space for another memory. */
  materialize(): void {
    if (this.#exports !== null) return;
    const { exports } = new WebAssembly.Instance(this.module.module, this.host.processor.imports);
    this.#exports = exports as unknown as GuestExports;
    this.#fuel = this.#exports['drvs.fuel'];
    this.#fuelGiven = 0;
    this.#functionNames = nameFunctions(exports, this.module.meta);
    this.#refreshMemory();
    if (this.#away === null) return;
    const { parts, ...state } = this.#away;
    this.#away = null;
    this.prepareMachine(state.memoryPages);
    this.restoreMachine(state);
    for (const part of parts) applyPart(this.#bytes, part);
  }

  /** Gives the machine up and keeps only its bytes, until the next turn. */
  putAway(): void {
    if (this.#exports === null) return;
    if (this.isSuspended)
      this.#away = {
        ...this.captureMachine(),
        parts: Array.from(memoryParts(this.#bytes), (part) => part.slice()),
      };
    this.demolish();
  }

  /** The state of the machine, without the memory's contents: `memoryParts(bytes())` are those. */
  captureMachine(): MachineState {
    this.materialize();
    const exports = this.#exports as unknown as WebAssembly.Exports;
    return {
      globals: captureGlobals(exports, this.module.meta),
      tables: captureTables(exports, this.module.meta, this.#functionNames),
      memoryPages: this.#bytes.length / PAGE_BYTES,
    };
  }

  /** Makes a machine whose memory is so large and all zero, for `applyPart` to fill. */
  prepareMachine(memoryPages: number): void {
    this.materialize();
    // What instantiation has written: the same blocks in each machine of the module.
    this.module.dataBlocks ??= [...nonZeroBlocks(this.#bytes)];
    for (const block of this.module.dataBlocks) {
      this.#bytes.fill(0, block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
    }
    this.#growTo(memoryPages);
  }

  /** Takes on globals and tables, and the memory's size if it has grown since it was prepared. */
  restoreMachine({ globals, tables, memoryPages }: MachineState): void {
    const exports = this.#exports as unknown as WebAssembly.Exports;
    this.#growTo(memoryPages);
    restoreGlobals(exports, this.module.meta, globals);
    restoreTables(exports, this.module.meta, tables, this.#functionNames);
  }

  #growTo(memoryPages: number): void {
    const pages = this.#bytes.length / PAGE_BYTES;
    if (memoryPages <= pages) return;
    this.#exports!.memory.grow(memoryPages - pages);
    this.#refreshMemory();
  }

  /** All but the memory's contents, for the journey; the process is frozen and stays so. */
  pack(ipc: Uint8Array): PackedRecord {
    const hasBegun = this.isSuspended;
    const machine = hasBegun ? this.captureMachine() : null;
    const stack = this.savedStack.subarray(0, this.savedStackBytes);
    const reply = this.replyData();
    const record: ProcessRecord = {
      loaderVersion: LOADER_VERSION,
      endpoint: this.endpoint,
      pid: this.pid,
      args: this.args,
      env: this.env,
      programHash: this.programHash,
      isSuspended: hasBegun,
      memoryPages: machine?.memoryPages ?? this.module.meta.memory.initialPages,
      globals: machine?.globals ?? [],
      tables: machine?.tables ?? [],
      wait: this.wait,
      wakeAt: Number.isFinite(this.wakeAt) ? this.wakeAt : null,
      isStopped: this.isStopped,
      step: this.step,
      scratch: [...this.scratch].map(bitsOf),
      outcome: this.outcome,
      hasResult: this.hasResult,
      result: this.result,
      monotonicMs: this.monotonicMs(),
      cpuMs: this.cpuMsUsed,
      message: [...this.message.words],
      stackBytes: stack.length,
      replyBytes: reply.length,
    };
    return { record, stack, reply, ipc };
  }

  /** The other side of `pack`: everything but the machine, which `restoreMachine` takes on. */
  takeOn({ record, stack, reply }: PackedRecord): void {
    this.memoryBytes = record.memoryPages * PAGE_BYTES;
    this.clockOffsetMs = record.monotonicMs - performance.now();
    this.isSuspended = record.isSuspended;
    this.savedStack = stack;
    this.savedStackBytes = stack.length;
    this.reply = reply;
    this.wait = record.wait;
    this.wakeAt = record.wakeAt ?? Number.POSITIVE_INFINITY;
    this.isStopped = record.isStopped;
    this.step = record.step;
    this.scratch.set(record.scratch.map(numberOfBits));
    this.outcome = record.outcome;
    this.hasResult = record.hasResult;
    this.result = record.result;
    this.cpuMsUsed = record.cpuMs;
    this.message.words.set(record.message);
  }

  /** Forgets the machine; the memory goes with it. */
  demolish(): void {
    this.#exports = null;
    this.#functionNames = null;
    this.#bytes = NO_BYTES;
  }

  #refreshMemory(): void {
    const { buffer } = this.#exports!.memory;
    this.#bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
    this.memoryBytes = buffer.byteLength;
  }

  /** `memory.grow` of the guest. @returns the former size in pages, or -1. */
  grow(pages: number): number {
    const { memory } = this.#exports!;
    const before = memory.buffer.byteLength / PAGE_BYTES;
    const more = pages >>> 0;
    if (more === 0) return before;
    if (before + more > 65_536 || !this.host.reserve(more * PAGE_BYTES)) return -1;
    try {
      memory.grow(more);
    } catch {
      // The module's own maximum, or the host has no more: both are an ordinary -1 to the guest.
      this.host.release(more * PAGE_BYTES);
      return -1;
    }
    this.#refreshMemory();
    return before;
  }

  /** Runs until the guest is set aside or over. Only the processor calls this. */
  enter(): void {
    const { processor } = this.host;
    const guest = this.#exports!;
    try {
      if (this.isSuspended) {
        processor.loadStack(this.savedStack, this.savedStackBytes);
        this.isSuspended = false;
        this.isRewinding = true;
        guest.asyncify_start_rewind(processor.stackHeader);
      }
      guest._start();
      if (this.isUnwinding) {
        guest.asyncify_stop_unwind();
        this.isUnwinding = false;
        this.isSuspended = true;
        if (this.ending === null) processor.storeStack(this);
      } else {
        this.ending ??= endingOfExit(0);
      }
    } catch (error) {
      this.ending ??= endingOfTrap(error, this.isUnwinding);
      const isOfGuest =
        error instanceof Error && (error.name === 'RuntimeError' || error.name === 'RangeError');
      if (!isOfGuest) console.error(`a system call of process ${this.pid} failed:`, error);
    }
  }

  /** The guest has come back to the import where it was set aside. */
  arrive(): void {
    this.isRewinding = false;
    this.#exports!.asyncify_stop_rewind();
  }

  /** From within an import: the stack is unwound as soon as the import returns. */
  leave(): void {
    this.isUnwinding = true;
    this.host.processor.clearStack();
    this.#exports!.asyncify_start_unwind(this.host.processor.stackHeader);
  }

  /** Sets the process aside at a call whose result is known already. */
  leaveWith(result: number): void {
    this.hasResult = true;
    this.result = result;
    this.leave();
  }

  // ---- fuel

  /** Gives fuel for about so many milliseconds. */
  refuel(ms: number): void {
    this.fuelMs = 0;
    this.#fuelGiven = Math.min(FUEL_MOST, Math.max(FUEL_LEAST, Math.round(this.fuelPerMs * ms)));
    this.#fuel.value = this.#fuelGiven;
  }

  /** The fuel given has lasted `ms`: corrects the estimate, faster upwards, so that one stall does not starve it. */
  measureFuel(ms: number): void {
    if (this.#fuelGiven === 0 || ms <= 0) return;
    const rate = this.#fuelGiven / ms;
    this.fuelPerMs += (rate - this.fuelPerMs) * (rate > this.fuelPerMs ? 0.5 : 0.25);
  }

  get hasFuel(): boolean {
    return this.#fuelGiven !== 0;
  }
}

const eight = new DataView(new ArrayBuffer(8));

/** JSON has no infinity and no NaN: a double travels as its bits. */
function bitsOf(value: number): string {
  eight.setFloat64(0, value);
  return eight.getBigUint64(0).toString(16);
}

function numberOfBits(bits: string): number {
  eight.setBigUint64(0, BigInt(`0x${bits}`));
  return eight.getFloat64(0);
}
