import { crc32c } from '../codec/crc32c.js';
import {
  decodeConfiguration,
  EntryKind,
  encodeConfiguration,
  type LogEntry,
  MAX_COMMAND_BYTES,
  MAX_REPLICAS,
  NO_REPLICA,
  type RaftConfiguration,
  type RaftSnapshot,
  type RaftState,
  type ReplicaId,
} from './log-entry.js';
import { RaftLog, sizeOf } from './raft-log.js';
import { MAX_ENTRIES_PER_APPEND, MAX_SNAPSHOT_BYTES, type RaftMessage } from './raft-message.js';

/**
 * One replica of a Raft group (Ongaro and Ousterhout 2014; Ongaro's dissertation for pre-vote, transfer, membership
 * changes one at a time, read index and leases). Sans-I/O: `step(event, now)` gives what to send, store and apply.
 *
 *                        time               majority of pre-votes          majority of votes
 *   Follower ─────────────▶ PreCandidate ─────────────────▶ Candidate ─────────────────▶ Leader
 *      ▲                        │                              │                            │
 *      └──── a leader of this term, a newer term, time ────────┴──── a newer term, no quorum, storage full
 *
 * What the caller owes:
 * - `now` of a clock that never goes back and counts suspension; two replicas' clocks differ in rate by no more than
 *   timing.clockDriftMax each way. Nothing else is assumed of clocks, and only leases depend on it.
 * - a `tick` at `nextDeadlineMs`; late ticks cost liveness, never safety.
 * - effects carried out in their order. `persist`: written in order, and answered by `persisted` once it is durable;
 *   what must not be said before that is kept back here, so `send` may always go out at once, and lost, doubled,
 *   late and reordered messages are all right, damaged ones are not (their frames have a checksum).
 * - `apply` in order, each once; `restore` replaces the state machine's state.
 * - after a restart, a new Raft from all that was durable, under the same id. A replica whose disk was lost may
 *   never come back under its old id.
 *
 * What it promises: at most one leader in a term; entries that are committed stay; replicas apply the same entries
 * in the same order; a `readReady` index covers every command answered before the read began.
 *
 * Everything that waits is bounded: uncommitted bytes, bytes on their way to each follower, reads, snapshot parts.
 */
export interface RaftTiming {
  readonly heartbeatMs: number;
  /** A follower that hears nothing for a random time in between seeks election; below the first it helps nobody else. */
  readonly electionTimeoutMinMs: number;
  readonly electionTimeoutMaxMs: number;
  /** By how much any clock may be fast or slow, as a fraction of 1. */
  readonly clockDriftMax: number;
}

/** For a local network; the lowest that stood a busy machine without false elections should be kept well clear of. */
export const DEFAULT_RAFT_TIMING: RaftTiming = {
  heartbeatMs: 40,
  electionTimeoutMinMs: 200,
  electionTimeoutMaxMs: 400,
  clockDriftMax: 0.05,
};

/** Of commands that no majority has yet; further ones are refused. */
export const MAX_UNCOMMITTED_BYTES = 64 * 1024 * 1024;
/** One append message; a command may be larger on its own. */
export const APPEND_BYTES = 256 * 1024;
/** Appends on their way to one follower: what it has not taken, it will have to hold. */
export const MAX_INFLIGHT_APPENDS = 64;
export const MAX_INFLIGHT_BYTES = 8 * 1024 * 1024;
export const MAX_WAITING_READS = 65_536;
export const SNAPSHOT_CHUNK_BYTES = 256 * 1024;
const SNAPSHOT_WINDOW_BYTES = 4 * SNAPSHOT_CHUNK_BYTES;
/** A learner this near the end of the log may become a voter: it will not hold up commits for long. */
const PROMOTION_LAG_ENTRIES = 1_024;
const MAX_REMEMBERED_ROUNDS = 1_024;
const TRAILING_ENTRIES = 4_096;

export enum RaftRole {
  Follower = 'follower',
  PreCandidate = 'pre-candidate',
  Candidate = 'candidate',
  Leader = 'leader',
}

export type ConfigurationChange =
  | { kind: 'addLearner'; id: ReplicaId }
  /** A learner becomes a voter. */
  | { kind: 'promote'; id: ReplicaId }
  /** A voter becomes a learner. */
  | { kind: 'demote'; id: ReplicaId }
  | { kind: 'remove'; id: ReplicaId };

export type RaftEvent =
  | { kind: 'tick' }
  | { kind: 'message'; from: ReplicaId; message: RaftMessage }
  | { kind: 'propose'; id: number; data: Uint8Array }
  | { kind: 'configure'; id: number; change: ConfigurationChange }
  /** isLeaseEnough: the clock assumption may be relied on; else a majority is asked. */
  | { kind: 'read'; id: number; isLeaseEnough: boolean }
  | { kind: 'transfer'; to: ReplicaId }
  /** All persist effects up to this sequence are durable. */
  | { kind: 'persisted'; sequence: number }
  /** What is to be persisted waits for room; it is not lost. */
  | { kind: 'storageFull' }
  | { kind: 'storageReady' }
  /** The state machine's whole state after applying `index`. */
  | { kind: 'compact'; index: number; data: Uint8Array };

export interface PersistBatch {
  readonly sequence: number;
  /** Null: as it was. */
  readonly hardState: { readonly term: number; readonly votedFor: ReplicaId } | null;
  /** Not null: replaces all that was stored; hardState and entries are then complete. */
  readonly snapshot: RaftSnapshot | null;
  /** Entries from here on, if there are, are void. */
  readonly truncateFrom: number | null;
  readonly entries: readonly LogEntry[];
}

export type RefusalReason =
  | 'notLeader'
  | 'transferring'
  | 'storageFull'
  | 'overloaded'
  | 'tooLarge'
  | 'notNow';

export type RaftEffect =
  | { kind: 'send'; to: ReplicaId; message: RaftMessage }
  | { kind: 'persist'; batch: PersistBatch }
  | { kind: 'apply'; entries: readonly LogEntry[] }
  | { kind: 'restore'; snapshot: RaftSnapshot }
  /** The proposal got this place; whether it stays there shows when that index is applied. */
  | { kind: 'proposed'; id: number; index: number; term: number }
  | { kind: 'refused'; id: number; reason: RefusalReason; leader: ReplicaId }
  /** All up to `index` is applied by the effects so far: the read may be served. */
  | { kind: 'readReady'; id: number; index: number }
  | { kind: 'readRefused'; id: number; reason: RefusalReason; leader: ReplicaId }
  | { kind: 'role'; role: RaftRole; term: number; leader: ReplicaId };

