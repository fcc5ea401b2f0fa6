/**
 * The metadata journal: one append-only file of checksummed records.
 *
 *   header   "DRVSVFS1" u32 0 u32 CRC-32C of the 12 bytes before
 *   record   u16 MARK, u16 length of the payload, u32 sequence number, u32 CRC-32C of the 8 bytes before and the
 *            payload, payload (metadata-record.ts)
 *
 * What a crash can leave is a torn end: whole records, then one that is not. It is cut off when the journal is opened.
 * A record that is not whole with whole ones *after* it is not a crash but damage, and is refused: dropping all that
 * follows would lose what was durable, and skipping it would make a tree that never was.
 *
 * Compaction writes the records of the whole tree to a new file, makes it durable and renames it over the old one.
 */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { DrvsError } from '@drvs/contracts';
import { crc32c } from './crc32c.js';
import { decodeRecord, encodeRecord, type MetadataRecord, RECORD_MAX_BYTES } from './metadata-record.js';

const MAGIC = Buffer.from('DRVSVFS1');
const HEADER_BYTES = 16;
const MARK = 0xd7a5;
const RECORD_HEADER_BYTES = 12;
/** Records are gathered up to this before they are written; the owner writes earlier, at its own times. */
export const JOURNAL_BUFFER_BYTES = 256 * 1024;
/** Compaction pays when the journal is this long and this many times longer than what it makes. */
const COMPACT_FROM_BYTES = 1024 * 1024;
const COMPACT_RATIO = 4;

function header(): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt32LE(crc32c(bytes, 0, 12), 12);
  return bytes;
}

/** Where the whole record at `at` ends, -1 when there is none. */
function recordEnd(bytes: Buffer, at: number, end: number): number {
  if (at + RECORD_HEADER_BYTES > end || bytes.readUInt16LE(at) !== MARK) return -1;
  const payload = at + RECORD_HEADER_BYTES;
  const next = payload + bytes.readUInt16LE(at + 2);
  if (next > end) return -1;
  const sum = crc32c(bytes, payload, next, crc32c(bytes, at, at + 8));
  return sum === bytes.readUInt32LE(at + 8) ? next : -1;
}

export class Journal {
  readonly path: string;
  #fd = -1;
  /** Bytes of the file that are whole records; whatever is beyond is to be overwritten. */
  #length = 0;
  #sequence = 0;
  #snapshotBytes = 0;
  #buffer = Buffer.alloc(64 * 1024);
  #filled = 0;

  constructor(path: string) {
    this.path = path;
  }

  /** Bytes gathered and not yet written. */
  get pendingBytes(): number {
    return this.#filled;
  }

  get isWorthCompacting(): boolean {
    return this.#length > COMPACT_FROM_BYTES && this.#length > COMPACT_RATIO * this.#snapshotBytes;
  }

