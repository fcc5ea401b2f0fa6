import { ByteReader, ByteWriter, CodecGarbage } from '../codec/byte-cursor.js';
import { FrameProtocol, openFrame, sealFrame } from '../codec/checked-frame.js';
import { type GroupMemberId, MEMBER_ID_MAX, type ViewId } from './member-id.js';

const VERSION = 1;
/** Everyone hears from everyone, so a view is not for hundreds. */
export const MAX_GROUP_MEMBERS = 64;
export const MAX_GROUP_DATA_BYTES = 64 * 1024;
/** Messages of a sender that not everyone has been given yet: what each member may have to hold for it. */
export const WINDOW_MESSAGES = 1_024;
export const MAX_CHUNK_BYTES = 64 * 1024;
export const MAX_GROUP_STATE_BYTES = 64 * 1024 * 1024;
const MAX_LISTED = MAX_GROUP_MEMBERS * WINDOW_MESSAGES;

/** Each promises what those before it do. */
export enum GroupOrder {
  /** Given on arrival. */
  Unordered = 0,
  /** After the ordered messages that its sender had sent before. */
  Fifo = 1,
  /** And after those that its sender had been given before. */
  Causal = 2,
  /** And in one order at all members. */
  Total = 3,
  /** And when all members of the view have it. */
  Safe = 4,
}

export interface GroupMessage {
  /** From 1, by sender and view. */
  readonly sequence: number;
  /** Lamport's. */
  readonly timestamp: number;
  readonly order: GroupOrder;
  /** By sender: the last ordered message given to this one's sender before; empty below Causal. */
  readonly after: readonly number[];
  readonly data: Uint8Array;
}

/** A message of a view: whose (its place in the view's list), and which. */
export interface MessageName {
  readonly sender: number;
  readonly sequence: number;
}

/** What a member brings into a view. */
export interface Standing {
  readonly hasState: boolean;
  /** The counter of the last primary view that its state has seen; 0 for none. */
  readonly lastPrimary: number;
}

/** Those who come from one view together, and what all of them will have been given in it. */
export interface Component {
  readonly previous: ViewId;
  readonly members: readonly GroupMemberId[];
  /** By sender of that view. */
  readonly prefix: readonly number[];
  /** Unordered ones beyond. */
  readonly extras: readonly MessageName[];
}

export type GroupBody =
  | {
      kind: 'traffic';
      clock: number;
      /** The last sequence sent before `clock` was read. */
      sent: number;
      /** Something is missing here: send it again. */
      isLacking: boolean;
      isLeaving: boolean;
      received: readonly number[];
      delivered: readonly number[];
      messages: readonly GroupMessage[];
    }
  /** To those outside: this is where I am, and these others I hear. */
  | { kind: 'hello'; heard: readonly GroupMemberId[] }
  | { kind: 'propose'; members: readonly GroupMemberId[]; leavers: readonly GroupMemberId[] }
  | { kind: 'refuse'; counter: number; unheard: readonly GroupMemberId[] }
  | {
      kind: 'state';
      previous: ViewId | null;
      standing: Standing;
      received: readonly number[];
      extras: readonly MessageName[];
    }
  | {
      kind: 'commit';
      members: readonly GroupMemberId[];
      leavers: readonly GroupMemberId[];
      standings: readonly Standing[];
      components: readonly Component[];
    }
  /** `view` is the former one. */
  | { kind: 'fetch'; wanted: readonly MessageName[] }
  | { kind: 'forward'; senders: readonly number[]; messages: readonly GroupMessage[] }
  | { kind: 'chunk'; totalBytes: number; checksum: number; offset: number; bytes: Uint8Array }
  | { kind: 'chunkReply'; offset: number };

export interface GroupFrame {
  readonly group: number;
  readonly from: GroupMemberId;
  readonly view: ViewId;
  readonly body: GroupBody;
}

