import {
  type Endpoint,
  FIRST_USER_SLOT,
  MAX_GENERATION,
  MAX_SLOTS,
  makeEndpoint,
  slotOf,
} from '@drvs/drvmm-core';
import { z } from 'zod';
import { type Ending, EndingShape } from '../../kernel/ending.js';

/** A process as PM knows it, from its start until its row is forgotten. */
export interface ProcessEntry {
  readonly pid: number;
  readonly ppid: number;
  readonly endpoint: Endpoint;
  readonly command: string;
  readonly programHash: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** The container that has it. */
  index: number;
  state: 'starting' | 'alive' | 'migrating' | 'ended';
  cpuMs: number;
  memoryBytes: number;
  ending: Ending | null;
  endedAt: number;
}

/** Like Linux's pid_max on 64 bits; pids go round. */
const PID_MOST = 4_194_303;
/** Live processes of a DRVM at most; slots go round too, and a free one must be found at once. */
export const PROCESSES_MOST = 65_536;
/** Rows of ended processes are kept at least so many, and all of them so long... */
export const ENDED_KEPT = 1_000;
export const ENDED_KEPT_MS = 10 * 60_000;
/** ...but never more than this. */
export const ENDED_MOST = 20_000;

/** Where the table goes on after a restart, so that no pid or endpoint of a former life is given again soon. */
export interface TableStart {
  readonly lastPid: number;
  readonly lastGeneration: number;
}

/** The whole table, as it goes from one home to the next. */
export const TableSnapshot = z.object({
  entries: z.array(
    z.object({
      pid: z.int(),
      ppid: z.int(),
      endpoint: z.int(),
      command: z.string(),
      programHash: z.string(),
      startedAt: z.number(),
      index: z.int(),
      state: z.enum(['starting', 'alive', 'migrating', 'ended']),
      cpuMs: z.number(),
      memoryBytes: z.number(),
      ending: EndingShape.nullable(),
      endedAt: z.number(),
    }),
  ),
  lastPid: z.int(),
  lastSlot: z.int(),
  firstGeneration: z.int(),
  /** Base64 of u16 per slot, as far as slots were used. */
  generations: z.string(),
});
export type TableSnapshot = z.infer<typeof TableSnapshot>;

/** The process table of a DRVM: one space of pids and endpoints over all its nodes. */
export class ProcessTable {
  readonly #byPid = new Map<number, ProcessEntry>();
  readonly #byEndpoint = new Map<Endpoint, ProcessEntry>();
  /** Pids of ended processes, in the order of their ends. */
  readonly #ended = new Set<number>();
  readonly #generations = new Uint16Array(MAX_SLOTS);
  readonly #usedSlots = new Set<number>();
  #firstGeneration: number;
  #lastPid: number;
  #lastSlot = FIRST_USER_SLOT - 1;

  constructor({ lastPid, lastGeneration }: TableStart) {
    this.#lastPid = lastPid;
    this.#firstGeneration = lastGeneration >= MAX_GENERATION ? 1 : lastGeneration + 1;
  }

  /** In the order in which rows were made, those that ended in the order of their ends. */
  snapshot(): TableSnapshot {
    const ended = [...this.#ended].map((pid) => this.#byPid.get(pid)!);
    const used = this.#generations.findLastIndex((generation) => generation !== 0) + 1;
    const generations = Buffer.from(this.#generations.buffer, 0, used * 2).toString('base64');
    return {
      entries: [...ended, ...this.#byEndpoint.values()].map((entry) => ({
        ...entry,
        ending: entry.ending && { ...entry.ending },
      })),
      lastPid: this.#lastPid,
      lastSlot: this.#lastSlot,
      firstGeneration: this.#firstGeneration,
      generations,
    };
  }

  static restore(snapshot: TableSnapshot): ProcessTable {
    const table = new ProcessTable({ lastPid: snapshot.lastPid, lastGeneration: 0 });
    table.#firstGeneration = snapshot.firstGeneration;
    table.#lastSlot = snapshot.lastSlot;
    const bytes = Buffer.from(snapshot.generations, 'base64');
    for (let slot = 0; slot * 2 + 1 < bytes.length && slot < MAX_SLOTS; slot++) {
      table.#generations[slot] = bytes.readUInt16LE(slot * 2);
    }
    for (const row of snapshot.entries) {
      const entry: ProcessEntry = { ...row, endpoint: row.endpoint as Endpoint };
      if (entry.ending !== null) table.addEnded(entry);
      else {
        table.#byPid.set(entry.pid, entry);
        table.#byEndpoint.set(entry.endpoint, entry);
        table.#usedSlots.add(slotOf(entry.endpoint));
      }
    }
    return table;
  }

