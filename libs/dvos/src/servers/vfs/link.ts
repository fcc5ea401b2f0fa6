/** link, unlink, rmdir, rename, symlink, readlink, ftruncate, allocate (MINIX's link.c). */
import {
  FD,
  FILE_DIRECTORY,
  FILE_REGULAR,
  FILE_SYMLINK,
  FIRST_LENGTH,
  LENGTH,
  LOOKUP,
  LOOKUP_FOLLOW,
  POSITION,
  RIGHT,
  SECOND_FD,
} from '../../calls.js';
import type { Inode } from './inode.js';
import { blocksOf } from './inode-tree.js';
import { FILE_MAX_BYTES, LINK_MAX } from './limits.js';
import { decodePath, FOLLOW, KEEP_LAST } from './path.js';
import { changed, isPosition } from './read-write.js';
import type { VfsCall, VfsState } from './state.js';
import {
  EBUSY,
  EEXIST,
  EFBIG,
  EINVAL,
  EISDIR,
  EMLINK,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  OK,
} from './status.js';

export const link: VfsCall = (vfs, process, { words }, data) => {
  const length = words[FIRST_LENGTH]!;
  if (length < 0 || length > data.length) return EINVAL;
  const follow = words[LOOKUP]! & LOOKUP_FOLLOW ? FOLLOW : 0;
  let status = vfs.find(process, words[FD]!, RIGHT.PATH_LINK_SOURCE, data.subarray(0, length), follow);
  if (status !== OK) return status;
  const { inode } = vfs.lookup;
  if (!inode) return ENOENT;
  status = vfs.find(process, words[SECOND_FD]!, RIGHT.PATH_LINK_TARGET, data.subarray(length), KEEP_LAST);
  if (status !== OK) return status;
  const { parent, name, mustBeDirectory } = vfs.lookup;
  if (vfs.lookup.inode) return EEXIST;
  if (mustBeDirectory) return ENOENT;
  if (inode.entries) return EPERM;
  if (inode.links >= LINK_MAX) return EMLINK;
  status = vfs.store.status();
  if (status !== OK) return status;
  vfs.commitAttributes(inode);
  vfs.commit({ kind: 'link', inode: inode.number, parent: parent.number, name, at: vfs.now() });
  return OK;
};

export const unlink: VfsCall = (vfs, process, { words }, data) => {
  const status = vfs.find(process, words[FD]!, RIGHT.PATH_UNLINK_FILE, data, KEEP_LAST);
  return status === OK ? removeFile(vfs) : status;
};

/** Takes away the name that the latest look-up found, of anything but a directory. */
export function removeFile(vfs: VfsState): number {
  const { inode, parent, name } = vfs.lookup;
  if (!inode) return ENOENT;
  if (inode.entries) return EISDIR;
  if (inode.links > 1) vfs.commitAttributes(inode);
  vfs.commit({ kind: 'unlink', parent: parent.number, name, at: vfs.now() });
  return OK;
}

export const rmdir: VfsCall = (vfs, process, { words }, data) => {
  const status = vfs.find(process, words[FD]!, RIGHT.PATH_REMOVE_DIRECTORY, data, KEEP_LAST);
  return status === OK ? removeDirectory(vfs) : status;
};

/** Takes away the empty directory that the latest look-up found. */
export function removeDirectory(vfs: VfsState): number {
  const { inode, parent, name } = vfs.lookup;
  if (!inode) return ENOENT;
  if (!inode.entries) return ENOTDIR;
  if (inode === vfs.tree.root) return EBUSY;
  if (name === '') return EINVAL;
  if (inode.entries.size > 0) return ENOTEMPTY;
  vfs.commit({ kind: 'unlink', parent: parent.number, name, at: vfs.now() });
  return OK;
}

export const rename: VfsCall = (vfs, process, { words }, data) => {
  const length = words[FIRST_LENGTH]!;
  if (length < 0 || length > data.length) return EINVAL;
  let status = vfs.find(process, words[FD]!, RIGHT.PATH_RENAME_SOURCE, data.subarray(0, length), KEEP_LAST);
  if (status !== OK) return status;
  const { inode, parent, name } = vfs.lookup;
  status = vfs.find(process, words[SECOND_FD]!, RIGHT.PATH_RENAME_TARGET, data.subarray(length), KEEP_LAST);
  if (status !== OK) return status;
  return move(vfs, inode, parent, name);
};

