import { FRAME_ROOM_BYTES, MAX_IPC_FRAME_BYTES, readUnsigned, writeWord } from '../ipc/frame.js';

/**
 * What passes over a link, little-endian:
 *
 *   0 magic u8 | 1 version and kind u8 | 2 flags u8 | 3 zero u8 | 4 length u32 | 8 sequence u32 | 12 ack u32 | body
 *
 * Sequences count the frames of a lane from 1, modulo 2^32; ack is the last one received of the same lane.
 */
export const LINK_HEADER_BYTES = FRAME_ROOM_BYTES;
const MAGIC = 0xd5;
/** Of this form of frames. What may be said in them is agreed upon in the greeting (LinkSession). */
const VERSION = 1;

export enum LinkKind {
  /** JSON: who speaks, and which session it remembers. */
  Hello = 1,
  /** Your hello was taken. */
  Welcome = 2,
  Ipc = 3,
  /** A slice of a frame of the control lane. */
  Control = 4,
  /** Body: ack of lane ipc u32, of lane control u32. */
  Ack = 5,
  Ping = 6,
  Pong = 7,
  /** The sender ends; body: why, UTF-8. */
  Goodbye = 8,
  /** The sender has a new certificate: dial it anew. From version 2 of the protocol on. */
  Renew = 9,
}

/** A control slice that begins a frame (its body starts with the frame's length, u32), and one that ends it. */
export const SLICE_FIRST = 1;
export const SLICE_LAST = 2;
/** So that a frame of lane ipc waits for little of the bulk before it. */
export const SLICE_BYTES = 65_536;

const BODY_LIMITS: Readonly<Record<LinkKind, number>> = {
  [LinkKind.Hello]: 4_096,
  [LinkKind.Welcome]: 0,
  [LinkKind.Ipc]: MAX_IPC_FRAME_BYTES,
  [LinkKind.Control]: SLICE_BYTES + 4,
  [LinkKind.Ack]: 8,
  [LinkKind.Ping]: 0,
  [LinkKind.Pong]: 0,
  [LinkKind.Goodbye]: 1_024,
  [LinkKind.Renew]: 0,
};

export class LinkGarbage extends Error {
  constructor(reason: string) {
    super(`garbage on the link: ${reason}`);
    this.name = 'LinkGarbage';
  }
}

export function writeLinkHeader(
  into: Buffer,
  at: number,
  kind: LinkKind,
  flags: number,
  length: number,
  sequence: number,
  ack: number,
): void {
  into[at] = MAGIC;
  into[at + 1] = (VERSION << 4) | kind;
  into[at + 2] = flags;
  into[at + 3] = 0;
  writeWord(into, at + 4, length);
  writeWord(into, at + 8, sequence);
  writeWord(into, at + 12, ack);
}

/** Another acknowledgement in a header that is written. */
export function writeAck(into: Buffer, at: number, ack: number): void {
  writeWord(into, at + 12, ack);
}

export type LinkFrameTaker = (
  kind: LinkKind,
  flags: number,
  sequence: number,
  ack: number,
  body: Uint8Array,
) => void;

/**
 * Cuts a stream into frames, whatever pieces it arrives in. Frames that lie whole in a piece are views of it; one
 * copy for those that do not.
 */
export class LinkParser {
  /** The beginning of a frame: its header so far, or (once that is known) all of it with room for the rest. */
  #partial: Buffer = Buffer.alloc(0);
  #filled = 0;

  constructor(readonly take: LinkFrameTaker) {}

  reset(): void {
    this.#filled = 0;
    this.#partial = Buffer.alloc(0);
  }

  /** @throws LinkGarbage */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#filled > 0) {
        at += this.#fill(chunk, at);
        continue;
      }
      if (chunk.length - at < LINK_HEADER_BYTES) {
        this.#partial = Buffer.allocUnsafe(LINK_HEADER_BYTES);
        at += this.#fill(chunk, at);
        continue;
      }
      const total = frameBytes(chunk, at);
      if (chunk.length - at < total) {
        this.#partial = Buffer.allocUnsafe(total);
        at += this.#fill(chunk, at);
        continue;
      }
      this.#emit(chunk, at, total);
      at += total;
    }
  }

  #fill(chunk: Buffer, at: number): number {
    if (this.#filled >= LINK_HEADER_BYTES || this.#partial.length > LINK_HEADER_BYTES) {
      return this.#fillBody(chunk, at);
    }
    const taken = Math.min(LINK_HEADER_BYTES - this.#filled, chunk.length - at);
    chunk.copy(this.#partial, this.#filled, at, at + taken);
    this.#filled += taken;
    if (this.#filled < LINK_HEADER_BYTES) return taken;
    const whole = Buffer.allocUnsafe(frameBytes(this.#partial, 0));
    this.#partial.copy(whole, 0, 0, LINK_HEADER_BYTES);
    this.#partial = whole;
    this.#finishIfWhole();
    return taken;
  }

  #fillBody(chunk: Buffer, at: number): number {
    const taken = Math.min(this.#partial.length - this.#filled, chunk.length - at);
    chunk.copy(this.#partial, this.#filled, at, at + taken);
    this.#filled += taken;
    this.#finishIfWhole();
    return taken;
  }

  #finishIfWhole(): void {
    if (this.#filled < this.#partial.length) return;
    const whole = this.#partial;
    this.reset();
    this.#emit(whole, 0, whole.length);
  }

  #emit(buffer: Buffer, at: number, total: number): void {
    this.take(
      buffer[at + 1]! & 15,
      buffer[at + 2]!,
      readUnsigned(buffer, at + 8),
      readUnsigned(buffer, at + 12),
      buffer.subarray(at + LINK_HEADER_BYTES, at + total),
    );
  }
}

function frameBytes(buffer: Buffer, at: number): number {
  if (buffer[at] !== MAGIC) throw new LinkGarbage(`first byte ${buffer[at]}`);
  const second = buffer[at + 1]!;
  if (second >> 4 !== VERSION) throw new LinkGarbage(`version ${second >> 4}, this is version ${VERSION}`);
  const limit = BODY_LIMITS[(second & 15) as LinkKind];
  if (limit === undefined) throw new LinkGarbage(`frame of kind ${second & 15}`);
  const length = readUnsigned(buffer, at + 4);
  if (length > limit) throw new LinkGarbage(`${LinkKind[second & 15]} of ${length} bytes`);
  return LINK_HEADER_BYTES + length;
}
