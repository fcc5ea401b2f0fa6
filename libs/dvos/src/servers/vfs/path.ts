/**
 * From a path to a file. A look-up starts at a directory and, for guests, never leaves it: neither `..` nor an
 * absolute path or symbolic link leads above the directory whose descriptor was used (ENOTCAPABLE), which is WASI's
 * sandbox. Since directories are a tree, a walk down from `start` can meet `start` again only by `..`, so comparing
 * with it is enough.
 */
import { FILE_SYMLINK } from '../../calls.js';
import type { Inode } from './inode.js';
import { NAME_MAX_BYTES, PATH_MAX_BYTES, SYMLINK_MAX } from './limits.js';
import { EILSEQ, EINVAL, ELOOP, ENAMETOOLONG, ENOENT, ENOTCAPABLE, ENOTDIR, OK } from './status.js';

/** Follow a symbolic link in the last component too. */
export const FOLLOW = 1;
/** The name itself is meant, even before a trailing slash: to remove or rename it. */
export const KEEP_LAST = 2;
/** Absolute paths and links lead to the root of the DRVM: for its own administration. */
export const UNCONFINED = 4;

const decoder = new TextDecoder('utf-8', { fatal: true });

/** @returns the path as text, or a negative status. */
export function decodePath(bytes: Uint8Array): string | number {
  if (bytes.length > PATH_MAX_BYTES) return ENAMETOOLONG;
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    return EILSEQ;
  }
  return text.includes('\0') ? EINVAL : text;
}

/** Where a look-up ended. One object serves all look-ups of a VFS, each call uses it up before the next. */
export class Lookup {
  /** The directory that has, or would have, the name. */
  parent!: Inode;
  /** Empty when the path ended in `.` or `..` or is the root: there is a file but no name to work on. */
  name = '';
  /** null: there is no such name in `parent`. */
  inode: Inode | null = null;
  /** The path ended in a slash. */
  mustBeDirectory = false;

  /** @returns OK (`inode` may be null then), or why the path leads nowhere. */
  run(root: Inode, start: Inode, path: string, flags: number): number {
    if (path.length === 0 || start.links === 0) return ENOENT;
    if (!start.entries) return ENOTDIR;
    let directory = start;
    if (path.charCodeAt(0) === SLASH) {
      if (!(flags & UNCONFINED)) return ENOTCAPABLE;
      directory = root;
    }
    this.mustBeDirectory = path.charCodeAt(path.length - 1) === SLASH;
    const rest = components(path);
    let followed = 0;
    for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
      if (name === '.') continue;
      if (name === '..') {
        if (directory === start && !(flags & UNCONFINED)) return ENOTCAPABLE;
        directory = directory.parent!;
        continue;
      }
      if (name.length * 3 > NAME_MAX_BYTES && Buffer.byteLength(name) > NAME_MAX_BYTES) return ENAMETOOLONG;
      const inode: Inode | undefined = directory.entries!.get(name)?.inode;
      const isLast = rest.length === 0;
      if (!inode) {
        if (!isLast) return ENOENT;
        this.parent = directory;
        this.name = name;
        this.inode = null;
        return OK;
      }
      const follows = !isLast || flags & FOLLOW || (this.mustBeDirectory && !(flags & KEEP_LAST));
      if (inode.kind === FILE_SYMLINK && follows) {
        if (++followed > SYMLINK_MAX) return ELOOP;
        const { target } = inode;
        if (target.charCodeAt(0) === SLASH) {
          if (!(flags & UNCONFINED)) return ENOTCAPABLE;
          directory = root;
        }
        if (isLast && target.charCodeAt(target.length - 1) === SLASH) this.mustBeDirectory = true;
        rest.push(...components(target));
        continue;
      }
      if (isLast) {
        if (this.mustBeDirectory && !inode.entries) return ENOTDIR;
        this.parent = directory;
        this.name = name;
        this.inode = inode;
        return OK;
      }
      if (!inode.entries) return ENOTDIR;
      directory = inode;
    }
    this.parent = directory.parent!;
    this.name = '';
    this.inode = directory;
    return OK;
  }
}

const SLASH = 47;

/** The components in reverse, without the empty ones. */
function components(path: string): string[] {
  if (!path.includes('/')) return [path];
  return path
    .split('/')
    .filter((name) => name.length > 0)
    .reverse();
}
