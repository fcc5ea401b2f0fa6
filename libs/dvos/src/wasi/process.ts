/** proc_*, sched_yield, random_get, sock_*. */
import { SUSPENDED } from '@drvs/drvmm-core';
import { VFS_FDSTAT } from '../calls.js';
import type { Caller, SystemCall } from '../kernel/caller.js';
import { ERRNO, errnoOf } from './errno.js';
import { isInside } from './guest-memory.js';
import { begin, mustWait, result } from './vfs-request.js';

export function proc_exit(c: Caller, code: number): number {
  return c.exit(code);
}

/** WASI counts signals as Linux does up to TERM (15); it has no STKFLT, so from CHLD (16) on they are one less. */
const WASI_CHLD = 16;
const WASI_SYS = 30;

export function proc_raise(c: Caller, signal: number): number {
  if (signal < 0 || signal > WASI_SYS) return ERRNO.INVAL;
  if (signal === 0) return ERRNO.SUCCESS;
  if (c.step !== 0) return ERRNO.SUCCESS;
  c.step = 1;
  const status = c.raise(signal < WASI_CHLD ? signal : signal + 1);
  return status === SUSPENDED ? SUSPENDED : errnoOf(status);
}

export function sched_yield(c: Caller): number {
  if (c.step !== 0) return ERRNO.SUCCESS;
  c.step = 1;
  return c.yield();
}

/** node:crypto's functions take no more at a time. */
const RANDOM_MAX_BYTES = 65_536;

export function randomCall(fill: (target: Uint8Array) => void): SystemCall {
  return (c: Caller, address: number, length: number): number => {
    if (!isInside(c, address, length)) return ERRNO.FAULT;
    const start = address >>> 0;
    const end = start + (length >>> 0);
    const bytes = c.bytes();
    for (let at = start; at < end; at += RANDOM_MAX_BYTES) {
      fill(bytes.subarray(at, Math.min(at + RANDOM_MAX_BYTES, end)));
    }
    return ERRNO.SUCCESS;
  };
}

/** There are no sockets among the descriptors: NOTSOCK for those that exist, BADF for others. */
function noSocket(c: Caller, fd: number): number {
  if (c.step === 0) {
    begin(c, VFS_FDSTAT, fd);
    if (mustWait(c)) return SUSPENDED;
  }
  return result(c) < 0 ? errnoOf(result(c)) : ERRNO.NOTSOCK;
}

export const sock_accept = noSocket;
export const sock_recv = noSocket;
export const sock_send = noSocket;
export const sock_shutdown = noSocket;
