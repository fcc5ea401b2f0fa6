import { z } from 'zod';

/**
 * The IPC state of a process as it travels with its image: `u32 length of JSON | JSON | call data | end data`.
 * Everything a peer sends is checked before it is believed.
 */
const word = z.int().min(-0x8000_0000).max(0x7fff_ffff);
const unsigned = z.int().min(0).max(0xffff_ffff);
/** Messages are 64 bytes: 88 characters of base64. */
const messageText = z.string().length(88);

const StateHeader = z.object({
  version: z.literal(1),
  endpoint: word,
  epoch: unsigned,
  from: z.int().min(0).max(1023),
  sequence: unsigned,
  nextGrant: unsigned,
  notifications: z.array(word).max(131_072),
  owed: z.array(z.tuple([word, unsigned])).max(131_072),
  grants: z
    .array(z.tuple([unsigned, word, z.int().min(0).max(3), z.number().min(0), z.number().min(0)]))
    .max(65_536),
  indirectGrants: z
    .array(z.tuple([unsigned, word, z.int().min(0).max(3), word, unsigned]))
    .max(65_536)
    .default([]),
  phase: z.enum(['idle', 'outstanding', 'receiving', 'ended']),
  callKind: z.int().min(1).max(6),
  /** Until a timed call ends; null or not there: it is not timed. */
  leftMs: z.number().min(0).nullish(),
  callTarget: word,
  sentTo: z.int().min(-1).max(1023),
  trail: z.array(z.int().min(0).max(1023)).max(16),
  message: messageText,
  inbox: messageText,
  endStatus: word,
  mustVerify: z.boolean(),
  callDataBytes: z.int().min(0).max(65_536),
  endDataBytes: z.int().min(0).max(65_536),
});
export type StateHeader = z.infer<typeof StateHeader>;

export class ProcessStateInvalid extends Error {
  constructor(reason: string) {
    super(`the IPC state of the arriving process is not well formed: ${reason}`);
    this.name = 'ProcessStateInvalid';
  }
}

export function packState(header: StateHeader, callData: Uint8Array, endData: Uint8Array): Uint8Array {
  const json = Buffer.from(JSON.stringify(header));
  const packed = Buffer.allocUnsafe(4 + json.length + callData.length + endData.length);
  packed.writeUInt32LE(json.length, 0);
  packed.set(json, 4);
  packed.set(callData, 4 + json.length);
  packed.set(endData, 4 + json.length + callData.length);
  return packed;
}

/** @throws ProcessStateInvalid */
export function unpackState(packed: Uint8Array): {
  header: StateHeader;
  callData: Uint8Array;
  endData: Uint8Array;
} {
  if (packed.length < 4) throw new ProcessStateInvalid(`${packed.length} bytes`);
  const view = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength);
  const length = view.readUInt32LE(0);
  if (4 + length > packed.length) throw new ProcessStateInvalid(`header of ${length} bytes`);
  let json: unknown;
  try {
    json = JSON.parse(view.toString('utf8', 4, 4 + length));
  } catch (error) {
    throw new ProcessStateInvalid((error as Error).message);
  }
  const parsed = StateHeader.safeParse(json);
  if (!parsed.success) throw new ProcessStateInvalid(z.prettifyError(parsed.error));
  const header = parsed.data;
  const callEnd = 4 + length + header.callDataBytes;
  if (callEnd + header.endDataBytes !== packed.length) throw new ProcessStateInvalid('wrong number of bytes');
  return {
    header,
    callData: Uint8Array.prototype.slice.call(packed, 4 + length, callEnd),
    endData: Uint8Array.prototype.slice.call(packed, callEnd),
  };
}
