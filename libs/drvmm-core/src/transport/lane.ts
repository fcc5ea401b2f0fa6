import { LINK_HEADER_BYTES, LinkGarbage, type LinkKind, writeAck, writeLinkHeader } from './link-frame.js';

/** Received frames or bytes after which an acknowledgement goes out on its own. */
const ACK_AFTER_FRAMES = 128;
const ACK_AFTER_BYTES = 256 * 1024;
/** Small frames share buffers of this size; from a quarter of it on, a frame has one of its own. */
const SEGMENT_BYTES = 65_536;
const OWN_SEGMENT_BYTES = SEGMENT_BYTES / 4;
const FIRST_SIZES = 256;

/** Frames as they go over the wire, one after another: those in [start, end) are not acknowledged. */
interface Segment {
  readonly bytes: Buffer;
  start: number;
  end: number;
  /** May be filled anew when all of it is acknowledged: nothing else can refer to it then. */
  isReusable: boolean;
}

/** a - b of sequences modulo 2^32. */
const distance = (a: number, b: number): number => (a - b) | 0;

/**
 * One direction each of an ordered, acknowledged stream of frames. A frame is written in its final form when it is
 * taken, and that is what is sent, kept until it is acknowledged, and sent again on a new connection: one copy (none
 * for a large frame that left room for its header), and no allocation for each.
 */
export class Lane {
  readonly #kind: LinkKind;
  readonly #segments: Segment[] = [];
  #spare: Segment | null = null;
  /** Bytes of the frames from acked + 1 on, in a ring; the first `#written` have been written to the connection. */
  #sizes = new Uint32Array(FIRST_SIZES);
  #first = 0;
  #count = 0;
  #written = 0;
  /** Where the first frame that is not written lies. */
  #writeSegment = 0;
  #writeAt = 0;
  acked = 0;
  received = 0;
  /** Of all frames that are kept. */
  bytes = 0;
  unreportedFrames = 0;
  unreportedBytes = 0;

  constructor(kind: LinkKind) {
    this.#kind = kind;
  }

