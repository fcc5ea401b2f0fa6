import { CodecGarbage } from '../codec/byte-cursor.js';
import { GossipQueue } from './gossip-queue.js';
import {
  decodeMembershipFrame,
  encodeMembershipFrame,
  MAX_ADDRESS_BYTES,
  MAX_MEMBER_NAME_BYTES,
  MAX_METADATA_BYTES,
  MEMBERSHIP_FRAME_BYTES,
  MemberState,
  type MembershipFrame,
  type MembershipMessage,
  type MemberUpdate,
  messageBytes,
  RIDER_BYTES,
  updateBytes,
} from './membership-frame.js';

/**
 * Who is there: SWIM (Das, Gupta, Motivala 2002) with Lifeguard (Dadgar, Phillips, Currey 2018). Sans-I/O.
 *
 * Each period a member probes one other, in an order that is shuffled and then followed, so that everyone is probed
 * within 2n periods:
 *
 *   ping ──no ack in time──▶ ping requests through k others ──no ack in the period──▶ Suspect ──time──▶ Dead
 *                                                                    ▲ │ alive, of a higher incarnation
 *                                                                    │ ▼
 *                                                                   Alive
 *
 * - What is news travels on all messages and on a few of its own, each piece O(log n) times from each member.
 * - Only a member itself raises its incarnation, to contradict what is said of it.
 * - A suspicion lasts from max down to min with every further member that shares it (so one with a bad link of its
 *   own convinces nobody quickly); a suspect is told so with every ping (the buddy system); who misses acks and
 *   nacks probes more slowly, as the fault is likely its own (local health).
 * - Some of what is known is exchanged with someone now and then, and one of the dead is pinged: after a partition
 *   the parts find together.
 *
 * What the caller owes: frames sent to addresses, at most once is enough; a `tick` at nextDeadlineMs; a clock that
 * goes forward. A member that starts anew may begin with incarnation 0: it is told of its former life and goes on.
 *
 * What it promises: a member that stays dead is found Dead by all in a time that `SwimTiming` sets and n hardly
 * matters to; messages per member and period do not grow with n, and none is larger than MEMBERSHIP_FRAME_BYTES.
 * Members' views are not the same at all times: what needs agreement needs consensus.
 */
export interface SwimTiming {
  readonly probeIntervalMs: number;
  /** For an ack, before others are asked to try. */
  readonly probeTimeoutMs: number;
  readonly gossipIntervalMs: number;
  readonly exchangeIntervalMs: number;
  /** Others that are asked to try. */
  readonly indirectProbes: number;
  /** The shortest suspicion is this times log10(n) times the probe interval: raise it against false positives. */
  readonly suspicionFactor: number;
  /** The longest suspicion, in shortest ones. */
  readonly suspicionStretch: number;
  /** Members besides the first that make a suspicion as short as it gets. */
  readonly confirmations: number;
  readonly gossipFanout: number;
  /** News is told this times log10(n + 1) times by each. */
  readonly retransmitFactor: number;
  /** How many times slower than normal the probing of a member in poor health gets, at most. */
  readonly healthMax: number;
  /** The dead are remembered so long, that old news does not bring them back. */
  readonly deadRetentionMs: number;
}

export const DEFAULT_SWIM_TIMING: SwimTiming = {
  probeIntervalMs: 1_000,
  probeTimeoutMs: 400,
  gossipIntervalMs: 200,
  exchangeIntervalMs: 5_000,
  indirectProbes: 3,
  suspicionFactor: 2,
  suspicionStretch: 6,
  confirmations: 3,
  gossipFanout: 3,
  retransmitFactor: 4,
  healthMax: 8,
  deadRetentionMs: 600_000,
};

export const MAX_MEMBERS = 16_384;
const MAX_RELAYED_PROBES = 1_024;
/** Addresses to join through; some of them should be up at any time. */
export const MAX_SEEDS = 16;

export interface Member {
  readonly name: string;
  address: string;
  incarnation: number;
  state: MemberState;
  metadata: Uint8Array;
  changedMs: number;
}

export type SwimEvent =
  | { kind: 'tick' }
  | { kind: 'frame'; frame: Uint8Array }
  /** Through any of these; it goes on trying those that it knows no member at. */
  | { kind: 'join'; addresses: readonly string[] }
  /** Says goodbye; the caller gives it a little time to be heard, then stops. */
  | { kind: 'leave' }
  | { kind: 'describe'; metadata: Uint8Array };

