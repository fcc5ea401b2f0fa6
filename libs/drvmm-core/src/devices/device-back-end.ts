import { EAGAIN, EBADCALL, EINTR, EINVAL, ENODEV, OK } from '../ipc/errors.js';
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

/** A device that has nothing to read, or no room, is tried again so soon, then less and less often. */
const RETRY_FIRST_MS = 1;
const RETRY_MOST_MS = 25;

/**
 * What the back end has done for it. Each of open, read and write is answered by one call of the method of the same
 * name in the past tense; per device at most one of them is under way.
 */
export interface DeviceHost {
  open(device: number, path: string): void;
  /** At most `length` bytes; EAGAIN when there is nothing now. */
  read(device: number, length: number): void;
  /** `bytes` stay as they are until it is answered. EAGAIN when there is no room now. */
  write(device: number, bytes: Uint8Array): void;
  close(device: number): void;
  /** Calls `due(device)` once, later. */
  wakeLater(device: number, ms: number): void;
  reply(reply: DeviceReply, data: Uint8Array): void;
}

interface Held {
  readonly request: number;
  readonly flags: number;
  readonly length: number;
  readonly bytes: Uint8Array;
}

interface Device {
  readonly id: number;
  readonly path: string;
  isOpen: boolean;
  /** What the host is doing for it. */
  underWay: 'open' | 'read' | 'write' | null;
  isToClose: boolean;
  isWaking: boolean;
  retryMs: number;
  /** The last thing tried was to write: the next one is to read, where both are wanted. */
  hasTriedToWrite: boolean;
  /** Read and not yet known to have arrived: from `readAt` on. */
  kept: Uint8Array;
  readAt: number;
  writeAt: number;
  opening: Held | null;
  reading: Held | null;
  writing: Held | null;
}

const NOTHING = new Uint8Array(0);

/**
 * The back end of the devices of one container: what reads and writes them, for users that may be anywhere. It keeps
 * what it has read until it is asked for what comes after that, and counts what it has written; so whoever asks may be
 * replaced at any time by another who knows how far it came, and no byte is lost or done twice.
 *
 *     plug ──▶ closed ──OPEN──▶ open ──CLOSE──▶ closed          unplug, from anywhere: what is held gets ENODEV
 *                               READ, WRITE: held until something is there, or was taken
 *
 * It knows nothing of who its users are: that is the registry's part.
 */
export class DeviceBackEnd {
  readonly #devices = new Map<number, Device>();
  #nextId = 1;

  constructor(private readonly host: DeviceHost) {}

