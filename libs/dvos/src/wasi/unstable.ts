/**
 * wasi_unstable (preview 0), where it is not as preview 1: `whence` is counted differently, a filestat has 56 bytes,
 * a clock subscription has a field more. Older compilers still make such modules.
 */
import { SUSPENDED } from '@drvs/drvmm-core';
import { LOOKUP, SEEK_CUR, SEEK_END, SEEK_SET, STAT_LINKS, VFS_FSTAT, VFS_STAT } from '../calls.js';
import type { Caller } from '../kernel/caller.js';
import { fd_seek, putFilestat } from './descriptors.js';
import { ERRNO } from './errno.js';
import { isInside } from './guest-memory.js';
import { begin, checkPath, mustWait, pathBytes, result, resultErrno } from './vfs-request.js';

const UNSTABLE_FILESTAT_BYTES = 56;
const WHENCES = [SEEK_CUR, SEEK_END, SEEK_SET];

export function unstable_fd_seek(
  c: Caller,
  fd: number,
  offset: bigint,
  whence: number,
  address: number,
): number {
  const translated = WHENCES[whence];
  return translated === undefined ? ERRNO.INVAL : fd_seek(c, fd, offset, translated, address);
}

/** dev, ino, kind at 16, links u32 at 20, size at 24, then the times. */
function put(c: Caller, address: number): number {
  const whole = new DataView(new ArrayBuffer(64));
  putFilestat(whole, 0, c.message);
  const bytes = new Uint8Array(UNSTABLE_FILESTAT_BYTES);
  bytes.set(new Uint8Array(whole.buffer, 0, 20));
  new DataView(bytes.buffer).setUint32(20, c.message.words[STAT_LINKS]!, true);
  bytes.set(new Uint8Array(whole.buffer, 32, 32), 24);
  c.bytes().set(bytes, address >>> 0);
  return ERRNO.SUCCESS;
}

export function unstable_fd_filestat_get(c: Caller, fd: number, address: number): number {
  if (c.step === 0) {
    if (!isInside(c, address, UNSTABLE_FILESTAT_BYTES)) return ERRNO.FAULT;
    begin(c, VFS_FSTAT, fd);
    if (mustWait(c)) return SUSPENDED;
  }
  return result(c) < 0 ? resultErrno(c) : put(c, address);
}

export function unstable_path_filestat_get(
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
    if (!isInside(c, address, UNSTABLE_FILESTAT_BYTES)) return ERRNO.FAULT;
    begin(c, VFS_STAT, fd);
    c.message.words[LOOKUP] = lookup;
    if (mustWait(c, pathBytes(c, path, length))) return SUSPENDED;
  }
  return result(c) < 0 ? resultErrno(c) : put(c, address);
}