export interface RaftOptions {
  readonly id: ReplicaId;
  readonly state: RaftState;
  readonly timing: RaftTiming;
  /** In [0, 1). */
  readonly random: () => number;
  readonly nowMs: number;
  /** Entries kept in memory before a snapshot's end, for followers that are a little behind. */
  readonly trailingEntries?: number;
  /** Of one append message. */
  readonly appendBytes?: number;
}

/** What a leader knows of another replica. */
interface Progress {
  /** probe: one append at a time until it fits; replicate: pipelined; snapshot: it lacks what is compacted. */
  state: 'probe' | 'replicate' | 'snapshot';
  next: number;
  match: number;
  /** Newest heartbeat round that it answered. */
  round: number;
  isPaused: boolean;
  inflight: { last: number; bytes: number }[];
  inflightBytes: number;
  transfer: { snapshot: RaftSnapshot; checksum: number; acked: number; sent: number } | null;
}

interface PendingRead {
  readonly id: number;
  index: number;
  /** 0: none begun yet. */
  round: number;
}

interface SnapshotAssembly {
  readonly index: number;
  readonly term: number;
  readonly totalBytes: number;
  readonly checksum: number;
  received: number;
  chunks: Uint8Array[];
}

export class Raft {
  readonly id: ReplicaId;
  readonly #timing: RaftTiming;
  readonly #random: () => number;
  readonly #trailingEntries: number;
  readonly #appendBytes: number;
  #nowMs: number;
  #effects: RaftEffect[] = [];

  #role = RaftRole.Follower;
  #leader: ReplicaId = NO_REPLICA;
  #term: number;
  #votedFor: ReplicaId;
  readonly #log: RaftLog;
  #snapshot: RaftSnapshot;
  /** Oldest first; the last is in force, the first is committed. */
  #configurations: { index: number; configuration: RaftConfiguration }[];
  #commit: number;
  #applied: number;
  #isStorageFull = false;

  #electionDeadlineMs = 0;
  /** When a leader was last heard of, or this replica started: until a while after it helps no one to office. */
  #lastHeardMs: number;
  #votes = new Map<ReplicaId, boolean>();
  /** Its log and this term's leader's are the same up to here. */
  #verified: number;
  #lastRound = 0;
  #owesAck = false;
  #assembly: SnapshotAssembly | null = null;

  #progress = new Map<ReplicaId, Progress>();
  #heartbeatDeadlineMs = 0;
  #round = 0;
  #rounds: { round: number; sentMs: number }[] = [];
  #quorumRound = 0;
  /** When the newest round that a majority answered was begun. */
  #quorumSentMs = 0;
  /** The first entry of this leader's term. */
  #termStart = 0;
  #reads: PendingRead[] = [];
  #transferTo: ReplicaId = NO_REPLICA;
  #transferDeadlineMs = 0;
  #uncommittedBytes = 0;
  /** A timeoutNow may come late, so after it this term's leases are worth nothing. */
  #isLeaseForfeit = false;

  #isHardStateDirty = false;
  #truncateFrom: number | null = null;
  #unsaved: LogEntry[] = [];
  #snapshotToSave: RaftSnapshot | null = null;
  #issued = 0;
  #persisted = 0;
  #hardStateSequence = 0;
  #durable: number;
  #pendingSaves: { sequence: number; last: number }[] = [];
  #held: { sequence: number; to: ReplicaId; message: RaftMessage }[] = [];

  constructor(options: RaftOptions) {
    const { snapshot, entries, term, votedFor } = options.state;
    this.id = options.id;
    this.#timing = options.timing;
    this.#random = options.random;
    this.#trailingEntries = options.trailingEntries ?? TRAILING_ENTRIES;
    this.#appendBytes = options.appendBytes ?? APPEND_BYTES;
    this.#nowMs = options.nowMs;
    this.#term = term;
    this.#votedFor = votedFor;
    this.#snapshot = snapshot;
    this.#log = new RaftLog(snapshot.index, snapshot.term, entries);
    this.#configurations = [{ index: snapshot.index, configuration: snapshot.configuration }];
    for (const entry of entries) this.#noteConfiguration(entry);
    this.#commit = snapshot.index;
    this.#applied = snapshot.index;
    this.#verified = snapshot.index;
    this.#durable = this.#log.lastIndex;
    this.#lastHeardMs = options.nowMs;
    this.#resetElectionDeadline();
  }

  get role(): RaftRole {
    return this.#role;
  }

  get term(): number {
    return this.#term;
  }

  /** NO_REPLICA: not known. */
  get leader(): ReplicaId {
    return this.#leader;
  }

  get commit(): number {
    return this.#commit;
  }

  get lastIndex(): number {
    return this.#log.lastIndex;
  }

  /** Bytes of the entries in memory, the measure for when to compact. */
  get logBytes(): number {
    return this.#log.bytes;
  }

  get snapshotIndex(): number {
    return this.#snapshot.index;
  }

  get configuration(): RaftConfiguration {
    return this.#configurations.at(-1)!.configuration;
  }

  termAt(index: number): number | undefined {
    return this.#log.termAt(index);
  }

  get isCaughtUpLeader(): boolean {
    return this.#role === RaftRole.Leader && this.#applied >= this.#termStart;
  }

  /** When the next tick is due. */
  get nextDeadlineMs(): number {
    return this.#role === RaftRole.Leader ? this.#heartbeatDeadlineMs : this.#electionDeadlineMs;
  }

