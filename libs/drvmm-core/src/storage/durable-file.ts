import {
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { DrvsError, type ErrorCode } from '@drvs/contracts';
import type { z } from 'zod';

const DAMAGED = {
  code: 'Internal',
  hint: 'Restore it from a backup. Where there is none, remove what it belongs to and make that again.',
} as const;

/**
 * Replaces a file as a whole: after a crash it holds the old contents or the new, never a part. The new ones are on
 * the disk when this returns (the file is flushed before the rename, the folder after it).
 */
export function writeDurably(
  path: string,
  contents: string | Uint8Array,
  { mode = 0o600, owner }: { mode?: number; owner?: { uid: number; gid: number } } = {},
): void {
  const temporary = `${path}.new`;
  const fd = openSync(temporary, 'w', mode);
  try {
    const bytes = typeof contents === 'string' ? Buffer.from(contents) : contents;
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    fchmodSync(fd, mode);
    if (owner) fchownSync(fd, owner.uid, owner.gid);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
  const folder = openSync(dirname(path), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/**
 * The parsed file, or null when there is none.
 * @param damaged with which code, and with what to do, one that cannot be read is refused
 * @throws DrvsError that names the file when it is damaged
 */
export function readJson<T>(
  path: string,
  schema: z.ZodType<T>,
  damaged: { code: ErrorCode; hint: string } = DAMAGED,
): T | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    const { code, hint } = damaged;
    throw new DrvsError(code, `${path} is damaged: ${(error as Error).message}`, { hint, cause: error });
  }
}
