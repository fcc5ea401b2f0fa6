import { type MemberUpdate, updateBytes } from './membership-frame.js';

/**
 * News to be passed on, each a bounded number of times, those told least first; newer news of a member replaces
 * older. Taking costs what is taken, however much waits.
 */
export class GossipQueue {
  /** By how often it was told. */
  readonly #levels: Map<string, MemberUpdate>[] = [];
  readonly #levelOf = new Map<string, number>();

  get size(): number {
    return this.#levelOf.size;
  }

  push(update: MemberUpdate): void {
    this.#remove(update.name);
    this.#put(0, update);
  }

  /** Updates that fit into `bytes` together; each counts as told once more, and is dropped at `timesMax`. */
  take(bytes: number, timesMax: number): MemberUpdate[] {
    const taken: MemberUpdate[] = [];
    const told: [number, MemberUpdate][] = [];
    let room = bytes;
    for (let level = 0; level < this.#levels.length && room > 0; level++) {
      for (const update of this.#levels[level]!.values()) {
        const size = updateBytes(update);
        if (size > room) {
          room = 0;
          break;
        }
        room -= size;
        taken.push(update);
        told.push([level, update]);
      }
    }
    for (const [level, update] of told) {
      this.#remove(update.name);
      if (level + 1 < timesMax) this.#put(level + 1, update);
    }
    return taken;
  }

  #put(level: number, update: MemberUpdate): void {
    while (this.#levels.length <= level) this.#levels.push(new Map());
    this.#levels[level]!.set(update.name, update);
    this.#levelOf.set(update.name, level);
  }

  #remove(name: string): void {
    const level = this.#levelOf.get(name);
    if (level === undefined) return;
    this.#levels[level]!.delete(name);
    this.#levelOf.delete(name);
  }
}
