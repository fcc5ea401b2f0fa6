/** args_*, environ_*: answered from the kernel's record of the process. */
import type { Caller } from '../kernel/caller.js';
import { ERRNO } from './errno.js';
import { isInside } from './guest-memory.js';

/** Bytes of the strings with a zero after each. */
function bytesOf(strings: readonly string[]): number {
  let bytes = 0;
  for (const text of strings) bytes += Buffer.byteLength(text) + 1;
  return bytes;
}

function sizes(c: Caller, strings: readonly string[], count: number, bytes: number): number {
  if (!isInside(c, count, 4) || !isInside(c, bytes, 4)) return ERRNO.FAULT;
  const view = c.view();
  view.setUint32(count >>> 0, strings.length, true);
  view.setUint32(bytes >>> 0, bytesOf(strings), true);
  return ERRNO.SUCCESS;
}

function put(c: Caller, strings: readonly string[], pointers: number, buffer: number): number {
  const total = bytesOf(strings);
  if (!isInside(c, pointers, strings.length * 4) || !isInside(c, buffer, total)) return ERRNO.FAULT;
  const view = c.view();
  const bytes = c.bytes();
  const memory = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = buffer >>> 0;
  let pointer = pointers >>> 0;
  for (const text of strings) {
    view.setUint32(pointer, at, true);
    pointer += 4;
    at += memory.write(text, at, 'utf8');
    memory[at++] = 0;
  }
  return ERRNO.SUCCESS;
}

export function args_sizes_get(c: Caller, count: number, bytes: number): number {
  return sizes(c, c.args, count, bytes);
}

export function args_get(c: Caller, pointers: number, buffer: number): number {
  return put(c, c.args, pointers, buffer);
}

export function environ_sizes_get(c: Caller, count: number, bytes: number): number {
  return sizes(c, c.env, count, bytes);
}

export function environ_get(c: Caller, pointers: number, buffer: number): number {
  return put(c, c.env, pointers, buffer);
}
