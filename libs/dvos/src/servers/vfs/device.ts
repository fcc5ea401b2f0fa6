/** Character devices of the file tree: their numbers, and what answers behind them (MINIX's dmap). */

import {
  DEVICE_CLOCK,
  DEVICE_FULL,
  DEVICE_NULL,
  DEVICE_RANDOM,
  DEVICE_TTY,
  DEVICE_ZERO,
} from './device-numbers.js';
import { ENODEV, ENOSPC, EPERM } from './status.js';

const encoder = new TextEncoder();

/** What VFS asks of TTY: like MINIX's driver protocol, but a call, since both are servers of the home container. */
export interface TerminalDriver {
  /** `minor` is line * 2 + (0 stdout, 1 stderr). @returns bytes taken, or a negative status. */
  write(minor: number, bytes: Uint8Array): number;
}

export interface DeviceDrivers {
  terminal: TerminalDriver;
  /** Fills the bytes with randomness: VFS has none of its own. */
  random(target: Uint8Array): void;
}

/** @param nowMs since 1970. @returns bytes read into `target`, 0 at the end, or a negative status. */
export function readDevice(
  drivers: DeviceDrivers,
  device: number,
  target: Uint8Array,
  nowMs: number,
): number {
  switch (device) {
    case DEVICE_NULL:
    case DEVICE_TTY:
      return 0;
    case DEVICE_ZERO:
    case DEVICE_FULL:
      target.fill(0);
      return target.length;
    case DEVICE_RANDOM:
      drivers.random(target);
      return target.length;
    case DEVICE_CLOCK:
      return encoder.encodeInto(`${new Date(nowMs).toISOString()}\n`, target).written;
    default:
      return ENODEV;
  }
}

export function writeDevice(
  drivers: DeviceDrivers,
  device: number,
  minor: number,
  bytes: Uint8Array,
): number {
  switch (device) {
    case DEVICE_NULL:
    case DEVICE_ZERO:
    case DEVICE_RANDOM:
      return bytes.length;
    case DEVICE_TTY:
      return drivers.terminal.write(minor, bytes);
    case DEVICE_FULL:
      return ENOSPC;
    case DEVICE_CLOCK:
      return EPERM;
    default:
      return ENODEV;
  }
}
