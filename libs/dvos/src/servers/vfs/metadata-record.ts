/**
 * One change of the file tree: what the journal stores and what `InodeTree.apply` takes. Every change of the tree is
 * one record, also a rename, so that a crash finds it done or not done. Applying the same records in the same order
 * to an empty tree gives the same tree.
 *
 * On disk: u8 kind, then the fields in the order below; numbers as f64 (little endian), small ones as u32, strings as
 * u16 length + UTF-8.
 */
export type MetadataRecord =
  /** A new file and its first name. */
  | {
      kind: 'make';
      inode: number;
      file: number;
      mode: number;
      device: number;
      parent: number;
      name: string;
      target: string;
      at: number;
    }
  | { kind: 'link'; inode: number; parent: number; name: string; at: number }
  /** A name goes; the file too, when it was its last. */
  | { kind: 'unlink'; parent: number; name: string; at: number }
  | { kind: 'rename'; parent: number; name: string; newParent: number; newName: string; at: number }
  | {
      kind: 'attributes';
      inode: number;
      size: number;
      mode: number;
      accessMs: number;
      accessNanos: number;
      modifiedMs: number;
      modifiedNanos: number;
      changedMs: number;
    }
  /** Only in a snapshot: inode numbers below this one have been used. */
  | { kind: 'counter'; next: number };

/** The longest record: a symbolic link's target and a name, with room to spare. */
export const RECORD_MAX_BYTES = 8192;

const KINDS = ['make', 'link', 'unlink', 'rename', 'attributes', 'counter'] as const;
const decoder = new TextDecoder('utf-8', { fatal: true });

class Writer {
  at = 0;
  constructor(
    readonly bytes: Buffer,
    start: number,
  ) {
    this.at = start;
  }
  u8(value: number): void {
    this.at = this.bytes.writeUInt8(value, this.at);
  }
  u32(value: number): void {
    this.at = this.bytes.writeUInt32LE(value, this.at);
  }
  f64(value: number): void {
    this.at = this.bytes.writeDoubleLE(value, this.at);
  }
  text(value: string): void {
    const length = this.bytes.write(value, this.at + 2, 'utf8');
    this.bytes.writeUInt16LE(length, this.at);
    this.at += 2 + length;
  }
}

/** Writes the record at `start`, where RECORD_MAX_BYTES must be free. @returns where it ends. */
export function encodeRecord(record: MetadataRecord, bytes: Buffer, start: number): number {
  const to = new Writer(bytes, start);
  to.u8(KINDS.indexOf(record.kind));
  switch (record.kind) {
    case 'make':
      to.f64(record.inode);
      to.u8(record.file);
      to.u32(record.mode);
      to.u32(record.device);
      to.f64(record.parent);
      to.text(record.name);
      to.text(record.target);
      to.f64(record.at);
      break;
    case 'link':
      to.f64(record.inode);
      to.f64(record.parent);
      to.text(record.name);
      to.f64(record.at);
      break;
    case 'unlink':
      to.f64(record.parent);
      to.text(record.name);
      to.f64(record.at);
      break;
    case 'rename':
      to.f64(record.parent);
      to.text(record.name);
      to.f64(record.newParent);
      to.text(record.newName);
      to.f64(record.at);
      break;
    case 'attributes':
      to.f64(record.inode);
      to.f64(record.size);
      to.u32(record.mode);
      to.f64(record.accessMs);
      to.u32(record.accessNanos);
      to.f64(record.modifiedMs);
      to.u32(record.modifiedNanos);
      to.f64(record.changedMs);
      break;
    case 'counter':
      to.f64(record.next);
      break;
  }
  return to.at;
}

class Reader {
  at = 0;
  constructor(readonly bytes: Buffer) {}
  u8(): number {
    return this.bytes.readUInt8(this.at++);
  }
  u32(): number {
    this.at += 4;
    return this.bytes.readUInt32LE(this.at - 4);
  }
  f64(): number {
    this.at += 8;
    return this.bytes.readDoubleLE(this.at - 8);
  }
  text(): string {
    const length = this.bytes.readUInt16LE(this.at);
    const start = this.at + 2;
    this.at = start + length;
    if (this.at > this.bytes.length) throw new RangeError('a string beyond the record');
    return decoder.decode(this.bytes.subarray(start, this.at));
  }
}

/** @throws Error when the bytes are not a whole record. */
export function decodeRecord(bytes: Buffer): MetadataRecord {
  const from = new Reader(bytes);
  const kind = KINDS[from.u8()];
  const record = ((): MetadataRecord => {
    switch (kind) {
      case 'make':
        return {
          kind,
          inode: from.f64(),
          file: from.u8(),
          mode: from.u32(),
          device: from.u32(),
          parent: from.f64(),
          name: from.text(),
          target: from.text(),
          at: from.f64(),
        };
      case 'link':
        return { kind, inode: from.f64(), parent: from.f64(), name: from.text(), at: from.f64() };
      case 'unlink':
        return { kind, parent: from.f64(), name: from.text(), at: from.f64() };
      case 'rename':
        return {
          kind,
          parent: from.f64(),
          name: from.text(),
          newParent: from.f64(),
          newName: from.text(),
          at: from.f64(),
        };
      case 'attributes':
        return {
          kind,
          inode: from.f64(),
          size: from.f64(),
          mode: from.u32(),
          accessMs: from.f64(),
          accessNanos: from.u32(),
          modifiedMs: from.f64(),
          modifiedNanos: from.u32(),
          changedMs: from.f64(),
        };
      case 'counter':
        return { kind, next: from.f64() };
      default:
        throw new RangeError('a record of unknown kind');
    }
  })();
  if (from.at !== bytes.length) throw new RangeError('a record with bytes left over');
  return record;
}
