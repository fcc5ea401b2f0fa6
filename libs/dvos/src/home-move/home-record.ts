import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { DrvsError, HomePlace } from '@drvs/contracts';

const RECORD = 'home.json';
const PREPARED = 'prepared.json';
const FOLDER = /^home-(\d+)$/;
/** What a home keeps: of the first one right in the data folder, of later ones in a folder with the home's epoch. */
const PARTS = ['vfs', 'tty', 'processes.jsonl'];

/**
 * Which container is home, as this one knows it, kept in `home.json` of its data folder. The highest epoch wins: over what
 * a spec says, and over what any other container says.
 *
 *     data/home.json            {index, epoch}; none: what the spec says
 *     data/vfs, tty, …          what the first home of the DRVM keeps
 *     data/home-<epoch>/        what a later home keeps
 *     data/home-<epoch>/prepared.json   it is whole, and the former home is to say whether it counts
 */
export class HomeRecord {
  #place: HomePlace;

  /** @throws DrvsError naming the file when it is damaged. */
  constructor(
    private readonly dataFolder: string,
    fromSpec: HomePlace,
  ) {
    const kept = read(join(dataFolder, RECORD));
    this.#place = kept !== null && kept.epoch >= fromSpec.epoch ? kept : fromSpec;
  }

  get place(): HomePlace {
    return this.#place;
  }

  /** Keeps a later home, durably when this returns. @returns false when it is no news. */
  learn(place: HomePlace): boolean {
    if (place.epoch <= this.#place.epoch) return false;
    mkdirSync(this.dataFolder, { recursive: true, mode: 0o700 });
    writeDurably(this.dataFolder, RECORD, place);
    this.#place = { index: place.index, epoch: place.epoch };
    return true;
  }

  /** Where the home of this epoch keeps what it keeps. */
  folderOf(epoch: number): string {
    return epoch === 0 ? this.dataFolder : join(this.dataFolder, `home-${epoch}`);
  }

  /** Says durably that all that the home of this epoch needs is in its folder. */
  setPrepared(epoch: number, from: number): void {
    writeDurably(this.folderOf(epoch), PREPARED, { index: from, epoch });
  }

  /**
   * Removes what was begun and not finished.
   * @returns what is whole and undecided: the epoch under which this container would be home, and whose word counts.
   */
  sweep(): { epoch: number; from: number } | null {
    let undecided: { epoch: number; from: number } | null = null;
    for (const name of existsSync(this.dataFolder) ? readdirSync(this.dataFolder) : []) {
      const epoch = Number(FOLDER.exec(name)?.[1] ?? -1);
      if (epoch <= this.#place.epoch) continue;
      const prepared = read(join(this.dataFolder, name, PREPARED));
      if (prepared !== null) undecided = { epoch, from: prepared.index };
      else this.drop(epoch);
    }
    return undecided;
  }

  /** Removes what the home of this epoch kept here. */
  drop(epoch: number): void {
    if (epoch > 0) rmSync(this.folderOf(epoch), { recursive: true, force: true });
    else for (const part of PARTS) rmSync(join(this.dataFolder, part), { recursive: true, force: true });
  }

  /** Removes what homes before the present one kept here. */
  dropFormer(): void {
    for (const name of existsSync(this.dataFolder) ? readdirSync(this.dataFolder) : []) {
      const epoch = PARTS.includes(name) ? 0 : Number(FOLDER.exec(name)?.[1] ?? Number.POSITIVE_INFINITY);
      if (epoch < this.#place.epoch) this.drop(epoch);
    }
  }
}

function read(path: string): HomePlace | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    return HomePlace.parse(JSON.parse(text));
  } catch (error) {
    throw new DrvsError('StateConflict', `${path} is damaged: ${(error as Error).message}`, {
      hint: 'It names the home container of the DRVM: {"index": …, "epoch": …}. Copy it from another node of the DRVM.',
    });
  }
}

/** Replaces the file as a whole, on the disk when this returns. */
function writeDurably(folder: string, name: string, value: object): void {
  const path = join(folder, name);
  const file = openSync(`${path}.new`, 'w', 0o600);
  try {
    writeSync(file, JSON.stringify(value));
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(`${path}.new`, path);
  const directory = openSync(folder, 'r');
  fsyncSync(directory);
  closeSync(directory);
}
