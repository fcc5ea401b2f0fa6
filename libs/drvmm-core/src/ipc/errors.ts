/**
 * Status codes of IPC and of the servers' replies: OK, or a negative number. Small ones have POSIX names and MINIX's
 * numbers, from 101 MINIX's IPC errors, from 300 those of the DVK.
 */
export const OK = 0;
/** The call goes on; its end comes by Owner.onComplete. */
export const SUSPENDED = -998;

export const EPERM = -1;
export const ENOENT = -2;
export const ESRCH = -3;
export const EINTR = -4;
export const EIO = -5;
export const ENXIO = -6;
export const E2BIG = -7;
export const ENOEXEC = -8;
export const EBADF = -9;
export const ECHILD = -10;
export const EAGAIN = -11;
export const ENOMEM = -12;
export const EACCES = -13;
export const EFAULT = -14;
export const ENOTBLK = -15;
export const EBUSY = -16;
export const EEXIST = -17;
export const EXDEV = -18;
export const ENODEV = -19;
export const ENOTDIR = -20;
export const EISDIR = -21;
export const EINVAL = -22;
export const ENFILE = -23;
export const EMFILE = -24;
export const ENOTTY = -25;
export const ETXTBSY = -26;
export const EFBIG = -27;
export const ENOSPC = -28;
export const ESPIPE = -29;
export const EROFS = -30;
export const EMLINK = -31;
export const EPIPE = -32;
export const EDOM = -33;
export const ERANGE = -34;
export const EDEADLK = -35;
export const ENAMETOOLONG = -36;
export const ENOLCK = -37;
export const ENOSYS = -38;
export const ENOTEMPTY = -39;
export const ELOOP = -40;
export const ETIMEDOUT = -61;
export const ENOTCONN = -64;
export const EOVERFLOW = -75;
export const EILSEQ = -84;
export const ENOTSUP = -95;
export const EDQUOT = -122;

/** Waiting would be a deadlock among waiting processes. */
export const ELOCKED = -101;
/** Not a call, or not possible while another is under way. */
export const EBADCALL = -102;
/** The number is no endpoint, or the caller may not name it (itself, ANY). */
export const EBADSRCDST = -103;
/** The caller's privileges do not let it address this destination. */
export const ECALLDENIED = -104;
/** The partner is dead, its generation is over, or its node is unreachable. */
export const EDEADSRCDST = -105;
/** The partner does not wait for this. */
export const ENOTREADY = -106;
export const EBADREQUEST = -107;
export const ESRCDIED = -108;
export const EDSTDIED = -109;
/** The caller's privileges do not let it use this primitive. */
export const ETRAPDENIED = -110;
/** A server's result that asks its loop not to reply. */
export const EDONTREPLY = -201;

/** The endpoint is not bound here. */
export const ENOTBIND = -310;
/** The process takes part in a copy. */
export const EONCOPY = -328;
/** A notification of the same source was pending already: coalesced. */
export const EOVERRUN = -330;
/** The process is migrating; or (between kernels) has moved: replay there. */
export const EMIGRATE = -332;
export const EPRIVILEGES = -335;
/** The slot is bound already. */
export const ESLOTUSED = -337;
/** Woken by force. */
export const EWOKENUP = -348;

const CODES: Readonly<Record<string, number>> = {
  OK,
  SUSPENDED,
  EPERM,
  ENOENT,
  ESRCH,
  EINTR,
  EIO,
  ENXIO,
  E2BIG,
  ENOEXEC,
  EBADF,
  ECHILD,
  EAGAIN,
  ENOMEM,
  EACCES,
  EFAULT,
  ENOTBLK,
  EBUSY,
  EEXIST,
  EXDEV,
  ENODEV,
  ENOTDIR,
  EISDIR,
  EINVAL,
  ENFILE,
  EMFILE,
  ENOTTY,
  ETXTBSY,
  EFBIG,
  ENOSPC,
  ESPIPE,
  EROFS,
  EMLINK,
  EPIPE,
  EDOM,
  ERANGE,
  EDEADLK,
  ENAMETOOLONG,
  ENOLCK,
  ENOSYS,
  ENOTEMPTY,
  ELOOP,
  ETIMEDOUT,
  ENOTCONN,
  EOVERFLOW,
  EILSEQ,
  ENOTSUP,
  EDQUOT,
  ELOCKED,
  EBADCALL,
  EBADSRCDST,
  ECALLDENIED,
  EDEADSRCDST,
  ENOTREADY,
  EBADREQUEST,
  ESRCDIED,
  EDSTDIED,
  ETRAPDENIED,
  EDONTREPLY,
  ENOTBIND,
  EONCOPY,
  EOVERRUN,
  EMIGRATE,
  EPRIVILEGES,
  ESLOTUSED,
  EWOKENUP,
};
const NAME_BY_CODE = new Map(Object.entries(CODES).map(([name, code]) => [code, name]));

/** `EDEADSRCDST` for -105; the number itself when it has no name. */
export function statusName(status: number): string {
  return NAME_BY_CODE.get(status) ?? String(status);
}
