import { MESSAGE_BYTES, type Message } from './message.js';

/**
 * What kernels say to each other, as bytes, little-endian:
 *
 *   0 kind u8 | 1 flags u8 | 2 zero u16 | 4 source i32 | 8 target i32 | 12 sequence u32 | 16 epoch u32
 *   20 a i32 | 24 b u32 | 28 c u32 | [64 message] | [data to the end]
 *
 * `epoch` is that of the source's place, as its kernel knows it. What a, b and c mean is said at each kind.
 * Version and integrity are the transport's business.
 */
export const HEADER_BYTES = 32;
/** Version 2 of the protocol brought Relay, AwaitBind and NONBLOCKING: a kernel of version 1 would not understand them. */
export const COMPLETE_CALLS_SINCE = 2;
export const MESSAGE_END = HEADER_BYTES + MESSAGE_BYTES;

export enum FrameKind {
  /** A message; with EXPECTS_REPLY a request, with POST one that nobody waits for. */
  Send = 1,
  /** The answer to a request; ends the caller's sendrec `sequence`. */
  Reply = 2,
  Notify = 3,
  /** The call `sequence` of target ended with status a, or (EMIGRATE, ENOTBIND) must be sent again to c-1, epoch b. */
  Status = 4,
  /** The call `sequence` of source no longer waits. */
  Cancel = 5,
  /** Does the call `sequence` of source wait at target? With FINAL, the answer "no" ends it. */
  Probe = 6,
  /** a = 1: yes. */
  Probed = 7,
  /** The request `sequence` of target moved along with source to container c-1, epoch b. */
  Moved = 8,
  /** source receives from target alone: say so (Status) if that one dies or moves. */
  Watch = 9,
  /** sequence = copy, a = grant, b = offset, c = length. */
  CopyFrom = 10,
  /** As CopyFrom, with the bytes. */
  CopyTo = 11,
  /** a = status, b = offset, c-1 and epoch = where to try again; the bytes for CopyFrom. */
  CopyAnswer = 12,
  /** To home: where is target? */
  Locate = 13,
  /** From home: target is at c-1 (c = 0: nowhere), epoch b. */
  Location = 14,
  /** A Reply or Notify (a) that found its target gone; it is at c-1, epoch b (c = 0: unknown here). */
  Returned = 15,
  /** a = number: answer when all that came before this has been taken. */
  Barrier = 16,
  BarrierAnswer = 17,
  /** As Reply, and no answer: the request goes on to the system endpoint in the message's source word. */
  Relay = 18,
  /** The call `sequence` of source waits until target is bound: say so (Status). */
  AwaitBind = 19,
}

export const EXPECTS_REPLY = 1;
export const POST = 2;
/** Of Send: taken now or not at all. */
export const NONBLOCKING = 4;
export const FINAL = 1;
/** Of CopyFrom and CopyTo, besides how often the grant was handed on: b is an address in the target's memory. */
export const COPY_MAGIC = 8;

/** Bytes of the largest legal frame: a copied chunk, or a message with all that may ride. */
export const MAX_IPC_FRAME_BYTES = MESSAGE_END + 65_536;

/** Left free in the buffer before a large frame, so that the transport puts its own header there and copies nothing. */
export const FRAME_ROOM_BYTES = 16;
const LARGE_BYTES = 16_384;

function allocateFrame(bytes: number): Buffer {
  if (bytes < LARGE_BYTES) return Buffer.allocUnsafe(bytes);
  return Buffer.allocUnsafeSlow(FRAME_ROOM_BYTES + bytes).subarray(FRAME_ROOM_BYTES);
}

/** What rides with the message of the frame. No allocation when it is nothing. */
export const ridingIn = (frame: Uint8Array): Uint8Array =>
  frame.length === MESSAGE_END ? NO_BYTES : frame.subarray(MESSAGE_END);

const NO_BYTES = new Uint8Array(0);

/** Writes a header into a new frame of HEADER_BYTES + `extra`. One allocation. */
export function makeFrame(
  kind: FrameKind,
  flags: number,
  source: number,
  target: number,
  sequence: number,
  epoch: number,
  a: number,
  b: number,
  c: number,
  extra = 0,
): Uint8Array {
  const frame = allocateFrame(HEADER_BYTES + extra);
  frame[0] = kind;
  frame[1] = flags;
  frame[2] = 0;
  frame[3] = 0;
  writeWord(frame, 4, source);
  writeWord(frame, 8, target);
  writeWord(frame, 12, sequence);
  writeWord(frame, 16, epoch);
  writeWord(frame, 20, a);
  writeWord(frame, 24, b);
  writeWord(frame, 28, c);
  return frame;
}

/** A frame that carries a message and what rides with it; source is set by the kernel here. */
export function makeMessageFrame(
  kind: FrameKind,
  flags: number,
  source: number,
  target: number,
  sequence: number,
  epoch: number,
  message: Message,
  data: Uint8Array,
): Uint8Array {
  const frame = makeFrame(
    kind,
    flags,
    source,
    target,
    sequence,
    epoch,
    0,
    0,
    data.length,
    MESSAGE_BYTES + data.length,
  );
  const bytes = message.bytes;
  for (let i = 4; i < MESSAGE_BYTES; i++) frame[HEADER_BYTES + i] = bytes[i]!;
  writeWord(frame, HEADER_BYTES, source);
  if (data.length > 0) frame.set(data, MESSAGE_END);
  return frame;
}

export function readMessage(frame: Uint8Array, into: Message): void {
  const bytes = into.bytes;
  for (let i = 0; i < MESSAGE_BYTES; i++) bytes[i] = frame[HEADER_BYTES + i]!;
}

export function writeWord(frame: Uint8Array, at: number, value: number): void {
  frame[at] = value;
  frame[at + 1] = value >>> 8;
  frame[at + 2] = value >>> 16;
  frame[at + 3] = value >>> 24;
}

export function readInt(frame: Uint8Array, at: number): number {
  return frame[at]! | (frame[at + 1]! << 8) | (frame[at + 2]! << 16) | (frame[at + 3]! << 24);
}

export const readUnsigned = (frame: Uint8Array, at: number): number => readInt(frame, at) >>> 0;

/** What a server says to one who waits for it in a sendrec. */
export const isServed = (kind: FrameKind): boolean => kind === FrameKind.Reply || kind === FrameKind.Relay;

export const kindOf = (frame: Uint8Array): FrameKind => frame[0]!;
export const sourceOf = (frame: Uint8Array): number => readInt(frame, 4);
export const targetOf = (frame: Uint8Array): number => readInt(frame, 8);
export const sequenceOf = (frame: Uint8Array): number => readUnsigned(frame, 12);
export const epochOf = (frame: Uint8Array): number => readUnsigned(frame, 16);
