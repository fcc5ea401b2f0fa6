/**
 * VFS's storage on the host: in the container's data folder
 *
 *   vfs/metadata         the journal (journal.ts)
 *   vfs/data/xx/inode    the bytes of one file each, numbers in hexadecimal, xx the last two digits
 *
 * Writes go to pages in memory and are written behind: every FLUSH_MS, when much has gathered, on sync and at close.
 * The order within a flush is what makes a crash harmless: first data, then the journal's records that count on it,
 * then the removal of data that those records gave up. So after `kill -9` at any instant the journal is a prefix of
 * what happened, every file has the bytes that its size says, and what lies around besides is swept at the next start.
 *
 * When the host's disk is full nothing is thrown away: dirty pages stay, further writes are refused with ENOSPC, and
 * each flush tries again. A margin of the host's free space is left alone, so this is rare and seen in time.
 */
import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writevSync,
} from 'node:fs';
import { type FileHandle, open as openFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type DiskCounters, DrvsError } from '@drvs/contracts';
import { JOURNAL_BUFFER_BYTES, Journal } from './journal.js';
import type { MetadataRecord } from './metadata-record.js';
import { CachedFile, PAGE_BYTES, type Page, PageCache } from './page-cache.js';
import { EIO, ENOSPC, OK } from './status.js';
import type { FileStore, MetadataSource } from './store.js';

/** Lost at most, should the host itself fail, of what no fsync was asked for. */
export const FLUSH_MS = 200;
/** 16 MiB of pages in all: a tenth of the memory that the DVOS has on a node. */
const CACHE_PAGES = 1024;
/** 4 MiB of them not yet written: a flush then takes a few ms, about as long as guests run at a stretch. */
const DIRTY_PAGES_MAX = 256;
/** Host files kept open. */
const OPEN_FILES_MAX = 128;
/** Files whose length is remembered though nothing of them is cached. */
const KNOWN_FILES_MAX = 4096;
/** Free space of the host that is left for the journal and for others. */
const HOST_MARGIN_BYTES = 32 * 1024 * 1024;
/** Threads of the host that a round of syncs may keep busy: libuv has four. */
const SYNCS_AT_ONCE = 3;
/** Buffers of one writev (IOV_MAX is 1024). */
const VECTOR_MAX = 64;

/** Told what changes in the host's files. Paths are relative to the data folder. */
export interface FileChanges {
  written(path: string, from: number, to: number): void;
  cut(path: string, size: number): void;
  removed(path: string): void;
}

export interface HostStoreOptions {
  /** The container's data folder. */
  dataFolder: string;
  /** Told when a flush fails, and when it works again: (null). */
  onTrouble?: (trouble: string | null) => void;
  /** Counted up with each read and write that goes to the host's files. */
  counters?: DiskCounters;
}

export class HostFileStore implements FileStore {
  /** The container's data folder. */
  readonly #folder: string;
  readonly #dataFolder: string;
  readonly #journal: Journal;
  readonly #onTrouble: (trouble: string | null) => void;
  readonly #counters: DiskCounters;
  readonly #cache = new PageCache(CACHE_PAGES);
  readonly #files = new Map<number, CachedFile>();
  readonly #dirtyFiles = new Set<CachedFile>();
  /** Open host files, least recently used first. */
  readonly #open = new Map<number, number>();
  /** Data that goes when the journal says so. */
  #discarded: number[] = [];
  /** Files written to the host but not synced there since. */
  readonly #unsynced = new Set<number>();
  /** Folders with new files, not synced since. */
  readonly #unsyncedFolders = new Set<string>();
  #syncs: { inode: number | null; done: (status: number) => void }[] = [];
  #isSyncing = false;
  #isClosed = false;
  #last: CachedFile | null = null;
  #source: MetadataSource | null = null;
  #timer: NodeJS.Timeout | null = null;
  #hasRecords = false;
  #changes: FileChanges | null = null;
  #status = OK;
  #trouble: string | null = null;
  #free = Number.POSITIVE_INFINITY;

