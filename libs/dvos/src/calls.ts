/**
 * Calls of VFS and TTY: MINIX 3's numbers where it has the call, new ones from 128 on (`pm-calls.ts` has those of PM).
 *
 * A message is sixteen 32-bit words, the even pairs of which are also seen as doubles: `words[2d]`, `words[2d + 1]` are
 * `doubles[d]`. Word 0 is the sender, word 1 the call's number or, in a reply, a count or descriptor of 0 or more, or a
 * negative status (`servers/vfs/status.ts`). The offsets below say where each call has its arguments. `[n]` beside a
 * call is a word, `(n)` a double; "data" rides with the message.
 */

/** [FD], (LENGTH) at most MAX_RIDING_BYTES. Reply: type bytes read, data. 0 bytes: end of file. */
export const VFS_READ = 3;
/** [FD], data. Reply: type bytes written, which may be fewer. */
export const VFS_WRITE = 4;
/** [FD] directory, [LOOKUP], [OPEN_FLAGS], [FD_FLAGS], [RIGHTS], [INHERITING], [MODE], data path. Reply: type descriptor. */
export const VFS_OPEN = 5;
/** [FD]. */
export const VFS_CLOSE = 6;
/** [FD] directory of the old path, [LOOKUP], [SECOND_FD] directory of the new one, [FIRST_LENGTH], data old path + new path. */
export const VFS_LINK = 9;
/** [FD] directory, data path. */
export const VFS_UNLINK = 10;
/** [FD] directory, [LOOKUP], data path. Reply: see STAT_*. */
export const VFS_STAT = 18;
/** [FD], [WHENCE], (POSITION). Reply: (POSITION) the new one. */
export const VFS_LSEEK = 19;
/** [FD]. Reply: see STAT_*. */
export const VFS_FSTAT = 28;
/** [FD] directory, [LOOKUP], [TIME_FLAGS], times as in TIME_*, data path. */
export const VFS_UTIME = 30;
/** Makes all files durable. */
export const VFS_SYNC = 36;
/** [FD] directory of the old path, [SECOND_FD] directory of the new one, [FIRST_LENGTH], data old path + new path. */
export const VFS_RENAME = 38;
/** [FD] directory, [MODE], data path. */
export const VFS_MKDIR = 39;
/** [FD] directory, data path. */
export const VFS_RMDIR = 40;
/** [FD]. Reply: type the new descriptor, which shares position and flags. */
export const VFS_DUP = 41;
/** [FD] directory, [FIRST_LENGTH], data target + path. */
export const VFS_SYMLINK = 45;
/** [FD] directory, (LENGTH), data path. Reply: type bytes, data the target cut at LENGTH. */
export const VFS_READLINK = 49;
/** Data: pairs of words (descriptor, POLL_READ or POLL_WRITE). Reply: data, a POLL_ANSWER_BYTES record each. */
export const VFS_SELECT = 85;
/** [FD]. Data and metadata durable. */
export const VFS_FSYNC = 87;
/** [FD], (POSITION) the new size. */
export const VFS_FTRUNCATE = 94;

/** [FD], (POSITION) cookie, 0 at the beginning, (LENGTH). Reply: type bytes, data WASI dirents, the last one may be cut. */
export const VFS_GETDENTS = 128;
/** [FD], (POSITION), (LENGTH). Reply as READ. */
export const VFS_PREAD = 129;
/** [FD], (POSITION), data. Reply as WRITE. */
export const VFS_PWRITE = 130;
/** [FD], (POSITION), (LENGTH): the file is at least that long afterwards, and has the room. */
export const VFS_ALLOCATE = 131;
/** [FD], [ADVICE]. */
export const VFS_ADVISE = 132;
/** [FD]. Data durable, and what is needed to find it. */
export const VFS_FDATASYNC = 133;
/** [FD]. Reply: [FDSTAT_KIND], [FDSTAT_FLAGS], [FDSTAT_RIGHTS], [FDSTAT_INHERITING]. */
export const VFS_FDSTAT = 134;
/** [FD], [FD_FLAGS]. */
export const VFS_SET_FLAGS = 135;
/** [FD], [RIGHTS], [INHERITING]: they may only shrink. */
export const VFS_SET_RIGHTS = 136;
/** [FD], [SECOND_FD]: FD takes the number SECOND_FD, whose file is closed. */
export const VFS_RENUMBER = 137;
/** [FD]. Reply: type bytes of the name, data the name under which the directory was opened to the process. */
export const VFS_PRESTAT = 138;
/** [FD], [TIME_FLAGS], times as in TIME_*. */
export const VFS_FUTIME = 139;

