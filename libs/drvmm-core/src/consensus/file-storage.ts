import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type LogFile, type RecoveredLog, recoverLog, type StorageOperation } from './durable-log.js';
import { type ReplicaId } from './log-entry.js';
import { numberOfLogFile } from './log-record.js';

/**
 * A replica's log in a folder of the host: does what DurableLog asks for. Group commit is DurableLog's: what comes
 * while a sync is under way goes with the next.
 */
export class FileStorage {
  readonly #folder: string;
  readonly #open = new Map<string, FileHandle>();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Opens the folder, which is made if need be, and repairs what a crash left.
   * @throws LogCorrupt
   */
  static async open(
    folder: string,
    group: number,
    founders: readonly ReplicaId[],
  ): Promise<{ storage: FileStorage; recovered: RecoveredLog }> {
    await mkdir(folder, { recursive: true });
    const storage = new FileStorage(folder);
    const files: LogFile[] = [];
    for (const name of await readdir(folder)) {
      if (numberOfLogFile(name) !== null) files.push({ name, bytes: await readFile(join(folder, name)) });
    }
    const recovered = recoverLog(group, files, founders);
    for (const operation of recovered.repairs) await storage.#perform(operation);
    return { storage, recovered };
  }

  /**
   * False: there was no room; try again when there may be.
   * @throws any other failure: the replica must end, as nobody knows what is on disk.
   */
  async perform(operations: readonly StorageOperation[]): Promise<boolean> {
    try {
      for (const operation of operations) await this.#perform(operation);
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOSPC' || code === 'EDQUOT') return false;
      throw error;
    }
  }

  async close(): Promise<void> {
    const handles = [...this.#open.values()];
    this.#open.clear();
    for (const handle of handles) await handle.close();
  }

  async #perform(operation: StorageOperation): Promise<void> {
    switch (operation.kind) {
      case 'write': {
        const handle = await this.#handle(operation.file);
        const { bytes, at } = operation;
        for (let done = 0; done < bytes.length; ) {
          const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at + done);
          done += bytesWritten;
        }
        return;
      }
      case 'sync':
        // The length is synced too where it changed; times are not.
        await (await this.#handle(operation.file)).datasync();
        return;
      case 'truncate':
        await (await this.#handle(operation.file)).truncate(operation.length);
        return;
      case 'syncFolder': {
        const folder = await open(this.#folder, constants.O_RDONLY);
        try {
          await folder.sync();
        } finally {
          await folder.close();
        }
        return;
      }
      case 'remove': {
        await this.#open.get(operation.file)?.close();
        this.#open.delete(operation.file);
        await unlink(join(this.#folder, operation.file)).catch((error: NodeJS.ErrnoException) => {
          // Done before, and a crash or a full disk came in between.
          if (error.code !== 'ENOENT') throw error;
        });
        return;
      }
    }
  }

  async #handle(file: string): Promise<FileHandle> {
    let handle = this.#open.get(file);
    if (handle === undefined) {
      handle = await open(join(this.#folder, file), constants.O_RDWR | constants.O_CREAT, 0o600);
      this.#open.set(file, handle);
    }
    return handle;
  }
}
