import { crc32c } from '../codec/crc32c.js';
import type { LogEntry, ReplicaId } from '../consensus/log-entry.js';
import { type Raft, type RaftEffect, RaftRole } from '../consensus/raft.js';
import type { World } from './world.js';

/**
 * Watches all replicas of one group, and says when one of Raft's five properties (Ongaro and Ousterhout, figure 3)
 * does not hold: election safety, leader append-only, log matching, leader completeness, state machine safety.
 */
export class ConsensusAudit {
  readonly #leaders = new Map<number, number>();
  /** By index and term: what the entry is, and the term of the one before it. */
  readonly #entries = new Map<string, { checksum: number; previousTerm: number | undefined }>();
  /** By index: what was applied first, and at the latest in which term it was committed. */
  readonly #committed = new Map<number, { term: number; checksum: number; by: number }>();
  readonly #snapshots = new Map<number, number>();
  #highestCommitted = 0;

  constructor(
    readonly world: World,
    readonly group: number,
  ) {}

  get commits(): number {
    return this.#highestCommitted;
  }

  /** To be called with every effect before it is carried out; `applied`: the index applied last at that replica. */
  observe(raft: Raft, effect: RaftEffect, applied: number): void {
    if (effect.kind === 'role' && effect.role === RaftRole.Leader) this.#elected(raft, effect.term);
    else if (effect.kind === 'persist') {
      const { batch } = effect;
      for (const entry of batch.entries) this.#stored(raft, entry);
      if (batch.snapshot !== null && batch.snapshot.index > 0) {
        this.#snapshot(raft.id, batch.snapshot.index, batch.snapshot.data);
      }
      if (batch.truncateFrom !== null && raft.role === RaftRole.Leader) {
        this.#violation(`leader ${raft.id} of term ${raft.term} truncates its own log`);
      }
    } else if (effect.kind === 'apply') {
      let last = applied;
      for (const entry of effect.entries) {
        if (entry.index !== last + 1) this.#violation(`${raft.id} applies ${entry.index} after ${last}`);
        last = entry.index;
        this.#applied(raft, entry);
      }
    }
  }

  #elected(raft: Raft, term: number): void {
    const other = this.#leaders.get(term);
    if (other !== undefined && other !== raft.id) {
      this.#violation(`election safety: ${other} and ${raft.id} both lead term ${term}`);
    }
    if (other === raft.id) return;
    this.#leaders.set(term, raft.id);
    this.world.count('elections');
    for (let index = this.#highestCommitted; index > raft.snapshotIndex; index--) {
      const committed = this.#committed.get(index);
      if (committed === undefined || committed.by >= term) continue;
      const own = raft.termAt(index);
      if (own === committed.term) break; // By log matching all before it is the same.
      this.#violation(
        `leader completeness: leader ${raft.id} of term ${term} has term ${own} at ${index}, committed with ${committed.term}`,
      );
      return;
    }
  }

  #stored(raft: Raft, { index, term, data }: LogEntry): void {
    const key = `${index}/${term}`;
    const checksum = crc32c(data);
    const previousTerm = raft.termAt(index - 1);
    const known = this.#entries.get(key);
    if (known === undefined) {
      this.#entries.set(key, { checksum, previousTerm });
      return;
    }
    const isSame =
      known.checksum === checksum &&
      (known.previousTerm === previousTerm || known.previousTerm === undefined || previousTerm === undefined);
    if (!isSame) this.#violation(`log matching: ${raft.id} has another entry ${index} of term ${term}`);
  }

  /** What a replica finds on its disk must be what somebody had stored. */
  recovered(id: ReplicaId, entries: readonly LogEntry[]): void {
    for (const { index, term, data } of entries) {
      if (this.#entries.get(`${index}/${term}`)?.checksum !== crc32c(data)) {
        this.#violation(`durability: ${id} finds an entry ${index} of term ${term} that nobody wrote`);
        return;
      }
    }
  }

  #applied(raft: Raft, { index, term, data }: LogEntry): void {
    const checksum = crc32c(data);
    const known = this.#committed.get(index);
    if (known === undefined) {
      this.#committed.set(index, { term, checksum, by: raft.term });
      this.#highestCommitted = Math.max(this.#highestCommitted, index);
      return;
    }
    known.by = Math.min(known.by, raft.term);
    if (known.term !== term || known.checksum !== checksum) {
      this.#violation(`state machine safety: ${raft.id} applies another entry at ${index}`);
    }
  }

  #snapshot(id: number, index: number, data: Uint8Array): void {
    const checksum = crc32c(data);
    const known = this.#snapshots.get(index);
    if (known === undefined) this.#snapshots.set(index, checksum);
    else if (known !== checksum) this.#violation(`determinism: ${id} has another state at ${index}`);
  }

  #violation(what: string): void {
    this.world.violation(`group ${this.group}: ${what}`);
  }
}
