import { beforeEach, describe, expect, it } from '@jest/globals';
import { SendGate } from './send-gate.js';

const RATE = 1_000_000;
const FRAME = 50_000;

let nowMs = 0;
let wakeAtMs = Number.POSITIVE_INFINITY;
let gate: SendGate<Link>;

/** Has frames to send, and notes when they left. */
class Link {
  waiting = 0;
  readonly left: number[] = [];

  send(frames: number): void {
    this.waiting += frames;
    this.flush();
  }

  flush(): void {
    while (this.waiting > 0) {
      if (gate.room(this) === 0) return;
      gate.sent(FRAME);
      this.waiting--;
      this.left.push(nowMs);
    }
  }
}

function passUntil(endMs: number): void {
  while (wakeAtMs <= endMs) {
    nowMs = Math.max(nowMs, wakeAtMs);
    wakeAtMs = Number.POSITIVE_INFINITY;
    gate.wake();
  }
  nowMs = endMs;
}

beforeEach(() => {
  nowMs = 0;
  wakeAtMs = Number.POSITIVE_INFINITY;
  gate = new SendGate({
    nowMs: () => nowMs,
    wakeIn: (ms) => {
      wakeAtMs = nowMs + Math.ceil(ms);
    },
  });
});

describe('a gate for all links of a container', () => {
  it('counts and holds nothing back without a limit', () => {
    new Link().send(1_000);
    expect(gate.counters).toEqual({ sentBytes: 1_000 * FRAME, heldTimes: 0, heldMs: 0 });
    expect(wakeAtMs).toBe(Number.POSITIVE_INFINITY);
  });

  it('keeps the sum of all links to the rate, and says how long it held them', () => {
    gate.setRate(RATE);
    const links = [new Link(), new Link(), new Link()];
    for (const link of links) link.send(20);
    passUntil(1_000);
    expect(gate.counters.sentBytes).toBeLessThanOrEqual(1.1 * RATE + FRAME);
    expect(gate.counters.sentBytes).toBeGreaterThanOrEqual(RATE);
    expect(gate.counters.heldMs).toBe(1_000);
    passUntil(60_000);
    expect(links.map(({ waiting }) => waiting)).toEqual([0, 0, 0]);
    expect(gate.counters).toMatchObject({ sentBytes: 60 * FRAME, heldTimes: 1 });
    expect(gate.counters.heldMs).toBeLessThan(3_000);
  });

  it('serves the links in turn: bulk of one does not starve another', () => {
    gate.setRate(RATE);
    const bulk = new Link();
    const small = new Link();
    bulk.send(1_000);
    passUntil(500);
    small.send(1);
    passUntil(700);
    expect(small.waiting).toBe(0);
    small.send(500);
    const [bulkBefore, smallBefore] = [bulk.left.length, small.left.length];
    passUntil(10_700);
    const bulkMore = bulk.left.length - bulkBefore;
    const smallMore = small.left.length - smallBefore;
    expect(Math.abs(bulkMore - smallMore)).toBeLessThanOrEqual(2);
  });

  it('lets nobody pass those who wait', () => {
    gate.setRate(RATE);
    const first = new Link();
    const second = new Link();
    first.send(4);
    nowMs = 1_000;
    second.send(1);
    expect(second.waiting).toBe(1);
    passUntil(1_100);
    expect([first.waiting, second.waiting]).toEqual([0, 0]);
    expect(second.left[0]).toBeGreaterThan(first.left[3]!);
  });

  it('goes on at once when the limit is raised or taken away', () => {
    gate.setRate(RATE / 1_000);
    const link = new Link();
    link.send(100);
    passUntil(1_000);
    expect(link.waiting).toBe(99);
    gate.setRate(0);
    passUntil(1_000);
    expect(link.waiting).toBe(0);
  });

  it('counts what did not ask for room, and makes the rest wait for it', () => {
    gate.setRate(RATE);
    const link = new Link();
    gate.sent(600_000);
    link.send(1);
    passUntil(499);
    expect(link.waiting).toBe(1);
    passUntil(502);
    expect(link.waiting).toBe(0);
  });

  it('forgets a link that is gone', () => {
    gate.setRate(RATE);
    const link = new Link();
    link.send(10);
    gate.leave(link);
    passUntil(10_000);
    expect(link.waiting).toBe(8);
    expect(gate.counters.heldMs).toBe(0);
  });
});
