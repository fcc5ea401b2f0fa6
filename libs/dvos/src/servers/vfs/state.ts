import { type Endpoint, MAX_RIDING_BYTES, Message, SUSPENDED } from '@drvs/drvmm-core';
import { FILE_DIRECTORY } from '../../calls.js';
import type { ServerPort } from '../server.js';
import { type AttachedDevices, isAttached } from './attached-devices.js';
import type { DeviceDrivers } from './device.js';
import type { Descriptor, Filp, ProcessFiles } from './filedes.js';
import type { Inode } from './inode.js';
import { InodeTree } from './inode-tree.js';
import { INODE_COST_BYTES, INODE_MAX, LINK_MAX } from './limits.js';
import type { MetadataRecord } from './metadata-record.js';
import { decodePath, Lookup } from './path.js';
import { EMLINK, ENOSPC, ENOTDIR, OK } from './status.js';
import type { FileStore } from './store.js';

/**
 * A call of the table: reads the request, writes `answer` and `ride`, returns the reply's type, or SUSPENDED when it
 * has replied or will.
 */
export type VfsCall = (vfs: VfsState, process: ProcessFiles, request: Message, data: Uint8Array) => number;

/** What the calls of VFS share (MINIX's glo.h and fproc.h). */
export class VfsState {
  readonly tree = new InodeTree();
  readonly processes = new Map<Endpoint, ProcessFiles>();
  readonly lookup = new Lookup();
  /** The reply under construction. */
  readonly answer = new Message();
  /** That of a call which was suspended. */
  readonly #late = new Message();
  /** What rides with it. */
  ride: Uint8Array | undefined;
  /** Room for what rides. */
  readonly buffer = new Uint8Array(MAX_RIDING_BYTES);

  constructor(
    readonly port: ServerPort,
    readonly store: FileStore,
    readonly devices: DeviceDrivers,
    readonly attached: AttachedDevices,
    /** Bytes that all files may occupy. */
    public limitBytes: number,
  ) {}

  /** Whole milliseconds since 1970. */
  now(): number {
    return Math.floor(this.port.now());
  }

  /** Changes the tree and keeps the change. */
  commit(record: MetadataRecord): void {
    this.tree.apply(record);
    this.store.append(record);
  }

  /** Keeps the inode's size and times as they are now, before a record that builds on them. */
  commitAttributes(inode: Inode): void {
    const record = this.tree.takeAttributes(inode);
    if (record) this.store.append(record);
  }

  /**
   * Replies `result` when the file's data (without `inode`: everything) is durable: a disk takes milliseconds for that,
   * and the others are served meanwhile. @returns SUSPENDED, for the call to return.
   */
  replySynced({ endpoint }: ProcessFiles, inode: number | null, result: number): number {
    this.store.syncLater(inode, (status) => {
      this.#late.clear();
      this.#late.type = status === OK ? result : status;
      this.port.reply(endpoint, this.#late);
    });
    return SUSPENDED;
  }

  /** OK when one more file can be made. */
  roomForInode(): number {
    const status = this.store.status();
    if (status !== OK) return status;
    if (this.tree.count >= INODE_MAX) return ENOSPC;
    return this.tree.usedBytes + INODE_COST_BYTES > this.limitBytes ? ENOSPC : OK;
  }

  /** A new file under the name found by the latest look-up. @returns it, or a negative status. */
  make(file: number, mode: number, device = 0, target = ''): Inode | number {
    const { parent, name } = this.lookup;
    const status = this.roomForInode();
    if (status !== OK) return status;
    if (file === FILE_DIRECTORY && parent.links >= LINK_MAX) return EMLINK;
    const inode = this.tree.nextNumber;
    this.commit({
      kind: 'make',
      inode,
      file,
      mode,
      device,
      parent: parent.number,
      name,
      target,
      at: this.now(),
    });
    return this.tree.get(inode)!;
  }

  /** Looks a path up from a directory's descriptor. @returns OK or a negative status; the find is in `lookup`. */
  find(process: ProcessFiles, fd: number, rights: number, path: Uint8Array, flags: number): number {
    const directory = process.find(fd, 0);
    if (typeof directory === 'number') return directory;
    if (!directory.filp.inode.entries) return ENOTDIR;
    const allowed = process.find(fd, rights);
    if (typeof allowed === 'number') return allowed;
    const text = decodePath(path);
    if (typeof text === 'number') return text;
    return this.lookup.run(this.tree.root, directory.filp.inode, text, flags);
  }

  /** A new hold on an open file. @returns its number, or EMFILE. */
  install(process: ProcessFiles, descriptor: Descriptor, isExclusive = false): number {
    const { filp } = descriptor;
    const isNew = filp.references === 0;
    const fd = process.add(descriptor);
    if (fd < 0 || !isNew) return fd;
    this.tree.opened(filp.inode);
    if (isAttached(filp.inode.device)) this.attached.opened(filp.inode.device, isExclusive);
    return fd;
  }

  /** @returns false when there was none of that number. */
  drop(process: ProcessFiles, fd: number): boolean {
    const descriptor = process.remove(fd);
    if (!descriptor) return false;
    this.#released(descriptor.filp);
    return true;
  }

  #released(filp: Filp): void {
    if (filp.references > 0) return;
    if (isAttached(filp.inode.device)) this.attached.closed(filp.inode.device);
    this.tree.closed(filp.inode);
  }
}
