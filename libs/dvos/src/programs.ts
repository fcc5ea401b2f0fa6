import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DrvsError } from '@drvs/contracts';
import { LOADER_VERSION } from './loader/meta.js';

/** A program larger than this is refused: it would not fit a frame once instrumented. */
export const PROGRAM_BYTES_MOST = 32 * 1024 * 1024;
/** Instrumented programs kept on disk; the longest unused go first. */
const DISK_BYTES_MOST = 512 * 1024 * 1024;

export type Instrument = (sha256: string, module: Uint8Array) => Promise<Uint8Array>;

/**
 * The instrumented programs of a DRVM, by the SHA-256 of the program. Instrumenting takes seconds, so the results are
 * kept in the data folder, under the loader's version; each is made once even when many ask at a time.
 */
export class Programs {
  readonly #folder: string;
  readonly #underWay = new Map<string, Promise<Uint8Array>>();

  constructor(
    dataFolder: string,
    private readonly instrument: Instrument,
  ) {
    this.#folder = join(dataFolder, 'modules', LOADER_VERSION);
  }

  async open(): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    for (const name of await readdir(this.#folder)) {
      // A write that a crash cut short.
      if (!name.endsWith('.wasm')) await rm(join(this.#folder, name), { force: true });
    }
  }

  hashOf(program: Uint8Array): string {
    return createHash('sha256').update(program).digest('hex');
  }

  /** The instrumented program. `program` is asked for only when it has not been instrumented before. */
  instrumented(hash: string, program: Uint8Array | null): Promise<Uint8Array> {
    let making = this.#underWay.get(hash);
    if (making === undefined) {
      making = this.#make(hash, program).finally(() => this.#underWay.delete(hash));
      this.#underWay.set(hash, making);
    }
    return making;
  }

  /** The instrumented form of a program that was made elsewhere. */
  async keep(hash: string, instrumented: Uint8Array): Promise<void> {
    await this.#write(hash, instrumented);
  }

  async #make(hash: string, program: Uint8Array | null): Promise<Uint8Array> {
    const path = join(this.#folder, `${hash}.wasm`);
    try {
      const bytes = await readFile(path);
      const now = new Date();
      await utimes(path, now, now);
      return bytes;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    if (program === null) {
      throw new DrvsError(
        'NotFound',
        `the program ${hash.slice(0, 12)} is no longer kept in instrumented form`,
        {
          hint: 'Start the program again from its file.',
        },
      );
    }
    const bytes = await this.instrument(hash, program);
    await this.#write(hash, bytes);
    return bytes;
  }

  async #write(hash: string, bytes: Uint8Array): Promise<void> {
    // A container that became home by a move has never opened the folder.
    await mkdir(this.#folder, { recursive: true });
    const half = join(this.#folder, `${hash}.half`);
    await writeFile(half, bytes);
    await rename(half, join(this.#folder, `${hash}.wasm`));
    await this.#prune();
  }

  async #prune(): Promise<void> {
    const files: { path: string; size: number; mtimeMs: number }[] = [];
    for (const name of await readdir(this.#folder)) {
      // One that is being written counts when it is whole.
      if (!name.endsWith('.wasm')) continue;
      const path = join(this.#folder, name);
      const found = await stat(path).catch(() => null);
      if (found !== null) files.push({ path, size: found.size, mtimeMs: found.mtimeMs });
    }
    let total = files.reduce((sum, { size }) => sum + size, 0);
    for (const { path, size } of files.sort((a, b) => a.mtimeMs - b.mtimeMs)) {
      if (total <= DISK_BYTES_MOST) return;
      await rm(path, { force: true });
      total -= size;
    }
  }
}
