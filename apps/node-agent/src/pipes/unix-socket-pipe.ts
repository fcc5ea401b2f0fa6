import { closeSync, constants, openSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { basename, dirname } from 'node:path';
import { type FramePipe, MAX_FRAME_BYTES } from '@drvs/contracts';
import { FrameSplitter, LENGTH_BYTES } from './frame-splitter.js';

/**
 * Unsent bytes at most: two of the largest frames. Chunks have their own window, so only a peer that has stopped
 * reading gets here; the pipe is closed then, and its owner connects again.
 */
const MAX_UNSENT_BYTES = 2 * MAX_FRAME_BYTES;
/** How long a closed pipe may still try to send what it holds. */
const LINGER_MS = 1_000;
/** sockaddr_un.sun_path holds 108 bytes with the terminating zero (unix(7)). */
const MAX_SOCKET_PATH_BYTES = 107;

/** RpcPeer's pipe over a Unix (or any stream) socket, frames prefixed with their length. */
export class SocketPipe implements FramePipe {
  onFrame: ((frame: Uint8Array) => void) | null = null;
  onClose: ((reason: string) => void) | null = null;
  #reason: string | null = null;

  constructor(private readonly socket: Socket) {
    const splitter = new FrameSplitter((frame) => {
      if (this.#reason === null) this.onFrame?.(frame);
    });
    socket.on('data', (piece: Buffer) => {
      try {
        splitter.push(piece);
      } catch (error) {
        this.close(`garbage received: ${(error as Error).message}`);
      }
    });
    socket.on('error', (error) => this.close(error.message));
    socket.on('close', () => this.close('the other end closed'));
  }

  send(frame: Uint8Array): void {
    if (this.#reason !== null) return;
    if (this.socket.writableLength + frame.length > MAX_UNSENT_BYTES) {
      this.close(`the other end has not read ${this.socket.writableLength} bytes`);
      return;
    }
    const length = new Uint8Array(LENGTH_BYTES);
    new DataView(length.buffer).setUint32(0, frame.length);
    this.socket.cork();
    this.socket.write(length);
    this.socket.write(frame);
    this.socket.uncork();
  }

  close(reason = 'closed here'): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    // What was sent before the close (an answer to container.stop, say) still goes out; then the socket is gone.
    this.socket.destroySoon();
    setTimeout(() => this.socket.destroy(), LINGER_MS).unref();
    this.onClose?.(reason);
  }
}

/**
 * Runs `use` with a name of the socket that fits into sockaddr_un: a long path is reached through its open folder
 * (/proc/self/fd/N/name).
 */
export function withSocketPath<T>(path: string, use: (path: string, done: () => void) => T): T {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return use(path, () => {});
  const fd = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  let isOpen = true;
  return use(`/proc/self/fd/${fd}/${basename(path)}`, () => {
    if (isOpen) closeSync(fd);
    isOpen = false;
  });
}

/** Connects to a Unix socket. @throws Error when nobody listens there. */
export function connectSocket(path: string): Promise<Socket> {
  return withSocketPath(
    path,
    (short, done) =>
      new Promise<Socket>((resolve, reject) => {
        const socket = connect({ path: short });
        socket.once('error', (error) => {
          done();
          reject(error);
        });
        socket.once('connect', () => {
          done();
          socket.removeAllListeners('error');
          // Between here and its pipe, an error must not be uncaught.
          socket.on('error', () => {});
          resolve(socket);
        });
      }),
  );
}
