import { DRVS_MODULE, FUEL, knownImport, MEMORY_GROW, SAFEPOINT, STACK_MEMORY } from './imports.js';
import { type ModuleMeta, readMeta, STACK_HEADER_BYTES } from './meta.js';

/**
 * The smallest kernel that runs one instrumented program: for the loader's own tests and benchmarks, which must not
 * depend on the real one. It can take the process out of its instance at any suspension and go on in a fresh one.
 */
export interface MiniatureOptions {
  args?: string[];
  stdin?: Uint8Array;
  /** units of fuel between safe points */
  fuel?: number;
  /** bytes of the process's stack slot; by default what the module asks for */
  stackBytes?: number;
  /** at this suspension: go on in place, unwind and rewind, or be moved into a fresh instance */
  at?: (place: 'safepoint' | 'call', suspension: number) => 'stay' | 'unwind' | 'move';
  /** stops a program that never ends, after so many suspensions */
  maximumSuspensions?: number;
}

export interface MiniatureResult {
  output: Uint8Array;
  exitCode: number;
  suspensions: number;
  moves: number;
  /** bytes of unwound stack at the largest */
  deepestStack: number;
  memory: Uint8Array;
}

type Call = (...values: (number | bigint)[]) => number | bigint | undefined;
type Asyncify = Record<'start_unwind' | 'start_rewind', (slot: number) => void> &
  Record<'stop_unwind' | 'stop_rewind', () => void> & { get_state: () => number };

const PAGE = 65536;
const UNWINDING = 1;
const REWINDING = 2;
const BADF = 8;

export class StoppedByTest extends Error {}
class Exited extends Error {
  constructor(readonly code: number) {
    super(`exit ${code}`);
  }
}

/** What a process is while it does not run. */
interface Image {
  memory: Uint8Array;
  globals: (number | bigint)[];
  fuel: number;
  /** the slot without its header */
  stack: Uint8Array;
}

export class Miniature {
  private readonly module: WebAssembly.Module;
  private readonly meta: ModuleMeta;
  private readonly stackMemory: WebAssembly.Memory;
  private readonly slots: number;
  private slot = 0;
  private instance!: WebAssembly.Instance;
  private memory!: WebAssembly.Memory;
  private fuel!: WebAssembly.Global<number>;
  private globals: WebAssembly.Global[] = [];
  private asyncify!: Asyncify;
  private output: Uint8Array[] = [];
  private stdinAt = 0;
  private suspensions = 0;
  private moves = 0;
  private deepestStack = 0;
  private wanted: 'stay' | 'unwind' | 'move' = 'stay';
  private readonly fuelSlice: number;
  private readonly args: Uint8Array[];

  constructor(
    instrumented: Uint8Array,
    private readonly options: MiniatureOptions = {},
  ) {
    this.module = new WebAssembly.Module(instrumented);
    const meta = readMeta(instrumented);
    this.meta = { ...meta, stackBytes: options.stackBytes ?? meta.stackBytes };
    this.fuelSlice = options.fuel ?? 100_000;
    this.args = (options.args ?? ['program']).map((text) => new TextEncoder().encode(`${text}\0`));
    const slotPages = Math.ceil(this.meta.stackBytes / PAGE);
    this.slots = 4;
    this.stackMemory = new WebAssembly.Memory({ initial: slotPages * this.slots, maximum: 65536 });
    this.instantiate();
  }

  run(): MiniatureResult {
    const start = () => (this.instance.exports._start as () => void)();
    let exitCode = 0;
    try {
      start();
      while (this.asyncify.get_state() === UNWINDING) {
        this.asyncify.stop_unwind();
        this.deepestStack = Math.max(this.deepestStack, this.stackUsed());
        if (this.wanted === 'move') this.moveToFreshInstance();
        this.asyncify.start_rewind(this.slot);
        start();
      }
    } catch (error) {
      if (!(error instanceof Exited)) throw error;
      exitCode = error.code;
    }
    const total = new Uint8Array(this.output.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of this.output) {
      total.set(part, at);
      at += part.length;
    }
    const { suspensions, moves, deepestStack } = this;
    return { output: total, exitCode, suspensions, moves, deepestStack, memory: this.bytes() };
  }

  private bytes(): Uint8Array {
    return new Uint8Array(this.memory.buffer);
  }

  private header(): Int32Array {
    return new Int32Array(this.stackMemory.buffer, this.slot, STACK_HEADER_BYTES / 4);
  }

  private stackUsed(): number {
    return this.header()[0]! - this.slot - STACK_HEADER_BYTES;
  }

  private instantiate(): void {
    this.instance = new WebAssembly.Instance(this.module, this.imports());
    const { exports } = this.instance;
    this.memory = exports.memory as WebAssembly.Memory;
    this.fuel = exports[FUEL] as WebAssembly.Global<number>;
    this.fuel.value = this.fuelSlice;
    this.globals = this.meta.globals.map(({ export: name }) => exports[name] as WebAssembly.Global);
    this.asyncify = Object.fromEntries(
      ['start_unwind', 'stop_unwind', 'start_rewind', 'stop_rewind', 'get_state'].map((name) => [
        name,
        exports[`asyncify_${name}`],
      ]),
    ) as unknown as Asyncify;
    this.header().set([this.slot + STACK_HEADER_BYTES, this.slot + this.meta.stackBytes]);
  }

