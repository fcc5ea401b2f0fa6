import { CodecGarbage } from '../codec/byte-cursor.js';
import {
  type Component,
  decodeGroupFrame,
  encodeGroupFrame,
  type GroupBody,
  type GroupFrame,
  type GroupMessage,
  GroupOrder,
  groupMessageBytes,
  MAX_CHUNK_BYTES,
  MAX_GROUP_DATA_BYTES,
  MAX_GROUP_MEMBERS,
  type MessageName,
  type Standing,
  WINDOW_MESSAGES,
} from './group-frame.js';
import { compareViews, type GroupMemberId, placeOf, type ViewId, viewName } from './member-id.js';
import { StateGiver, StateTaker } from './state-transfer.js';
import { type Delivery, ViewTraffic, type ViewTrafficOptions } from './view-traffic.js';

/**
 * A member of a process group (Cheriton and Zwaenepoel 1985) with virtual synchrony (Birman and Joseph 1987), extended
 * to partitions (Moser, Amir, Melliar-Smith, Agarwal 1994) as Spread has it: each part of a partition goes on with a
 * view of its own, and parts that hear each other merge. Sans-I/O.
 *
 *              silence, a stranger, somebody leaves: `propose`, from the least of those who stay
 *     In a view ───────────────────────────────────────────▶ Blocked: nothing is sent or taken in the view
 *        ▲                                                      │ `state` to the proposer: what has come
 *        │    all that the commit asks for is here              ▼
 *     installs ◀──────────── Fetching ◀──── `commit`: who is in, and what each former view is to have been given
 *                               └─ from others of the same former view
 *
 *   A proposal that nobody commits in time is followed by another; a member takes part in the highest that it has heard
 *   of. What a view's members may have been given differently is made equal before the next view, without any vote:
 *   who installs it has been given exactly the cut.
 *
 * What the caller owes: frames to places, at most once is enough (damage is found); a `tick` at nextDeadlineMs; a
 * clock that goes forward; for each start at a place a larger life; places of others in `contacts`. Effects are
 * carried out in order. On `capture` it takes its state, as all effects before made it, and gives it with `captured`.
 *
 * What it promises is in docs/drvmm/groups.md; assumed is nothing but that frames get through now and then.
 *
 * Bounded: members, windows, the queue of what waits to be sent, states that are handed over, places to call.
 */
export interface GroupTiming {
  /** The pulse: reports, what is sent again, and all decisions about views. */
  readonly beatMs: number;
  /** A member unheard for so long is not there. */
  readonly silenceMs: number;
  /** From a reason for a new view to its proposal: reasons come together. */
  readonly settleMs: number;
  /** Others wait so much longer, each for those before it. */
  readonly patienceMs: number;
  /** For answers to a proposal. */
  readonly proposalMs: number;
}

export const DEFAULT_GROUP_TIMING: GroupTiming = {
  beatMs: 50,
  silenceMs: 600,
  settleMs: 60,
  patienceMs: 300,
  proposalMs: 250,
};

export const MAX_QUEUED_MESSAGES = 4_096;
export const MAX_QUEUED_BYTES = 8 * 1024 * 1024;
export const MAX_CONTACTS = 256;
const FRAME_BYTES = 64 * 1024;
const HELLO_EVERY_BEATS = 3;
/** A leaver that nobody lets go leaves without them. */
const LEAVE_SILENCES = 6;
/** A view change that goes on for so many proposal times has failed. */
const CHANGE_PROPOSALS = 4;
const COLLECT_AFTER_MESSAGES = 512;

export type GroupEvent =
  | { kind: 'tick' }
  | { kind: 'frame'; frame: Uint8Array }
  | { kind: 'multicast'; id: number; order: GroupOrder; data: Uint8Array }
  /** Where other members may be. */
  | { kind: 'contacts'; places: readonly number[] }
  /** Nobody is there anymore: a failure detector says so. A hint; silence is noticed without it. */
  | { kind: 'unreachable'; place: number }
  | { kind: 'leave' }
  /** Nothing is given until `resume`, or the end of the view; senders will wait. */
  | { kind: 'pause' }
  | { kind: 'resume' }
  | { kind: 'captured'; view: ViewId; state: Uint8Array };

export interface GroupView {
  readonly id: ViewId;
  readonly members: readonly GroupMemberId[];
  /** Those of them that come from the same view as this member, and were given the same in it. */
  readonly together: readonly GroupMemberId[];
  /** It holds most of the electorate, or there is none. */
  readonly isPrimary: boolean;
}

export type GroupEffect =
  | { kind: 'send'; to: number; frame: Buffer }
  /** The multicast is on its way, in this view. */
  | { kind: 'sent'; id: number; view: ViewId }
  | { kind: 'refused'; id: number; reason: 'full' | 'tooLarge' | 'left' }
  /** isLate: at the end of its view; who does not come along may never be given it. */
  | {
      kind: 'deliver';
      view: ViewId;
      from: GroupMemberId;
      order: GroupOrder;
      data: Uint8Array;
      isLate: boolean;
    }
  /** The state of those whom this member joins, or whose part is the one that counts: in place of its own. */
  | { kind: 'restore'; state: Uint8Array }
  | { kind: 'view'; view: GroupView }
  | { kind: 'capture'; view: ViewId }
  | { kind: 'left' };

