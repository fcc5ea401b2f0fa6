import { ByteReader, ByteWriter, CodecGarbage } from '../codec/byte-cursor.js';
import type { StateMachine } from '../consensus/replica.js';
import {
  decodeCommand,
  decodeQuestion,
  encodeResult,
  GateMode,
  MAX_LEASE_MS,
  MAX_NAME_BYTES,
  MAX_VALUE_BYTES,
  MIN_LEASE_MS,
  readResult,
  type SessionId,
  type SyncCommand,
  type SyncOperation,
  type SyncResult,
  SyncStatus,
  syncResult,
  writeResult,
} from './sync-operation.js';

/**
 * Locks and their kin as a state machine, to be replicated by consensus.
 *
 * A **session** stands for a client and lives while its lease is renewed; with it everything it holds and waits for
 * goes. A **gate** is what can be held: a lock (exclusive), a read-write lock (exclusive or shared) or a semaphore
 * (permits); who waits is let in strictly in the order of asking, so a writer is not starved by readers. Each grant
 * has a **fencing token** larger than every one before it in the whole group: who guards a resource refuses tokens
 * smaller than the largest seen (Burrows 2006, "sequencers"). A **condition** is waited for by the holder of a lock,
 * which is given up meanwhile (Mesa semantics: look again after waking). A **barrier** lets `parties` go on together.
 * A leader is who holds a lock; its `value` says to all who that is. A **register** holds a value or a number.
 *
 * Time is the commands' own (the leader's clock since it took office, added to what had passed before): leases stand
 * still while there is no leader, and no clock is ever compared with another.
 *
 * Invariants: an exclusive holder is the only one; tokens only grow; an operation is done once for its (session,
 * sequence); what a dead session held is free, and what it waited for never granted.
 */
export const MAX_SESSIONS = 100_000;
export const MAX_OBJECTS = 1_000_000;
export const MAX_WAITERS = 16_384;
/** Results that a session has not acknowledged. */
export const MAX_OUTSTANDING = 256;

interface Session {
  readonly id: SessionId;
  readonly leaseMs: number;
  deadlineMs: number;
  acknowledged: number;
  readonly results: Map<number, SyncResult>;
  /** Names of gates, barriers and conditions that know of it. */
  readonly involved: Set<string>;
}

interface Request {
  readonly session: SessionId;
  readonly sequence: number;
  readonly mode: GateMode;
  readonly permits: number;
  readonly value: Uint8Array;
}

interface Hold extends Request {
  readonly token: number;
}

interface Gate {
  /** Of a semaphore; 0 for the others. */
  capacity: number;
  holders: Hold[];
  queue: Request[];
}

interface Barrier {
  parties: number;
  waiting: { session: SessionId; sequence: number }[];
}

interface Condition {
  waiting: { session: SessionId; sequence: number; lock: string }[];
}

export interface SyncNotice {
  readonly session: SessionId;
  readonly sequence: number;
  readonly result: SyncResult;
}

const EMPTY = new Uint8Array(0);
const SNAPSHOT_VERSION = 1;

export class SyncMachine implements StateMachine {
  #timeMs = 0;
  #lastToken = 0;
  #sessions = new Map<SessionId, Session>();
  #gates = new Map<string, Gate>();
  #barriers = new Map<string, Barrier>();
  #conditions = new Map<string, Condition>();
  #registers = new Map<string, Uint8Array>();
  #notices: SyncNotice[] = [];

  get timeMs(): number {
    return this.#timeMs;
  }

