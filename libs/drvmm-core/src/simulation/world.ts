import { SeededRandom } from './seeded-random.js';

/**
 * Virtual time, nodes with clocks of their own, and a network that does what networks do. Everything that happens is
 * an event of one queue, in the order of time and then of being scheduled; all chance comes from the seed. So a seed
 * repeats a run exactly, and `digest` shows that it did.
 */
export interface NetworkFaults {
  loss: number;
  duplication: number;
  corruption: number;
  /** A message now and then takes up to so long, and others pass it. */
  delayMsMax: number;
}

export const CALM: NetworkFaults = { loss: 0, duplication: 0, corruption: 0, delayMsMax: 0 };

export interface SimulatedNode {
  readonly index: number;
  isUp: boolean;
  /** One more with each crash: what belonged to a former life does nothing. */
  life: number;
  /** Its clock: offset + rate times the true time. */
  readonly rate: number;
  readonly offsetMs: number;
  /** It does nothing until then: a pause of its host. */
  pausedUntilMs: number;
}

interface Scheduled {
  timeMs: number;
  order: number;
  run: () => void;
}

const MAX_VIOLATIONS = 20;
/** An alarm goes off so much after its time, lest the rounding between two clocks make it a moment before. */
const ROUNDING_MS = 0.01;

export class World {
  readonly random: SeededRandom;
  readonly nodes: SimulatedNode[] = [];
  readonly violations: string[] = [];
  readonly counters: Record<string, number> = {};
  network: NetworkFaults = CALM;
  nowMs = 0;
  events = 0;
  digest = 0;
  readonly #blocked = new Set<number>();
  #heap: Scheduled[] = [];
  #order = 0;

  constructor(seed: number, nodes: number, clockDriftMax: number) {
    this.random = new SeededRandom(seed);
    for (let index = 0; index < nodes; index++) {
      this.nodes.push({
        index,
        isUp: true,
        life: 1,
        rate: 1 + this.random.between(-clockDriftMax, clockDriftMax),
        offsetMs: this.random.between(0, 1_000_000),
        pausedUntilMs: 0,
      });
    }
  }

  count(name: string, by = 1): void {
    this.counters[name] = (this.counters[name] ?? 0) + by;
  }

  violation(what: string): void {
    if (this.violations.length < MAX_VIOLATIONS) {
      this.violations.push(`at ${(this.nowMs / 1000).toFixed(3)} s, event ${this.events}: ${what}`);
    }
  }

  localMs(node: SimulatedNode): number {
    return node.offsetMs + node.rate * this.nowMs;
  }

  after(delayMs: number, run: () => void): void {
    const entry = { timeMs: this.nowMs + Math.max(0, delayMs), order: this.#order++, run };
    const heap = this.#heap;
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (isBefore(heap[parent]!, entry)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  /** As after, but for this life of the node, and not while it is paused. */
  afterOn(node: SimulatedNode, delayMs: number, run: () => void): void {
    const { life } = node;
    const fire = (): void => {
      if (node.life !== life || !node.isUp) return;
      if (this.nowMs < node.pausedUntilMs) this.after(node.pausedUntilMs - this.nowMs, fire);
      else run();
    };
    this.after(delayMs, fire);
  }

  /** Does the next event; false when there is none. What a protocol asserts and is not so is a violation. */
  advance(): boolean {
    const next = this.#pop();
    if (next === undefined) return false;
    this.nowMs = next.timeMs;
    this.events++;
    this.digest =
      (Math.imul(this.digest ^ (next.order + 1), 0x9e37_79b1) + Math.round(next.timeMs * 1_000)) >>> 0;
    try {
      next.run();
    } catch (error) {
      this.violation(`assertion: ${error instanceof Error ? error.message : String(error)}`);
    }
    return true;
  }

  // ── network ───────────────────────────────────────────────────────────────────────────────────────────────────

  block(from: number, to: number): void {
    this.#blocked.add(from * this.nodes.length + to);
  }

  unblockAll(): void {
    this.#blocked.clear();
  }

  send(from: SimulatedNode, to: SimulatedNode, frame: Buffer, deliver: (frame: Buffer) => void): void {
    this.count('messages');
    const { random, network } = this;
    if (this.#blocked.has(from.index * this.nodes.length + to.index) || random.isLucky(network.loss)) {
      this.count('messagesLost');
      return;
    }
    const copies = random.isLucky(network.duplication) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      let sent = frame;
      if (network.corruption > 0 && random.isLucky(network.corruption)) {
        this.count('messagesDamaged');
        sent = Buffer.from(frame);
        sent[random.below(sent.length)]! ^= 1 << random.below(8);
      }
      const isLate = network.delayMsMax > 0 && random.isLucky(0.05);
      const delayMs = random.between(0.1, 1.5) + (isLate ? random.between(0, network.delayMsMax) : 0);
      // A message is for whoever lives there when it comes.
      this.after(delayMs, () => {
        if (!to.isUp) return;
        if (this.nowMs >= to.pausedUntilMs) deliver(sent);
        else this.after(to.pausedUntilMs - this.nowMs, () => to.isUp && deliver(sent));
      });
    }
  }

  #pop(): Scheduled | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (isBefore(last, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

const isBefore = (a: Scheduled, b: Scheduled): boolean =>
  a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.order < b.order);

/** Ticks a process when it wants to be ticked. */
export class Alarm {
  #dueMs = Number.POSITIVE_INFINITY;

  constructor(
    readonly world: World,
    readonly node: SimulatedNode,
    readonly deadlineMs: () => number,
    readonly tick: () => void,
  ) {}

  /** To be called after every step. */
  set(): void {
    const { world, node } = this;
    const dueMs = Math.max(world.nowMs, (this.deadlineMs() - node.offsetMs) / node.rate) + ROUNDING_MS;
    if (dueMs >= this.#dueMs || dueMs === Number.POSITIVE_INFINITY) return;
    this.#dueMs = dueMs;
    world.afterOn(node, dueMs - world.nowMs, () => {
      if (this.#dueMs !== dueMs) return;
      this.#dueMs = Number.POSITIVE_INFINITY;
      // It may have moved on meanwhile.
      if (this.deadlineMs() <= world.localMs(node)) this.tick();
      else this.set();
    });
  }
}