export type SwimEffect =
  | { kind: 'send'; to: string; frame: Buffer }
  /** Something about a member changed, also about oneself. */
  | { kind: 'changed'; member: Readonly<Member>; before: MemberState | null };

export interface SwimOptions {
  readonly name: string;
  readonly address: string;
  readonly metadata: Uint8Array;
  readonly timing: SwimTiming;
  readonly random: () => number;
  readonly nowMs: number;
  readonly rider?: MembershipRider;
}

/** Goes along with probes and their answers, in what room these leave: one round trip in each period with somebody else. */
export interface MembershipRider {
  /** At most so many bytes. */
  take(bytesMax: number, nowMs: number): Uint8Array;
  receive(bytes: Uint8Array, nowMs: number): void;
}

const NOTHING = new Uint8Array(0);
const NO_RIDER: MembershipRider = { take: () => NOTHING, receive: () => undefined };

interface Suspicion {
  readonly sinceMs: number;
  readonly minMs: number;
  readonly maxMs: number;
  readonly witnesses: Set<string>;
}

interface Probe {
  readonly target: string;
  readonly sequence: number;
  readonly endMs: number;
  indirectMs: number;
  expectedNacks: number;
  nacks: number;
  isAcked: boolean;
}

export class Swim {
  readonly #timing: SwimTiming;
  readonly #random: () => number;
  readonly #rider: MembershipRider;
  readonly #self: Member;
  readonly #members = new Map<string, Member>();
  /** Those that may be probed and gossiped to, in the order of probing. */
  #order: string[] = [];
  #orderAt = 0;
  readonly #suspicions = new Map<string, Suspicion>();
  readonly #gossip = new GossipQueue();
  readonly #relayed = new Map<number, { to: string; sequence: number; nackMs: number; endMs: number }>();
  #probe: Probe | null = null;
  #sequence = 0;
  #health = 0;
  #nextProbeMs: number;
  #nextGossipMs: number;
  #nextExchangeMs: number;
  #exchangeCursor = 0;
  #aliveCount = 1;
  #isLeaving = false;
  #seeds: readonly string[] = [];
  #nowMs: number;
  #effects: SwimEffect[] = [];
  damagedFrames = 0;

  constructor({ name, address, metadata, timing, random, nowMs, rider = NO_RIDER }: SwimOptions) {
    if (Buffer.byteLength(name) > MAX_MEMBER_NAME_BYTES) throw new RangeError(`the name ${name} is too long`);
    if (Buffer.byteLength(address) > MAX_ADDRESS_BYTES)
      throw new RangeError(`the address ${address} is too long`);
    if (metadata.length > MAX_METADATA_BYTES) throw new RangeError(`${metadata.length} bytes of metadata`);
    this.#timing = timing;
    this.#random = random;
    this.#rider = rider;
    this.#nowMs = nowMs;
    this.#self = { name, address, metadata, incarnation: 0, state: MemberState.Alive, changedMs: nowMs };
    this.#members.set(name, this.#self);
    // Not all at once, where many start together.
    this.#nextProbeMs = nowMs + random() * timing.probeIntervalMs;
    this.#nextGossipMs = nowMs + random() * timing.gossipIntervalMs;
    this.#nextExchangeMs = nowMs + random() * timing.exchangeIntervalMs;
    this.#tell(this.#self, name);
  }

  get members(): ReadonlyMap<string, Readonly<Member>> {
    return this.#members;
  }

  get self(): Readonly<Member> {
    return this.#self;
  }

  /** 0: well. */
  get health(): number {
    return this.#health;
  }

