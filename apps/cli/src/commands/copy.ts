import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream, type Stats } from 'node:fs';
import { chmod, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, posix } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { FileStat } from '@drvs/contracts';
import type { Command } from 'commander';
import type { ApiClient } from '../api/client.js';
import { drvmPath } from '../api/drvm-path.js';
import { statInside } from '../api/upload.js';
import { EXIT_INTERRUPTED, Failure, usage } from '../failure.js';
import type { Progress } from '../output/progress.js';
import { formatBytes } from '../quantities.js';
import type { Shell } from '../shell.js';

/** A tree deeper or larger than this is a mistake (or a loop of links). */
const DEPTH_MAX = 64;

export type Place = { drvm: string; path: string } | { drvm: null; path: string };

/** `DRVM:/path` is inside; anything else is here. `./a:/b` is here, as with scp. */
export function parsePlace(text: string): Place {
  const match = /^([a-z0-9][a-z0-9~-]*):(.*)$/i.exec(text);
  if (!match) return { drvm: null, path: text };
  if (!match[2]!.startsWith('/')) {
    throw usage(`"${text}" does not name a path inside the DRVM`, `Write ${match[1]}:/${match[2]}.`);
  }
  return { drvm: match[1]!, path: posix.normalize(match[2]!) };
}

interface Counts {
  files: number;
  bytes: number;
}

export function registerCopy(program: Command, shell: Shell): void {
  program
    .command('cp')
    .description('copy files into a DRVM or out of it')
    .argument('<source>', 'FILE, or DRVM:/path')
    .argument('<target>', 'DRVM:/path, or FILE (- for standard output)')
    .option('-r, --recursive', 'directories with all that is in them')
    .action(async (sourceText: string, targetText: string, options: { recursive?: boolean }) => {
      const source = parsePlace(sourceText);
      const target = parsePlace(targetText);
      if ((source.drvm === null) === (target.drvm === null)) {
        throw usage(
          source.drvm === null ? 'neither side is in a DRVM' : 'both sides are in a DRVM',
          'One side is a file here, the other DRVM:/path.',
        );
      }
      const client = await shell.client();
      const progress = shell.progress();
      const copy = new Copy(shell, client, progress, options.recursive === true);
      using _ = shell.interrupts.take(() => {
        progress.clear();
        void copy.giveUp().finally(() => shell.exit(EXIT_INTERRUPTED));
      });
      try {
        if (target.drvm !== null)
          await copy.into(source.path, target.drvm, target.path, targetText.endsWith('/'));
        else await copy.outOf(source.drvm!, source.path, target.path);
      } finally {
        progress.clear();
      }
      const { files, bytes } = copy.counts;
      if (target.path === '-' && target.drvm === null) return;
      shell.answer({ files, bytes }, () => (files === 1 ? '' : `${files} files, ${formatBytes(bytes)}\n`));
    });
}

class Copy {
  readonly counts: Counts = { files: 0, bytes: 0 };
  /** Undoes the file that is half copied. */
  #undo: (() => Promise<unknown>) | null = null;

  constructor(
    readonly shell: Shell,
    readonly client: ApiClient,
    readonly progress: Progress,
    readonly isRecursive: boolean,
  ) {}

  async giveUp(): Promise<void> {
    await this.#undo?.().catch(() => undefined);
  }

  async into(local: string, drvmName: string, inside: string, isDirectory: boolean): Promise<void> {
    const drvm = drvmPath(drvmName);
    const info = await statHere(local);
    const there = await statInside(this.client, drvm, inside);
    let path = inside;
    if (there?.kind === 'directory' || isDirectory) path = posix.join(inside, basename(local));
    if (info.isDirectory()) {
      this.#assertRecursive(local);
      await this.#folderInto(local, drvm, path, 0);
    } else await this.#fileInto(local, info, drvm, path);
  }

