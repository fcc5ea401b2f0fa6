import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HomePlace } from '@drvs/contracts';
import { readJson, writeDurably } from '@drvs/drvmm-core/storage';
import { z } from 'zod';

const RECORD = 'home.json';
const PREPARED = 'prepared.json';
/** Ends the name of what is being removed. */
const DOOMED = '.removed';
const FOLDER = /^home-(\d+)$/;
/** What a home keeps: of the first one right in the data folder, of later ones in a folder with the home's epoch. */
const PARTS = ['vfs', 'tty', 'processes.jsonl'];

/** `folder`: the epoch by which its folder is named. It stays when a higher epoch names the same container again. */
const Known = HomePlace.extend({ folder: z.int().min(0) });
type Known = z.infer<typeof Known>;

const folderAfter = (before: Known, after: HomePlace): number =>
  after.index === before.index ? before.folder : after.epoch;

/**
 * Which container is home, as this one knows it, kept in `home.json` of its data folder. The highest epoch wins: over what
 * a spec says, and over what any other container says.
 *
 *     data/home.json            {index, epoch, folder}; none: what the spec says
 *     data/vfs, tty, …          what the first home of the DRVM keeps
 *     data/home-<epoch>/        what a later home keeps
 *     data/home-<epoch>/prepared.json   it is whole, and the former home is to say whether it counts
 */
export class HomeRecord {
  #place: Known;

  /** @throws DrvsError naming the file when it is damaged. */
  constructor(
    private readonly dataFolder: string,
    fromSpec: HomePlace,
  ) {
    const kept = read(join(dataFolder, RECORD));
    // Before its first move a home has no record, but files.
    const before =
      kept ?? (existsSync(join(dataFolder, 'vfs')) ? { ...fromSpec, epoch: 0, folder: 0 } : null);
    if (before === null) this.#place = { ...fromSpec, folder: fromSpec.epoch };
    else if (before.epoch >= fromSpec.epoch) this.#place = before;
    else this.#place = { ...fromSpec, folder: folderAfter(before, fromSpec) };
  }

  get place(): HomePlace {
    const { index, epoch } = this.#place;
    return { index, epoch };
  }

  /** Where this container keeps what it keeps while it is home. */
  get homeFolder(): string {
    return this.folderOf(this.#place.folder);
  }

  /** Keeps a later home, durably when this returns. @returns false when it is no news. */
  learn(place: HomePlace): boolean {
    if (place.epoch <= this.#place.epoch) return false;
    mkdirSync(this.dataFolder, { recursive: true, mode: 0o700 });
    const { index, epoch } = place;
    const known = { index, epoch, folder: folderAfter(this.#place, place) };
    writeDurably(join(this.dataFolder, RECORD), JSON.stringify(known));
    this.#place = known;
    return true;
  }

  /** Where the home of this epoch keeps what it keeps. */
  folderOf(epoch: number): string {
    return epoch === 0 ? this.dataFolder : join(this.dataFolder, `home-${epoch}`);
  }

  /** Says durably that all that the home of this epoch needs is in its folder. */
  setPrepared(epoch: number, from: number): void {
    const prepared = { index: from, epoch, folder: epoch };
    writeDurably(join(this.folderOf(epoch), PREPARED), JSON.stringify(prepared));
  }

  /**
   * Removes what was begun and not finished.
   * @returns what is whole and undecided: the epoch under which this container would be home, and whose word counts.
   */
  sweep(): { epoch: number; from: number } | null {
    let undecided: { epoch: number; from: number } | null = null;
    for (const name of existsSync(this.dataFolder) ? readdirSync(this.dataFolder) : []) {
      if (name.endsWith(DOOMED)) this.#remove(join(this.dataFolder, name));
      const epoch = Number(FOLDER.exec(name)?.[1] ?? -1);
      if (epoch <= this.#place.epoch) continue;
      const prepared = read(join(this.dataFolder, name, PREPARED));
      if (prepared !== null) undecided = { epoch, from: prepared.index };
      else this.drop(epoch);
    }
    return undecided;
  }

  /** Removes what the home of this epoch kept here: gone at once by name, its bytes by and by. */
  drop(epoch: number): void {
    const names = epoch > 0 ? [`home-${epoch}`] : PARTS;
    for (const name of names) {
      const path = join(this.dataFolder, name);
      if (!existsSync(path)) continue;
      const doomed = join(this.dataFolder, `${name}.${randomUUID()}${DOOMED}`);
      renameSync(path, doomed);
      this.#remove(doomed);
    }
  }

  /** Thousands of files take a while, in which the links of this container must be served. */
  #remove(path: string): void {
    rm(path, { recursive: true, force: true }).catch((error: unknown) => {
      console.error(`${path} cannot be removed:`, error);
    });
  }

  /** Removes what homes before the present one kept here. */
  dropFormer(): void {
    for (const name of existsSync(this.dataFolder) ? readdirSync(this.dataFolder) : []) {
      const epoch = PARTS.includes(name) ? 0 : Number(FOLDER.exec(name)?.[1] ?? Number.POSITIVE_INFINITY);
      if (epoch < this.#place.epoch && epoch !== this.#place.folder) this.drop(epoch);
    }
  }
}

const read = (path: string): Known | null =>
  readJson(path, Known, {
    code: 'StateConflict',
    hint: 'It names the home container of the DRVM: {"index": …, "epoch": …, "folder": …}. Copy it from another node of the DRVM.',
  });
