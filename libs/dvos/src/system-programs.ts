import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DrvsError } from '@drvs/contracts';
import type { VfsControl } from './servers/vfs/control.js';

/** The programs that come with the system, as scripts/build-guests.mjs makes them. */
const PROGRAMS = fileURLToPath(new URL('../dist/guest', import.meta.url));
const SUFFIX = '.wasm';

/**
 * Puts the system's own programs into /bin of a DRVM, each only where nothing has that name yet: what a department has put
 * there stays. A folder that is not there (nothing was built) puts nothing; a DRVM whose disk is full starts without them.
 * @returns the names that were put there
 */
export function installSystemPrograms(vfs: VfsControl, folder = PROGRAMS): string[] {
  const names = listPrograms(folder);
  if (names.length === 0) return [];
  vfs.makeDirectory('/bin', true);
  const present = new Set(vfs.list('/bin').map(({ path }) => path.slice('/bin/'.length)));
  const missing = names.filter((name) => !present.has(name));
  const installed: string[] = [];
  try {
    for (const name of missing) {
      vfs.writeFile(`/bin/${name}`, readFileSync(join(folder, name + SUFFIX)), {
        truncate: true,
        mode: 0o755,
      });
      installed.push(name);
    }
  } catch (error) {
    if (!(error instanceof DrvsError && error.code === 'InsufficientResources')) throw error;
    // The half-written one gives its room back; its owner makes room, and the next start installs it.
    vfs.remove(`/bin/${missing[installed.length]}`, false);
  }
  return installed;
}

function listPrograms(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => name.slice(0, -SUFFIX.length))
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
