import type { FramePipe } from '@drvs/contracts';
import type { WebSocket } from 'ws';

/** A WebSocket as a pipe of frames: one binary message each. Text messages are garbage and end it. */
export function websocketPipe(socket: WebSocket): FramePipe {
  let closed = false;
  const pipe: FramePipe = {
    onFrame: null,
    onClose: null,
    send: (frame) => {
      if (!closed) socket.send(frame, { binary: true });
    },
    close: (reason) => {
      if (closed) return;
      closed = true;
      // A close frame carries at most 123 bytes of reason (RFC 6455, 5.5.1).
      socket.close(1000, Buffer.from(reason ?? '').subarray(0, 100));
    },
  };
  const gone = (reason: string) => {
    closed = true;
    const { onClose } = pipe;
    pipe.onClose = null;
    onClose?.(reason);
  };
  socket.on('message', (data: Buffer | ArrayBuffer | Buffer[], isBinary: boolean) => {
    if (!isBinary) {
      socket.close(1003, 'binary frames only');
      gone('a text message was received');
      return;
    }
    const bytes = Array.isArray(data) ? Buffer.concat(data) : new Uint8Array(data);
    pipe.onFrame?.(bytes);
  });
  socket.on('close', (code, reason) => gone(reason.toString() || `the connection was closed (${code})`));
  socket.on('error', (error) => gone(error.message));
  return pipe;
}
