import { type FramePipe, MAX_FRAME_BYTES } from '@drvs/contracts';
import type { WebSocket } from 'ws';

/** As for a container's socket: only a peer that has stopped reading gets here. */
const MAX_UNSENT_BYTES = 2 * MAX_FRAME_BYTES;
/** A link that has carried nothing for this long, not even the answer to a ping, is dead. */
const PING_EVERY_MS = 5_000;
const SILENCE_MAX_MS = 20_000;

/** RpcPeer's pipe over an open WebSocket, one binary message a frame. */
export class WebSocketPipe implements FramePipe {
  onFrame: ((frame: Uint8Array) => void) | null = null;
  onClose: ((reason: string) => void) | null = null;
  #reason: string | null = null;
  #heardAt = performance.now();
  readonly #ping: NodeJS.Timeout;

  constructor(private readonly socket: WebSocket) {
    socket.on('message', (data, isBinary) => {
      this.#heardAt = performance.now();
      if (this.#reason !== null) return;
      if (!isBinary) this.close('garbage received: a text message');
      else if (Array.isArray(data)) this.onFrame?.(Buffer.concat(data));
      else this.onFrame?.(data instanceof ArrayBuffer ? new Uint8Array(data) : data);
    });
    socket.on('pong', () => {
      this.#heardAt = performance.now();
    });
    socket.on('ping', () => {
      this.#heardAt = performance.now();
    });
    socket.on('error', (error) => this.close(error.message));
    socket.on('close', (code, reason) =>
      this.close(reason.toString() || `closed by the other end (${code})`),
    );
    this.#ping = setInterval(() => {
      if (performance.now() - this.#heardAt > SILENCE_MAX_MS) this.close(`silent for ${SILENCE_MAX_MS} ms`);
      else socket.ping();
    }, PING_EVERY_MS);
    this.#ping.unref();
  }

  send(frame: Uint8Array): void {
    if (this.#reason !== null) return;
    if (this.socket.bufferedAmount + frame.length > MAX_UNSENT_BYTES) {
      this.close(`the other end has not read ${this.socket.bufferedAmount} bytes`);
      return;
    }
    this.socket.send(frame, { binary: true });
  }

  close(reason = 'closed here'): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    clearInterval(this.#ping);
    // 1000 is a normal end (RFC 6455, 7.4.1); a peer that does not answer it is cut off.
    this.socket.close(1000, reason.slice(0, 100));
    setTimeout(() => this.socket.terminate(), 1_000).unref();
    this.onClose?.(reason);
  }
}
