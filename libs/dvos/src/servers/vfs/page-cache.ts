/**
 * Pages of file data in memory, least recently used first out. No I/O: the owner fills pages, writes dirty ones and
 * asks for a page to be given up. Cost of a hit: one map look-up and two link moves.
 */

export const PAGE_BYTES = 16 * 1024;

export class Page {
  /** Bytes that the host's file has not: from `dirtyFrom` to `dirtyTo` (exclusive), none when equal. */
  dirtyFrom = 0;
  dirtyTo = 0;
  older: Page | null = null;
  newer: Page | null = null;

  constructor(
    public file: CachedFile,
    public index: number,
    readonly bytes: Uint8Array,
  ) {}

  get isDirty(): boolean {
    return this.dirtyTo > this.dirtyFrom;
  }
}

/** What is cached of one file. */
export class CachedFile {
  readonly pages = new Map<number, Page>();
  dirtyPages = 0;
  /** Length of the host's file, -1 when it has not been looked at. */
  hostSize = -1;

  constructor(readonly inode: number) {}
}

export class PageCache {
  #count = 0;
  #dirty = 0;
  #oldest: Page | null = null;
  #newest: Page | null = null;
  readonly #spare: Uint8Array[] = [];

  constructor(readonly maxPages: number) {}

  get dirtyPages(): number {
    return this.#dirty;
  }

  get isFull(): boolean {
    return this.#count >= this.maxPages;
  }

  /** The page that should be given up next. */
  get oldest(): Page | null {
    return this.#oldest;
  }

  find(file: CachedFile, index: number): Page | undefined {
    const page = file.pages.get(index);
    if (page !== undefined && page !== this.#newest) {
      this.#unchain(page);
      this.#chain(page);
    }
    return page;
  }

  /** A page whose content is whatever was in it: the caller fills it. There must be room. */
  add(file: CachedFile, index: number): Page {
    const page = new Page(file, index, this.#spare.pop() ?? new Uint8Array(PAGE_BYTES));
    file.pages.set(index, page);
    this.#chain(page);
    this.#count++;
    return page;
  }

  /** Forgets the page, dirty or not. */
  drop(page: Page): void {
    this.clean(page);
    this.#unchain(page);
    page.file.pages.delete(page.index);
    this.#count--;
    if (this.#spare.length < 64) this.#spare.push(page.bytes);
  }

  soil(page: Page, from: number, to: number): void {
    if (page.isDirty) {
      if (from < page.dirtyFrom) page.dirtyFrom = from;
      if (to > page.dirtyTo) page.dirtyTo = to;
      return;
    }
    page.dirtyFrom = from;
    page.dirtyTo = to;
    page.file.dirtyPages++;
    this.#dirty++;
  }

  clean(page: Page): void {
    if (!page.isDirty) return;
    page.dirtyFrom = 0;
    page.dirtyTo = 0;
    page.file.dirtyPages--;
    this.#dirty--;
  }

  #chain(page: Page): void {
    page.older = this.#newest;
    page.newer = null;
    if (this.#newest) this.#newest.newer = page;
    else this.#oldest = page;
    this.#newest = page;
  }

  #unchain(page: Page): void {
    if (page.older) page.older.newer = page.newer;
    else this.#oldest = page.newer;
    if (page.newer) page.newer.older = page.older;
    else this.#newest = page.older;
  }
}
