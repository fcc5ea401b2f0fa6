import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Ending } from './kernel/ending.js';
import type { ProcessEntry } from './servers/pm/table.js';

/** What is told of processes of a former life of the home container. */
export interface FormerProcess {
  readonly pid: number;
  readonly ppid: number;
  readonly command: string;
  readonly startedAt: number;
  readonly index: number;
  /** Null: it was alive when the container went. */
  readonly ending: Ending | null;
  readonly endedAt: number;
}

type Line =
  | { t: 'start'; pid: number; ppid: number; command: string; at: number; index: number; generation: number }
  | { t: 'end'; pid: number; ending: Ending; at: number };

/** Former processes remembered over a restart. */
const FORMER_MOST = 1_000;
/** The journal is written anew when it has grown by so many lines. */
const LINES_MOST = 20_000;

/**
 * Which processes there were, in `processes.jsonl`: so that after a restart of the home container no pid is given
 * again, and who asks for a process of the former life hears how it ended. A line cut short by a crash is dropped.
 */
export class ProcessJournal {
  readonly #path: string;
  #file = -1;
  #lines = 0;
  readonly #former = new Map<number, FormerProcess>();
  lastPid = 0;
  lastGeneration = 0;

  constructor(dataFolder: string) {
    this.#path = join(dataFolder, 'processes.jsonl');
    mkdirSync(dirname(this.#path), { recursive: true });
    this.#read();
    this.#rewrite();
  }

  get former(): FormerProcess[] {
    return [...this.#former.values()];
  }

  started(entry: ProcessEntry, generation: number): void {
    const { pid, ppid, command, startedAt: at, index } = entry;
    this.#note({ t: 'start', pid, ppid, command, at, index, generation });
  }

  ended(pid: number, ending: Ending, at: number): void {
    this.#note({ t: 'end', pid, ending: { ...ending }, at });
  }

  close(): void {
    if (this.#file < 0) return;
    closeSync(this.#file);
    this.#file = -1;
  }

  #note(line: Line): void {
    if (this.#file < 0) return;
    this.#apply(line);
    writeSync(this.#file, `${JSON.stringify(line)}\n`);
    if (++this.#lines >= LINES_MOST) this.#rewrite();
  }

  #read(): void {
    let text = '';
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    for (const line of text.split('\n')) {
      if (line === '') continue;
      try {
        this.#apply(JSON.parse(line) as Line);
      } catch {
        // The tail of a write that a crash cut short; what it said is lost, nothing else.
      }
    }
  }

  #apply(line: Line): void {
    if (line.t === 'start') {
      this.lastPid = line.pid;
      this.lastGeneration = Math.max(this.lastGeneration, line.generation);
      const { pid, ppid, command, index, at } = line;
      this.#former.set(pid, { pid, ppid, command, index, startedAt: at, ending: null, endedAt: 0 });
      for (const [oldest, { ending }] of this.#former) {
        if (this.#former.size <= FORMER_MOST) break;
        if (ending !== null) this.#former.delete(oldest);
      }
    } else {
      const former = this.#former.get(line.pid);
      if (former) this.#former.set(line.pid, { ...former, ending: line.ending, endedAt: line.at });
    }
  }

  #rewrite(): void {
    this.close();
    const lines: Line[] = [];
    for (const { pid, ppid, command, index, startedAt, ending, endedAt } of this.#former.values()) {
      lines.push({ t: 'start', pid, ppid, command, index, at: startedAt, generation: this.lastGeneration });
      if (ending) lines.push({ t: 'end', pid, ending, at: endedAt });
    }
    // The pid counter must survive even when it went round or its process was forgotten.
    lines.sort((a, b) => Number(a.pid === this.lastPid) - Number(b.pid === this.lastPid));
    const half = `${this.#path}.half`;
    writeFileSync(half, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    const file = openSync(half, 'r+');
    fsyncSync(file);
    closeSync(file);
    renameSync(half, this.#path);
    this.#file = openSync(this.#path, 'a');
    this.#lines = lines.length;
  }
}
