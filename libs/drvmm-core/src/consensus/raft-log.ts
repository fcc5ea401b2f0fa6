import { ENTRY_HEADER_BYTES, type LogEntry } from './log-entry.js';

/**
 * The part of the log that is in memory: entries after `baseIndex`, without gaps. What lies at or before the base is
 * in the snapshot; of it only the base's term is known.
 */
export class RaftLog {
  #entries: LogEntry[];
  #baseIndex: number;
  #baseTerm: number;
  #bytes = 0;

  constructor(baseIndex: number, baseTerm: number, entries: readonly LogEntry[]) {
    this.#baseIndex = baseIndex;
    this.#baseTerm = baseTerm;
    this.#entries = [];
    for (const entry of entries) this.append(entry);
  }

  get baseIndex(): number {
    return this.#baseIndex;
  }

  get lastIndex(): number {
    return this.#baseIndex + this.#entries.length;
  }

  get lastTerm(): number {
    return this.#entries.at(-1)?.term ?? this.#baseTerm;
  }

  /** Data and headers of the entries held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Undefined: not here, either compacted or not yet written. */
  termAt(index: number): number | undefined {
    if (index === this.#baseIndex) return this.#baseTerm;
    return this.#entries[index - this.#baseIndex - 1]?.term;
  }

  at(index: number): LogEntry | undefined {
    return this.#entries[index - this.#baseIndex - 1];
  }

  append(entry: LogEntry): void {
    if (entry.index !== this.lastIndex + 1 || entry.term < this.lastTerm) {
      throw new Error(
        `entry ${entry.index} of term ${entry.term} cannot follow ${this.lastIndex} of term ${this.lastTerm}`,
      );
    }
    this.#entries.push(entry);
    this.#bytes += sizeOf(entry);
  }

  /** Drops `from` and all after it. */
  truncateFrom(from: number): void {
    for (const entry of this.#entries.splice(Math.max(0, from - this.#baseIndex - 1)))
      this.#bytes -= sizeOf(entry);
  }

  /** Forgets entries up to `index`. */
  compactTo(index: number): void {
    const term = this.termAt(index);
    if (term === undefined) throw new Error(`entry ${index} is not in the log`);
    for (const entry of this.#entries.splice(0, index - this.#baseIndex)) this.#bytes -= sizeOf(entry);
    this.#baseIndex = index;
    this.#baseTerm = term;
  }

  /** Nothing is left but the base. */
  reset(baseIndex: number, baseTerm: number): void {
    this.#entries = [];
    this.#bytes = 0;
    this.#baseIndex = baseIndex;
    this.#baseTerm = baseTerm;
  }

  /** Entries from `from` to `to`, inclusive, as many as fit into bytesMax, but one at least. */
  slice(from: number, to: number, bytesMax: number): LogEntry[] {
    const taken: LogEntry[] = [];
    let bytes = 0;
    for (let index = from; index <= to; index++) {
      const entry = this.#entries[index - this.#baseIndex - 1]!;
      bytes += sizeOf(entry);
      if (bytes > bytesMax && taken.length > 0) break;
      taken.push(entry);
    }
    return taken;
  }
}

export const sizeOf = (entry: LogEntry): number => ENTRY_HEADER_BYTES + entry.data.length;