const KINDS = [
  'traffic',
  'hello',
  'propose',
  'refuse',
  'state',
  'commit',
  'fetch',
  'forward',
  'chunk',
  'chunkReply',
] as const satisfies readonly GroupBody['kind'][];

export function encodeGroupFrame({ group, from, view, body }: GroupFrame): Buffer {
  const writer = new ByteWriter(256).u32(group).u64(from);
  writeView(writer, view);
  switch (body.kind) {
    case 'traffic':
      writer.u64(body.clock).u32(body.sent).u8(Number(body.isLacking)).u8(Number(body.isLeaving));
      writeNumbers(writer, body.received);
      for (const one of body.delivered) writer.u32(one);
      writeMessages(writer, body.messages);
      break;
    case 'hello':
      writeIds(writer, body.heard);
      break;
    case 'propose':
      writeIds(writer, body.members);
      writeIds(writer, body.leavers);
      break;
    case 'refuse':
      writer.u64(body.counter);
      writeIds(writer, body.unheard);
      break;
    case 'state':
      writer.u8(Number(body.previous !== null));
      if (body.previous !== null) writeView(writer, body.previous);
      writeStanding(writer, body.standing);
      writeNumbers(writer, body.received);
      writeNames(writer, body.extras);
      break;
    case 'commit':
      writeIds(writer, body.members);
      writeIds(writer, body.leavers);
      for (const standing of body.standings) writeStanding(writer, standing);
      writer.u32(body.components.length);
      for (const component of body.components) {
        writeView(writer, component.previous);
        writeIds(writer, component.members);
        writeNumbers(writer, component.prefix);
        writeNames(writer, component.extras);
      }
      break;
    case 'fetch':
      writeNames(writer, body.wanted);
      break;
    case 'forward':
      writeNumbers(writer, body.senders);
      writeMessages(writer, body.messages);
      break;
    case 'chunk':
      writer.u32(body.totalBytes).u32(body.checksum).u32(body.offset).bytes(body.bytes);
      break;
    case 'chunkReply':
      writer.u32(body.offset);
      break;
  }
  return sealFrame(FrameProtocol.Group, VERSION, KINDS.indexOf(body.kind), writer.finish());
}

/** @throws CodecGarbage. Data of messages are views of the frame. */
export function decodeGroupFrame(frame: Uint8Array): GroupFrame {
  const { kind, body } = openFrame(FrameProtocol.Group, VERSION, frame);
  const reader = new ByteReader(body);
  const group = reader.u32();
  const from = readId(reader);
  const view = readView(reader);
  const content = readBody(KINDS[kind], reader);
  reader.end();
  return { group, from, view, body: content };
}

function readBody(kind: GroupBody['kind'] | undefined, reader: ByteReader): GroupBody {
  switch (kind) {
    case 'traffic': {
      const clock = reader.u64();
      const sent = reader.u32();
      const isLacking = reader.boolean();
      const isLeaving = reader.boolean();
      const received = readNumbers(reader);
      const delivered = received.map(() => reader.u32());
      const messages = readMessages(reader);
      return { kind, clock, sent, isLacking, isLeaving, received, delivered, messages };
    }
    case 'hello':
      return { kind, heard: readIds(reader) };
    case 'propose':
      return { kind, members: readIds(reader), leavers: readIds(reader) };
    case 'refuse':
      return { kind, counter: reader.u64(), unheard: readIds(reader) };
    case 'state':
      return {
        kind,
        previous: reader.boolean() ? readView(reader) : null,
        standing: readStanding(reader),
        received: readNumbers(reader),
        extras: readNames(reader),
      };
    case 'commit':
      return readCommit(reader);
    case 'fetch':
      return { kind, wanted: readNames(reader) };
    case 'forward': {
      const senders = readNumbers(reader, WINDOW_MESSAGES);
      const messages = readMessages(reader);
      if (messages.length !== senders.length) throw new CodecGarbage('messages without senders');
      return { kind, senders, messages };
    }
    case 'chunk':
      return {
        kind,
        totalBytes: reader.u32(),
        checksum: reader.u32(),
        offset: reader.u32(),
        bytes: reader.bytes(MAX_CHUNK_BYTES),
      };
    case 'chunkReply':
      return { kind, offset: reader.u32() };
    case undefined:
      throw new CodecGarbage('a message of an unknown kind');
  }
}

