/**
 * The file tree in memory: all metadata, no data, no I/O. It changes only by `apply(record)`, except sizes and times,
 * which change at every write: those are set on the inode, which is then marked dirty and gets an `attributes` record
 * when the journal is next written.
 *
 * Invariants: every directory but the root has exactly one name, so the directories are a tree; an inode's `links` is
 * the number of its names (of a directory: 2 + its subdirectories, as in every Unix); `usedBytes` is the sum over all
 * inodes, also over those that have no name any more but are open.
 */
import { FILE_DIRECTORY, FILE_REGULAR, FILE_SYMLINK } from '../../calls.js';
import { Inode } from './inode.js';
import { BLOCK_BYTES, INODE_COST_BYTES } from './limits.js';
import type { MetadataRecord } from './metadata-record.js';

export const ROOT = 1;

/** What `size` bytes of a file occupy of the disk limit. */
export function blocksOf(size: number): number {
  return Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
}

export class InodeTree {
  readonly #inodes = new Map<number, Inode>();
  readonly #dirty = new Set<Inode>();
  #next = ROOT + 1;
  #usedBytes = 0;
  /** Called when an inode's data is no longer needed. */
  onFreed: (inode: Inode) => void = () => {};

  constructor(at = 0) {
    const root = new Inode(ROOT, FILE_DIRECTORY, 0o755, 0, '', at);
    root.parent = root;
    root.links = 2;
    this.#inodes.set(ROOT, root);
  }

  get root(): Inode {
    return this.#inodes.get(ROOT)!;
  }

  /** Bytes of the disk limit in use. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  get count(): number {
    return this.#inodes.size;
  }

  get(number: number): Inode | undefined {
    return this.#inodes.get(number);
  }

  /** A number for a new inode. It is used up only by the record that makes the inode. */
  get nextNumber(): number {
    return this.#next;
  }

