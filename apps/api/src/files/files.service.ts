import { randomUUID } from 'node:crypto';
import { posix } from 'node:path';
import { DrvsError, type FileStat } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { AuditService } from '../audit/audit.service.js';
import type { Actor } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database } from '../database/database.js';
import type { DrvmRow } from '../drvms/drvm-view.js';
import { HomeService } from '../processes/home.service.js';

/** Files travel in pieces of this size, one at a time, so that neither end's memory holds more. */
const PIECE_BYTES = 1_048_576;
const GIB = 1_073_741_824;

export interface UploadRequest {
  path: string;
  /** Make the directories above it. */
  parents: boolean;
  mode: number;
  /** What the client says that will come; null when it does not. */
  announcedBytes: number | null;
}

/** The files of a DRVM. */
@Injectable()
export class FilesService {
  constructor(
    private readonly home: HomeService,
    private readonly database: Database,
    private readonly audit: AuditService,
  ) {}

  async list(actor: Actor, drvm: string, path: string): Promise<FileStat[]> {
    return (await this.home.call(await this.#readable(actor, drvm), 'file.list', { path })).result;
  }

  async stat(actor: Actor, drvm: string, path: string): Promise<FileStat> {
    return (await this.home.call(await this.#readable(actor, drvm), 'file.stat', { path })).result;
  }

  /**
   * The bytes of a file, piece after piece, each fetched when the one before has been taken. The first is fetched
   * before this answers, so that an error about the file can still be told.
   */
  async read(
    actor: Actor,
    drvm: string,
    path: string,
    signal: AbortSignal,
  ): Promise<AsyncGenerator<Uint8Array>> {
    const found = await this.#readable(actor, drvm);
    const fetch = (offset: number) =>
      this.home.call(found, 'file.read', { path, offset, length: PIECE_BYTES }, { signal });
    const first = await fetch(0);
    async function* pieces(): AsyncGenerator<Uint8Array> {
      let piece = first;
      for (let offset = 0; ; piece = await fetch(offset)) {
        if (piece.body.length > 0) yield piece.body;
        offset += piece.body.length;
        if (piece.result.eof || piece.body.length === 0) return;
      }
    }
    return pieces();
  }

  /**
   * Writes a file. It goes to a name of its own beside the file and takes the file's name when it is whole: whoever
   * reads meanwhile sees the old file, and an upload that breaks off leaves nothing.
   *
   * @throws DrvsError PayloadTooLarge when it is larger than the DRVM's disk
   */
  async write(
    actor: Actor,
    drvm: string,
    { path, parents, mode, announcedBytes }: UploadRequest,
    source: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<FileStat> {
    const found = await this.#writable(actor, drvm);
    const limit = diskBytes(found);
    requireFits(announcedBytes ?? 0, limit, found.name);
    const draft = posix.join(posix.dirname(path), `.${posix.basename(path).slice(0, 100)}.${randomUUID()}`);
    try {
      let size = 0;
      for await (const piece of inPieces(source)) {
        signal.throwIfAborted();
        requireFits(size + piece.length, limit, found.name);
        await this.home.call(
          found,
          'file.write',
          { path: draft, offset: size, parents: parents && size === 0, mode },
          { body: piece, signal },
        );
        size += piece.length;
      }
      await this.home.call(found, 'file.rename', { from: draft, to: path }, { signal });
    } catch (error) {
      await this.home.call(found, 'file.remove', { path: draft }).catch(() => undefined);
      throw error;
    }
    await this.#record(actor, found, 'file.write', { path });
    return (await this.home.call(found, 'file.stat', { path })).result;
  }

  async makeDirectory(actor: Actor, drvm: string, path: string, parents: boolean): Promise<FileStat> {
    const found = await this.#writable(actor, drvm);
    await this.home.call(found, 'file.makeDirectory', { path, parents });
    return (await this.home.call(found, 'file.stat', { path })).result;
  }

  async rename(actor: Actor, drvm: string, from: string, to: string): Promise<FileStat> {
    const found = await this.#writable(actor, drvm);
    await this.home.call(found, 'file.rename', { from, to });
    await this.#record(actor, found, 'file.rename', { from, to });
    return (await this.home.call(found, 'file.stat', { path: to })).result;
  }

  async remove(actor: Actor, drvm: string, path: string, recursive: boolean): Promise<void> {
    const found = await this.#writable(actor, drvm);
    await this.home.call(found, 'file.remove', { path, recursive });
    await this.#record(actor, found, 'file.remove', { path });
  }

  #readable(actor: Actor, drvm: string): Promise<DrvmRow> {
    requirePermission(actor, 'file:read');
    return this.home.find(actor, drvm);
  }

  #writable(actor: Actor, drvm: string): Promise<DrvmRow> {
    requirePermission(actor, 'file:write');
    return this.home.find(actor, drvm);
  }

  #record(
    actor: Actor,
    { name, tenantId }: DrvmRow,
    action: string,
    details: Record<string, string>,
  ): Promise<void> {
    return this.database.system((tx) =>
      this.audit.append(tx, actor, action, `drvm/${name}`, tenantId, details),
    );
  }
}

/** The home container keeps all files, on its slice's disk. */
const diskBytes = ({ slices }: DrvmRow): number => (slices[0]?.diskGiB ?? 0) * GIB;

function requireFits(bytes: number, limit: number, drvm: string): void {
  if (bytes <= limit) return;
  throw new DrvsError(
    'PayloadTooLarge',
    `${drvm} has ${limit} bytes of disk, the file needs ${bytes} or more`,
    {
      hint: 'Give the DRVM more disk, or a smaller file.',
      details: { limit },
    },
  );
}

/** Bytes as they come, gathered to pieces of PIECE_BYTES; one empty piece when there are none. */
export async function* inPieces(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let gathered: Uint8Array[] = [];
  let bytes = 0;
  let isEmpty = true;
  for await (let chunk of source) {
    while (bytes + chunk.length >= PIECE_BYTES) {
      const room = PIECE_BYTES - bytes;
      yield joined([...gathered, chunk.subarray(0, room)]);
      isEmpty = false;
      chunk = chunk.subarray(room);
      gathered = [];
      bytes = 0;
    }
    if (chunk.length === 0) continue;
    gathered.push(chunk);
    bytes += chunk.length;
  }
  if (bytes > 0 || isEmpty) yield joined(gathered);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
