import { CodecGarbage } from '../codec/byte-cursor.js';
import { DurableLog, type RecoveredLog, type StorageOperation } from './durable-log.js';
import { EntryKind, type LogEntry, type ReplicaId } from './log-entry.js';
import {
  type ConfigurationChange,
  Raft,
  type RaftEffect,
  type RaftEvent,
  type RaftOptions,
  RaftRole,
  type RaftTiming,
  type RefusalReason,
} from './raft.js';
import { decodeRaftFrame, encodeRaftFrame } from './raft-message.js';

/** What a group agrees on. Deterministic: the same commands give the same state and the same results. */
export interface StateMachine {
  apply(command: Uint8Array, index: number): Uint8Array;
  /** Reads only. */
  query(question: Uint8Array): Uint8Array;
  snapshot(): Uint8Array;
  restore(snapshot: Uint8Array): void;
}

/**
 * One member of a replicated state machine: Raft, its log on disk and the machine, put together. Sans-I/O.
 *
 * What the caller owes: effects in their order. `storage`: the operations one after another, then `stored` (or
 * `noRoom`, then `room` once there may be some); `send`: a frame to another replica, at most once or not at all is
 * enough; a `tick` at nextDeadlineMs.
 *
 * A command is answered when it is applied here, or with why it was not taken; `unknown` means that this replica
 * is leader no longer, and that the command may still come to be applied.
 */
export type ReplicaEvent =
  | { kind: 'tick' }
  | { kind: 'frame'; frame: Uint8Array }
  | { kind: 'propose'; id: number; command: Uint8Array }
  | { kind: 'query'; id: number; question: Uint8Array; isLeaseEnough: boolean }
  | { kind: 'configure'; id: number; change: ConfigurationChange }
  | { kind: 'transfer'; to: ReplicaId }
  | { kind: 'stored' }
  | { kind: 'noRoom' }
  | { kind: 'room' };

export type ReplicaEffect =
  | { kind: 'send'; to: ReplicaId; frame: Buffer }
  | { kind: 'storage'; operations: readonly StorageOperation[] }
  | { kind: 'answer'; id: number; result: Uint8Array }
  | { kind: 'refuse'; id: number; reason: RefusalReason | 'unknown'; leader: ReplicaId };

export interface ReplicaOptions {
  readonly id: ReplicaId;
  readonly group: number;
  readonly recovered: RecoveredLog;
  readonly machine: StateMachine;
  readonly timing: RaftTiming;
  readonly random: () => number;
  readonly nowMs: number;
  /** The log is compacted when its entries take more than this. */
  readonly compactAfterBytes?: number;
  readonly trailingEntries?: number;
  readonly appendBytes?: number;
  /** Sees every effect of Raft before it is carried out: for audits and counters. */
  readonly observe?: (effect: RaftEffect) => void;
  readonly createRaft?: (options: RaftOptions) => Raft;
  readonly createLog?: (group: number, recovered: RecoveredLog) => DurableLog;
}

const COMPACT_AFTER_BYTES = 16 * 1024 * 1024;
const EMPTY = new Uint8Array(0);

export class Replica {
  readonly id: ReplicaId;
  readonly #group: number;
  readonly #machine: StateMachine;
  readonly #raft: Raft;
  readonly #log: DurableLog;
  readonly #compactAfterBytes: number;
  readonly #observe: (effect: RaftEffect) => void;
  #effects: ReplicaEffect[] = [];
  #nowMs: number;
  /** Index -> the proposal that got it. */
  readonly #proposals = new Map<number, { id: number; term: number }>();
  readonly #questions = new Map<number, Uint8Array>();
  #bytesSinceSnapshot = 0;
  #appliedIndex: number;
  damagedFrames = 0;

  constructor(options: ReplicaOptions) {
    const { recovered, machine } = options;
    this.id = options.id;
    this.#group = options.group;
    this.#machine = machine;
    this.#nowMs = options.nowMs;
    this.#compactAfterBytes = options.compactAfterBytes ?? COMPACT_AFTER_BYTES;
    this.#observe = options.observe ?? (() => undefined);
    const raftOptions: RaftOptions = {
      id: options.id,
      state: recovered.state,
      timing: options.timing,
      random: options.random,
      nowMs: options.nowMs,
      trailingEntries: options.trailingEntries,
      appendBytes: options.appendBytes,
    };
    this.#raft = options.createRaft?.(raftOptions) ?? new Raft(raftOptions);
    this.#log = options.createLog?.(options.group, recovered) ?? new DurableLog(options.group, recovered);
    const { snapshot } = recovered.state;
    this.#appliedIndex = snapshot.index;
    if (snapshot.index > 0) machine.restore(snapshot.data);
  }

