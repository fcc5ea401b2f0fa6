/** What VFS bounds, and why there. */

/** A component of a path, in bytes of UTF-8 (POSIX NAME_MAX). */
export const NAME_MAX_BYTES = 255;
/** A path, in bytes (POSIX PATH_MAX). */
export const PATH_MAX_BYTES = 4096;
/** Symbolic links followed in one lookup (Linux's bound). */
export const SYMLINK_MAX = 40;
/** Descriptors of one process. */
export const OPEN_MAX = 1024;
/** Names of one file: ext4's bound; programs that count links in 16 bits stay right. */
export const LINK_MAX = 65_000;
/** Files in all: an inode costs about 400 bytes of the container's memory, which has 160 MiB for everything. */
export const INODE_MAX = 100_000;
/** 8 TiB: far beyond any disk limit, and every position stays exact in a double. */
export const FILE_MAX_BYTES = 2 ** 43;
/** The disk limit is counted in such blocks, as any file system does. */
export const BLOCK_BYTES = 4096;
/** What a file costs besides its data: its record in the journal. */
export const INODE_COST_BYTES = 512;
/** Preopened directories of one process. */
export const PREOPEN_MAX = 64;
