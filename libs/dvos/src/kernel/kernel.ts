import { crc32 } from 'node:zlib';
import { DrvsError } from '@drvs/contracts';
import {
  type Endpoint,
  formatEndpoint,
  type IpcKernel,
  OK,
  PEER_PRIVILEGES,
  statusName,
} from '@drvs/drvmm-core';
import { type Ending, endingOfSignal } from './ending.js';
import { packRecord, unpackRecord } from './image.js';
import { applyPart, BLOCK_BYTES, changedBlocks, damaged, memoryParts, PART_BYTES } from './machine-state.js';
import type { CompiledModule, Modules } from './modules.js';
import { GuestProcess, PAGE_BYTES, type ProcessHost, type ProcessIdentity, Wait } from './process.js';
import type { Processor } from './processor.js';
import { Scheduler } from './scheduler.js';
import { signalByNumber } from './signals.js';

/** What one container knows of a process of its own. */
export interface ProcessCounters {
  readonly endpoint: number;
  readonly pid: number;
  readonly state: 'running' | 'waiting' | 'stopped' | 'migrating';
  readonly cpuMs: number;
  readonly memoryBytes: number;
}

/** A process before its record has come. */
export interface ProcessOutline extends ProcessIdentity {
  readonly memoryPages: number;
}

/** Migrations remembered as called off: more than can be under way in a DRVM. */
const CALLED_OFF_MOST = 4096;

export interface KernelOptions {
  readonly ipc: IpcKernel;
  readonly processor: Processor;
  readonly modules: Modules;
  /** Memory that all guests of this container may have together. */
  readonly memoryLimitBytes: number;
  /** WebAssembly instances alive at a time; more processes are put away in turn. */
  readonly liveMachinesMost?: number;
  /** A process of this container has ended and is gone from it. */
  onEnded(identity: ProcessIdentity, ending: Ending, cpuMs: number): void;
}

/**
 * The guest processes of one container: starting, signals, freezing and moving. Everything here is synchronous and is
 * called between the turns of guests, never from within one, but for `signal` and the parts of ProcessHost.
 */
export class Kernel implements ProcessHost {
  readonly ipc: IpcKernel;
  readonly processor: Processor;
  readonly modules: Modules;
  readonly scheduler: Scheduler;
  readonly #processes = new Map<Endpoint, GuestProcess>();
  /** By the migration's id. */
  readonly #arrivals = new Map<number, Arrival>();
  readonly #calledOff = new Set<number>();
  readonly #onEnded: KernelOptions['onEnded'];
  #memoryLimitBytes: number;
  #memoryBytes = 0;

  constructor(options: KernelOptions) {
    this.ipc = options.ipc;
    this.processor = options.processor;
    this.modules = options.modules;
    this.#memoryLimitBytes = options.memoryLimitBytes;
    this.#onEnded = options.onEnded;
    this.scheduler = new Scheduler(
      options.processor,
      (process) => this.#bury(process),
      options.liveMachinesMost,
    );
  }

  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  get memoryLimitBytes(): number {
    return this.#memoryLimitBytes;
  }

  /** A lower limit takes memory from nobody: it only stops growth until enough has ended. */
  set memoryLimitBytes(bytes: number) {
    this.#memoryLimitBytes = bytes;
  }

  get size(): number {
    return this.#processes.size;
  }

  // ---- ProcessHost

