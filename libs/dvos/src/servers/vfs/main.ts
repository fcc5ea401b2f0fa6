import { type Endpoint, type Message, NOTIFY_MESSAGE, SUSPENDED, VFS } from '@drvs/drvmm-core';
import type { Server, ServerPort } from '../server.js';
import { AttachedDevices } from './attached-devices.js';
import { VfsControl } from './control.js';
import type { DeviceDrivers } from './device.js';
import { unpackVfs, type VfsHandover } from './handover.js';
import { VfsState } from './state.js';
import { EBADCALL } from './status.js';
import type { FileStore } from './store.js';
import { table } from './table.js';

export interface VfsOptions {
  port: ServerPort;
  store: FileStore;
  devices: DeviceDrivers;
  /** Bytes that all files may occupy (the DRVM's disk). */
  limitBytes: number;
  /** What another home had open: this VFS goes on where that one stopped. */
  handover?: VfsHandover;
  /** A device of a host has come or gone. */
  onDevice?(isThere: boolean, path: string): void;
}

/**
 * VFS: the one file name space of a DRVM. Requests come from processes on any of its nodes; a process is known here
 * by its endpoint, which it keeps when it migrates, and so do its open files.
 *
 *   message ──▶ table[type] ──▶ open · read-write · link · stadir · protect · misc · select
 *                                   │ look-ups (path)        │ metadata             │ data
 *                                   ▼                        ▼                      ▼
 *                               descriptors (filedes)    InodeTree ◀─ replay ─  FileStore
 *                                                            └── record ──────────▶ (journal, pages)
 *
 * Everything is answered within `onMessage`, except what must be durable first, which is answered when it is, and what
 * waits for a device of a host: that is asked again when the device has something (attached-devices).
 */
export class VfsServer implements Server {
  readonly endpoint: Endpoint = VFS;
  readonly control: VfsControl;
  readonly #state: VfsState;

  /** Loads the tree. @throws DrvsError naming the file when what is stored is damaged. */
  constructor({ port, store, devices, limitBytes, handover, onDevice }: VfsOptions) {
    const attached = new AttachedDevices({
      port,
      again: ({ message, data }) => this.#serve(message, data),
      plugged: (device, name) => {
        const path = this.control.plug(device, name);
        if (path !== null) onDevice?.(true, path);
      },
      unplugged: (device, name) => {
        const path = this.control.unplug(device, name);
        if (path !== null) onDevice?.(false, path);
      },
    });
    this.#state = new VfsState(port, store, devices, attached, limitBytes);
    this.control = new VfsControl(this.#state);
    const { tree } = this.#state;
    store.load({
      apply: (record) => tree.apply(record),
      sizeOf: (inode) =>
        tree.get(inode)?.size ?? handover?.orphans.find(({ number }) => number === inode)?.size,
      takeAttributes: (take) => tree.takeAllAttributes(take),
      records: () => tree.records(),
    });
    if (handover !== undefined) unpackVfs(this.#state, handover);
    tree.onFreed = (inode) => store.discard(inode.number);
    this.control.makeSystemFiles();
    if (handover === undefined) this.control.clearAttached();
  }

  onMessage(message: Message, data: Uint8Array): void {
    if (message.type === NOTIFY_MESSAGE || this.#state.attached.take(message, data)) return;
    this.#serve(message, data);
  }

  /** @returns whether the call has been answered. */
  #serve(message: Message, data: Uint8Array): boolean {
    const state = this.#state;
    const { answer } = state;
    const { source } = message;
    answer.clear();
    state.ride = undefined;
    const process = state.processes.get(source);
    const call = table[message.type];
    const result = process && call ? call(state, process, message, data) : EBADCALL;
    if (result === SUSPENDED) return false;
    answer.type = result;
    state.port.reply(source, answer, state.ride);
    return true;
  }

  onCancelled(caller: Endpoint): void {
    this.#state.attached.gone(caller);
  }

  onGone(endpoint: Endpoint): void {
    this.control.detach(endpoint);
  }
}
