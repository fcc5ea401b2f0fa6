/** Devices of hosts that the DRVM has been given (MINIX's device.c). */
import {
  DEV_ANNOUNCE,
  DEV_REPLY,
  DeviceAnnouncement,
  DeviceRegistry,
  type DevicesHandover,
  EAGAIN,
  type Endpoint,
  FIRST_ATTACHED_DEVICE,
  Message,
  putRequest,
  readReply,
  SUSPENDED,
  SYSTASK,
} from '@drvs/drvmm-core';
import { FD_NONBLOCK } from '../../calls.js';
import type { ServerPort } from '../server.js';
import type { Filp } from './filedes.js';

/** Whether an inode's device is one that a host has, and not one of every DRVM's own. */
export function isAttached(device: number): boolean {
  return device >= FIRST_ATTACHED_DEVICE;
}

/** A call of a process that waits for a device. Nothing of it is done until it can be done. */
export interface WaitingCall {
  readonly caller: Endpoint;
  readonly device: number;
  readonly message: Message;
  readonly data: Uint8Array;
}

export interface AttachedDevicesHost {
  readonly port: ServerPort;
  plugged(device: number, name: string): void;
  unplugged(device: number, name: string): void;
  /** Makes the call again. @returns whether it has been answered. */
  again(call: WaitingCall): boolean;
}

/**
 * VFS's hand on devices whose back ends are drivers on other nodes, or on this one: what processes ask is asked of the
 * registry, and asked again whenever that says that something has changed.
 *
 *   process ──READ──▶ VFS ──▶ DeviceRegistry ──DEV_READ──▶ system task of the node ──▶ host
 *           ◀─────────────── again ◀── changed ◀─DEV_REPLY─┘
 */
export class AttachedDevices {
  readonly #host: AttachedDevicesHost;
  #registry: DeviceRegistry;
  /** One per process at most, in order of arrival. */
  readonly #waiting = new Map<Endpoint, WaitingCall>();
  readonly #message = new Message();

  constructor(host: AttachedDevicesHost) {
    this.#host = host;
    this.#registry = this.#makeRegistry();
  }

  #makeRegistry(handover?: DevicesHandover): DeviceRegistry {
    const { port } = this.#host;
    return new DeviceRegistry(
      {
        send: (index, request, data) => {
          putRequest(this.#message, request);
          port.post(SYSTASK(index), this.#message, data);
        },
        plugged: (device, _index, name) => this.#host.plugged(device, name),
        unplugged: (device, _index, name) => this.#host.unplugged(device, name),
        changed: (device) => this.#changed(device),
      },
      handover,
    );
  }

  // ── from the containers

  /** @returns whether the message was about devices. */
  take(message: Message, data: Uint8Array): boolean {
    const { type, source } = message;
    if (type !== DEV_REPLY && type !== DEV_ANNOUNCE) return false;
    const index = SYSTASK(0) - source;
    // Processes have no such call.
    if (index < 0) return false;
    if (type === DEV_REPLY) this.#registry.reply(index, readReply(message), data);
    else {
      const announcement = DeviceAnnouncement.safeParse(parse(data));
      if (announcement.success) this.#registry.announce(index, announcement.data);
      else console.error(`container ${index} announces devices that are none: ${announcement.error.message}`);
    }
    return true;
  }

  nodeLost(index: number): void {
    this.#registry.nodeLost(index);
  }

  nodeLeft(index: number): void {
    this.#registry.nodeLeft(index);
  }

  #changed(device: number): void {
    // What one gets may be what the next one waited for.
    for (let isDone = true; isDone; ) {
      isDone = false;
      for (const call of [...this.#waiting.values()]) {
        if (call.device !== device || !this.#host.again(call)) continue;
        this.#waiting.delete(call.caller);
        isDone = true;
      }
    }
  }

  // ── from processes

  /** @returns OK: then it is to be installed; a status; or SUSPENDED. */
  open(device: number, isExclusive: boolean, request: Message, data: Uint8Array): number {
    const status = this.#registry.open(device, isExclusive);
    if (status === SUSPENDED) this.#wait(device, request, data);
    return status;
  }

  /** Whether it cannot be opened now by one who does not wait: then why. */
  refusal(device: number): number {
    const status = this.#registry.open(device, false);
    return status === SUSPENDED ? 0 : status;
  }

  opened(device: number, isExclusive: boolean): void {
    this.#registry.opened(device, isExclusive);
  }

  reopened(device: number): void {
    this.#registry.reopened(device);
  }

  closed(device: number): void {
    this.#registry.closed(device);
  }

  /** @returns the bytes, which are the caller's until the next call; 0, a status, or SUSPENDED. */
  read({ inode, flags }: Filp, length: number, request: Message, data: Uint8Array): Uint8Array | number {
    const outcome = this.#registry.read(inode.device, length);
    if (outcome !== SUSPENDED) return outcome;
    if (flags & FD_NONBLOCK) return EAGAIN;
    this.#wait(inode.device, request, data);
    return SUSPENDED;
  }

  write({ inode, flags }: Filp, request: Message, data: Uint8Array): number {
    const isAtOnce = (flags & FD_NONBLOCK) !== 0;
    const outcome = this.#registry.write(inode.device, request.source, data, isAtOnce);
    if (outcome === SUSPENDED) this.#wait(inode.device, request, data);
    return outcome;
  }

  /** @returns bytes that can be read at once, or SUSPENDED when there are none yet. */
  readable(device: number): number {
    return this.#registry.readable(device);
  }

  #wait(device: number, request: Message, data: Uint8Array): void {
    if (this.#waiting.has(request.source)) return;
    const message = new Message();
    message.copyFrom(request);
    this.#waiting.set(request.source, { caller: request.source, device, message, data: data.slice() });
  }

  /** `caller` waits no longer. */
  gone(caller: Endpoint): void {
    this.#waiting.delete(caller);
    this.#registry.gone(caller);
  }

  // ── home moves

  /** Those who wait are given back: they ask again, here or where home is then. */
  putBack(): void {
    for (const { caller, message, data } of this.#waiting.values())
      this.#host.port.putBack(caller, message, data);
    this.#waiting.clear();
  }

  handover(): DevicesHandover {
    return this.#registry.handover();
  }

  restore(handover: DevicesHandover): void {
    this.#registry = this.#makeRegistry(handover);
  }
}

function parse(data: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(data).toString('utf8'));
  } catch {
    return undefined;
  }
}
