/**
 * TTY's logs on the host: in the container's data folder `tty/<line>.<offset of its first byte>`, at most two files
 * ("segments") for each line. When the newer is full, the older goes and a new one begins, so between one and two
 * segments of output are kept.
 *
 *   record   u8 0xA1 stdout | 0xA2 stderr, u32 length, u32 CRC-32C of length and bytes, bytes
 *
 * A torn record at the end of a segment is cut off when it is read again after a crash. Output is gathered for
 * FLUSH_MS; records are found by a sparse index, so that memory does not grow with what is kept.
 */
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32c } from '../vfs/crc32c.js';
import type { OutputPiece, OutputStore, StreamName } from './output-store.js';

/** Two of them are the 8 MiB that a process's output may occupy. */
export const SEGMENT_BYTES = 4 * 1024 * 1024;
/** Gathered before it is written: followers see it at once, only a killed container loses it. */
const FLUSH_MS = 20;
const PENDING_MAX_BYTES = 64 * 1024;
const INDEX_EVERY_BYTES = 64 * 1024;
const RECORD_HEADER_BYTES = 9;
const RECORD_MAX_BYTES = 64 * 1024;
/** Of all processes together; the logs of those that ended first go first. */
export const TOTAL_MAX_BYTES = 128 * 1024 * 1024;
/** Lines kept: enough to look back, and each costs a file. */
export const LINES_MAX = 2048;
/** Segment files kept open. */
const OPEN_MAX = 64;

const MARKS: Readonly<Record<StreamName, number>> = { stdout: 0xa1, stderr: 0xa2 };

interface Segment {
  path: string;
  /** Offset of its first byte of output. */
  start: number;
  /** Offset after its last. */
  end: number;
  /** Bytes of the file. */
  length: number;
  fd: number;
  /** Where records begin: offset of output and place in the file, one for every INDEX_EVERY_BYTES of it. */
  index: { offset: number; at: number }[];
}

class Line {
  segments: Segment[] = [];
  isFinished = false;
  pendingStream: StreamName = 'stdout';
  /** Grown to PENDING_MAX_BYTES only by those who write. */
  pending = Buffer.alloc(0);
  pendingBytes = 0;

  constructor(readonly number: number) {}

  get length(): number {
    return this.segments.reduce((sum, { length }) => sum + length, 0);
  }
}

export interface HostOutputStoreOptions {
  /** The container's data folder. */
  dataFolder: string;
  /** Told when output cannot be stored, and when it can again (null). */
  onTrouble?: (trouble: string | null) => void;
  /** Lines of which output is kept. */
  linesMax?: number;
}

