import type { LogFile, StorageOperation } from '../consensus/durable-log.js';
import type { SeededRandom } from './seeded-random.js';

/** Smaller than real ones, so that records are torn as often as they can be. */
const SECTOR_BYTES = 64;

interface VirtualFile {
  bytes: Buffer;
  /** What was there before the first write since the last sync. */
  before: { bytes: Buffer; from: number; to: number } | null;
}

/**
 * A folder on a disk. Until they are synced, bytes and names are in the host's memory: a power cut loses them, keeps
 * them, or keeps some sectors of them.
 */
export class VirtualDisk {
  #files = new Map<string, VirtualFile>();
  /** Names as they are on disk; a file that was removed stays reachable through them. */
  #durableNames = new Map<string, VirtualFile>();
  isFull = false;

  constructor(readonly random: SeededRandom) {}

  files(): LogFile[] {
    return [...this.#files].map(([name, { bytes }]) => ({ name, bytes }));
  }

  /** False: there was no room, and part of it may have been written. */
  perform(operation: StorageOperation): boolean {
    switch (operation.kind) {
      case 'write': {
        const { file, at, bytes } = operation;
        const written = this.isFull ? this.random.below(bytes.length) : bytes.length;
        this.#write(file, at, bytes.subarray(0, written));
        return !this.isFull;
      }
      case 'truncate': {
        const file = this.#files.get(operation.file)!;
        this.#remember(file, operation.length, file.bytes.length);
        file.bytes = file.bytes.subarray(0, operation.length);
        return true;
      }
      case 'sync': {
        const file = this.#files.get(operation.file);
        if (file !== undefined) file.before = null;
        return true;
      }
      case 'syncFolder':
        this.#durableNames = new Map(this.#files);
        return true;
      case 'remove':
        this.#files.delete(operation.file);
        return true;
    }
  }

  #write(name: string, at: number, bytes: Uint8Array): void {
    let file = this.#files.get(name);
    if (file === undefined) {
      file = { bytes: Buffer.alloc(0), before: null };
      this.#files.set(name, file);
    }
    const end = at + bytes.length;
    this.#remember(file, at, end);
    const grown = Buffer.alloc(Math.max(end, file.bytes.length));
    file.bytes.copy(grown);
    grown.set(bytes, at);
    file.bytes = grown;
  }

  #remember(file: VirtualFile, from: number, to: number): void {
    if (file.before === null) file.before = { bytes: file.bytes, from, to };
    else {
      file.before.from = Math.min(file.before.from, from);
      file.before.to = Math.max(file.before.to, to);
    }
  }

  powerCut(): void {
    const { random } = this;
    // Each name that was not synced either made it or did not.
    for (const name of new Set([...this.#files.keys(), ...this.#durableNames.keys()])) {
      const isSettled = this.#files.get(name) === this.#durableNames.get(name);
      if (isSettled || random.isLucky(0.5)) continue;
      const durable = this.#durableNames.get(name);
      if (durable === undefined) this.#files.delete(name);
      else this.#files.set(name, durable);
    }
    for (const file of this.#files.values()) this.#tear(file);
    this.#durableNames = new Map(this.#files);
  }

  #tear(file: VirtualFile): void {
    const { before } = file;
    if (before === null) return;
    const { random } = this;
    const way = random.below(4);
    file.before = null;
    if (way === 0) return;
    if (way === 1) {
      file.bytes = before.bytes;
      return;
    }
    // Sectors up to one (2), or any of them (3), are the new ones.
    const after = file.bytes;
    const sectors = Math.ceil((before.to - before.from) / SECTOR_BYTES) + 1;
    const cut = random.below(sectors + 1);
    const torn = Buffer.alloc(Math.max(after.length, before.bytes.length));
    let length = Math.min(before.bytes.length, after.length);
    before.bytes.copy(torn, 0, 0, torn.length);
    const first = Math.floor(before.from / SECTOR_BYTES);
    for (let sector = 0; sector < sectors; sector++) {
      const isNew = way === 2 ? sector < cut : random.isLucky(0.5);
      if (!isNew) continue;
      const from = (first + sector) * SECTOR_BYTES;
      const to = Math.min(from + SECTOR_BYTES, after.length);
      if (to <= from) continue;
      after.copy(torn, from, from, to);
      length = Math.max(length, to);
    }
    file.bytes = torn.subarray(0, length);
  }
}