  async #folderInto(local: string, drvm: string, inside: string, depth: number): Promise<void> {
    if (depth > DEPTH_MAX)
      throw new Failure('TooDeep', `${local} is more than ${DEPTH_MAX} directories deep`);
    await this.client.post(`${drvm}/files/directories`, { path: inside, parents: true });
    for (const entry of await readdir(local)) {
      const path = join(local, entry);
      const info = await stat(path);
      if (info.isDirectory()) await this.#folderInto(path, drvm, posix.join(inside, entry), depth + 1);
      else if (info.isFile()) await this.#fileInto(path, info, drvm, posix.join(inside, entry));
      else this.shell.note(`${path} is neither a file nor a directory: left out`);
    }
  }

  async #fileInto(local: string, info: Stats, drvm: string, inside: string): Promise<void> {
    const part = `${inside}.${randomUUID().slice(0, 8)}.part`;
    const remove = (): Promise<unknown> =>
      this.client.delete(`${drvm}/files`, { query: { path: part }, retryMs: 0 });
    this.#undo = remove;
    const before = this.counts.bytes;
    try {
      await this.client.send('PUT', `${drvm}/files/content`, {
        query: { path: part, mode: (info.mode & 0o777).toString(8) },
        bytes: () => {
          this.counts.bytes = before;
          return createReadStream(local).pipe(this.#counting(local, info.size));
        },
      });
      await this.client.post(`${drvm}/files/rename`, { from: part, to: inside });
    } catch (error) {
      await remove().catch(() => undefined);
      throw error;
    } finally {
      this.#undo = null;
    }
    this.counts.files++;
  }

  async outOf(drvmName: string, inside: string, local: string): Promise<void> {
    const drvm = drvmPath(drvmName);
    const info = await statInside(this.client, drvm, inside);
    if (info === null) throw new Failure('NotFound', `there is no ${inside} in ${drvmName}`);
    if (local === '-') {
      if (info.kind === 'directory') throw usage('a directory does not fit into standard output');
      const response = await this.client.open('GET', `${drvm}/files/content`, { query: { path: inside } });
      await pipeline(response.body, this.shell.stdout, { end: false });
      return;
    }
    const here = await stat(local).catch(() => null);
    const path = here?.isDirectory() ? join(local, basename(inside)) : local;
    if (info.kind === 'directory') {
      this.#assertRecursive(inside);
      await this.#folderOutOf(drvm, inside, path, 0);
    } else await this.#fileOutOf(drvm, info, inside, path);
  }

  async #folderOutOf(drvm: string, inside: string, local: string, depth: number): Promise<void> {
    if (depth > DEPTH_MAX)
      throw new Failure('TooDeep', `${inside} is more than ${DEPTH_MAX} directories deep`);
    await mkdir(local, { recursive: true });
    for (const entry of await this.client.list<FileStat>(`${drvm}/files`, { path: inside, list: true })) {
      const name = posix.basename(entry.path);
      // A name from inside must not lead out of the target folder.
      if (name === '' || name === '.' || name === '..' || name.includes('\0')) continue;
      const path = posix.join(inside, name);
      if (entry.kind === 'directory') await this.#folderOutOf(drvm, path, join(local, name), depth + 1);
      else if (entry.kind === 'file') await this.#fileOutOf(drvm, entry, path, join(local, name));
      else this.shell.note(`${path} is a ${entry.kind}: left out`);
    }
  }

  async #fileOutOf(drvm: string, info: FileStat, inside: string, local: string): Promise<void> {
    const part = join(dirname(local), `.${basename(local)}.${randomUUID().slice(0, 8)}.part`);
    const remove = (): Promise<void> => rm(part, { force: true });
    this.#undo = remove;
    try {
      const response = await this.client.open('GET', `${drvm}/files/content`, { query: { path: inside } });
      await pipeline(response.body, this.#counting(inside, info.size), createWriteStream(part));
      await chmod(part, info.mode & 0o777 || 0o644);
      await rename(part, local);
    } catch (error) {
      await remove();
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') throw new Failure('NotFound', `there is no directory ${dirname(local)} here`);
      throw error;
    } finally {
      this.#undo = null;
    }
    this.counts.files++;
  }

  #counting(name: string, size: number): Transform {
    let done = 0;
    return new Transform({
      transform: (chunk: Buffer, _encoding, next) => {
        done += chunk.length;
        this.counts.bytes += chunk.length;
        this.progress.show(
          `${name} ${formatBytes(done)} of ${formatBytes(size)}`,
          size === 0 ? 1 : done / size,
        );
        next(null, chunk);
      },
    });
  }

  #assertRecursive(path: string): void {
    if (!this.isRecursive)
      throw usage(`${path} is a directory`, 'Add --recursive to copy all that is in it.');
  }
}

async function statHere(path: string): Promise<Stats> {
  try {
    return await stat(path);
  } catch (error) {
    throw new Failure('NotFound', `${path} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
