import type { Message } from '../ipc/message.js';

/**
 * What the users' end of a device (DeviceRegistry, at home) and its back end (DeviceBackEnd, on the node where the device
 * is) say to each other: MINIX's driver protocol (0x400 + n, replies 0x500 + n), carried by posts, so that neither
 * waits for the other. A request names bytes by their place in the device's stream. So the same request twice is the
 * same bytes, and an answer that was lost is asked for again.
 */
export const DEV_CANCEL = 0x400;
export const DEV_READ = 0x403;
export const DEV_OPEN = 0x406;
export const DEV_CLOSE = 0x407;
/** DEV_WRITE is what TTY serves too. */
export const DEV_WRITE = 0x404;
export const DEV_REPLY = 0x500;
/** From a back end's container: the devices that it has now. What is not among them is unplugged. */
export const DEV_ANNOUNCE = 0x5f0;

/** Answer at once, also when nothing was taken. */
export const DEVICE_AT_ONCE = 1;
/** Of OPEN: nobody knows what was read before; begin where the device is. */
export const DEVICE_AFRESH = 2;

export interface DeviceRequest {
  /** One of DEV_*. */
  readonly kind: number;
  /** Of the back end; it gives no number twice. */
  readonly device: number;
  /** Echoed by the answer. */
  readonly request: number;
  readonly flags: number;
  /** Of the first byte wanted or sent, counted since the back end knows the device. */
  readonly offset: number;
  /** Of READ: bytes at most. */
  readonly length: number;
}

export interface DeviceReply {
  readonly kind: number;
  readonly device: number;
  readonly request: number;
  readonly status: number;
  /** The first byte that the back end keeps or would read next. */
  readonly readAt: number;
  /** So many bytes the device has taken. */
  readonly writeAt: number;
}

const DEVICE = 2;
const REQUEST = 3;
const FLAGS = 4;
const STATUS = 4;
const KIND = 5;
const FIRST = 3;
const SECOND = 4;

export function putRequest(
  to: Message,
  { kind, device, request, flags, offset, length }: DeviceRequest,
): void {
  to.clear();
  to.type = kind;
  to.words[DEVICE] = device;
  to.words[REQUEST] = request;
  to.words[FLAGS] = flags;
  to.doubles[FIRST] = offset;
  to.doubles[SECOND] = length;
}

/** As the sender says it: the receiver checks what it does not know to be right. */
export function readRequest({ type, words, doubles }: Message): DeviceRequest {
  return {
    kind: type,
    device: words[DEVICE]!,
    request: words[REQUEST]!,
    flags: words[FLAGS]!,
    offset: doubles[FIRST]!,
    length: doubles[SECOND]!,
  };
}

export function putReply(to: Message, { kind, device, request, status, readAt, writeAt }: DeviceReply): void {
  to.clear();
  to.type = DEV_REPLY;
  to.words[DEVICE] = device;
  to.words[REQUEST] = request;
  to.words[STATUS] = status;
  to.words[KIND] = kind;
  to.doubles[FIRST] = readAt;
  to.doubles[SECOND] = writeAt;
}

export function readReply({ words, doubles }: Message): DeviceReply {
  return {
    kind: words[KIND]!,
    device: words[DEVICE]!,
    request: words[REQUEST]!,
    status: words[STATUS]!,
    readAt: doubles[FIRST]!,
    writeAt: doubles[SECOND]!,
  };
}
