import {
  type Component,
  type GroupMessage,
  GroupOrder,
  groupMessageBytes,
  type MessageName,
  WINDOW_MESSAGES,
} from './group-frame.js';

/**
 * The messages of one view at one of its members: which have come, which may be given, and which nobody needs again.
 *
 *   receive ─▶ stored ─▶ given (deliver) ─▶ forgotten, once everyone has it (collect)
 *
 * Members are numbered by their place in the view. Order comes from three things that every message carries: its
 * sequence (FIFO), what its sender had been given before (causal: Birman, Schiper, Stephenson 1991), and a Lamport
 * timestamp (total: Lamport 1978). A total message is given when every other member is known to be past its
 * timestamp, so that nothing earlier can come. The order is in the messages, not in anybody's decision: members that
 * a partition parts may have been given different messages, never the same ones in different orders.
 *
 * Bounded by flow control: a sender is at most WINDOW ahead of the slowest member that is given its messages.
 */
export const WINDOW_BYTES = 4 * 1024 * 1024;

interface Report {
  readonly received: number[];
  readonly delivered: number[];
}

export interface Delivery {
  readonly sender: number;
  readonly message: GroupMessage;
}

export interface ViewTrafficOptions {
  readonly members: number;
  readonly self: number;
  /** Lamport's, as it stood in the view before. */
  readonly clock: number;
}

export class ViewTraffic {
  readonly #self: number;
  /** By sender: all up to here have come. */
  readonly received: number[];
  /** By sender: all up to here were given. */
  readonly delivered: number[];
  /** By sender: the last ordered one given. */
  readonly #ordered: number[];
  /** By member: whatever comes from it will have a later timestamp. */
  readonly #past: number[];
  /** By member: `clock` holds for it once all up to `sent` have come. */
  readonly #claims: { sent: number; clock: number }[];
  readonly #stored: Map<number, GroupMessage>[];
  readonly #collected: number[];
  readonly #reports: Report[];
  #arrivals: Delivery[] = [];
  /** Bytes of own messages that not everyone was given. */
  #flightBytes = 0;
  #flightFrom = 1;
  #flight: number[] = [];
  #clock: number;
  #sent = 0;

  constructor({ members, self, clock }: ViewTrafficOptions) {
    const zeros = (): number[] => new Array<number>(members).fill(0);
    this.#self = self;
    this.#clock = clock;
    this.received = zeros();
    this.delivered = zeros();
    this.#ordered = zeros();
    this.#past = zeros();
    this.#collected = zeros();
    this.#claims = this.received.map(() => ({ sent: 0, clock: 0 }));
    this.#stored = this.received.map(() => new Map());
    this.#reports = this.received.map(() => ({ received: zeros(), delivered: zeros() }));
    this.#reports[self] = { received: this.received, delivered: this.delivered };
  }

  get clock(): number {
    return this.#clock;
  }

  get sent(): number {
    return this.#sent;
  }

  /** Messages held: the measure of memory. */
  get size(): number {
    return this.#stored.reduce((sum, { size }) => sum + size, 0);
  }

