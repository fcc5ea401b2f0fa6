import { readdirSync, readFileSync } from 'node:fs';

/** The trimmed text of a file of the kernel, or null when it is not there or says nothing (a link that is down). */
export function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
}

export function listNames(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
}
