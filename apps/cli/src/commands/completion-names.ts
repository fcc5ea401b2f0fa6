/**
 * Names for completion, from the API: asked for with a short time limit, since a slow answer is worse than none while
 * typing, and kept for some seconds, since a key is often pressed twice. When the API does not answer, names that were
 * kept longer ago are better than none.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { sleep } from '@drvs/client';
import { z } from 'zod';
import { credentials } from '../config-file.js';
import type { Shell } from '../shell.js';

/** Where names come from: a list of REST, and which field of its items. */
export interface Listing {
  path: string;
  key: 'name' | 'id' | 'pid';
}

/** Longer over a slow line: DRVS_COMPLETION_WAIT_MS. */
const ANSWER_WITHIN_MS = 1_500;
const FRESH_MS = 5_000;
const STALE_MS = 3_600_000;
/** More names than this help nobody who looks for one. */
const NAMES_MAX = 2_000;
/** Files kept at most, each for one list of one address; the oldest go first. */
const FILES_MAX = 100;
const Kept = z.object({ at: z.number(), names: z.array(z.string()) });

export async function namesOf(shell: Shell, listing: Listing, now = Date.now()): Promise<string[]> {
  try {
    const file = await cacheFile(shell, listing);
    const kept = await read(file);
    if (kept && now - kept.at < FRESH_MS) return kept.names;
    const names = await ask(shell, listing);
    if (names === null) return kept && now - kept.at < STALE_MS ? kept.names : [];
    await keep(file, { at: now, names });
    return names;
  } catch {
    return []; // Not signed in, nowhere to keep: nothing to offer, and no place to say so.
  }
}

/** null when there is no answer in time. */
async function ask(shell: Shell, { path, key }: Listing): Promise<string[] | null> {
  const abort = new AbortController();
  const answer = async (): Promise<string[]> => {
    const client = await shell.client();
    const items = await client.list<Partial<Record<Listing['key'], string | number>>>(path, {}, NAMES_MAX);
    return items.map((item) => String(item[key] ?? '')).filter((name) => name !== '');
  };
  try {
    const withinMs = Number(shell.env.DRVS_COMPLETION_WAIT_MS) || ANSWER_WITHIN_MS;
    return await Promise.race([answer(), sleep(withinMs, abort.signal).then(() => null)]);
  } catch {
    return null;
  } finally {
    abort.abort();
  }
}

/** Per address, secret and list: one user's names are not another's. */
async function cacheFile(shell: Shell, { path, key }: Listing): Promise<string> {
  const { url, token, session } = await credentials(shell.env);
  const identity = JSON.stringify([url, token, session?.cookie, path, key]);
  const name = createHash('sha256').update(identity).digest('hex').slice(0, 32);
  const folder = shell.env.XDG_CACHE_HOME || join(shell.env.HOME || homedir(), '.cache');
  return join(folder, 'drvs', 'completion', `${name}.json`);
}

async function read(file: string): Promise<z.infer<typeof Kept> | null> {
  try {
    return Kept.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    return null; // Never kept, or written in part.
  }
}

async function keep(file: string, kept: z.infer<typeof Kept>): Promise<void> {
  const folder = join(file, '..');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const part = `${file}.${process.pid}.part`;
  await writeFile(part, JSON.stringify(kept), { mode: 0o600 });
  await rename(part, file);
  const names = await readdir(folder);
  if (names.length <= FILES_MAX) return;
  const aged = await Promise.all(
    names.map(async (name) => ({
      name,
      at: (await stat(join(folder, name)).catch(() => null))?.mtimeMs ?? 0,
    })),
  );
  aged.sort((a, b) => a.at - b.at);
  for (const { name } of aged.slice(0, names.length - FILES_MAX))
    await rm(join(folder, name), { force: true });
}
