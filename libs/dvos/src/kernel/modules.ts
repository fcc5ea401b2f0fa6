import { type ModuleMeta, readMeta } from '../loader/meta.js';

/** An instrumented program, compiled, with what the kernel must know of it. */
export interface CompiledModule {
  /** SHA-256 of the program before instrumentation, hex: its name everywhere. */
  readonly hash: string;
  readonly module: WebAssembly.Module;
  readonly meta: ModuleMeta;
  /** The instrumented bytes, for containers that do not have it yet. */
  readonly bytes: Uint8Array;
  /** Blocks of the memory that are not zero after instantiation; found when a process is first restored. */
  dataBlocks: readonly number[] | null;
}

/** Instrumented bytes kept at most while no process runs them. V8's code for them is some times as large. */
const IDLE_BYTES_MOST = 32 * 1024 * 1024;

/**
 * The compiled programs of a container by hash. Processes of the same program share one (and V8's optimised code);
 * those that no process uses are forgotten, the longest unused first, when they exceed IDLE_BYTES_MOST.
 */
export class Modules {
  readonly #compiled = new Map<string, { module: CompiledModule; users: number }>();
  readonly #underWay = new Map<string, Promise<CompiledModule>>();

  has(hash: string): boolean {
    return this.#compiled.has(hash) || this.#underWay.has(hash);
  }

  /** The module if it is here, counted as used just now. */
  get(hash: string): CompiledModule | undefined {
    const entry = this.#compiled.get(hash);
    if (entry === undefined) return undefined;
    this.#compiled.delete(hash);
    this.#compiled.set(hash, entry);
    return entry.module;
  }

  /** Compiles off the thread. @throws DrvsError when `bytes` are not an instrumented module. */
  async add(hash: string, bytes: Uint8Array): Promise<CompiledModule> {
    const known = this.get(hash);
    if (known) return known;
    let compiling = this.#underWay.get(hash);
    if (compiling === undefined) {
      compiling = this.#compile(hash, bytes);
      this.#underWay.set(hash, compiling);
    }
    return compiling;
  }

  retain(module: CompiledModule): void {
    const entry = this.#compiled.get(module.hash);
    if (entry) entry.users++;
    else this.#compiled.set(module.hash, { module, users: 1 });
  }

  release(module: CompiledModule): void {
    const entry = this.#compiled.get(module.hash);
    if (entry) entry.users--;
    this.#forgetIdle();
  }

  async #compile(hash: string, bytes: Uint8Array): Promise<CompiledModule> {
    try {
      const meta = readMeta(bytes);
      const module: CompiledModule = {
        hash,
        meta,
        bytes,
        dataBlocks: null,
        module: await WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>),
      };
      this.#compiled.set(hash, { module, users: 0 });
      this.#forgetIdle();
      return module;
    } finally {
      this.#underWay.delete(hash);
    }
  }

  #forgetIdle(): void {
    let idle = 0;
    for (const { module, users } of this.#compiled.values()) if (users === 0) idle += module.bytes.length;
    for (const [hash, { module, users }] of this.#compiled) {
      if (idle <= IDLE_BYTES_MOST) return;
      if (users > 0) continue;
      this.#compiled.delete(hash);
      idle -= module.bytes.length;
    }
  }
}
