/** read, write, pread, pwrite, getdents (MINIX's read.c and write.c). */
import {
  DIRENT_BYTES,
  FD,
  FD_APPEND,
  FD_DSYNC,
  FD_SYNC,
  FILE_CHARACTER_DEVICE,
  FILE_DIRECTORY,
  LENGTH,
  POSITION,
  RIGHT,
} from '../../calls.js';
import { isAttached } from './attached-devices.js';
import { readDevice, writeDevice } from './device.js';
import type { Filp, ProcessFiles } from './filedes.js';
import type { Inode } from './inode.js';
import { blocksOf } from './inode-tree.js';
import { BLOCK_BYTES, FILE_MAX_BYTES } from './limits.js';
import type { VfsCall, VfsState } from './state.js';
import { EFBIG, EINVAL, EIO, EISDIR, ENOSPC, ENOTDIR, ESPIPE, OK } from './status.js';

export const read: VfsCall = (vfs, process, request, data) => {
  const { words, doubles } = request;
  const descriptor = process.find(words[FD]!, RIGHT.FD_READ);
  if (typeof descriptor === 'number') return descriptor;
  const { filp } = descriptor;
  const length = clampLength(vfs, doubles[LENGTH]!);
  if (filp.inode.kind === FILE_CHARACTER_DEVICE) {
    if (isAttached(filp.inode.device)) {
      const bytes = vfs.attached.read(filp, length, request, data);
      if (typeof bytes === 'number') return bytes;
      vfs.ride = bytes;
      return bytes.length;
    }
    const target = vfs.buffer.subarray(0, length);
    const count = readDevice(vfs.devices, filp.inode.device, target, vfs.now());
    if (count > 0) vfs.ride = vfs.buffer.subarray(0, count);
    return count;
  }
  const count = readAt(vfs, filp.inode, filp.position, length);
  if (count > 0) filp.position += count;
  return count;
};

export const pread: VfsCall = (vfs, process, { words, doubles }) => {
  const descriptor = process.find(words[FD]!, RIGHT.FD_READ | RIGHT.FD_SEEK);
  if (typeof descriptor === 'number') return descriptor;
  const { inode } = descriptor.filp;
  if (inode.kind === FILE_CHARACTER_DEVICE) return ESPIPE;
  const position = doubles[POSITION]!;
  if (!isPosition(position)) return EINVAL;
  return readAt(vfs, inode, position, clampLength(vfs, doubles[LENGTH]!));
};

export const write: VfsCall = (vfs, process, request, data) => {
  const { words } = request;
  const descriptor = process.find(words[FD]!, RIGHT.FD_WRITE);
  if (typeof descriptor === 'number') return descriptor;
  const { filp } = descriptor;
  const { inode } = filp;
  if (isAttached(inode.device)) return vfs.attached.write(filp, request, data);
  if (inode.kind === FILE_CHARACTER_DEVICE) return writeDevice(vfs.devices, inode.device, filp.minor, data);
  const position = filp.flags & FD_APPEND ? inode.size : filp.position;
  const count = writeAt(vfs, inode, position, data);
  if (count <= 0) return count;
  filp.position = position + count;
  return synced(vfs, process, filp, count);
};

/** As on Linux, an append descriptor appends whatever the position. */
export const pwrite: VfsCall = (vfs, process, { words, doubles }, data) => {
  const descriptor = process.find(words[FD]!, RIGHT.FD_WRITE | RIGHT.FD_SEEK);
  if (typeof descriptor === 'number') return descriptor;
  const { filp } = descriptor;
  const { inode } = filp;
  if (inode.kind === FILE_CHARACTER_DEVICE) return ESPIPE;
  const position = filp.flags & FD_APPEND ? inode.size : doubles[POSITION]!;
  if (!isPosition(position)) return EINVAL;
  const count = writeAt(vfs, inode, position, data);
  return count < 0 ? count : synced(vfs, process, filp, count);
};

function clampLength(vfs: VfsState, length: number): number {
  return length > 0 ? Math.floor(Math.min(length, vfs.buffer.length)) : 0;
}