  /** Generation of endpoints given so far in this life at least. */
  get firstGeneration(): number {
    return this.#firstGeneration;
  }

  get live(): number {
    return this.#usedSlots.size;
  }

  /** @returns null when there are PROCESSES_MOST already. */
  add(
    fields: Omit<ProcessEntry, 'pid' | 'endpoint' | 'state' | 'cpuMs' | 'memoryBytes' | 'ending' | 'endedAt'>,
  ): ProcessEntry | null {
    if (this.#usedSlots.size >= PROCESSES_MOST) return null;
    const entry: ProcessEntry = {
      ...fields,
      pid: this.#nextPid(),
      endpoint: this.#nextEndpoint(),
      state: 'starting',
      cpuMs: 0,
      memoryBytes: 0,
      ending: null,
      endedAt: 0,
    };
    this.#byPid.set(entry.pid, entry);
    this.#byEndpoint.set(entry.endpoint, entry);
    return entry;
  }

  /** A row of a former life, for those who ask how it ended. */
  addEnded(entry: ProcessEntry): void {
    this.#byPid.set(entry.pid, entry);
    this.#ended.add(entry.pid);
  }

  byPid(pid: number): ProcessEntry | undefined {
    return this.#byPid.get(pid);
  }

  byEndpoint(endpoint: Endpoint): ProcessEntry | undefined {
    return this.#byEndpoint.get(endpoint);
  }

  /** Those that have not ended. */
  *alive(): Generator<ProcessEntry> {
    for (const entry of this.#byEndpoint.values()) yield entry;
  }

  aliveOn(index: number): ProcessEntry[] {
    return [...this.alive()].filter((entry) => entry.index === index);
  }

  /** Marks the end. @returns the rows that are forgotten for it. */
  end(entry: ProcessEntry, ending: Ending, now: number): ProcessEntry[] {
    if (entry.ending !== null) return [];
    entry.ending = ending;
    entry.state = 'ended';
    entry.endedAt = now;
    entry.memoryBytes = 0;
    this.#byEndpoint.delete(entry.endpoint);
    this.#usedSlots.delete(slotOf(entry.endpoint));
    this.#ended.add(entry.pid);
    return this.#forgetEnded(now);
  }

  /** It never began: no row remains. */
  remove(entry: ProcessEntry): void {
    this.#byPid.delete(entry.pid);
    this.#byEndpoint.delete(entry.endpoint);
    this.#usedSlots.delete(slotOf(entry.endpoint));
  }

  #forgetEnded(now: number): ProcessEntry[] {
    const forgotten: ProcessEntry[] = [];
    for (const pid of this.#ended) {
      if (this.#ended.size <= ENDED_KEPT) break;
      const entry = this.#byPid.get(pid)!;
      if (this.#ended.size <= ENDED_MOST && now - entry.endedAt < ENDED_KEPT_MS) break;
      this.#ended.delete(pid);
      this.#byPid.delete(pid);
      forgotten.push(entry);
    }
    return forgotten;
  }

  #nextPid(): number {
    do {
      this.#lastPid = this.#lastPid >= PID_MOST ? 1 : this.#lastPid + 1;
    } while (this.#byPid.has(this.#lastPid));
    return this.#lastPid;
  }

  #nextEndpoint(): Endpoint {
    do {
      this.#lastSlot = this.#lastSlot + 1 >= MAX_SLOTS ? FIRST_USER_SLOT : this.#lastSlot + 1;
    } while (this.#usedSlots.has(this.#lastSlot));
    const slot = this.#lastSlot;
    const before = this.#generations[slot];
    const generation = before === 0 ? this.#firstGeneration : before >= MAX_GENERATION ? 1 : before + 1;
    this.#generations[slot] = generation;
    this.#usedSlots.add(slot);
    return makeEndpoint(slot, generation);
  }
}
