import type { MetadataRecord } from './metadata-record.js';

/**
 * Where VFS keeps what must outlive the container. Synchronous: VFS answers within the call that asks.
 *
 * The order of a change: VFS applies it to its tree, then tells the store. What has been told is kept in that order;
 * it is durable after the next `sync`, and after a crash of the process what is found is a prefix of what was told.
 * Positions and sizes are bytes. Calls that return a status return OK, ENOSPC or EIO; they throw nothing.
 */
export interface FileStore {
  /**
   * Hands over all records kept, in order, and then uses `source` whenever it writes its journal.
   * @throws DrvsError naming the file when what is stored is damaged.
   */
  load(source: MetadataSource): void;
  /** Keeps a record. */
  append(record: MetadataRecord): void;
  /** Fills `target` with the file's bytes from `position`; where nothing was written, with zeros. */
  read(inode: number, position: number, target: Uint8Array): number;
  /** Takes the bytes (they are copied). On an error none of them counts as written. */
  write(inode: number, position: number, bytes: Uint8Array): number;
  /** Bytes from `size` on are gone: they read as zeros should the file grow again. To be called after its record. */
  truncate(inode: number, size: number): number;
  /** The file is gone: its data may be thrown away once the record that says so is kept. */
  discard(inode: number): void;
  /** Makes all records and this file's data (without `inode`: everybody's) durable, while everything waits. */
  sync(inode: number | null): number;
  /** The same without anybody waiting but who asks; what was asked for meanwhile is done together. */
  syncLater(inode: number | null, done: (status: number) => void): void;
  /** OK, or why nothing more can be taken at present (the host's disk is full or fails). */
  status(): number;
  /** @throws DrvsError when something could not be stored, saying what. */
  close(): void;
}

/** What the store needs of VFS. */
export interface MetadataSource {
  apply(record: MetadataRecord): void;
  /** The size of a file, undefined when there is none of that number. */
  sizeOf(inode: number): number | undefined;
  /** Sizes and times changed by writes since the last time. Data is stored before the records that count on it. */
  takeAttributes(take: (record: MetadataRecord) => void): void;
  /** Records that make the whole tree. */
  records(): Iterable<MetadataRecord>;
}

/** A store that forgets when it is dropped: for tests of the state machine. */
export class MemoryStore implements FileStore {
  readonly records: MetadataRecord[] = [];
  readonly #data = new Map<number, Uint8Array>();
  #source: MetadataSource | null = null;

  load(source: MetadataSource): void {
    this.#source = source;
    for (const record of this.records) source.apply(record);
  }

  append(record: MetadataRecord): void {
    this.records.push(record);
  }

  read(inode: number, position: number, target: Uint8Array): number {
    const data = this.#data.get(inode);
    target.fill(0);
    if (data && position < data.length) target.set(data.subarray(position, position + target.length));
    return 0;
  }

  write(inode: number, position: number, bytes: Uint8Array): number {
    let data = this.#data.get(inode) ?? new Uint8Array(0);
    if (position + bytes.length > data.length) {
      const grown = new Uint8Array((position + bytes.length) * 2);
      grown.set(data);
      data = grown;
      this.#data.set(inode, data);
    }
    data.set(bytes, position);
    return 0;
  }

  truncate(inode: number, size: number): number {
    this.#data.get(inode)?.fill(0, size);
    return 0;
  }

  discard(inode: number): void {
    this.#data.delete(inode);
  }

  sync(): number {
    this.#source?.takeAttributes((record) => this.records.push(record));
    return 0;
  }

  syncLater(_inode: number | null, done: (status: number) => void): void {
    done(0);
  }

  status(): number {
    return 0;
  }

  close(): void {}
}
