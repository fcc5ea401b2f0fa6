/** fd_*: all of them are requests to VFS, which keeps the descriptors. */
import { MAX_RIDING_BYTES, type Message, SUSPENDED } from '@drvs/drvmm-core';
import {
  ADVICE,
  DIRENT_BYTES,
  FD_FLAGS,
  FDSTAT_FLAGS,
  FDSTAT_INHERITING,
  FDSTAT_KIND,
  FDSTAT_RIGHTS,
  INHERITING,
  LENGTH,
  POSITION,
  RIGHTS,
  SECOND_FD,
  SEEK_CUR,
  STAT_ACCESS,
  STAT_ACCESS_NANOS,
  STAT_CHANGED,
  STAT_INODE,
  STAT_KIND_MODE,
  STAT_LINKS,
  STAT_MODIFIED,
  STAT_MODIFIED_NANOS,
  STAT_SIZE,
  TIME_ACCESS,
  TIME_ACCESS_NANOS,
  TIME_FLAGS,
  TIME_MODIFIED,
  TIME_MODIFIED_NANOS,
  VFS_ADVISE,
  VFS_ALLOCATE,
  VFS_CLOSE,
  VFS_FDATASYNC,
  VFS_FDSTAT,
  VFS_FSTAT,
  VFS_FSYNC,
  VFS_FTRUNCATE,
  VFS_FUTIME,
  VFS_GETDENTS,
  VFS_LSEEK,
  VFS_PREAD,
  VFS_PRESTAT,
  VFS_PWRITE,
  VFS_READ,
  VFS_RENUMBER,
  VFS_SET_FLAGS,
  VFS_SET_RIGHTS,
  VFS_WRITE,
  WHENCE,
} from '../calls.js';
import type { Caller } from '../kernel/caller.js';
import { ERRNO, errnoOf } from './errno.js';
import { gather, isInside, scatter, setNanos, setSize, toSize, vectorLength } from './guest-memory.js';
import { begin, mustWait, result, resultErrno } from './vfs-request.js';

export const FILESTAT_BYTES = 64;
const FDSTAT_BYTES = 24;
const PRESTAT_BYTES = 8;
/** Rights have 30 bits; a request with others asks for what nobody has. */
const NO_SUCH_RIGHT = -(2 ** 31);

/** In `scratch` of transfers: bytes done. In that of fd_readdir also: bytes of whole entries, and the cookie after them. */
const DONE = 0;
const WHOLE = 0;
const COOKIE = 1;

/** Steps of a transfer: a request is with VFS, or the next one is to be sent. */
const WAITING = 1;
const NEXT = 2;

/**
 * Writes in pieces of at most MAX_RIDING_BYTES; how far it came is in `scratch`, so the process may wait, and move,
 * between any two. One piece and no allocation but the view for what is small.
 */
function writeVectors(
  caller: Caller,
  call: number,
  fd: number,
  vectors: number,
  count: number,
  offset: number,
  resultAddress: number,
): number {
  const total = vectorLength(caller, vectors, count);
  if (total < 0) return -total;
  if (!isInside(caller, resultAddress, 4)) return ERRNO.FAULT;
  const { scratch } = caller;
  for (;;) {
    const data = gather(caller, vectors, count >>> 0, scratch[DONE]!);
    if (caller.step !== WAITING) {
      begin(caller, call, fd);
      caller.message.doubles[POSITION] = offset + scratch[DONE]!;
      if (mustWait(caller, data)) return SUSPENDED;
    }
    caller.step = NEXT;
    const written = result(caller);
    if (written < 0) {
      // What was done before the error counts; the next call meets the error again.
      if (scratch[DONE] === 0) return errnoOf(written);
      break;
    }
    scratch[DONE]! += written;
    if (written < data.length || scratch[DONE]! >= total) break;
  }
  caller.view().setUint32(resultAddress >>> 0, scratch[DONE]!, true);
  return ERRNO.SUCCESS;
}