/** Words of a request. */
export const FD = 2;
export const LOOKUP = 3;
export const WHENCE = 3;
export const ADVICE = 3;
export const TIME_FLAGS = 4;
export const OPEN_FLAGS = 4;
export const SECOND_FD = 4;
export const FD_FLAGS = 5;
export const FIRST_LENGTH = 5;
export const RIGHTS = 6;
export const INHERITING = 7;
export const MODE = 8;
/** Doubles of a request. */
export const POSITION = 3;
export const LENGTH = 4;
/** Times of UTIME and FUTIME: whole milliseconds since 1970 as doubles, and the nanoseconds beyond them as words. */
export const TIME_ACCESS = 3;
export const TIME_MODIFIED = 4;
export const TIME_ACCESS_NANOS = 10;
export const TIME_MODIFIED_NANOS = 11;

/** Reply of STAT and FSTAT. Doubles: times in whole milliseconds since 1970. */
export const STAT_INODE = 1;
export const STAT_SIZE = 2;
export const STAT_ACCESS = 3;
export const STAT_MODIFIED = 4;
export const STAT_CHANGED = 5;
/** Words: the kind of file (FILE_*) in bits 16.., the mode below; links; nanoseconds beyond the milliseconds. */
export const STAT_KIND_MODE = 12;
export const STAT_LINKS = 13;
export const STAT_ACCESS_NANOS = 14;
export const STAT_MODIFIED_NANOS = 15;

/** Words of FDSTAT's reply. */
export const FDSTAT_KIND = 2;
export const FDSTAT_FLAGS = 3;
export const FDSTAT_RIGHTS = 4;
export const FDSTAT_INHERITING = 5;

/** In LOOKUP: follow a symbolic link in the last component. */
export const LOOKUP_FOLLOW = 1;

/** OPEN_FLAGS, WASI's bits. */
export const OPEN_CREATE = 1;
export const OPEN_DIRECTORY = 2;
export const OPEN_EXCLUSIVE = 4;
export const OPEN_TRUNCATE = 8;

/** FD_FLAGS, WASI's bits. */
export const FD_APPEND = 1;
export const FD_DSYNC = 2;
/** Has an effect on attached devices alone: nothing else makes one wait. */
export const FD_NONBLOCK = 4;
/* 8 reads in step with writes: kept and told, without effect. */
export const FD_SYNC = 16;
export const FD_ALL_FLAGS = 31;

/** WHENCE, WASI's numbers. */
export const SEEK_SET = 0;
export const SEEK_CUR = 1;
export const SEEK_END = 2;

/** TIME_FLAGS, WASI's bits. */
export const SET_ACCESS = 1;
export const SET_ACCESS_NOW = 2;
export const SET_MODIFIED = 4;
export const SET_MODIFIED_NOW = 8;

/** Kinds of file, WASI's numbers. */
export const FILE_CHARACTER_DEVICE = 2;
export const FILE_DIRECTORY = 3;
export const FILE_REGULAR = 4;
export const FILE_SYMLINK = 7;

/** What SELECT asks of a descriptor. */
export const POLL_READ = 1;
export const POLL_WRITE = 2;
/** A record of SELECT's answer: i32 status, i32 1 when there is nothing yet, f64 bytes that can be read or written. */
export const POLL_ANSWER_BYTES = 16;

/** Bytes of a WASI dirent before its name: u64 next cookie, u64 inode, u32 name's length, u8 kind, 3 bytes 0. */
export const DIRENT_BYTES = 24;

/** Requests of TTY: MINIX's driver protocol (0x400 + n), from other servers only. */
/** [FD] line * 2 + (0 stdout, 1 stderr), data. Reply: type bytes. */
export const DEV_WRITE = 0x404;
/** [FD] as above. Reply: type OK when the line is there. */
export const DEV_STATUS = 0x40d;