  /** Opens or makes the file and hands over its records in order. @throws DrvsError when it is damaged. */
  open(apply: (record: MetadataRecord) => void): void {
    rmSync(`${this.path}.new`, { force: true });
    if (existsSync(this.path)) this.#fd = openSync(this.path, 'r+');
    else this.#replace([]);
    this.#sequence = 0;
    const size = fstatSync(this.#fd).size;
    const bytes = Buffer.allocUnsafe(size);
    for (let at = 0; at < size; ) {
      const count = readSync(this.#fd, bytes, at, size - at, at);
      if (count === 0) throw this.#damaged(at, 'it became shorter while it was read');
      at += count;
    }
    if (size < HEADER_BYTES || !bytes.subarray(0, HEADER_BYTES).equals(header())) {
      throw this.#damaged(0, 'its header is not that of a file-system journal');
    }
    let at = HEADER_BYTES;
    for (let next = recordEnd(bytes, at, size); next >= 0; next = recordEnd(bytes, at, size)) {
      const sequence = bytes.readUInt32LE(at + 4);
      if (sequence !== (this.#sequence + 1) >>> 0) {
        throw this.#damaged(at, `record ${sequence} follows record ${this.#sequence}`);
      }
      try {
        apply(decodeRecord(bytes.subarray(at + RECORD_HEADER_BYTES, next)));
      } catch (error) {
        throw this.#damaged(at, `record ${sequence} does not fit: ${(error as Error).message}`);
      }
      this.#sequence = sequence;
      at = next;
    }
    for (let later = at + 1; later + RECORD_HEADER_BYTES <= size; later++) {
      if (recordEnd(bytes, later, size) >= 0 && bytes.readUInt32LE(later + 4) > this.#sequence) {
        throw this.#damaged(at, `the record there is not whole, but the one at byte ${later} is`);
      }
    }
    if (at < size) ftruncateSync(this.#fd, at);
    this.#length = at;
    this.#snapshotBytes = this.#snapshotBytes || Math.min(at, COMPACT_FROM_BYTES);
  }

  append(record: MetadataRecord): void {
    const needed = this.#filled + RECORD_HEADER_BYTES + RECORD_MAX_BYTES;
    if (needed > this.#buffer.length) {
      const grown = Buffer.alloc(Math.max(needed, this.#buffer.length * 2));
      this.#buffer.copy(grown, 0, 0, this.#filled);
      this.#buffer = grown;
    }
    this.#sequence = (this.#sequence + 1) >>> 0;
    this.#filled = put(record, this.#sequence, this.#buffer, this.#filled);
  }

  /** Writes what was gathered. @throws the host's error; everything is still there for another try. */
  write(): void {
    for (let done = 0; done < this.#filled; ) {
      done += writeSync(this.#fd, this.#buffer, done, this.#filled - done, this.#length + done);
    }
    this.#length += this.#filled;
    this.#filled = 0;
    if (this.#buffer.length > 4 * JOURNAL_BUFFER_BYTES) this.#buffer = Buffer.alloc(64 * 1024);
  }

  /** @throws the host's error. */
  sync(): void {
    fdatasyncSync(this.#fd);
  }

  /** Everything appended must have been written. @throws the host's error; the old file is still the journal then. */
  compact(records: Iterable<MetadataRecord>): void {
    this.#replace(records);
  }

  /** Compaction has failed: it is not tried again before the journal is twice as long. */
  postponeCompaction(): void {
    this.#snapshotBytes = Math.max(this.#snapshotBytes, (2 * this.#length) / COMPACT_RATIO);
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  #replace(records: Iterable<MetadataRecord>): void {
    const fresh = `${this.path}.new`;
    const fd = openSync(fresh, 'w+', 0o600);
    let length = 0;
    let sequence = 0;
    try {
      const bytes = Buffer.alloc(JOURNAL_BUFFER_BYTES + RECORD_HEADER_BYTES + RECORD_MAX_BYTES);
      let filled = header().copy(bytes);
      const flush = (): void => {
        for (let done = 0; done < filled; ) done += writeSync(fd, bytes, done, filled - done, length + done);
        length += filled;
        filled = 0;
      };
      for (const record of records) {
        filled = put(record, ++sequence, bytes, filled);
        if (filled >= JOURNAL_BUFFER_BYTES) flush();
      }
      flush();
      fsyncSync(fd);
    } catch (error) {
      closeSync(fd);
      rmSync(fresh, { force: true });
      throw error;
    }
    renameSync(fresh, this.path);
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = fd;
    const folder = openSync(dirname(this.path), 'r');
    fsyncSync(folder);
    closeSync(folder);
    this.#length = length;
    this.#snapshotBytes = length;
    this.#sequence = sequence;
  }

  #damaged(at: number, why: string): DrvsError {
    return new DrvsError('StateConflict', `${this.path} is damaged at byte ${at}: ${why}`, {
      hint: 'Restore the file from a copy or a snapshot of the DRVM; without one, moving it away gives an empty file system.',
      details: { file: this.path, byte: at },
    });
  }
}

function put(record: MetadataRecord, sequence: number, bytes: Buffer, at: number): number {
  const payload = at + RECORD_HEADER_BYTES;
  const end = encodeRecord(record, bytes, payload);
  bytes.writeUInt16LE(MARK, at);
  bytes.writeUInt16LE(end - payload, at + 2);
  bytes.writeUInt32LE(sequence, at + 4);
  bytes.writeUInt32LE(crc32c(bytes, payload, end, crc32c(bytes, at, at + 8)), at + 8);
  return end;
}