function readVectors(
  caller: Caller,
  call: number,
  fd: number,
  vectors: number,
  count: number,
  offset: number,
  resultAddress: number,
): number {
  const total = vectorLength(caller, vectors, count);
  if (total < 0) return -total;
  if (!isInside(caller, resultAddress, 4)) return ERRNO.FAULT;
  const { scratch } = caller;
  for (;;) {
    const wanted = Math.min(total - scratch[DONE]!, MAX_RIDING_BYTES);
    if (caller.step !== WAITING) {
      begin(caller, call, fd);
      caller.message.doubles[POSITION] = offset + scratch[DONE]!;
      caller.message.doubles[LENGTH] = wanted;
      if (mustWait(caller)) return SUSPENDED;
    }
    caller.step = NEXT;
    const got = result(caller);
    if (got < 0) {
      if (scratch[DONE] === 0) return errnoOf(got);
      break;
    }
    if (got > 0) scatter(caller, vectors, count >>> 0, scratch[DONE]!, caller.replyData());
    scratch[DONE]! += got;
    if (got < wanted || scratch[DONE]! >= total) break;
  }
  caller.view().setUint32(resultAddress >>> 0, scratch[DONE]!, true);
  return ERRNO.SUCCESS;
}

export function fd_write(c: Caller, fd: number, vectors: number, count: number, written: number): number {
  return writeVectors(c, VFS_WRITE, fd, vectors, count, 0, written);
}

export function fd_read(c: Caller, fd: number, vectors: number, count: number, read: number): number {
  return readVectors(c, VFS_READ, fd, vectors, count, 0, read);
}

export function fd_pwrite(
  c: Caller,
  fd: number,
  vectors: number,
  count: number,
  offset: bigint,
  written: number,
): number {
  const position = toSize(offset);
  if (position < 0) return ERRNO.INVAL;
  return writeVectors(c, VFS_PWRITE, fd, vectors, count, position, written);
}

export function fd_pread(
  c: Caller,
  fd: number,
  vectors: number,
  count: number,
  offset: bigint,
  read: number,
): number {
  const position = toSize(offset);
  if (position < 0) return ERRNO.INVAL;
  return readVectors(c, VFS_PREAD, fd, vectors, count, position, read);
}

/**
 * The buffer is filled to its end, the last entry cut there, unless the directory ends first: that is how a program
 * knows. Beyond one riding load, each request goes on after the last whole entry.
 */
export function fd_readdir(
  c: Caller,
  fd: number,
  buffer: number,
  length: number,
  cookie: bigint,
  used: number,
): number {
  const first = toSize(cookie);
  if (first < 0) return ERRNO.INVAL;
  const room = length >>> 0;
  const start = buffer >>> 0;
  if (!isInside(c, buffer, length) || !isInside(c, used, 4)) return ERRNO.FAULT;
  const { scratch } = c;
  let filled: number;
  for (;;) {
    const wanted = Math.min(room - scratch[WHOLE]!, MAX_RIDING_BYTES);
    if (c.step !== WAITING) {
      begin(c, VFS_GETDENTS, fd);
      c.message.doubles[POSITION] = scratch[WHOLE]! > 0 ? scratch[COOKIE]! : first;
      c.message.doubles[LENGTH] = wanted;
      if (mustWait(c)) return SUSPENDED;
    }
    c.step = NEXT;
    const got = result(c);
    if (got < 0) return errnoOf(got);
    const at = start + scratch[WHOLE]!;
    if (got > 0) c.bytes().set(c.replyData().subarray(0, got), at);
    filled = scratch[WHOLE]! + got;
    if (got < wanted || filled >= room) break;
    const before = scratch[WHOLE]!;
    noteWholeEntries(c, at, got);
    if (scratch[WHOLE] === before) break;
  }
  c.view().setUint32(used >>> 0, filled, true);
  return ERRNO.SUCCESS;
}

/** Moves WHOLE and COOKIE to after the last entry that is complete among these bytes. */
function noteWholeEntries(c: Caller, start: number, length: number): void {
  const view = c.view();
  let at = start;
  const end = start + length;
  while (at + DIRENT_BYTES <= end) {
    const next = at + DIRENT_BYTES + view.getUint32(at + 16, true);
    if (next > end) break;
    c.scratch[COOKIE] = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
    c.scratch[WHOLE]! += next - at;
    at = next;
  }
}