  get raft(): Raft {
    return this.#raft;
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  get nextDeadlineMs(): number {
    return this.#raft.nextDeadlineMs;
  }

  /** What recovery left to do to the storage. Call once, first. */
  start(): ReplicaEffect[] {
    this.#effects = [];
    this.#store();
    return this.#effects;
  }

  step(event: ReplicaEvent, nowMs: number): ReplicaEffect[] {
    this.#effects = [];
    this.#nowMs = nowMs;
    switch (event.kind) {
      case 'frame':
        this.#receive(event.frame);
        break;
      case 'propose':
        this.#drive({ kind: 'propose', id: event.id, data: event.command });
        break;
      case 'query':
        this.#questions.set(event.id, event.question);
        this.#drive({ kind: 'read', id: event.id, isLeaseEnough: event.isLeaseEnough });
        break;
      case 'stored':
        this.#drive({ kind: 'persisted', sequence: this.#log.completed() });
        break;
      case 'noRoom':
        this.#log.noRoom();
        this.#drive({ kind: 'storageFull' });
        return this.#effects;
      case 'room':
        this.#log.room();
        this.#drive({ kind: 'storageReady' });
        break;
      default:
        this.#drive(event);
    }
    this.#compact();
    this.#store();
    return this.#effects;
  }

  #receive(frame: Uint8Array): void {
    try {
      const { group, from, to, message } = decodeRaftFrame(frame);
      if (group !== this.#group || to !== this.id) throw new CodecGarbage(`for ${to} of group ${group}`);
      this.#drive({ kind: 'message', from, message });
    } catch (error) {
      if (!(error instanceof CodecGarbage)) throw error;
      this.damagedFrames++;
    }
  }

  #drive(event: RaftEvent): void {
    for (const effect of this.#raft.step(event, this.#nowMs)) {
      this.#observe(effect);
      this.#carryOut(effect);
    }
  }

  #carryOut(effect: RaftEffect): void {
    switch (effect.kind) {
      case 'send':
        this.#effects.push({
          kind: 'send',
          to: effect.to,
          frame: encodeRaftFrame(this.#group, this.id, effect.to, effect.message),
        });
        return;
      case 'persist':
        this.#log.persist(effect.batch);
        return;
      case 'apply':
        for (const entry of effect.entries) this.#apply(entry);
        return;
      case 'restore':
        this.#machine.restore(effect.snapshot.data);
        this.#appliedIndex = effect.snapshot.index;
        this.#bytesSinceSnapshot = 0;
        this.#forgetProposals();
        return;
      case 'proposed':
        this.#proposals.set(effect.index, { id: effect.id, term: effect.term });
        return;
      case 'refused':
        this.#refuse(effect.id, effect.reason);
        return;
      case 'readReady': {
        const question = this.#questions.get(effect.id)!;
        this.#questions.delete(effect.id);
        this.#effects.push({ kind: 'answer', id: effect.id, result: this.#machine.query(question) });
        return;
      }
      case 'readRefused':
        this.#questions.delete(effect.id);
        this.#refuse(effect.id, effect.reason);
        return;
      case 'role':
        if (effect.role !== RaftRole.Leader) this.#forgetProposals();
        return;
    }
  }

  #apply({ index, term, kind, data }: LogEntry): void {
    const result = kind === EntryKind.Command ? this.#machine.apply(data, index) : EMPTY;
    this.#appliedIndex = index;
    this.#bytesSinceSnapshot += data.length + 64;
    const proposal = this.#proposals.get(index);
    if (proposal === undefined) return;
    this.#proposals.delete(index);
    if (proposal.term === term) this.#effects.push({ kind: 'answer', id: proposal.id, result });
    else this.#refuse(proposal.id, 'unknown');
  }

  #refuse(id: number, reason: RefusalReason | 'unknown'): void {
    this.#effects.push({ kind: 'refuse', id, reason, leader: this.#raft.leader });
  }

  #forgetProposals(): void {
    for (const { id } of this.#proposals.values()) this.#refuse(id, 'unknown');
    this.#proposals.clear();
  }

  #compact(): void {
    if (this.#bytesSinceSnapshot <= this.#compactAfterBytes) return;
    this.#bytesSinceSnapshot = 0;
    this.#drive({ kind: 'compact', index: this.#appliedIndex, data: this.#machine.snapshot() });
  }

  #store(): void {
    const operations = this.#log.next();
    if (operations !== null) this.#effects.push({ kind: 'storage', operations });
  }
}