/** The rights of a descriptor, WASI's bits (30 of them: a word holds them). */
export const RIGHT = {
  FD_DATASYNC: 1 << 0,
  FD_READ: 1 << 1,
  FD_SEEK: 1 << 2,
  FD_FDSTAT_SET_FLAGS: 1 << 3,
  FD_SYNC: 1 << 4,
  FD_TELL: 1 << 5,
  FD_WRITE: 1 << 6,
  FD_ADVISE: 1 << 7,
  FD_ALLOCATE: 1 << 8,
  PATH_CREATE_DIRECTORY: 1 << 9,
  PATH_CREATE_FILE: 1 << 10,
  PATH_LINK_SOURCE: 1 << 11,
  PATH_LINK_TARGET: 1 << 12,
  PATH_OPEN: 1 << 13,
  FD_READDIR: 1 << 14,
  PATH_READLINK: 1 << 15,
  PATH_RENAME_SOURCE: 1 << 16,
  PATH_RENAME_TARGET: 1 << 17,
  PATH_FILESTAT_GET: 1 << 18,
  PATH_FILESTAT_SET_SIZE: 1 << 19,
  PATH_FILESTAT_SET_TIMES: 1 << 20,
  FD_FILESTAT_GET: 1 << 21,
  FD_FILESTAT_SET_SIZE: 1 << 22,
  FD_FILESTAT_SET_TIMES: 1 << 23,
  PATH_SYMLINK: 1 << 24,
  PATH_REMOVE_DIRECTORY: 1 << 25,
  PATH_UNLINK_FILE: 1 << 26,
  POLL_FD_READWRITE: 1 << 27,
  SOCK_SHUTDOWN: 1 << 28,
  SOCK_ACCEPT: 1 << 29,
} as const;

/** All that a regular file can be asked for. */
export const RIGHTS_FILE =
  RIGHT.FD_DATASYNC |
  RIGHT.FD_READ |
  RIGHT.FD_SEEK |
  RIGHT.FD_FDSTAT_SET_FLAGS |
  RIGHT.FD_SYNC |
  RIGHT.FD_TELL |
  RIGHT.FD_WRITE |
  RIGHT.FD_ADVISE |
  RIGHT.FD_ALLOCATE |
  RIGHT.FD_FILESTAT_GET |
  RIGHT.FD_FILESTAT_SET_SIZE |
  RIGHT.FD_FILESTAT_SET_TIMES |
  RIGHT.POLL_FD_READWRITE;
/** All that a directory can be asked for. */
export const RIGHTS_DIRECTORY =
  RIGHT.FD_FDSTAT_SET_FLAGS |
  RIGHT.FD_SYNC |
  RIGHT.FD_ADVISE |
  RIGHT.PATH_CREATE_DIRECTORY |
  RIGHT.PATH_CREATE_FILE |
  RIGHT.PATH_LINK_SOURCE |
  RIGHT.PATH_LINK_TARGET |
  RIGHT.PATH_OPEN |
  RIGHT.FD_READDIR |
  RIGHT.PATH_READLINK |
  RIGHT.PATH_RENAME_SOURCE |
  RIGHT.PATH_RENAME_TARGET |
  RIGHT.PATH_FILESTAT_GET |
  RIGHT.PATH_FILESTAT_SET_SIZE |
  RIGHT.PATH_FILESTAT_SET_TIMES |
  RIGHT.FD_FILESTAT_GET |
  RIGHT.FD_FILESTAT_SET_TIMES |
  RIGHT.PATH_SYMLINK |
  RIGHT.PATH_REMOVE_DIRECTORY |
  RIGHT.PATH_UNLINK_FILE |
  RIGHT.POLL_FD_READWRITE;
/** All that a character device can be asked for: it has no position (so a C library takes it for a terminal). */
export const RIGHTS_DEVICE =
  RIGHT.FD_READ |
  RIGHT.FD_WRITE |
  RIGHT.FD_FDSTAT_SET_FLAGS |
  RIGHT.FD_FILESTAT_GET |
  RIGHT.POLL_FD_READWRITE;