  /**
   * Takes a frame. `total`: of what this body is the first part; goes before it. A body that fills its buffer but for
   * the LINK_HEADER_BYTES at the front is sent from there, and its buffer belongs to the lane.
   */
  push(body: Uint8Array, flags: number, total = -1): void {
    const prefixBytes = total < 0 ? 0 : 4;
    const length = prefixBytes + body.length;
    const size = LINK_HEADER_BYTES + length;
    const sequence = (this.acked + this.#count + 1) >>> 0;
    const hasRoom =
      prefixBytes === 0 &&
      size >= OWN_SEGMENT_BYTES &&
      body.byteOffset === LINK_HEADER_BYTES &&
      body.buffer.byteLength === size;
    const segment = hasRoom ? this.#adopt(body) : this.#segmentFor(size);
    const { bytes, end } = segment;
    writeLinkHeader(bytes, end, this.#kind, flags, length, sequence, this.received);
    if (prefixBytes > 0) bytes.writeUInt32LE(total, end + LINK_HEADER_BYTES);
    if (!hasRoom) bytes.set(body, end + LINK_HEADER_BYTES + prefixBytes);
    segment.end = end + size;
    this.bytes += size;
    if (this.#count === this.#sizes.length) this.#growSizes();
    this.#sizes[(this.#first + this.#count) & (this.#sizes.length - 1)] = size;
    this.#count++;
  }

  /** Frames that are not written to the present connection. */
  get unwritten(): number {
    return this.#count - this.#written;
  }

  get hasUnwritten(): boolean {
    return this.#written < this.#count;
  }

  /**
   * What to write next: whole frames of at most `most` bytes together, one at least. The last of them carries what was
   * received by now.
   */
  next(most: number): Buffer {
    let segment = this.#segments[this.#writeSegment]!;
    if (this.#writeAt === segment.end) {
      segment = this.#segments[++this.#writeSegment]!;
      this.#writeAt = segment.start;
    }
    const start = this.#writeAt;
    const mask = this.#sizes.length - 1;
    let at = start;
    let last = start;
    while (at < segment.end) {
      const size = this.#sizes[(this.#first + this.#written) & mask]!;
      if (at > start && at + size - start > most) break;
      last = at;
      at += size;
      this.#written++;
    }
    this.#writeAt = at;
    writeAck(segment.bytes, last, this.received);
    this.reported();
    return segment.bytes.subarray(start, at);
  }

  /** @throws LinkGarbage when never sent. */
  acknowledge(sequence: number): void {
    const count = distance(sequence, this.acked);
    if (count <= 0) return;
    if (count > this.#written) throw new LinkGarbage(`acknowledgement of ${sequence}, which was never sent`);
    const mask = this.#sizes.length - 1;
    for (let left = count; left > 0; left--) {
      const size = this.#sizes[this.#first]!;
      this.#first = (this.#first + 1) & mask;
      this.bytes -= size;
      const segment = this.#segments[0]!;
      segment.start += size;
      if (segment.start === segment.end) this.#dropFirst(segment);
    }
    this.#count -= count;
    this.#written -= count;
    this.acked = sequence;
  }

  /** On a new connection of the same session: what the peer has stays sent, the rest is written again. */
  resume(peerHas: number): void {
    // The former connection may still hold what was written to it.
    for (const segment of this.#segments) segment.isReusable = false;
    this.#spare = null;
    this.#written = this.#count;
    this.acknowledge(peerHas);
    this.#written = 0;
    this.#writeSegment = 0;
    this.#writeAt = this.#segments[0]?.start ?? 0;
  }

  /** True when the frame is the next one; false for one received before. @throws LinkGarbage on a gap. */
  accept(sequence: number, bytes: number): boolean {
    const ahead = distance(sequence, this.received);
    if (ahead <= 0) return false;
    if (ahead > 1) throw new LinkGarbage(`frame ${sequence} after ${this.received}`);
    this.received = sequence;
    this.unreportedFrames++;
    this.unreportedBytes += bytes;
    return true;
  }

  get mustReport(): boolean {
    return this.unreportedFrames >= ACK_AFTER_FRAMES || this.unreportedBytes >= ACK_AFTER_BYTES;
  }

  reported(): void {
    this.unreportedFrames = 0;
    this.unreportedBytes = 0;
  }

  /** All frames of the first segment are acknowledged. */
  #dropFirst(segment: Segment): void {
    if (this.#segments.length === 1) {
      if (segment.isReusable) {
        segment.start = 0;
        segment.end = 0;
        this.#writeAt = 0;
      } else {
        this.#segments.length = 0;
        this.#writeAt = 0;
      }
      return;
    }
    this.#segments.shift();
    // (What is acknowledged was written: the place of the next write is in this segment only at its very end.)
    if (this.#writeSegment > 0) this.#writeSegment--;
    else this.#writeAt = this.#segments[0]!.start;
    if (segment.isReusable) {
      segment.start = 0;
      segment.end = 0;
      this.#spare = segment;
    }
  }

  #segmentFor(size: number): Segment {
    const last = this.#segments.at(-1);
    if (last?.isReusable && last.end + size <= last.bytes.length) return last;
    let segment = this.#spare;
    if (size >= OWN_SEGMENT_BYTES) {
      segment = { bytes: Buffer.allocUnsafeSlow(size), start: 0, end: 0, isReusable: false };
    } else if (segment !== null) {
      this.#spare = null;
    } else {
      segment = { bytes: Buffer.allocUnsafeSlow(SEGMENT_BYTES), start: 0, end: 0, isReusable: true };
    }
    return this.#append(segment);
  }

  #adopt(body: Uint8Array): Segment {
    const bytes = Buffer.from(body.buffer as ArrayBuffer);
    return this.#append({ bytes, start: 0, end: 0, isReusable: false });
  }

  #append(segment: Segment): Segment {
    const last = this.#segments.at(-1);
    // An empty one would never be dropped: nothing of it is acknowledged any more.
    if (last !== undefined && last.start === last.end) {
      this.#segments.pop();
      if (this.#spare === null && last.isReusable) this.#spare = last;
      if (this.#segments.length === 0) {
        this.#writeSegment = 0;
        this.#writeAt = 0;
      }
    }
    this.#segments.push(segment);
    return segment;
  }

  #growSizes(): void {
    const grown = new Uint32Array(this.#sizes.length * 2);
    for (let i = 0; i < this.#count; i++)
      grown[i] = this.#sizes[(this.#first + i) & (this.#sizes.length - 1)]!;
    this.#sizes = grown;
    this.#first = 0;
  }
}
