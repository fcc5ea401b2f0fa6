import type { Stats } from 'node:fs';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileChanges } from '../servers/vfs/host-store.js';

/** Bytes of a file that are read, sent and noted as changed together. */
export const BLOCK_BYTES = 64 * 1024;
/** Blocks sent as one part where they follow one another. */
const PART_BLOCKS = 8;

/** Where the copy goes. Calls keep their order; each waits only while too much is under way. */
export interface CopyTarget {
  part(path: string, offset: number, bytes: Uint8Array): Promise<void>;
  cut(path: string, size: number): Promise<void>;
  removed(path: string): Promise<void>;
}

interface Copied {
  /** Of the host: another file of the same name has another, also where the host gives inode numbers again. */
  identity: string;
  /** Bytes from the beginning that the target has, but for `blocks`. */
  size: number;
  readonly blocks: Set<number>;
  isCut: boolean;
}

/**
 * Copies what a home keeps in its folder, in rounds, while it is in use: first all, then what has changed since the
 * round before. Files of data change anywhere (the store says where); all others only grow, or are replaced by a new one
 * of the same name. What changes while it is read is noted again, so the last round, for which everything stands
 * still, leaves the target with the same bytes.
 */
export class FolderCopy implements FileChanges {
  readonly #copied = new Map<string, Copied>();
  /** Files of data to be looked at in the next round. */
  #touched = new Set<string>();
  #gone = new Set<string>();
  #isFirst = true;
  bytes = 0;

  constructor(
    private readonly folder: string,
    private readonly target: CopyTarget,
  ) {}

  get files(): number {
    return this.#copied.size;
  }

  // ── FileChanges

  written(path: string, from: number, to: number): void {
    this.#touched.add(path);
    const copied = this.#copied.get(path);
    if (copied === undefined) return;
    const last = Math.min(to, copied.size);
    for (let block = Math.floor(from / BLOCK_BYTES); block * BLOCK_BYTES < last; block++)
      copied.blocks.add(block);
  }

  cut(path: string, size: number): void {
    this.#touched.add(path);
    const copied = this.#copied.get(path);
    if (copied === undefined || copied.size <= size) return;
    copied.size = size;
    copied.isCut = true;
  }

  removed(path: string): void {
    this.#touched.delete(path);
    if (this.#copied.delete(path)) this.#gone.add(path);
  }

  // ── rounds

  /** @returns bytes sent. */
  async round(): Promise<number> {
    const before = this.bytes;
    const gone = this.#gone;
    this.#gone = new Set();
    for (const path of gone) await this.target.removed(path);
    const touched = this.#touched;
    this.#touched = new Set();
    const paths = this.#isFirst ? await this.#list('vfs/data', 2) : [...touched];
    this.#isFirst = false;
    const others = ['vfs/metadata', 'processes.jsonl', ...(await this.#list('tty', 1))];
    await this.#forgetOthers(new Set(others));
    // Data before the journal that counts on it, as the store itself writes them.
    for (const path of [...paths, ...others]) await this.#file(path);
    return this.bytes - before;
  }

  async #list(folder: string, depth: number): Promise<string[]> {
    const names = await readdir(join(this.folder, folder)).catch(() => []);
    const paths = names.map((name) => `${folder}/${name}`);
    if (depth === 1) return paths;
    const below: string[] = [];
    for (const path of paths) below.push(...(await this.#list(path, depth - 1)));
    return below;
  }

  async #forgetOthers(present: ReadonlySet<string>): Promise<void> {
    for (const path of [...this.#copied.keys()]) {
      if (path.startsWith('vfs/data/') || present.has(path)) continue;
      this.#copied.delete(path);
      await this.target.removed(path);
    }
  }

  async #file(path: string): Promise<void> {
    const copied = this.#copied.get(path);
    if (copied !== undefined && copied.blocks.size === 0 && !copied.isCut) {
      const now = await stat(join(this.folder, path)).catch(() => null);
      if (now !== null && identityOf(now) === copied.identity && now.size === copied.size) return;
    }
    let file: FileHandle;
    try {
      file = await open(join(this.folder, path), 'r');
    } catch (error) {
      // Removed meanwhile: the store says so, or the next listing.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw error;
    }
    try {
      await this.#differences(path, file);
    } finally {
      await file.close();
    }
  }

  async #differences(path: string, file: FileHandle): Promise<void> {
    const found = await file.stat();
    const { size } = found;
    const identity = identityOf(found);
    const known = this.#copied.get(path);
    const isSame = known !== undefined && known.identity === identity && known.size <= size;
    const from = isSame ? known.size : 0;
    const changed = isSame ? [...known.blocks].filter((block) => block * BLOCK_BYTES < from) : [];
    if (!isSame || known.isCut) await this.target.cut(path, from);
    // Noted before it is read: what changes from here on is noted anew.
    this.#copied.set(path, { identity, size, blocks: new Set(), isCut: false });
    for (const block of changed.sort((a, b) => a - b)) {
      await this.#send(path, file, block * BLOCK_BYTES, Math.min(from, (block + 1) * BLOCK_BYTES), false);
    }
    let isSparse = false;
    for (let at = from; at < size; ) {
      const end = Math.min(size, (Math.floor(at / BLOCK_BYTES) + PART_BLOCKS) * BLOCK_BYTES);
      isSparse = !(await this.#send(path, file, at, end, true)) || isSparse;
      at = end;
    }
    if (isSparse) await this.target.cut(path, size);
  }

  /** @returns false when it was all zeros and `maySkip`. */
  async #send(path: string, file: FileHandle, from: number, to: number, maySkip: boolean): Promise<boolean> {
    const buffer = Buffer.allocUnsafe(to - from);
    let done = 0;
    while (done < buffer.length) {
      const { bytesRead } = await file.read(buffer, done, buffer.length - done, from + done);
      // It has become shorter: it is noted, and the next round cuts it.
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    const bytes = buffer.subarray(0, done);
    if (maySkip && bytes.every((byte) => byte === 0)) return false;
    this.bytes += done;
    await this.target.part(path, from, bytes);
    return true;
  }
}

const identityOf = ({ ino, birthtimeMs }: Stats): string => `${ino}:${birthtimeMs}`;
