import { ByteReader, ByteWriter, CodecGarbage } from '../codec/byte-cursor.js';
import { MAX_GROUP_MEMBERS } from './group-frame.js';
import { type GroupMemberId, MEMBER_ID_MAX } from './member-id.js';
import type { GroupView } from './process-group.js';

/**
 * Mutual exclusion without a server: every member of a process group keeps the same queue of who wants in, moved on by
 * requests and releases that all are given in one order (Lamport 1978, section 3, on safe multicasts). Who is first
 * is in. Nobody is asked, nobody leads, nothing is on disk; a member that is gone is out of the queue with the next view.
 *
 *   want() ─▶ multicast `request` ─▶ given to all ─▶ … first ─▶ `granted`, with a token larger than all before
 *   done() ─▶ multicast `release` ─▶ given to all ─▶ the next is first
 *
 * Only in primary views: a member that finds itself in another one has `lost` what it had. The rest may have gone on by
 * then, so who guards the resource refuses tokens smaller than the largest that it has seen.
 *
 * What the caller owes: a group with states and with an electorate; `send` effects multicast as Safe; `delivered` and
 * `entered` in the order of the group's effects; `capture` and `restore` when the group asks for them.
 *
 * Tokens grow as long as the group's state lives: an electorate most of which crashed begins anew. What must survive
 * that is for SyncMachine (docs/drvmm/groups.md compares them).
 */
export type MutexEffect =
  /** To be multicast, Safe. */
  | { kind: 'send'; data: Uint8Array }
  | { kind: 'granted'; token: number }
  /** It was this member's, or it was waiting for it, and is no longer. */
  | { kind: 'lost' };

enum MutexMessage {
  Request = 1,
  Release = 2,
}

interface Place {
  readonly member: GroupMemberId;
  /** The member's own number of its request. */
  readonly request: number;
}

export class GroupMutex {
  readonly #self: GroupMemberId;
  #queue: Place[] = [];
  #lastToken = 0;
  /** Whether the first in the queue has its token: 0, it has none yet. */
  #token = 0;
  #isPrimary = false;
  /** This member's request; 0: it wants nothing. */
  #wanted = 0;
  #lastRequest = 0;
  #isHeld = false;
  #effects: MutexEffect[] = [];

  constructor(self: GroupMemberId) {
    this.#self = self;
  }

  /** Who is in, as far as this member has been given. */
  get holder(): { readonly member: GroupMemberId; readonly token: number } | null {
    const first = this.#queue[0];
    return first === undefined || this.#token === 0 ? null : { member: first.member, token: this.#token };
  }

  /** Asks to be let in; nothing happens when that is asked already. */
  want(): MutexEffect[] {
    this.#effects = [];
    if (this.#wanted === 0) {
      this.#wanted = ++this.#lastRequest;
      this.#send(MutexMessage.Request, this.#wanted);
    }
    return this.#effects;
  }

  /** Lets the next one in, or stops waiting. */
  done(): MutexEffect[] {
    this.#effects = [];
    if (this.#wanted !== 0) {
      this.#send(MutexMessage.Release, this.#wanted);
      this.#wanted = 0;
      this.#isHeld = false;
    }
    return this.#effects;
  }

  /** A multicast of the mutex; isLate: as the group said. @throws CodecGarbage */
  delivered(from: GroupMemberId, data: Uint8Array, isLate: boolean): MutexEffect[] {
    this.#effects = [];
    const reader = new ByteReader(data);
    const message = reader.u8();
    const request = reader.u64();
    reader.end();
    const at = this.#queue.findIndex((place) => place.member === from && place.request === request);
    if (message === MutexMessage.Request) {
      if (at < 0 && this.#queue.length < MAX_GROUP_MEMBERS) this.#queue.push({ member: from, request });
    } else if (message === MutexMessage.Release) {
      if (at >= 0) this.#remove(at);
    } else throw new CodecGarbage(`message ${message} to a mutex`);
    this.#admit(this.isCertain(isLate));
    return this.#effects;
  }

  /** A view of the group; after `restore`, where there is one. */
  entered({ members, isPrimary }: GroupView): MutexEffect[] {
    this.#effects = [];
    this.#isPrimary = isPrimary;
    if (!isPrimary) {
      if (this.#isHeld) this.#lose();
      return this.#effects;
    }
    for (let at = this.#queue.length - 1; at >= 0; at--) {
      const { member, request } = this.#queue[at]!;
      if (!members.includes(member)) this.#remove(at);
      // Given up while it could not be told, or by an earlier state.
      else if (member === this.#self && request !== this.#wanted) this.#send(MutexMessage.Release, request);
    }
    const isKnown = this.#queue.some(
      ({ member, request }) => member === this.#self && request === this.#wanted,
    );
    if (this.#isHeld && !isKnown) this.#lose();
    else if (this.#wanted !== 0 && !isKnown) this.#send(MutexMessage.Request, this.#wanted);
    this.#admit(true);
    return this.#effects;
  }

  capture(): Uint8Array {
    const writer = new ByteWriter().u64(this.#lastToken).u64(this.#token).u32(this.#queue.length);
    for (const { member, request } of this.#queue) writer.u64(member).u64(request);
    return writer.finish();
  }

  /** @throws CodecGarbage */
  restore(state: Uint8Array): void {
    const reader = new ByteReader(state);
    this.#lastToken = reader.u64();
    this.#token = reader.u64();
    this.#queue = [];
    for (let left = reader.count(MAX_GROUP_MEMBERS, 16); left > 0; left--) {
      const member = reader.u64();
      if (member > MEMBER_ID_MAX) throw new CodecGarbage(`a member ${member}`);
      this.#queue.push({ member, request: reader.u64() });
    }
    reader.end();
  }

  // ── the rules that it rests on ────────────────────────────────────────────────────────────────────────────────

  /** Parts that are not primary let nobody in: there is at most one part that does. */
  protected mayAdmit(isPrimary: boolean): boolean {
    return isPrimary;
  }

  /** What is given late, others may never be given: it counts, but nobody goes in by it before the next view. */
  protected isCertain(isLate: boolean): boolean {
    return !isLate;
  }

  #admit(isCertain: boolean): void {
    const first = this.#queue[0];
    if (first === undefined || !this.mayAdmit(this.#isPrimary)) return;
    if (this.#token === 0) this.#token = ++this.#lastToken;
    if (!isCertain || this.#isHeld || first.member !== this.#self || first.request !== this.#wanted) return;
    this.#isHeld = true;
    this.#effects.push({ kind: 'granted', token: this.#token });
  }

  #remove(at: number): void {
    this.#queue.splice(at, 1);
    if (at === 0) this.#token = 0;
  }

  #lose(): void {
    this.#isHeld = false;
    this.#wanted = 0;
    this.#effects.push({ kind: 'lost' });
  }

  #send(message: MutexMessage, request: number): void {
    this.#effects.push({ kind: 'send', data: new ByteWriter(16).u8(message).u64(request).finish() });
  }
}
