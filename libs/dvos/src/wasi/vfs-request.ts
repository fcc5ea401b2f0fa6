import { SUSPENDED, VFS } from '@drvs/drvmm-core';
import { FD } from '../calls.js';
import type { Caller } from '../kernel/caller.js';
import { PATH_MAX_BYTES } from '../servers/vfs/limits.js';
import { ERRNO, errnoOf } from './errno.js';
import { isInside, staging } from './guest-memory.js';

/** Step of a system call whose request is with VFS. */
export const ASKED = 1;

/** Begins a request. */
export function begin(caller: Caller, call: number, fd: number): void {
  caller.message.clear();
  caller.message.type = call;
  caller.message.words[FD] = fd;
}

/** Sends it. @returns whether the system call must return SUSPENDED now. */
export function mustWait(caller: Caller, data?: Uint8Array): boolean {
  caller.step = ASKED;
  return caller.sendrec(VFS, data) === SUSPENDED;
}

/** What came of it: the reply's type, or why there is no reply. */
export function result(caller: Caller): number {
  return caller.outcome < 0 ? caller.outcome : caller.message.type;
}

export function resultErrno(caller: Caller): number {
  return errnoOf(result(caller));
}

/** SUCCESS when a path can be taken from there. */
export function checkPath(caller: Caller, address: number, length: number): number {
  if (!isInside(caller, address, length)) return ERRNO.FAULT;
  return length >>> 0 > PATH_MAX_BYTES ? ERRNO.NAMETOOLONG : ERRNO.SUCCESS;
}

/** A checked path, as bytes of the guest's memory. */
export function pathBytes(caller: Caller, address: number, length: number): Uint8Array {
  const start = address >>> 0;
  return caller.bytes().subarray(start, start + (length >>> 0));
}

/** Two checked paths, one after the other. */
export function twoPaths(
  caller: Caller,
  first: number,
  firstLength: number,
  second: number,
  secondLength: number,
): Uint8Array {
  staging.set(pathBytes(caller, first, firstLength));
  staging.set(pathBytes(caller, second, secondLength), firstLength);
  return staging.subarray(0, firstLength + secondLength);
}
