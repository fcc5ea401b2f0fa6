import { LOADER_VERSION } from '../loader/meta.js';
import { damaged, type GlobalValues, type TableValues } from './machine-state.js';
import type { Wait } from './process.js';

/**
 * The record of a process as it travels: everything but the linear memory, which follows in parts (machine-state.ts).
 *
 * Record and parts are checked as a whole by their CRC-32: TLS has authenticated the bytes on the way, so what is left to
 * be found are mistakes in taking an image apart and putting it together again, and a cryptographic hash of it would be a
 * third of the pause.
 *
 * `u32 header length | header (JSON) | unwound stack | reply bytes | IPC state`, little-endian.
 */
export interface ProcessRecord {
  readonly loaderVersion: string;
  readonly endpoint: number;
  readonly pid: number;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly programHash: string;
  /** It has begun: there are globals, tables, a stack and a memory to take on. */
  readonly isSuspended: boolean;
  readonly memoryPages: number;
  readonly globals: GlobalValues;
  readonly tables: TableValues;
  readonly wait: Wait;
  /** In the process's monotonic clock, ms; null: never. */
  readonly wakeAt: number | null;
  readonly isStopped: boolean;
  readonly step: number;
  /** Doubles as the hexadecimal of their bits. */
  readonly scratch: readonly string[];
  readonly outcome: number;
  readonly hasResult: boolean;
  readonly result: number;
  readonly monotonicMs: number;
  readonly cpuMs: number;
  readonly message: readonly number[];
  readonly stackBytes: number;
  readonly replyBytes: number;
}

export interface PackedRecord {
  readonly record: ProcessRecord;
  readonly stack: Uint8Array;
  readonly reply: Uint8Array;
  readonly ipc: Uint8Array;
}

/** A record with more header than this is not one (arguments and environment are bounded far below). */
const HEADER_BYTES_MOST = 64 * 1024 * 1024;

export function packRecord({ record, stack, reply, ipc }: PackedRecord): Uint8Array {
  const header = Buffer.from(JSON.stringify(record));
  const bytes = new Uint8Array(4 + header.length + stack.length + reply.length + ipc.length);
  new DataView(bytes.buffer).setUint32(0, header.length, true);
  bytes.set(header, 4);
  bytes.set(stack, 4 + header.length);
  bytes.set(reply, 4 + header.length + stack.length);
  bytes.set(ipc, 4 + header.length + stack.length + reply.length);
  return bytes;
}

/** @throws DrvsError MigrationFailed when the bytes are not a record of this loader's version. */
export function unpackRecord(bytes: Uint8Array): PackedRecord {
  if (bytes.length < 4) throw damaged('no record');
  const headerBytes = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  if (headerBytes > HEADER_BYTES_MOST || 4 + headerBytes > bytes.length) throw damaged('a record cut short');
  const record = JSON.parse(Buffer.from(bytes.subarray(4, 4 + headerBytes)).toString()) as ProcessRecord;
  if (record.loaderVersion !== LOADER_VERSION) {
    throw damaged(`it was made by ${record.loaderVersion}, this node has ${LOADER_VERSION}`);
  }
  const stackAt = 4 + headerBytes;
  const replyAt = stackAt + record.stackBytes;
  const ipcAt = replyAt + record.replyBytes;
  if (ipcAt > bytes.length) throw damaged('a record cut short');
  return {
    record,
    stack: bytes.slice(stackAt, replyAt),
    reply: bytes.slice(replyAt, ipcAt),
    ipc: bytes.slice(ipcAt),
  };
}
