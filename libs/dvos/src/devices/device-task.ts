import type { GivenDevice } from '@drvs/contracts';
import {
  DEV_ANNOUNCE,
  type DeviceAnnouncement,
  type IpcKernel,
  Message,
  type Privileges,
  putReply,
  readRequest,
  SYSTASK,
  VFS,
} from '@drvs/drvmm-core';
import { DeviceFiles } from './device-files.js';

/** It answers VFS and speaks to nobody else. */
const PRIVILEGES: Privileges = { sendTo: new Set([VFS]), maySend: true, kernelCalls: false };

/**
 * The drivers of a container: its system task, which serves VFS, wherever home is, with the devices that this node has
 * given to the DRVM, and tells it which they are.
 */
export class DeviceTask {
  readonly #ipc: IpcKernel;
  readonly #files: DeviceFiles;
  readonly #life: string;
  /** By what the spec says of them. */
  readonly #plugged = new Map<string, { id: number; name: string }>();
  readonly #message = new Message();

  /** @param life names this process: another one begins with other devices. */
  constructor({ ipc, life }: { ipc: IpcKernel; life: string }) {
    this.#ipc = ipc;
    this.#life = life;
    const self = SYSTASK(ipc.index);
    this.#files = new DeviceFiles((reply, data) => {
      putReply(this.#message, reply);
      // To a home that is lost nothing is said: it asks again when it is back.
      ipc.post(self, VFS, this.#message, data);
    });
    ipc.bind(
      self,
      'server',
      {
        onMessage: (_self, message, data) => {
          if (message.source === VFS) this.#files.backEnd.request(readRequest(message), data);
        },
      },
      PRIVILEGES,
    );
  }

  /** These are what the DRVM has of this node from now on, and no others. */
  setDevices(nodeName: string, devices: readonly GivenDevice[]): void {
    const wanted = new Map(
      devices.map(({ key, name, path }) => [JSON.stringify([key, name, path]), { name, path }]),
    );
    for (const [given, { id }] of this.#plugged) {
      if (wanted.has(given)) continue;
      this.#plugged.delete(given);
      this.#files.backEnd.unplug(id);
    }
    for (const [given, { name, path }] of wanted) {
      if (this.#plugged.has(given)) continue;
      this.#plugged.set(given, { id: this.#files.backEnd.plug(path), name: `${nodeName}/${name}` });
    }
    this.announce();
  }

  /** Tells home what there is; to be called whenever another home, or home again, is heard. */
  announce(): void {
    const announcement: DeviceAnnouncement = { life: this.#life, devices: [...this.#plugged.values()] };
    this.#message.clear();
    this.#message.type = DEV_ANNOUNCE;
    this.#ipc.post(SYSTASK(this.#ipc.index), VFS, this.#message, Buffer.from(JSON.stringify(announcement)));
  }

  /** Closes all of them. */
  close(): void {
    for (const { id } of this.#plugged.values()) this.#files.backEnd.unplug(id);
    this.#plugged.clear();
  }
}