  step(event: RaftEvent, nowMs: number): RaftEffect[] {
    this.#nowMs = Math.max(this.#nowMs, nowMs);
    this.#effects = [];
    switch (event.kind) {
      case 'tick':
        this.#tick();
        break;
      case 'message':
        this.#receive(event.from, event.message);
        break;
      case 'propose':
        this.#propose(event.id, event.data);
        break;
      case 'configure':
        this.#configure(event.id, event.change);
        break;
      case 'read':
        this.#read(event.id, event.isLeaseEnough);
        break;
      case 'transfer':
        this.#beginTransfer(event.to);
        break;
      case 'persisted':
        this.#markPersisted(event.sequence);
        break;
      case 'storageFull':
        this.#isStorageFull = true;
        if (this.#role === RaftRole.Leader) this.#retire();
        break;
      case 'storageReady':
        this.#isStorageFull = false;
        break;
      case 'compact':
        this.#compact(event.index, event.data);
        break;
    }
    this.#finish();
    return this.#effects;
  }

  // ── the rules that safety rests on, one method each ───────────────────────────────────────────────────────────

  /** Of n voters; any two quorums have a member in common. */
  protected quorumSize(voters: number): number {
    return Math.floor(voters / 2) + 1;
  }

  /** Section 5.2: one vote in a term. */
  protected hasVoteLeft(votedFor: ReplicaId, candidate: ReplicaId): boolean {
    return votedFor === NO_REPLICA || votedFor === candidate;
  }

  /** Section 5.4.1: who lacks something committed is never elected. */
  protected isUpToDate(lastIndex: number, lastTerm: number): boolean {
    const { lastTerm: ownTerm, lastIndex: ownIndex } = this.#log;
    return lastTerm > ownTerm || (lastTerm === ownTerm && lastIndex >= ownIndex);
  }

  /** Dissertation section 4.2.3: while there may be a leader nobody is helped to depose it; leases rest on this. */
  protected isLoyal(nowMs: number, lastHeardMs: number): boolean {
    return this.#role === RaftRole.Leader || nowMs < lastHeardMs + this.#timing.electionTimeoutMinMs;
  }

  /** Section 5.3: what follows is only taken when what precedes is the same. */
  protected matchesPrevious(index: number, term: number): boolean {
    return this.#log.termAt(index) === term;
  }

  /** Section 5.3: the first of the leader's entries that differs from what is here; entries.length when none does. */
  protected firstConflict(entries: readonly LogEntry[]): number {
    let at = 0;
    while (at < entries.length && this.#log.termAt(entries[at]!.index) === entries[at]!.term) at++;
    return at;
  }

  /** Section 5.3: only what is known to be the leader's own may be taken for committed. */
  protected followerCommit(leaderCommit: number, lastVerified: number): number {
    return Math.min(leaderCommit, lastVerified);
  }

  /** Section 5.4.2: entries of earlier terms are committed by one of the leader's own after them, never by counting. */
  protected mayCommitByCounting(termOfEntry: number): boolean {
    return termOfEntry === this.#term;
  }

  /** Whether a message must wait until all that was to be stored before it is durable. */
  protected waitsForStorage(_message: RaftMessage): boolean {
    return true;
  }

  /** How far this replica vouches for its log. */
  protected vouchedIndex(durableIndex: number, _lastIndex: number): number {
    return durableIndex;
  }

  /** Section 6.4: until an entry of its term is committed a leader does not know what is. */
  protected mayServeReads(): boolean {
    return this.#commit >= this.#termStart;
  }

  /** Section 6.4: a read is current when a majority has answered a heartbeat begun after it. */
  protected isRoundAnswered(round: number, quorumRound: number): boolean {
    return round !== 0 && quorumRound >= round;
  }

  /**
   * For how long after the begin of an answered round no other can be elected, by this clock: the followers wait
   * electionTimeoutMinMs by clocks that may be fast while ours is slow.
   */
  protected leaseMs(): number {
    const { electionTimeoutMinMs, clockDriftMax } = this.#timing;
    return (electionTimeoutMinMs * (1 - clockDriftMax)) / (1 + clockDriftMax);
  }

  /** A forced election asks nobody for loyalty, so leases end where one may have been called for. */
  protected areLeasesGood(isForfeit: boolean): boolean {
    return !isForfeit;
  }

  /** Dissertation section 4.1, with its correction of 2015: the last change, and one entry of this term, are committed. */
  protected mayChangeConfiguration(lastChange: number, commit: number, termStart: number): boolean {
    return lastChange <= commit && termStart <= commit;
  }

  // ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #tick(): void {
    if (this.#role === RaftRole.Leader) {
      if (this.#nowMs >= this.#heartbeatDeadlineMs) this.#beat();
      return;
    }
    if (this.#nowMs >= this.#electionDeadlineMs) this.#campaign(true, false);
  }

  #beat(): void {
    if (this.#nowMs - this.#quorumSentMs > this.#timing.electionTimeoutMaxMs && !this.#isAlone) {
      // No majority answers: whoever still believes in this leader should look for another.
      this.#becomeFollower(this.#term, NO_REPLICA);
      return;
    }
    if (this.#transferTo !== NO_REPLICA && this.#nowMs >= this.#transferDeadlineMs)
      this.#transferTo = NO_REPLICA;
    this.#startRound();
  }

  #resetElectionDeadline(): void {
    const { electionTimeoutMinMs: min, electionTimeoutMaxMs: max } = this.#timing;
    this.#electionDeadlineMs = this.#nowMs + min + this.#random() * (max - min);
  }

  get #isAlone(): boolean {
    const { voters } = this.configuration;
    return voters.length === 1 && voters[0] === this.id;
  }

  // ── election ──────────────────────────────────────────────────────────────────────────────────────────────────

  #campaign(isPre: boolean, isTransfer: boolean): void {
    this.#resetElectionDeadline();
    const { voters } = this.configuration;
    if (!voters.includes(this.id) || this.#isStorageFull) {
      if (this.#role !== RaftRole.Follower) this.#becomeFollower(this.#term, NO_REPLICA);
      return;
    }
    this.#votes = new Map();
    this.#leader = NO_REPLICA;
    if (isPre) {
      this.#setRole(RaftRole.PreCandidate);
      this.#votes.set(this.id, true);
    } else {
      this.#term++;
      this.#votedFor = this.id;
      this.#isHardStateDirty = true;
      this.#verified = this.#commit;
      this.#setRole(RaftRole.Candidate);
      // Its own vote too counts only once it cannot be forgotten.
      this.#hold(this.id, { kind: 'voteReply', term: this.#term, isPre: false, isGranted: true });
    }
    const request: RaftMessage = {
      kind: 'voteRequest',
      term: isPre ? this.#term + 1 : this.#term,
      isPre,
      isTransfer,
      lastIndex: this.#log.lastIndex,
      lastTerm: this.#log.lastTerm,
    };
    for (const id of voters) if (id !== this.id) this.#send(id, request);
    if (isPre) this.#countVotes();
  }

  #receiveVoteRequest(from: ReplicaId, message: RaftMessage & { kind: 'voteRequest' }): void {
    const isLoyal = !message.isTransfer && this.isLoyal(this.#nowMs, this.#lastHeardMs);
    if (message.isPre) {
      const isGranted =
        !isLoyal && message.term > this.#term && this.isUpToDate(message.lastIndex, message.lastTerm);
      const term = isGranted ? message.term : this.#term;
      this.#send(from, { kind: 'voteReply', term, isPre: true, isGranted });
      return;
    }
    if (isLoyal) return;
    if (message.term > this.#term) this.#becomeFollower(message.term, NO_REPLICA);
    const isGranted =
      message.term === this.#term &&
      this.#role === RaftRole.Follower &&
      this.hasVoteLeft(this.#votedFor, from) &&
      this.isUpToDate(message.lastIndex, message.lastTerm) &&
      !this.#isStorageFull;
    if (isGranted) {
      if (this.#votedFor !== from) {
        this.#votedFor = from;
        this.#isHardStateDirty = true;
      }
      this.#resetElectionDeadline();
    }
    this.#hold(from, { kind: 'voteReply', term: this.#term, isPre: false, isGranted });
  }

  #receiveVoteReply(from: ReplicaId, message: RaftMessage & { kind: 'voteReply' }): void {
    const isExpected = message.isPre
      ? this.#role === RaftRole.PreCandidate && message.term === this.#term + Number(message.isGranted)
      : this.#role === RaftRole.Candidate && message.term === this.#term;
    if (!isExpected) return;
    this.#votes.set(from, message.isGranted);
    this.#countVotes();
  }

  #countVotes(): void {
    const { voters } = this.configuration;
    const quorum = this.quorumSize(voters.length);
    const granted = voters.filter((id) => this.#votes.get(id) === true).length;
    const refused = voters.filter((id) => this.#votes.get(id) === false).length;
    if (granted >= quorum) {
      if (this.#role === RaftRole.PreCandidate) this.#campaign(false, false);
      else this.#becomeLeader();
    } else if (refused > voters.length - quorum) {
      this.#becomeFollower(this.#term, NO_REPLICA);
    }
  }

  #becomeFollower(term: number, leader: ReplicaId): void {
    if (term > this.#term) {
      this.#term = term;
      this.#votedFor = NO_REPLICA;
      this.#isHardStateDirty = true;
      // Of a new leader's log nothing is known but that it holds what is committed.
      this.#verified = this.#commit;
      this.#lastRound = 0;
      this.#owesAck = false;
      this.#assembly = null;
    }
    this.#leader = leader;
    this.#setRole(RaftRole.Follower);
    this.#resetElectionDeadline();
  }

  #becomeLeader(): void {
    this.#leader = this.id;
    this.#progress = new Map();
    this.#round = 0;
    this.#quorumRound = 0;
    this.#quorumSentMs = this.#nowMs;
    this.#rounds = [];
    this.#transferTo = NO_REPLICA;
    this.#isLeaseForfeit = false;
    this.#termStart = this.#log.lastIndex + 1;
    this.#uncommittedBytes = 0;
    for (let index = this.#commit + 1; index < this.#termStart; index++) {
      this.#uncommittedBytes += sizeOf(this.#log.at(index)!);
    }
    this.#setRole(RaftRole.Leader);
    this.#syncProgress();
    this.#appendOwn(EntryKind.Noop, new Uint8Array(0));
    this.#startRound();
  }

  #setRole(role: RaftRole): void {
    if (this.#role === RaftRole.Leader && role !== RaftRole.Leader) {
      for (const { id } of this.#reads) this.#refuseRead(id, 'notLeader');
      this.#reads = [];
      this.#progress = new Map();
    }
    this.#role = role;
    this.#effects.push({ kind: 'role', role, term: this.#term, leader: this.#leader });
  }

  // ── leadership transfer ───────────────────────────────────────────────────────────────────────────────────────

  #beginTransfer(to: ReplicaId): void {
    if (this.#role !== RaftRole.Leader || to === this.id || !this.configuration.voters.includes(to)) return;
    this.#transferTo = to;
    this.#transferDeadlineMs = this.#nowMs + this.#timing.electionTimeoutMaxMs;
    this.#completeTransfer();
  }

  #completeTransfer(): void {
    if (this.#progress.get(this.#transferTo)?.match !== this.#log.lastIndex) return;
    this.#isLeaseForfeit = true;
    this.#send(this.#transferTo, { kind: 'timeoutNow', term: this.#term });
  }

  /** Gives up office in favour of who has most. */
  #retire(): void {
    let best: ReplicaId = NO_REPLICA;
    for (const id of this.configuration.voters) {
      const match = this.#progress.get(id)?.match ?? -1;
      if (id !== this.id && match > (this.#progress.get(best)?.match ?? -1)) best = id;
    }
    if (best !== NO_REPLICA) this.#send(best, { kind: 'timeoutNow', term: this.#term });
    this.#becomeFollower(this.#term, NO_REPLICA);
  }

  // ── messages ──────────────────────────────────────────────────────────────────────────────────────────────────

  #receive(from: ReplicaId, message: RaftMessage): void {
    if (message.kind === 'voteRequest') {
      this.#receiveVoteRequest(from, message);
      return;
    }
    const isPromise = message.kind === 'voteReply' && message.isPre && message.isGranted;
    if (message.term > this.#term && !isPromise) this.#becomeFollower(message.term, NO_REPLICA);
    switch (message.kind) {
      case 'voteReply':
        this.#receiveVoteReply(from, message);
        return;
      case 'append':
        if (this.#hear(from, message.term, message.round)) this.#receiveAppend(from, message);
        return;
      case 'snapshot':
        if (this.#hear(from, message.term, message.round)) this.#receiveSnapshot(from, message);
        return;
      case 'appended':
      case 'rejected':
      case 'snapshotReply': {
        const progress = this.#progress.get(from);
        if (this.#role !== RaftRole.Leader || message.term !== this.#term || progress === undefined) return;
        this.#noteRound(from, progress, message.round);
        if (message.kind === 'appended') this.#receiveAppended(from, progress, message.match);
        else if (message.kind === 'rejected') this.#receiveRejected(progress, message);
        else this.#receiveSnapshotReply(progress, message.index, message.offset);
        return;
      }
      case 'timeoutNow':
        if (message.term === this.#term && this.#role === RaftRole.Follower) this.#campaign(false, true);
        return;
    }
  }

  /** A message of a leader: false when it is one of the past, which is told so. */
  #hear(from: ReplicaId, term: number, round: number): boolean {
    if (term < this.#term) {
      const none = { round: 0, previousIndex: 0, hintIndex: 0, hintTerm: 0 };
      this.#hold(from, { kind: 'rejected', term: this.#term, ...none });
      return false;
    }
    if (this.#role === RaftRole.Leader) throw new Error(`${from} and ${this.id} both lead term ${term}`);
    if (this.#role !== RaftRole.Follower || this.#leader !== from) this.#becomeFollower(term, from);
    this.#lastHeardMs = this.#nowMs;
    this.#lastRound = Math.max(this.#lastRound, round);
    this.#resetElectionDeadline();
    return true;
  }

  // ── the follower's log ────────────────────────────────────────────────────────────────────────────────────────

  #receiveAppend(from: ReplicaId, message: RaftMessage & { kind: 'append' }): void {
    let { previousIndex, entries } = message;
    const base = this.#log.baseIndex;
    if (previousIndex < base) {
      // All up to the base is committed, so it is the leader's too.
      entries = entries.slice(base - previousIndex);
      previousIndex = base;
    } else if (!this.matchesPrevious(previousIndex, message.previousTerm)) {
      this.#reject(from, message);
      return;
    }
    const at = this.firstConflict(entries);
    if (at < entries.length && this.#isStorageFull) entries = entries.slice(0, at);
    if (at < entries.length) this.#replaceFrom(entries[at]!.index, entries.slice(at));
    const last = previousIndex + entries.length;
    this.#verified = Math.max(this.#verified, last);
    this.#commitTo(this.followerCommit(message.commit, last));
    if (at < entries.length) this.#owesAck = true;
    else this.#acknowledge();
  }

  #replaceFrom(index: number, entries: readonly LogEntry[]): void {
    if (index <= this.#commit) throw new Error(`entry ${index} is committed and would be replaced`);
    if (index <= this.#log.lastIndex) this.#truncate(index);
    for (const entry of entries) {
      this.#log.append(entry);
      this.#unsaved.push(entry);
      this.#noteConfiguration(entry);
    }
  }

  #truncate(from: number): void {
    this.#log.truncateFrom(from);
    this.#unsaved = this.#unsaved.filter(({ index }) => index < from);
    this.#truncateFrom = Math.min(this.#truncateFrom ?? from, from);
    this.#configurations = this.#configurations.filter(({ index }, at) => at === 0 || index < from);
    this.#verified = Math.min(this.#verified, from - 1);
    this.#durable = Math.min(this.#durable, from - 1);
    for (const save of this.#pendingSaves) save.last = Math.min(save.last, from - 1);
  }

  /** Answers the leader: how far its log is durable here. */
  #acknowledge(): void {
    this.#owesAck = false;
    // Only the term must be durable: `match` already says no more of the entries than is.
    this.#holdForTerm(this.#leader, {
      kind: 'appended',
      term: this.#term,
      round: this.#lastRound,
      match: Math.min(this.#verified, this.vouchedIndex(this.#durable, this.#log.lastIndex)),
    });
  }

  #reject(from: ReplicaId, { previousIndex, previousTerm, round }: RaftMessage & { kind: 'append' }): void {
    const [hintIndex, hintTerm] = this.#lastNotAfter(
      Math.min(previousIndex, this.#log.lastIndex),
      previousTerm,
    );
    this.#holdForTerm(from, {
      kind: 'rejected',
      term: this.#term,
      round,
      previousIndex,
      hintIndex,
      hintTerm,
    });
  }

  /** The last entry at or before `index` with a term of at most `term`: the logs cannot agree between the two. */
  #lastNotAfter(index: number, term: number): [index: number, term: number] {
    let at = index;
    while (at > this.#log.baseIndex && this.#log.termAt(at)! > term) at--;
    return [at, this.#log.termAt(at) ?? 0];
  }

  #receiveSnapshot(from: ReplicaId, message: RaftMessage & { kind: 'snapshot' }): void {
    const { index, term, totalBytes, checksum, offset, chunk } = message;
    if (index <= this.#commit) {
      this.#assembly = null;
      this.#acknowledge();
      return;
    }
    if (this.#isStorageFull || totalBytes > MAX_SNAPSHOT_BYTES) return;
    let assembly = this.#assembly;
    if (
      assembly === null ||
      assembly.index !== index ||
      assembly.term !== term ||
      assembly.checksum !== checksum
    ) {
      assembly = { index, term, totalBytes, checksum, received: 0, chunks: [] };
      this.#assembly = assembly;
    }
    if (offset === assembly.received && offset + chunk.length <= totalBytes) {
      if (chunk.length > 0) assembly.chunks.push(chunk);
      assembly.received += chunk.length;
    }
    const { received } = assembly;
    if (received === totalBytes) {
      this.#assembly = null;
      const data = Buffer.concat(assembly.chunks);
      if (crc32c(data) === checksum) {
        const { lastTerm, configuration } = message;
        this.#install({ index, term: lastTerm, configuration, data });
        return;
      }
      this.#hold(from, { kind: 'snapshotReply', term: this.#term, round: this.#lastRound, index, offset: 0 });
      return;
    }
    this.#hold(from, {
      kind: 'snapshotReply',
      term: this.#term,
      round: this.#lastRound,
      index,
      offset: received,
    });
  }

  #install(snapshot: RaftSnapshot): void {
    const { index, term, configuration } = snapshot;
    if (this.#log.termAt(index) === term) {
      this.#log.compactTo(index);
      this.#configurations = [
        { index, configuration },
        ...this.#configurations.filter((one) => one.index > index),
      ];
    } else {
      if (index < this.#log.lastIndex || this.#unsaved.length > 0) this.#truncate(this.#log.baseIndex + 1);
      this.#log.reset(index, term);
      this.#configurations = [{ index, configuration }];
    }
    this.#snapshot = snapshot;
    this.#snapshotToSave = snapshot;
    this.#commit = index;
    this.#applied = index;
    this.#verified = Math.max(this.#verified, index);
    this.#owesAck = true;
    this.#effects.push({ kind: 'restore', snapshot });
  }

  // ── the leader's log ──────────────────────────────────────────────────────────────────────────────────────────

  #propose(id: number, data: Uint8Array): void {
    const reason = this.#reasonAgainst(data.length);
    if (reason !== null) {
      this.#refuse(id, reason);
      return;
    }
    const { index, term } = this.#appendOwn(EntryKind.Command, data);
    this.#effects.push({ kind: 'proposed', id, index, term });
  }

  #reasonAgainst(bytes: number): RefusalReason | null {
    if (this.#role !== RaftRole.Leader) return 'notLeader';
    if (this.#transferTo !== NO_REPLICA) return 'transferring';
    if (this.#isStorageFull) return 'storageFull';
    if (bytes > MAX_COMMAND_BYTES) return 'tooLarge';
    if (this.#uncommittedBytes + bytes > MAX_UNCOMMITTED_BYTES) return 'overloaded';
    return null;
  }

  #appendOwn(kind: EntryKind, data: Uint8Array): LogEntry {
    const entry: LogEntry = { index: this.#log.lastIndex + 1, term: this.#term, kind, data };
    this.#log.append(entry);
    this.#unsaved.push(entry);
    this.#uncommittedBytes += sizeOf(entry);
    this.#noteConfiguration(entry);
    return entry;
  }

  #refuse(id: number, reason: RefusalReason): void {
    this.#effects.push({ kind: 'refused', id, reason, leader: this.#leader });
  }

  #receiveAppended(from: ReplicaId, progress: Progress, match: number): void {
    if (match > this.#log.lastIndex)
      throw new Error(`${from} claims entry ${match} of ${this.#log.lastIndex}`);
    progress.isPaused = false;
    if (match > progress.match) {
      progress.match = match;
      while (progress.inflight.length > 0 && progress.inflight[0]!.last <= match) {
        progress.inflightBytes -= progress.inflight.shift()!.bytes;
      }
    }
    if (progress.state === 'probe' && progress.match >= progress.next - 1) progress.state = 'replicate';
    if (progress.state === 'snapshot' && match >= progress.transfer!.snapshot.index) {
      progress.state = 'replicate';
      progress.transfer = null;
    }
    progress.next = Math.max(progress.next, progress.match + 1);
    if (from === this.#transferTo) this.#completeTransfer();
  }

  #receiveRejected(progress: Progress, message: RaftMessage & { kind: 'rejected' }): void {
    if (progress.state === 'snapshot' || message.previousIndex <= progress.match) return;
    if (progress.state === 'probe' && message.previousIndex !== progress.next - 1) return;
    const [index] = this.#lastNotAfter(Math.min(message.hintIndex, this.#log.lastIndex), message.hintTerm);
    progress.state = 'probe';
    progress.next = Math.max(progress.match, Math.min(index, message.previousIndex - 1)) + 1;
    progress.isPaused = false;
    progress.inflight = [];
    progress.inflightBytes = 0;
  }

  #receiveSnapshotReply(progress: Progress, index: number, offset: number): void {
    const { transfer } = progress;
    if (transfer === null || transfer.snapshot.index !== index || offset > transfer.snapshot.data.length)
      return;
    if (offset < transfer.acked) transfer.sent = offset;
    transfer.acked = offset;
    transfer.sent = Math.max(transfer.sent, offset);
  }

  /** Sends what there is to send, as far as the window has room; isDue: something at any rate. */
  #replicate(to: ReplicaId, progress: Progress, isDue: boolean): void {
    let mustSend = isDue;
    for (;;) {
      if (progress.state !== 'snapshot' && this.#log.termAt(progress.next - 1) === undefined) {
        const { data } = this.#snapshot;
        progress.state = 'snapshot';
        progress.inflight = [];
        progress.inflightBytes = 0;
        progress.transfer = { snapshot: this.#snapshot, checksum: crc32c(data), acked: 0, sent: -1 };
      }
      if (progress.state === 'snapshot') {
        this.#sendSnapshot(to, progress, mustSend);
        return;
      }
      const hasWindow =
        progress.state === 'probe'
          ? !progress.isPaused
          : progress.inflight.length < MAX_INFLIGHT_APPENDS && progress.inflightBytes < MAX_INFLIGHT_BYTES;
      if (progress.next > this.#log.lastIndex || !hasWindow) {
        if (mustSend) this.#sendAppend(to, progress, []);
        return;
      }
      const end = Math.min(this.#log.lastIndex, progress.next + MAX_ENTRIES_PER_APPEND - 1);
      const entries = this.#log.slice(progress.next, end, this.#appendBytes);
      this.#sendAppend(to, progress, entries);
      mustSend = false;
      if (progress.state === 'probe') {
        progress.isPaused = true;
        return;
      }
      const last = entries.at(-1)!.index;
      const bytes = entries.reduce((sum, entry) => sum + sizeOf(entry), 0);
      progress.next = last + 1;
      progress.inflight.push({ last, bytes });
      progress.inflightBytes += bytes;
    }
  }

  #sendAppend(to: ReplicaId, { next }: Progress, entries: readonly LogEntry[]): void {
    this.#send(to, {
      kind: 'append',
      term: this.#term,
      previousIndex: next - 1,
      previousTerm: this.#log.termAt(next - 1)!,
      commit: this.#commit,
      round: this.#round,
      entries,
    });
  }

