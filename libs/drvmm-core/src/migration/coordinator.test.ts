import { describe, expect, it } from '@jest/globals';
import { makeEndpoint } from '../ipc/endpoint.js';
import {
  MAX_REMEMBERED,
  MigrationCoordinator,
  type MigrationEffect,
  type MigrationEvent,
  type MigrationOutcome,
  MOVE_TIMEOUT_MS,
} from './coordinator.js';

const P = makeEndpoint(40, 1);
const request = (requestKey: string, from = 1, to = 2, epoch = 1) => ({
  requestKey,
  endpoint: P,
  pid: 7,
  from,
  to,
  epoch,
});
const kinds = (effects: MigrationEffect[]) => effects.map((e) => e.kind);

describe('a migration as home decides it', () => {
  it('starts, commits once when the target is prepared, and reports', () => {
    const home = new MigrationCoordinator();
    const begun = home.begin(request('k'), 0);
    expect(begun.effects).toMatchObject([{ kind: 'start', at: 1, to: 2 }]);
    const committed = home.step({ kind: 'prepared', id: begun.id, bytes: 1000, at: 2 }, 5);
    expect(committed).toMatchObject([
      { kind: 'relocate', index: 2, epoch: 2 },
      { kind: 'activate', at: 2, epoch: 2 },
      { kind: 'release', at: 1, to: 2, epoch: 2 },
    ]);
    expect(home.step({ kind: 'prepared', id: begun.id, bytes: 1000, at: 2 }, 5)).toEqual([]);
    expect(home.step({ kind: 'activated', id: begun.id, pauseMs: 3 }, 8)).toMatchObject([
      { kind: 'finished', outcome: { isMoved: true, bytes: 1000, pauseMs: 3, totalMs: 8 } },
    ]);
    expect(home.holds(P)).toBe(true);
    home.step({ kind: 'released', id: begun.id }, 9);
    expect(home.holds(P)).toBe(false);
  });

  it('gives the same answer to the same key, and refuses another migration meanwhile', () => {
    const home = new MigrationCoordinator();
    const { id } = home.begin(request('k'), 0);
    expect(home.begin(request('k'), 1)).toEqual({ id, outcome: null, effects: [] });
    expect(() => home.begin(request('other'), 1)).toThrow(
      expect.objectContaining({ code: 'MigrationUnderWay' }),
    );
    expect(() => home.begin(request('k', 1, 3), 1)).toThrow(
      expect.objectContaining({ code: 'StateConflict' }),
    );
    home.step({ kind: 'failed', id, reason: 'no memory' }, 2);
    home.step({ kind: 'rolledBack', id }, 3);
    home.step({ kind: 'discarded', id }, 4);
    const again = home.begin(request('k'), 5);
    expect(again).toMatchObject({ id, effects: [], outcome: { isMoved: false, isProcessLost: false } });
  });

  it('restores at the source first and discards at the target after, on refusal, timeout, cancel or loss', () => {
    const failures: ((id: number) => [MigrationEvent, number])[] = [
      (id) => [{ kind: 'refused', id, reason: 'no memory' }, 1],
      (id) => [{ kind: 'failed', id, reason: 'link cut' }, 1],
      (id) => [{ kind: 'cancel', id }, 1],
      () => [{ kind: 'tick' }, MOVE_TIMEOUT_MS],
      () => [{ kind: 'containerLost', index: 2 }, 1],
    ];
    for (const failure of failures) {
      const home = new MigrationCoordinator();
      const { id } = home.begin(request('k'), 0);
      const [event, at] = failure(id);
      expect(home.step(event, at)).toMatchObject([{ kind: 'rollback', at: 1 }]);
      const after = home.step({ kind: 'rolledBack', id }, at + 1);
      if (event.kind === 'containerLost') expect(kinds(after)).toEqual(['finished']);
      else
        expect(kinds([...after, ...home.step({ kind: 'discarded', id }, at + 2)])).toEqual([
          'discard',
          'finished',
        ]);
      expect(home.holds(P)).toBe(false);
    }
  });

  it('commits when the source dies and the target turns out to hold the whole image', () => {
    const home = new MigrationCoordinator();
    const { id } = home.begin(request('k'), 0);
    expect(home.step({ kind: 'containerLost', index: 1 }, 1)).toMatchObject([{ kind: 'inquire', at: 2 }]);
    expect(kinds(home.step({ kind: 'prepared', id, bytes: 9, at: 2 }, 2))).toEqual(['relocate', 'activate']);
    expect(home.step({ kind: 'activated', id, pauseMs: 1 }, 3)).toMatchObject([
      { outcome: { isMoved: true } },
    ]);
    expect(home.holds(P)).toBe(false);
  });

  it('has a stray image discarded', () => {
    const home = new MigrationCoordinator(100);
    expect(home.step({ kind: 'prepared', id: 3, bytes: 1, at: 2 }, 0)).toMatchObject([
      { kind: 'discard', id: 3, at: 2 },
    ]);
  });

  it('remembers a bounded number of request keys', () => {
    const home = new MigrationCoordinator();
    for (let i = 0; i < MAX_REMEMBERED + 10; i++) {
      const { id } = home.begin(request(`k${i}`), 0);
      home.step({ kind: 'failed', id, reason: 'test' }, 0);
      home.step({ kind: 'rolledBack', id }, 0);
      home.step({ kind: 'discarded', id }, 0);
    }
    expect(home.begin(request('k0'), 0).outcome).toBeNull();
  });
});

