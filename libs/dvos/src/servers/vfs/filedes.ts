import type { Endpoint } from '@drvs/drvmm-core';
import type { Inode } from './inode.js';
import { OPEN_MAX } from './limits.js';
import { EBADF, EMFILE, ENOTCAPABLE } from './status.js';

/** An open file: position and flags, shared by the descriptors that were made from one another (MINIX's filp). */
export class Filp {
  position = 0;
  references = 0;

  constructor(
    readonly inode: Inode,
    /** FD_* bits. */
    public flags: number,
    /** Of character devices: which one of the driver's. */
    readonly minor = 0,
  ) {}
}

/** A process's hold on an open file, with what it may do to it. */
export interface Descriptor {
  readonly filp: Filp;
  rights: number;
  /** What descriptors opened through this directory may have. */
  inheriting: number;
  /** Of directories that were opened to the process at its start: the name it knows them by. */
  readonly preopenName: Uint8Array | null;
}

/** The descriptors of one process. */
export class ProcessFiles {
  readonly #descriptors: (Descriptor | null)[] = [];
  /** No descriptor below it is free. */
  #firstFree = 0;

  constructor(
    readonly endpoint: Endpoint,
    /** The TTY line that is its controlling terminal. */
    readonly line: number,
  ) {}

  /** The descriptor, or EBADF, or ENOTCAPABLE when it lacks one of the rights. */
  find(fd: number, rights: number): Descriptor | number {
    const descriptor = this.#descriptors[fd];
    if (!descriptor) return EBADF;
    return (descriptor.rights & rights) === rights ? descriptor : ENOTCAPABLE;
  }

  /** Whether `add` will find a number. */
  get isFull(): boolean {
    return this.#firstFree >= OPEN_MAX;
  }

  /** @returns the lowest free number, or EMFILE. */
  add(descriptor: Descriptor): number {
    if (this.isFull) return EMFILE;
    const fd = this.#firstFree;
    this.#put(fd, descriptor);
    return fd;
  }

  /** @returns the descriptor that is no longer there. */
  remove(fd: number): Descriptor | null {
    const descriptor = this.#descriptors[fd] ?? null;
    if (!descriptor) return null;
    this.#descriptors[fd] = null;
    descriptor.filp.references--;
    if (fd < this.#firstFree) this.#firstFree = fd;
    return descriptor;
  }

  /** Gives the descriptor the number `to`, which is free. */
  move(from: number, to: number): void {
    const descriptor = this.remove(from)!;
    this.#put(to, descriptor);
  }

  /** Puts a descriptor under a number of its own; it must be free. */
  put(fd: number, descriptor: Descriptor): void {
    this.#put(fd, descriptor);
  }

  *numbers(): Generator<number> {
    for (let fd = 0; fd < this.#descriptors.length; fd++) if (this.#descriptors[fd]) yield fd;
  }

  /** A child's descriptors after fork: the same open files under the same numbers. */
  copyTo(child: ProcessFiles): void {
    for (const fd of this.numbers()) child.#put(fd, { ...this.#descriptors[fd]! });
  }

  #put(fd: number, descriptor: Descriptor): void {
    while (this.#descriptors.length < fd) this.#descriptors.push(null);
    this.#descriptors[fd] = descriptor;
    descriptor.filp.references++;
    while (this.#firstFree < OPEN_MAX && this.#descriptors[this.#firstFree]) this.#firstFree++;
  }
}
