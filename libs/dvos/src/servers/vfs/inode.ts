import { FILE_DIRECTORY } from '../../calls.js';

/** A name in a directory. Its cookie never changes while the name exists, and never comes again in that directory. */
export interface Entry {
  name: string;
  inode: Inode;
  readonly cookie: number;
  isGone: boolean;
}

/** Cookies 1 and 2 are those of `.` and `..`. */
const FIRST_COOKIE = 3;

/**
 * The names of a directory: found by name, and listed from a cookie on in the order in which they were made. Names
 * that come and go while somebody lists are seen once or not at all; all others are seen exactly once.
 */
export class Entries {
  readonly #byName = new Map<string, Entry>();
  /** By cookie; entries that are gone stay as holes until half of it is holes. */
  #ordered: Entry[] = [];
  #nextCookie = FIRST_COOKIE;

  get size(): number {
    return this.#byName.size;
  }

  get(name: string): Entry | undefined {
    return this.#byName.get(name);
  }

  add(name: string, inode: Inode): void {
    const entry = { name, inode, cookie: this.#nextCookie++, isGone: false };
    this.#byName.set(name, entry);
    this.#ordered.push(entry);
  }

  remove(name: string): void {
    const entry = this.#byName.get(name);
    if (!entry) return;
    entry.isGone = true;
    this.#byName.delete(name);
    if (this.#ordered.length > 32 && this.#byName.size * 2 < this.#ordered.length) {
      this.#ordered = this.#ordered.filter((each) => !each.isGone);
    }
  }

  get nextCookie(): number {
    return this.#nextCookie;
  }

  /** The cookies that the names had elsewhere: a listing that goes on from one of them must find its place. */
  renumber(nextCookie: number, cookies: ReadonlyMap<string, number>): void {
    const entries = [...this.#byName.values()].map(({ name, inode, cookie, isGone }) => {
      const renumbered: Entry = { name, inode, cookie: cookies.get(name) ?? cookie, isGone };
      this.#byName.set(name, renumbered);
      return renumbered;
    });
    this.#ordered = entries.sort((a, b) => a.cookie - b.cookie);
    this.#nextCookie = Math.max(nextCookie, this.#nextCookie);
  }

  values(): IterableIterator<Entry> {
    return this.#byName.values();
  }

  /** The index of the first entry whose cookie is at least this one, for `at`. */
  indexFrom(cookie: number): number {
    let low = 0;
    let high = this.#ordered.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ordered[middle]!.cookie < cookie) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** undefined beyond the end; entries that are gone are to be skipped. */
  at(index: number): Entry | undefined {
    return this.#ordered[index];
  }
}

/** A file of any kind. It lives as long as it has a name or is open. */
export class Inode {
  links = 0;
  /** Descriptors' open files (filps) on it. */
  opens = 0;
  size = 0;
  accessMs: number;
  accessNanos = 0;
  modifiedMs: number;
  modifiedNanos = 0;
  changedMs: number;
  /** Of directories. */
  readonly entries: Entries | null;
  /** Of directories: `..`. The root is its own parent. */
  parent: Inode | null = null;
  /** Its attributes are newer than the journal's. */
  isDirty = false;

  constructor(
    readonly number: number,
    /** FILE_*. */
    readonly kind: number,
    public mode: number,
    /** Of character devices: which (devices.ts). */
    readonly device: number,
    /** Of symbolic links. */
    readonly target: string,
    at: number,
  ) {
    this.accessMs = at;
    this.modifiedMs = at;
    this.changedMs = at;
    this.entries = kind === FILE_DIRECTORY ? new Entries() : null;
  }
}
