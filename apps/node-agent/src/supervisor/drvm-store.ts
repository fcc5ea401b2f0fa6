import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { lstat, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ContainerSpec, DrvsError } from '@drvs/contracts';
import { readJson, writeDurably } from '@drvs/drvmm-core/storage';
import { z } from 'zod';
import { type DrvmFolder, drvmFolder } from './drvm-folder.js';
import type { ProcessIdentity } from './host-processes.js';

/** What drvm.prepare decides, and what stays for the DRVM's life on this node. */
export const Place = z.object({
  index: z.int().min(0),
  port: z.int().min(1).max(65_535),
  host: z.string(),
  /** The host user kept for it, whether or not the agent can use it now. */
  uid: z.int().nullable(),
});
export type Place = z.infer<typeof Place>;

const Wanted = z.object({ state: z.enum(['running', 'stopped']) });
export type Wanted = z.infer<typeof Wanted>['state'];

const Identity = z.object({ pid: z.int().min(1), startTicks: z.number() });

/** The process that runs a container, as the agent that started it wrote it down. */
export const Runtime = z.object({
  boot: z.string(),
  process: Identity,
  /** unshare(1) around it. */
  wrapper: Identity.nullable(),
  /** The host user that it runs as; null: the agent's. */
  uid: z.int().nullable(),
  isolation: z.string(),
  startedAt: z.string(),
});
export type Runtime = z.infer<typeof Runtime> & {
  process: ProcessIdentity;
  wrapper: ProcessIdentity | null;
};

/** DRVMs' ids become names of folders and control groups. */
const ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

export function checkDrvmId(drvmId: string): string {
  if (!ID.test(drvmId)) {
    throw new DrvsError('InvalidInput', `${JSON.stringify(drvmId)} is not the id of a DRVM`, {
      field: 'drvmId',
      hint: 'An id is 1 to 64 letters, digits, hyphens and underscores.',
    });
  }
  return drvmId;
}

/** The files of one DRVM on this node (see drvm-folder.ts). */
export class DrvmStore {
  readonly folder: DrvmFolder;

  constructor(
    root: string,
    readonly drvmId: string,
  ) {
    this.folder = drvmFolder(root);
  }

  get exists(): boolean {
    return existsSync(this.folder.root);
  }

  create(): void {
    mkdirSync(this.folder.root, { recursive: true, mode: 0o711 });
    chmodSync(this.folder.root, 0o711);
  }

  place(): Place | null {
    return readJson(this.folder.place, Place);
  }

  setPlace(place: Place): void {
    writeDurably(this.folder.place, JSON.stringify(place));
  }

  key(): string | null {
    return existsSync(this.folder.key) ? readFileSync(this.folder.key, 'utf8') : null;
  }

  setKey(pem: string): void {
    writeDurably(this.folder.key, pem);
  }

  spec(): ContainerSpec | null {
    return readJson(this.folder.spec, ContainerSpec);
  }

  setSpec(spec: ContainerSpec): void {
    writeDurably(this.folder.spec, JSON.stringify(spec));
  }

  wanted(): Wanted {
    return readJson(this.folder.wanted, Wanted)?.state ?? 'stopped';
  }

  setWanted(state: Wanted): void {
    writeDurably(this.folder.wanted, JSON.stringify({ state }));
  }

  /** Null when there is none, also when it was written before the host's last boot. */
  runtime(boot: string): Runtime | null {
    const runtime = readJson(this.folder.runtime, Runtime);
    return runtime?.boot === boot ? runtime : null;
  }

  setRuntime(runtime: Runtime): void {
    writeDurably(this.folder.runtime, JSON.stringify(runtime));
  }

  clearRuntime(): void {
    rmSync(this.folder.runtime, { force: true });
    rmSync(this.folder.socket, { force: true });
  }

  /**
   * Gives the files to the user that the container will run as. The container may read its spec and key and write in
   * run/ and data/; the rest stays the agent's.
   */
  handTo(uid: number | null): void {
    const { folder } = this;
    const isRoot = process.getuid?.() === 0;
    for (const path of [folder.run, folder.data]) mkdirSync(path, { recursive: true, mode: 0o700 });
    if (!isRoot) return;
    const owner = uid ?? 0;
    for (const path of [folder.key, folder.run]) chownSync(path, owner, owner);
    chownSync(folder.spec, 0, owner);
    chmodSync(folder.spec, 0o640);
    if (statSync(folder.data).uid !== owner) chownTree(folder.data, owner);
  }

  /** Removes everything. The folder is renamed first: a removal that is cut short does not leave half a DRVM. */
  async remove(): Promise<void> {
    if (!this.exists) return;
    const doomed = `${this.folder.root}${DOOMED}`;
    await rm(doomed, { recursive: true, force: true });
    await rename(this.folder.root, doomed);
    await rm(doomed, { recursive: true, force: true });
  }
}

/** Ends the name of a folder whose removal has begun. */
export const DOOMED = '.removed';

/** Every file under `root` and itself, without following links. */
function chownTree(root: string, owner: number): void {
  for (const entry of readdirSync(root, { withFileTypes: true })) {
    const path = join(root, entry.name);
    if (entry.isDirectory()) chownTree(path, owner);
    else if (entry.isFile()) chownSync(path, owner, owner);
  }
  chownSync(root, owner, owner);
}

/** Bytes of disk used under `root` (blocks really allocated), links not followed. One file at a time: no hurry. */
export async function diskBytes(root: string): Promise<number> {
  let bytes = 0;
  const waiting = [root];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    try {
      const stat = await lstat(path);
      bytes += stat.blocks * 512;
      if (stat.isDirectory()) for (const name of await readdir(path)) waiting.push(join(path, name));
    } catch {
      // It was removed while we looked.
    }
  }
  return bytes;
}
