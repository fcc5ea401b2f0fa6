import { CodecGarbage } from './byte-cursor.js';
import { crc32c } from './crc32c.js';

/**
 * The envelope of protocol messages that travel as datagrams or inside another stream, little-endian:
 *
 *   0 crc32c u32 of all that follows | 4 protocol u8 | 5 version u8 | 6 kind u8 | 7 zero u8 | 8 body
 *
 * The checksum is against accidents (memory, drivers, our own mistakes); against malice there is TLS below.
 */
export const CHECKED_HEADER_BYTES = 8;

export enum FrameProtocol {
  Membership = 1,
  Consensus = 2,
  Synchronization = 3,
  Group = 4,
}

export function sealFrame(protocol: FrameProtocol, version: number, kind: number, body: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(CHECKED_HEADER_BYTES + body.length);
  frame[4] = protocol;
  frame[5] = version;
  frame[6] = kind;
  frame[7] = 0;
  frame.set(body, CHECKED_HEADER_BYTES);
  frame.writeUInt32LE(crc32c(frame, 4), 0);
  return frame;
}

/** @throws CodecGarbage when damaged, of another protocol or of another version. The body is a view. */
export function openFrame(
  protocol: FrameProtocol,
  version: number,
  frame: Uint8Array,
): { kind: number; body: Uint8Array } {
  if (frame.length < CHECKED_HEADER_BYTES) throw new CodecGarbage(`a frame of ${frame.length} bytes`);
  const claimed = (frame[0]! | (frame[1]! << 8) | (frame[2]! << 16) | (frame[3]! << 24)) >>> 0;
  if (claimed !== crc32c(frame, 4)) throw new CodecGarbage('the checksum does not match');
  if (frame[4] !== protocol) throw new CodecGarbage(`protocol ${frame[4]} where ${protocol} is spoken`);
  if (frame[5] !== version) throw new CodecGarbage(`version ${frame[5]}, this is version ${version}`);
  return { kind: frame[6]!, body: frame.subarray(CHECKED_HEADER_BYTES) };
}