  /** @throws Error when the record does not fit the tree: the caller has not checked, or the journal is not of this tree. */
  apply(record: MetadataRecord): void {
    switch (record.kind) {
      case 'make': {
        const parent = this.#directory(record.parent);
        if (this.#inodes.has(record.inode)) throw new Error(`inode ${record.inode} exists`);
        if (parent.entries!.get(record.name)) throw new Error(`"${record.name}" exists`);
        const inode = new Inode(
          record.inode,
          record.file,
          record.mode,
          record.device,
          record.target,
          record.at,
        );
        this.#inodes.set(inode.number, inode);
        this.#next = Math.max(this.#next, inode.number + 1);
        this.#usedBytes += INODE_COST_BYTES;
        if (inode.kind === FILE_SYMLINK) inode.size = Buffer.byteLength(record.target);
        if (inode.entries) inode.links = 1;
        this.#enter(parent, record.name, inode, record.at);
        return;
      }
      case 'link': {
        const inode = this.#inodes.get(record.inode);
        if (!inode || inode.entries) throw new Error(`inode ${record.inode} cannot be linked`);
        const parent = this.#directory(record.parent);
        if (parent.entries!.get(record.name)) throw new Error(`"${record.name}" exists`);
        inode.changedMs = record.at;
        this.#enter(parent, record.name, inode, record.at);
        return;
      }
      case 'unlink':
        this.#leave(this.#directory(record.parent), record.name, record.at);
        return;
      case 'rename': {
        const parent = this.#directory(record.parent);
        const newParent = this.#directory(record.newParent);
        const entry = parent.entries!.get(record.name);
        if (!entry) throw new Error(`"${record.name}" does not exist`);
        const { inode } = entry;
        inode.changedMs = record.at;
        // The moved file is kept alive between losing its old name and having the new one.
        inode.opens++;
        if (newParent.entries!.get(record.newName)) this.#leave(newParent, record.newName, record.at);
        this.#leave(parent, record.name, record.at);
        if (inode.entries) inode.links++;
        this.#enter(newParent, record.newName, inode, record.at);
        inode.opens--;
        return;
      }
      case 'attributes': {
        const inode = this.#inodes.get(record.inode);
        if (!inode) throw new Error(`inode ${record.inode} does not exist`);
        this.setSize(inode, record.size);
        inode.mode = record.mode;
        inode.accessMs = record.accessMs;
        inode.accessNanos = record.accessNanos;
        inode.modifiedMs = record.modifiedMs;
        inode.modifiedNanos = record.modifiedNanos;
        inode.changedMs = record.changedMs;
        return;
      }
      case 'counter':
        this.#next = Math.max(this.#next, record.next);
        return;
    }
  }

  setSize(inode: Inode, size: number): void {
    if (inode.kind === FILE_REGULAR) this.#usedBytes += blocksOf(size) - blocksOf(inode.size);
    inode.size = size;
  }

  markDirty(inode: Inode): void {
    if (inode.isDirty) return;
    inode.isDirty = true;
    this.#dirty.add(inode);
  }

  /** Takes the inode off the dirty ones. @returns the record to be journalled, null when there is nothing to be kept. */
  takeAttributes(inode: Inode): MetadataRecord | null {
    if (!inode.isDirty) return null;
    inode.isDirty = false;
    this.#dirty.delete(inode);
    return inode.links === 0 ? null : attributesOf(inode);
  }

  /** The same for all dirty inodes. */
  takeAllAttributes(take: (record: MetadataRecord) => void): void {
    for (const inode of this.#dirty) {
      const record = this.takeAttributes(inode);
      if (record) take(record);
    }
  }

  opened(inode: Inode): void {
    inode.opens++;
  }

  closed(inode: Inode): void {
    inode.opens--;
    if (inode.opens === 0 && inode.links === 0) this.#free(inode);
  }

  /** A file without a name that is open: it comes with its open descriptors, not with the records. */
  adopt(inode: Inode, size: number): void {
    if (this.#inodes.has(inode.number)) throw new Error(`inode ${inode.number} exists`);
    this.#inodes.set(inode.number, inode);
    this.#next = Math.max(this.#next, inode.number + 1);
    this.#usedBytes += INODE_COST_BYTES;
    this.setSize(inode, size);
  }

  /** Numbers below `next` were given before. */
  reserve(next: number): void {
    this.#next = Math.max(this.#next, next);
  }

  /** The records that make this tree out of an empty one: what has no name is not among them. */
  *records(): Generator<MetadataRecord> {
    yield { kind: 'counter', next: this.#next };
    yield attributesOf(this.root);
    const seen = new Set<Inode>();
    const directories: Inode[] = [this.root];
    // Attributes come last: making names changes the times of directories.
    const attributes: Inode[] = [this.root];
    // Grows while it is walked: parents come before their children.
    for (const directory of directories) {
      for (const { name, inode } of directory.entries!.values()) {
        if (seen.has(inode)) {
          yield {
            kind: 'link',
            inode: inode.number,
            parent: directory.number,
            name,
            at: inode.changedMs,
          };
          continue;
        }
        if (!inode.entries && inode.links > 1) seen.add(inode);
        yield {
          kind: 'make',
          inode: inode.number,
          file: inode.kind,
          mode: inode.mode,
          device: inode.device,
          parent: directory.number,
          name,
          target: inode.target,
          at: inode.changedMs,
        };
        attributes.push(inode);
        if (inode.entries) directories.push(inode);
      }
    }
    for (const inode of attributes) yield attributesOf(inode);
  }

  #directory(number: number): Inode {
    const inode = this.#inodes.get(number);
    if (!inode?.entries) throw new Error(`inode ${number} is not a directory`);
    return inode;
  }

  #enter(parent: Inode, name: string, inode: Inode, at: number): void {
    parent.entries!.add(name, inode);
    inode.links++;
    if (inode.entries) {
      inode.parent = parent;
      parent.links++;
    }
    touch(parent, at);
  }

  #leave(parent: Inode, name: string, at: number): void {
    const entry = parent.entries!.get(name);
    if (!entry) throw new Error(`"${name}" does not exist`);
    const { inode } = entry;
    parent.entries!.remove(name);
    touch(parent, at);
    inode.changedMs = at;
    inode.links--;
    if (inode.entries) {
      parent.links--;
      inode.links--;
    }
    if (inode.links === 0 && inode.opens === 0) this.#free(inode);
  }

  #free(inode: Inode): void {
    this.setSize(inode, 0);
    this.#usedBytes -= INODE_COST_BYTES;
    this.#inodes.delete(inode.number);
    this.#dirty.delete(inode);
    inode.isDirty = false;
    this.onFreed(inode);
  }
}

function touch(directory: Inode, at: number): void {
  directory.modifiedMs = at;
  directory.modifiedNanos = 0;
  directory.changedMs = at;
}

function attributesOf(inode: Inode): MetadataRecord {
  return {
    kind: 'attributes',
    inode: inode.number,
    size: inode.size,
    mode: inode.mode,
    accessMs: inode.accessMs,
    accessNanos: inode.accessNanos,
    modifiedMs: inode.modifiedMs,
    modifiedNanos: inode.modifiedNanos,
    changedMs: inode.changedMs,
  };
}
