/** path_*: requests to VFS with one path or two, which ride with the message. */
import { SUSPENDED } from '@drvs/drvmm-core';
import {
  FD_FLAGS,
  FIRST_LENGTH,
  INHERITING,
  LENGTH,
  LOOKUP,
  MODE,
  OPEN_FLAGS,
  RIGHTS,
  SECOND_FD,
  VFS_LINK,
  VFS_MKDIR,
  VFS_OPEN,
  VFS_READLINK,
  VFS_RENAME,
  VFS_RMDIR,
  VFS_STAT,
  VFS_SYMLINK,
  VFS_UNLINK,
  VFS_UTIME,
} from '../calls.js';
import type { Caller } from '../kernel/caller.js';
import { FILESTAT_BYTES, putFilestat, putTimes } from './descriptors.js';
import { ERRNO, errnoOf } from './errno.js';
import { isInside } from './guest-memory.js';
import { begin, checkPath, mustWait, pathBytes, result, resultErrno, twoPaths } from './vfs-request.js';

/** Modes of what guests make: WASI has no word for them. */
const FILE_MODE = 0o644;
const DIRECTORY_MODE = 0o755;

export function path_open(
  c: Caller,
  fd: number,
  lookup: number,
  path: number,
  length: number,
  how: number,
  rights: bigint,
  inheriting: bigint,
  flags: number,
  opened: number,
): number {
  if (c.step === 0) {
    const errno = checkPath(c, path, length);
    if (errno !== ERRNO.SUCCESS) return errno;
    if (!isInside(c, opened, 4)) return ERRNO.FAULT;
    begin(c, VFS_OPEN, fd);
    const { words } = c.message;
    words[LOOKUP] = lookup;
    words[OPEN_FLAGS] = how;
    words[FD_FLAGS] = flags;
    words[RIGHTS] = Number(BigInt.asUintN(30, rights));
    words[INHERITING] = Number(BigInt.asUintN(30, inheriting));
    words[MODE] = FILE_MODE;
    if (mustWait(c, pathBytes(c, path, length))) return SUSPENDED;
  }
  const descriptor = result(c);
  if (descriptor < 0) return errnoOf(descriptor);
  c.view().setUint32(opened >>> 0, descriptor, true);
  return ERRNO.SUCCESS;
}

/** Requests that have only a path and answer only a status. */
function plain(call: number) {
  return (c: Caller, fd: number, path: number, length: number): number => {
    if (c.step === 0) {
      const errno = checkPath(c, path, length);
      if (errno !== ERRNO.SUCCESS) return errno;
      begin(c, call, fd);
      c.message.words[MODE] = DIRECTORY_MODE;
      if (mustWait(c, pathBytes(c, path, length))) return SUSPENDED;
    }
    return resultErrno(c);
  };
}

export const path_create_directory = plain(VFS_MKDIR);
export const path_remove_directory = plain(VFS_RMDIR);
export const path_unlink_file = plain(VFS_UNLINK);

export function path_filestat_get(
  c: Caller,
  fd: number,
  lookup: number,
  path: number,
  length: number,
  address: number,
): number {
  if (c.step === 0) {
    const errno = checkPath(c, path, length);
    if (errno !== ERRNO.SUCCESS) return errno;
    if (!isInside(c, address, FILESTAT_BYTES)) return ERRNO.FAULT;
    begin(c, VFS_STAT, fd);
    c.message.words[LOOKUP] = lookup;
    if (mustWait(c, pathBytes(c, path, length))) return SUSPENDED;
  }
  if (result(c) < 0) return resultErrno(c);
  putFilestat(c.view(), address >>> 0, c.message);
  return ERRNO.SUCCESS;
}

export function path_filestat_set_times(
  c: Caller,
  fd: number,
  lookup: number,
  path: number,
  length: number,
  access: bigint,
  modified: bigint,
  flags: number,
): number {
  if (c.step === 0) {
    const errno = checkPath(c, path, length);
    if (errno !== ERRNO.SUCCESS) return errno;
    begin(c, VFS_UTIME, fd);
    c.message.words[LOOKUP] = lookup;
    putTimes(c.message, access, modified, flags);
    if (mustWait(c, pathBytes(c, path, length))) return SUSPENDED;
  }
  return resultErrno(c);
}

function withTwoPaths(
  c: Caller,
  call: number,
  fd: number,
  lookup: number,
  path: number,
  length: number,
  newFd: number,
  newPath: number,
  newLength: number,
): number {
  if (c.step === 0) {
    const errno = checkPath(c, path, length) || checkPath(c, newPath, newLength);
    if (errno !== ERRNO.SUCCESS) return errno;
    begin(c, call, fd);
    const { words } = c.message;
    words[LOOKUP] = lookup;
    words[SECOND_FD] = newFd;
    words[FIRST_LENGTH] = length;
    if (mustWait(c, twoPaths(c, path, length, newPath, newLength))) return SUSPENDED;
  }
  return resultErrno(c);
}

export function path_link(
  c: Caller,
  fd: number,
  lookup: number,
  path: number,
  length: number,
  newFd: number,
  newPath: number,
  newLength: number,
): number {
  return withTwoPaths(c, VFS_LINK, fd, lookup, path, length, newFd, newPath, newLength);
}

export function path_rename(
  c: Caller,
  fd: number,
  path: number,
  length: number,
  newFd: number,
  newPath: number,
  newLength: number,
): number {
  return withTwoPaths(c, VFS_RENAME, fd, 0, path, length, newFd, newPath, newLength);
}

export function path_symlink(
  c: Caller,
  target: number,
  targetLength: number,
  fd: number,
  path: number,
  length: number,
): number {
  return withTwoPaths(c, VFS_SYMLINK, fd, 0, target, targetLength, fd, path, length);
}

export function path_readlink(
  c: Caller,
  fd: number,
  path: number,
  length: number,
  buffer: number,
  room: number,
  used: number,
): number {
  if (c.step === 0) {
    const errno = checkPath(c, path, length);
    if (errno !== ERRNO.SUCCESS) return errno;
    if (!isInside(c, buffer, room) || !isInside(c, used, 4)) return ERRNO.FAULT;
    begin(c, VFS_READLINK, fd);
    c.message.doubles[LENGTH] = room >>> 0;
    if (mustWait(c, pathBytes(c, path, length))) return SUSPENDED;
  }
  const count = result(c);
  if (count < 0) return errnoOf(count);
  c.bytes().set(c.replyData().subarray(0, count), buffer >>> 0);
  c.view().setUint32(used >>> 0, count, true);
  return ERRNO.SUCCESS;
}
