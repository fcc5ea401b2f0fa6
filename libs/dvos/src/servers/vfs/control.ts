import { DrvsError, type FileStat } from '@drvs/contracts';
import { type Endpoint, statusName } from '@drvs/drvmm-core';
import {
  FILE_CHARACTER_DEVICE,
  FILE_DIRECTORY,
  FILE_REGULAR,
  FILE_SYMLINK,
  RIGHT,
  RIGHTS_DEVICE,
  RIGHTS_DIRECTORY,
  RIGHTS_FILE,
} from '../../calls.js';
import { isAttached } from './attached-devices.js';
import {
  DEVICE_CLOCK,
  DEVICE_FULL,
  DEVICE_NULL,
  DEVICE_RANDOM,
  DEVICE_TTY,
  DEVICE_ZERO,
} from './device-numbers.js';
import { Filp, ProcessFiles } from './filedes.js';
import { anonymousDevice, packVfs, type VfsHandover } from './handover.js';
import type { Inode } from './inode.js';
import { PREOPEN_MAX } from './limits.js';
import { move, removeDirectory, removeFile, resize } from './link.js';
import { decodePath, FOLLOW, KEEP_LAST, UNCONFINED } from './path.js';
import { isPosition, writeAt } from './read-write.js';
import type { VfsState } from './state.js';
import { ENOENT, ENOSPC, ENOTDIR, OK } from './status.js';

export interface AttachOptions {
  /** A file of the DRVM, or null: standard input is empty then. */
  stdinPath: string | null;
  /** Opened to the process from descriptor 3 on: `path` in the DRVM, `as` the name the process knows. */
  directories: readonly { path: string; as: string }[];
  /** The TTY line that standard output and standard error go to. */
  ttyId: number;
}

/** One `readFile` at most; more is read in several calls. */
export const READ_FILE_MAX_BYTES = 1_048_576;
const MODE_MASK = 0o7777;
const SYSTEM_DIRECTORIES = ['/bin', '/dev', '/home', '/tmp'];
const SYSTEM_DEVICES = [
  ['/dev/null', DEVICE_NULL],
  ['/dev/zero', DEVICE_ZERO],
  ['/dev/random', DEVICE_RANDOM],
  ['/dev/urandom', DEVICE_RANDOM],
  ['/dev/tty', DEVICE_TTY],
  ['/dev/console', DEVICE_TTY],
  ['/dev/full', DEVICE_FULL],
  ['/dev/clock', DEVICE_CLOCK],
] as const;
/** Where devices of hosts are: /dev/host/NODE/NAME. */
const ATTACHED_DIRECTORY = '/dev/host';
const encoder = new TextEncoder();

/**
 * The way into VFS for its neighbours in the home container: PM (processes come, fork and go) and the DRVM's
 * administration (files by absolute path). Paths start at the root of the DRVM and may follow any link.
 * What fails throws DrvsError.
 */
export class VfsControl {
  readonly #vfs: VfsState;

  constructor(vfs: VfsState) {
    this.#vfs = vfs;
  }

  // --- processes ---

