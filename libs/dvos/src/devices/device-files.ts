import { close, constants, fstat, open, read, write } from 'node:fs';
import {
  DeviceBackEnd,
  type DeviceReply,
  EACCES,
  EAGAIN,
  EBUSY,
  EINVAL,
  EIO,
  ENODEV,
  ENOSPC,
  ENXIO,
  EPERM,
  MAX_RIDING_BYTES,
  OK,
} from '@drvs/drvmm-core';

const { O_NOCTTY, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = constants;
/** As much as may be done with it: a sensor may be read only, a printer written only. */
const ACCESSES = [O_RDWR, O_RDONLY, O_WRONLY] as const;

/** What programs are told of a failure of the host. */
const STATUSES: Readonly<Record<string, number>> = {
  EACCES,
  EAGAIN,
  EBUSY,
  EINVAL,
  ENODEV,
  // Its file is gone, and so is the device.
  ENOENT: ENODEV,
  ENOSPC,
  ENXIO,
  EPERM,
};

const statusOf = ({ code = '' }: NodeJS.ErrnoException): number => STATUSES[code] ?? EIO;

/**
 * Back ends over character devices and FIFOs of this host. They are opened so that neither reading nor writing waits:
 * the host says EAGAIN and is asked again, which costs nothing while nobody wants anything of the device.
 */
export class DeviceFiles {
  readonly backEnd: DeviceBackEnd;
  readonly #descriptors = new Map<number, { fd: number; room: Buffer }>();

  constructor(reply: (reply: DeviceReply, data: Uint8Array) => void) {
    this.backEnd = new DeviceBackEnd({
      open: (device, path) => this.#open(device, path, 0),
      read: (device, length) => this.#read(device, length),
      write: (device, bytes) => this.#write(device, bytes),
      close: (device) => this.#close(device),
      wakeLater: (device, ms) => void setTimeout(() => this.backEnd.due(device), ms).unref(),
      reply,
    });
  }

  #open(device: number, path: string, attempt: number): void {
    open(path, ACCESSES[attempt]! | O_NONBLOCK | O_NOCTTY, (error, fd) => {
      if (error === null) {
        this.#check(device, fd);
        return;
      }
      const mayElse = error.code === 'EACCES' || error.code === 'EROFS';
      if (mayElse && attempt + 1 < ACCESSES.length) this.#open(device, path, attempt + 1);
      else this.backEnd.hasOpened(device, statusOf(error));
    });
  }

  /** Asked of the open file, not of the path, behind which there may be another one by then. */
  #check(device: number, fd: number): void {
    fstat(fd, (error, stat) => {
      if (error === null && (stat.isCharacterDevice() || stat.isFIFO())) {
        this.#descriptors.set(device, { fd, room: Buffer.alloc(MAX_RIDING_BYTES) });
        this.backEnd.hasOpened(device, OK);
        return;
      }
      close(fd, () => this.backEnd.hasOpened(device, error === null ? ENODEV : statusOf(error)));
    });
  }

  #read(device: number, length: number): void {
    const { fd, room } = this.#descriptors.get(device)!;
    read(fd, room, 0, length, null, (error, count) => {
      // A copy: the room is used again.
      this.backEnd.hasRead(
        device,
        error === null ? Uint8Array.from(room.subarray(0, count)) : statusOf(error),
      );
    });
  }

  #write(device: number, bytes: Uint8Array): void {
    const { fd } = this.#descriptors.get(device)!;
    write(fd, bytes, 0, bytes.length, null, (error, count) => {
      this.backEnd.hasWritten(device, error === null ? count : statusOf(error));
    });
  }

  #close(device: number): void {
    const descriptor = this.#descriptors.get(device);
    if (descriptor === undefined) return;
    this.#descriptors.delete(device);
    close(descriptor.fd, (error) => {
      if (error !== null) console.error(`closing device ${device}: ${error.message}`);
    });
  }
}