  // ── sending ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Whether everyone keeps up. */
  get isWindowOpen(): boolean {
    const slowest = Math.min(...this.#reports.map(({ delivered }) => delivered[this.#self]!));
    while (this.#flightFrom <= slowest) {
      this.#flightFrom++;
      this.#flightBytes -= this.#flight.shift()!;
    }
    return this.#flight.length < WINDOW_MESSAGES && this.#flightBytes < WINDOW_BYTES;
  }

  stamp(order: GroupOrder, data: Uint8Array): GroupMessage {
    const message: GroupMessage = {
      sequence: ++this.#sent,
      timestamp: ++this.#clock,
      order,
      after: order >= GroupOrder.Causal ? this.#ordered.slice() : [],
      data,
    };
    this.#flight.push(groupMessageBytes(message));
    this.#flightBytes += this.#flight.at(-1)!;
    this.#store(this.#self, message);
    return message;
  }

  /** Own messages from `from` on that fit, at least one if there is any. */
  own(from: number, bytesMax: number): GroupMessage[] {
    const messages: GroupMessage[] = [];
    let bytes = 0;
    for (let sequence = from; sequence <= this.#sent && messages.length < WINDOW_MESSAGES; sequence++) {
      const message = this.#stored[this.#self]!.get(sequence)!;
      bytes += groupMessageBytes(message);
      if (messages.length > 0 && bytes > bytesMax) break;
      messages.push(message);
    }
    return messages;
  }

  /** How many of the own messages a member has. */
  hasOfOwn(member: number): number {
    return this.#reports[member]!.received[this.#self]!;
  }

  // ── receiving ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** False: it is here already, or no honest sender would have sent it. */
  receive(sender: number, message: GroupMessage): boolean {
    if (!this.isNew(sender, message.sequence)) return false;
    if (message.sequence > this.received[sender]! + WINDOW_MESSAGES) return false;
    this.#store(sender, message);
    return true;
  }

  /** Whether something that was sent is known to be missing. */
  isLacking(sender: number): boolean {
    const received = this.received[sender]!;
    if (this.#claims[sender]!.sent > received) return true;
    return this.#stored[sender]!.size > received - this.#collected[sender]!;
  }

  report(
    member: number,
    sent: number,
    clock: number,
    received: readonly number[],
    delivered: readonly number[],
  ): void {
    this.#clock = Math.max(this.#clock, clock);
    const claim = this.#claims[member]!;
    if (clock > claim.clock) {
      claim.clock = clock;
      claim.sent = Math.max(claim.sent, sent);
    }
    this.#believe(member);
    const report = this.#reports[member]!;
    for (let sender = 0; sender < received.length; sender++) {
      report.received[sender] = Math.max(report.received[sender]!, received[sender]!);
      report.delivered[sender] = Math.max(report.delivered[sender]!, delivered[sender]!);
    }
  }

  #store(sender: number, message: GroupMessage): void {
    const stored = this.#stored[sender]!;
    stored.set(message.sequence, message);
    this.#clock = Math.max(this.#clock, message.timestamp);
    if (message.order === GroupOrder.Unordered) this.#arrivals.push({ sender, message });
    for (;;) {
      const next = stored.get(this.received[sender]! + 1);
      if (next === undefined) break;
      this.received[sender] = next.sequence;
      this.#past[sender] = Math.max(this.#past[sender]!, next.timestamp);
    }
    this.#believe(sender);
  }

  #believe(member: number): void {
    const { sent, clock } = this.#claims[member]!;
    if (sent <= this.received[member]!) this.#past[member] = Math.max(this.#past[member]!, clock);
  }

  // ── the rules, one method each ────────────────────────────────────────────────────────────────────────────────

  protected isNew(sender: number, sequence: number): boolean {
    return sequence > this.received[sender]! && !this.#stored[sender]!.has(sequence);
  }

  /** What its sender had been given before it was given here too. */
  protected isCausallyNext(given: readonly number[], after: readonly number[]): boolean {
    for (let sender = 0; sender < after.length; sender++) {
      if (given[sender]! < after[sender]!) return false;
    }
    return true;
  }

  /** Nothing can come from a member anymore that goes before this timestamp. */
  protected isPast(clockOfMember: number, timestamp: number): boolean {
    return clockOfMember >= timestamp;
  }

  /** A member has the message, and all that it follows from: it will be given it whoever is lost. */
  protected isHad(received: readonly number[], sender: number, { sequence, after }: GroupMessage): boolean {
    return received[sender]! >= sequence && after.every((count, of) => received[of]! >= count);
  }

  // ── giving ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** All that may be given now, in the order in which it is to be given. */
  deliver(): Delivery[] {
    const given = this.#arrivals;
    this.#arrivals = [];
    const members = this.received.length;
    for (let idle = 0, sender = 0; idle < members; sender = (sender + 1) % members) {
      const message = this.#head(sender);
      if (message === undefined || !this.#mayGive(sender, message)) {
        idle++;
        continue;
      }
      idle = 0;
      this.#pass(sender, message);
      given.push({ sender, message });
    }
    return given;
  }

