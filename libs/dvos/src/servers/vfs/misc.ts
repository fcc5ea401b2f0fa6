/** dup, renumber, sync, fsync, fdatasync, advise (MINIX's misc.c). */
import { ADVICE, FD, RIGHT, SECOND_FD } from '../../calls.js';
import type { ProcessFiles } from './filedes.js';
import type { VfsCall, VfsState } from './state.js';
import { EBADF, EINVAL, EMFILE, OK } from './status.js';

export const dup: VfsCall = (vfs, process, { words }) => {
  const descriptor = process.find(words[FD]!, 0);
  if (typeof descriptor === 'number') return descriptor;
  if (process.isFull) return EMFILE;
  return vfs.install(process, { ...descriptor });
};

export const renumber: VfsCall = (vfs, process, { words }) => {
  const from = words[FD]!;
  const to = words[SECOND_FD]!;
  if (typeof process.find(from, 0) === 'number' || typeof process.find(to, 0) === 'number') return EBADF;
  if (from === to) return OK;
  vfs.drop(process, to);
  process.move(from, to);
  return OK;
};

export const sync: VfsCall = (vfs, process) => vfs.replySynced(process, null, OK);

export const fsync: VfsCall = (vfs, process, { words }) => syncFile(vfs, process, words[FD]!, RIGHT.FD_SYNC);

export const fdatasync: VfsCall = (vfs, process, { words }) =>
  syncFile(vfs, process, words[FD]!, RIGHT.FD_DATASYNC);

function syncFile(vfs: VfsState, process: ProcessFiles, fd: number, right: number): number {
  const descriptor = process.find(fd, right);
  if (typeof descriptor === 'number') return descriptor;
  return vfs.replySynced(process, descriptor.filp.inode.number, OK);
}

/** Advice is about speed only; taking note of it is enough. */
export const advise: VfsCall = (_vfs, process, { words }) => {
  const descriptor = process.find(words[FD]!, RIGHT.FD_ADVISE);
  if (typeof descriptor === 'number') return descriptor;
  const advice = words[ADVICE]!;
  return advice >= 0 && advice <= 5 ? OK : EINVAL;
};
