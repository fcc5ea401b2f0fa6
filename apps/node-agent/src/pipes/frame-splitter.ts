import { MAX_FRAME_BYTES } from '@drvs/contracts';

/** A control frame on a byte stream is `u32 length (big endian) | frame`. */
export const LENGTH_BYTES = 4;

/**
 * Cuts a byte stream into frames. It keeps what has arrived in pieces and joins them once, when the frame is whole, so
 * a length that lies costs no memory before its bytes come.
 *
 * @throws Error from push() when a frame claims more than MAX_FRAME_BYTES.
 */
export class FrameSplitter {
  readonly #pieces: Uint8Array[] = [];
  #held = 0;
  /** Length of the frame being collected; -1 while its length is not known yet. */
  #wanted = -1;

  constructor(private readonly onFrame: (frame: Uint8Array) => void) {}

  push(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.#pieces.push(piece);
    this.#held += piece.length;
    for (;;) {
      if (this.#wanted < 0) {
        if (this.#held < LENGTH_BYTES) return;
        const head = this.#take(LENGTH_BYTES);
        this.#wanted = new DataView(head.buffer, head.byteOffset, LENGTH_BYTES).getUint32(0);
        if (this.#wanted > MAX_FRAME_BYTES) throw new Error(`frame of ${this.#wanted} bytes is too large`);
      }
      if (this.#held < this.#wanted) return;
      const frame = this.#take(this.#wanted);
      this.#wanted = -1;
      this.onFrame(frame);
    }
  }

  /** The next `length` held bytes: a view where they lie in one piece, else one copy. */
  #take(length: number): Uint8Array {
    this.#held -= length;
    const first = this.#pieces[0];
    if (first && first.length >= length) {
      if (first.length === length) this.#pieces.shift();
      else this.#pieces[0] = first.subarray(length);
      return first.subarray(0, length);
    }
    const whole = new Uint8Array(length);
    let filled = 0;
    let used = 0;
    while (filled < length) {
      const piece = this.#pieces[used] as Uint8Array;
      const part = Math.min(piece.length, length - filled);
      whole.set(piece.subarray(0, part), filled);
      filled += part;
      if (part === piece.length) used++;
      else this.#pieces[used] = piece.subarray(part);
    }
    this.#pieces.splice(0, used);
    return whole;
  }
}
