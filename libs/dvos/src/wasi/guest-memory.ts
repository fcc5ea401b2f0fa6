/**
 * Reading and writing what a guest points to. Addresses and lengths come from the guest and are hostile: every one is
 * checked here against the memory as it is now, before anything is touched.
 */
import { MAX_RIDING_BYTES } from '@drvs/drvmm-core';
import type { Caller } from '../kernel/caller.js';
import { ERRNO } from './errno.js';

/** Vectors of one read or write (IOV_MAX of Linux). */
export const IOV_MAX = 1024;
const IOV_BYTES = 8;
const NANOS_PER_MS = 1_000_000;
const TWO_32 = 2 ** 32;

/** Where requests are put together: one for the thread, used up within each call. */
export const staging = new Uint8Array(MAX_RIDING_BYTES);

/** Whether `length` bytes at the address are all memory. */
export function isInside(caller: Caller, address: number, length: number): boolean {
  return (address >>> 0) + (length >>> 0) <= caller.bytes().length;
}

/**
 * Checks a vector array and all it names.
 * @returns the bytes in all, or a negative WASI errno.
 */
export function vectorLength(caller: Caller, vectors: number, count: number): number {
  const size = caller.bytes().length;
  const start = vectors >>> 0;
  const length = count >>> 0;
  if (length > IOV_MAX) return -ERRNO.INVAL;
  if (start + length * IOV_BYTES > size) return -ERRNO.FAULT;
  const view = caller.view();
  let total = 0;
  for (let i = 0; i < length; i++) {
    const address = view.getUint32(start + i * IOV_BYTES, true);
    const bytes = view.getUint32(start + i * IOV_BYTES + 4, true);
    if (address + bytes > size) return -ERRNO.FAULT;
    total += bytes;
  }
  return total > 0x7fff_ffff ? -ERRNO.INVAL : total;
}

/**
 * Up to MAX_RIDING_BYTES of what checked vectors name, from `skip` on. A single piece is a view of the guest's
 * memory, several are copied to `staging`.
 */
export function gather(caller: Caller, vectors: number, count: number, skip: number): Uint8Array {
  const bytes = caller.bytes();
  const view = caller.view();
  const start = vectors >>> 0;
  let left = skip;
  let filled = 0;
  for (let i = 0; i < count; i++) {
    const address = view.getUint32(start + i * IOV_BYTES, true);
    const length = view.getUint32(start + i * IOV_BYTES + 4, true);
    if (left >= length) {
      left -= length;
      continue;
    }
    const from = address + left;
    const piece = Math.min(length - left, MAX_RIDING_BYTES - filled);
    left = 0;
    if (filled === 0 && (i === count - 1 || piece === MAX_RIDING_BYTES))
      return bytes.subarray(from, from + piece);
    if (piece <= 64) for (let k = 0; k < piece; k++) staging[filled + k] = bytes[from + k]!;
    else staging.set(bytes.subarray(from, from + piece), filled);
    filled += piece;
    if (filled === MAX_RIDING_BYTES) break;
  }
  return staging.subarray(0, filled);
}

/** Puts bytes where checked vectors say, from `skip` on. */
export function scatter(
  caller: Caller,
  vectors: number,
  count: number,
  skip: number,
  data: Uint8Array,
): void {
  const bytes = caller.bytes();
  const view = caller.view();
  const start = vectors >>> 0;
  let left = skip;
  let done = 0;
  for (let i = 0; i < count && done < data.length; i++) {
    const address = view.getUint32(start + i * IOV_BYTES, true);
    const length = view.getUint32(start + i * IOV_BYTES + 4, true);
    if (left >= length) {
      left -= length;
      continue;
    }
    const piece = Math.min(length - left, data.length - done);
    const target = address + left;
    if (piece <= 64) for (let k = 0; k < piece; k++) bytes[target + k] = data[done + k]!;
    else bytes.set(data.subarray(done, done + piece), target);
    done += piece;
    left = 0;
  }
}

/** A whole number below 2^53 as u64. */
export function setSize(view: DataView, address: number, value: number): void {
  view.setUint32(address, value % TWO_32, true);
  view.setUint32(address + 4, Math.floor(value / TWO_32), true);
}

/** Milliseconds (with fraction) and nanoseconds as a u64 of nanoseconds, exactly: a double has too few bits for it. */
export function setNanos(view: DataView, address: number, ms: number, nanos = 0): void {
  const whole = Math.floor(ms);
  const high = Math.floor(whole / TWO_32);
  const low = (whole % TWO_32) * NANOS_PER_MS + Math.floor((ms - whole) * NANOS_PER_MS) + nanos;
  view.setUint32(address, low % TWO_32, true);
  view.setUint32(address + 4, high * NANOS_PER_MS + Math.floor(low / TWO_32), true);
}

/** A u64 argument as a number, -1 when it is beyond what a number holds exactly. */
export function toSize(value: bigint): number {
  const unsigned = BigInt.asUintN(64, value);
  return unsigned <= 0x1f_ffff_ffff_ffffn ? Number(unsigned) : -1;
}

/** Nanoseconds (u64) as milliseconds with fraction: for durations, where the last digits do not matter. */
export function toMs(nanos: bigint): number {
  return Number(BigInt.asUintN(64, nanos)) / NANOS_PER_MS;
}
