/** Bytes that are not what they should be: from a peer or a disk, never a fault of this program. */
export class CodecGarbage extends Error {
  constructor(reason: string) {
    super(`garbage: ${reason}`);
    this.name = 'CodecGarbage';
  }
}

const FIRST_CAPACITY_BYTES = 128;
const TWO_32 = 4_294_967_296;

/** Writes little-endian fields one after another into a buffer that grows. */
export class ByteWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(capacity = FIRST_CAPACITY_BYTES) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    this.#room(1);
    this.#buffer[this.#length++] = value;
    return this;
  }

  u16(value: number): this {
    this.#room(2);
    this.#length = this.#buffer.writeUInt16LE(value, this.#length);
    return this;
  }

  u32(value: number): this {
    this.#room(4);
    this.#length = this.#buffer.writeUInt32LE(value, this.#length);
    return this;
  }

  /** Integers up to 2^53 - 1, as 64 bits. */
  u64(value: number): this {
    this.#room(8);
    this.#length = this.#buffer.writeUInt32LE(value % TWO_32, this.#length);
    this.#length = this.#buffer.writeUInt32LE(Math.floor(value / TWO_32), this.#length);
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.#room(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  /** Length u32, then the bytes. */
  bytes(bytes: Uint8Array): this {
    return this.u32(bytes.length).raw(bytes);
  }

  /** Length u16, then UTF-8. */
  text(text: string): this {
    const length = Buffer.byteLength(text);
    this.u16(length);
    this.#room(length);
    this.#length += this.#buffer.write(text, this.#length);
    return this;
  }

  /** What was written; the writer is used up. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  #room(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

/** Reads what ByteWriter wrote. Every read is checked against the end: @throws CodecGarbage */
export class ByteReader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.#buffer.length - this.#at;
  }

  u8(): number {
    return this.#buffer[this.#take(1)]!;
  }

  u16(): number {
    return this.#buffer.readUInt16LE(this.#take(2));
  }

  u32(): number {
    return this.#buffer.readUInt32LE(this.#take(4));
  }

  u64(): number {
    const at = this.#take(8);
    const high = this.#buffer.readUInt32LE(at + 4);
    if (high >= 0x20_0000) throw new CodecGarbage('an integer beyond 2^53');
    return high * TWO_32 + this.#buffer.readUInt32LE(at);
  }

  boolean(): boolean {
    const value = this.u8();
    if (value > 1) throw new CodecGarbage(`${value} for a truth value`);
    return value === 1;
  }

  /** A view, not a copy. */
  raw(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#buffer.subarray(at, at + length);
  }

  bytes(lengthMax: number): Uint8Array {
    const length = this.u32();
    if (length > lengthMax) throw new CodecGarbage(`${length} bytes where ${lengthMax} are the limit`);
    return this.raw(length);
  }

  text(bytesMax: number): string {
    const length = this.u16();
    if (length > bytesMax)
      throw new CodecGarbage(`a text of ${length} bytes where ${bytesMax} are the limit`);
    const at = this.#take(length);
    return this.#buffer.toString('utf8', at, at + length);
  }

  /** A count of items of which each takes itemBytesMin at least, so that a forged one cannot make us allocate. */
  count(countMax: number, itemBytesMin = 1): number {
    const count = this.u32();
    if (count > countMax || count * itemBytesMin > this.left) throw new CodecGarbage(`a count of ${count}`);
    return count;
  }

  end(): void {
    if (this.left > 0) throw new CodecGarbage(`${this.left} bytes too many`);
  }

  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#buffer.length) throw new CodecGarbage('cut short');
    this.#at = at + count;
    return at;
  }
}