export interface ProcessGroupOptions {
  readonly group: number;
  readonly id: GroupMemberId;
  /** It has a state to begin with; others wait until they are given one. */
  readonly isFounder: boolean;
  /** Whether members have a state that a newcomer needs. Without, all are in a view at once. */
  readonly hasState: boolean;
  /** Places; a view with most of them is primary. Empty: all views are. */
  readonly electorate?: readonly number[];
  readonly timing: GroupTiming;
  readonly random: () => number;
  readonly nowMs: number;
  readonly chunkBytes?: number;
  readonly createTraffic?: (options: ViewTrafficOptions) => ViewTraffic;
}

interface InstalledView {
  readonly id: ViewId;
  readonly members: readonly GroupMemberId[];
  readonly self: number;
  readonly traffic: ViewTraffic;
}

interface Commit {
  readonly members: readonly GroupMemberId[];
  readonly leavers: readonly GroupMemberId[];
  readonly standings: readonly Standing[];
  readonly components: readonly Component[];
}

/** The change of view that this member takes part in. */
interface Change {
  readonly id: ViewId;
  readonly sinceMs: number;
  commit: Commit | null;
  fetches: number;
}

interface Proposal {
  readonly id: ViewId;
  readonly members: readonly GroupMemberId[];
  readonly leavers: readonly GroupMemberId[];
  readonly states: Map<GroupMemberId, GroupBody & { kind: 'state' }>;
  readonly sinceMs: number;
}

interface Stranger {
  heardMs: number;
  hearsMe: boolean;
}

export class ProcessGroup {
  readonly id: GroupMemberId;
  readonly #group: number;
  readonly #timing: GroupTiming;
  readonly #random: () => number;
  readonly #hasStates: boolean;
  readonly #electorate: readonly number[];
  readonly #chunkBytes: number;
  readonly #createTraffic: (options: ViewTrafficOptions) => ViewTraffic;
  #nowMs: number;
  #effects: GroupEffect[] = [];
  #contacts: readonly number[] = [];

  #view: InstalledView;
  /** The caller has been told of the view; else its state is on its way. */
  #isInView: boolean;
  #standing: Standing;
  /** Who came along into the view, and whether it is primary: for when the state has come. */
  #entry: { together: readonly GroupMemberId[]; isPrimary: boolean; lastPrimary: number };
  /** The view before, for those who still need its messages. */
  #former: { id: ViewId; traffic: ViewTraffic } | null = null;
  /** Resent to those who have not been heard in the view: its coordinator's. */
  #commitFrame: Buffer | null = null;
  readonly #seenInView = new Set<GroupMemberId>();
  readonly #departed = new Set<GroupMemberId>();
  readonly #leaving = new Set<GroupMemberId>();

  #promised: ViewId;
  #change: Change | null = null;
  #proposal: Proposal | null = null;
  #counterSeen = 0;
  #needSinceMs: number | null = null;

  readonly #heard = new Map<GroupMemberId, number>();
  readonly #strangers = new Map<GroupMemberId, Stranger>();
  readonly #banned = new Map<GroupMemberId, number>();

  #queue: { id: number; order: GroupOrder; data: Uint8Array }[] = [];
  #queuedBytes = 0;
  #isPaused = false;
  #leaveSinceMs: number | null = null;
  #hasLeft = false;

  #transmitted = 0;
  #announcedClock = 0;
  #announcedCount = 0;
  #receivedCount = 0;
  #isUrgent = false;
  #isSilent = true;
  #hadAtBeat: number[] = [];
  #resentMs: number[] = [];
  #lackSaidMs = 0;
  #nextBeatMs: number;
  #beats = 0;

  #giver: StateGiver | null = null;
  #giverReceivers: readonly GroupMemberId[] = [];
  #taker: { from: GroupMemberId; taker: StateTaker } | null = null;
  damagedFrames = 0;

  constructor(options: ProcessGroupOptions) {
    this.id = options.id;
    this.#group = options.group;
    this.#timing = options.timing;
    this.#random = options.random;
    this.#nowMs = options.nowMs;
    this.#hasStates = options.hasState;
    this.#electorate = options.electorate ?? [];
    this.#chunkBytes = Math.min(options.chunkBytes ?? MAX_CHUNK_BYTES, MAX_CHUNK_BYTES);
    this.#createTraffic = options.createTraffic ?? ((of) => new ViewTraffic(of));
    this.#standing = { hasState: options.isFounder || !options.hasState, lastPrimary: 0 };
    this.#isInView = this.#standing.hasState;
    this.#promised = { counter: 1, coordinator: this.id };
    this.#view = this.#openView(this.#promised, [this.id], 0);
    this.#entry = { together: [this.id], isPrimary: this.#isPrimary([this.id]), lastPrimary: 0 };
    this.#nextBeatMs = options.nowMs + options.random() * options.timing.beatMs;
  }

