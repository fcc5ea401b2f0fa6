/** open, close, lseek, mkdir (MINIX's open.c). */
import {
  FD,
  FD_ALL_FLAGS,
  FD_FLAGS,
  FILE_CHARACTER_DEVICE,
  FILE_DIRECTORY,
  FILE_REGULAR,
  FILE_SYMLINK,
  INHERITING,
  LOOKUP,
  LOOKUP_FOLLOW,
  MODE,
  OPEN_CREATE,
  OPEN_DIRECTORY,
  OPEN_EXCLUSIVE,
  OPEN_FLAGS,
  OPEN_TRUNCATE,
  POSITION,
  RIGHT,
  RIGHTS,
  RIGHTS_DEVICE,
  RIGHTS_DIRECTORY,
  RIGHTS_FILE,
  SEEK_CUR,
  SEEK_END,
  SEEK_SET,
  WHENCE,
} from '../../calls.js';
import { isAttached } from './attached-devices.js';
import { DEVICE_TTY } from './device-numbers.js';
import { Filp } from './filedes.js';
import type { Inode } from './inode.js';
import { resize } from './link.js';
import { FOLLOW, KEEP_LAST } from './path.js';
import type { VfsCall, VfsState } from './state.js';
import {
  EBADF,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  EMFILE,
  ENOENT,
  ENOTCAPABLE,
  ENOTDIR,
  ESPIPE,
  OK,
} from './status.js';

const WRITE_RIGHTS = RIGHT.FD_WRITE | RIGHT.FD_ALLOCATE | RIGHT.FD_FILESTAT_SET_SIZE;
const MODE_MASK = 0o7777;

/** The rights that make sense for a file: a program may ask for all that its directory lets it have. */
function rightsFor(inode: Inode): number {
  switch (inode.kind) {
    case FILE_DIRECTORY:
      return RIGHTS_DIRECTORY;
    case FILE_CHARACTER_DEVICE:
      return RIGHTS_DEVICE;
    default:
      return RIGHTS_FILE;
  }
}

export const open: VfsCall = (vfs, process, request, data) => {
  const { words } = request;
  const how = words[OPEN_FLAGS]!;
  const flags = words[FD_FLAGS]!;
  const rights = words[RIGHTS]!;
  if (how & ~15 || flags & ~FD_ALL_FLAGS) return EINVAL;
  if (how & OPEN_CREATE && how & OPEN_DIRECTORY) return EINVAL;
  let needed = RIGHT.PATH_OPEN;
  if (how & OPEN_CREATE) needed |= RIGHT.PATH_CREATE_FILE;
  if (how & OPEN_TRUNCATE) needed |= RIGHT.PATH_FILESTAT_SET_SIZE;
  const directory = process.find(words[FD]!, 0);
  if (typeof directory === 'number') return directory;
  const inherited = directory.inheriting;
  // Programs ask for rights that no file has (of sockets, or simply all bits): those are left out. What a file could
  // have and this directory does not pass on is refused.
  const asked = (rights | words[INHERITING]!) & (RIGHTS_FILE | RIGHTS_DIRECTORY);
  if (asked & ~inherited) return directory.filp.inode.entries ? ENOTCAPABLE : ENOTDIR;

  const isExclusive = (how & OPEN_CREATE) !== 0 && (how & OPEN_EXCLUSIVE) !== 0;
  const follow = words[LOOKUP]! & LOOKUP_FOLLOW && !isExclusive ? FOLLOW : 0;
  const status = vfs.find(process, words[FD]!, needed, data, follow);
  if (status !== OK) return status;
  if (process.isFull) return EMFILE;
  const inode = found(vfs, how, rights, isExclusive, words[MODE]! & MODE_MASK);
  if (typeof inode === 'number') return inode;
  const mustBeAlone = (how & OPEN_EXCLUSIVE) !== 0;
  if (isAttached(inode.device)) {
    const status = vfs.attached.open(inode.device, mustBeAlone, request, data);
    if (status !== OK) return status;
  }
  const filp = new Filp(inode, flags, inode.device === DEVICE_TTY ? process.line * 2 : 0);
  const mask = rightsFor(inode);
  const inheriting = inode.entries ? words[INHERITING]! & inherited : 0;
  return vfs.install(process, { filp, rights: rights & mask, inheriting, preopenName: null }, mustBeAlone);
};

/** The file that the look-up found, made or emptied as asked. */
function found(
  vfs: VfsState,
  how: number,
  rights: number,
  isExclusive: boolean,
  mode: number,
): Inode | number {
  const { inode, mustBeDirectory } = vfs.lookup;
  if (!inode) {
    if (!(how & OPEN_CREATE)) return ENOENT;
    return mustBeDirectory ? EISDIR : vfs.make(FILE_REGULAR, mode);
  }
  if (isExclusive) return EEXIST;
  if (inode.kind === FILE_SYMLINK) return how & OPEN_DIRECTORY ? ENOTDIR : ELOOP;
  if (how & OPEN_DIRECTORY && !inode.entries) return ENOTDIR;
  if (inode.entries) {
    if (how & (OPEN_CREATE | OPEN_TRUNCATE)) return EISDIR;
    if (rights & WRITE_RIGHTS && !(how & OPEN_DIRECTORY)) return EISDIR;
    return inode;
  }
  if (how & OPEN_TRUNCATE && inode.kind === FILE_REGULAR) {
    const status = resize(vfs, inode, 0);
    if (status !== OK) return status;
  }
  return inode;
}

export const close: VfsCall = (vfs, process, { words }) => (vfs.drop(process, words[FD]!) ? OK : EBADF);

export const lseek: VfsCall = (vfs, process, { words, doubles }) => {
  const offset = doubles[POSITION]!;
  const whence = words[WHENCE]!;
  // Asking where one is needs less than moving.
  const isTell = whence === SEEK_CUR && offset === 0;
  const descriptor = process.find(words[FD]!, isTell ? RIGHT.FD_TELL : RIGHT.FD_SEEK | RIGHT.FD_TELL);
  if (typeof descriptor === 'number') return descriptor;
  const { filp } = descriptor;
  if (filp.inode.kind === FILE_CHARACTER_DEVICE) return ESPIPE;
  let from: number;
  if (whence === SEEK_SET) from = 0;
  else if (whence === SEEK_CUR) from = filp.position;
  else if (whence === SEEK_END) from = filp.inode.size;
  else return EINVAL;
  const position = from + offset;
  if (!Number.isSafeInteger(position) || position < 0) return EINVAL;
  filp.position = position;
  vfs.answer.doubles[POSITION] = position;
  return OK;
};

export const mkdir: VfsCall = (vfs, process, { words }, data) => {
  const status = vfs.find(process, words[FD]!, RIGHT.PATH_CREATE_DIRECTORY, data, KEEP_LAST);
  if (status !== OK) return status;
  if (vfs.lookup.inode) return EEXIST;
  const made = vfs.make(FILE_DIRECTORY, words[MODE]! & MODE_MASK);
  return typeof made === 'number' ? made : OK;
};
