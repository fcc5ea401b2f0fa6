import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Bytes of instrumented modules kept at most; the longest unused go first. */
const CACHE_MAX_BYTES = 1024 * 1024 * 1024;
/** Enough of SHA-256 to notice a damaged file. */
const CHECK_LENGTH = 16;

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/**
 * Instrumented modules on disk: `<sha256 of the original>.<check of the contents>.wasm`, in a folder per loader
 * version. A file whose contents do not match its name (a torn write, a bad disk) counts as missing.
 */
export class ModuleCache {
  readonly #folder: string;

  constructor(
    private readonly root: string,
    version: string,
    private readonly maxBytes = CACHE_MAX_BYTES,
  ) {
    this.#folder = join(root, version.replaceAll(/[^A-Za-z0-9._-]/g, '_'));
  }

  /** Makes the folder and removes what other loader versions left. */
  async open(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.root)) {
      const path = join(this.root, name);
      if (path !== this.#folder) await rm(path, { recursive: true, force: true });
    }
    for (const name of await readdir(this.#folder)) {
      if (!name.endsWith('.wasm')) await rm(join(this.#folder, name), { force: true });
    }
  }

  async get(sha256: string): Promise<Uint8Array | null> {
    const name = (await readdir(this.#folder)).find((candidate) => candidate.startsWith(`${sha256}.`));
    if (name === undefined) return null;
    const path = join(this.#folder, name);
    const bytes = await readFile(path).catch(() => null);
    if (!bytes || name !== this.#name(sha256, bytes)) {
      await rm(path, { force: true });
      return null;
    }
    const now = new Date();
    await utimes(path, now, now);
    return bytes;
  }

  async put(sha256: string, bytes: Uint8Array): Promise<void> {
    const path = join(this.#folder, this.#name(sha256, bytes));
    await writeFile(`${path}.new`, bytes, { mode: 0o600, flush: true });
    await rename(`${path}.new`, path);
    await this.#shrink();
  }

  #name(sha256: string, bytes: Uint8Array): string {
    return `${sha256}.${digest(bytes).slice(0, CHECK_LENGTH)}.wasm`;
  }

  async #shrink(): Promise<void> {
    const files: { path: string; bytes: number; usedAt: number }[] = [];
    for (const name of await readdir(this.#folder)) {
      const path = join(this.#folder, name);
      const found = await stat(path).catch(() => null);
      if (found) files.push({ path, bytes: found.size, usedAt: found.mtimeMs });
    }
    let total = files.reduce((sum, file) => sum + file.bytes, 0);
    files.sort((a, b) => a.usedAt - b.usedAt);
    for (const file of files.slice(0, -1)) {
      if (total <= this.maxBytes) break;
      await rm(file.path, { force: true });
      total -= file.bytes;
    }
  }
}
