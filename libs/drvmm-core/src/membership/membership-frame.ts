import { ByteReader, ByteWriter, CodecGarbage } from '../codec/byte-cursor.js';
import { CHECKED_HEADER_BYTES, FrameProtocol, openFrame, sealFrame } from '../codec/checked-frame.js';

const VERSION = 2;
export const MAX_MEMBER_NAME_BYTES = 64;
export const MAX_ADDRESS_BYTES = 128;
export const MAX_METADATA_BYTES = 256;
/** What passes an Ethernet as one datagram, with room for tunnels. */
export const MEMBERSHIP_FRAME_BYTES = 1_200;
/** Of what else goes along with probes and their answers, at most. */
export const RIDER_BYTES = 600;
const MAX_UPDATES_PER_FRAME = 64;

export enum MemberState {
  Alive = 1,
  Suspect = 2,
  Dead = 3,
  /** It said goodbye. */
  Left = 4,
}

/** What somebody says of a member. */
export interface MemberUpdate {
  readonly state: MemberState;
  readonly name: string;
  readonly address: string;
  readonly incarnation: number;
  readonly metadata: Uint8Array;
  /** Who saw it; of a suspicion, whose it is. */
  readonly witness: string;
}

export type MembershipMessage =
  /** To `target`: another one at this address does not answer. */
  | { kind: 'ping'; sequence: number; target: string }
  | { kind: 'pingRequest'; sequence: number; target: string; address: string }
  | { kind: 'ack'; sequence: number }
  /** Asked for an indirect probe; no answer so far, but I am here. */
  | { kind: 'nack'; sequence: number }
  | { kind: 'join' }
  /** Updates only; who gets a request answers with some of its own. */
  | { kind: 'state'; isRequest: boolean };

const KINDS = [
  'ping',
  'pingRequest',
  'ack',
  'nack',
  'join',
  'state',
] as const satisfies readonly MembershipMessage['kind'][];

export interface MembershipFrame {
  readonly from: string;
  readonly fromAddress: string;
  readonly message: MembershipMessage;
  readonly updates: readonly MemberUpdate[];
  /** Somebody else's, who uses that probes go to everyone in turn. */
  readonly rider: Uint8Array;
}

export const updateBytes = ({ name, address, metadata, witness }: MemberUpdate): number =>
  1 +
  8 +
  2 +
  2 +
  2 +
  4 +
  Buffer.byteLength(name) +
  Buffer.byteLength(address) +
  Buffer.byteLength(witness) +
  metadata.length;

/** Bytes of a frame without updates, at most: what is left of MEMBERSHIP_FRAME_BYTES is theirs. */
export const messageBytes = (from: string, fromAddress: string, message: MembershipMessage): number => {
  const extra = 'target' in message ? Buffer.byteLength(message.target) : 0;
  const address = 'address' in message ? Buffer.byteLength(message.address) : 0;
  return (
    CHECKED_HEADER_BYTES + 36 + Buffer.byteLength(from) + Buffer.byteLength(fromAddress) + extra + address
  );
};

export function encodeMembershipFrame({
  from,
  fromAddress,
  message,
  updates,
  rider,
}: MembershipFrame): Buffer {
  const writer = new ByteWriter(MEMBERSHIP_FRAME_BYTES).text(from).text(fromAddress);
  switch (message.kind) {
    case 'ping':
      writer.u32(message.sequence).text(message.target);
      break;
    case 'pingRequest':
      writer.u32(message.sequence).text(message.target).text(message.address);
      break;
    case 'ack':
    case 'nack':
      writer.u32(message.sequence);
      break;
    case 'state':
      writer.u8(Number(message.isRequest));
      break;
    case 'join':
      break;
  }
  writer.u32(updates.length);
  for (const update of updates) {
    writer
      .u8(update.state)
      .u64(update.incarnation)
      .text(update.name)
      .text(update.address)
      .text(update.witness);
    writer.bytes(update.metadata);
  }
  writer.bytes(rider);
  return sealFrame(FrameProtocol.Membership, VERSION, KINDS.indexOf(message.kind), writer.finish());
}

/** @throws CodecGarbage */
export function decodeMembershipFrame(bytes: Uint8Array): MembershipFrame {
  const { kind, body } = openFrame(FrameProtocol.Membership, VERSION, bytes);
  const reader = new ByteReader(body);
  const from = reader.text(MAX_MEMBER_NAME_BYTES);
  const fromAddress = reader.text(MAX_ADDRESS_BYTES);
  const message = readMessage(KINDS[kind], reader);
  const updates: MemberUpdate[] = [];
  for (let left = reader.count(MAX_UPDATES_PER_FRAME, 19); left > 0; left--) {
    const state = reader.u8();
    if (MemberState[state] === undefined) throw new CodecGarbage(`a member in state ${state}`);
    const incarnation = reader.u64();
    const name = reader.text(MAX_MEMBER_NAME_BYTES);
    const address = reader.text(MAX_ADDRESS_BYTES);
    const witness = reader.text(MAX_MEMBER_NAME_BYTES);
    updates.push({
      state,
      incarnation,
      name,
      address,
      witness,
      metadata: Uint8Array.from(reader.bytes(MAX_METADATA_BYTES)),
    });
  }
  const rider = reader.bytes(RIDER_BYTES);
  reader.end();
  return { from, fromAddress, message, updates, rider };
}

function readMessage(kind: MembershipMessage['kind'] | undefined, reader: ByteReader): MembershipMessage {
  switch (kind) {
    case 'ping':
      return { kind, sequence: reader.u32(), target: reader.text(MAX_MEMBER_NAME_BYTES) };
    case 'pingRequest':
      return {
        kind,
        sequence: reader.u32(),
        target: reader.text(MAX_MEMBER_NAME_BYTES),
        address: reader.text(MAX_ADDRESS_BYTES),
      };
    case 'ack':
    case 'nack':
      return { kind, sequence: reader.u32() };
    case 'join':
      return { kind };
    case 'state':
      return { kind, isRequest: reader.boolean() };
    case undefined:
      throw new CodecGarbage('a message of an unknown kind');
  }
}
