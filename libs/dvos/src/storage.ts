import { randomFillSync } from 'node:crypto';
import { type DiskCounters, DrvsError } from '@drvs/contracts';
import { type Endpoint, OK, TTY, VFS } from '@drvs/drvmm-core';
import type { Server, ServerPort } from './servers/server.js';
import { HostOutputStore } from './servers/tty/host-output-store.js';
import { type TtyControl, TtyServer } from './servers/tty/main.js';
import type { VfsControl } from './servers/vfs/control.js';
import type { VfsHandover } from './servers/vfs/handover.js';
import { type FileChanges, HostFileStore } from './servers/vfs/host-store.js';
import { VfsServer } from './servers/vfs/main.js';

export interface StorageOptions {
  readonly dataFolder: string;
  /** What the DRVM's files may occupy. */
  readonly diskBytes: number;
  port(endpoint: Endpoint): ServerPort;
  /** What another home had open. */
  handover?: VfsHandover;
  /** A device of a host has come or gone. */
  onDevice?(isThere: boolean, path: string): void;
  /** Why nothing can be stored at present; null: it can again. */
  onTrouble(trouble: string | null): void;
  /** Counted up with each read and write of files that goes to the host's disk. */
  counters?: DiskCounters;
}

/** The servers of the home container that keep things: files and terminal output. */
export interface Storage {
  readonly vfs: VfsControl;
  readonly tty: TtyControl;
  readonly servers: readonly Server[];
  /** Writes all to the host's files, so that a copy of them is whole. @throws DrvsError when the host does not take it. */
  flush(): void;
  /** Tells what changes in files of data from now on; null: no longer. */
  noteChanges(changes: FileChanges | null): void;
  /** Makes everything durable and lets go of the data folder. */
  close(): void;
  /** Lets go of the data folder, where nothing counts any more: another container has it all. */
  abandon(): void;
}

/** @throws DrvsError naming the file when what is stored is damaged. */
export function openStorage({
  dataFolder,
  diskBytes,
  port,
  handover,
  onDevice,
  onTrouble,
  counters,
}: StorageOptions): Storage {
  const outputStore = new HostOutputStore({ dataFolder, onTrouble });
  const tty = new TtyServer({ port: port(TTY), store: outputStore });
  const fileStore = new HostFileStore({ dataFolder, onTrouble, counters });
  const vfs = new VfsServer({
    port: port(VFS),
    store: fileStore,
    devices: { terminal: tty, random: (target) => void randomFillSync(target) },
    limitBytes: diskBytes,
    handover,
    onDevice,
  });
  return {
    vfs: vfs.control,
    tty: tty.control,
    servers: [vfs, tty],
    flush() {
      outputStore.flush();
      if (fileStore.flush() === OK) return;
      throw new DrvsError(
        'StateConflict',
        'the files of the DRVM cannot be written to the disk of its home node',
        {
          hint: 'Make room on the disk of that node, then try again.',
        },
      );
    },
    noteChanges: (changes) => fileStore.noteChanges(changes),
    close() {
      outputStore.close();
      fileStore.close();
    },
    abandon() {
      outputStore.abandon();
      fileStore.abandon();
    },
  };
}
