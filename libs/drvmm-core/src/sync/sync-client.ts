import { CodecGarbage } from '../codec/byte-cursor.js';
import type { ReplicaId } from '../consensus/log-entry.js';
import { decodeSyncFrame, encodeSyncFrame, type SyncFrame } from './sync-frame.js';
import {
  encodeCommand,
  encodeQuestion,
  type SessionId,
  type SyncOperation,
  type SyncQuestion,
  type SyncResult,
  SyncStatus,
} from './sync-operation.js';

/**
 * One session's side of synchronization. Sans-I/O: opens the session, keeps it alive, repeats what is not answered
 * until it is, at whichever replica leads.
 *
 * What the caller owes: effects carried out, a `tick` at nextDeadlineMs, and that it acts as holder of a lock only
 * while `isAlive(now)`: then, if clocks keep the assumption on their rate, the group cannot have let the session
 * end. Where more is at stake than time, the fencing token of the grant goes with every access.
 */
export type SyncClientEvent =
  | { kind: 'tick' }
  | { kind: 'frame'; frame: Uint8Array }
  | { kind: 'operate'; id: number; operation: SyncOperation }
  | { kind: 'ask'; id: number; question: SyncQuestion; isLeaseEnough: boolean };

export type SyncClientEffect =
  | { kind: 'send'; to: ReplicaId; frame: Buffer }
  | { kind: 'opened'; session: SessionId }
  /** Waiting is told once, if it comes to that; then what it has come to. */
  | { kind: 'result'; id: number; result: SyncResult }
  /** The session is over; what became of operations without a result is not known. A new one is being opened. */
  | { kind: 'lost'; session: SessionId; unknown: number[] };

export interface SyncClientOptions {
  readonly client: number;
  readonly replicas: readonly ReplicaId[];
  readonly leaseMs: number;
  readonly clockDriftMax: number;
  /** Without an answer for so long it is asked elsewhere. Default 250. */
  readonly retryMs?: number;
  readonly nowMs: number;
  /** In [0, 1). */
  readonly random: () => number;
}

const RETRY_MS = 250;
/** A grant is told; should that get lost, it is asked for. */
const POLL_MS = 1_000;
const PAUSE_MS = 30;
export const MAX_CLIENT_OPERATIONS = 64;
const MAX_REMEMBERED_REQUESTS = 16;
const FIRST_REQUEST_MAX = 2 ** 50;

interface Pending {
  readonly id: number;
  /** Of a question: none. */
  readonly sequence: number;
  readonly operation: SyncOperation | null;
  readonly question: { question: SyncQuestion; isLeaseEnough: boolean } | null;
  /** The last time that it was sent; 0: it is to go elsewhere. */
  request: number;
  /** All of them: an answer to any is an answer. */
  readonly requests: number[];
  dueMs: number;
  isWaiting: boolean;
}

export class SyncClient {
  readonly #options: SyncClientOptions;
  readonly #retryMs: number;
  #nowMs: number;
  #session: SessionId = 0;
  #target = 0;
  #lastRequest: number;
  #lastSequence = 0;
  #pending: Pending[] = [];
  #open: { request: number; dueMs: number; sentMs: number } | null = null;
  #renewal: { request: number; sentMs: number; dueMs: number } | null = null;
  #renewDueMs = 0;
  #aliveUntilMs = Number.NEGATIVE_INFINITY;
  #effects: SyncClientEffect[] = [];

  constructor(options: SyncClientOptions) {
    this.#options = options;
    this.#retryMs = options.retryMs ?? RETRY_MS;
    this.#nowMs = options.nowMs;
    // Late answers to a former life of this client must not be taken for answers to this one.
    this.#lastRequest = Math.floor(options.random() * FIRST_REQUEST_MAX);
  }

  get session(): SessionId {
    return this.#session;
  }

  get pendingCount(): number {
    return this.#pending.length;
  }

