import { ByteReader, ByteWriter, CodecGarbage } from '../codec/byte-cursor.js';
import { FrameProtocol, openFrame, sealFrame } from '../codec/checked-frame.js';
import {
  ENTRY_HEADER_BYTES,
  type LogEntry,
  type RaftConfiguration,
  type ReplicaId,
  readConfiguration,
  readEntry,
  writeConfiguration,
  writeEntry,
} from './log-entry.js';

const VERSION = 1;
/** Of one append message; the reader allows what the writer makes. */
export const MAX_ENTRIES_PER_APPEND = 4_096;
/** Of one piece of a snapshot. */
export const MAX_SNAPSHOT_CHUNK_BYTES = 1024 * 1024;
/** A whole snapshot is held in memory on both sides. */
export const MAX_SNAPSHOT_BYTES = 1024 * 1024 * 1024;

/** Every message says its sender's term, but a pre-vote, which says the term that it would begin. */
export type RaftMessage =
  | {
      kind: 'voteRequest';
      term: number;
      isPre: boolean;
      isTransfer: boolean;
      lastIndex: number;
      lastTerm: number;
    }
  | { kind: 'voteReply'; term: number; isPre: boolean; isGranted: boolean }
  /** `round`: of the leader's heartbeats; the reply returns it, which proves that it was leader when it sent it. */
  | {
      kind: 'append';
      term: number;
      previousIndex: number;
      previousTerm: number;
      commit: number;
      round: number;
      entries: readonly LogEntry[];
    }
  /** All up to `match` is the leader's log and durable here. */
  | { kind: 'appended'; term: number; round: number; match: number }
  /** There is no previousIndex of previousTerm here; at `hintIndex`, of `hintTerm`, the logs may agree. */
  | {
      kind: 'rejected';
      term: number;
      round: number;
      previousIndex: number;
      hintIndex: number;
      hintTerm: number;
    }
  | {
      kind: 'snapshot';
      term: number;
      round: number;
      index: number;
      lastTerm: number;
      configuration: RaftConfiguration;
      totalBytes: number;
      checksum: number;
      offset: number;
      chunk: Uint8Array;
    }
  /** The snapshot `index` is here up to `offset`. */
  | { kind: 'snapshotReply'; term: number; round: number; index: number; offset: number }
  /** The leader wants the receiver to take over at once. */
  | { kind: 'timeoutNow'; term: number };

const KINDS = [
  'voteRequest',
  'voteReply',
  'append',
  'appended',
  'rejected',
  'snapshot',
  'snapshotReply',
  'timeoutNow',
] as const satisfies readonly RaftMessage['kind'][];

const NUMBERS: Readonly<Record<RaftMessage['kind'], number>> = Object.fromEntries(
  KINDS.map((kind, at) => [kind, at + 1]),
) as Record<RaftMessage['kind'], number>;

/** A message between two replicas of a group; one group's frames are never taken for another's. */
export function encodeRaftFrame(group: number, from: ReplicaId, to: ReplicaId, message: RaftMessage): Buffer {
  const writer = new ByteWriter(message.kind === 'snapshot' ? message.chunk.length + 256 : undefined);
  writer.u32(group).u32(from).u32(to).u64(message.term);
  switch (message.kind) {
    case 'voteRequest':
      writer
        .u8(Number(message.isPre))
        .u8(Number(message.isTransfer))
        .u64(message.lastIndex)
        .u64(message.lastTerm);
      break;
    case 'voteReply':
      writer.u8(Number(message.isPre)).u8(Number(message.isGranted));
      break;
    case 'append':
      writer.u64(message.previousIndex).u64(message.previousTerm).u64(message.commit).u64(message.round);
      writer.u32(message.entries.length);
      for (const entry of message.entries) writeEntry(writer, entry);
      break;
    case 'appended':
      writer.u64(message.round).u64(message.match);
      break;
    case 'rejected':
      writer.u64(message.round).u64(message.previousIndex).u64(message.hintIndex).u64(message.hintTerm);
      break;
    case 'snapshot':
      writer.u64(message.round).u64(message.index).u64(message.lastTerm);
      writeConfiguration(writer, message.configuration);
      writer.u32(message.totalBytes).u32(message.checksum).u32(message.offset).bytes(message.chunk);
      break;
    case 'snapshotReply':
      writer.u64(message.round).u64(message.index).u32(message.offset);
      break;
    case 'timeoutNow':
      break;
  }
  return sealFrame(FrameProtocol.Consensus, VERSION, NUMBERS[message.kind], writer.finish());
}

/** @throws CodecGarbage */
export function decodeRaftFrame(frame: Uint8Array): {
  group: number;
  from: ReplicaId;
  to: ReplicaId;
  message: RaftMessage;
} {
  const { kind, body } = openFrame(FrameProtocol.Consensus, VERSION, frame);
  const reader = new ByteReader(body);
  const group = reader.u32();
  const from = reader.u32();
  const to = reader.u32();
  const message = readMessage(KINDS[kind - 1], reader);
  reader.end();
  return { group, from, to, message };
}

function readMessage(kind: RaftMessage['kind'] | undefined, reader: ByteReader): RaftMessage {
  const term = reader.u64();
  switch (kind) {
    case 'voteRequest':
      return {
        kind,
        term,
        isPre: reader.boolean(),
        isTransfer: reader.boolean(),
        lastIndex: reader.u64(),
        lastTerm: reader.u64(),
      };
    case 'voteReply':
      return { kind, term, isPre: reader.boolean(), isGranted: reader.boolean() };
    case 'append': {
      const previousIndex = reader.u64();
      const previousTerm = reader.u64();
      const commit = reader.u64();
      const round = reader.u64();
      const count = reader.count(MAX_ENTRIES_PER_APPEND, ENTRY_HEADER_BYTES);
      const entries: LogEntry[] = [];
      for (let i = 0; i < count; i++) {
        const entry = readEntry(reader);
        if (entry.index !== previousIndex + 1 + i) throw new CodecGarbage('entries with a gap');
        entries.push(entry);
      }
      return { kind, term, previousIndex, previousTerm, commit, round, entries };
    }
    case 'appended':
      return { kind, term, round: reader.u64(), match: reader.u64() };
    case 'rejected':
      return {
        kind,
        term,
        round: reader.u64(),
        previousIndex: reader.u64(),
        hintIndex: reader.u64(),
        hintTerm: reader.u64(),
      };
    case 'snapshot':
      return {
        kind,
        term,
        round: reader.u64(),
        index: reader.u64(),
        lastTerm: reader.u64(),
        configuration: readConfiguration(reader),
        totalBytes: reader.u32(),
        checksum: reader.u32(),
        offset: reader.u32(),
        chunk: reader.bytes(MAX_SNAPSHOT_CHUNK_BYTES),
      };
    case 'snapshotReply':
      return { kind, term, round: reader.u64(), index: reader.u64(), offset: reader.u32() };
    case 'timeoutNow':
      return { kind, term };
    case undefined:
      throw new CodecGarbage('a message of an unknown kind');
  }
}
