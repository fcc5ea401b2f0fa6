// What a bare echo owes: frames `u32 length | body` over any stream, whole frames answered, those of one turn in one write.
const HEADER_BYTES = 4;

/** Calls `take(frame)`, header included, for each whole frame of the stream, and `turn()` at the end of each piece. */
export function cutFrames(socket, take, turn = () => {}) {
  let parts = [];
  let have = 0;
  let wanted = HEADER_BYTES;
  socket.on('data', (chunk) => {
    parts.push(chunk);
    have += chunk.length;
    if (have < wanted) return;
    let bytes = parts.length === 1 ? parts[0] : Buffer.concat(parts, have);
    while (bytes.length >= HEADER_BYTES) {
      wanted = HEADER_BYTES + bytes.readUInt32LE(0);
      if (bytes.length < wanted) break;
      take(bytes.subarray(0, wanted));
      bytes = bytes.subarray(wanted);
      wanted = HEADER_BYTES;
    }
    parts = bytes.length > 0 ? [bytes] : [];
    have = bytes.length;
    turn();
  });
}

/** Gathers what is written in one turn into one write. */
export function corked(socket) {
  let frames = [];
  const flush = () => {
    const all = frames.length === 1 ? frames[0] : Buffer.concat(frames);
    frames = [];
    socket.write(all);
  };
  return (frame) => {
    frames.push(frame);
    if (frames.length === 1) process.nextTick(flush);
  };
}

/** A frame with this many bytes of body. */
export function frameOf(bytes) {
  const frame = Buffer.alloc(HEADER_BYTES + bytes, 7);
  frame.writeUInt32LE(bytes, 0);
  return frame;
}

/** @returns call(bytes, done): sends a frame of so many bytes, and calls done when it has come back */
export function echoClient(socket) {
  const waiting = [];
  let head = 0;
  cutFrames(socket, () => {
    const done = waiting[head];
    waiting[head++] = undefined;
    if (head > 4_096) {
      waiting.splice(0, head);
      head = 0;
    }
    done();
  });
  const write = corked(socket);
  return (frame, done) => {
    waiting.push(done);
    write(frame);
  };
}

/** For a server's connection. */
export function echo(socket) {
  const write = corked(socket);
  socket.on('error', () => {});
  cutFrames(socket, write);
}