  /** Call once, first. */
  start(): GroupEffect[] {
    this.#effects = [];
    if (this.#isInView) this.#enter();
    return this.#effects;
  }

  get members(): readonly GroupMemberId[] {
    return this.#view.members;
  }

  get viewId(): ViewId {
    return this.#view.id;
  }

  /** Whether the caller is in the view; else it waits for a state. */
  get isInView(): boolean {
    return this.#isInView && !this.#hasLeft;
  }

  get isBlocked(): boolean {
    return this.#change !== null;
  }

  /** Messages held and waiting: the measure of memory. */
  get held(): number {
    return this.#view.traffic.size + (this.#former?.traffic.size ?? 0) + this.#queue.length;
  }

  get nextDeadlineMs(): number {
    if (this.#hasLeft) return Number.POSITIVE_INFINITY;
    return this.#isUrgent ? this.#nowMs : this.#nextBeatMs;
  }

  step(event: GroupEvent, nowMs: number): GroupEffect[] {
    this.#nowMs = Math.max(this.#nowMs, nowMs);
    this.#effects = [];
    if (this.#hasLeft) {
      if (event.kind === 'multicast') this.#refuse(event.id, 'left');
      return this.#effects;
    }
    switch (event.kind) {
      case 'tick':
        this.#tick();
        break;
      case 'frame':
        this.#receive(event.frame);
        break;
      case 'multicast':
        this.#multicast(event);
        break;
      case 'contacts':
        this.#contacts = event.places.filter((place) => place !== placeOf(this.id)).slice(0, MAX_CONTACTS);
        break;
      case 'unreachable':
        for (const id of this.#heard.keys()) if (placeOf(id) === event.place) this.#heard.delete(id);
        break;
      case 'leave':
        this.#leaveSinceMs ??= this.#nowMs;
        this.#isUrgent = true;
        break;
      case 'pause':
      case 'resume':
        this.#isPaused = event.kind === 'pause';
        break;
      case 'captured':
        this.#give(event.view, event.state);
        break;
    }
    this.#finish();
    return this.#effects;
  }

  // ── the rules that the promises rest on, one method each ──────────────────────────────────────────────────────

  /** What has been said to have come to the proposer is all: nothing more is taken in the old view. */
  protected isOpen(change: unknown): boolean {
    return change === null;
  }

  /** A view is installed only from the newest proposal that one has answered. */
  protected isPromised(promised: ViewId, committed: ViewId): boolean {
    return compareViews(promised, committed) === 0;
  }

  /** What a member must still get before it goes into the next view. */
  protected missing(traffic: ViewTraffic, cut: Component): MessageName[] {
    return traffic.missing(cut);
  }

  /** What it must still be given. */
  protected leftOver(traffic: ViewTraffic, cut: Component): Delivery[] {
    return traffic.finish(cut);
  }

  /** A message is of the view in which it was sent. */
  protected isOfView(view: ViewId, current: ViewId): boolean {
    return compareViews(view, current) === 0;
  }

  /** Whose state counts: of the latest primary view, of the most members, of the least member. */
  protected isBetter(a: readonly number[], b: readonly number[]): boolean {
    const at = a.findIndex((value, index) => value !== b[index]);
    return at >= 0 && a[at]! > b[at]!;
  }

  /** Who is not of the part whose state counts waits for it. */
  protected needsState(isDonor: boolean): boolean {
    return !isDonor;
  }

  // ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #tick(): void {
    if (this.#isUrgent) this.#transmit();
    if (this.#nowMs < this.#nextBeatMs) return;
    this.#nextBeatMs = this.#nowMs + this.#timing.beatMs;
    this.#beats++;
    if (this.#isSilent) this.#transmit();
    this.#isSilent = true;
    this.#view.traffic.collect();
    if (this.isOpen(this.#change)) this.#resendStuck();
    if (this.#beats % HELLO_EVERY_BEATS === 0) this.#hello();
    this.#resendCommit();
    if (this.#proposal !== null) this.#sendProposal(this.#proposal);
    this.#installIfComplete();
    this.#sendChunks(true);
    this.#forget();
    this.#manageViews();
  }

  /** All that was not sent yet, or at least what has come: to all members. */
  #transmit(): void {
    const { members, traffic } = this.#view;
    this.#isUrgent = false;
    this.#isSilent = false;
    if (members.length === 1) {
      this.#transmitted = traffic.sent;
      return;
    }
    do {
      const messages = traffic.own(this.#transmitted + 1, FRAME_BYTES);
      this.#transmitted += messages.length;
      const frame = this.#trafficFrame(messages, this.#transmitted < traffic.sent ? messages.at(-1)! : null);
      for (const id of members) if (id !== this.id) this.#sendFrame(id, frame);
    } while (this.#transmitted < traffic.sent);
    this.#announcedClock = traffic.clock;
    this.#announcedCount = this.#receivedCount;
  }

  /** until: the frame speaks only for what was sent up to this message. */
  #trafficFrame(messages: readonly GroupMessage[], until: GroupMessage | null): Buffer {
    const { traffic, members, self } = this.#view;
    return this.#encode({
      kind: 'traffic',
      clock: until?.timestamp ?? traffic.clock,
      sent: until?.sequence ?? this.#transmitted,
      isLacking: members.some((_, at) => at !== self && traffic.isLacking(at)),
      isLeaving: this.#leaveSinceMs !== null,
      received: traffic.received,
      delivered: traffic.delivered,
      messages,
    });
  }

  /** To whom nothing new has got through since the last beat. */
  #resendStuck(): void {
    const { members, self, traffic } = this.#view;
    for (let member = 0; member < members.length; member++) {
      const had = traffic.hasOfOwn(member);
      if (member !== self && had < this.#transmitted && this.#hadAtBeat[member] === had) this.#resend(member);
      this.#hadAtBeat[member] = had;
    }
  }

  #resend(member: number): void {
    const { members, traffic } = this.#view;
    const messages = traffic
      .own(traffic.hasOfOwn(member) + 1, FRAME_BYTES)
      .filter(({ sequence }) => sequence <= this.#transmitted);
    const last = messages.at(-1);
    if (last === undefined) return;
    this.#resentMs[member] = this.#nowMs;
    const until = last.sequence < traffic.sent ? last : null;
    this.#sendFrame(members[member]!, this.#trafficFrame(messages, until));
  }

  #hello(): void {
    const heard = [...this.#heard.keys()].filter((id) => this.#isHeard(id)).slice(0, MAX_GROUP_MEMBERS);
    const frame = this.#encode({ kind: 'hello', heard });
    const inView = new Set(this.#view.members.filter((id) => !this.#departed.has(id)).map(placeOf));
    const places = new Set([...this.#contacts, ...[...this.#strangers.keys()].map(placeOf)]);
    places.delete(placeOf(this.id));
    for (const place of places) {
      if (!inView.has(place)) this.#effects.push({ kind: 'send', to: place, frame });
    }
  }

  #resendCommit(): void {
    if (this.#commitFrame === null || this.#change !== null) return;
    const absent = this.#view.members.filter((id) => !this.#seenInView.has(id));
    for (const id of absent) this.#sendFrame(id, this.#commitFrame);
    if (absent.length === 0) this.#commitFrame = null;
  }

  #forget(): void {
    const longAgoMs = this.#nowMs - 4 * this.#timing.silenceMs;
    for (const [id, ms] of this.#heard) if (ms < longAgoMs) this.#heard.delete(id);
    for (const [id, { heardMs }] of this.#strangers) if (heardMs < longAgoMs) this.#strangers.delete(id);
    for (const [id, untilMs] of this.#banned) if (untilMs < this.#nowMs) this.#banned.delete(id);
    if (this.#former !== null && this.#view.members.every((id) => this.#seenInView.has(id)))
      this.#former = null;
  }

  // ── which view there should be ────────────────────────────────────────────────────────────────────────────────

  #isHeard(id: GroupMemberId): boolean {
    const ms = this.#heard.get(id);
    return id === this.id || (ms !== undefined && this.#nowMs - ms <= this.#timing.silenceMs);
  }

  #isWanted(id: GroupMemberId): boolean {
    if (id === this.id) return this.#leaveSinceMs === null;
    return this.#isHeard(id) && !this.#banned.has(id) && !this.#leaving.has(id);
  }

  /** Those who should be in a view with this member, as far as it knows. */
  #wanted(): GroupMemberId[] {
    const wanted = this.#view.members.filter((id) => !this.#departed.has(id) && this.#isWanted(id));
    for (const [id, { hearsMe }] of this.#strangers) {
      if (wanted.length >= MAX_GROUP_MEMBERS) break;
      if (hearsMe && this.#isWanted(id) && !wanted.includes(id)) wanted.push(id);
    }
    // Of two lives at a place the former is over.
    const lives = new Map(wanted.map((id): [number, GroupMemberId] => [placeOf(id), id]));
    for (const id of wanted) lives.set(placeOf(id), Math.max(id, lives.get(placeOf(id))!));
    return wanted.filter((id) => lives.get(placeOf(id)) === id).sort((a, b) => a - b);
  }

  #manageViews(): void {
    const { proposalMs, settleMs, patienceMs, silenceMs } = this.#timing;
    if (this.#proposal !== null && this.#nowMs - this.#proposal.sinceMs >= proposalMs) {
      this.#giveUpOnSilent(this.#proposal);
      return;
    }
    if (this.#change !== null && this.#nowMs - this.#change.sinceMs < CHANGE_PROPOSALS * proposalMs) return;
    const wanted = this.#wanted();
    if (this.#leaveSinceMs !== null) {
      if (wanted.length === 0 || this.#nowMs - this.#leaveSinceMs > LEAVE_SILENCES * silenceMs)
        this.#leaveAlone();
      return;
    }
    const { members } = this.#view;
    const isSame = wanted.length === members.length && wanted.every((id, at) => id === members[at]);
    if (isSame && this.#change === null) {
      this.#needSinceMs = null;
      return;
    }
    this.#needSinceMs ??= this.#nowMs;
    const delayMs = settleMs + wanted.indexOf(this.id) * patienceMs;
    if (this.#nowMs - this.#needSinceMs >= delayMs) this.#propose(wanted);
  }

  #propose(members: readonly GroupMemberId[]): void {
    this.#needSinceMs = null;
    this.#counterSeen = Math.max(this.#counterSeen, this.#promised.counter) + 1;
    const id: ViewId = { counter: this.#counterSeen, coordinator: this.id };
    const leavers = this.#view.members.filter((one) => this.#leaving.has(one) && this.#isHeard(one));
    this.#proposal = { id, members, leavers, states: new Map(), sinceMs: this.#nowMs };
    this.#promise(id);
    this.#proposal.states.set(this.id, this.#stateBody());
    this.#sendProposal(this.#proposal);
    this.#commitIfComplete();
  }

  #sendProposal({ id, members, leavers, states }: Proposal): void {
    const frame = this.#encode({ kind: 'propose', members, leavers }, id);
    for (const one of [...members, ...leavers]) if (!states.has(one)) this.#sendFrame(one, frame);
  }

  #giveUpOnSilent({ members, leavers, states }: Proposal): void {
    for (const id of members) if (!states.has(id)) this.#ban(id);
    for (const id of leavers) if (!states.has(id)) this.#leaving.delete(id);
    this.#proposal = null;
    const wanted = this.#wanted();
    if (this.#leaveSinceMs === null) this.#propose(wanted);
  }

  /** For a while, longer or shorter, so that two who disagree do not do so in step. */
  #ban(id: GroupMemberId): void {
    if (id === this.id) return;
    this.#banned.set(id, this.#nowMs + this.#timing.silenceMs * (0.5 + this.#random()));
  }

  #leaveAlone(): void {
    const { id, traffic } = this.#view;
    const prefix = traffic.received.slice();
    if (this.#isInView) {
      const cut: Component = { previous: id, members: [this.id], prefix, extras: traffic.extras() };
      this.#deliver(this.leftOver(traffic, cut), true);
    }
    this.#leave();
  }

  #leave(): void {
    this.#hasLeft = true;
    for (const { id } of this.#queue) this.#refuse(id, 'left');
    this.#queue = [];
    this.#effects.push({ kind: 'left' });
  }

  // ── frames ────────────────────────────────────────────────────────────────────────────────────────────────────

  #receive(bytes: Uint8Array): void {
    let frame: GroupFrame;
    try {
      frame = decodeGroupFrame(bytes);
      if (frame.group !== this.#group) throw new CodecGarbage(`for group ${frame.group}`);
    } catch (error) {
      if (!(error instanceof CodecGarbage)) throw error;
      this.damagedFrames++;
      return;
    }
    const { from, view, body } = frame;
    if (from === this.id) return;
    const isMember = this.#view.members.includes(from);
    if (!isMember && !this.#heard.has(from) && this.#heard.size >= MAX_CONTACTS) return;
    this.#heard.set(from, this.#nowMs);
    this.#counterSeen = Math.max(this.#counterSeen, view.counter);
    switch (body.kind) {
      case 'traffic':
        this.#receiveTraffic(from, view, body);
        return;
      case 'hello':
        this.#receiveHello(from, view, body.heard.includes(this.id));
        return;
      case 'propose':
        this.#receiveProposal(from, view, body);
        return;
      case 'refuse':
        this.#receiveRefusal(view, body);
        return;
      case 'state':
        if (this.#proposal === null || compareViews(this.#proposal.id, view) !== 0) return;
        this.#proposal.states.set(from, body);
        this.#commitIfComplete();
        return;
      case 'commit':
        if (view.coordinator === from) this.#receiveCommit(view, body);
        return;
      case 'fetch':
        this.#forward(from, view, body.wanted);
        return;
      case 'forward':
        this.#receiveForward(view, body);
        return;
      case 'chunk':
        this.#receiveChunk(from, view, body);
        return;
      case 'chunkReply':
        if (compareViews(view, this.#view.id) === 0) this.#receiveChunkReply(from, body.offset);
        return;
    }
  }

  #receiveTraffic(from: GroupMemberId, view: ViewId, body: GroupBody & { kind: 'traffic' }): void {
    const { members, traffic } = this.#view;
    const sender = members.indexOf(from);
    if (sender < 0 || !this.isOfView(view, this.#view.id)) return;
    this.#seenInView.add(from);
    if (body.isLeaving) this.#leaving.add(from);
    if (!this.isOpen(this.#change) || body.received.length !== members.length) return;
    for (const message of body.messages) {
      if (!traffic.receive(sender, message)) continue;
      this.#receivedCount++;
      if (message.order >= GroupOrder.Total && message.timestamp > this.#announcedClock)
        this.#isUrgent = true;
      if (message.order === GroupOrder.Safe) this.#isUrgent = true;
    }
    traffic.report(sender, body.sent, body.clock, body.received, body.delivered);
    if (this.#receivedCount - this.#announcedCount >= WINDOW_MESSAGES / 4) this.#isUrgent = true;
    const patienceMs = this.#timing.beatMs / 4;
    if (traffic.isLacking(sender) && this.#nowMs - this.#lackSaidMs >= patienceMs) {
      this.#lackSaidMs = this.#nowMs;
      this.#isUrgent = true;
    }
    const isFresh = this.#nowMs - (this.#resentMs[sender] ?? 0) < patienceMs;
    if (body.isLacking && !isFresh && traffic.hasOfOwn(sender) < this.#transmitted) this.#resend(sender);
    if (traffic.size > COLLECT_AFTER_MESSAGES && body.messages.length > 0) traffic.collect();
  }

  #receiveHello(from: GroupMemberId, view: ViewId, hearsMe: boolean): void {
    if (this.#view.members.includes(from)) {
      // It has gone on without this member, unless the word is an old one.
      if (compareViews(view, this.#view.id) <= 0) return;
      this.#departed.add(from);
    }
    const stranger = this.#strangers.get(from);
    if (stranger === undefined && this.#strangers.size >= MAX_CONTACTS) return;
    this.#strangers.set(from, { heardMs: this.#nowMs, hearsMe });
  }

  #receiveProposal(from: GroupMemberId, id: ViewId, body: GroupBody & { kind: 'propose' }): void {
    const { members, leavers } = body;
    if (id.coordinator !== from || (!members.includes(this.id) && !leavers.includes(this.id))) return;
    const order = compareViews(id, this.#promised);
    if (order === 0 && this.#change !== null) this.#sendBody(from, this.#stateBody(), id);
    if (order === 0) return;
    const unheard = members.filter((one) => !this.#isHeard(one));
    if (order < 0 || unheard.length > 0) {
      this.#sendBody(from, { kind: 'refuse', counter: this.#promised.counter, unheard }, id);
      return;
    }
    this.#proposal = null;
    this.#promise(id);
    this.#sendBody(from, this.#stateBody(), id);
  }

  #promise(id: ViewId): void {
    this.#promised = id;
    this.#change = { id, sinceMs: this.#nowMs, commit: null, fetches: 0 };
    this.#needSinceMs = null;
  }

  #stateBody(): GroupBody & { kind: 'state' } {
    const { id, traffic } = this.#view;
    return {
      kind: 'state',
      previous: this.#isInView ? id : null,
      standing: this.#standing,
      received: traffic.received,
      extras: traffic.extras(),
    };
  }

  #receiveRefusal(id: ViewId, { counter, unheard }: GroupBody & { kind: 'refuse' }): void {
    const proposal = this.#proposal;
    if (proposal === null || compareViews(proposal.id, id) !== 0) return;
    this.#counterSeen = Math.max(this.#counterSeen, counter);
    for (const one of unheard) this.#ban(one);
    this.#proposal = null;
    // Some time apart, where two want to lead.
    const { proposalMs } = this.#timing;
    if (this.#change !== null) {
      const spentMs = CHANGE_PROPOSALS * proposalMs - this.#random() * proposalMs;
      this.#change = { ...this.#change, sinceMs: this.#nowMs - spentMs };
    }
  }

  // ── from one view to the next ─────────────────────────────────────────────────────────────────────────────────

  #commitIfComplete(): void {
    const { id, members, leavers, states } = this.#proposal!;
    if ([...members, ...leavers].some((one) => !states.has(one))) return;
    this.#proposal = null;
    const components = this.#componentsOf(states);
    const standings = members.map((one) => states.get(one)!.standing);
    const body: GroupBody = { kind: 'commit', members, leavers, standings, components };
    const frame = this.#encode(body, id);
    for (const one of [...members, ...leavers]) if (one !== this.id) this.#sendFrame(one, frame);
    this.#commitFrame = frame;
    this.#receiveCommit(id, body);
  }

  #componentsOf(states: ReadonlyMap<GroupMemberId, GroupBody & { kind: 'state' }>): Component[] {
    const byView = new Map<string, { previous: ViewId; members: GroupMemberId[]; states: StateBody[] }>();
    for (const [one, state] of states) {
      if (state.previous === null) continue;
      const name = viewName(state.previous);
      const part = byView.get(name) ?? { previous: state.previous, members: [], states: [] };
      byView.set(name, part);
      part.members.push(one);
      part.states.push(state);
    }
    return [...byView.values()].map(({ previous, members, states: of }) => {
      const prefix = of[0]!.received.map((_, sender) =>
        Math.max(...of.map(({ received }) => received[sender] ?? 0)),
      );
      const extras = new Map<string, MessageName>();
      for (const name of of.flatMap((state) => state.extras)) {
        if (name.sequence > (prefix[name.sender] ?? 0)) extras.set(`${name.sender}:${name.sequence}`, name);
      }
      return { previous, members: members.sort((a, b) => a - b), prefix, extras: [...extras.values()] };
    });
  }

  #receiveCommit(id: ViewId, commit: Commit): void {
    if (this.#change === null || this.#change.commit !== null || !this.isPromised(this.#promised, id)) return;
    const cut = this.#ownCut(commit);
    const { length } = this.#view.members;
    if (
      cut !== undefined &&
      (cut.prefix.length !== length || cut.extras.some(({ sender }) => sender >= length))
    )
      return;
    this.#change = { ...this.#change, id, commit };
    this.#installIfComplete();
  }

  /** The cut of the view that this member comes from; undefined when it was not in it. */
  #ownCut({ components }: Commit): Component | undefined {
    if (!this.#isInView) return undefined;
    return components.find(({ previous }) => compareViews(previous, this.#view.id) === 0);
  }

  #installIfComplete(): void {
    const change = this.#change;
    if (change === null || change.commit === null) return;
    const cut = this.#ownCut(change.commit);
    const missing = cut === undefined ? [] : this.missing(this.#view.traffic, cut);
    if (missing.length === 0) {
      this.#install(change.id, change.commit, cut);
      return;
    }
    this.#fetch(change, cut!, missing);
  }

  #fetch(change: Change, { members }: Component, missing: readonly MessageName[]): void {
    const others = members.filter((id) => id !== this.id);
    const from = others[change.fetches++ % others.length];
    if (from === undefined) return;
    const wanted = missing.slice(0, WINDOW_MESSAGES);
    this.#sendBody(from, { kind: 'fetch', wanted }, this.#view.id);
  }

  #forward(to: GroupMemberId, view: ViewId, wanted: readonly MessageName[]): void {
    const isFormer = this.#former !== null && compareViews(this.#former.id, view) === 0;
    const traffic = isFormer ? this.#former!.traffic : this.#view.traffic;
    if (!isFormer && compareViews(this.#view.id, view) !== 0) return;
    const senders: number[] = [];
    const messages: GroupMessage[] = [];
    let bytes = 0;
    for (const name of wanted.slice(0, WINDOW_MESSAGES)) {
      const message = traffic.find(name);
      if (message === undefined) continue;
      bytes += groupMessageBytes(message);
      if (messages.length > 0 && bytes > FRAME_BYTES) break;
      senders.push(name.sender);
      messages.push(message);
    }
    if (messages.length > 0) this.#sendBody(to, { kind: 'forward', senders, messages }, view);
  }

  #receiveForward(view: ViewId, { senders, messages }: GroupBody & { kind: 'forward' }): void {
    const { id, members, traffic } = this.#view;
    if (!this.#change?.commit || compareViews(id, view) !== 0) return;
    for (const [at, message] of messages.entries()) {
      if (senders[at]! < members.length) traffic.receive(senders[at]!, message);
    }
    this.#installIfComplete();
  }

  #install(id: ViewId, commit: Commit, cut: Component | undefined): void {
    const { traffic } = this.#view;
    // Even if all have answered: some may answer another proposal before this one's commit reaches them.
    if (cut !== undefined) this.#deliver(this.leftOver(traffic, cut), true);
    if (!commit.members.includes(this.id)) {
      this.#leave();
      return;
    }
    this.#former = cut === undefined ? null : { id: this.#view.id, traffic };
    this.#change = null;
    if (id.coordinator !== this.id) this.#commitFrame = null;
    this.#view = this.#openView(id, commit.members, traffic.clock);
    this.#settleState(commit, cut);
  }

  #openView(id: ViewId, members: readonly GroupMemberId[], clock: number): InstalledView {
    const self = members.indexOf(this.id);
    this.#seenInView.clear();
    this.#seenInView.add(this.id);
    this.#departed.clear();
    this.#leaving.clear();
    for (const member of members) this.#strangers.delete(member);
    this.#transmitted = 0;
    this.#announcedClock = 0;
    this.#announcedCount = 0;
    this.#receivedCount = 0;
    this.#hadAtBeat = [];
    this.#resentMs = [];
    this.#isUrgent = members.length > 1;
    this.#giver = null;
    this.#giverReceivers = [];
    this.#taker = null;
    const traffic = this.#createTraffic({ members: members.length, self, clock });
    return { id, members, self, traffic };
  }

  /** Whose state the members of the new view have, and who gives it to whom. */
  #settleState({ members, standings, components }: Commit, cut: Component | undefined): void {
    const { donors, standing } = this.#donorsOf(members, standings, components);
    const withState = members.filter((_, at) => standings[at]!.hasState);
    const isPrimary = this.#isPrimary(withState);
    const together = cut === undefined ? [this.id] : cut.members.filter((id) => members.includes(id));
    this.#entry = { together, isPrimary, lastPrimary: standing?.lastPrimary ?? 0 };
    const isDonor = donors.includes(this.id);
    if (!this.#hasStates || (this.#standing.hasState && !this.needsState(isDonor))) {
      this.#enter();
      if (!this.#hasStates) return;
      const others = members.filter((id) => !donors.includes(id));
      this.#giverReceivers = others.filter((_, at) => donors[at % donors.length] === this.id);
      if (this.#giverReceivers.length > 0) this.#effects.push({ kind: 'capture', view: this.#view.id });
      return;
    }
    this.#isInView = false;
    if (donors.length === 0) return;
    const at = members.filter((id) => !donors.includes(id)).indexOf(this.id);
    this.#taker = { from: donors[at % donors.length]!, taker: new StateTaker() };
  }

  #donorsOf(
    members: readonly GroupMemberId[],
    standings: readonly Standing[],
    components: readonly Component[],
  ): { donors: readonly GroupMemberId[]; standing: Standing | null } {
    let best: { donors: readonly GroupMemberId[]; standing: Standing | null; rank: number[] } = {
      donors: [],
      standing: null,
      rank: [-1, 0, 0],
    };
    for (const [at, id] of members.entries()) {
      const standing = standings[at]!;
      if (!standing.hasState) continue;
      const part = components.find((one) => one.members.includes(id))?.members ?? [id];
      const donors = part.filter((one) => members.includes(one));
      const rank = [standing.lastPrimary, donors.length, -donors[0]!];
      if (this.isBetter(rank, best.rank)) best = { donors, standing, rank };
    }
    return best;
  }

  #isPrimary(members: readonly GroupMemberId[]): boolean {
    if (this.#electorate.length === 0) return true;
    const present = this.#electorate.filter((place) => members.some((id) => placeOf(id) === place));
    return present.length * 2 > this.#electorate.length;
  }

  /** The caller is in the view from now on. */
  #enter(): void {
    const { id, members } = this.#view;
    const { together, isPrimary, lastPrimary } = this.#entry;
    this.#isInView = true;
    const isCounted = isPrimary && this.#electorate.length > 0;
    this.#standing = { hasState: true, lastPrimary: isCounted ? id.counter : lastPrimary };
    this.#effects.push({ kind: 'view', view: { id, members, together, isPrimary } });
  }

  // ── state ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #give(view: ViewId, state: Uint8Array): void {
    if (compareViews(view, this.#view.id) !== 0 || this.#giverReceivers.length === 0) return;
    this.#giver = new StateGiver(state, this.#giverReceivers, this.#chunkBytes);
    this.#giverReceivers = [];
    this.#sendChunks(false);
  }

  #sendChunks(isLate: boolean): void {
    if (this.#giver === null) return;
    for (const { to, body } of this.#giver.next(isLate)) this.#sendBody(to, body);
    if (this.#giver.isDone) this.#giver = null;
  }

  #receiveChunk(from: GroupMemberId, view: ViewId, body: GroupBody & { kind: 'chunk' }): void {
    if (compareViews(view, this.#view.id) !== 0) return;
    // A change that has begun takes this member for one without the state; it will be given the next one.
    if (this.#change !== null) return;
    if (this.#taker === null || this.#taker.from !== from) {
      // It is whole already, and the giver has not heard.
      if (this.#isInView) this.#sendBody(from, { kind: 'chunkReply', offset: body.totalBytes });
      return;
    }
    const state = this.#taker.taker.take(body);
    const offset = this.#taker.taker.received;
    this.#sendBody(from, { kind: 'chunkReply', offset });
    if (state === null) return;
    this.#taker = null;
    this.#effects.push({ kind: 'restore', state });
    this.#enter();
  }

  #receiveChunkReply(from: GroupMemberId, offset: number): void {
    this.#giver?.confirmed(from, offset);
    this.#sendChunks(false);
  }

  // ── multicasts ────────────────────────────────────────────────────────────────────────────────────────────────

  #multicast({ id, order, data }: GroupEvent & { kind: 'multicast' }): void {
    const isFull =
      this.#queue.length >= MAX_QUEUED_MESSAGES || this.#queuedBytes + data.length > MAX_QUEUED_BYTES;
    if (data.length > MAX_GROUP_DATA_BYTES) this.#refuse(id, 'tooLarge');
    else if (isFull) this.#refuse(id, 'full');
    else {
      this.#queue.push({ id, order, data });
      this.#queuedBytes += data.length;
    }
  }

  #refuse(id: number, reason: 'full' | 'tooLarge' | 'left'): void {
    this.#effects.push({ kind: 'refused', id, reason });
  }

  #sendQueued(): void {
    const { id: view, traffic } = this.#view;
    let taken = 0;
    while (taken < this.#queue.length && traffic.isWindowOpen) {
      const { id, order, data } = this.#queue[taken++]!;
      traffic.stamp(order, data);
      this.#queuedBytes -= data.length;
      this.#effects.push({ kind: 'sent', id, view });
      this.#isUrgent = true;
      // A later one may wait for this one.
      if (!this.#isPaused) this.#deliver(traffic.deliver(), false);
    }
    if (taken > 0) this.#queue.splice(0, taken);
  }

  #deliver(deliveries: readonly Delivery[], isLate: boolean): void {
    const { id: view, members } = this.#view;
    for (const { sender, message } of deliveries) {
      const { order, data } = message;
      this.#effects.push({ kind: 'deliver', view, from: members[sender]!, order, data, isLate });
    }
  }

  /** The end of every step: what follows from the state that it left. */
  #finish(): void {
    if (this.#hasLeft) return;
    if (!this.#isInView || !this.isOpen(this.#change)) return;
    if (!this.#isPaused) this.#deliver(this.#view.traffic.deliver(), false);
    if (this.#queue.length > 0) this.#sendQueued();
  }

  // ── sending ───────────────────────────────────────────────────────────────────────────────────────────────────

  #encode(body: GroupBody, view: ViewId = this.#view.id): Buffer {
    return encodeGroupFrame({ group: this.#group, from: this.id, view, body });
  }

  #sendBody(to: GroupMemberId, body: GroupBody, view: ViewId = this.#view.id): void {
    this.#sendFrame(to, this.#encode(body, view));
  }

  #sendFrame(to: GroupMemberId, frame: Buffer): void {
    if (to !== this.id) this.#effects.push({ kind: 'send', to: placeOf(to), frame });
  }
}

type StateBody = GroupBody & { kind: 'state' };