  /** @returns its number, which no other device gets. */
  plug(path: string): number {
    const id = this.#nextId++;
    this.#devices.set(id, {
      id,
      path,
      isOpen: false,
      underWay: null,
      isToClose: false,
      isWaking: false,
      retryMs: RETRY_FIRST_MS,
      hasTriedToWrite: false,
      kept: NOTHING,
      readAt: 0,
      writeAt: 0,
      opening: null,
      reading: null,
      writing: null,
    });
    return id;
  }

  unplug(id: number): void {
    const device = this.#devices.get(id);
    if (device === undefined) return;
    this.#devices.delete(id);
    for (const kind of [DEV_OPEN, DEV_READ, DEV_WRITE]) this.#end(device, kind, ENODEV);
    this.#close(device);
  }

  get open(): number {
    return [...this.#devices.values()].filter(({ isOpen }) => isOpen).length;
  }

  /** A request of home. `data` is copied. */
  request(asked: DeviceRequest, data: Uint8Array): void {
    const device = this.#devices.get(asked.device);
    const held = { request: asked.request, flags: asked.flags, length: asked.length, bytes: NOTHING };
    if (device === undefined) {
      if (asked.kind !== DEV_CLOSE && asked.kind !== DEV_CANCEL) this.#refuse(asked, ENODEV);
      return;
    }
    switch (asked.kind) {
      case DEV_OPEN:
        this.#opened(device, held);
        return;
      case DEV_CLOSE:
        for (const kind of [DEV_OPEN, DEV_READ, DEV_WRITE]) this.#end(device, kind, EINTR);
        this.#close(device);
        return;
      case DEV_READ:
        this.#read(device, asked, held);
        return;
      case DEV_WRITE:
        this.#write(device, asked, { ...held, bytes: data.slice() });
        return;
      case DEV_CANCEL:
        if (device.underWay !== 'write') this.#end(device, DEV_WRITE, EINTR);
        return;
      default:
        this.#refuse(asked, EBADCALL);
    }
  }

  // ── requests

  #opened(device: Device, held: Held): void {
    // Who asks has taken over: what another asked is answered to nobody.
    device.reading = null;
    device.writing = null;
    device.opening = held;
    this.#proceed(device);
  }

  #read(device: Device, asked: DeviceRequest, held: Held): void {
    const { offset, length } = asked;
    const isValid = offset >= device.readAt && offset <= device.readAt + device.kept.length;
    if (!isValid || !(length >= 1 && length <= MAX_RIDING_BYTES) || !device.isOpen) {
      this.#refuse(asked, EINVAL);
      return;
    }
    device.kept = device.kept.subarray(offset - device.readAt);
    device.readAt = offset;
    device.reading = held;
    device.retryMs = RETRY_FIRST_MS;
    this.#proceed(device);
  }

  #write(device: Device, asked: DeviceRequest, held: Held): void {
    const { offset } = asked;
    if (!device.isOpen || !(offset >= 0 && offset <= device.writeAt)) {
      this.#refuse(asked, EINVAL);
      return;
    }
    device.writing = {
      ...held,
      bytes: held.bytes.subarray(Math.min(device.writeAt - offset, held.bytes.length)),
    };
    device.retryMs = RETRY_FIRST_MS;
    if (device.writing.bytes.length === 0) this.#end(device, DEV_WRITE, OK);
    else this.#proceed(device);
  }

  /** Does what can be done next. */
  #proceed(device: Device): void {
    if (device.underWay !== null) return;
    const { opening, reading, writing } = device;
    if (opening !== null) {
      if (!device.isOpen) {
        device.underWay = 'open';
        this.host.open(device.id, device.path);
        return;
      }
      if (opening.flags & DEVICE_AFRESH) {
        device.readAt += device.kept.length;
        device.kept = NOTHING;
      }
      this.#end(device, DEV_OPEN, OK);
    }
    if (reading !== null && device.kept.length > 0) {
      this.#end(device, DEV_READ, OK, device.kept.subarray(0, reading.length));
    }
    if (device.isWaking) return;
    // In turns: what one waits for may be that the other is done.
    if (writing !== null && !(device.hasTriedToWrite && device.reading !== null)) {
      device.underWay = 'write';
      device.hasTriedToWrite = true;
      this.host.write(device.id, writing.bytes);
    } else if (device.reading !== null) {
      device.underWay = 'read';
      device.hasTriedToWrite = false;
      this.host.read(device.id, device.reading.length);
    }
  }

  #close(device: Device): void {
    device.isToClose = true;
    if (device.underWay !== null) return;
    device.isToClose = false;
    device.readAt += device.kept.length;
    device.kept = NOTHING;
    if (device.isOpen) this.host.close(device.id);
    device.isOpen = false;
  }

  // ── what the host has done

  /** @param status OK, or why it cannot be opened. */
  hasOpened(id: number, status: number): void {
    const device = this.#settled(id);
    if (device === undefined) {
      if (status === OK) this.host.close(id);
      return;
    }
    device.isOpen = status === OK;
    if (status !== OK) this.#end(device, DEV_OPEN, status);
    this.#goOn(device);
  }

  /** @param outcome the bytes, none at the end of the device; or a negative status. */
  hasRead(id: number, outcome: Uint8Array | number): void {
    const device = this.#settled(id);
    if (device === undefined) {
      this.host.close(id);
      return;
    }
    if (outcome === EAGAIN) this.#retry(device);
    else if (typeof outcome === 'number') this.#end(device, DEV_READ, outcome);
    else if (outcome.length === 0) this.#end(device, DEV_READ, OK);
    else device.kept = outcome;
    this.#goOn(device);
  }

  /** @param outcome bytes taken, or a negative status. */
  hasWritten(id: number, outcome: number): void {
    const device = this.#settled(id);
    if (device === undefined) {
      this.host.close(id);
      return;
    }
    if (outcome > 0) device.writeAt += outcome;
    const isHeld = outcome === EAGAIN && device.writing !== null && !(device.writing.flags & DEVICE_AT_ONCE);
    if (isHeld) this.#retry(device);
    else this.#end(device, DEV_WRITE, Math.min(outcome, OK));
    this.#goOn(device);
  }

  due(id: number): void {
    const device = this.#devices.get(id);
    if (device === undefined || !device.isWaking) return;
    device.isWaking = false;
    this.#proceed(device);
  }

  /** undefined: it was unplugged meanwhile. */
  #settled(id: number): Device | undefined {
    const device = this.#devices.get(id);
    if (device !== undefined) device.underWay = null;
    return device;
  }

  #goOn(device: Device): void {
    if (device.isToClose) this.#close(device);
    this.#proceed(device);
  }

  #retry(device: Device): void {
    device.isWaking = true;
    this.host.wakeLater(device.id, device.retryMs);
    device.retryMs = Math.min(device.retryMs * 2, RETRY_MOST_MS);
  }

  // ── answers

  /** Answers the request of this kind that is held, if one is. */
  #end(device: Device, kind: number, status: number, data: Uint8Array = NOTHING): void {
    const held = kind === DEV_OPEN ? device.opening : kind === DEV_READ ? device.reading : device.writing;
    if (held === null) return;
    if (kind === DEV_OPEN) device.opening = null;
    else if (kind === DEV_READ) device.reading = null;
    else device.writing = null;
    const { id, readAt, writeAt } = device;
    this.host.reply({ kind, device: id, request: held.request, status, readAt, writeAt }, data);
  }

  #refuse({ kind, device, request }: DeviceRequest, status: number): void {
    this.host.reply({ kind, device, request, status, readAt: 0, writeAt: 0 }, NOTHING);
  }
}
