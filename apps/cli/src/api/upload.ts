/** Files of this machine, put where a program inside the DRVM can open them. */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { DrvsError, type FileStat } from '@drvs/contracts';
import { Failure } from '../failure.js';
import type { ApiClient } from './client.js';

/** Uploaded programs and inputs, named by their content: the second run finds the first one's. */
const UPLOAD_FOLDER = '/tmp/run';
/** A first look keeps a text or a picture from travelling to the DRVM only to be refused there. */
const WASM_MAGIC = Buffer.from([0, 0x61, 0x73, 0x6d]);

export async function statInside(client: ApiClient, drvm: string, path: string): Promise<FileStat | null> {
  try {
    return await client.get<FileStat>(`${drvm}/files`, { query: { path, stat: true } });
  } catch (error) {
    if (error instanceof DrvsError && error.code === 'NotFound' && (await exists(client, drvm))) return null;
    throw error;
  }
}

/** Tells "no such file" from "no such DRVM", which have the same code. @throws when there is no such DRVM */
async function exists(client: ApiClient, drvm: string): Promise<boolean> {
  await client.get(drvm);
  return true;
}

export interface LocalFile {
  path: string;
  size: number;
  sha256: string;
}

export async function readLocalFile(path: string): Promise<LocalFile | null> {
  const info = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
    throw new Failure('FileUnreadable', `${path} cannot be read (${error.code})`);
  });
  if (info === null) return null;
  if (!info.isFile()) throw new Failure('NotAFile', `${path} is not a file`);
  const hash = createHash('sha256');
  let size = 0;
  try {
    for await (const chunk of createReadStream(path)) {
      hash.update(chunk as Buffer);
      size += (chunk as Buffer).length;
    }
  } catch (error) {
    throw new Failure('FileUnreadable', `${path} cannot be read: ${(error as Error).message}`);
  }
  return { path, size, sha256: hash.digest('hex') };
}

/** @throws DrvsError NotWebAssembly with what the file looks like instead */
export async function assertWebAssembly(path: string): Promise<void> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
    if (bytesRead === 4 && buffer.equals(WASM_MAGIC)) return;
    const looksLike = buffer.toString('latin1').startsWith('\x7fELF')
      ? 'it is a program for Linux (ELF)'
      : buffer.toString('latin1').startsWith('#!')
        ? 'it is a script'
        : bytesRead === 0
          ? 'it is empty'
          : 'it does not begin with \\0asm';
    throw new DrvsError('NotWebAssembly', `${path} is not a WebAssembly module: ${looksLike}`, {
      hint: 'Compile it for WASI preview 1, for instance with `clang --target=wasm32-wasi`.',
    });
  } finally {
    await file.close();
  }
}

/** Puts the file under its hash (unless it is there already) and returns its path inside. */
export async function upload(
  client: ApiClient,
  drvm: string,
  content: { size: number; sha256: string; bytes: () => Readable | Buffer },
  extension: string,
  signal?: AbortSignal,
): Promise<string> {
  const path = `${UPLOAD_FOLDER}/${content.sha256}${extension}`;
  const there = await statInside(client, drvm, path);
  if (there?.kind === 'file' && there.size === content.size) return path;
  // Renamed when whole: a run beside this one never starts half a program.
  const part = `${path}.${randomUUID()}.part`;
  try {
    await client.send('PUT', `${drvm}/files/content`, {
      query: { path: part, parents: true },
      bytes: content.bytes,
      signal,
    });
    await client.post(`${drvm}/files/rename`, { from: part, to: path }, { signal });
  } catch (error) {
    await client.delete(`${drvm}/files`, { query: { path: part }, retryMs: 0 }).catch(() => undefined);
    throw error;
  }
  return path;
}