export function isPosition(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function synced(vfs: VfsState, process: ProcessFiles, filp: Filp, count: number): number {
  if (!(filp.flags & (FD_DSYNC | FD_SYNC)) || count === 0) return count;
  return vfs.replySynced(process, filp.inode.number, count);
}

/** Reads into the riding buffer. @returns bytes, or a negative status. */
function readAt(vfs: VfsState, inode: Inode, position: number, length: number): number {
  if (inode.entries) return EISDIR;
  const count = Math.min(length, inode.size - position);
  if (count <= 0) return 0;
  const target = vfs.buffer.subarray(0, count);
  if (vfs.store.read(inode.number, position, target) !== OK) return EIO;
  vfs.ride = target;
  return count;
}

/** @returns bytes written (fewer when the disk limit is reached within them), or a negative status. */
export function writeAt(vfs: VfsState, inode: Inode, position: number, bytes: Uint8Array): number {
  if (inode.entries) return EISDIR;
  let data = bytes;
  if (data.length === 0) return 0;
  if (position + data.length > FILE_MAX_BYTES) return EFBIG;
  const { size } = inode;
  if (position + data.length > size) {
    const room = vfs.limitBytes - vfs.tree.usedBytes + blocksOf(size);
    if (blocksOf(position + data.length) > room) {
      // What fits is written, as on any full disk; the next write then gets the error.
      const fits = Math.floor(room / BLOCK_BYTES) * BLOCK_BYTES - position;
      if (fits <= 0) return ENOSPC;
      data = data.subarray(0, Math.min(fits, data.length));
    }
  }
  const end = position + data.length;
  const status = vfs.store.write(inode.number, position, data);
  if (status !== OK) {
    if (end > size) vfs.store.truncate(inode.number, size);
    return status;
  }
  if (end > size) vfs.tree.setSize(inode, end);
  changed(vfs, inode);
  return data.length;
}

/** The content is new as of now. */
export function changed(vfs: VfsState, inode: Inode): void {
  const now = vfs.now();
  inode.modifiedMs = now;
  inode.modifiedNanos = 0;
  inode.changedMs = now;
  vfs.tree.markDirty(inode);
}

/** WASI's format, written here so that a listing is copied once. The last entry is cut where the room ends. */
export const getdents: VfsCall = (vfs, process, { words, doubles }) => {
  const descriptor = process.find(words[FD]!, 0);
  if (typeof descriptor === 'number') return descriptor;
  const directory = descriptor.filp.inode;
  if (!directory.entries) return ENOTDIR;
  const allowed = process.find(words[FD]!, RIGHT.FD_READDIR);
  if (typeof allowed === 'number') return allowed;
  const cookie = doubles[POSITION]!;
  if (!isPosition(cookie)) return EINVAL;
  const room = clampLength(vfs, doubles[LENGTH]!);
  let at = 0;
  if (cookie < 1) at = dirent(vfs.buffer, at, room, 1, directory, '.');
  if (cookie < 2 && at < room) at = dirent(vfs.buffer, at, room, 2, directory.parent!, '..');
  // The cookie of an entry is the place after it.
  for (let i = directory.entries.indexFrom(cookie + 1); at < room; i++) {
    const entry = directory.entries.at(i);
    if (!entry) break;
    if (!entry.isGone) at = dirent(vfs.buffer, at, room, entry.cookie, entry.inode, entry.name);
  }
  if (at > 0) vfs.ride = vfs.buffer.subarray(0, at);
  return at;
};

const oneEntry = Buffer.alloc(DIRENT_BYTES + 3 * 256);

/** @returns where the entry ends, or `room` when it was cut there. */
function dirent(
  to: Uint8Array,
  at: number,
  room: number,
  cookie: number,
  inode: Inode,
  name: string,
): number {
  const length = oneEntry.write(name, DIRENT_BYTES, 'utf8');
  putSize(cookie, 0);
  putSize(inode.number, 8);
  oneEntry.writeUInt32LE(length, 16);
  oneEntry.writeUInt32LE(inode.entries ? FILE_DIRECTORY : inode.kind, 20);
  const count = Math.min(DIRENT_BYTES + length, room - at);
  to.set(oneEntry.subarray(0, count), at);
  return at + count;
}

function putSize(value: number, at: number): void {
  oneEntry.writeUInt32LE(value % 2 ** 32, at);
  oneEntry.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}