  private moveToFreshInstance(): void {
    this.moves++;
    const image: Image = {
      memory: this.bytes().slice(),
      globals: this.globals.map(({ value }) => value),
      fuel: this.fuel.value,
      stack: new Uint8Array(
        this.stackMemory.buffer,
        this.slot + STACK_HEADER_BYTES,
        this.stackUsed(),
      ).slice(),
    };
    const slotBytes = Math.ceil(this.meta.stackBytes / PAGE) * PAGE;
    new Uint8Array(this.stackMemory.buffer, this.slot, this.meta.stackBytes).fill(0xa5);
    this.slot = (this.slot + slotBytes) % (slotBytes * this.slots);
    this.instantiate();
    const missing = (image.memory.length - this.memory.buffer.byteLength) / PAGE;
    if (missing > 0) this.memory.grow(missing);
    this.bytes().set(image.memory);
    for (const [i, value] of image.globals.entries()) this.globals[i]!.value = value;
    this.fuel.value = image.fuel;
    new Uint8Array(this.stackMemory.buffer).set(image.stack, this.slot + STACK_HEADER_BYTES);
    this.header()[0] = this.slot + STACK_HEADER_BYTES + image.stack.length;
  }

  /** Suspends if the test wants it; true: unwinding has begun and the import must return at once. */
  private suspends(place: 'safepoint' | 'call'): boolean {
    if (this.asyncify.get_state() === REWINDING) {
      this.asyncify.stop_rewind();
      return false;
    }
    if (++this.suspensions > (this.options.maximumSuspensions ?? Number.POSITIVE_INFINITY))
      throw new StoppedByTest(`after ${this.suspensions} suspensions`);
    this.wanted = this.options.at?.(place, this.suspensions) ?? 'stay';
    if (this.wanted === 'stay') return false;
    this.asyncify.start_unwind(this.slot);
    return true;
  }

  private imports(): WebAssembly.Imports {
    const imports: WebAssembly.Imports = {
      [DRVS_MODULE]: {
        [STACK_MEMORY]: this.stackMemory,
        [SAFEPOINT]: () => {
          if (!this.suspends('safepoint')) this.fuel.value = this.fuelSlice;
        },
        [MEMORY_GROW]: (pages: number) => {
          try {
            return this.memory.grow(pages >>> 0);
          } catch {
            return -1;
          }
        },
      },
    };
    const calls = this.calls();
    for (const { module, name } of this.meta.imports) {
      const call: Call = calls[name] ?? (() => 52);
      const isBlocking = knownImport(module, name)?.kind === 'blocking';
      imports[module] ??= {};
      imports[module][name] = isBlocking
        ? (...values: (number | bigint)[]) => (this.suspends('call') ? 0 : call(...values))
        : call;
    }
    return imports;
  }

  private calls(): Record<string, Call> {
    const view = () => new DataView(this.memory.buffer);
    const each = (vectors: number, count: number): Uint8Array[] =>
      Array.from({ length: count }, (_, i) =>
        this.bytes().subarray(
          view().getUint32(vectors + 8 * i, true),
          view().getUint32(vectors + 8 * i, true) + view().getUint32(vectors + 8 * i + 4, true),
        ),
      );
    return {
      args_sizes_get: (count, size) => {
        view().setUint32(Number(count), this.args.length, true);
        view().setUint32(
          Number(size),
          this.args.reduce((sum, { length }) => sum + length, 0),
          true,
        );
        return 0;
      },
      args_get: (pointers, buffer) => {
        let at = Number(buffer);
        for (const [i, arg] of this.args.entries()) {
          view().setUint32(Number(pointers) + 4 * i, at, true);
          this.bytes().set(arg, at);
          at += arg.length;
        }
        return 0;
      },
      environ_sizes_get: (count, size) => {
        view().setUint32(Number(count), 0, true);
        view().setUint32(Number(size), 0, true);
        return 0;
      },
      environ_get: () => 0,
      clock_time_get: (_id, _precision, result) => {
        view().setBigUint64(Number(result), 0n, true);
        return 0;
      },
      random_get: (pointer, length) => {
        this.bytes().fill(7, Number(pointer), Number(pointer) + Number(length));
        return 0;
      },
      fd_write: (fd, vectors, count, written) => {
        if (fd !== 1 && fd !== 2) return BADF;
        let total = 0;
        for (const part of each(Number(vectors), Number(count))) {
          this.output.push(part.slice());
          total += part.length;
        }
        view().setUint32(Number(written), total, true);
        return 0;
      },
      fd_read: (fd, vectors, count, result) => {
        if (fd !== 0) return BADF;
        const stdin = this.options.stdin ?? new Uint8Array();
        let total = 0;
        for (const part of each(Number(vectors), Number(count))) {
          const chunk = stdin.subarray(this.stdinAt, this.stdinAt + part.length);
          part.set(chunk);
          this.stdinAt += chunk.length;
          total += chunk.length;
        }
        view().setUint32(Number(result), total, true);
        return 0;
      },
      fd_fdstat_get: (fd, result) => {
        if (Number(fd) > 2) return BADF;
        this.bytes().fill(0, Number(result), Number(result) + 24);
        view().setUint8(Number(result), 2);
        return 0;
      },
      fd_seek: () => 70,
      fd_close: () => 0,
      fd_prestat_get: () => BADF,
      sched_yield: () => 0,
      yield: () => 0,
      getpid: () => 42,
      getppid: () => 1,
      node_index: () => 0,
      node_count: () => 1,
      node_name: () => 0,
      endpoint: () => 29,
      proc_exit: (code) => {
        throw new Exited(Number(code));
      },
    };
  }
}
