import { ByteReader, ByteWriter, CodecGarbage } from '../codec/byte-cursor.js';
import { FrameProtocol, openFrame, sealFrame } from '../codec/checked-frame.js';
import { MAX_COMMAND_BYTES, type ReplicaId } from '../consensus/log-entry.js';
import { readResult, type SessionId, type SyncResult, writeResult } from './sync-operation.js';

const VERSION = 1;

/** Between a client and a replica. `request`: the client's own number, returned with the answer. */
export type SyncFrame =
  /** The command's time is set by the leader. */
  | { kind: 'command'; client: number; request: number; command: Uint8Array }
  | { kind: 'question'; client: number; request: number; isLeaseEnough: boolean; question: Uint8Array }
  | { kind: 'answer'; request: number; result: SyncResult }
  /** Not done, or not known to be: ask `leader` (0: any other). */
  | { kind: 'elsewhere'; request: number; leader: ReplicaId }
  /** What was waiting has come to something. */
  | { kind: 'notice'; session: SessionId; sequence: number; result: SyncResult };

const KINDS = [
  'command',
  'question',
  'answer',
  'elsewhere',
  'notice',
] as const satisfies readonly SyncFrame['kind'][];

export function encodeSyncFrame(frame: SyncFrame): Buffer {
  const writer = new ByteWriter();
  switch (frame.kind) {
    case 'command':
      writer.u32(frame.client).u64(frame.request).bytes(frame.command);
      break;
    case 'question':
      writer.u32(frame.client).u64(frame.request).u8(Number(frame.isLeaseEnough)).bytes(frame.question);
      break;
    case 'answer':
      writeResult(writer.u64(frame.request), frame.result);
      break;
    case 'elsewhere':
      writer.u64(frame.request).u32(frame.leader);
      break;
    case 'notice':
      writeResult(writer.u64(frame.session).u64(frame.sequence), frame.result);
      break;
  }
  return sealFrame(FrameProtocol.Synchronization, VERSION, KINDS.indexOf(frame.kind), writer.finish());
}

/** @throws CodecGarbage */
export function decodeSyncFrame(bytes: Uint8Array): SyncFrame {
  const { kind, body } = openFrame(FrameProtocol.Synchronization, VERSION, bytes);
  const reader = new ByteReader(body);
  const frame = readSyncFrame(KINDS[kind], reader);
  reader.end();
  return frame;
}

function readSyncFrame(kind: SyncFrame['kind'] | undefined, reader: ByteReader): SyncFrame {
  switch (kind) {
    case 'command':
      return { kind, client: reader.u32(), request: reader.u64(), command: reader.bytes(MAX_COMMAND_BYTES) };
    case 'question':
      return {
        kind,
        client: reader.u32(),
        request: reader.u64(),
        isLeaseEnough: reader.boolean(),
        question: reader.bytes(MAX_COMMAND_BYTES),
      };
    case 'answer':
      return { kind, request: reader.u64(), result: readResult(reader) };
    case 'elsewhere':
      return { kind, request: reader.u64(), leader: reader.u32() };
    case 'notice':
      return { kind, session: reader.u64(), sequence: reader.u64(), result: readResult(reader) };
    case undefined:
      throw new CodecGarbage('a frame of an unknown kind');
  }
}
