/** stat, fstat, utime, futime, prestat (MINIX's stadir.c and time.c). */

import type { Message } from '@drvs/drvmm-core';
import {
  FD,
  LOOKUP,
  LOOKUP_FOLLOW,
  RIGHT,
  SET_ACCESS,
  SET_ACCESS_NOW,
  SET_MODIFIED,
  SET_MODIFIED_NOW,
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
} from '../../calls.js';
import type { Inode } from './inode.js';
import { FOLLOW } from './path.js';
import type { VfsCall, VfsState } from './state.js';
import { EBADF, EINVAL, ENOENT, OK } from './status.js';

/** What a directory and a device say of their size. */
const DIRECTORY_BYTES = 4096;
/** The last instant that a Date can say (ECMA-262, 21.4.1.1). */
const LAST_MS = 8.64e15;

export const stat: VfsCall = (vfs, process, { words }, data) => {
  const follow = words[LOOKUP]! & LOOKUP_FOLLOW ? FOLLOW : 0;
  const status = vfs.find(process, words[FD]!, RIGHT.PATH_FILESTAT_GET, data, follow);
  if (status !== OK) return status;
  return vfs.lookup.inode ? describe(vfs.answer, vfs.lookup.inode) : ENOENT;
};

export const fstat: VfsCall = (vfs, process, { words }) => {
  const descriptor = process.find(words[FD]!, RIGHT.FD_FILESTAT_GET);
  return typeof descriptor === 'number' ? descriptor : describe(vfs.answer, descriptor.filp.inode);
};

function describe({ words, doubles }: Message, inode: Inode): number {
  doubles[STAT_INODE] = inode.number;
  doubles[STAT_SIZE] = inode.entries ? DIRECTORY_BYTES : inode.size;
  doubles[STAT_ACCESS] = inode.accessMs;
  doubles[STAT_MODIFIED] = inode.modifiedMs;
  doubles[STAT_CHANGED] = inode.changedMs;
  words[STAT_KIND_MODE] = (inode.kind << 16) | inode.mode;
  words[STAT_LINKS] = inode.links;
  words[STAT_ACCESS_NANOS] = inode.accessNanos;
  words[STAT_MODIFIED_NANOS] = inode.modifiedNanos;
  return OK;
}

export const utime: VfsCall = (vfs, process, request, data) => {
  const { words } = request;
  const follow = words[LOOKUP]! & LOOKUP_FOLLOW ? FOLLOW : 0;
  const status = vfs.find(process, words[FD]!, RIGHT.PATH_FILESTAT_SET_TIMES, data, follow);
  if (status !== OK) return status;
  return vfs.lookup.inode ? setTimes(vfs, vfs.lookup.inode, request) : ENOENT;
};

export const futime: VfsCall = (vfs, process, request) => {
  const descriptor = process.find(request.words[FD]!, RIGHT.FD_FILESTAT_SET_TIMES);
  return typeof descriptor === 'number' ? descriptor : setTimes(vfs, descriptor.filp.inode, request);
};

function setTimes(vfs: VfsState, inode: Inode, { words, doubles }: Message): number {
  const flags = words[TIME_FLAGS]!;
  if (flags & ~15 || (flags & 3) === 3 || (flags & 12) === 12) return EINVAL;
  const status = vfs.store.status();
  if (status !== OK) return status;
  const now = vfs.now();
  if (flags & SET_ACCESS) {
    const nanos = words[TIME_ACCESS_NANOS]!;
    if (!isTime(doubles[TIME_ACCESS]!, nanos)) return EINVAL;
    inode.accessMs = doubles[TIME_ACCESS]!;
    inode.accessNanos = nanos;
  }
  if (flags & SET_MODIFIED) {
    const nanos = words[TIME_MODIFIED_NANOS]!;
    if (!isTime(doubles[TIME_MODIFIED]!, nanos)) return EINVAL;
    inode.modifiedMs = doubles[TIME_MODIFIED]!;
    inode.modifiedNanos = nanos;
  }
  if (flags & SET_ACCESS_NOW) {
    inode.accessMs = now;
    inode.accessNanos = 0;
  }
  if (flags & SET_MODIFIED_NOW) {
    inode.modifiedMs = now;
    inode.modifiedNanos = 0;
  }
  inode.changedMs = now;
  vfs.tree.markDirty(inode);
  return OK;
}

function isTime(ms: number, nanos: number): boolean {
  return ms >= 0 && ms <= LAST_MS && Number.isInteger(ms) && nanos >= 0 && nanos < 1_000_000;
}

export const prestat: VfsCall = (vfs, process, { words }) => {
  const descriptor = process.find(words[FD]!, 0);
  if (typeof descriptor === 'number') return descriptor;
  if (!descriptor.preopenName) return EBADF;
  vfs.ride = descriptor.preopenName;
  return descriptor.preopenName.length;
};