/** mulberry32 */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

type Copy = 'running' | 'frozen';

/** Two containers and home, joined by ordered links that are slow, and may die. */
class World {
  readonly home = new MigrationCoordinator();
  readonly random: () => number;
  now = 0;
  readonly copies = new Map<number, Copy>([[1, 'running']]);
  readonly images = new Map<number, { id: number; at: number }>();
  readonly discarded = new Map<number, Set<number>>([
    [1, new Set()],
    [2, new Set()],
  ]);
  readonly dead = new Set<number>();
  readonly links = new Map<string, (() => void)[]>();
  location = 1;
  epoch = 1;
  readonly outcomes: MigrationOutcome[] = [];
  sending = new Set<number>();

  constructor(readonly seed: number) {
    this.random = randomFrom(seed);
  }

  post(from: number, to: number, act: () => void): void {
    const key = `${from}>${to}`;
    if (!this.links.has(key)) this.links.set(key, []);
    this.links.get(key)!.push(() => {
      if (!this.dead.has(to)) act();
    });
  }

  apply(effects: MigrationEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'finished') this.outcomes.push(effect.outcome);
      else if (effect.kind === 'relocate') {
        this.location = effect.index;
        this.epoch = effect.epoch;
      } else this.post(0, effect.at, () => this.act(effect));
    }
  }

  tell(from: number, event: MigrationEvent): void {
    this.post(from, 0, () => this.apply(this.home.step(event, this.now)));
  }

  act(effect: Exclude<MigrationEffect, { kind: 'finished' | 'relocate' }>): void {
    const { id, at } = effect;
    switch (effect.kind) {
      case 'start': {
        if (this.copies.get(at) !== 'running' || this.random() < 0.1) {
          this.tell(at, { kind: 'failed', id, reason: 'cannot freeze' });
          return;
        }
        this.copies.set(at, 'frozen');
        this.sending.add(id);
        if (this.random() < 0.1) return;
        this.post(at, effect.to, () => {
          if (this.discarded.get(effect.to)!.has(id) || this.random() < 0.2) {
            this.tell(effect.to, { kind: 'refused', id, reason: 'no memory' });
            return;
          }
          this.images.set(effect.to, { id, at: effect.to });
          this.tell(effect.to, { kind: 'prepared', id, bytes: 1, at: effect.to });
        });
        return;
      }
      case 'inquire':
        if (this.images.get(at)?.id === id) this.tell(at, { kind: 'prepared', id, bytes: 1, at });
        else this.tell(at, { kind: 'refused', id, reason: 'no image' });
        return;
      case 'activate':
        if (this.images.get(at)?.id === id) {
          this.images.delete(at);
          this.copies.set(at, 'running');
        }
        this.tell(at, { kind: 'activated', id, pauseMs: 1 });
        return;
      case 'release':
        if (this.sending.has(id)) this.copies.delete(at);
        this.sending.delete(id);
        this.tell(at, { kind: 'released', id });
        return;
      case 'rollback':
        if (this.sending.delete(id)) this.copies.set(at, 'running');
        this.tell(at, { kind: 'rolledBack', id });
        return;
      case 'discard':
        this.discarded.get(at)!.add(id);
        if (this.images.get(at)?.id === id) this.images.delete(at);
        this.tell(at, { kind: 'discarded', id });
        return;
    }
  }

  kill(index: number): void {
    this.dead.add(index);
    this.copies.delete(index);
    this.images.delete(index);
    // What it had sent may still arrive, or be cut off; what home hears last is that it is gone.
    for (const [key, queue] of this.links) {
      if (key.startsWith(`${index}>`)) queue.length = Math.floor(this.random() * (queue.length + 1));
      if (key.endsWith(`>${index}`)) queue.length = 0;
    }
    this.tell(index, { kind: 'containerLost', index });
  }

  check(): void {
    const running = [...this.copies.values()].filter((c) => c === 'running').length;
    if (running > 1) throw new Error('two copies run');
  }

  deliverOne(): boolean {
    const queues = [...this.links.values()].filter((q) => q.length > 0);
    if (queues.length === 0) return false;
    queues[Math.floor(this.random() * queues.length)]!.shift()!();
    this.check();
    return true;
  }
}