  #sendSnapshot(to: ReplicaId, progress: Progress, isDue: boolean): void {
    const transfer = progress.transfer!;
    const { index, term, configuration, data } = transfer.snapshot;
    let mustSend = isDue || transfer.sent < 0;
    if (mustSend) transfer.sent = transfer.acked;
    while (
      mustSend ||
      (transfer.sent < data.length && transfer.sent - transfer.acked < SNAPSHOT_WINDOW_BYTES)
    ) {
      const chunk = data.subarray(transfer.sent, transfer.sent + SNAPSHOT_CHUNK_BYTES);
      this.#send(to, {
        kind: 'snapshot',
        term: this.#term,
        round: this.#round,
        index,
        lastTerm: term,
        configuration,
        totalBytes: data.length,
        checksum: transfer.checksum,
        offset: transfer.sent,
        chunk,
      });
      transfer.sent += chunk.length;
      mustSend = false;
    }
  }

  #advanceCommit(): void {
    const { voters } = this.configuration;
    const own = this.vouchedIndex(this.#durable, this.#log.lastIndex);
    const index = this.#quorumValue(voters, (id) =>
      id === this.id ? own : (this.#progress.get(id)?.match ?? 0),
    );
    if (index <= this.#commit || !this.mayCommitByCounting(this.#log.termAt(index)!)) return;
    this.#commitTo(index);
    if (!voters.includes(this.id) && this.#configurations.at(-1)!.index <= index) {
      // It led until its own removal was committed (dissertation section 4.2.2).
      this.#applyCommitted();
      this.#retire();
    }
  }

  /** The largest value that a quorum has reached. */
  #quorumValue(voters: readonly ReplicaId[], reachedBy: (id: ReplicaId) => number): number {
    const values = voters.map(reachedBy).sort((a, b) => b - a);
    return values[this.quorumSize(voters.length) - 1] ?? 0;
  }

  #commitTo(index: number): void {
    if (index <= this.#commit) return;
    if (index > this.#log.lastIndex) throw new Error(`entry ${index} is committed and not here`);
    this.#commit = index;
    while (this.#configurations.length > 1 && this.#configurations[1]!.index <= index)
      this.#configurations.shift();
  }

  // ── membership ────────────────────────────────────────────────────────────────────────────────────────────────

  #configure(id: number, change: ConfigurationChange): void {
    const reason = this.#reasonAgainst(0);
    const next = reason === null ? this.#changed(change) : null;
    if (next === null) {
      this.#refuse(id, reason ?? 'notNow');
      return;
    }
    const { index, term } = this.#appendOwn(EntryKind.Configuration, encodeConfiguration(next));
    this.#syncProgress();
    this.#effects.push({ kind: 'proposed', id, index, term });
  }

  /** The configuration after the change, null when it may not be made (now). */
  #changed({ kind, id }: ConfigurationChange): RaftConfiguration | null {
    const { voters, learners } = this.configuration;
    if (!this.mayChangeConfiguration(this.#configurations.at(-1)!.index, this.#commit, this.#termStart))
      return null;
    const isVoter = voters.includes(id);
    const isLearner = learners.includes(id);
    const without = (ids: readonly ReplicaId[]): ReplicaId[] => ids.filter((one) => one !== id);
    switch (kind) {
      case 'addLearner':
        if (isVoter || isLearner || voters.length + learners.length >= MAX_REPLICAS) return null;
        return { voters, learners: [...learners, id] };
      case 'promote': {
        const lag = this.#log.lastIndex - (this.#progress.get(id)?.match ?? 0);
        if (!isLearner || lag > PROMOTION_LAG_ENTRIES) return null;
        return { voters: [...voters, id], learners: without(learners) };
      }
      case 'demote':
        if (!isVoter || voters.length === 1) return null;
        return { voters: without(voters), learners: [...learners, id] };
      case 'remove':
        if ((!isVoter && !isLearner) || (isVoter && voters.length === 1)) return null;
        return { voters: without(voters), learners: without(learners) };
    }
  }

  #noteConfiguration({ kind, index, data }: LogEntry): void {
    if (kind !== EntryKind.Configuration) return;
    this.#configurations.push({ index, configuration: decodeConfiguration(data) });
  }

  #syncProgress(): void {
    const { voters, learners } = this.configuration;
    const members = new Set([...voters, ...learners]);
    for (const id of this.#progress.keys()) if (!members.has(id)) this.#progress.delete(id);
    for (const id of members) {
      if (id === this.id || this.#progress.has(id)) continue;
      this.#progress.set(id, {
        state: 'probe',
        next: this.#termStart,
        match: 0,
        round: 0,
        isPaused: false,
        inflight: [],
        inflightBytes: 0,
        transfer: null,
      });
    }
  }

  // ── reads ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #read(id: number, isLeaseEnough: boolean): void {
    if (this.#role !== RaftRole.Leader || this.#reads.length >= MAX_WAITING_READS) {
      this.#refuseRead(id, this.#role === RaftRole.Leader ? 'overloaded' : 'notLeader');
      return;
    }
    const hasLease =
      this.areLeasesGood(this.#isLeaseForfeit) && this.#nowMs < this.#quorumSentMs + this.leaseMs();
    if (this.#isAlone || (isLeaseEnough && hasLease && this.#quorumRound > 0)) {
      if (this.mayServeReads()) {
        this.#applyCommitted();
        this.#effects.push({ kind: 'readReady', id, index: this.#commit });
        return;
      }
    }
    this.#reads.push({ id, index: 0, round: 0 });
  }

  #refuseRead(id: number, reason: RefusalReason): void {
    this.#effects.push({ kind: 'readRefused', id, reason, leader: this.#leader });
  }

  /** A new round of heartbeats; it answers for all reads that came before it. */
  #startRound(): void {
    this.#round++;
    this.#rounds.push({ round: this.#round, sentMs: this.#nowMs });
    if (this.#rounds.length > MAX_REMEMBERED_ROUNDS) this.#rounds.shift();
    this.#heartbeatDeadlineMs = this.#nowMs + this.#timing.heartbeatMs;
    if (this.mayServeReads()) {
      for (const read of this.#reads) {
        if (read.round !== 0) continue;
        read.round = this.#round;
        read.index = this.#commit;
      }
    }
    for (const [id, progress] of this.#progress) this.#replicate(id, progress, true);
    this.#advanceQuorumRound();
  }

  #noteRound(_from: ReplicaId, progress: Progress, round: number): void {
    if (round <= progress.round || round > this.#round) return;
    progress.round = round;
    this.#advanceQuorumRound();
  }

  #advanceQuorumRound(): void {
    const { voters } = this.configuration;
    const round = this.#quorumValue(voters, (id) =>
      id === this.id ? this.#round : (this.#progress.get(id)?.round ?? 0),
    );
    if (round <= this.#quorumRound) return;
    this.#quorumRound = round;
    while (this.#rounds.length > 0 && this.#rounds[0]!.round <= round) {
      this.#quorumSentMs = this.#rounds.shift()!.sentMs;
    }
  }

  #serveReads(): void {
    if (this.#reads.length === 0 || !this.mayServeReads()) return;
    let served = 0;
    while (
      served < this.#reads.length &&
      this.isRoundAnswered(this.#reads[served]!.round, this.#quorumRound)
    ) {
      const { id, index } = this.#reads[served++]!;
      this.#effects.push({ kind: 'readReady', id, index });
    }
    this.#reads.splice(0, served);
    // One round at a time: reads that come meanwhile share the next.
    if (this.#reads.length > 0 && this.#reads[0]!.round === 0) {
      this.#startRound();
      if (this.isRoundAnswered(this.#reads[0]!.round, this.#quorumRound)) this.#serveReads();
    }
  }

  // ── storage ───────────────────────────────────────────────────────────────────────────────────────────────────

  #compact(index: number, data: Uint8Array): void {
    const { index: configuredAt, configuration } = this.#configurations[0]!;
    if (index <= this.#snapshot.index || index > this.#applied || index < configuredAt) return;
    const snapshot = { index, term: this.#log.termAt(index)!, configuration, data };
    this.#log.compactTo(Math.max(this.#log.baseIndex, index - this.#trailingEntries));
    this.#snapshot = snapshot;
    this.#snapshotToSave = snapshot;
  }

  #markPersisted(sequence: number): void {
    this.#persisted = Math.max(this.#persisted, sequence);
    while (this.#pendingSaves.length > 0 && this.#pendingSaves[0]!.sequence <= sequence) {
      this.#durable = Math.max(this.#durable, this.#pendingSaves.shift()!.last);
    }
    this.#releaseHeld();
    if (this.#role === RaftRole.Follower && this.#owesAck && this.#leader !== NO_REPLICA) {
      const isAllDurable = this.#durable >= Math.min(this.#verified, this.#log.lastIndex);
      this.#acknowledge();
      this.#owesAck = !isAllDurable;
    }
  }

  /** For after all that has been given to store up to the end of this step. */
  #hold(to: ReplicaId, message: RaftMessage): void {
    if (this.waitsForStorage(message)) this.#held.push({ sequence: -1, to, message });
    else this.#deliver(to, message);
  }

  #holdForTerm(to: ReplicaId, message: RaftMessage): void {
    if (this.#isHardStateDirty) this.#hold(to, message);
    else if (this.#hardStateSequence <= this.#persisted) this.#send(to, message);
    else if (this.waitsForStorage(message))
      this.#held.push({ sequence: this.#hardStateSequence, to, message });
    else this.#deliver(to, message);
  }

  #releaseHeld(): void {
    if (this.#held.length === 0) return;
    const held = this.#held;
    const isReady = ({ sequence }: { sequence: number }): boolean =>
      sequence >= 0 && sequence <= this.#persisted;
    this.#held = held.filter((one) => !isReady(one));
    for (const one of held) if (isReady(one)) this.#deliver(one.to, one.message);
  }

  #deliver(to: ReplicaId, message: RaftMessage): void {
    if (to !== this.id) this.#send(to, message);
    else if (message.kind === 'voteReply') this.#receiveVoteReply(to, message);
  }

  #send(to: ReplicaId, message: RaftMessage): void {
    this.#effects.push({ kind: 'send', to, message });
  }

  #applyCommitted(): void {
    if (this.#applied >= this.#commit) return;
    const entries = this.#log.slice(this.#applied + 1, this.#commit, Number.POSITIVE_INFINITY);
    this.#applied = this.#commit;
    if (this.#role === RaftRole.Leader) {
      for (const entry of entries) this.#uncommittedBytes -= sizeOf(entry);
    }
    this.#effects.push({ kind: 'apply', entries });
  }

  #save(): void {
    const snapshot = this.#snapshotToSave;
    if (
      snapshot === null &&
      !this.#isHardStateDirty &&
      this.#truncateFrom === null &&
      this.#unsaved.length === 0
    ) {
      return;
    }
    this.#issued++;
    const entries =
      snapshot === null
        ? this.#unsaved
        : this.#log.slice(snapshot.index + 1, this.#log.lastIndex, Number.POSITIVE_INFINITY);
    const isHardState = this.#isHardStateDirty || snapshot !== null;
    if (this.#isHardStateDirty) this.#hardStateSequence = this.#issued;
    this.#effects.push({
      kind: 'persist',
      batch: {
        sequence: this.#issued,
        hardState: isHardState ? { term: this.#term, votedFor: this.#votedFor } : null,
        snapshot,
        truncateFrom: snapshot === null ? this.#truncateFrom : null,
        entries,
      },
    });
    this.#pendingSaves.push({ sequence: this.#issued, last: this.#log.lastIndex });
    this.#isHardStateDirty = false;
    this.#snapshotToSave = null;
    this.#truncateFrom = null;
    this.#unsaved = [];
  }

  /** The end of every step: what follows from the state that it left. */
  #finish(): void {
    if (this.#role === RaftRole.Leader) {
      this.#advanceCommit();
    }
    if (this.#role === RaftRole.Leader) {
      for (const [id, progress] of this.#progress) this.#replicate(id, progress, false);
    }
    this.#applyCommitted();
    if (this.#role === RaftRole.Leader) this.#serveReads();
    this.#save();
    for (const one of this.#held) if (one.sequence < 0) one.sequence = this.#issued;
    this.#releaseHeld();
    // A vote of its own that waited for nothing may just have won the election.
    if (this.#unsaved.length > 0 || this.#isHardStateDirty) this.#finish();
  }
}