  get nextDeadlineMs(): number {
    let next = Math.min(this.#nextProbeMs, this.#nextExchangeMs);
    if (this.#gossip.size > 0) next = Math.min(next, this.#nextGossipMs);
    if (this.#probe !== null) next = Math.min(next, this.#probe.indirectMs, this.#probe.endMs);
    for (const suspicion of this.#suspicions.values()) next = Math.min(next, this.#deadlineOf(suspicion));
    for (const { nackMs } of this.#relayed.values()) next = Math.min(next, nackMs);
    return next;
  }

  step(event: SwimEvent, nowMs: number): SwimEffect[] {
    this.#nowMs = nowMs;
    this.#effects = [];
    switch (event.kind) {
      case 'tick':
        this.#tick();
        break;
      case 'frame':
        this.#receive(event.frame);
        break;
      case 'join':
        this.#seeds = event.addresses.filter((address) => address !== this.#self.address).slice(0, MAX_SEEDS);
        for (const address of this.#seeds) this.#join(address);
        break;
      case 'leave':
        this.#leave();
        break;
      case 'describe':
        if (event.metadata.length > MAX_METADATA_BYTES)
          throw new RangeError(`${event.metadata.length} bytes of metadata`);
        this.#self.metadata = event.metadata;
        this.#raiseIncarnation(this.#self.incarnation);
        break;
    }
    return this.#effects;
  }

  // ── the rules, one method each ────────────────────────────────────────────────────────────────────────────────

  /** Whether what is said is newer than what is known: by incarnation, and within one the worse news. */
  protected isNews(update: MemberUpdate, known: Readonly<Member>): boolean {
    if (known.state === MemberState.Left || known.state === MemberState.Dead) {
      return update.incarnation > known.incarnation && update.state === MemberState.Alive;
    }
    if (update.state === MemberState.Alive) return update.incarnation > known.incarnation;
    if (update.incarnation < known.incarnation) return false;
    return update.incarnation > known.incarnation || update.state > known.state;
  }

  /** Contradicts what is said of oneself. */
  protected incarnationAfter(own: number, said: number): number {
    return Math.max(own, said) + 1;
  }

  /** The time that a suspicion lasts, shared by so many besides the first (Lifeguard, section IV.B). */
  protected suspicionMs(minMs: number, maxMs: number, confirmations: number): number {
    const share = Math.log(confirmations + 1) / Math.log(this.#timing.confirmations + 1);
    return Math.max(minMs, maxMs - (maxMs - minMs) * share);
  }

  /** What is said to a suspect it must hear. */
  protected tellsSuspect(): boolean {
    return true;
  }

  // ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #tick(): void {
    for (const [name, suspicion] of this.#suspicions) {
      if (this.#nowMs >= this.#deadlineOf(suspicion)) this.#declareDead(name);
    }
    for (const [sequence, relay] of this.#relayed) {
      if (this.#nowMs >= relay.endMs) this.#relayed.delete(sequence);
      else if (this.#nowMs >= relay.nackMs) {
        relay.nackMs = relay.endMs;
        this.#send(relay.to, { kind: 'nack', sequence: relay.sequence });
      }
    }
    this.#tickProbe();
    if (this.#nowMs >= this.#nextGossipMs) {
      this.#nextGossipMs = this.#nowMs + this.#timing.gossipIntervalMs;
      for (const member of this.#pick(this.#timing.gossipFanout, () => true)) {
        if (this.#gossip.size > 0) this.#send(member.address, { kind: 'state', isRequest: false });
      }
    }
    if (this.#nowMs >= this.#nextExchangeMs) {
      const { exchangeIntervalMs, probeIntervalMs } = this.#timing;
      this.#exchange();
      this.#nextExchangeMs = this.#nowMs + (this.#aliveCount === 1 ? probeIntervalMs : exchangeIntervalMs);
    }
  }

  #deadlineOf({ sinceMs, minMs, maxMs, witnesses }: Suspicion): number {
    return sinceMs + this.suspicionMs(minMs, maxMs, Math.min(witnesses.size - 1, this.#timing.confirmations));
  }

  #tickProbe(): void {
    const probe = this.#probe;
    if (probe !== null && !probe.isAcked && this.#nowMs >= probe.indirectMs) {
      probe.indirectMs = Number.POSITIVE_INFINITY;
      this.#probeThroughOthers(probe);
    }
    if (probe !== null && this.#nowMs >= probe.endMs) {
      this.#probe = null;
      this.#judge(probe);
    }
    if (this.#nowMs >= this.#nextProbeMs) this.#beginProbe();
  }

  #beginProbe(): void {
    const scale = this.#health + 1;
    this.#nextProbeMs = this.#nowMs + this.#timing.probeIntervalMs * scale;
    const target = this.#isLeaving ? null : this.#nextInOrder();
    if (target === null) return;
    const sequence = this.#nextSequence();
    this.#probe = {
      target: target.name,
      sequence,
      endMs: this.#nextProbeMs,
      indirectMs: this.#nowMs + this.#timing.probeTimeoutMs * scale,
      expectedNacks: 0,
      nacks: 0,
      isAcked: false,
    };
    this.#ping(target, sequence);
  }

  #ping(target: Member, sequence: number): void {
    const isSuspect = target.state === MemberState.Suspect && this.tellsSuspect();
    const first = isSuspect || target.state === MemberState.Dead ? [this.#updateOf(target)] : [];
    this.#send(target.address, { kind: 'ping', sequence, target: target.name }, first);
  }

  #probeThroughOthers(probe: Probe): void {
    const target = this.#members.get(probe.target);
    if (target === undefined) return;
    const helpers = this.#pick(
      this.#timing.indirectProbes,
      ({ name, state }) => name !== probe.target && state === MemberState.Alive,
    );
    probe.expectedNacks = helpers.length;
    for (const { address } of helpers) {
      this.#send(address, {
        kind: 'pingRequest',
        sequence: probe.sequence,
        target: target.name,
        address: target.address,
      });
    }
  }

  #judge(probe: Probe): void {
    if (probe.isAcked) return;
    // Helpers that are as silent as the target point to a fault of one's own.
    const missing = probe.expectedNacks - probe.nacks;
    this.#changeHealth(probe.expectedNacks > 0 ? missing : 1);
    const target = this.#members.get(probe.target);
    if (target === undefined || target.state === MemberState.Dead || target.state === MemberState.Left)
      return;
    this.#learn({ ...this.#updateOf(target), state: MemberState.Suspect, witness: this.#self.name });
  }

  #changeHealth(by: number): void {
    this.#health = Math.min(this.#timing.healthMax, Math.max(0, this.#health + by));
  }

  #join(address: string): void {
    this.#send(address, { kind: 'join' }, [this.#updateOf(this.#self)]);
  }

  #exchange(): void {
    this.#findSeed();
    const [partner] = this.#pick(1, () => true);
    if (partner !== undefined) this.#sendSlice(partner.address, true);
    const dead = [...this.#members.values()].filter(({ state }) => state === MemberState.Dead);
    for (const member of this.#members.values()) {
      const isGone = member.state === MemberState.Dead || member.state === MemberState.Left;
      if (isGone && this.#nowMs - member.changedMs > this.#timing.deadRetentionMs)
        this.#members.delete(member.name);
    }
    const candidate = dead[Math.floor(this.#random() * dead.length)];
    if (candidate !== undefined && !this.#isLeaving) this.#ping(candidate, this.#nextSequence());
  }

  /** After all have started anew, those who met first are islands until each has met the seeds. */
  #findSeed(): void {
    const seed = this.#seeds[Math.floor(this.#random() * this.#seeds.length)];
    if (seed === undefined || this.#isLeaving) return;
    for (const { address, state } of this.#members.values()) {
      if (address === seed && (state === MemberState.Alive || state === MemberState.Suspect)) return;
    }
    this.#join(seed);
  }

  /** As much as fits of what is known, going on from where the last one ended. */
  #sendSlice(to: string, isRequest: boolean, members = [...this.#members.values()]): number {
    const slice: MemberUpdate[] = [];
    const message: MembershipMessage = { kind: 'state', isRequest };
    let room = MEMBERSHIP_FRAME_BYTES - messageBytes(this.#self.name, this.#self.address, message);
    for (let count = 0; count < members.length; count++) {
      const update = this.#updateOf(members[(this.#exchangeCursor + count) % members.length]!);
      room -= updateBytes(update);
      if (room < 0) break;
      slice.push(update);
    }
    this.#exchangeCursor = (this.#exchangeCursor + slice.length) % members.length;
    const { name, address } = this.#self;
    const frame = encodeMembershipFrame({
      from: name,
      fromAddress: address,
      message,
      updates: slice,
      rider: NOTHING,
    });
    this.#effects.push({ kind: 'send', to, frame });
    return slice.length;
  }

  // ── frames ────────────────────────────────────────────────────────────────────────────────────────────────────

  #receive(bytes: Uint8Array): void {
    let frame: MembershipFrame;
    try {
      frame = decodeMembershipFrame(bytes);
    } catch (error) {
      if (!(error instanceof CodecGarbage)) throw error;
      this.damagedFrames++;
      return;
    }
    for (const update of frame.updates) this.#learn(update);
    if (frame.rider.length > 0) this.#rider.receive(frame.rider, this.#nowMs);
    this.#take(frame);
  }

  #take({ message, fromAddress, from }: MembershipFrame): void {
    switch (message.kind) {
      case 'ping':
        // Someone else had this address before.
        if (message.target === this.#self.name && !this.#isLeaving) {
          this.#send(fromAddress, { kind: 'ack', sequence: message.sequence }, this.#correctionFor(from));
        }
        return;
      case 'pingRequest':
        this.#relay(message, fromAddress);
        return;
      case 'ack':
        this.#receiveAck(message.sequence);
        return;
      case 'nack':
        if (this.#probe?.sequence === message.sequence) this.#probe.nacks++;
        return;
      case 'join': {
        const members = [...this.#members.values()];
        for (let sent = 0; sent < members.length; ) sent += this.#sendSlice(fromAddress, false, members);
        return;
      }
      case 'state':
        if (message.isRequest) this.#sendSlice(fromAddress, false);
        return;
    }
  }

  /** Who is taken for dead and is not should hear of it. */
  #correctionFor(name: string): MemberUpdate[] {
    const member = this.#members.get(name);
    return member === undefined || member.state === MemberState.Alive ? [] : [this.#updateOf(member)];
  }

  #relay(
    { sequence, target, address }: MembershipMessage & { kind: 'pingRequest' },
    requester: string,
  ): void {
    if (this.#relayed.size >= MAX_RELAYED_PROBES) return;
    const own = this.#nextSequence();
    const { probeTimeoutMs, probeIntervalMs } = this.#timing;
    this.#relayed.set(own, {
      to: requester,
      sequence,
      nackMs: this.#nowMs + probeTimeoutMs * 0.8,
      endMs: this.#nowMs + probeIntervalMs * 2,
    });
    this.#send(address, { kind: 'ping', sequence: own, target });
  }

  #receiveAck(sequence: number): void {
    const relay = this.#relayed.get(sequence);
    if (relay !== undefined) {
      this.#relayed.delete(sequence);
      this.#send(relay.to, { kind: 'ack', sequence: relay.sequence });
      return;
    }
    if (this.#probe?.sequence !== sequence || this.#probe.isAcked) return;
    this.#probe.isAcked = true;
    this.#probe.indirectMs = Number.POSITIVE_INFINITY;
    this.#changeHealth(-1);
  }

  #send(to: string, message: MembershipMessage, first: readonly MemberUpdate[] = []): void {
    const { name, address } = this.#self;
    let room = MEMBERSHIP_FRAME_BYTES - messageBytes(name, address, message);
    for (const update of first) room -= updateBytes(update);
    const timesMax = Math.ceil(this.#timing.retransmitFactor * Math.log10(this.#aliveCount + 1));
    const news = this.#gossip.take(room, timesMax);
    for (const update of news) room -= updateBytes(update);
    const isProbe = message.kind === 'ping' || message.kind === 'ack';
    const rider = isProbe ? this.#rider.take(Math.min(room, RIDER_BYTES), this.#nowMs) : NOTHING;
    const updates = [...first, ...news];
    this.#effects.push({
      kind: 'send',
      to,
      frame: encodeMembershipFrame({ from: name, fromAddress: address, message, updates, rider }),
    });
  }

  // ── what is known ─────────────────────────────────────────────────────────────────────────────────────────────

  #learn(update: MemberUpdate): void {
    if (update.name === this.#self.name) {
      this.#learnOfSelf(update);
      return;
    }
    const known = this.#members.get(update.name);
    if (known === undefined) {
      this.#meet(update);
      return;
    }
    const isShared = update.state === MemberState.Suspect && update.incarnation === known.incarnation;
    if (isShared && known.state === MemberState.Suspect) {
      this.#share(known, update.witness);
      return;
    }
    if (this.isNews(update, known)) this.#change(known, update);
  }