function runWorld(seed: number): void {
  const world = new World(seed);
  const { random } = world;
  let asked = 0;
  const asks = 1 + Math.floor(random() * 4);
  for (let step = 0; step < 400; step++) {
    world.now += random() < 0.02 ? MOVE_TIMEOUT_MS : random() * 200;
    const dice = random();
    if (dice < 0.05 && asked < asks && !world.home.holds(P)) {
      const from = world.location;
      if (!world.dead.has(from) && !world.dead.has(3 - from) && world.copies.has(from)) {
        asked++;
        world.apply(world.home.begin(request(`k${asked}`, from, 3 - from, world.epoch), world.now).effects);
      }
    } else if (dice < 0.06 && world.dead.size === 0) {
      world.kill(1 + Math.floor(random() * 2));
    } else if (dice < 0.1) {
      world.apply(world.home.step({ kind: 'tick' }, world.now));
    } else if (dice < 0.11) {
      world.apply(world.home.step({ kind: 'cancel', id: asked }, world.now));
    } else {
      world.deliverOne();
    }
    world.check();
  }
  for (let round = 0; round < 50; round++) {
    while (world.deliverOne());
    world.now += MOVE_TIMEOUT_MS;
    world.apply(world.home.step({ kind: 'tick' }, world.now));
  }
  if (world.home.holds(P)) throw new Error('a migration never ends');
  if (world.outcomes.length !== asked) throw new Error(`${asked} asked, ${world.outcomes.length} answered`);
  const running = [...world.copies].filter(([, c]) => c === 'running').map(([at]) => at);
  const isLost = world.outcomes.some((o) => !o.isMoved && o.isProcessLost) || world.dead.has(world.location);
  if (isLost) {
    if (world.dead.size === 0) throw new Error('lost without a death');
    if (running.length > 0) throw new Error('said to be lost, and runs');
    return;
  }
  if (running.length !== 1) throw new Error(`no copy runs, and nobody says that it is lost`);
  if (running[0] !== world.location) throw new Error(`it runs at ${running[0]}, home says ${world.location}`);
  if (world.images.size > 0) throw new Error('an image is left behind');
}

describe('migrations with slow links, refusals, timeouts, cancels and deaths', () => {
  it('never leave two running copies, nor none unless its container died', () => {
    for (let seed = 1; seed <= 1_500; seed++) {
      try {
        runWorld(seed);
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
  });
});
