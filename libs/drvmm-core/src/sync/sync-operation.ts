import { ByteReader, ByteWriter, CodecGarbage } from '../codec/byte-cursor.js';

/** Number of the log entry that opened it; 0: none. */
export type SessionId = number;

export const MAX_NAME_BYTES = 256;
export const MAX_VALUE_BYTES = 64 * 1024;
export const MIN_LEASE_MS = 100;
export const MAX_LEASE_MS = 3_600_000;

/** How a gate may be passed: one at a time; many readers or one writer; up to `capacity` permits. */
export enum GateMode {
  Exclusive = 1,
  Shared = 2,
  Permits = 3,
}

export type SyncOperation =
  /** A lock, read-write lock or semaphore. `value`: what others see of the holder, as of an elected leader. */
  | {
      kind: 'acquire';
      name: string;
      mode: GateMode;
      permits: number;
      capacity: number;
      isTry: boolean;
      value: Uint8Array;
    }
  | { kind: 'release'; name: string; token: number }
  /** Waits until as many as `parties` have entered. */
  | { kind: 'enter'; name: string; parties: number }
  /** Gives the exclusive lock up and waits for a signal; done when the lock is held again, with a new token. */
  | { kind: 'wait'; name: string; lock: string; token: number }
  | { kind: 'signal'; name: string; isAll: boolean }
  /** Stops waiting for what was asked by `target`; what is granted already stays. */
  | { kind: 'cancel'; target: number }
  /** `fence`: only while `lock` is held by this token (0: unfenced). */
  | { kind: 'write'; name: string; value: Uint8Array; lock: string; fence: number }
  | { kind: 'compareAndSet'; name: string; expected: Uint8Array; value: Uint8Array }
  /** Adds to a number, and answers the sum. */
  | { kind: 'add'; name: string; amount: number };

export type SyncCommand =
  | { kind: 'open'; timeMs: number; leaseMs: number }
  | { kind: 'renew'; timeMs: number; session: SessionId; acknowledged: number }
  | { kind: 'close'; timeMs: number; session: SessionId }
  | { kind: 'tick'; timeMs: number }
  /** Done once for each (session, sequence), however often it comes; results up to `acknowledged` are needed no more. */
  | {
      kind: 'operate';
      timeMs: number;
      session: SessionId;
      sequence: number;
      acknowledged: number;
      operation: SyncOperation;
    };

export type SyncQuestion = { kind: 'read'; name: string } | { kind: 'holders'; name: string };

export enum SyncStatus {
  Done = 0,
  /** It goes on; the result comes, and asking again gives the newest. */
  Waiting = 1,
  Granted = 2,
  /** isTry, and it is held. */
  Busy = 3,
  /** No such token, or not of this session. */
  NotHeld = 4,
  SessionExpired = 5,
  /** The result was acknowledged and is gone. */
  Forgotten = 6,
  /** The value was not the one expected, or the object is of another kind. */
  Conflict = 7,
  LimitReached = 8,
  Cancelled = 9,
  Malformed = 10,
}

export interface SyncResult {
  readonly status: SyncStatus;
  /** Fencing token, session or sum, as the operation has it. */
  readonly token: number;
  readonly value: Uint8Array;
}

const EMPTY = new Uint8Array(0);
export const syncResult = (status: SyncStatus, token = 0, value: Uint8Array = EMPTY): SyncResult => ({
  status,
  token,
  value,
});

const OPERATIONS = [
  'acquire',
  'release',
  'enter',
  'wait',
  'signal',
  'cancel',
  'write',
  'compareAndSet',
  'add',
] as const satisfies readonly SyncOperation['kind'][];
const COMMANDS = [
  'open',
  'renew',
  'close',
  'tick',
  'operate',
] as const satisfies readonly SyncCommand['kind'][];

export function encodeCommand(command: SyncCommand): Buffer {
  const writer = new ByteWriter().u8(COMMANDS.indexOf(command.kind)).u64(command.timeMs);
  switch (command.kind) {
    case 'open':
      writer.u32(command.leaseMs);
      break;
    case 'renew':
      writer.u64(command.session).u64(command.acknowledged);
      break;
    case 'close':
      writer.u64(command.session);
      break;
    case 'tick':
      break;
    case 'operate':
      writer.u64(command.session).u64(command.sequence).u64(command.acknowledged);
      writeOperation(writer, command.operation);
      break;
  }
  return writer.finish();
}

export function decodeCommand(bytes: Uint8Array): SyncCommand {
  const reader = new ByteReader(bytes);
  const command = readCommand(COMMANDS[reader.u8()], reader);
  reader.end();
  return command;
}

