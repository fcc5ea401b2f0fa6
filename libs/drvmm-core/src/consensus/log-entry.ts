import { ByteReader, ByteWriter, CodecGarbage } from '../codec/byte-cursor.js';

/** A member of a consensus group, 1 to 2^32 - 1; never given to another machine or disk. */
export type ReplicaId = number;
export const NO_REPLICA = 0;

/** Larger commands are refused: one must never hold up the heartbeats behind it for long. */
export const MAX_COMMAND_BYTES = 1024 * 1024;
/** Voters and learners of a group together; beyond it, commits get slower and no safer. */
export const MAX_REPLICAS = 32;

export enum EntryKind {
  /** For the state machine. */
  Command = 1,
  /** Data: a configuration; in force from when it is in the log (Ongaro 2014, section 4.1). */
  Configuration = 2,
  /** The first of a leader's term: commits what earlier terms left (section 6.4). */
  Noop = 3,
}

export interface LogEntry {
  readonly index: number;
  readonly term: number;
  readonly kind: EntryKind;
  readonly data: Uint8Array;
}

export interface RaftConfiguration {
  readonly voters: readonly ReplicaId[];
  /** They get the log and have no vote. */
  readonly learners: readonly ReplicaId[];
}

export interface RaftSnapshot {
  /** All entries up to here are in `data`. */
  readonly index: number;
  readonly term: number;
  readonly configuration: RaftConfiguration;
  readonly data: Uint8Array;
}

/** What of a replica must survive it. */
export interface RaftState {
  readonly term: number;
  readonly votedFor: ReplicaId;
  readonly snapshot: RaftSnapshot;
  /** From snapshot.index + 1 on, without gaps. */
  readonly entries: readonly LogEntry[];
}

/** A replica that begins: the founders of a group all name the same voters, who joins later names none. */
export function emptyState(voters: readonly ReplicaId[]): RaftState {
  return {
    term: 0,
    votedFor: NO_REPLICA,
    snapshot: { index: 0, term: 0, configuration: { voters, learners: [] }, data: new Uint8Array(0) },
    entries: [],
  };
}

export function writeConfiguration(writer: ByteWriter, { voters, learners }: RaftConfiguration): ByteWriter {
  writer.u32(voters.length);
  for (const id of voters) writer.u32(id);
  writer.u32(learners.length);
  for (const id of learners) writer.u32(id);
  return writer;
}

export function readConfiguration(reader: ByteReader): RaftConfiguration {
  const ids = (): number[] => Array.from({ length: reader.count(MAX_REPLICAS, 4) }, () => reader.u32());
  return { voters: ids(), learners: ids() };
}

export const encodeConfiguration = (configuration: RaftConfiguration): Uint8Array =>
  writeConfiguration(new ByteWriter(), configuration).finish();

export function decodeConfiguration(bytes: Uint8Array): RaftConfiguration {
  const reader = new ByteReader(bytes);
  const configuration = readConfiguration(reader);
  reader.end();
  return configuration;
}

export const ENTRY_HEADER_BYTES = 8 + 8 + 1 + 4;

export function writeEntry(writer: ByteWriter, { index, term, kind, data }: LogEntry): void {
  writer.u64(index).u64(term).u8(kind).bytes(data);
}

export function readEntry(reader: ByteReader): LogEntry {
  const index = reader.u64();
  const term = reader.u64();
  const kind = reader.u8();
  if (EntryKind[kind] === undefined) throw new CodecGarbage(`an entry of kind ${kind}`);
  return { index, term, kind, data: reader.bytes(MAX_COMMAND_BYTES) };
}
