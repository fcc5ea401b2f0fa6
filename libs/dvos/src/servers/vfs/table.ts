/** Call numbers to the functions that carry them out (MINIX's table.c). */
import * as calls from '../../calls.js';
import * as link from './link.js';
import * as misc from './misc.js';
import * as open from './open.js';
import * as protect from './protect.js';
import * as readWrite from './read-write.js';
import { select } from './select.js';
import * as stadir from './stadir.js';
import type { VfsCall } from './state.js';

/** Call numbers are below this. */
export const TABLE_SIZE = 160;

const byNumber: [number, VfsCall][] = [
  [calls.VFS_READ, readWrite.read],
  [calls.VFS_WRITE, readWrite.write],
  [calls.VFS_OPEN, open.open],
  [calls.VFS_CLOSE, open.close],
  [calls.VFS_LINK, link.link],
  [calls.VFS_UNLINK, link.unlink],
  [calls.VFS_STAT, stadir.stat],
  [calls.VFS_LSEEK, open.lseek],
  [calls.VFS_FSTAT, stadir.fstat],
  [calls.VFS_UTIME, stadir.utime],
  [calls.VFS_SYNC, misc.sync],
  [calls.VFS_RENAME, link.rename],
  [calls.VFS_MKDIR, open.mkdir],
  [calls.VFS_RMDIR, link.rmdir],
  [calls.VFS_DUP, misc.dup],
  [calls.VFS_SYMLINK, link.symlink],
  [calls.VFS_READLINK, link.readlink],
  [calls.VFS_SELECT, select],
  [calls.VFS_FSYNC, misc.fsync],
  [calls.VFS_FTRUNCATE, link.ftruncate],
  [calls.VFS_GETDENTS, readWrite.getdents],
  [calls.VFS_PREAD, readWrite.pread],
  [calls.VFS_PWRITE, readWrite.pwrite],
  [calls.VFS_ALLOCATE, link.allocate],
  [calls.VFS_ADVISE, misc.advise],
  [calls.VFS_FDATASYNC, misc.fdatasync],
  [calls.VFS_FDSTAT, protect.fdstat],
  [calls.VFS_SET_FLAGS, protect.setFlags],
  [calls.VFS_SET_RIGHTS, protect.setRights],
  [calls.VFS_RENUMBER, misc.renumber],
  [calls.VFS_PRESTAT, stadir.prestat],
  [calls.VFS_FUTIME, stadir.futime],
];

export const table: readonly (VfsCall | undefined)[] = (() => {
  const all = new Array<VfsCall | undefined>(TABLE_SIZE).fill(undefined);
  for (const [number, call] of byNumber) all[number] = call;
  return all;
})();