  /** The next ordered message of a sender. */
  #head(sender: number): GroupMessage | undefined {
    for (;;) {
      const next = this.delivered[sender]! + 1;
      if (next > this.received[sender]!) return undefined;
      const message = this.#stored[sender]!.get(next)!;
      if (message.order !== GroupOrder.Unordered) return message;
      this.delivered[sender] = next; // On arrival.
    }
  }

  #pass(sender: number, { sequence }: GroupMessage): void {
    this.delivered[sender] = sequence;
    this.#ordered[sender] = sequence;
  }

  #mayGive(sender: number, message: GroupMessage): boolean {
    const { order, after } = message;
    if (order === GroupOrder.Fifo) return true;
    if (!this.isCausallyNext(this.#ordered, after)) return false;
    if (order === GroupOrder.Causal) return true;
    if (!this.#isFirst(sender, message)) return false;
    if (order === GroupOrder.Total) return true;
    return this.#reports.every(({ received }) => this.isHad(received, sender, message));
  }

  /** All that goes before it by timestamp, and by sender where timestamps are equal, was given. */
  #isFirst(sender: number, { timestamp }: GroupMessage): boolean {
    for (let other = 0; other < this.received.length; other++) {
      if (other === sender) continue;
      const past = other === this.#self ? this.#clock : this.#past[other]!;
      if (!this.isPast(past, timestamp)) return false;
      const head = this.#head(other);
      if (head === undefined) continue;
      if (head.timestamp < timestamp || (head.timestamp === timestamp && other < sender)) return false;
    }
    return true;
  }

  // ── the end of the view ───────────────────────────────────────────────────────────────────────────────────────

  /** Unordered messages that have come although something before them has not. */
  extras(): MessageName[] {
    const names: MessageName[] = [];
    for (const [sender, stored] of this.#stored.entries()) {
      for (const { sequence, order } of stored.values()) {
        if (order === GroupOrder.Unordered && sequence > this.received[sender]!)
          names.push({ sender, sequence });
      }
    }
    return names;
  }

  /** What of the cut is not here. */
  missing({ prefix, extras }: Component): MessageName[] {
    const names: MessageName[] = [];
    for (let sender = 0; sender < prefix.length; sender++) {
      for (let sequence = this.received[sender]! + 1; sequence <= prefix[sender]!; sequence++) {
        if (!this.#stored[sender]!.has(sequence)) names.push({ sender, sequence });
      }
    }
    for (const { sender, sequence } of extras) {
      if (this.isNew(sender, sequence)) names.push({ sender, sequence });
    }
    return names;
  }

  find({ sender, sequence }: MessageName): GroupMessage | undefined {
    return this.#stored[sender]?.get(sequence);
  }

  /**
   * All of the cut that was not given, in an order that keeps every promise. What depends on something that nobody
   * who is left has is left out; that is the same at all who have the same cut.
   */
  finish({ prefix }: Component): Delivery[] {
    const given = this.#arrivals;
    this.#arrivals = [];
    const left: Delivery[] = [];
    for (let sender = 0; sender < prefix.length; sender++) {
      for (let sequence = this.delivered[sender]! + 1; sequence <= prefix[sender]!; sequence++) {
        const message = this.#stored[sender]!.get(sequence);
        if (message === undefined) throw new Error(`message ${sequence} of member ${sender} is not here`);
        if (message.order !== GroupOrder.Unordered) left.push({ sender, message });
      }
    }
    left.sort((a, b) => a.message.timestamp - b.message.timestamp || a.sender - b.sender);
    const broken = new Set<number>();
    for (const { sender, message } of left) {
      const { order, after } = message;
      if (broken.has(sender)) continue;
      if (order >= GroupOrder.Causal && !this.isCausallyNext(this.#ordered, after)) broken.add(sender);
      else {
        this.#pass(sender, message);
        given.push({ sender, message });
      }
    }
    return given;
  }

  /** Forgets what everyone has and was given here. */
  collect(): void {
    for (let sender = 0; sender < this.received.length; sender++) {
      let stable = this.delivered[sender]!;
      for (const { received } of this.#reports) stable = Math.min(stable, received[sender]!);
      while (this.#collected[sender]! < stable) this.#stored[sender]!.delete(++this.#collected[sender]!);
    }
  }
}
