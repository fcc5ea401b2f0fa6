import { DEVICES_PER_CONTAINER } from '@drvs/contracts';
import { z } from 'zod';
import { EBUSY, EINVAL, EIO, ENODEV, OK, SUSPENDED } from '../ipc/errors.js';
import { MAX_RIDING_BYTES } from '../ipc/message.js';
import {
  DEV_CANCEL,
  DEV_CLOSE,
  DEV_OPEN,
  DEV_READ,
  DEV_WRITE,
  DEVICE_AFRESH,
  DEVICE_AT_ONCE,
  type DeviceReply,
  type DeviceRequest,
} from './device-protocol.js';

/** Numbers below are those of devices that every DRVM has. */
export const FIRST_ATTACHED_DEVICE = 16;
/** Fetched for one who only asks whether there is something. */
const GLANCE_BYTES = 4096;
/** A writer that is gone. */
const NOBODY = -1;

/** What a back end's container says of its devices. */
export const DeviceAnnouncement = z.object({
  /** Of the container's process: another one knows nothing of what this one did. */
  life: z.string().max(64),
  /** `name` is the node's and the device's own, with a slash between. */
  devices: z
    .array(
      z.object({
        id: z.int().min(1),
        name: z.string().regex(/^[a-z0-9-]{1,63}\/[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/),
      }),
    )
    .max(DEVICES_PER_CONTAINER),
});
export type DeviceAnnouncement = z.infer<typeof DeviceAnnouncement>;

const AttachedDevice = z.object({
  number: z.int().min(FIRST_ATTACHED_DEVICE),
  name: z.string(),
  index: z.int(),
  life: z.string(),
  id: z.int(),
  isExclusive: z.boolean(),
  /** null: nobody has read it. */
  readAt: z.number().nullable(),
  writeAt: z.number(),
  writing: z.object({ caller: z.int(), length: z.int(), outcome: z.int().nullable() }).nullable(),
});

/** What goes from one home to the next. Who has what open is counted anew there. */
export const DevicesHandover = z.object({
  nextNumber: z.int(),
  nextRequest: z.int(),
  devices: z.array(AttachedDevice),
});
export type DevicesHandover = z.infer<typeof DevicesHandover>;

export interface DeviceRegistryHost {
  /** To the back ends of container `index`. */
  send(index: number, request: DeviceRequest, data: Uint8Array): void;
  plugged(number: number, index: number, name: string): void;
  unplugged(number: number, index: number, name: string): void;
  /** Calls that wait for the device are to be made again. */
  changed(number: number): void;
}

interface Writing {
  caller: number;
  readonly length: number;
  /** Bytes taken, or why none were; null: not known yet. */
  outcome: number | null;
  readonly request: number;
}

const NOTHING = new Uint8Array(0);

/** One device as its users see it. */
class Front {
  users = 0;
  isExclusive = false;
  /** awaited: home has moved here, and the back end's container has not been heard since. */
  contact: 'heard' | 'awaited' | 'lost' = 'heard';
  link: 'closed' | 'opening' | 'open' = 'closed';
  /** Read from the back end, and by nobody yet. */
  buffer: Uint8Array = NOTHING;
  /** Of the byte after those in `buffer`; null: wherever the device is when it is opened. */
  fetchAt: number | null = null;
  hasEnded = false;
  writeAt = 0;
  writing: Writing | null = null;
  /** Requests under way; 0: none. */
  opening = 0;
  fetching = 0;
  /** Why the last opening or fetch failed, while those who wait for it are told. */
  failure: { kind: number; status: number } | null = null;

  constructor(
    readonly number: number,
    readonly name: string,
    readonly index: number,
    readonly life: string,
    readonly id: number,
  ) {}

  failureOf(...kinds: number[]): number {
    return this.failure !== null && kinds.includes(this.failure.kind) ? this.failure.status : OK;
  }
}

/**
 * The devices of a DRVM as its processes see them, kept at home: which there are, who uses them, and how far each has
 * been read and written. The bytes come from the back ends (DeviceBackEnd) on the nodes where the devices are.
 *
 *   announced ──▶ plugged ◀──────────────┐ announced again by the same life
 *                   │  └─ node lost ──▶ EIO
 *                   ▼
 *               unplugged: its number is never given again, so who still has it open gets ENODEV
 *
 * Every call answers at once: bytes, a count, a status, or SUSPENDED: then it is to be made again when `changed` says so.
 * A call has no effect until it succeeds, besides that what it needs is asked of the back end; so one that waits may be
 * forgotten at any time, and made again at another home.
 *
 * Invariants: a device's bytes go to its readers in order and once, also over a move of home and a lost link; a writer is
 * told n exactly when the device has taken n bytes, and EIO when that cannot be known; per device at most one opening,
 * one fetch and one write are under way, so what is kept is bounded.
 */
export class DeviceRegistry {
  readonly #fronts = new Map<number, Front>();
  #nextNumber: number;
  #nextRequest: number;

  constructor(
    private readonly host: DeviceRegistryHost,
    handover?: DevicesHandover,
  ) {
    this.#nextNumber = handover?.nextNumber ?? FIRST_ATTACHED_DEVICE;
    this.#nextRequest = handover?.nextRequest ?? 1;
    for (const device of handover?.devices ?? []) {
      const front = new Front(device.number, device.name, device.index, device.life, device.id);
      front.contact = 'awaited';
      front.isExclusive = device.isExclusive;
      front.fetchAt = device.readAt;
      front.writeAt = device.writeAt;
      if (device.writing !== null) front.writing = { ...device.writing, request: 0 };
      this.#fronts.set(front.number, front);
    }
  }

  /** For another home. Who has what open is told there by `reopened`. */
  handover(): DevicesHandover {
    return {
      nextNumber: this.#nextNumber,
      nextRequest: this.#nextRequest,
      devices: [...this.#fronts.values()].map((front) => {
        const { number, name, index, life, id, isExclusive, buffer, fetchAt, writeAt, writing } = front;
        return {
          number,
          name,
          index,
          life,
          id,
          isExclusive,
          readAt: fetchAt === null ? null : fetchAt - buffer.length,
          writeAt,
          writing: writing && { caller: writing.caller, length: writing.length, outcome: writing.outcome },
        };
      }),
    };
  }

  // ── which there are

  /** What container `index` says that it has. It says so again whenever it has heard of another home. */
  announce(index: number, { life, devices }: DeviceAnnouncement): void {
    const fresh = new Map(devices.map((device) => [device.id, device]));
    for (const front of [...this.#fronts.values()]) {
      if (front.index !== index) continue;
      if (front.life === life && fresh.get(front.id)?.name === front.name) {
        fresh.delete(front.id);
        this.#heard(front);
      } else this.#unplug(front);
    }
    for (const { id, name } of fresh.values()) {
      const front = new Front(this.#nextNumber++, name, index, life, id);
      this.#fronts.set(front.number, front);
      // Whoever used it under another home is no more.
      this.#ask(front, DEV_CLOSE);
      this.host.plugged(front.number, index, name);
    }
  }

  /** The container does not answer; it may be back. */
  nodeLost(index: number): void {
    for (const front of [...this.#fronts.values()]) {
      if (front.index !== index || front.contact === 'lost') continue;
      front.contact = 'lost';
      front.link = 'closed';
      front.opening = 0;
      front.fetching = 0;
      const { writing } = front;
      if (writing?.caller === NOBODY) front.writing = null;
      else if (writing !== null) writing.outcome ??= EIO;
      this.host.changed(front.number);
    }
  }

  /** The container has left the DRVM, and its devices with it. */
  nodeLeft(index: number): void {
    for (const front of [...this.#fronts.values()]) if (front.index === index) this.#unplug(front);
  }

  #heard(front: Front): void {
    if (front.contact === 'heard') return;
    front.contact = 'heard';
    if (front.users > 0) this.#open(front);
    else this.#ask(front, DEV_CLOSE);
    this.host.changed(front.number);
  }

  #unplug(front: Front): void {
    this.#fronts.delete(front.number);
    this.host.unplugged(front.number, front.index, front.name);
    this.host.changed(front.number);
  }

  // ── users

  /** @returns OK: then `opened` is to be called; ENODEV, EBUSY, EIO, why the host cannot open it, or SUSPENDED. */
  open(number: number, isExclusive: boolean): number {
    const front = this.#fronts.get(number);
    if (front === undefined) return ENODEV;
    if (front.users > 0 && (isExclusive || front.isExclusive)) return EBUSY;
    const failure = front.failureOf(DEV_OPEN);
    if (failure !== OK) return failure;
    if (front.contact === 'lost') return EIO;
    if (front.link === 'open') return OK;
    this.#open(front);
    return SUSPENDED;
  }

  opened(number: number, isExclusive: boolean): void {
    const front = this.#fronts.get(number);
    if (front === undefined) return;
    front.users++;
    front.isExclusive = isExclusive;
  }

  /** One who had it open at the former home. */
  reopened(number: number): void {
    const front = this.#fronts.get(number);
    if (front !== undefined) front.users++;
  }

  closed(number: number): void {
    const front = this.#fronts.get(number);
    if (front === undefined || --front.users > 0) return;
    this.#release(front);
  }

  /** `caller` waits no longer: what was written for it is nobody's. */
  gone(caller: number): void {
    for (const front of this.#fronts.values()) {
      const { writing } = front;
      if (writing?.caller !== caller) continue;
      if (writing.outcome !== null) {
        front.writing = null;
        this.host.changed(front.number);
      } else {
        writing.caller = NOBODY;
        if (front.contact === 'heard') this.#ask(front, DEV_CANCEL);
      }
    }
  }

  // ── bytes

  /** @returns the bytes, valid until the next call; 0 at the end; a status; or SUSPENDED. */
  read(number: number, length: number): Uint8Array | number {
    const front = this.#fronts.get(number);
    if (front === undefined) return ENODEV;
    if (length === 0) return 0;
    if (front.buffer.length > 0) {
      const taken = front.buffer.subarray(0, length);
      front.buffer = front.buffer.subarray(taken.length);
      return taken;
    }
    if (front.hasEnded) {
      front.hasEnded = false;
      return 0;
    }
    return this.#fetch(front, length);
  }

  /** @returns how many bytes `read` would give at once (1 where it would give an end or an error), or SUSPENDED. */
  readable(number: number): number {
    const front = this.#fronts.get(number);
    if (front === undefined || front.hasEnded) return 1;
    if (front.buffer.length > 0) return front.buffer.length;
    return this.#fetch(front, GLANCE_BYTES) === SUSPENDED ? SUSPENDED : 1;
  }

  #fetch(front: Front, length: number): number {
    const failure = front.failureOf(DEV_OPEN, DEV_READ);
    if (failure !== OK) return failure;
    if (front.contact === 'lost') return EIO;
    if (front.link !== 'open') this.#open(front);
    else if (front.fetching === 0) {
      front.fetching = this.#ask(front, DEV_READ, {
        offset: front.fetchAt ?? 0,
        length: Math.min(length, MAX_RIDING_BYTES),
      });
    }
    return SUSPENDED;
  }

  /** Asked again by the same caller with the same bytes, it is the same write. @returns bytes taken, a status, or SUSPENDED. */
  write(number: number, caller: number, data: Uint8Array, isAtOnce = false): number {
    const front = this.#fronts.get(number);
    if (front === undefined) return ENODEV;
    const { writing } = front;
    if (writing !== null && writing.caller === caller && writing.outcome !== null) {
      front.writing = null;
      if (writing.length === data.length) return writing.outcome;
    }
    if (data.length === 0) return 0;
    const failure = front.failureOf(DEV_OPEN);
    if (failure !== OK) return failure;
    if (front.contact === 'lost') return EIO;
    if (front.writing !== null) return SUSPENDED;
    if (front.link !== 'open') {
      this.#open(front);
      return SUSPENDED;
    }
    const flags = isAtOnce ? DEVICE_AT_ONCE : 0;
    const request = this.#ask(front, DEV_WRITE, { offset: front.writeAt, flags }, data);
    front.writing = { caller, length: data.length, outcome: null, request };
    return SUSPENDED;
  }

  // ── the back end's answers

  /** Of container `index`, which the caller vouches for. */
  reply(index: number, reply: DeviceReply, data: Uint8Array): void {
    const front = [...this.#fronts.values()].find((each) => each.index === index && each.id === reply.device);
    if (front === undefined || front.contact !== 'heard') return;
    if (reply.kind === DEV_OPEN && reply.request === front.opening) this.#hasOpened(front, reply);
    else if (reply.kind === DEV_READ && reply.request === front.fetching)
      this.#hasFetched(front, reply, data);
    else if (reply.kind === DEV_WRITE && reply.request === front.writing?.request) {
      this.#hasWritten(front, front.writing, reply);
    }
  }

  #hasOpened(front: Front, { status, readAt, writeAt }: DeviceReply): void {
    front.opening = 0;
    if (status !== OK) {
      front.link = 'closed';
      this.#tell(front, { kind: DEV_OPEN, status: status < OK ? status : EIO });
      return;
    }
    front.link = 'open';
    front.fetchAt = Math.max(front.fetchAt ?? 0, readAt);
    const { writing } = front;
    if (writing !== null && writing.outcome === null) {
      // Asked under another home, its answer was lost; what it has taken shows here.
      const taken = Math.min(writeAt - front.writeAt, writing.length);
      if (taken > 0 && writing.caller !== NOBODY) writing.outcome = taken;
      else front.writing = null;
    }
    front.writeAt = writeAt;
    this.#tell(front, null);
    // Whoever asked for it is gone.
    if (front.users === 0) this.#release(front);
  }

  #hasFetched(front: Front, { status }: DeviceReply, data: Uint8Array): void {
    front.fetching = 0;
    if (status === OK && data.length > 0) {
      front.buffer = data.slice();
      front.fetchAt = (front.fetchAt ?? 0) + data.length;
    } else if (status === OK) front.hasEnded = true;
    else if (status === EINVAL) front.link = 'closed';
    this.#tell(front, status === OK ? null : { kind: DEV_READ, status });
  }

  #hasWritten(front: Front, writing: Writing, { status, writeAt }: DeviceReply): void {
    const taken = writeAt - front.writeAt;
    if (taken > 0 && taken <= writing.length) {
      front.writeAt = writeAt;
      writing.outcome = taken;
    } else {
      if (status === EINVAL) front.link = 'closed';
      writing.outcome = status < OK ? status : EIO;
    }
    if (writing.caller === NOBODY) front.writing = null;
    this.#tell(front, null);
  }

  #tell(front: Front, failure: Front['failure']): void {
    front.failure = failure;
    this.host.changed(front.number);
    front.failure = null;
  }

  // ── requests

  #open(front: Front): void {
    if (front.link !== 'closed' || front.contact !== 'heard') return;
    front.link = 'opening';
    front.opening = this.#ask(front, DEV_OPEN, { flags: front.fetchAt === null ? DEVICE_AFRESH : 0 });
  }

  /** Nobody uses it any more. */
  #release(front: Front): void {
    front.users = 0;
    front.isExclusive = false;
    front.link = 'closed';
    front.buffer = NOTHING;
    front.fetchAt = null;
    front.hasEnded = false;
    front.writing = null;
    front.opening = 0;
    front.fetching = 0;
    if (front.contact === 'heard') this.#ask(front, DEV_CLOSE);
  }

  /** @returns the request's number. */
  #ask(
    { index, id }: Front,
    kind: number,
    { flags = 0, offset = 0, length = 0 }: { flags?: number; offset?: number; length?: number } = {},
    data: Uint8Array = NOTHING,
  ): number {
    const request = this.#nextRequest;
    this.#nextRequest = request >= 0x7fff_ffff ? 1 : request + 1;
    this.host.send(index, { kind, device: id, request, flags, offset, length }, data);
    return request;
  }
}
