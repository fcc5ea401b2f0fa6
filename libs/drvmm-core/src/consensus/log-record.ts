import { ByteReader, ByteWriter, CodecGarbage } from '../codec/byte-cursor.js';
import { crc32c } from '../codec/crc32c.js';
import {
  type LogEntry,
  MAX_COMMAND_BYTES,
  type RaftConfiguration,
  type RaftSnapshot,
  type RaftState,
  readConfiguration,
  readEntry,
  writeConfiguration,
  writeEntry,
} from './log-entry.js';
import type { PersistBatch } from './raft.js';

/**
 * The log on disk: one file of records, each
 *
 *   0 crc32c u32 of all that follows | 4 crc of the record before u32 | 8 length u32 | 12 kind u8, 3 zero
 *   16 durable u64 | 24 payload | up to 7 zero, so that every record begins at a multiple of 8
 *
 * and in this order: Header, Snapshot, its Parts, HardState, Entries, Ready; then what came since, as it came.
 *
 * - The chain of checksums keeps a stale record behind a torn one, of an earlier life of the file, from being taken
 *   for its successor.
 * - `durable`: how much of the file was known to be on disk when the record was written. A damaged record is a torn
 *   or lost write, and the end of the log, unless a later record says that it had been durable: then the disk has
 *   lost what was promised, and the replica must not go on as if it had never been (it would break its votes).
 *   What this cannot tell apart is damage of the very last durable record from a torn write.
 * - A file without Ready is one whose writing was cut short; the one before it is then still there.
 */
export const RECORD_HEADER_BYTES = 24;
const FORMAT_VERSION = 1;
const PART_BYTES = 1024 * 1024;
const MAX_PAYLOAD_BYTES = MAX_COMMAND_BYTES + 1_024;
const ALIGNMENT = 8;

enum RecordKind {
  Header = 1,
  Snapshot = 2,
  Part = 3,
  HardState = 4,
  Entry = 5,
  Truncate = 6,
  Ready = 7,
}

/** The disk no longer has what it had promised to keep. */
export class LogCorrupt extends Error {
  constructor(file: string, reason: string) {
    super(
      `the log ${file} is damaged: ${reason}. Remove this replica from its group, and let it join anew, empty, under a new id.`,
    );
    this.name = 'LogCorrupt';
  }
}

export const logFileName = (number: number): string => `raft-${String(number).padStart(10, '0')}.log`;

export function numberOfLogFile(name: string): number | null {
  const match = /^raft-(\d{10})\.log$/.exec(name);
  return match === null ? null : Number(match[1]);
}

/** Makes the records of one file, one after another; `chain` and `length` are those after the last one. */
export class RecordWriter {
  #chain: number;
  #length: number;
  #durable = 0;
  #pieces: Buffer[] = [];

  constructor(chain = 0, length = 0) {
    this.#chain = chain;
    this.#length = length;
    this.#durable = length;
  }

  get chain(): number {
    return this.#chain;
  }

  get length(): number {
    return this.#length;
  }

  /** All so far is on disk. */
  markDurable(length: number): void {
    this.#durable = length;
  }

  /** What was written since the last call. */
  take(): Buffer {
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  }

  /** A whole new file. The batch is complete: it has a snapshot and a hard state. */
  begin(group: number, number: number, batch: PersistBatch): void {
    const snapshot = batch.snapshot!;
    this.#record(RecordKind.Header, new ByteWriter().u32(FORMAT_VERSION).u32(group).u64(number).finish());
    const start = new ByteWriter().u64(snapshot.index).u64(snapshot.term);
    writeConfiguration(start, snapshot.configuration);
    start.u32(snapshot.data.length).u32(crc32c(snapshot.data));
    this.#record(RecordKind.Snapshot, start.finish());
    for (let at = 0; at < snapshot.data.length; at += PART_BYTES) {
      this.#record(RecordKind.Part, snapshot.data.subarray(at, at + PART_BYTES));
    }
    this.append(batch);
    this.#record(RecordKind.Ready, new Uint8Array(0));
  }

  append({ hardState, truncateFrom, entries }: PersistBatch): void {
    if (hardState !== null) {
      const payload = new ByteWriter(16).u64(hardState.term).u32(hardState.votedFor).finish();
      this.#record(RecordKind.HardState, payload);
    }
    if (truncateFrom !== null)
      this.#record(RecordKind.Truncate, new ByteWriter(8).u64(truncateFrom).finish());
    for (const entry of entries) {
      const writer = new ByteWriter(entry.data.length + 32);
      writeEntry(writer, entry);
      this.#record(RecordKind.Entry, writer.finish());
    }
  }

