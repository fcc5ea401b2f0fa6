import type { RaftState, ReplicaId } from './log-entry.js';
import { emptyState } from './log-entry.js';
import { LogCorrupt, logFileName, numberOfLogFile, RecordReader, RecordWriter } from './log-record.js';
import type { PersistBatch } from './raft.js';

/**
 * What is to be done to a folder, in this order, each after the one before it is done:
 *
 * - write: bytes at a place of a file, which is made if need be
 * - sync: the file's bytes are on disk
 * - syncFolder: names made and removed are on disk
 * - truncate, remove
 */
export type StorageOperation =
  | { kind: 'write'; file: string; at: number; bytes: Uint8Array }
  | { kind: 'sync'; file: string }
  | { kind: 'syncFolder' }
  | { kind: 'truncate'; file: string; length: number }
  | { kind: 'remove'; file: string };

/** Batches written with one sync: bounds what one write takes, and what is in memory twice. */
const GROUP_BYTES = 8 * 1024 * 1024;

export interface LogFile {
  readonly name: string;
  readonly bytes: Buffer;
}

/**
 * Writes a replica's persist batches, many with one sync. Sans-I/O:
 *
 *   persist(batch)… ─▶ next() gives operations ─▶ the caller does them ─▶ completed() gives the durable sequence
 *                                                        └─▶ noRoom() … room(): next() gives the same again
 *
 * One group of operations is under way at a time; what comes meanwhile waits and goes with the next. Any other
 * failure than a full disk ends the replica: after a failed sync nobody knows what is on disk.
 *
 * A batch with a snapshot begins a new file; the old one is removed once the new one is durable.
 */
export class DurableLog {
  readonly #group: number;
  #number: number;
  #writer: RecordWriter;
  #waiting: PersistBatch[] = [];
  #underWay: { operations: StorageOperation[]; sequence: number; length: number } | null = null;
  #isBusy = false;
  #isOutOfRoom = false;

  constructor(group: number, recovered: RecoveredLog) {
    this.#group = group;
    this.#number = recovered.number;
    this.#writer = new RecordWriter(recovered.chain, recovered.length);
    if (recovered.isFresh) {
      const { snapshot, term, votedFor } = recovered.state;
      this.persist({ sequence: 0, hardState: { term, votedFor }, snapshot, truncateFrom: null, entries: [] });
    }
  }

  persist(batch: PersistBatch): void {
    // What is replaced whole need not be written first.
    if (batch.snapshot !== null) this.#waiting = [];
    this.#waiting.push(batch);
  }

  /** What to do now; null: nothing, or something is being done. */
  next(): readonly StorageOperation[] | null {
    if (this.#isBusy) return null;
    if (this.#underWay === null) this.#underWay = this.#nextGroup();
    if (this.#underWay === null) return null;
    this.#isBusy = true;
    return this.#underWay.operations;
  }

  /** The operations given by next() are done: the sequence up to which all is durable. */
  completed(): number {
    const done = this.#underWay!;
    this.#underWay = null;
    this.#isBusy = false;
    this.#writer.markDurable(done.length);
    return done.sequence;
  }

  /** They could not be done for want of room: next() gives them again after room(). */
  noRoom(): void {
    this.#isOutOfRoom = true;
  }

  room(): void {
    if (!this.#isOutOfRoom) return;
    this.#isOutOfRoom = false;
    this.#isBusy = false;
  }

  #nextGroup(): { operations: StorageOperation[]; sequence: number; length: number } | null {
    const first = this.#waiting[0];
    if (first === undefined) return null;
    if (first.snapshot !== null) return this.#newFile(this.#waiting.shift()!);
    const at = this.#writer.length;
    let sequence = 0;
    while (this.#waiting.length > 0 && this.#waiting[0]!.snapshot === null) {
      const batch = this.#waiting.shift()!;
      this.#writer.append(batch);
      sequence = batch.sequence;
      if (this.#writer.length - at > GROUP_BYTES) break;
    }
    const file = logFileName(this.#number);
    const bytes = this.#writer.take();
    return { operations: this.appendOperations(file, at, bytes), sequence, length: this.#writer.length };
  }

  #newFile(batch: PersistBatch): { operations: StorageOperation[]; sequence: number; length: number } {
    const old = this.#number === 0 ? null : logFileName(this.#number);
    this.#number++;
    this.#writer = new RecordWriter();
    this.#writer.begin(this.#group, this.#number, batch);
    const operations = this.replaceOperations(old, logFileName(this.#number), this.#writer.take());
    return { operations, sequence: batch.sequence, length: this.#writer.length };
  }

  protected appendOperations(file: string, at: number, bytes: Uint8Array): StorageOperation[] {
    return [
      { kind: 'write', file, at, bytes },
      { kind: 'sync', file },
    ];
  }

  /** The new file must be whole on disk before the old one goes. */
  protected replaceOperations(old: string | null, file: string, bytes: Uint8Array): StorageOperation[] {
    const operations: StorageOperation[] = [
      { kind: 'write', file, at: 0, bytes },
      { kind: 'sync', file },
      { kind: 'syncFolder' },
    ];
    if (old !== null) operations.push({ kind: 'remove', file: old });
    return operations;
  }
}

export interface RecoveredLog {
  readonly state: RaftState;
  /** Nothing had been stored before. */
  readonly isFresh: boolean;
  readonly number: number;
  readonly length: number;
  readonly chain: number;
  /** To be done before the replica is made: it will vouch for all that was read. */
  readonly repairs: StorageOperation[];
}

/**
 * What a folder's log files say.
 * `founders`: the voters with whom a replica without any file begins.
 * @throws LogCorrupt
 */
export function recoverLog(
  group: number,
  files: readonly LogFile[],
  founders: readonly ReplicaId[],
  reader = new RecordReader(),
): RecoveredLog {
  const logs = files
    .map(({ name, bytes }) => ({ name, bytes, number: numberOfLogFile(name) }))
    .filter((log): log is { name: string; bytes: Buffer; number: number } => log.number !== null)
    .sort((a, b) => b.number - a.number);
  const repairs: StorageOperation[] = [];
  for (const { name, bytes, number } of logs) {
    const content = reader.read(name, group, bytes);
    if (content === null) {
      repairs.push({ kind: 'remove', file: name });
      continue;
    }
    const older = logs.filter((log) => log.number < number);
    repairs.push(...older.map((log): StorageOperation => ({ kind: 'remove', file: log.name })));
    if (content.length < bytes.length) repairs.push({ kind: 'truncate', file: name, length: content.length });
    // What was read may be in the host's memory only.
    repairs.push({ kind: 'sync', file: name }, { kind: 'syncFolder' });
    return { ...content, isFresh: false, number, repairs };
  }
  const newest = logs[0];
  if (newest !== undefined && newest.number > 1) {
    throw new LogCorrupt(newest.name, 'it was never finished, and the one before it is gone');
  }
  if (repairs.length > 0) repairs.push({ kind: 'syncFolder' });
  return { state: emptyState(founders), isFresh: true, number: 0, length: 0, chain: 0, repairs };
}