  #learnOfSelf(update: MemberUpdate): void {
    if (this.#isLeaving) return;
    const isSame = update.state === MemberState.Alive && update.incarnation <= this.#self.incarnation;
    if (isSame || update.incarnation < this.#self.incarnation) return;
    if (update.state === MemberState.Suspect) this.#changeHealth(1);
    this.#raiseIncarnation(update.incarnation);
  }

  #raiseIncarnation(said: number): void {
    this.#self.incarnation = this.incarnationAfter(this.#self.incarnation, said);
    this.#self.changedMs = this.#nowMs;
    this.#tell(this.#self, this.#self.name);
    this.#effects.push({ kind: 'changed', member: { ...this.#self }, before: this.#self.state });
  }

  #meet(update: MemberUpdate): void {
    if (this.#members.size >= MAX_MEMBERS) return;
    const { name, address, incarnation, metadata } = update;
    const member: Member = {
      name,
      address,
      incarnation,
      metadata,
      state: update.state,
      changedMs: this.#nowMs,
    };
    this.#members.set(name, member);
    this.#entered(member, null, update);
  }

  #change(member: Member, update: MemberUpdate): void {
    const before = member.state;
    const wasThere = before === MemberState.Alive || before === MemberState.Suspect;
    member.state = update.state;
    member.incarnation = update.incarnation;
    member.changedMs = this.#nowMs;
    if (update.state === MemberState.Alive) {
      member.address = update.address;
      member.metadata = update.metadata;
    }
    this.#suspicions.delete(member.name);
    if (wasThere) this.#aliveCount--;
    this.#entered(member, before, update);
  }

  /** A member in a state that it had not been in. */
  #entered(member: Member, before: MemberState | null, update: MemberUpdate): void {
    const isThere = member.state === MemberState.Alive || member.state === MemberState.Suspect;
    const wasThere = before === MemberState.Alive || before === MemberState.Suspect;
    if (isThere) this.#aliveCount++;
    if (isThere && !wasThere) this.#intoOrder(member.name);
    if (!isThere && wasThere) this.#outOfOrder(member.name);
    if (member.state === MemberState.Suspect) this.#suspect(member, update.witness);
    this.#tell(member, update.witness);
    this.#effects.push({ kind: 'changed', member: { ...member }, before });
  }

  #suspect(member: Member, witness: string): void {
    const { suspicionFactor, suspicionStretch, probeIntervalMs } = this.#timing;
    const minMs = suspicionFactor * Math.max(1, Math.log10(Math.max(1, this.#aliveCount))) * probeIntervalMs;
    this.#suspicions.set(member.name, {
      sinceMs: this.#nowMs,
      minMs,
      maxMs: minMs * suspicionStretch,
      witnesses: new Set([witness]),
    });
  }

  /** Another one suspects it too; the first few are worth passing on. */
  #share(member: Member, witness: string): void {
    const suspicion = this.#suspicions.get(member.name);
    if (suspicion === undefined || suspicion.witnesses.has(witness)) return;
    if (suspicion.witnesses.size > this.#timing.confirmations) return;
    suspicion.witnesses.add(witness);
    this.#tell(member, witness);
  }

  #declareDead(name: string): void {
    this.#suspicions.delete(name);
    const member = this.#members.get(name);
    if (member?.state !== MemberState.Suspect) return;
    this.#change(member, { ...this.#updateOf(member), state: MemberState.Dead, witness: this.#self.name });
  }

  #leave(): void {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    this.#self.state = MemberState.Left;
    this.#self.incarnation++;
    this.#tell(this.#self, this.#self.name);
    for (const { address } of this.#pick(this.#timing.gossipFanout * 2, () => true)) {
      this.#send(address, { kind: 'state', isRequest: false }, [this.#updateOf(this.#self)]);
    }
  }

  #tell(member: Readonly<Member>, witness: string): void {
    this.#gossip.push({ ...this.#updateOf(member), witness });
  }

  #updateOf({ name, address, incarnation, state, metadata }: Readonly<Member>): MemberUpdate {
    return { name, address, incarnation, state, metadata, witness: this.#self.name };
  }

  // ── whom to probe ─────────────────────────────────────────────────────────────────────────────────────────────

  #intoOrder(name: string): void {
    // Anywhere in what is still to come or has been: else all would probe a newcomer at the same time.
    const at = Math.floor(this.#random() * (this.#order.length + 1));
    this.#order.splice(at, 0, name);
    if (at < this.#orderAt) this.#orderAt++;
  }

  #outOfOrder(name: string): void {
    const at = this.#order.indexOf(name);
    if (at < 0) return;
    this.#order.splice(at, 1);
    if (at < this.#orderAt) this.#orderAt--;
  }

  #nextInOrder(): Member | null {
    if (this.#order.length === 0) return null;
    if (this.#orderAt >= this.#order.length) {
      this.#orderAt = 0;
      for (let at = this.#order.length - 1; at > 0; at--) {
        const other = Math.floor(this.#random() * (at + 1));
        [this.#order[at], this.#order[other]] = [this.#order[other]!, this.#order[at]!];
      }
    }
    return this.#members.get(this.#order[this.#orderAt++]!)!;
  }

  /** Up to `count` different members at random; a bounded number of tries. */
  #pick(count: number, isWanted: (member: Member) => boolean): Member[] {
    const picked: Member[] = [];
    for (let tries = 0; tries < count * 3 && picked.length < count && this.#order.length > 0; tries++) {
      const member = this.#members.get(this.#order[Math.floor(this.#random() * this.#order.length)]!)!;
      if (isWanted(member) && !picked.includes(member)) picked.push(member);
    }
    return picked;
  }

  #nextSequence(): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    return this.#sequence;
  }
}