/** Gives a file the name that the latest look-up found. */
export function move(vfs: VfsState, inode: Inode | null, parent: Inode, name: string): number {
  const { inode: replaced, parent: newParent, name: newName, mustBeDirectory } = vfs.lookup;
  if (!inode) return ENOENT;
  if (name === '' || newName === '') return EBUSY;
  if (isAbove(inode, newParent)) return EINVAL;
  if (!inode.entries && mustBeDirectory) return ENOTDIR;
  if (replaced === inode) return OK;
  // The file to be moved lies in it.
  if (replaced && isAbove(replaced, parent)) return ENOTEMPTY;
  if (replaced) {
    if (inode.entries && !replaced.entries) return ENOTDIR;
    if (!inode.entries && replaced.entries) return EISDIR;
    if (replaced.entries && replaced.entries.size > 0) return ENOTEMPTY;
    if (replaced.links > 1) vfs.commitAttributes(replaced);
  }
  const status = vfs.store.status();
  if (status !== OK) return status;
  // What is written before a rename is there when the rename is: files are replaced safely this way.
  vfs.commitAttributes(inode);
  vfs.commit({
    kind: 'rename',
    parent: parent.number,
    name,
    newParent: newParent.number,
    newName,
    at: vfs.now(),
  });
  return OK;
}

function isAbove(inode: Inode, directory: Inode): boolean {
  if (!inode.entries) return false;
  let each = directory;
  while (each !== inode && each !== each.parent) each = each.parent!;
  return each === inode;
}

export const symlink: VfsCall = (vfs, process, { words }, data) => {
  const length = words[FIRST_LENGTH]!;
  if (length < 0 || length > data.length) return EINVAL;
  const target = decodePath(data.subarray(0, length));
  if (typeof target === 'number') return target;
  const status = vfs.find(process, words[FD]!, RIGHT.PATH_SYMLINK, data.subarray(length), KEEP_LAST);
  if (status !== OK) return status;
  if (target === '') return ENOENT;
  if (vfs.lookup.inode) return EEXIST;
  if (vfs.lookup.mustBeDirectory) return ENOENT;
  const made = vfs.make(FILE_SYMLINK, 0o777, 0, target);
  return typeof made === 'number' ? made : OK;
};

export const readlink: VfsCall = (vfs, process, { words, doubles }, data) => {
  const status = vfs.find(process, words[FD]!, RIGHT.PATH_READLINK, data, 0);
  if (status !== OK) return status;
  const { inode } = vfs.lookup;
  if (!inode) return ENOENT;
  if (inode.kind !== FILE_SYMLINK) return EINVAL;
  const target = Buffer.from(inode.target);
  const count = Math.max(0, Math.min(target.length, doubles[LENGTH]!, vfs.buffer.length));
  if (count > 0) vfs.ride = target.subarray(0, count);
  return count;
};

export const ftruncate: VfsCall = (vfs, process, { words, doubles }) => {
  const descriptor = process.find(words[FD]!, RIGHT.FD_FILESTAT_SET_SIZE);
  if (typeof descriptor === 'number') return descriptor;
  const { inode } = descriptor.filp;
  if (inode.kind !== FILE_REGULAR) return inode.kind === FILE_DIRECTORY ? EISDIR : EINVAL;
  return resize(vfs, inode, doubles[POSITION]!);
};

export const allocate: VfsCall = (vfs, process, { words, doubles }) => {
  const descriptor = process.find(words[FD]!, RIGHT.FD_ALLOCATE);
  if (typeof descriptor === 'number') return descriptor;
  const { inode } = descriptor.filp;
  if (inode.kind !== FILE_REGULAR) return EINVAL;
  const offset = doubles[POSITION]!;
  const length = doubles[LENGTH]!;
  if (!isPosition(offset) || !isPosition(length) || length === 0) return EINVAL;
  const end = offset + length;
  return end <= inode.size ? OK : resize(vfs, inode, end);
};

/** A regular file's new size; bytes that were not there read as zeros. */
export function resize(vfs: VfsState, inode: Inode, size: number): number {
  if (!isPosition(size)) return EINVAL;
  if (size > FILE_MAX_BYTES) return EFBIG;
  const grows = size > inode.size;
  if (grows) {
    const status = vfs.store.status();
    if (status !== OK) return status;
    if (vfs.tree.usedBytes + blocksOf(size) - blocksOf(inode.size) > vfs.limitBytes) return ENOSPC;
  }
  const shrinks = size < inode.size;
  vfs.tree.setSize(inode, size);
  changed(vfs, inode);
  if (!shrinks) return OK;
  vfs.commitAttributes(inode);
  return vfs.store.truncate(inode.number, size);
}
