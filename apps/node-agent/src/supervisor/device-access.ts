import { accessSync, chmodSync, chownSync, constants, realpathSync, statSync } from 'node:fs';
import type { GivenDevice } from '@drvs/contracts';
import { readJson, writeDurably } from '@drvs/drvmm-core/storage';
import { z } from 'zod';
import type { Log } from '../log.js';

/** A device's file as it was before a container's user got it. */
const HeldFile = z.object({
  path: z.string(),
  /** Which file it was: behind the path there may be another one by now. */
  device: z.number(),
  inode: z.number(),
  uid: z.int(),
  mode: z.int(),
  /** The host user that has it now, and the DRVM that it runs. */
  holder: z.int(),
  drvmId: z.string(),
});
type HeldFile = z.infer<typeof HeldFile>;

/** By its key: the path where this agent has found the device, or null. */
export type FindDevice = (key: string) => string | null;

/**
 * Which files of devices the container of a DRVM may open: those that its spec names and this agent has found itself. A
 * container that runs as a host user of its own becomes the owner of such a file for as long as the DRVM has the device;
 * what the file was before is on the agent's disk first, so that it is put right also by a later agent. Where containers
 * run as the agent's user, they get what that user may open.
 */
export class DeviceAccess {
  constructor(
    /** Of the agent alone; it says what has to be put right. */
    private readonly record: string,
    private readonly find: FindDevice,
    private readonly log: Log,
  ) {}

  /**
   * @param uid the container's own user; null: the agent's.
   * @returns those that the container can open now.
   */
  grant(drvmId: string, devices: readonly GivenDevice[], uid: number | null): GivenDevice[] {
    return devices.filter((device) => {
      try {
        if (this.find(device.key) !== device.path) throw new Error('this agent does not find it there');
        const stat = statSync(device.path);
        if (!stat.isCharacterDevice() && !stat.isFIFO()) throw new Error('it is no character device');
        if (uid === null) requireAccess(device.path);
        else this.#own(drvmId, realpathSync(device.path), uid);
        return true;
      } catch (error) {
        this.log.warn({ device: device.key, path: device.path, err: error }, 'device cannot be given');
        return false;
      }
    });
  }

  /** Puts all files right that the DRVM has and that are not of these devices: its container has let go of them. */
  withdraw(drvmId: string, kept: readonly GivenDevice[]): void {
    const held = this.#held();
    if (held.length === 0) return;
    const paths = new Set(kept.map(({ path }) => realOr(path)));
    const rest = held.filter((file) => {
      if (file.drvmId !== drvmId || paths.has(file.path)) return true;
      try {
        putRight(file);
        return false;
      } catch (error) {
        this.log.warn({ path: file.path, err: error }, 'the owner of a device is not put right yet');
        return true;
      }
    });
    if (rest.length !== held.length) this.#keep(rest);
  }

  #own(drvmId: string, path: string, uid: number): void {
    const stat = statSync(path);
    const held = this.#held();
    const known = held.find((file) => isSame(file, path, stat));
    if (known?.drvmId !== drvmId || known.holder !== uid) {
      // Where another DRVM has not let go of it yet, what it was before that one counts.
      const before = known ?? { uid: stat.uid, mode: stat.mode & 0o7777 };
      const file = {
        path,
        device: stat.dev,
        inode: stat.ino,
        uid: before.uid,
        mode: before.mode,
        holder: uid,
        drvmId,
      };
      this.#keep([...held.filter((other) => other.path !== path), file]);
    }
    if (stat.uid !== uid) chownSync(path, uid, stat.gid);
    chmodSync(path, (stat.mode & 0o7777) | 0o600);
  }

  #held(): HeldFile[] {
    return readJson(this.record, z.array(HeldFile)) ?? [];
  }

  #keep(files: readonly HeldFile[]): void {
    writeDurably(this.record, JSON.stringify(files));
  }
}

function putRight(file: HeldFile): void {
  const stat = statSync(file.path, { throwIfNoEntry: false });
  // It was pulled out, or another is there by now: there is nothing to put right.
  if (stat === undefined || !isSame(file, file.path, stat) || stat.uid !== file.holder) return;
  chmodSync(file.path, file.mode);
  chownSync(file.path, file.uid, stat.gid);
}

function isSame(file: HeldFile, path: string, { dev, ino }: { dev: number; ino: number }): boolean {
  return file.path === path && file.device === dev && file.inode === ino;
}

function requireAccess(path: string): void {
  try {
    accessSync(path, constants.R_OK);
  } catch {
    accessSync(path, constants.W_OK);
  }
}

function realOr(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