function readCommit(reader: ByteReader): GroupBody {
  const members = readIds(reader);
  const leavers = readIds(reader);
  const standings = members.map(() => readStanding(reader));
  const components: Component[] = [];
  for (let left = reader.count(2 * MAX_GROUP_MEMBERS, 28); left > 0; left--) {
    components.push({
      previous: readView(reader),
      members: readIds(reader),
      prefix: readNumbers(reader),
      extras: readNames(reader),
    });
  }
  return { kind: 'commit', members, leavers, standings, components };
}

/** Bytes of a message in a frame. */
export const groupMessageBytes = ({ after, data }: GroupMessage): number =>
  4 + 8 + 1 + 4 + 4 * after.length + 4 + data.length;

function writeMessages(writer: ByteWriter, messages: readonly GroupMessage[]): void {
  writer.u32(messages.length);
  for (const { sequence, timestamp, order, after, data } of messages) {
    writer.u32(sequence).u64(timestamp).u8(order);
    writeNumbers(writer, after);
    writer.bytes(data);
  }
}

function readMessages(reader: ByteReader): GroupMessage[] {
  const messages: GroupMessage[] = [];
  for (let left = reader.count(WINDOW_MESSAGES, 21); left > 0; left--) {
    const sequence = reader.u32();
    const timestamp = reader.u64();
    const order = reader.u8();
    if (GroupOrder[order] === undefined) throw new CodecGarbage(`a message in order ${order}`);
    const after = readNumbers(reader);
    messages.push({ sequence, timestamp, order, after, data: reader.bytes(MAX_GROUP_DATA_BYTES) });
  }
  return messages;
}

const writeView = (writer: ByteWriter, { counter, coordinator }: ViewId): void => {
  writer.u64(counter).u64(coordinator);
};
const readView = (reader: ByteReader): ViewId => ({ counter: reader.u64(), coordinator: readId(reader) });

const writeStanding = (writer: ByteWriter, { hasState, lastPrimary }: Standing): void => {
  writer.u8(Number(hasState)).u64(lastPrimary);
};
const readStanding = (reader: ByteReader): Standing => ({
  hasState: reader.boolean(),
  lastPrimary: reader.u64(),
});

function writeIds(writer: ByteWriter, ids: readonly GroupMemberId[]): void {
  writer.u32(ids.length);
  for (const id of ids) writer.u64(id);
}

function readIds(reader: ByteReader): GroupMemberId[] {
  const ids: GroupMemberId[] = [];
  for (let left = reader.count(MAX_GROUP_MEMBERS, 8); left > 0; left--) ids.push(readId(reader));
  return ids;
}

function readId(reader: ByteReader): GroupMemberId {
  const id = reader.u64();
  if (id > MEMBER_ID_MAX) throw new CodecGarbage(`a member ${id}`);
  return id;
}

function writeNumbers(writer: ByteWriter, numbers: readonly number[]): void {
  writer.u32(numbers.length);
  for (const one of numbers) writer.u32(one);
}

function readNumbers(reader: ByteReader, most = MAX_GROUP_MEMBERS): number[] {
  const numbers: number[] = [];
  for (let left = reader.count(most, 4); left > 0; left--) numbers.push(reader.u32());
  return numbers;
}

function writeNames(writer: ByteWriter, names: readonly MessageName[]): void {
  writer.u32(names.length);
  for (const { sender, sequence } of names) writer.u8(sender).u32(sequence);
}

function readNames(reader: ByteReader): MessageName[] {
  const names: MessageName[] = [];
  for (let left = reader.count(MAX_LISTED, 5); left > 0; left--) {
    names.push({ sender: reader.u8(), sequence: reader.u32() });
  }
  return names;
}