  /** Whether the session certainly goes on. */
  isAlive(nowMs: number): boolean {
    return this.#session !== 0 && nowMs < this.#aliveUntilMs;
  }

  get nextDeadlineMs(): number {
    if (this.#session === 0) return this.#open?.dueMs ?? this.#nowMs;
    let next = this.#renewal?.dueMs ?? this.#renewDueMs;
    for (const { dueMs } of this.#pending) next = Math.min(next, dueMs);
    return next;
  }

  step(event: SyncClientEvent, nowMs: number): SyncClientEffect[] {
    this.#nowMs = nowMs;
    this.#effects = [];
    switch (event.kind) {
      case 'tick':
        break;
      case 'frame':
        this.#receive(event.frame);
        break;
      case 'operate':
      case 'ask':
        this.#begin(event);
        break;
    }
    this.#sendDue();
    return this.#effects;
  }

  #begin(event: SyncClientEvent & { kind: 'operate' | 'ask' }): void {
    if (this.#pending.length >= MAX_CLIENT_OPERATIONS || this.#session === 0) {
      const status = this.#session === 0 ? SyncStatus.SessionExpired : SyncStatus.LimitReached;
      this.#effects.push({
        kind: 'result',
        id: event.id,
        result: { status, token: 0, value: new Uint8Array(0) },
      });
      return;
    }
    this.#pending.push({
      id: event.id,
      sequence: event.kind === 'operate' ? ++this.#lastSequence : 0,
      operation: event.kind === 'operate' ? event.operation : null,
      question: event.kind === 'ask' ? event : null,
      request: 0,
      requests: [],
      dueMs: this.#nowMs,
      isWaiting: false,
    });
  }

  #sendDue(): void {
    if (this.#session === 0) {
      if (this.#open !== null && this.#nowMs < this.#open.dueMs) return;
      // Silence: somebody else may lead. After a redirection (request 0) the target is set already.
      if (this.#open !== null && this.#open.request !== 0) this.#target++;
      const request = ++this.#lastRequest;
      this.#open = { request, dueMs: this.#nowMs + this.#retryMs, sentMs: this.#nowMs };
      this.#sendCommand(request, encodeCommand({ kind: 'open', timeMs: 0, leaseMs: this.#options.leaseMs }));
      return;
    }
    if (this.#nowMs >= (this.#renewal?.dueMs ?? this.#renewDueMs)) this.#renew();
    for (const one of this.#pending) if (this.#nowMs >= one.dueMs) this.#sendPending(one);
  }

  #renew(): void {
    if (this.#renewal !== null && this.#renewal.request !== 0) this.#target++;
    const request = ++this.#lastRequest;
    this.#renewal = { request, sentMs: this.#nowMs, dueMs: this.#nowMs + this.#retryMs };
    this.#sendCommand(
      request,
      encodeCommand({ kind: 'renew', timeMs: 0, session: this.#session, acknowledged: this.#acknowledged }),
    );
  }

  /** All operations up to here have their result. */
  get #acknowledged(): number {
    let least = this.#lastSequence + 1;
    for (const { sequence } of this.#pending) if (sequence !== 0) least = Math.min(least, sequence);
    return least - 1;
  }

  #sendPending(one: Pending): void {
    if (one.request !== 0 && !one.isWaiting) this.#target++;
    one.request = ++this.#lastRequest;
    one.requests.push(one.request);
    if (one.requests.length > MAX_REMEMBERED_REQUESTS) one.requests.shift();
    one.dueMs = this.#nowMs + (one.isWaiting ? POLL_MS : this.#retryMs);
    if (one.question !== null) {
      const { question, isLeaseEnough } = one.question;
      this.#send({
        kind: 'question',
        client: this.#options.client,
        request: one.request,
        isLeaseEnough,
        question: encodeQuestion(question),
      });
      return;
    }
    this.#sendCommand(
      one.request,
      encodeCommand({
        kind: 'operate',
        timeMs: 0,
        session: this.#session,
        sequence: one.sequence,
        acknowledged: this.#acknowledged,
        operation: one.operation!,
      }),
    );
  }

  #sendCommand(request: number, command: Uint8Array): void {
    this.#send({ kind: 'command', client: this.#options.client, request, command });
  }

  #send(frame: SyncFrame): void {
    const { replicas } = this.#options;
    this.#effects.push({
      kind: 'send',
      to: replicas[this.#target % replicas.length]!,
      frame: encodeSyncFrame(frame),
    });
  }

  #receive(bytes: Uint8Array): void {
    let frame: SyncFrame;
    try {
      frame = decodeSyncFrame(bytes);
    } catch (error) {
      if (!(error instanceof CodecGarbage)) throw error;
      return;
    }
    if (frame.kind === 'answer') this.#receiveAnswer(frame.request, frame.result);
    else if (frame.kind === 'elsewhere') this.#redirect(frame.request, frame.leader);
    else if (frame.kind === 'notice' && frame.session === this.#session) {
      const one = this.#pending.find(({ sequence }) => sequence === frame.sequence);
      if (one !== undefined) this.#conclude(one, frame.result);
    }
  }

  #receiveAnswer(request: number, result: SyncResult): void {
    if (request === this.#open?.request) {
      if (result.status !== SyncStatus.Done) return;
      this.#session = result.token;
      this.#lastSequence = 0;
      this.#extend(this.#open.sentMs);
      this.#open = null;
      this.#effects.push({ kind: 'opened', session: this.#session });
      return;
    }
    if (request === this.#renewal?.request) {
      if (result.status === SyncStatus.SessionExpired) this.#lose();
      else this.#extend(this.#renewal.sentMs);
      this.#renewal = null;
      return;
    }
    const one = this.#pending.find(({ requests }) => requests.includes(request));
    if (one !== undefined) this.#conclude(one, result);
  }

  #extend(sentMs: number): void {
    const { leaseMs, clockDriftMax } = this.#options;
    this.#aliveUntilMs = sentMs + (leaseMs * (1 - clockDriftMax)) / (1 + clockDriftMax);
    this.#renewDueMs = sentMs + leaseMs / 3;
  }

  #conclude(one: Pending, result: SyncResult): void {
    if (result.status === SyncStatus.SessionExpired) {
      this.#lose();
      return;
    }
    if (result.status === SyncStatus.Waiting) {
      if (!one.isWaiting) this.#effects.push({ kind: 'result', id: one.id, result });
      one.isWaiting = true;
      one.dueMs = this.#nowMs + POLL_MS;
      return;
    }
    this.#pending = this.#pending.filter((other) => other !== one);
    this.#effects.push({ kind: 'result', id: one.id, result });
  }

  #lose(): void {
    const session = this.#session;
    const unknown = this.#pending.map(({ id }) => id);
    this.#session = 0;
    this.#pending = [];
    this.#renewal = null;
    this.#open = null;
    this.#aliveUntilMs = Number.NEGATIVE_INFINITY;
    this.#effects.push({ kind: 'lost', session, unknown });
  }

  #redirect(request: number, leader: ReplicaId): void {
    const at = this.#options.replicas.indexOf(leader);
    const isOfLatest =
      request === this.#open?.request ||
      request === this.#renewal?.request ||
      this.#pending.some((one) => one.request === request);
    if (!isOfLatest) return;
    this.#target = at >= 0 ? at : this.#target + 1;
    // Not at once: while an election goes on, everyone says so.
    const dueMs = this.#nowMs + PAUSE_MS;
    if (request === this.#open?.request) this.#open = { ...this.#open, request: 0, dueMs };
    if (request === this.#renewal?.request) this.#renewal = { ...this.#renewal, request: 0, dueMs };
    for (const one of this.#pending) {
      if (one.request !== request) continue;
      one.request = 0;
      one.dueMs = dueMs;
    }
  }
}