  #record(kind: RecordKind, payload: Uint8Array): void {
    const total = paddedBytes(payload.length);
    const record = Buffer.allocUnsafe(total);
    record.writeUInt32LE(this.#chain, 4);
    record.writeUInt32LE(payload.length, 8);
    record.writeUInt32LE(kind, 12);
    record.writeUInt32LE(this.#durable >>> 0, 16);
    record.writeUInt32LE(Math.floor(this.#durable / 4_294_967_296), 20);
    record.set(payload, RECORD_HEADER_BYTES);
    record.fill(0, RECORD_HEADER_BYTES + payload.length);
    this.#chain = crc32c(record, 4);
    record.writeUInt32LE(this.#chain, 0);
    this.#pieces.push(record);
    this.#length += total;
  }
}

const paddedBytes = (payloadBytes: number): number =>
  Math.ceil((RECORD_HEADER_BYTES + payloadBytes) / ALIGNMENT) * ALIGNMENT;

interface RawRecord {
  kind: RecordKind;
  previous: number;
  crc: number;
  durable: number;
  payload: Uint8Array;
  end: number;
}

export interface LogFileContent {
  readonly state: RaftState;
  /** Bytes that count; what lies behind them is to be cut off before anything is written. */
  readonly length: number;
  readonly chain: number;
}

/** Reads records; the checks are its own methods, so that a test can show what each is good for. */
export class RecordReader {
  /**
   * What a log file says. Null: its writing was never finished.
   * @throws LogCorrupt
   */
  read(file: string, group: number, bytes: Buffer): LogFileContent | null {
    const records: RawRecord[] = [];
    let at = 0;
    let chain = 0;
    for (;;) {
      const record = this.recordAt(bytes, at);
      if (record === null || !this.follows(record.previous, chain)) break;
      records.push(record);
      at = record.end;
      chain = record.crc;
    }
    this.#assertNothingLost(file, bytes, at);
    if (!records.some(({ kind }) => kind === RecordKind.Ready)) return null;
    try {
      return { state: stateOf(group, records), length: at, chain };
    } catch (error) {
      if (!(error instanceof CodecGarbage)) throw error;
      throw new LogCorrupt(file, error.message);
    }
  }

  protected recordAt(bytes: Buffer, at: number): RawRecord | null {
    if (at + RECORD_HEADER_BYTES > bytes.length) return null;
    const length = bytes.readUInt32LE(at + 8);
    const end = at + paddedBytes(length);
    if (length > MAX_PAYLOAD_BYTES || end > bytes.length) return null;
    const kind = bytes.readUInt32LE(at + 12);
    const crc = bytes.readUInt32LE(at);
    if (RecordKind[kind] === undefined || !this.isIntact(bytes, at, end, crc)) return null;
    return {
      kind,
      crc,
      previous: bytes.readUInt32LE(at + 4),
      durable: bytes.readUInt32LE(at + 16) + bytes.readUInt32LE(at + 20) * 4_294_967_296,
      payload: bytes.subarray(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + length),
      end,
    };
  }

  protected isIntact(bytes: Buffer, at: number, end: number, crc: number): boolean {
    return crc32c(bytes, at + 4, end) === crc;
  }

  protected follows(previous: number, chain: number): boolean {
    return previous === chain;
  }

  #assertNothingLost(file: string, bytes: Buffer, goodBytes: number): void {
    for (let at = goodBytes + ALIGNMENT; at + RECORD_HEADER_BYTES <= bytes.length; at += ALIGNMENT) {
      const record = this.recordAt(bytes, at);
      if (record === null || record.durable <= goodBytes || record.durable > at) continue;
      throw new LogCorrupt(file, `byte ${goodBytes} had been written durably, and cannot be read`);
    }
  }
}

function stateOf(group: number, records: readonly RawRecord[]): RaftState {
  let snapshot: (Omit<RaftSnapshot, 'data'> & { totalBytes: number; checksum: number }) | null = null;
  const parts: Uint8Array[] = [];
  let term = 0;
  let votedFor = 0;
  let entries: LogEntry[] = [];
  for (const [at, { kind, payload }] of records.entries()) {
    const reader = new ByteReader(payload);
    if ((kind === RecordKind.Header) !== (at === 0) || (kind === RecordKind.Snapshot) !== (at === 1)) {
      throw new CodecGarbage(`record ${at} is a ${RecordKind[kind]}`);
    }
    switch (kind) {
      case RecordKind.Header: {
        const version = reader.u32();
        if (version !== FORMAT_VERSION)
          throw new CodecGarbage(`format ${version}, this is ${FORMAT_VERSION}`);
        const owner = reader.u32();
        if (owner !== group) throw new CodecGarbage(`it is of group ${owner}, not ${group}`);
        break;
      }
      case RecordKind.Snapshot: {
        const index = reader.u64();
        const snapshotTerm = reader.u64();
        const configuration: RaftConfiguration = readConfiguration(reader);
        snapshot = {
          index,
          term: snapshotTerm,
          configuration,
          totalBytes: reader.u32(),
          checksum: reader.u32(),
        };
        break;
      }
      case RecordKind.Part:
        parts.push(payload);
        break;
      case RecordKind.HardState:
        term = reader.u64();
        votedFor = reader.u32();
        break;
      case RecordKind.Truncate: {
        const from = reader.u64();
        entries = entries.filter(({ index }) => index < from);
        break;
      }
      case RecordKind.Entry: {
        const read = readEntry(reader);
        const expected = (entries.at(-1)?.index ?? snapshot!.index) + 1;
        if (read.index !== expected)
          throw new CodecGarbage(`entry ${read.index} where ${expected} should be`);
        // A copy: the file's bytes need not stay in memory for it.
        entries.push({ ...read, data: Uint8Array.from(read.data) });
        break;
      }
      case RecordKind.Ready:
        break;
    }
  }
  const data = Buffer.concat(parts);
  const { index, term: snapshotTerm, configuration, totalBytes, checksum } = snapshot!;
  if (data.length !== totalBytes || crc32c(data) !== checksum)
    throw new CodecGarbage('the snapshot is not whole');
  return { term, votedFor, snapshot: { index, term: snapshotTerm, configuration, data }, entries };
}
