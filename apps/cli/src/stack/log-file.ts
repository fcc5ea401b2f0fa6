/** Logs of the parts: written by the parts themselves (so that they go on when their supervisor dies), kept bounded by it. */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { copyFile, stat, truncate } from 'node:fs/promises';

/** A log larger than this is copied to NAME.1 (replacing the one before) and begun again. */
const LOG_BYTES_MAX = 16 * 1024 * 1024;

/** Opened for appending: after truncation a writer goes on at the beginning. */
export const openLog = (path: string): number => openSync(path, 'a', 0o640);

export async function rotate(path: string): Promise<void> {
  const size = (await stat(path).catch(() => null))?.size ?? 0;
  if (size <= LOG_BYTES_MAX) return;
  await copyFile(path, `${path}.1`);
  await truncate(path, 0);
}

const TAIL_BYTES = 16 * 1024;

/** The last lines of a log, for an error message. */
export function tail(path: string, lines: number, since = 0): string {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return '';
  }
  try {
    const { size } = statSync(path);
    const from = Math.max(size < since ? 0 : since, size - TAIL_BYTES);
    const buffer = Buffer.alloc(Math.max(0, size - from));
    const read = readSync(file, buffer, 0, buffer.length, from);
    return buffer.subarray(0, read).toString('utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } finally {
    closeSync(file);
  }
}

export function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    return 0;
  }
}
