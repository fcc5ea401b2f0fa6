import { describe, expect, it } from '@jest/globals';
import { Alarm, type SimulatedNode, World } from '../simulation/world.js';
import { GroupOrder } from './group-frame.js';
import { GroupMutex, type MutexEffect } from './group-mutex.js';
import { groupMemberId } from './member-id.js';
import { DEFAULT_GROUP_TIMING, type GroupEffect, type GroupEvent, ProcessGroup } from './process-group.js';

/** A member that wants in now and then, and stays a while. */
class Contender {
  readonly group: ProcessGroup;
  readonly mutex: GroupMutex;
  readonly #alarm: Alarm;
  #lastId = 0;
  grants = 0;

  constructor(
    readonly world: World,
    readonly node: SimulatedNode,
    readonly all: Contender[],
    readonly granted: (token: number, by: number) => void,
    createMutex: (id: number) => GroupMutex,
  ) {
    const id = groupMemberId(node.index, 1);
    this.mutex = createMutex(id);
    this.group = new ProcessGroup({
      group: 1,
      id,
      isFounder: true,
      hasState: true,
      electorate: world.nodes.map(({ index }) => index),
      timing: DEFAULT_GROUP_TIMING,
      random: world.random.next,
      nowMs: world.localMs(node),
    });
    this.#alarm = new Alarm(
      world,
      node,
      () => this.group.nextDeadlineMs,
      () => this.step({ kind: 'tick' }),
    );
  }

  start(): void {
    this.#carryOut(this.group.start());
    this.step({ kind: 'contacts', places: this.world.nodes.map(({ index }) => index) });
    this.#wantLater();
  }

  step(event: GroupEvent): void {
    this.#carryOut(this.group.step(event, this.world.localMs(this.node)));
    this.#alarm.set();
  }

  #wantLater(): void {
    this.world.after(this.world.random.between(5, 60), () => {
      this.#act(this.mutex.want());
    });
  }

  #act(effects: readonly MutexEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'send') {
        const event: GroupEvent = {
          kind: 'multicast',
          id: ++this.#lastId,
          order: GroupOrder.Safe,
          data: effect.data,
        };
        this.world.after(0, () => this.step(event));
      } else if (effect.kind === 'granted') {
        this.grants++;
        this.granted(effect.token, this.node.index);
        this.world.after(this.world.random.between(1, 20), () => {
          this.#act(this.mutex.done());
          this.#wantLater();
        });
      } else this.#wantLater();
    }
  }

  #carryOut(effects: readonly GroupEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'send') {
        const target = this.all[effect.to]!;
        this.world.send(this.node, target.node, effect.frame, (frame) =>
          target.step({ kind: 'frame', frame }),
        );
      } else if (effect.kind === 'deliver') {
        this.#act(this.mutex.delivered(effect.from, effect.data, effect.isLate));
      } else if (effect.kind === 'view') this.#act(this.mutex.entered(effect.view));
      else if (effect.kind === 'restore') this.mutex.restore(effect.state);
      else if (effect.kind === 'capture') {
        const state = this.mutex.capture();
        this.world.after(0, () => this.step({ kind: 'captured', view: effect.view, state }));
      }
    }
  }
}

function contend(seed: number, createMutex = (id: number) => new GroupMutex(id)) {
  const world = new World(seed, 5, 0);
  world.network = { loss: 0.02, duplication: 0.02, corruption: 0.01, delayMsMax: 60 };
  const tokens = new Map<number, number>();
  const twice: number[] = [];
  const all: Contender[] = [];
  const granted = (token: number, by: number): void => {
    if (tokens.has(token)) twice.push(token);
    tokens.set(token, by);
  };
  for (const node of world.nodes) all.push(new Contender(world, node, all, granted, createMutex));
  for (const one of all) one.start();
  const run = (untilMs: number): void => {
    while (world.nowMs < untilMs && world.advance());
  };
  run(3_000);
  for (let at = 0; at < 3; at++) {
    const inside = world.nodes.filter(() => world.random.isLucky(0.5));
    for (const one of inside) {
      for (const other of world.nodes) {
        if (inside.includes(other)) continue;
        world.block(one.index, other.index);
        world.block(other.index, one.index);
      }
    }
    run(world.nowMs + world.random.between(1_000, 4_000));
    world.unblockAll();
    run(world.nowMs + world.random.between(500, 3_000));
  }
  run(world.nowMs + 8_000);
  return { world, all, tokens, twice };
}

describe('mutual exclusion without a server', () => {
  it('lets in one after another, with tokens that nobody else gets, also while parts are cut off', () => {
    for (let seed = 1; seed <= 6; seed++) {
      const { world, all, tokens, twice } = contend(seed);
      expect(world.violations).toEqual([]);
      expect({ seed, twice }).toEqual({ seed, twice: [] });
      expect(tokens.size).toBeGreaterThan(50);
      for (const one of all) expect(one.grants).toBeGreaterThan(3);
    }
  });

  it('goes on where the largest part is, and everyone is of one mind in the end', () => {
    const { all } = contend(3);
    const views = new Set(all.map(({ group }) => JSON.stringify(group.viewId)));
    expect(views.size).toBe(1);
    expect(all[0]!.group.members).toHaveLength(5);
  });

  it('would give a token twice if parts that are not primary let anyone in, or what is late were taken for certain', () => {
    class Careless extends GroupMutex {
      protected override mayAdmit(): boolean {
        return true;
      }
    }
    class Hasty extends GroupMutex {
      protected override isCertain(): boolean {
        return true;
      }
    }
    for (const Mutant of [Careless, Hasty]) {
      const found = [1, 2, 3, 4, 5, 6].some((seed) => contend(seed, (id) => new Mutant(id)).twice.length > 0);
      expect({ mutant: Mutant.name, found }).toEqual({ mutant: Mutant.name, found: true });
    }
  });
});