  reserve(bytes: number): boolean {
    if (this.#memoryBytes + bytes > this.#memoryLimitBytes) return false;
    this.#memoryBytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#memoryBytes -= bytes;
  }

  wake(process: GuestProcess): void {
    this.scheduler.wake(process);
  }

  // ---- processes

  has(endpoint: Endpoint): boolean {
    return this.#processes.has(endpoint);
  }

  counters(): ProcessCounters[] {
    return [...this.#processes.values()].map((process) => ({
      endpoint: process.endpoint,
      pid: process.pid,
      state: stateOf(process),
      cpuMs: process.cpuMsUsed,
      memoryBytes: process.memoryBytes,
    }));
  }

  /** @throws DrvsError ProgramTooLarge (never fits here), InsufficientResources (not now). */
  start(identity: ProcessIdentity, module: CompiledModule): void {
    if (this.#processes.has(identity.endpoint)) return;
    this.#makeRoom(module.meta.memory.initialPages * PAGE_BYTES, identity.args[0] ?? 'the program');
    const process = new GuestProcess(this, identity, module);
    this.modules.retain(module);
    this.#processes.set(process.endpoint, process);
    this.ipc.bind(process.endpoint, 'process', process, PEER_PRIVILEGES);
    this.scheduler.admit(process);
  }

  /** @returns whether there is such a process here. `reason` is told to who asks how it ended. */
  signal(endpoint: Endpoint, number: number, reason: string | null = null): boolean {
    const process = this.#processes.get(endpoint);
    if (process === undefined) return false;
    switch (signalByNumber(number)?.action) {
      case 'terminate':
        this.end(endpoint, endingOfSignal(number, reason));
        break;
      case 'stop':
        process.isStopped = true;
        if (process === this.processor.current) this.processor.attend();
        break;
      case 'continue':
        process.isStopped = false;
        this.scheduler.admit(process);
        break;
    }
    return true;
  }

  end(endpoint: Endpoint, ending: Ending): void {
    const process = this.#processes.get(endpoint);
    if (process === undefined || process.ending !== null) return;
    process.ending = ending;
    // The one that runs is buried by the scheduler when its turn is over.
    if (process === this.processor.current) this.processor.attend();
    else this.#bury(process);
  }

  endAll(ending: Ending): void {
    for (const id of [...this.#arrivals.keys()]) this.callOff(id);
    for (const endpoint of [...this.#processes.keys()]) this.end(endpoint, ending);
  }

  close(): void {
    this.scheduler.close();
  }

  // ---- migration: the side that the process leaves

  /** Stops the process where it is. @throws DrvsError StateConflict when IPC cannot let go of it now. */
  freeze(endpoint: Endpoint): void {
    const process = this.#resident(endpoint);
    if (process.isFrozen) return;
    const status = this.ipc.freeze(endpoint);
    if (status !== OK) {
      throw new DrvsError(
        'StateConflict',
        `process ${process.pid} cannot be frozen now (${statusName(status)})`,
        {
          hint: 'Try again in a moment.',
        },
      );
    }
    process.isFrozen = true;
    this.scheduler.withdraw(process);
  }

  /** Goes on as if nothing had been. */
  thaw(endpoint: Endpoint): void {
    const process = this.#processes.get(endpoint);
    if (process === undefined || !process.isFrozen) return;
    this.ipc.rollback(endpoint);
    process.isFrozen = false;
    this.scheduler.admit(process);
  }

  /** What a target must know of a process to make ready for it; null when it has not begun. */
  outline(endpoint: Endpoint): ProcessOutline | null {
    const process = this.#resident(endpoint);
    if (!process.isSuspended) return null;
    const { pid, args, env, programHash, memoryBytes } = process;
    return { endpoint, pid, args, env, programHash, memoryPages: memoryBytes / PAGE_BYTES };
  }

  /**
   * What the memory of a process that goes on meanwhile has besides `shadow` (all zero before the first copy), in parts;
   * `shadow` becomes what they say. Between two parts the process may run, grow, or end (then there are no more).
   */
  *preCopy(endpoint: Endpoint, shadow: Uint8Array): Generator<Uint8Array> {
    for (let at = 0; at < shadow.length; at += PART_BYTES) {
      const process = this.#processes.get(endpoint);
      if (process === undefined) return;
      process.materialize();
      const piece = shadow.subarray(at, at + PART_BYTES);
      const memory = process.bytes().subarray(at, at + piece.length);
      const blocks = [...changedBlocks(memory, piece)];
      if (blocks.length === 0) continue;
      piece.set(memory);
      yield* memoryParts(piece, blocks, at / BLOCK_BYTES);
    }
  }

  /**
   * A frozen process as it travels: its record, and its memory in parts made one at a time, without what the target
   * has of it by `preCopy`.
   */
  depart(
    endpoint: Endpoint,
    shadow: Uint8Array | null = null,
  ): { record: Uint8Array; parts: Iterable<Uint8Array> } {
    const process = this.#resident(endpoint);
    if (!process.isFrozen) throw new DrvsError('Internal', `process ${process.pid} is not frozen`);
    const record = packRecord(process.pack(this.ipc.extract(endpoint)));
    if (!process.isSuspended) return { record, parts: [] };
    const memory = process.bytes();
    const blocks = shadow === null ? undefined : changedBlocks(memory, shadow);
    return { record, parts: memoryParts(memory, blocks) };
  }

  /** The process lives at `to` now: what is left of it here goes, and who still speaks to it here is sent there. */
  departed(endpoint: Endpoint, to: number, epoch: number): void {
    const process = this.#processes.get(endpoint);
    // Not frozen, or come back under a later epoch: this is the echo of an earlier departure.
    if (process === undefined || !process.isFrozen || process.epoch >= epoch) return;
    this.ipc.commitAway(endpoint, to, epoch);
    this.#remove(process);
  }

  // ---- migration: the side that it comes to

  /**
   * A process will come by migration `id`: makes room and a machine for it.
   * @throws DrvsError when there is no room, or the migration was called off before.
   */
  expect(id: number, outline: ProcessOutline, hasBegun = true): void {
    if (this.#calledOff.has(id)) throw new DrvsError('MigrationFailed', 'the migration was called off');
    if (this.#arrivals.has(id)) throw new DrvsError('MigrationFailed', 'the process is arriving already');
    const { pid, programHash, memoryPages } = outline;
    const module = this.modules.get(programHash);
    if (module === undefined) {
      throw new DrvsError('MigrationFailed', `the program of process ${pid} is not on the target yet`);
    }
    const bytes = memoryPages * PAGE_BYTES;
    this.#makeRoom(bytes, `process ${pid}`);
    const process = new GuestProcess(this, outline, module);
    try {
      if (hasBegun) process.prepareMachine(memoryPages);
    } catch (error) {
      this.release(bytes);
      throw new DrvsError('MigrationFailed', `the target cannot take on process ${pid}: ${String(error)}`, {
        cause: error,
      });
    }
    process.memoryBytes = bytes;
    process.isFrozen = true;
    this.modules.retain(module);
    this.#arrivals.set(id, { process, ipc: null, checksum: 0, isInstalled: false });
  }

  /** The record of migration `id` has come. @throws DrvsError as `expect`, and when the record is not whole. */
  arrive(id: number, recordBytes: Uint8Array): void {
    const packed = unpackRecord(recordBytes);
    const { record } = packed;
    if (!this.#arrivals.has(id)) {
      const outline = { ...record, endpoint: record.endpoint as Endpoint };
      this.expect(id, outline, record.isSuspended);
    }
    const arrival = this.#arriving(id);
    const { process } = arrival;
    const more = record.memoryPages * PAGE_BYTES - process.memoryBytes;
    if (more > 0) {
      this.#makeRoom(more, `process ${record.pid}`);
      process.memoryBytes += more;
    }
    if (record.isSuspended) process.restoreMachine(record);
    process.takeOn(packed);
    arrival.ipc = packed.ipc;
    arrival.checksum = crc32(recordBytes, arrival.checksum);
  }

  addPart(id: number, part: Uint8Array): void {
    const arrival = this.#arriving(id);
    applyPart(arrival.process.bytes(), part);
    arrival.checksum = crc32(part, arrival.checksum);
  }

  /** All has arrived: compares it with the source's checksum (image.ts) and binds the process, frozen. */
  install(id: number, checksum: number): void {
    const arrival = this.#arriving(id);
    if (arrival.isInstalled) return;
    if (arrival.checksum !== checksum) {
      throw damaged(`checksum ${arrival.checksum.toString(16)}, sent as ${checksum.toString(16)}`);
    }
    if (arrival.ipc === null) throw damaged('its record is missing');
    this.ipc.install(arrival.process.endpoint, arrival.process, PEER_PRIVILEGES, arrival.ipc);
    arrival.isInstalled = true;
  }

  isInstalled(id: number): boolean {
    return this.#arrivals.get(id)?.isInstalled ?? false;
  }

  /** It lives here from now on. Asked again, it has done so. */
  activate(id: number, endpoint: Endpoint, epoch: number): void {
    if (!this.#arrivals.has(id) && (this.#processes.get(endpoint)?.epoch ?? 0) >= epoch) return;
    const { process, isInstalled } = this.#arriving(id);
    if (!isInstalled) throw new DrvsError('Internal', `process ${process.pid} has not arrived whole`);
    this.#arrivals.delete(id);
    this.#processes.set(endpoint, process);
    process.epoch = epoch;
    this.ipc.activate(endpoint, epoch);
    process.isFrozen = false;
    this.scheduler.adopt(process);
  }

  /** It does not come after all, whatever of it may still arrive. */
  callOff(id: number): void {
    this.#calledOff.add(id);
    for (const oldest of this.#calledOff) {
      if (this.#calledOff.size <= CALLED_OFF_MOST) break;
      this.#calledOff.delete(oldest);
    }
    const arrival = this.#arrivals.get(id);
    if (arrival === undefined) return;
    this.#arrivals.delete(id);
    if (arrival.isInstalled) this.ipc.rollback(arrival.process.endpoint);
    this.release(arrival.process.memoryBytes);
    this.modules.release(arrival.process.module);
    arrival.process.demolish();
  }

  #resident(endpoint: Endpoint): GuestProcess {
    const process = this.#processes.get(endpoint);
    if (process === undefined || process.ending !== null) {
      throw new DrvsError('NotFound', `there is no process at ${formatEndpoint(endpoint)} on this node`);
    }
    if (process === this.processor.current)
      throw new DrvsError('Internal', `process ${process.pid} is running`);
    return process;
  }

  #arriving(id: number): Arrival {
    const arrival = this.#arrivals.get(id);
    if (arrival === undefined)
      throw new DrvsError('MigrationFailed', `no process is arriving by migration ${id}`);
    return arrival;
  }

  #makeRoom(bytes: number, what: string): void {
    if (this.reserve(bytes)) return;
    const mib = (value: number) => `${Math.ceil(value / 1_048_576)} MiB`;
    const limit = mib(this.#memoryLimitBytes);
    if (bytes > this.#memoryLimitBytes) {
      throw new DrvsError(
        'ProgramTooLarge',
        `${what} needs ${mib(bytes)}; the DRVM has ${limit} for programs there`,
        {
          hint: 'Give the DRVM more memory on that node, or start the program on a node where it has more.',
        },
      );
    }
    const free = mib(this.#memoryLimitBytes - this.#memoryBytes);
    throw new DrvsError(
      'InsufficientResources',
      `${what} needs ${mib(bytes)}; ${free} of ${limit} are free there`,
      {
        hint: 'End other programs of the DRVM on that node, or choose another node.',
      },
    );
  }

  #bury(process: GuestProcess): void {
    this.ipc.unbind(process.endpoint);
    this.#remove(process);
    this.#onEnded(process, process.ending!, process.cpuMsUsed);
  }

  #remove(process: GuestProcess): void {
    this.scheduler.forget(process);
    this.#processes.delete(process.endpoint);
    this.release(process.memoryBytes);
    this.modules.release(process.module);
    process.demolish();
  }
}

interface Arrival {
  readonly process: GuestProcess;
  /** Of the record; null before it has come. */
  ipc: Uint8Array | null;
  /** Of the record and the parts, in the order of their sending. */
  checksum: number;
  isInstalled: boolean;
}

function stateOf(process: GuestProcess): ProcessCounters['state'] {
  if (process.isFrozen) return 'migrating';
  if (process.isStopped) return 'stopped';
  return process.wait === Wait.turn ? 'running' : 'waiting';
}
