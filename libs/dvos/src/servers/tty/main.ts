import { DrvsError } from '@drvs/contracts';
import { type Endpoint, isSystemEndpoint, type Message, NOTIFY_MESSAGE, TTY } from '@drvs/drvmm-core';
import { DEV_STATUS, DEV_WRITE, FD } from '../../calls.js';
import type { Server, ServerPort } from '../server.js';
import type { TerminalDriver } from '../vfs/device.js';
import { EBADCALL, EIO, EPERM, OK } from '../vfs/status.js';
import type { OutputPiece, OutputStore, StreamName } from './output-store.js';

/** Told of every piece of output as it is written. The bytes are valid only during the call. */
export type OutputListener = (pid: number, piece: OutputPiece) => void;

/** Lines are numbered by the pid of the process that they belong to. */
export const LINE_MAX = 2 ** 30 - 1;
/** One `read` at most. */
export const READ_OUTPUT_MAX_BYTES = 256 * 1024;

/** TTY for its neighbours in the home container. */
export interface TtyControl {
  /** Pids of which output is kept, also from before the container's start: PM gives none of them again. */
  pids(): number[];
  /** A new process: its log begins. @returns the line, for `VfsControl.attach`. */
  open(pid: number): number;
  /**
   * Output from `offset` on, in the order of writing, at most `max` bytes; from the first byte kept when that is
   * later. Empty when there is none (yet). @throws NotFound for a pid of which nothing is known.
   */
  read(pid: number, offset: number, max?: number): OutputPiece[];
  /** Offsets: `lost` is that of the first byte kept (so many were dropped before it), `end` that after the last. */
  extent(pid: number): { lost: number; end: number };
  /** @returns how to stop listening. */
  onOutput(listener: OutputListener): () => void;
  /** The process has ended; its output stays readable. */
  close(pid: number): void;
  /** The process goes on under another home, which is this one: more will come. */
  reopen(pid: number): void;
  /** Forgets the output. */
  remove(pid: number): void;
}

/**
 * TTY: consoles. Each process's standard output and standard error go to a line here, which keeps them in the order
 * of writing, counts their bytes as one stream, and tells whoever follows.
 */
export class TtyServer implements Server, TerminalDriver {
  readonly endpoint: Endpoint = TTY;
  readonly #port: ServerPort;
  readonly #store: OutputStore;
  readonly #listeners = new Set<OutputListener>();
  readonly control: TtyControl;

  constructor({ port, store }: { port: ServerPort; store: OutputStore }) {
    this.#port = port;
    this.#store = store;
    this.control = {
      pids: () => store.lines(),
      open: (pid) => {
        if (!Number.isInteger(pid) || pid < 0 || pid > LINE_MAX) {
          throw new DrvsError('InvalidInput', `${pid} cannot be the number of a terminal line`);
        }
        store.create(pid);
        return pid;
      },
      read: (pid, offset, max = READ_OUTPUT_MAX_BYTES) => {
        this.#extent(pid);
        if (!Number.isSafeInteger(offset) || offset < 0) {
          throw new DrvsError('InvalidInput', `offset ${offset} is not a whole number from 0 on`);
        }
        return store.read(pid, offset, Math.min(max, READ_OUTPUT_MAX_BYTES));
      },
      extent: (pid) => {
        const { start, end } = this.#extent(pid);
        return { lost: start, end };
      },
      onOutput: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
      close: (pid) => store.finish(pid),
      reopen: (pid) => store.reopen(pid),
      remove: (pid) => store.remove(pid),
    };
  }

  /** Called by VFS for descriptors on a line, and by `onMessage`. */
  write(minor: number, bytes: Uint8Array): number {
    const line = minor >>> 1;
    const stream: StreamName = minor & 1 ? 'stderr' : 'stdout';
    const extent = this.#store.extent(line);
    if (!extent) return EIO;
    if (bytes.length === 0) return 0;
    this.#store.append(line, stream, bytes);
    for (const listener of this.#listeners) listener(line, { stream, offset: extent.end, bytes });
    return bytes.length;
  }

  onMessage(message: Message, data: Uint8Array): void {
    if (message.type === NOTIFY_MESSAGE) return;
    const { source } = message;
    message.type = isSystemEndpoint(source) ? this.#serve(message, data) : EPERM;
    this.#port.reply(source, message);
  }

  #serve({ type, words }: Message, data: Uint8Array): number {
    const minor = words[FD]!;
    if (type === DEV_WRITE) return this.write(minor, data);
    if (type === DEV_STATUS) return this.#store.extent(minor >>> 1) ? OK : EIO;
    return EBADCALL;
  }

  #extent(pid: number): { start: number; end: number } {
    const extent = this.#store.extent(pid);
    if (!extent) throw new DrvsError('NotFound', `no output is kept of process ${pid}`);
    return extent;
  }
}
