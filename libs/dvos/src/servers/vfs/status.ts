/**
 * Statuses of VFS replies: those of IPC (POSIX's names, MINIX's numbers, negative) and one that only capabilities
 * need. `wasi/errno.ts` turns them into WASI's.
 */
export {
  EBADCALL,
  EBADF,
  EBUSY,
  EEXIST,
  EFBIG,
  EILSEQ,
  EINVAL,
  EIO,
  EISDIR,
  ELOOP,
  EMFILE,
  EMLINK,
  ENAMETOOLONG,
  ENODEV,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  ESPIPE,
  OK,
} from '@drvs/drvmm-core';
/** The descriptor was not given the right, or the path leads out of the directory that was opened. */
export const ENOTCAPABLE = -276;
