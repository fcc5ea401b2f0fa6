import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HomeState } from '../home.js';

/** Host files kept open while they are written. */
const OPEN_FILES_MOST = 64;
/** Threads of the host that syncing may keep busy: libuv has four. */
const SYNCS_AT_ONCE = 3;

/** The folder of a home that is on its way here. Writes are synchronous, so that they keep the order of their calls. */
export class ArrivingFolder {
  /** Least recently used first. */
  readonly #open = new Map<string, number>();
  #unsynced = new Set<string>();
  /** Folders with new names. */
  #newIn = new Set<string>(['']);

  /** Begins with nothing. */
  constructor(readonly path: string) {
    rmSync(path, { recursive: true, force: true });
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }

  part(path: string, offset: number, bytes: Uint8Array): void {
    const file = this.#file(path);
    for (let done = 0; done < bytes.length; )
      done += writeSync(file, bytes, done, bytes.length - done, offset + done);
  }

  cut(path: string, size: number): void {
    ftruncateSync(this.#file(path), size);
  }

  removed(path: string): void {
    const file = this.#open.get(path);
    if (file !== undefined) closeSync(file);
    this.#open.delete(path);
    this.#unsynced.delete(path);
    rmSync(join(this.path, path), { force: true });
  }

  /** All that has come, names too, is on the disk when this returns. */
  async sync(): Promise<void> {
    const paths = [...this.#unsynced, ...this.#newIn];
    this.#unsynced = new Set();
    this.#newIn = new Set();
    for (let first = 0; first < paths.length; first += SYNCS_AT_ONCE) {
      await Promise.all(
        paths.slice(first, first + SYNCS_AT_ONCE).map((path) => makeDurable(join(this.path, path))),
      );
    }
  }

  /** Lets go of the files. */
  close(): void {
    for (const file of this.#open.values()) closeSync(file);
    this.#open.clear();
  }

  #file(path: string): number {
    this.#unsynced.add(path);
    const known = this.#open.get(path);
    if (known !== undefined) {
      this.#open.delete(path);
      this.#open.set(path, known);
      return known;
    }
    if (this.#open.size >= OPEN_FILES_MOST) {
      const [oldest, file] = this.#open.entries().next().value!;
      closeSync(file);
      this.#open.delete(oldest);
    }
    const full = join(this.path, path);
    const isNew = !existsSync(full);
    if (isNew) {
      mkdirSync(dirname(full), { recursive: true, mode: 0o700 });
      for (let folder = dirname(path); folder !== '.'; folder = dirname(folder)) this.#newIn.add(folder);
    }
    const file = openSync(full, isNew ? 'w+' : 'r+', 0o600);
    this.#open.set(path, file);
    return file;
  }
}

/** What was removed meanwhile need not be durable. */
async function makeDurable(path: string): Promise<void> {
  try {
    const file = await open(path, 'r');
    await file.sync().finally(() => file.close());
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** @throws ZodError or SyntaxError when it is not well formed. */
export function parseState(body: Uint8Array): HomeState {
  return HomeState.parse(
    JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8')),
  );
}