/** Requests that have only a descriptor and answer only a status. */
function plain(call: number) {
  return (c: Caller, fd: number): number => {
    if (c.step === 0) {
      begin(c, call, fd);
      if (mustWait(c)) return SUSPENDED;
    }
    return resultErrno(c);
  };
}

export const fd_close = plain(VFS_CLOSE);
export const fd_sync = plain(VFS_FSYNC);
export const fd_datasync = plain(VFS_FDATASYNC);

export function fd_advise(c: Caller, fd: number, offset: bigint, length: bigint, advice: number): number {
  if (c.step === 0) {
    if (BigInt.asIntN(64, offset) < 0n || BigInt.asIntN(64, length) < 0n) return ERRNO.INVAL;
    begin(c, VFS_ADVISE, fd);
    c.message.words[ADVICE] = advice;
    if (mustWait(c)) return SUSPENDED;
  }
  return resultErrno(c);
}

export function fd_allocate(c: Caller, fd: number, offset: bigint, length: bigint): number {
  if (c.step === 0) {
    begin(c, VFS_ALLOCATE, fd);
    c.message.doubles[POSITION] = toSize(offset);
    c.message.doubles[LENGTH] = toSize(length);
    if (mustWait(c)) return SUSPENDED;
  }
  return resultErrno(c);
}

export function fd_fdstat_get(c: Caller, fd: number, address: number): number {
  if (c.step === 0) {
    if (!isInside(c, address, FDSTAT_BYTES)) return ERRNO.FAULT;
    begin(c, VFS_FDSTAT, fd);
    if (mustWait(c)) return SUSPENDED;
  }
  if (result(c) < 0) return resultErrno(c);
  const { words } = c.message;
  const view = c.view();
  const at = address >>> 0;
  view.setUint16(at, words[FDSTAT_KIND]!, true);
  view.setUint16(at + 2, words[FDSTAT_FLAGS]!, true);
  view.setUint32(at + 4, 0, true);
  setSize(view, at + 8, words[FDSTAT_RIGHTS]!);
  setSize(view, at + 16, words[FDSTAT_INHERITING]!);
  return ERRNO.SUCCESS;
}

export function fd_fdstat_set_flags(c: Caller, fd: number, flags: number): number {
  if (c.step === 0) {
    begin(c, VFS_SET_FLAGS, fd);
    c.message.words[FD_FLAGS] = flags;
    if (mustWait(c)) return SUSPENDED;
  }
  return resultErrno(c);
}

/** The rights as a word; those beyond the ones that exist become one that no descriptor has. */
function rightsWord(rights: bigint): number {
  const unsigned = BigInt.asUintN(64, rights);
  return unsigned < 1n << 30n ? Number(unsigned) : NO_SUCH_RIGHT;
}

export function fd_fdstat_set_rights(c: Caller, fd: number, base: bigint, inheriting: bigint): number {
  if (c.step === 0) {
    begin(c, VFS_SET_RIGHTS, fd);
    c.message.words[RIGHTS] = rightsWord(base);
    c.message.words[INHERITING] = rightsWord(inheriting);
    if (mustWait(c)) return SUSPENDED;
  }
  return resultErrno(c);
}

/** FILESTAT_BYTES from a reply of STAT or FSTAT. */
export function putFilestat(view: DataView, at: number, { words, doubles }: Message): void {
  setSize(view, at, 1);
  setSize(view, at + 8, doubles[STAT_INODE]!);
  setSize(view, at + 16, words[STAT_KIND_MODE]! >>> 16);
  setSize(view, at + 24, words[STAT_LINKS]!);
  setSize(view, at + 32, doubles[STAT_SIZE]!);
  setNanos(view, at + 40, doubles[STAT_ACCESS]!, words[STAT_ACCESS_NANOS]!);
  setNanos(view, at + 48, doubles[STAT_MODIFIED]!, words[STAT_MODIFIED_NANOS]!);
  setNanos(view, at + 56, doubles[STAT_CHANGED]!);
}