function readCommand(kind: SyncCommand['kind'] | undefined, reader: ByteReader): SyncCommand {
  const timeMs = reader.u64();
  switch (kind) {
    case 'open':
      return { kind, timeMs, leaseMs: reader.u32() };
    case 'renew':
      return { kind, timeMs, session: reader.u64(), acknowledged: reader.u64() };
    case 'close':
      return { kind, timeMs, session: reader.u64() };
    case 'tick':
      return { kind, timeMs };
    case 'operate': {
      const [session, sequence, acknowledged] = [reader.u64(), reader.u64(), reader.u64()];
      return { kind, timeMs, session, sequence, acknowledged, operation: readOperation(reader) };
    }
    case undefined:
      throw new CodecGarbage('a command of an unknown kind');
  }
}

function writeOperation(writer: ByteWriter, operation: SyncOperation): void {
  writer.u8(OPERATIONS.indexOf(operation.kind));
  switch (operation.kind) {
    case 'acquire':
      writer.text(operation.name).u8(operation.mode).u32(operation.permits).u32(operation.capacity);
      writer.u8(Number(operation.isTry)).bytes(operation.value);
      break;
    case 'release':
      writer.text(operation.name).u64(operation.token);
      break;
    case 'enter':
      writer.text(operation.name).u32(operation.parties);
      break;
    case 'wait':
      writer.text(operation.name).text(operation.lock).u64(operation.token);
      break;
    case 'signal':
      writer.text(operation.name).u8(Number(operation.isAll));
      break;
    case 'cancel':
      writer.u64(operation.target);
      break;
    case 'write':
      writer.text(operation.name).bytes(operation.value).text(operation.lock).u64(operation.fence);
      break;
    case 'compareAndSet':
      writer.text(operation.name).bytes(operation.expected).bytes(operation.value);
      break;
    case 'add':
      writer.text(operation.name).u32(operation.amount);
      break;
  }
}

function readOperation(reader: ByteReader): SyncOperation {
  const kind = OPERATIONS[reader.u8()];
  const name = (): string => reader.text(MAX_NAME_BYTES);
  const value = (): Uint8Array => Uint8Array.from(reader.bytes(MAX_VALUE_BYTES));
  switch (kind) {
    case 'acquire': {
      const gate = name();
      const mode = reader.u8();
      if (GateMode[mode] === undefined) throw new CodecGarbage(`a gate of mode ${mode}`);
      const [permits, capacity] = [reader.u32(), reader.u32()];
      return { kind, name: gate, mode, permits, capacity, isTry: reader.boolean(), value: value() };
    }
    case 'release':
      return { kind, name: name(), token: reader.u64() };
    case 'enter':
      return { kind, name: name(), parties: reader.u32() };
    case 'wait':
      return { kind, name: name(), lock: name(), token: reader.u64() };
    case 'signal':
      return { kind, name: name(), isAll: reader.boolean() };
    case 'cancel':
      return { kind, target: reader.u64() };
    case 'write':
      return { kind, name: name(), value: value(), lock: name(), fence: reader.u64() };
    case 'compareAndSet':
      return { kind, name: name(), expected: value(), value: value() };
    case 'add':
      return { kind, name: name(), amount: reader.u32() };
    case undefined:
      throw new CodecGarbage('an operation of an unknown kind');
  }
}

export const encodeQuestion = ({ kind, name }: SyncQuestion): Buffer =>
  new ByteWriter()
    .u8(kind === 'read' ? 0 : 1)
    .text(name)
    .finish();

export function decodeQuestion(bytes: Uint8Array): SyncQuestion {
  const reader = new ByteReader(bytes);
  const kind = reader.boolean() ? 'holders' : 'read';
  const name = reader.text(MAX_NAME_BYTES);
  reader.end();
  return { kind, name };
}

export const writeResult = (writer: ByteWriter, { status, token, value }: SyncResult): ByteWriter =>
  writer.u8(status).u64(token).bytes(value);

export function readResult(reader: ByteReader): SyncResult {
  const status = reader.u8();
  if (SyncStatus[status] === undefined) throw new CodecGarbage(`a result of status ${status}`);
  return { status, token: reader.u64(), value: Uint8Array.from(reader.bytes(MAX_VALUE_BYTES)) };
}

export const encodeResult = (result: SyncResult): Buffer => writeResult(new ByteWriter(32), result).finish();

export function decodeResult(bytes: Uint8Array): SyncResult {
  const reader = new ByteReader(bytes);
  const result = readResult(reader);
  reader.end();
  return result;
}