export class HostOutputStore implements OutputStore {
  readonly #folder: string;
  readonly #linesMax: number;
  /** In the order of their making. */
  readonly #lines = new Map<number, Line>();
  readonly #unwritten = new Set<Line>();
  /** Segments with an open file, least recently used first. */
  readonly #open = new Set<Segment>();
  readonly #onTrouble: (trouble: string | null) => void;
  #isTroubled = false;
  #totalBytes = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: HostOutputStoreOptions) {
    const { dataFolder, onTrouble, linesMax = LINES_MAX } = options;
    this.#linesMax = linesMax;
    this.#folder = join(dataFolder, 'tty');
    this.#onTrouble = onTrouble ?? (() => {});
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    this.#load();
  }

  lines(): number[] {
    return [...this.#lines.keys()];
  }

  create(number: number): void {
    this.remove(number);
    const line = new Line(number);
    this.#lines.set(number, line);
    line.segments.push(this.#segment(number, 0));
    try {
      // Its file is there from the beginning, so that the line is known after a crash too.
      this.#descriptor(line.segments[0]!);
    } catch (error) {
      this.#trouble(`making ${line.segments[0]!.path}`, error);
    }
    this.#makeRoom();
  }

  append(number: number, stream: StreamName, bytes: Uint8Array): void {
    const line = this.#lines.get(number);
    if (!line) return;
    for (let done = 0; done < bytes.length; ) {
      if (line.pendingBytes > 0 && line.pendingStream !== stream) this.#flushLine(line);
      const count = Math.min(bytes.length - done, PENDING_MAX_BYTES - line.pendingBytes);
      const needed = line.pendingBytes + count;
      if (needed > line.pending.length) {
        const grown = Buffer.alloc(Math.min(PENDING_MAX_BYTES, Math.max(4096, needed * 2)));
        line.pending.copy(grown, 0, 0, line.pendingBytes);
        line.pending = grown;
      }
      line.pending.set(bytes.subarray(done, done + count), line.pendingBytes);
      line.pendingBytes += count;
      line.pendingStream = stream;
      done += count;
      if (line.pendingBytes >= PENDING_MAX_BYTES) this.#flushLine(line);
    }
    if (line.pendingBytes === 0) return;
    this.#unwritten.add(line);
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.flush();
    }, FLUSH_MS).unref();
  }

  read(number: number, offset: number, maxBytes: number): OutputPiece[] {
    const line = this.#lines.get(number);
    if (!line) return [];
    const pieces: OutputPiece[] = [];
    let left = maxBytes;
    for (const segment of line.segments) {
      if (left <= 0 || segment.end <= offset) continue;
      left -= this.#readSegment(segment, Math.max(offset, segment.start), left, pieces);
    }
    const end = line.segments.at(-1)?.end ?? 0;
    if (left > 0 && line.pendingBytes > 0) {
      const skip = Math.max(0, offset - end);
      const bytes = Uint8Array.prototype.slice.call(
        line.pending,
        skip,
        Math.min(line.pendingBytes, skip + left),
      );
      if (bytes.length > 0) pieces.push({ stream: line.pendingStream, offset: end + skip, bytes });
    }
    return pieces;
  }

  extent(number: number): { start: number; end: number } | null {
    const line = this.#lines.get(number);
    if (!line) return null;
    return {
      start: line.segments[0]?.start ?? 0,
      end: (line.segments.at(-1)?.end ?? 0) + line.pendingBytes,
    };
  }

  finish(number: number): void {
    const line = this.#lines.get(number);
    if (!line) return;
    this.#flushLine(line);
    line.isFinished = true;
    line.pending = Buffer.alloc(0);
    for (const segment of line.segments) this.#shut(segment);
    this.#makeRoom();
  }

  reopen(number: number): void {
    const line = this.#lines.get(number);
    if (line) line.isFinished = false;
  }

  remove(number: number): void {
    const line = this.#lines.get(number);
    if (!line) return;
    for (const segment of line.segments) this.#removeSegment(segment);
    this.#unwritten.delete(line);
    this.#lines.delete(number);
  }

  flush(): void {
    for (const line of this.#unwritten) this.#flushLine(line);
  }

  close(): void {
    this.flush();
    this.abandon();
  }

  /** Lets go of the files; what was not written is lost. */
  abandon(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    for (const segment of this.#open) closeSync(segment.fd);
    this.#open.clear();
  }

  #trouble(what: string, error: unknown): void {
    this.#isTroubled = true;
    this.#onTrouble(`${what}: ${(error as Error).message}`);
  }

  /** One record; what the host does not take stays gathered, and is dropped from the front only when that is full. */
  #flushLine(line: Line): void {
    const count = line.pendingBytes;
    if (count === 0) return;
    const record = Buffer.allocUnsafe(RECORD_HEADER_BYTES + count);
    record.writeUInt8(MARKS[line.pendingStream], 0);
    record.writeUInt32LE(count, 1);
    line.pending.copy(record, RECORD_HEADER_BYTES, 0, count);
    record.writeUInt32LE(crc32c(record, RECORD_HEADER_BYTES, record.length, crc32c(record, 1, 5)), 5);
    let segment = line.segments.at(-1);
    try {
      if (!segment || segment.length + record.length > SEGMENT_BYTES) {
        const start = segment?.end ?? 0;
        segment = this.#segment(line.number, start);
        line.segments.push(segment);
        if (line.segments.length > 2) this.#removeSegment(line.segments.shift()!);
      }
      const fd = this.#descriptor(segment);
      for (let done = 0; done < record.length; ) {
        done += writeSync(fd, record, done, record.length - done, segment.length + done);
      }
    } catch (error) {
      this.#trouble(`writing ${segment?.path ?? this.#folder}`, error);
      this.#lose(line, count);
      return;
    }
    if (this.#isTroubled) {
      this.#isTroubled = false;
      this.#onTrouble(null);
    }
    note(segment, segment.length);
    segment.length += record.length;
    segment.end += count;
    this.#totalBytes += record.length;
    line.pendingBytes = 0;
    this.#unwritten.delete(line);
    if (this.#totalBytes > TOTAL_MAX_BYTES) this.#makeRoom();
  }

  /**
   * The host takes nothing: memory stays bounded, so these bytes are lost, and counted as such, since the log goes on
   * in a new segment after them.
   */
  #lose(line: Line, count: number): void {
    if (count < PENDING_MAX_BYTES) {
      this.#unwritten.add(line);
      return;
    }
    const end = (line.segments.at(-1)?.end ?? 0) + count;
    for (const segment of line.segments) this.#removeSegment(segment);
    line.segments = [];
    line.pendingBytes = 0;
    this.#unwritten.delete(line);
    line.segments.push(this.#segment(line.number, end));
  }

  #segment(line: number, start: number): Segment {
    return { path: join(this.#folder, `${line}.${start}`), start, end: start, length: 0, fd: -1, index: [] };
  }

  #descriptor(segment: Segment): number {
    if (segment.fd < 0) {
      if (this.#open.size >= OPEN_MAX) this.#shut(this.#open.values().next().value!);
      segment.fd = openSync(segment.path, segment.length === 0 ? 'w+' : 'r+', 0o600);
    }
    this.#open.delete(segment);
    this.#open.add(segment);
    return segment.fd;
  }

  #shut(segment: Segment): void {
    if (segment.fd >= 0) closeSync(segment.fd);
    segment.fd = -1;
    this.#open.delete(segment);
  }

  #removeSegment(segment: Segment): void {
    this.#shut(segment);
    this.#totalBytes -= segment.length;
    rmSync(segment.path, { force: true });
  }

  /** Drops the logs of the processes that ended, oldest first, until the rest is within the bounds. */
  #makeRoom(): void {
    for (const line of this.#lines.values()) {
      if (this.#totalBytes <= TOTAL_MAX_BYTES && this.#lines.size <= this.#linesMax) return;
      if (line.isFinished) this.remove(line.number);
    }
    // Only running processes are left: the longest log loses its older half.
    while (this.#totalBytes > TOTAL_MAX_BYTES) {
      const longest = [...this.#lines.values()].reduce((a, b) => (a.length >= b.length ? a : b));
      if (longest.segments.length < 2) return;
      this.#removeSegment(longest.segments.shift()!);
    }
  }

  /** @returns bytes read. */
  #readSegment(segment: Segment, offset: number, maxBytes: number, pieces: OutputPiece[]): number {
    let { offset: at, at: place } = entryBefore(segment, offset);
    let total = 0;
    const head = Buffer.allocUnsafe(RECORD_HEADER_BYTES);
    while (total < maxBytes && place < segment.length) {
      this.#readAt(segment, head, place);
      const length = head.readUInt32LE(1);
      if (at + length > offset) {
        const skip = Math.max(0, offset - at);
        const bytes = new Uint8Array(Math.min(length - skip, maxBytes - total));
        this.#readAt(segment, bytes, place + RECORD_HEADER_BYTES + skip);
        const stream = head.readUInt8(0) === MARKS.stderr ? 'stderr' : 'stdout';
        pieces.push({ stream, offset: at + skip, bytes });
        total += bytes.length;
      }
      at += length;
      place += RECORD_HEADER_BYTES + length;
    }
    return total;
  }

  #readAt(segment: Segment, target: Uint8Array, at: number): void {
    const fd = this.#descriptor(segment);
    for (let done = 0; done < target.length; ) {
      const count = readSync(fd, target, done, target.length - done, at + done);
      if (count === 0)
        throw new Error(`${segment.path} ends at byte ${at + done}, before a record that it had`);
      done += count;
    }
  }

  /** What earlier containers left; all of their processes have ended. */
  #load(): void {
    const found: Segment[] = [];
    for (const name of readdirSync(this.#folder)) {
      const match = /^(\d+)\.(\d+)$/.exec(name);
      if (match) found.push(this.#segment(Number(match[1]), Number(match[2])));
    }
    const byLine = Map.groupBy(found, ({ path }) => Number(/(\d+)\.\d+$/.exec(path)![1]));
    for (const number of [...byLine.keys()].sort((a, b) => a - b)) {
      const line = new Line(number);
      line.isFinished = true;
      line.segments = byLine.get(number)!.sort((a, b) => a.start - b.start);
      for (const segment of line.segments) this.#scan(segment);
      this.#lines.set(number, line);
    }
    this.#makeRoom();
  }

  /** Walks a segment's records, cuts off what is not whole, and makes the index. */
  #scan(segment: Segment): void {
    const size = statSync(segment.path).size;
    segment.length = size;
    const head = Buffer.allocUnsafe(RECORD_HEADER_BYTES);
    const body = Buffer.allocUnsafe(RECORD_MAX_BYTES);
    let place = 0;
    while (place + RECORD_HEADER_BYTES <= size) {
      this.#readAt(segment, head, place);
      const mark = head.readUInt8(0);
      const length = head.readUInt32LE(1);
      if ((mark !== MARKS.stdout && mark !== MARKS.stderr) || length === 0 || length > RECORD_MAX_BYTES)
        break;
      if (place + RECORD_HEADER_BYTES + length > size) break;
      this.#readAt(segment, body.subarray(0, length), place + RECORD_HEADER_BYTES);
      if (crc32c(body, 0, length, crc32c(head, 1, 5)) !== head.readUInt32LE(5)) break;
      note(segment, place);
      segment.end += length;
      place += RECORD_HEADER_BYTES + length;
    }
    if (place < size) ftruncateSync(this.#descriptor(segment), place);
    segment.length = place;
    this.#totalBytes += place;
    this.#shut(segment);
  }
}

/** A record begins at `at`: remembered when the last one remembered is far enough back. */
function note(segment: Segment, at: number): void {
  const last = segment.index.at(-1);
  if (!last || at - last.at >= INDEX_EVERY_BYTES) segment.index.push({ offset: segment.end, at });
}

function entryBefore(segment: Segment, offset: number): { offset: number; at: number } {
  let best = { offset: segment.start, at: 0 };
  for (const entry of segment.index) {
    if (entry.offset > offset) break;
    best = entry;
  }
  return best;
}