export function fd_filestat_get(c: Caller, fd: number, address: number): number {
  if (c.step === 0) {
    if (!isInside(c, address, FILESTAT_BYTES)) return ERRNO.FAULT;
    begin(c, VFS_FSTAT, fd);
    if (mustWait(c)) return SUSPENDED;
  }
  if (result(c) < 0) return resultErrno(c);
  putFilestat(c.view(), address >>> 0, c.message);
  return ERRNO.SUCCESS;
}

export function fd_filestat_set_size(c: Caller, fd: number, size: bigint): number {
  if (c.step === 0) {
    begin(c, VFS_FTRUNCATE, fd);
    c.message.doubles[POSITION] = toSize(size);
    if (mustWait(c)) return SUSPENDED;
  }
  return resultErrno(c);
}

const NANOS_PER_MS = 1_000_000n;

/** Times and flags of a request, exactly. */
export function putTimes({ words, doubles }: Message, access: bigint, modified: bigint, flags: number): void {
  const a = BigInt.asUintN(64, access);
  const m = BigInt.asUintN(64, modified);
  words[TIME_FLAGS] = flags;
  doubles[TIME_ACCESS] = Number(a / NANOS_PER_MS);
  doubles[TIME_MODIFIED] = Number(m / NANOS_PER_MS);
  words[TIME_ACCESS_NANOS] = Number(a % NANOS_PER_MS);
  words[TIME_MODIFIED_NANOS] = Number(m % NANOS_PER_MS);
}

export function fd_filestat_set_times(
  c: Caller,
  fd: number,
  access: bigint,
  modified: bigint,
  flags: number,
): number {
  if (c.step === 0) {
    begin(c, VFS_FUTIME, fd);
    putTimes(c.message, access, modified, flags);
    if (mustWait(c)) return SUSPENDED;
  }
  return resultErrno(c);
}

export function fd_prestat_get(c: Caller, fd: number, address: number): number {
  if (c.step === 0) {
    if (!isInside(c, address, PRESTAT_BYTES)) return ERRNO.FAULT;
    begin(c, VFS_PRESTAT, fd);
    if (mustWait(c)) return SUSPENDED;
  }
  const length = result(c);
  if (length < 0) return errnoOf(length);
  const view = c.view();
  // The only kind there is: a directory.
  view.setUint32(address >>> 0, 0, true);
  view.setUint32((address >>> 0) + 4, length, true);
  return ERRNO.SUCCESS;
}

export function fd_prestat_dir_name(c: Caller, fd: number, address: number, room: number): number {
  if (c.step === 0) {
    if (!isInside(c, address, room)) return ERRNO.FAULT;
    begin(c, VFS_PRESTAT, fd);
    if (mustWait(c)) return SUSPENDED;
  }
  const length = result(c);
  if (length < 0) return errnoOf(length);
  if (length > room >>> 0) return ERRNO.NAMETOOLONG;
  c.bytes().set(c.replyData().subarray(0, length), address >>> 0);
  return ERRNO.SUCCESS;
}

export function fd_renumber(c: Caller, from: number, to: number): number {
  if (c.step === 0) {
    begin(c, VFS_RENUMBER, from);
    c.message.words[SECOND_FD] = to;
    if (mustWait(c)) return SUSPENDED;
  }
  return resultErrno(c);
}

export function fd_seek(c: Caller, fd: number, offset: bigint, whence: number, address: number): number {
  if (c.step === 0) {
    if (!isInside(c, address, 8)) return ERRNO.FAULT;
    const signed = BigInt.asIntN(64, offset);
    const distance = Number(signed);
    if (!Number.isSafeInteger(distance)) return ERRNO.INVAL;
    begin(c, VFS_LSEEK, fd);
    c.message.words[WHENCE] = whence;
    c.message.doubles[POSITION] = distance;
    if (mustWait(c)) return SUSPENDED;
  }
  if (result(c) < 0) return resultErrno(c);
  setSize(c.view(), address >>> 0, c.message.doubles[POSITION]!);
  return ERRNO.SUCCESS;
}

export function fd_tell(c: Caller, fd: number, address: number): number {
  return fd_seek(c, fd, 0n, SEEK_CUR, address);
}
