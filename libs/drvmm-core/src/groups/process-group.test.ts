import { describe, expect, it } from '@jest/globals';
import { MulticastSimulation } from '../simulation/multicast-simulation.js';
import { SeededRandom } from '../simulation/seeded-random.js';
import { World } from '../simulation/world.js';
import { GroupOrder, MAX_GROUP_DATA_BYTES, WINDOW_MESSAGES } from './group-frame.js';
import { groupMemberId } from './member-id.js';
import {
  DEFAULT_GROUP_TIMING,
  type GroupEffect,
  MAX_QUEUED_MESSAGES,
  ProcessGroup,
} from './process-group.js';

const run = (world: World, untilMs: number): void => {
  while (world.nowMs < untilMs && world.advance());
};

function group(places: number, seed = 1): { world: World; simulation: MulticastSimulation } {
  const world = new World(seed, places, 0.01);
  return { world, simulation: new MulticastSimulation(world, 1, world.nodes) };
}

/** Two members whose frames go to each other at once; `effects` of both but their sends. */
function pair(nowMs = 0): {
  members: ProcessGroup[];
  effects: GroupEffect[][];
  settle: (forMs: number) => void;
} {
  let now = nowMs;
  const effects: GroupEffect[][] = [[], []];
  const random = new SeededRandom(1);
  const members = [0, 1].map(
    (place) =>
      new ProcessGroup({
        group: 1,
        id: groupMemberId(place, 1),
        isFounder: true,
        hasState: false,
        timing: DEFAULT_GROUP_TIMING,
        random: random.next,
        nowMs,
      }),
  );
  const carryOut = (place: number, list: readonly GroupEffect[]): void => {
    for (const effect of list) {
      if (effect.kind !== 'send') effects[place]!.push(effect);
      else carryOut(effect.to, members[effect.to]!.step({ kind: 'frame', frame: effect.frame }, now));
    }
  };
  for (const [place, member] of members.entries()) {
    carryOut(place, member.start());
    carryOut(place, member.step({ kind: 'contacts', places: [0, 1] }, now));
  }
  const settle = (forMs: number): void => {
    for (const endMs = now + forMs; now < endMs; now += 1) {
      for (const [place, member] of members.entries()) {
        if (member.nextDeadlineMs <= now) carryOut(place, member.step({ kind: 'tick' }, now));
      }
    }
  };
  return { members, effects, settle };
}

describe('a process group', () => {
  it('finds together, and gives its state to whoever comes later', () => {
    const { world, simulation } = group(5);
    run(world, 6_000);
    simulation.heal();
    run(world, 8_000);
    expect(simulation.unhealed()).toBeNull();
    const [host] = simulation.hosts;
    world.nodes[0]!.isUp = false;
    world.nodes[0]!.life++;
    host!.crash();
    run(world, 10_000);
    expect(simulation.hosts[1]!.process!.members).toHaveLength(4);
    world.nodes[0]!.isUp = true;
    const before = world.counters.statesTaken ?? 0;
    host!.start();
    run(world, 14_000);
    expect(simulation.unhealed()).toBeNull();
    expect(world.counters.statesTaken).toBeGreaterThan(before);
    expect(world.violations).toEqual([]);
  });

  it('goes on in each part of a partition, and merges when it is over', () => {
    const { world, simulation } = group(5, 2);
    run(world, 3_000);
    for (const a of [0, 1]) {
      for (const b of [2, 3, 4]) {
        world.block(a, b);
        world.block(b, a);
      }
    }
    run(world, 8_000);
    const sizes = simulation.hosts.map(({ process }) => process!.members.length);
    expect(sizes).toEqual([2, 2, 3, 3, 3]);
    world.unblockAll();
    run(world, 12_000);
    simulation.heal();
    run(world, 14_000);
    expect(simulation.unhealed()).toBeNull();
    expect(world.violations).toEqual([]);
  });

  it('lets a member leave only after it was given its own multicasts', () => {
    const { members, effects, settle } = pair();
    settle(1_500);
    expect(members[0]!.members).toHaveLength(2);
    for (let id = 1; id <= 10; id++) {
      members[0]!.step({ kind: 'multicast', id, order: GroupOrder.Safe, data: Buffer.from([id]) }, 1_500);
    }
    members[0]!.step({ kind: 'leave' }, 1_500);
    settle(2_000);
    const kinds = effects[0]!.map(({ kind }) => kind);
    expect(kinds.at(-1)).toBe('left');
    expect(effects[0]!.filter(({ kind }) => kind === 'deliver')).toHaveLength(10);
    expect(members[1]!.members).toHaveLength(1);
    expect(
      members[0]!.step({ kind: 'multicast', id: 99, order: GroupOrder.Fifo, data: Buffer.of(1) }, 9_000),
    ).toEqual([{ kind: 'refused', id: 99, reason: 'left' }]);
  });

  it('holds back who sends to a member that takes nothing, and refuses what exceeds its queue', () => {
    const { members, effects, settle } = pair();
    settle(1_500);
    const [sender, receiver] = members as [ProcessGroup, ProcessGroup];
    receiver.step({ kind: 'pause' }, 1_500);
    const count = WINDOW_MESSAGES + MAX_QUEUED_MESSAGES + 500;
    const list: GroupEffect[] = [];
    for (let id = 1; id <= count; id++) {
      list.push(
        ...sender.step({ kind: 'multicast', id, order: GroupOrder.Fifo, data: Buffer.alloc(8) }, 1_500),
      );
    }
    settle(300);
    expect(list.filter(({ kind }) => kind === 'refused')).toHaveLength(500);
    expect(sender.held).toBeLessThanOrEqual(WINDOW_MESSAGES + MAX_QUEUED_MESSAGES);
    expect(receiver.held).toBeLessThanOrEqual(WINDOW_MESSAGES);
    expect(effects[1]!.filter(({ kind }) => kind === 'deliver')).toHaveLength(0);
    effects[1]!.push(...receiver.step({ kind: 'resume' }, 1_800));
    settle(2_000);
    expect(effects[1]!.filter(({ kind }) => kind === 'deliver')).toHaveLength(count - 500);
    settle(200);
    expect(sender.held).toBe(0);
  });

  it('refuses a multicast that is too large', () => {
    const { members } = pair();
    const data = new Uint8Array(MAX_GROUP_DATA_BYTES + 1);
    const effects = members[0]!.step({ kind: 'multicast', id: 1, order: GroupOrder.Total, data }, 1);
    expect(effects).toEqual([{ kind: 'refused', id: 1, reason: 'tooLarge' }]);
  });

  it('counts garbage and goes on', () => {
    const { members, settle } = pair();
    settle(1_500);
    const random = new SeededRandom(7);
    for (let i = 0; i < 500; i++) {
      const frame = Buffer.from(Array.from({ length: random.below(200) }, () => random.below(256)));
      members[0]!.step({ kind: 'frame', frame }, 1_500);
    }
    expect(members[0]!.damagedFrames).toBe(500);
    settle(500);
    expect(members[0]!.members).toHaveLength(2);
  });
});
