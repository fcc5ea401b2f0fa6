/** WebAssembly's number and string encodings (core specification §5): a bounded reader and a growing writer. */

/** The bytes do not follow the format. Turned into a DrvsError at the loader's door. */
export class MalformedModule extends Error {}

export class BinaryReader {
  at: number;
  readonly end: number;

  constructor(
    readonly bytes: Uint8Array,
    start = 0,
    end = bytes.length,
  ) {
    this.at = start;
    this.end = end;
  }

  get isDone(): boolean {
    return this.at >= this.end;
  }

  u8(): number {
    if (this.at >= this.end) throw new MalformedModule(`the module ends too early, at byte ${this.at}`);
    return this.bytes[this.at++]!;
  }

  /** Unsigned LEB128 of at most 32 bits. */
  u32(): number {
    let byte = this.u8();
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    let shift = 7;
    do {
      if (shift > 28) throw new MalformedModule(`a number is too long at byte ${this.at}`);
      byte = this.u8();
      value |= (byte & 0x7f) << shift;
      shift += 7;
    } while (byte >= 0x80);
    return value >>> 0;
  }

  /** Signed LEB128 of at most 32 bits. */
  s32(): number {
    let value = 0;
    let shift = 0;
    for (;;) {
      const byte = this.u8();
      value |= (byte & 0x7f) << shift;
      shift += 7;
      if (byte < 0x80) return shift < 32 && (byte & 0x40) !== 0 ? value | (-1 << shift) : value;
      if (shift > 28) throw new MalformedModule(`a number is too long at byte ${this.at}`);
    }
  }

  /** Passes over one LEB128 number of up to 64 bits. */
  skipLeb(): void {
    for (let length = 1; this.u8() >= 0x80; length++)
      if (length === 10) throw new MalformedModule(`a number is too long at byte ${this.at}`);
  }

  skip(count: number): void {
    if (count > this.end - this.at)
      throw new MalformedModule(`the module ends too early, at byte ${this.bytes.length}`);
    this.at += count;
  }

  take(count: number): Uint8Array {
    const start = this.at;
    this.skip(count);
    return this.bytes.subarray(start, this.at);
  }

  name(): string {
    return decoder.decode(this.take(this.u32()));
  }
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

export class BinaryWriter {
  private bytes: Uint8Array;
  length = 0;

  constructor(capacity = 256) {
    this.bytes = new Uint8Array(capacity);
  }

  private reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + count));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }

  u8(value: number): this {
    if (this.length === this.bytes.length) this.reserve(1);
    this.bytes[this.length++] = value;
    return this;
  }

  u32(value: number): this {
    let rest = value >>> 0;
    while (rest >= 0x80) {
      this.u8((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    return this.u8(rest);
  }

  s32(value: number): this {
    let rest = value | 0;
    for (;;) {
      const byte = rest & 0x7f;
      rest >>= 7;
      if ((rest === 0 && (byte & 0x40) === 0) || (rest === -1 && (byte & 0x40) !== 0)) return this.u8(byte);
      this.u8(byte | 0x80);
    }
  }

  raw(source: Uint8Array, start = 0, end = source.length): this {
    const count = end - start;
    this.reserve(count);
    if (count < 32) for (let i = 0; i < count; i++) this.bytes[this.length + i] = source[start + i]!;
    else this.bytes.set(source.subarray(start, end), this.length);
    this.length += count;
    return this;
  }

  name(text: string): this {
    const bytes = encoder.encode(text);
    return this.u32(bytes.length).raw(bytes);
  }

  /** A section or a function body: its length, then its bytes. */
  sized(content: BinaryWriter): this {
    return this.u32(content.length).raw(content.bytes, 0, content.length);
  }

  result(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}
