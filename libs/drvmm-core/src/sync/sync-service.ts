import { CodecGarbage } from '../codec/byte-cursor.js';
import { Replica, type ReplicaEffect, type ReplicaEvent, type ReplicaOptions } from '../consensus/replica.js';
import { decodeSyncFrame, encodeSyncFrame, type SyncFrame } from './sync-frame.js';
import { SyncMachine } from './sync-machine.js';
import { decodeCommand, decodeQuestion, decodeResult, encodeCommand, SyncStatus } from './sync-operation.js';

/**
 * A replica of the synchronization group, and what clients say to it. Sans-I/O; owes and gets what a Replica does,
 * and besides: `client` events are frames from clients, `reply` effects are frames to them.
 *
 * The leader stamps commands with the group's time: what had passed when it came to office, and since then what its
 * own clock shows.
 */
export type SyncServiceEvent = ReplicaEvent | { kind: 'client'; frame: Uint8Array };
export type SyncServiceEffect = ReplicaEffect | { kind: 'reply'; client: number; frame: Buffer };

export type SyncServiceOptions = Omit<ReplicaOptions, 'machine'> & { readonly machine?: SyncMachine };

interface PendingRequest {
  readonly client: number;
  readonly request: number;
  readonly opens: boolean;
}

/** Requests whose answer is awaited; further ones are told to try elsewhere. */
const MAX_PENDING = 65_536;
/** Clients remembered, to be told of grants; the others ask. */
const MAX_CLIENTS = 100_000;
const TICK_PROPOSAL = 0;

export class SyncService {
  readonly #replica: Replica;
  readonly #machine: SyncMachine;
  readonly #pending = new Map<number, PendingRequest>();
  readonly #clients = new Map<number, number>();
  /** Counts down: the numbers above TICK_PROPOSAL are the caller's. */
  #lastId = TICK_PROPOSAL;
  #isTickUnderWay = false;
  /** Of this replica's time in office; null out of it. */
  #office: { term: number; groupMs: number; ownMs: number } | null = null;
  #effects: SyncServiceEffect[] = [];
  damagedFrames = 0;

  constructor(options: SyncServiceOptions) {
    this.#machine = options.machine ?? new SyncMachine();
    this.#replica = new Replica({ ...options, machine: this.#machine });
  }

  get replica(): Replica {
    return this.#replica;
  }

  get machine(): SyncMachine {
    return this.#machine;
  }

  get nextDeadlineMs(): number {
    return this.#replica.nextDeadlineMs;
  }

  start(): SyncServiceEffect[] {
    return this.#replica.start();
  }

  step(event: SyncServiceEvent, nowMs: number): SyncServiceEffect[] {
    this.#effects = [];
    if (event.kind === 'client') this.#receive(event.frame, nowMs);
    else this.#drive(event, nowMs);
    this.#holdOffice(nowMs);
    this.#expire(nowMs);
    for (const { session, sequence, result } of this.#machine.takeNotices()) {
      const client = this.#clients.get(session);
      if (client === undefined || this.#office === null) continue;
      this.#reply(client, { kind: 'notice', session, sequence, result });
    }
    return this.#effects;
  }

  /** The group's time now: no clock is compared with another replica's. */
  protected stampMs(groupMs: number, ownMs: number, nowMs: number): number {
    return Math.floor(groupMs + (nowMs - ownMs));
  }

  #holdOffice(nowMs: number): void {
    const { raft } = this.#replica;
    if (!raft.isCaughtUpLeader) this.#office = null;
    else if (this.#office?.term !== raft.term) {
      this.#office = { term: raft.term, groupMs: this.#machine.timeMs, ownMs: nowMs };
    }
  }

  /** Lets sessions end when nobody else's command does. */
  #expire(nowMs: number): void {
    const { nextExpiryMs } = this.#machine;
    if (this.#office === null || this.#isTickUnderWay || nextExpiryMs === Number.POSITIVE_INFINITY) return;
    const timeMs = this.stampMs(this.#office.groupMs, this.#office.ownMs, nowMs);
    if (timeMs < nextExpiryMs) return;
    this.#isTickUnderWay = true;
    this.#drive(
      { kind: 'propose', id: TICK_PROPOSAL, command: encodeCommand({ kind: 'tick', timeMs }) },
      nowMs,
    );
  }

  #receive(bytes: Uint8Array, nowMs: number): void {
    try {
      const frame = decodeSyncFrame(bytes);
      if (frame.kind !== 'command' && frame.kind !== 'question') throw new CodecGarbage(`a ${frame.kind}`);
      this.#holdOffice(nowMs);
      if (this.#office === null || this.#pending.size >= MAX_PENDING) {
        const { leader, id } = this.#replica.raft;
        this.#reply(frame.client, {
          kind: 'elsewhere',
          request: frame.request,
          leader: leader === id ? 0 : leader,
        });
        return;
      }
      this.#ask(frame, nowMs);
    } catch (error) {
      if (!(error instanceof CodecGarbage)) throw error;
      this.damagedFrames++;
    }
  }

  #ask(frame: SyncFrame & { kind: 'command' | 'question' }, nowMs: number): void {
    const { client, request } = frame;
    const id = --this.#lastId;
    if (frame.kind === 'question') {
      decodeQuestion(frame.question);
      this.#pending.set(id, { client, request, opens: false });
      this.#drive({ kind: 'query', id, question: frame.question, isLeaseEnough: frame.isLeaseEnough }, nowMs);
      return;
    }
    const { groupMs, ownMs } = this.#office!;
    const command = { ...decodeCommand(frame.command), timeMs: this.stampMs(groupMs, ownMs, nowMs) };
    if (command.kind === 'renew' || command.kind === 'operate') this.#remember(command.session, client);
    this.#pending.set(id, { client, request, opens: command.kind === 'open' });
    this.#drive({ kind: 'propose', id, command: encodeCommand(command) }, nowMs);
  }

  #remember(session: number, client: number): void {
    if (this.#clients.size >= MAX_CLIENTS) this.#clients.clear();
    this.#clients.set(session, client);
  }

  #drive(event: ReplicaEvent, nowMs: number): void {
    for (const effect of this.#replica.step(event, nowMs)) {
      if (effect.kind === 'answer' || effect.kind === 'refuse') this.#conclude(effect);
      else this.#effects.push(effect);
    }
  }

  #conclude(effect: ReplicaEffect & { kind: 'answer' | 'refuse' }): void {
    const pending = this.#pending.get(effect.id);
    this.#pending.delete(effect.id);
    if (effect.id === TICK_PROPOSAL) this.#isTickUnderWay = false;
    // What the caller itself asked of the replica, under numbers of its own.
    else if (pending === undefined) this.#effects.push(effect);
    else if (effect.kind === 'answer') this.#answer(pending, effect.result);
    else {
      const { client, request } = pending;
      const leader = effect.leader === this.#replica.id ? 0 : effect.leader;
      this.#reply(client, { kind: 'elsewhere', request, leader });
    }
  }

  #answer({ client, request, opens }: PendingRequest, bytes: Uint8Array): void {
    const result = decodeResult(bytes);
    if (opens && result.status === SyncStatus.Done) this.#remember(result.token, client);
    this.#reply(client, { kind: 'answer', request, result });
  }

  #reply(client: number, frame: SyncFrame): void {
    this.#effects.push({ kind: 'reply', client, frame: encodeSyncFrame(frame) });
  }
}