  /**
   * Gives a new process its descriptors: 0 the file at `stdinPath` or nothing, 1 and 2 its TTY line, then the
   * directories. @throws NotFound or InvalidInput when one of the paths is not there or not a directory.
   */
  attach(endpoint: Endpoint, { stdinPath, directories, ttyId }: AttachOptions): void {
    if (directories.length > PREOPEN_MAX) {
      throw new DrvsError(
        'InvalidInput',
        `${directories.length} directories; at most ${PREOPEN_MAX} can be opened`,
      );
    }
    const opened = directories.map(({ path, as }) => ({ inode: this.#directory(path), as }));
    const stdin = stdinPath === null ? null : this.#file(stdinPath);
    if (stdin !== null && isAttached(stdin.device)) {
      this.#check(this.#vfs.attached.refusal(stdin.device), stdinPath!, 'opened');
    }
    this.detach(endpoint);
    const process = new ProcessFiles(endpoint, ttyId);
    const install = (filp: Filp, rights: number, inheriting = 0, name: Uint8Array | null = null): void => {
      this.#vfs.install(process, { filp, rights, inheriting, preopenName: name });
    };
    const writable = RIGHT.FD_WRITE | RIGHT.FD_DATASYNC | RIGHT.FD_ALLOCATE | RIGHT.FD_FILESTAT_SET_SIZE;
    install(
      new Filp(stdin ?? anonymousDevice(DEVICE_NULL), 0),
      (stdin && stdin.kind === FILE_REGULAR ? RIGHTS_FILE : RIGHTS_DEVICE) & ~writable,
    );
    for (const stream of [0, 1]) {
      install(new Filp(anonymousDevice(DEVICE_TTY), 0, ttyId * 2 + stream), RIGHTS_DEVICE & ~RIGHT.FD_READ);
    }
    for (const { inode, as } of opened) {
      install(new Filp(inode, 0), RIGHTS_DIRECTORY, RIGHTS_DIRECTORY | RIGHTS_FILE, encoder.encode(as));
    }
    this.#vfs.processes.set(endpoint, process);
  }

  /** The child gets its parent's descriptors: the same open files, so that they share positions. */
  fork(parent: Endpoint, child: Endpoint): void {
    const from = this.#vfs.processes.get(parent);
    if (!from) throw new DrvsError('NotFound', `process ${parent} has no open files`);
    const process = new ProcessFiles(child, from.line);
    from.copyTo(process);
    this.#vfs.processes.set(child, process);
  }

  /** Closes all that the process has open. May be called twice. */
  detach(endpoint: Endpoint): void {
    this.#vfs.attached.gone(endpoint);
    const process = this.#vfs.processes.get(endpoint);
    if (!process) return;
    for (const fd of [...process.numbers()]) this.#vfs.drop(process, fd);
    this.#vfs.processes.delete(endpoint);
  }

  /** Who has what open: for the next home. */
  handover(): VfsHandover {
    return packVfs(this.#vfs);
  }

  /** Calls that wait for a device are given back, so that VFS owes nobody an answer; only while servers are paused. */
  putBackWaiting(): void {
    this.#vfs.attached.putBack();
  }

  // --- devices of hosts ---

  /** The container does not answer: its devices give EIO until it does. */
  nodeLost(index: number): void {
    this.#vfs.attached.nodeLost(index);
  }

  /** It is of the DRVM no longer, nor are its devices. */
  nodeLeft(index: number): void {
    this.#vfs.attached.nodeLeft(index);
  }

  /** Nobody uses one: what a former life of the DRVM had. */
  clearAttached(): void {
    if (this.#lookUp(ATTACHED_DIRECTORY, KEEP_LAST) === OK && this.#vfs.lookup.inode !== null) {
      this.remove(ATTACHED_DIRECTORY, true);
    }
  }

  /** @returns the path, or null when there is no room for it. */
  plug(device: number, name: string): string | null {
    const path = `${ATTACHED_DIRECTORY}/${name}`;
    try {
      this.unplug(null, name);
      this.makeDirectory(path.slice(0, path.lastIndexOf('/')), true);
      this.#find(path, KEEP_LAST);
      this.#made(this.#vfs.make(FILE_CHARACTER_DEVICE, 0o660, device), path);
      return path;
    } catch (error) {
      console.error(`the device ${path} cannot be shown: ${(error as Error).message}`);
      return null;
    }
  }

  /** Removes the name of the device, or of whatever (null) device has it. @returns the path, or null: it had none. */
  unplug(device: number | null, name: string): string | null {
    const path = `${ATTACHED_DIRECTORY}/${name}`;
    if (this.#lookUp(path, KEEP_LAST) !== OK) return null;
    const { inode } = this.#vfs.lookup;
    if (!inode || inode.kind !== FILE_CHARACTER_DEVICE || inode.device !== (device ?? inode.device))
      return null;
    this.#check(removeFile(this.#vfs), path, 'removed');
    return path;
  }

  // --- the disk ---

  usage(): { usedBytes: number; limitBytes: number; files: number } {
    const { tree, limitBytes } = this.#vfs;
    return { usedBytes: tree.usedBytes, limitBytes, files: tree.count };
  }

  /** A limit below what is used only keeps files from growing. */
  setLimit(limitBytes: number): void {
    this.#vfs.limitBytes = limitBytes;
  }

  /** Makes everything durable. @throws InsufficientResources or Internal when the host cannot. */
  sync(): void {
    this.#check(this.#vfs.store.sync(null), 'the file system', 'stored');
  }

  /** What every DRVM has. */
  makeSystemFiles(): void {
    const isThere = (path: string): boolean =>
      this.#lookUp(path, KEEP_LAST) === OK && this.#vfs.lookup.inode !== null;
    for (const path of SYSTEM_DIRECTORIES) if (!isThere(path)) this.#vfs.make(FILE_DIRECTORY, 0o755);
    for (const [path, device] of SYSTEM_DEVICES) {
      if (!isThere(path) && this.#lookUp(path, KEEP_LAST) === OK) {
        this.#vfs.make(FILE_CHARACTER_DEVICE, 0o666, device);
      }
    }
  }

  // --- files by path ---

  /** At most READ_FILE_MAX_BYTES from `offset`. The bytes are the caller's. */
  readFile(
    path: string,
    offset = 0,
    length = READ_FILE_MAX_BYTES,
  ): { bytes: Uint8Array; size: number; eof: boolean } {
    const inode = this.#regular(path);
    if (!isPosition(offset) || !isPosition(length)) throw invalidRange(path, offset, length);
    const bytes = new Uint8Array(Math.max(0, Math.min(length, READ_FILE_MAX_BYTES, inode.size - offset)));
    this.#check(this.#vfs.store.read(inode.number, offset, bytes), path, 'read');
    return { bytes, size: inode.size, eof: offset + bytes.length >= inode.size };
  }

  /** All of a file, for instance a program. @throws PayloadTooLarge beyond `maxBytes`. */
  readWhole(path: string, maxBytes: number): Uint8Array {
    const inode = this.#regular(path);
    if (inode.size > maxBytes) {
      throw new DrvsError(
        'PayloadTooLarge',
        `${path} has ${inode.size} bytes; at most ${maxBytes} are possible here`,
      );
    }
    const bytes = new Uint8Array(inode.size);
    this.#check(this.#vfs.store.read(inode.number, 0, bytes), path, 'read');
    return bytes;
  }

  /** Writes all the bytes, or throws (then some may have been written); the file is made when it is not there. */
  writeFile(
    path: string,
    bytes: Uint8Array,
    options: { offset?: number; truncate?: boolean; parents?: boolean; mode?: number } = {},
  ): { size: number } {
    const { offset = 0, truncate = false, parents = false, mode = 0o644 } = options;
    if (!isPosition(offset)) throw invalidRange(path, offset, bytes.length);
    this.#find(path, FOLLOW, parents);
    let { inode } = this.#vfs.lookup;
    if (!inode && this.#vfs.lookup.mustBeDirectory) throw isDirectory(path);
    if (!inode) inode = this.#made(this.#vfs.make(FILE_REGULAR, mode & MODE_MASK), path);
    if (inode.entries) throw isDirectory(path);
    if (inode.kind === FILE_CHARACTER_DEVICE) {
      throw new DrvsError('InvalidInput', `${path} is a device, not a file`);
    }
    if (truncate) this.#check(resize(this.#vfs, inode, 0), path, 'emptied');
    const count = writeAt(this.#vfs, inode, offset, bytes);
    this.#check(count < 0 ? count : count < bytes.length ? ENOSPC : OK, path, 'written');
    return { size: inode.size };
  }

  /** Follows links; of one that leads nowhere, the link itself. */
  stat(path: string): FileStat {
    this.#find(path, FOLLOW);
    if (!this.#vfs.lookup.inode) this.#find(path, 0);
    if (!this.#vfs.lookup.inode) throw notFound(path);
    return describe(path, this.#vfs.lookup.inode);
  }

  /** The names in a directory, sorted; of a file, itself. Links are told as links. */
  list(path: string): FileStat[] {
    const inode = this.#existing(path);
    if (!inode.entries) return [describe(path, inode)];
    const prefix = path.replace(/\/+$/, '');
    return [...inode.entries.values()]
      .map((entry) => describe(`${prefix}/${entry.name}`, entry.inode))
      .sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  /** With `parents`, the directories on the way are made and an existing one is right. */
  makeDirectory(path: string, parents = false): void {
    this.#find(path, FOLLOW, parents);
    const { inode } = this.#vfs.lookup;
    if (inode) {
      if (parents && inode.entries) return;
      throw new DrvsError('AlreadyExists', `${path} exists`);
    }
    this.#made(this.#vfs.make(FILE_DIRECTORY, 0o755), path);
  }

  /** Atomic; a file or an empty directory of the new name is replaced. */
  rename(from: string, to: string): void {
    this.#find(from, KEEP_LAST);
    const { inode, parent, name } = this.#vfs.lookup;
    if (!inode) throw notFound(from);
    this.#find(to, KEEP_LAST);
    this.#check(move(this.#vfs, inode, parent, name), `${from} → ${to}`, 'renamed');
  }

  /** Also a directory with all that is in it, when `recursive`. Programs that have the files open keep them. */
  remove(path: string, recursive = false): void {
    this.#find(path, KEEP_LAST);
    const { inode, name } = this.#vfs.lookup;
    if (!inode) throw notFound(path);
    if (name === '') throw new DrvsError('InvalidInput', `${path} cannot be removed: give a name`);
    if (!inode.entries) {
      this.#check(removeFile(this.#vfs), path, 'removed');
      return;
    }
    if (inode.entries.size > 0 && !recursive) {
      throw new DrvsError('StateConflict', `${path} is a directory that is not empty`, {
        hint: 'Ask for recursive removal to remove all that is in it.',
      });
    }
    this.#empty(inode);
    this.#find(path, KEEP_LAST);
    this.#check(removeDirectory(this.#vfs), path, 'removed');
  }

  /** Without recursion, whose depth a guest could choose. */
  #empty(top: Inode): void {
    const pending = [top];
    const emptied: { parent: Inode; name: string }[] = [];
    for (let i = 0; i < pending.length; i++) {
      const directory = pending[i]!;
      for (const { name, inode } of [...directory.entries!.values()]) {
        if (inode.entries) {
          pending.push(inode);
          emptied.push({ parent: directory, name });
        } else {
          if (inode.links > 1) this.#vfs.commitAttributes(inode);
          this.#vfs.commit({ kind: 'unlink', parent: directory.number, name, at: this.#vfs.now() });
        }
      }
    }
    for (const { parent, name } of emptied.reverse()) {
      this.#vfs.commit({ kind: 'unlink', parent: parent.number, name, at: this.#vfs.now() });
    }
  }

  // --- look-ups ---

  #lookUp(path: string, flags: number): number {
    const text = decodePath(encoder.encode(path));
    if (typeof text === 'number') return text;
    const { root } = this.#vfs.tree;
    return this.#vfs.lookup.run(root, root, text, flags | UNCONFINED);
  }

  /** @throws DrvsError unless the look-up ended at a name, of a file or of none. */
  #find(path: string, flags: number, parents = false): void {
    if (!path.startsWith('/')) {
      throw new DrvsError('InvalidInput', `"${path}" is not an absolute path`, {
        hint: 'Paths inside a DRVM begin with a slash.',
      });
    }
    let status = this.#lookUp(path, flags);
    if (status === ENOENT && parents) {
      this.#makeParents(path);
      status = this.#lookUp(path, flags);
    }
    this.#check(status, path, 'found');
  }

  #makeParents(path: string): void {
    const names = path.split('/').filter((name) => name !== '' && name !== '.');
    for (let count = 1; count < names.length; count++) {
      const above = `/${names.slice(0, count).join('/')}`;
      this.#check(this.#lookUp(above, FOLLOW), above, 'found');
      if (!this.#vfs.lookup.inode) this.#made(this.#vfs.make(FILE_DIRECTORY, 0o755), above);
    }
  }

  #existing(path: string): Inode {
    this.#find(path, FOLLOW);
    const { inode } = this.#vfs.lookup;
    if (!inode) throw notFound(path);
    return inode;
  }

  #directory(path: string): Inode {
    const inode = this.#existing(path);
    if (!inode.entries) throw new DrvsError('InvalidInput', `${path} is not a directory`);
    return inode;
  }

  #file(path: string): Inode {
    const inode = this.#existing(path);
    if (inode.entries) throw isDirectory(path);
    return inode;
  }

  #regular(path: string): Inode {
    const inode = this.#file(path);
    if (inode.kind !== FILE_REGULAR) throw new DrvsError('InvalidInput', `${path} is a device, not a file`);
    return inode;
  }

  #made(inode: Inode | number, path: string): Inode {
    if (typeof inode !== 'number') return inode;
    this.#check(inode, path, 'made');
    throw new Error('unreachable: a status that is no error');
  }

  #check(status: number, path: string, done: string): void {
    if (status >= OK) return;
    const { limitBytes, tree } = this.#vfs;
    switch (status) {
      case ENOENT:
        throw notFound(path);
      case ENOTDIR:
        throw new DrvsError('InvalidInput', `${path}: something on the way is not a directory`);
      case ENOSPC:
        throw new DrvsError(
          'InsufficientResources',
          `${path} could not be ${done}: ${tree.usedBytes} of the ${limitBytes} bytes of the DRVM's disk are in use, or the disk of its home node is full`,
          {
            hint: 'Remove files, or give the DRVM more disk.',
            details: { class: 'diskGiB', usedBytes: tree.usedBytes, limitBytes },
          },
        );
      default:
        throw new DrvsError(
          REASONS[statusName(status)] ? 'InvalidInput' : 'Internal',
          `${path} could not be ${done}: ${REASONS[statusName(status)] ?? statusName(status)}`,
        );
    }
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EBUSY: 'it is the root, or a name like "." or ".."',
  EFBIG: 'a file cannot be that large',
  EILSEQ: 'the name is not well-formed Unicode',
  EINVAL: 'a directory cannot be moved into itself, and a name has no zero bytes',
  EISDIR: 'it is a directory',
  ELOOP: 'too many symbolic links follow one another',
  EMLINK: 'there are too many directories in one',
  ENAMETOOLONG: 'a name has more than 255 bytes, or the path more than 4096',
  ENOTEMPTY: 'the directory is not empty',
};

function describe(path: string, inode: Inode): FileStat {
  return {
    path,
    kind: KIND_NAMES[inode.kind]!,
    size: inode.size,
    mode: inode.mode,
    modifiedAt: new Date(inode.modifiedMs).toISOString(),
  };
}

const KIND_NAMES: Readonly<Record<number, FileStat['kind']>> = {
  [FILE_REGULAR]: 'file',
  [FILE_DIRECTORY]: 'directory',
  [FILE_SYMLINK]: 'symlink',
  [FILE_CHARACTER_DEVICE]: 'device',
};

function notFound(path: string): DrvsError {
  return new DrvsError('NotFound', `${path} does not exist in the DRVM`);
}

function isDirectory(path: string): DrvsError {
  return new DrvsError('InvalidInput', `${path} is a directory`);
}

function invalidRange(path: string, offset: number, length: number): DrvsError {
  return new DrvsError(
    'InvalidInput',
    `${path}: offset ${offset} and length ${length} must be whole numbers, not negative`,
  );
}