  /** When the next session ends unless it is renewed; infinite without sessions. */
  get nextExpiryMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { deadlineMs } of this.#sessions.values()) next = Math.min(next, deadlineMs);
    return next;
  }

  /** What operations that had been waiting have come to, since the last call. */
  takeNotices(): SyncNotice[] {
    const notices = this.#notices;
    this.#notices = [];
    return notices;
  }

  holdersOf(name: string): readonly { session: SessionId; mode: GateMode; permits: number; token: number }[] {
    return this.#gates.get(name)?.holders ?? [];
  }

  apply(bytes: Uint8Array, index: number): Uint8Array {
    let command: SyncCommand;
    try {
      command = decodeCommand(bytes);
    } catch (error) {
      if (!(error instanceof CodecGarbage)) throw error;
      return encodeResult(syncResult(SyncStatus.Malformed));
    }
    this.#advance(command.timeMs);
    return encodeResult(this.#perform(command, index));
  }

  query(bytes: Uint8Array): Uint8Array {
    const question = decodeQuestion(bytes);
    if (question.kind === 'read') {
      const value = this.#registers.get(question.name);
      return encodeResult(syncResult(SyncStatus.Done, value === undefined ? 0 : 1, value ?? EMPTY));
    }
    const first = this.#gates.get(question.name)?.holders[0];
    return encodeResult(syncResult(SyncStatus.Done, first?.token ?? 0, first?.value ?? EMPTY));
  }

  // ── the rules, one method each ────────────────────────────────────────────────────────────────────────────────

  /** The result of an operation done before. */
  protected resultOf(results: ReadonlyMap<number, SyncResult>, sequence: number): SyncResult | undefined {
    return results.get(sequence);
  }

  protected tokenAfter(lastToken: number): number {
    return lastToken + 1;
  }

  protected isAdmitted(holders: readonly Hold[], request: Request, capacity: number): boolean {
    if (request.mode === GateMode.Permits) {
      return holders.reduce((sum, { permits }) => sum + permits, request.permits) <= capacity;
    }
    if (request.mode === GateMode.Exclusive) return holders.length === 0;
    return holders.every(({ mode }) => mode === GateMode.Shared);
  }

  /** Whose turn it is: the first to have come. */
  protected nextInLine(_queue: readonly Request[]): number {
    return 0;
  }

  protected isHold(hold: Hold, session: SessionId, token: number): boolean {
    return hold.session === session && hold.token === token;
  }

  protected timeAfter(timeMs: number, stampMs: number): number {
    return Math.max(timeMs, stampMs);
  }

  /** What a session leaves behind when it ends. */
  protected leavesBehind(_session: SessionId): boolean {
    return false;
  }

  // ── sessions ──────────────────────────────────────────────────────────────────────────────────────────────────

  #advance(stampMs: number): void {
    this.#timeMs = this.timeAfter(this.#timeMs, stampMs);
    for (const session of this.#sessions.values()) {
      if (session.deadlineMs <= this.#timeMs) this.#end(session);
    }
  }

  #perform(command: SyncCommand, index: number): SyncResult {
    switch (command.kind) {
      case 'tick':
        return syncResult(SyncStatus.Done);
      case 'open': {
        const { leaseMs } = command;
        if (leaseMs < MIN_LEASE_MS || leaseMs > MAX_LEASE_MS) return syncResult(SyncStatus.Malformed);
        if (this.#sessions.size >= MAX_SESSIONS) return syncResult(SyncStatus.LimitReached);
        this.#sessions.set(index, {
          id: index,
          leaseMs,
          deadlineMs: this.#timeMs + leaseMs,
          acknowledged: 0,
          results: new Map(),
          involved: new Set(),
        });
        return syncResult(SyncStatus.Done, index);
      }
      case 'renew':
      case 'close':
      case 'operate': {
        const session = this.#sessions.get(command.session);
        if (session === undefined) return syncResult(SyncStatus.SessionExpired);
        if (command.kind === 'close') {
          this.#end(session);
          return syncResult(SyncStatus.Done);
        }
        session.deadlineMs = this.#timeMs + session.leaseMs;
        this.#acknowledge(session, command.acknowledged);
        if (command.kind === 'renew') return syncResult(SyncStatus.Done);
        return this.#operateOnce(session, command.sequence, command.operation);
      }
    }
  }

  #acknowledge(session: Session, acknowledged: number): void {
    if (acknowledged <= session.acknowledged) return;
    session.acknowledged = acknowledged;
    for (const sequence of session.results.keys()) {
      if (sequence <= acknowledged) session.results.delete(sequence);
    }
  }

  #operateOnce(session: Session, sequence: number, operation: SyncOperation): SyncResult {
    const before = this.resultOf(session.results, sequence);
    if (before !== undefined) return before;
    if (sequence <= session.acknowledged) return syncResult(SyncStatus.Forgotten);
    if (session.results.size >= MAX_OUTSTANDING) return syncResult(SyncStatus.LimitReached);
    const result = this.#operate(session, sequence, operation);
    // What a grant in the same step has said already stays.
    if (session.results.has(sequence) && result.status === SyncStatus.Waiting)
      return session.results.get(sequence)!;
    session.results.set(sequence, result);
    return result;
  }

  #end(session: Session): void {
    this.#sessions.delete(session.id);
    if (this.leavesBehind(session.id)) return;
    const isOther = (one: { session: SessionId }): boolean => one.session !== session.id;
    for (const name of session.involved) {
      const barrier = this.#barriers.get(name);
      if (barrier !== undefined) {
        barrier.waiting = barrier.waiting.filter(isOther);
        if (barrier.waiting.length === 0) this.#barriers.delete(name);
      }
      const condition = this.#conditions.get(name);
      if (condition !== undefined) {
        condition.waiting = condition.waiting.filter(isOther);
        if (condition.waiting.length === 0) this.#conditions.delete(name);
      }
      const gate = this.#gates.get(name);
      if (gate !== undefined) {
        gate.holders = gate.holders.filter(isOther);
        gate.queue = gate.queue.filter(isOther);
        this.#admit(name, gate);
      }
    }
  }

  #tell(sessionId: SessionId, sequence: number, result: SyncResult): void {
    this.#sessions.get(sessionId)?.results.set(sequence, result);
    this.#notices.push({ session: sessionId, sequence, result });
  }

  // ── operations ────────────────────────────────────────────────────────────────────────────────────────────────

  #operate(session: Session, sequence: number, operation: SyncOperation): SyncResult {
    switch (operation.kind) {
      case 'acquire':
        return this.#acquire(session, sequence, operation);
      case 'release':
        return this.#release(session, operation.name, operation.token);
      case 'enter':
        return this.#enter(session, sequence, operation.name, operation.parties);
      case 'wait':
        return this.#wait(session, sequence, operation);
      case 'signal':
        return this.#signal(operation.name, operation.isAll);
      case 'cancel':
        return this.#cancel(session, operation.target);
      default:
        return this.#register(session, operation);
    }
  }

  #acquire(session: Session, sequence: number, operation: SyncOperation & { kind: 'acquire' }): SyncResult {
    const { name, mode, permits, value, isTry } = operation;
    const capacity = mode === GateMode.Permits ? operation.capacity : 0;
    if (mode === GateMode.Permits && (permits === 0 || permits > capacity))
      return syncResult(SyncStatus.Malformed);
    const gate = this.#gates.get(name) ?? { capacity, holders: [], queue: [] };
    if (gate.capacity !== capacity) return syncResult(SyncStatus.Conflict);
    if (gate.queue.length >= MAX_WAITERS) return syncResult(SyncStatus.LimitReached);
    if (!this.#gates.has(name)) {
      if (this.#isFull) return syncResult(SyncStatus.LimitReached);
      this.#gates.set(name, gate);
    }
    const request: Request = { session: session.id, sequence, mode, permits, value };
    if (isTry && (gate.queue.length > 0 || !this.isAdmitted(gate.holders, request, capacity))) {
      return syncResult(SyncStatus.Busy);
    }
    session.involved.add(name);
    gate.queue.push(request);
    this.#admit(name, gate);
    return session.results.get(sequence) ?? syncResult(SyncStatus.Waiting);
  }

  get #isFull(): boolean {
    const { size } = this.#gates;
    return size + this.#barriers.size + this.#conditions.size + this.#registers.size >= MAX_OBJECTS;
  }

  /** Lets in whoever may come in, in their order. */
  #admit(name: string, gate: Gate): void {
    while (gate.queue.length > 0) {
      const at = this.nextInLine(gate.queue);
      const request = gate.queue[at]!;
      if (!this.isAdmitted(gate.holders, request, gate.capacity)) break;
      gate.queue.splice(at, 1);
      this.#lastToken = this.tokenAfter(this.#lastToken);
      gate.holders.push({ ...request, token: this.#lastToken });
      this.#tell(request.session, request.sequence, syncResult(SyncStatus.Granted, this.#lastToken));
    }
    if (gate.holders.length === 0 && gate.queue.length === 0) this.#gates.delete(name);
  }

  #release(session: Session, name: string, token: number): SyncResult {
    const gate = this.#gates.get(name);
    const at = gate?.holders.findIndex((hold) => this.isHold(hold, session.id, token)) ?? -1;
    if (gate === undefined || at < 0) return syncResult(SyncStatus.NotHeld);
    gate.holders.splice(at, 1);
    this.#admit(name, gate);
    return syncResult(SyncStatus.Done);
  }

  #enter(session: Session, sequence: number, name: string, parties: number): SyncResult {
    if (parties === 0 || parties > MAX_WAITERS) return syncResult(SyncStatus.Malformed);
    const barrier = this.#barriers.get(name) ?? { parties, waiting: [] };
    if (barrier.parties !== parties) return syncResult(SyncStatus.Conflict);
    if (!this.#barriers.has(name) && this.#isFull) return syncResult(SyncStatus.LimitReached);
    this.#barriers.set(name, barrier);
    session.involved.add(name);
    barrier.waiting.push({ session: session.id, sequence });
    if (barrier.waiting.length < parties) return syncResult(SyncStatus.Waiting);
    this.#barriers.delete(name);
    for (const one of barrier.waiting) this.#tell(one.session, one.sequence, syncResult(SyncStatus.Done));
    return syncResult(SyncStatus.Done);
  }

  #wait(
    session: Session,
    sequence: number,
    { name, lock, token }: SyncOperation & { kind: 'wait' },
  ): SyncResult {
    const hold = this.#gates.get(lock)?.holders.find((one) => this.isHold(one, session.id, token));
    if (hold?.mode !== GateMode.Exclusive) return syncResult(SyncStatus.NotHeld);
    const condition = this.#conditions.get(name) ?? { waiting: [] };
    if (condition.waiting.length >= MAX_WAITERS) return syncResult(SyncStatus.LimitReached);
    if (!this.#conditions.has(name) && this.#isFull) return syncResult(SyncStatus.LimitReached);
    this.#conditions.set(name, condition);
    session.involved.add(name);
    condition.waiting.push({ session: session.id, sequence, lock });
    this.#release(session, lock, token);
    return syncResult(SyncStatus.Waiting);
  }

  #signal(name: string, isAll: boolean): SyncResult {
    const condition = this.#conditions.get(name);
    if (condition === undefined) return syncResult(SyncStatus.Done, 0);
    const woken = condition.waiting.splice(0, isAll ? condition.waiting.length : 1);
    if (condition.waiting.length === 0) this.#conditions.delete(name);
    for (const { session, sequence, lock } of woken) {
      const gate = this.#gates.get(lock) ?? { capacity: 0, holders: [], queue: [] };
      this.#gates.set(lock, gate);
      this.#sessions.get(session)?.involved.add(lock);
      gate.queue.push({ session, sequence, mode: GateMode.Exclusive, permits: 1, value: EMPTY });
      this.#admit(lock, gate);
    }
    return syncResult(SyncStatus.Done, woken.length);
  }

  #cancel(session: Session, target: number): SyncResult {
    const now = session.results.get(target);
    if (now?.status !== SyncStatus.Waiting) return now ?? syncResult(SyncStatus.Forgotten);
    const isOther = (one: { session: SessionId; sequence: number }): boolean =>
      one.session !== session.id || one.sequence !== target;
    session.results.set(target, syncResult(SyncStatus.Cancelled));
    for (const name of session.involved) {
      const barrier = this.#barriers.get(name);
      if (barrier !== undefined) barrier.waiting = barrier.waiting.filter(isOther);
      const condition = this.#conditions.get(name);
      if (condition !== undefined) condition.waiting = condition.waiting.filter(isOther);
      const gate = this.#gates.get(name);
      if (gate === undefined) continue;
      gate.queue = gate.queue.filter(isOther);
      this.#admit(name, gate);
    }
    return syncResult(SyncStatus.Cancelled);
  }

  #register(
    session: Session,
    operation: SyncOperation & { kind: 'write' | 'compareAndSet' | 'add' },
  ): SyncResult {
    const { name } = operation;
    const current = this.#registers.get(name);
    if (current === undefined && this.#isFull) return syncResult(SyncStatus.LimitReached);
    switch (operation.kind) {
      case 'write': {
        const { fence, lock, value } = operation;
        const holders = this.#gates.get(lock)?.holders ?? [];
        if (fence !== 0 && !holders.some((hold) => this.isHold(hold, session.id, fence))) {
          return syncResult(SyncStatus.NotHeld);
        }
        this.#registers.set(name, value);
        return syncResult(SyncStatus.Done);
      }
      case 'compareAndSet':
        if (Buffer.compare(current ?? EMPTY, operation.expected) !== 0) {
          return syncResult(SyncStatus.Conflict, 0, current ?? EMPTY);
        }
        this.#registers.set(name, operation.value);
        return syncResult(SyncStatus.Done);
      case 'add': {
        if (current !== undefined && current.length !== 8) return syncResult(SyncStatus.Conflict);
        const sum = (current === undefined ? 0 : new ByteReader(current).u64()) + operation.amount;
        this.#registers.set(name, new ByteWriter(8).u64(sum).finish());
        return syncResult(SyncStatus.Done, sum);
      }
    }
  }

  // ── snapshots ─────────────────────────────────────────────────────────────────────────────────────────────────

  snapshot(): Uint8Array {
    const w = new ByteWriter(4_096).u8(SNAPSHOT_VERSION).u64(this.#timeMs).u64(this.#lastToken);
    w.u32(this.#sessions.size);
    for (const { id, leaseMs, deadlineMs, acknowledged, results, involved } of this.#sessions.values()) {
      w.u64(id).u32(leaseMs).u64(deadlineMs).u64(acknowledged).u32(results.size);
      for (const [sequence, result] of results) writeResult(w.u64(sequence), result);
      w.u32(involved.size);
      for (const name of involved) w.text(name);
    }
    w.u32(this.#gates.size);
    for (const [name, { capacity, holders, queue }] of this.#gates) {
      w.text(name).u32(capacity).u32(holders.length);
      for (const hold of holders) writeRequest(w.u64(hold.token), hold);
      w.u32(queue.length);
      for (const request of queue) writeRequest(w, request);
    }
    w.u32(this.#barriers.size);
    for (const [name, { parties, waiting }] of this.#barriers) {
      w.text(name).u32(parties).u32(waiting.length);
      for (const { session, sequence } of waiting) w.u64(session).u64(sequence);
    }
    w.u32(this.#conditions.size);
    for (const [name, { waiting }] of this.#conditions) {
      w.text(name).u32(waiting.length);
      for (const { session, sequence, lock } of waiting) w.u64(session).u64(sequence).text(lock);
    }
    w.u32(this.#registers.size);
    for (const [name, value] of this.#registers) w.text(name).bytes(value);
    return w.finish();
  }

  restore(bytes: Uint8Array): void {
    const r = new ByteReader(bytes);
    const version = r.u8();
    if (version !== SNAPSHOT_VERSION) throw new CodecGarbage(`a snapshot of version ${version}`);
    this.#timeMs = r.u64();
    this.#lastToken = r.u64();
    const name = (): string => r.text(MAX_NAME_BYTES);
    const mapOf = <K, V>(read: () => [K, V]): Map<K, V> => {
      const map = new Map<K, V>();
      for (let left = r.count(MAX_OBJECTS); left > 0; left--) map.set(...read());
      return map;
    };
    const listOf = <T>(read: () => T): T[] => Array.from({ length: r.count(MAX_OBJECTS) }, read);
    this.#sessions = mapOf(() => {
      const [id, leaseMs, deadlineMs, acknowledged] = [r.u64(), r.u32(), r.u64(), r.u64()];
      const results = mapOf<number, SyncResult>(() => [r.u64(), readResult(r)]);
      return [id, { id, leaseMs, deadlineMs, acknowledged, results, involved: new Set(listOf(name)) }];
    });
    this.#gates = mapOf(() => [
      name(),
      {
        capacity: r.u32(),
        holders: listOf(() => ({ token: r.u64(), ...readRequest(r) })),
        queue: listOf(() => readRequest(r)),
      },
    ]);
    const waiter = (): { session: number; sequence: number } => ({ session: r.u64(), sequence: r.u64() });
    this.#barriers = mapOf(() => [name(), { parties: r.u32(), waiting: listOf(waiter) }]);
    this.#conditions = mapOf(() => [name(), { waiting: listOf(() => ({ ...waiter(), lock: name() })) }]);
    this.#registers = mapOf(() => [name(), Uint8Array.from(r.bytes(MAX_VALUE_BYTES))]);
    r.end();
    this.#notices = [];
  }
}

function writeRequest(w: ByteWriter, { session, sequence, mode, permits, value }: Request): void {
  w.u64(session).u64(sequence).u8(mode).u32(permits).bytes(value);
}

const readRequest = (r: ByteReader): Request => ({
  session: r.u64(),
  sequence: r.u64(),
  mode: r.u8(),
  permits: r.u32(),
  value: Uint8Array.from(r.bytes(MAX_VALUE_BYTES)),
});