  constructor({ dataFolder, onTrouble, counters }: HostStoreOptions) {
    this.#folder = dataFolder;
    const folder = join(dataFolder, 'vfs');
    this.#dataFolder = join(folder, 'data');
    mkdirSync(this.#dataFolder, { recursive: true, mode: 0o700 });
    this.#journal = new Journal(join(folder, 'metadata'));
    this.#onTrouble = onTrouble ?? (() => {});
    this.#counters = counters ?? { readBytes: 0, writtenBytes: 0, operations: 0 };
  }

  load(source: MetadataSource): void {
    this.#source = source;
    try {
      this.#journal.open((record) => source.apply(record));
      this.#sweep(source);
    } catch (error) {
      this.#journal.close();
      if (error instanceof DrvsError) throw error;
      throw new DrvsError(
        'StateConflict',
        `the files of the DRVM cannot be read: ${(error as Error).message}`,
        {
          hint: 'Look at owner and permissions of the data folder, and at the disk.',
          cause: error,
        },
      );
    }
    this.#measureFree();
    this.#timer = setInterval(() => {
      this.#measureFree();
      this.flush();
    }, FLUSH_MS);
    this.#timer.unref();
  }

  append(record: MetadataRecord): void {
    this.#hasRecords = true;
    this.#journal.append(record);
    if (this.#journal.pendingBytes > JOURNAL_BUFFER_BYTES && this.#status === OK) this.flush();
  }

  read(inode: number, position: number, target: Uint8Array): number {
    const file = this.#file(inode);
    for (let done = 0; done < target.length; ) {
      const at = position + done;
      const index = Math.floor(at / PAGE_BYTES);
      const offset = at - index * PAGE_BYTES;
      const count = Math.min(PAGE_BYTES - offset, target.length - done);
      let page = this.#cache.find(file, index);
      if (!page && count === PAGE_BYTES) {
        // Whole pages that are not cached are read past the cache, as many as there are in a row.
        let run = PAGE_BYTES;
        while (target.length - done - run >= PAGE_BYTES && !file.pages.has(index + run / PAGE_BYTES))
          run += PAGE_BYTES;
        if (!this.#readHost(file, at, target.subarray(done, done + run))) return EIO;
        done += run;
        continue;
      }
      if (!page) {
        const loaded = this.#load(file, index);
        if (loaded === null) {
          if (!this.#readHost(file, at, target.subarray(done, done + count))) return EIO;
          done += count;
          continue;
        }
        page = loaded;
      }
      copy(page.bytes, offset, target, done, count);
      done += count;
    }
    return OK;
  }

  write(inode: number, position: number, bytes: Uint8Array): number {
    if (this.#status !== OK) return this.#status;
    if (this.#free < HOST_MARGIN_BYTES + bytes.length) return ENOSPC;
    const file = this.#file(inode);
    this.#dirtyFiles.add(file);
    for (let done = 0; done < bytes.length; ) {
      const at = position + done;
      const index = Math.floor(at / PAGE_BYTES);
      const offset = at - index * PAGE_BYTES;
      const count = Math.min(PAGE_BYTES - offset, bytes.length - done);
      let page: Page | null | undefined = this.#cache.find(file, index);
      if (!page) page = count === PAGE_BYTES ? this.#room(file, index) : this.#load(file, index);
      if (!page) return this.#status === OK ? EIO : this.#status;
      copy(bytes, done, page.bytes, offset, count);
      this.#cache.soil(page, offset, offset + count);
      done += count;
    }
    this.#free -= bytes.length;
    // Making room may have written this file and taken it off the list.
    this.#dirtyFiles.add(file);
    if (this.#cache.dirtyPages > DIRTY_PAGES_MAX) this.flush();
    return OK;
  }

  truncate(inode: number, size: number): number {
    const file = this.#file(inode);
    const last = Math.ceil(size / PAGE_BYTES);
    for (const page of [...file.pages.values()]) {
      if (page.index >= last) this.#cache.drop(page);
      else if (page.index === last - 1 && size % PAGE_BYTES !== 0) {
        page.bytes.fill(0, size % PAGE_BYTES);
        if (page.dirtyTo > size % PAGE_BYTES) {
          if (page.dirtyFrom >= size % PAGE_BYTES) this.#cache.clean(page);
          else page.dirtyTo = size % PAGE_BYTES;
        }
      }
    }
    if (file.dirtyPages === 0) this.#dirtyFiles.delete(file);
    if (!this.#measure(file)) return EIO;
    if (file.hostSize <= size) return OK;
    // The record of the truncation is written first: a crash between the two leaves bytes beyond the size, which the
    // next start cuts off; the other way round the file would be whole in length and zeros in content.
    this.flush();
    try {
      truncateSync(this.#path(inode), size);
      this.#changes?.cut(dataPath(inode), size);
      file.hostSize = size;
      return OK;
    } catch (error) {
      return this.#failed(error);
    }
  }

  discard(inode: number): void {
    const file = this.#files.get(inode);
    if (file) {
      for (const page of [...file.pages.values()]) this.#cache.drop(page);
      this.#dirtyFiles.delete(file);
      this.#files.delete(inode);
      if (this.#last === file) this.#last = null;
    }
    this.#unsynced.delete(inode);
    this.#discarded.push(inode);
    this.#hasRecords = true;
  }

  sync(inode: number | null): number {
    const status = this.flush();
    if (status !== OK) return status;
    try {
      for (const each of inode === null ? [...this.#unsynced] : [inode]) {
        if (!this.#unsynced.has(each)) continue;
        fdatasyncSync(this.#descriptor(each));
        this.#unsynced.delete(each);
      }
      for (const folder of this.#unsyncedFolders) {
        const fd = openSync(folder, 'r');
        fsyncSync(fd);
        closeSync(fd);
        this.#unsyncedFolders.delete(folder);
      }
      this.#journal.sync();
      return OK;
    } catch (error) {
      return this.#failed(error);
    }
  }

  syncLater(inode: number | null, done: (status: number) => void): void {
    this.#syncs.push({ inode, done });
    if (!this.#isSyncing) void this.#syncRounds();
  }

  /**
   * One round after another while somebody asks; each makes durable for all who asked before it began. Files are
   * opened anew for it, since those kept open may be closed meanwhile.
   */
  async #syncRounds(): Promise<void> {
    this.#isSyncing = true;
    // Who asks in the same turn of the event loop shares the first round.
    await Promise.resolve();
    try {
      while (this.#syncs.length > 0) {
        const round = this.#syncs;
        this.#syncs = [];
        const status = await this.#syncRound(round.map(({ inode }) => inode));
        if (this.#isClosed) return;
        for (const { done } of round) done(status);
      }
    } finally {
      this.#isSyncing = false;
    }
  }

  async #syncRound(inodes: (number | null)[]): Promise<number> {
    const status = this.flush();
    if (status !== OK) return status;
    const isAll = inodes.includes(null);
    const files = [...this.#unsynced].filter((inode) => isAll || inodes.includes(inode));
    const folders = [...this.#unsyncedFolders];
    for (const inode of files) this.#unsynced.delete(inode);
    this.#unsyncedFolders.clear();
    try {
      const paths = files.map((inode) => this.#path(inode)).concat(folders);
      for (let first = 0; first < paths.length; first += SYNCS_AT_ONCE) {
        await Promise.all(paths.slice(first, first + SYNCS_AT_ONCE).map(makeDurable));
      }
      await makeDurable(this.#journal.path);
      return OK;
    } catch (error) {
      for (const inode of files) this.#unsynced.add(inode);
      for (const folder of folders) this.#unsyncedFolders.add(folder);
      return this.#failed(error);
    }
  }

  /** From now on, what changes in the host's files of data is noted, until `null` is given. */
  noteChanges(changes: FileChanges | null): void {
    this.#changes = changes;
  }

  status(): number {
    if (this.#status !== OK) return this.#status;
    return this.#free < HOST_MARGIN_BYTES ? ENOSPC : OK;
  }

  /** Writes everything to the host's files (not through to its disk). @returns OK, ENOSPC or EIO. */
  flush(): number {
    let failure: unknown = null;
    try {
      for (const file of this.#dirtyFiles) {
        this.#writePages(file);
        this.#dirtyFiles.delete(file);
      }
    } catch (error) {
      // A full disk must not keep files from being removed: with some to go, the journal is written all the same.
      if (this.#discarded.length === 0) return this.#failed(error);
      failure = error;
    }
    try {
      if (failure === null) {
        this.#source!.takeAttributes((record) => {
          this.#hasRecords = true;
          this.#journal.append(record);
        });
      }
      if (this.#hasRecords) {
        const { pendingBytes } = this.#journal;
        this.#journal.write();
        this.#counters.writtenBytes += pendingBytes;
        this.#counters.operations++;
        this.#hasRecords = false;
        this.#removeDiscarded();
        if (failure === null) this.#compact();
      }
    } catch (error) {
      return this.#failed(error);
    }
    if (failure !== null) return this.#failed(failure);
    if (this.#trouble !== null) {
      this.#trouble = null;
      this.#onTrouble(null);
    }
    this.#status = OK;
    return OK;
  }

  /** The journal is good without it, so its failure refuses nothing. */
  #compact(): void {
    if (!this.#journal.isWorthCompacting) return;
    try {
      this.#journal.compact(this.#source!.records());
    } catch (error) {
      this.#journal.postponeCompaction();
      this.#trouble = `compacting the journal: ${(error as Error).message}`;
      this.#onTrouble(this.#trouble);
    }
  }

  close(): void {
    // The host's own shutdown syncs what nobody asked to be durable: thousands of files would take long here.
    const status = this.flush();
    if (status === OK) this.#journal.sync();
    this.abandon();
    if (status === OK) return;
    throw new DrvsError(
      'InsufficientResources',
      `${this.#cache.dirtyPages * PAGE_BYTES} bytes of files could not be stored in ${this.#dataFolder}: ${this.#trouble}`,
      { hint: 'Make room on the disk of this node before the DRVM is stopped.' },
    );
  }

  /** Lets go of the files; what was not written is lost. */
  abandon(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
    this.#isClosed = true;
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
    this.#journal.close();
  }

  // --- the host's files ---

  #path(inode: number): string {
    return join(this.#folder, dataPath(inode));
  }

  #file(inode: number): CachedFile {
    if (this.#last?.inode === inode) return this.#last;
    let file = this.#files.get(inode);
    if (!file) {
      if (this.#files.size >= KNOWN_FILES_MAX) this.#forgetFiles();
      file = new CachedFile(inode);
      this.#files.set(inode, file);
    }
    this.#last = file;
    return file;
  }

  #forgetFiles(): void {
    for (const file of this.#files.values()) if (file.pages.size === 0) this.#files.delete(file.inode);
  }

  /** Learns the length of the host's file. */
  #measure(file: CachedFile): boolean {
    if (file.hostSize >= 0) return true;
    try {
      file.hostSize = statSync(this.#path(file.inode), { throwIfNoEntry: false })?.size ?? 0;
      return true;
    } catch (error) {
      this.#failed(error);
      return false;
    }
  }

  /** The host's file, open for reading and writing; made when it is not there. @throws the host's error. */
  #descriptor(inode: number): number {
    const known = this.#open.get(inode);
    if (known !== undefined) {
      this.#open.delete(inode);
      this.#open.set(inode, known);
      return known;
    }
    if (this.#open.size >= OPEN_FILES_MAX) {
      const [oldest, fd] = this.#open.entries().next().value!;
      closeSync(fd);
      this.#open.delete(oldest);
    }
    const path = this.#path(inode);
    let fd: number;
    try {
      fd = openSync(path, 'r+');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      fd = openSync(path, 'w+', 0o600);
      this.#unsyncedFolders.add(dirname(path)).add(this.#dataFolder);
    }
    this.#open.set(inode, fd);
    return fd;
  }

  /** Reads past the cache; zeros where the host has nothing. @returns false when the host fails. */
  #readHost(file: CachedFile, position: number, target: Uint8Array): boolean {
    if (!this.#measure(file)) return false;
    const wanted = Math.max(0, Math.min(target.length, file.hostSize - position));
    let done = 0;
    try {
      while (done < wanted) {
        const count = readSync(this.#descriptor(file.inode), target, done, wanted - done, position + done);
        if (count === 0) break;
        done += count;
        this.#counters.readBytes += count;
        this.#counters.operations++;
      }
    } catch (error) {
      this.#trouble = `reading ${this.#path(file.inode)}: ${(error as Error).message}`;
      this.#onTrouble(this.#trouble);
      return false;
    }
    target.fill(0, done);
    return true;
  }

  /** An empty place in the cache, its content undefined; null when nothing can be given up. */
  #room(file: CachedFile, index: number): Page | null {
    while (this.#cache.isFull) {
      const oldest = this.#cache.oldest!;
      if (oldest.isDirty && this.flush() !== OK) return null;
      this.#cache.drop(oldest);
    }
    return this.#cache.add(file, index);
  }

  #load(file: CachedFile, index: number): Page | null {
    const page = this.#room(file, index);
    if (!page) return null;
    if (this.#readHost(file, index * PAGE_BYTES, page.bytes)) return page;
    this.#cache.drop(page);
    return null;
  }

  /** @throws the host's error; what was written is clean then, the rest still dirty. */
  #writePages(file: CachedFile): void {
    if (file.dirtyPages === 0) return;
    const pages = [...file.pages.values()].filter((page) => page.isDirty).sort((a, b) => a.index - b.index);
    this.#measure(file);
    const fd = this.#descriptor(file.inode);
    this.#unsynced.add(file.inode);
    try {
      for (let first = 0; first < pages.length; ) {
        let end = first + 1;
        while (end < pages.length && end - first < VECTOR_MAX && isContiguous(pages[end - 1]!, pages[end]!)) {
          end++;
        }
        this.#counters.writtenBytes += writeRun(fd, pages, first, end);
        this.#counters.operations++;
        if (this.#changes !== null) noteRun(this.#changes, dataPath(file.inode), pages, first, end);
        for (let i = first; i < end; i++) this.#cache.clean(pages[i]!);
        first = end;
      }
    } finally {
      // Also after half of it: what is clean now may be dropped and read again.
      file.hostSize = fstatSync(fd).size;
    }
  }

  #removeDiscarded(): void {
    for (const inode of this.#discarded) {
      const fd = this.#open.get(inode);
      if (fd !== undefined) {
        closeSync(fd);
        this.#open.delete(inode);
      }
      rmSync(this.#path(inode), { force: true });
      this.#changes?.removed(dataPath(inode));
    }
    this.#discarded = [];
  }

  /** After a crash: removes data that no file claims, and cuts what lies beyond a file's size. */
  #sweep(source: MetadataSource): void {
    for (const shard of readdirSync(this.#dataFolder, { withFileTypes: true })) {
      if (!shard.isDirectory()) continue;
      for (const name of readdirSync(join(this.#dataFolder, shard.name))) {
        const path = join(this.#dataFolder, shard.name, name);
        const size = source.sizeOf(Number.parseInt(name, 16));
        if (size === undefined) rmSync(path, { force: true });
        else if (statSync(path).size > size) truncateSync(path, size);
      }
    }
  }

  #measureFree(): void {
    try {
      const { bavail, bsize } = statfsSync(this.#dataFolder);
      this.#free = bavail * bsize - this.#cache.dirtyPages * PAGE_BYTES;
    } catch {
      // A host that cannot say how much is free is asked again by writing.
      this.#free = Number.POSITIVE_INFINITY;
    }
  }

  #failed(error: unknown): number {
    const { code, message } = error as NodeJS.ErrnoException;
    this.#status = code === 'ENOSPC' || code === 'EDQUOT' ? ENOSPC : EIO;
    if (this.#trouble !== message) {
      this.#trouble = message;
      this.#onTrouble(message);
    }
    return this.#status;
  }
}

/** Of a file's bytes, below the data folder. */
function dataPath(inode: number): string {
  const name = inode.toString(16).padStart(2, '0');
  return join('vfs', 'data', name.slice(-2), name);
}

function noteRun(
  changes: FileChanges,
  path: string,
  pages: readonly Page[],
  first: number,
  end: number,
): void {
  const from = pages[first]!;
  const last = pages[end - 1]!;
  changes.written(path, from.index * PAGE_BYTES + from.dirtyFrom, last.index * PAGE_BYTES + last.dirtyTo);
}

/** What was removed meanwhile need not be durable. */
async function makeDurable(path: string): Promise<void> {
  let file: FileHandle;
  try {
    file = await openFile(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  try {
    await file.datasync();
  } finally {
    await file.close();
  }
}

/** Short copies by a loop: `set` with a fresh view costs more than 64 bytes do. */
function copy(from: Uint8Array, at: number, to: Uint8Array, start: number, count: number): void {
  if (count <= 96) for (let i = 0; i < count; i++) to[start + i] = from[at + i]!;
  else to.set(from.subarray(at, at + count), start);
}

function isContiguous(a: Page, b: Page): boolean {
  return b.index === a.index + 1 && a.dirtyTo === PAGE_BYTES && b.dirtyFrom === 0;
}

/** @returns bytes written. @throws the host's error. */
function writeRun(fd: number, pages: readonly Page[], first: number, end: number): number {
  const start = pages[first]!.index * PAGE_BYTES + pages[first]!.dirtyFrom;
  let position = start;
  let parts: Uint8Array[] = [];
  for (let i = first; i < end; i++) {
    const { bytes, dirtyFrom, dirtyTo } = pages[i]!;
    parts.push(bytes.subarray(dirtyFrom, dirtyTo));
  }
  while (parts.length > 0) {
    let written = writevSync(fd, parts, position);
    position += written;
    while (parts.length > 0 && written >= parts[0]!.length) written -= parts.shift()!.length;
    if (written > 0) parts = [parts[0]!.subarray(written), ...parts.slice(1)];
  }
  return position - start;
}
