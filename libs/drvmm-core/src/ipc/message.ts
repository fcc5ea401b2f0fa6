import { endianness } from 'node:os';
import type { Endpoint } from './endpoint.js';

/** Every message has this size; what is larger rides along or is copied through a grant. */
export const MESSAGE_BYTES = 64;
/** Bytes that may ride with one message. */
export const MAX_RIDING_BYTES = 65_536;
/** The type of a notification (MINIX NOTIFY_MESSAGE). */
export const NOTIFY_MESSAGE = 0x1000;

if (endianness() !== 'LE') throw new Error('DRVS messages are little-endian, and so must the machine be');

/**
 * 64 bytes seen as 16 words or 8 doubles.
 *
 * words[0] = source, set by the kernel, never believed from the sender; words[1] = type: the call's number, or the
 * status in a reply; words[2..15] = doubles[1..7] are the payload.
 */
export class Message {
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  readonly bytes: Uint8Array;

  constructor(buffer: ArrayBuffer = new ArrayBuffer(MESSAGE_BYTES), byteOffset = 0) {
    this.words = new Int32Array(buffer, byteOffset, 16);
    this.doubles = new Float64Array(buffer, byteOffset, 8);
    this.bytes = new Uint8Array(buffer, byteOffset, MESSAGE_BYTES);
  }

  get source(): Endpoint {
    return this.words[0] as Endpoint;
  }

  get type(): number {
    return this.words[1]!;
  }

  set type(value: number) {
    this.words[1] = value;
  }

  copyFrom(other: Message): void {
    // A loop over 8 doubles could canonicalize NaN payloads; 16 words cannot, and beat TypedArray.set at this size.
    const from = other.words;
    const to = this.words;
    for (let i = 0; i < 16; i++) to[i] = from[i]!;
  }

  clear(): void {
    this.words.fill(0);
  }
}
