import { describe, expect, it } from '@jest/globals';
import { MembershipSimulation } from '../simulation/membership-simulation.js';
import { World } from '../simulation/world.js';
import { encodeMembershipFrame, MEMBERSHIP_FRAME_BYTES, MemberState } from './membership-frame.js';
import { DEFAULT_SWIM_TIMING, Swim, type SwimEffect } from './swim.js';

function run(world: World, untilMs: number): void {
  while (world.nowMs < untilMs && world.advance());
}

function cluster(nodes: number, seed = 1): { world: World; membership: MembershipSimulation } {
  const world = new World(seed, nodes, 0.01);
  return { world, membership: new MembershipSimulation(world, DEFAULT_SWIM_TIMING) };
}

function kill(world: World, membership: MembershipSimulation, index: number): void {
  world.nodes[index]!.isUp = false;
  world.nodes[index]!.life++;
  membership.hosts[index]!.crash();
}

describe('membership', () => {
  it('lets all know all soon after they started', () => {
    const { world, membership } = cluster(30);
    run(world, 8_000);
    expect(membership.wrongBeliefs()).toEqual([]);
  });

  it('finds a death, and all know of it, within 15 s, and takes nobody alive for dead', () => {
    const { world, membership } = cluster(60);
    world.network = { loss: 0.02, duplication: 0.02, corruption: 0.01, delayMsMax: 100 };
    run(world, 15_000);
    kill(world, membership, 7);
    run(world, 30_000);
    expect(membership.wrongBeliefs()).toEqual([]);
    expect(world.counters.falseDeathsSeen ?? 0).toBe(0);
    expect(world.violations).toEqual([]);
  });

  it('brings the parts together again after a partition that made each take the other for dead', () => {
    const { world, membership } = cluster(10);
    run(world, 6_000);
    for (let a = 0; a < 5; a++) {
      for (let b = 5; b < 10; b++) {
        world.block(a, b);
        world.block(b, a);
      }
    }
    run(world, 40_000);
    expect(membership.wrongBeliefs().length).toBe(50);
    world.unblockAll();
    run(world, 80_000);
    expect(membership.wrongBeliefs()).toEqual([]);
  });

  it('costs each member the same in a large cluster as in a small one', () => {
    const framesPerMemberSecond = (nodes: number): number => {
      const { world, membership } = cluster(nodes);
      run(world, 20_000);
      const before = membership.frames;
      run(world, 30_000);
      return (membership.frames - before) / nodes / 10;
    };
    expect(framesPerMemberSecond(80)).toBeLessThan(framesPerMemberSecond(10) * 1.3);
  });

  it('hears a goodbye at once, and no suspicion comes of it', () => {
    const { world, membership } = cluster(10);
    run(world, 6_000);
    membership.hosts[3]!.step({ kind: 'leave' });
    run(world, 7_500);
    for (const { swim, node } of membership.hosts) {
      if (node.index !== 3) expect(swim!.members.get('n3')!.state).toBe(MemberState.Left);
    }
    expect(world.counters.deathsSeen ?? 0).toBe(0);
  });
});

describe('a member', () => {
  const create = (): Swim =>
    new Swim({
      name: 'a',
      address: 'a:1',
      metadata: Buffer.from('rack 1'),
      timing: DEFAULT_SWIM_TIMING,
      random: () => 0.5,
      nowMs: 0,
    });
  const say = (state: MemberState, name: string, incarnation: number, witness = 'b'): Buffer =>
    encodeMembershipFrame({
      from: 'b',
      fromAddress: 'b:1',
      message: { kind: 'state', isRequest: false },
      updates: [{ state, name, address: `${name}:1`, incarnation, metadata: new Uint8Array(0), witness }],
      rider: new Uint8Array(0),
    });
  const hear = (swim: Swim, frame: Buffer, nowMs = 1): SwimEffect[] =>
    swim.step({ kind: 'frame', frame }, nowMs);

  it('contradicts what is said of it with a higher incarnation', () => {
    const swim = create();
    hear(swim, say(MemberState.Suspect, 'a', 4));
    expect(swim.self.incarnation).toBe(5);
    expect(swim.health).toBe(1);
    hear(swim, say(MemberState.Dead, 'a', 4));
    expect(swim.self.incarnation).toBe(5);
  });

  it('does not let old news bring back the dead', () => {
    const swim = create();
    hear(swim, say(MemberState.Alive, 'c', 2));
    hear(swim, say(MemberState.Dead, 'c', 2));
    hear(swim, say(MemberState.Alive, 'c', 2));
    expect(swim.members.get('c')!.state).toBe(MemberState.Dead);
    hear(swim, say(MemberState.Alive, 'c', 3));
    expect(swim.members.get('c')!.state).toBe(MemberState.Alive);
  });

  it('waits less long with a suspicion that others share', () => {
    const endOf = (witnesses: string[]): number => {
      const swim = create();
      hear(swim, say(MemberState.Alive, 'c', 0));
      for (const witness of witnesses) hear(swim, say(MemberState.Suspect, 'c', 0, witness));
      for (let nowMs = 1; ; nowMs += 100) {
        swim.step({ kind: 'tick' }, nowMs);
        if (swim.members.get('c')!.state === MemberState.Dead) return nowMs;
      }
    };
    const alone = endOf(['b']);
    const shared = endOf(['b', 'd']);
    const certain = endOf(['b', 'd', 'e', 'f']);
    expect(shared).toBeLessThan(alone);
    expect(certain).toBeLessThan(shared);
    // Its own probe fails in the end, which shortens even the lonely one.
    expect(alone / certain).toBeGreaterThan(3);
  });

  it('counts damaged frames, and sends none larger than a datagram', () => {
    const swim = create();
    hear(swim, say(MemberState.Alive, 'c', 0).subarray(0, 20));
    expect(swim.damagedFrames).toBe(1);
    for (let i = 0; i < 200; i++) hear(swim, say(MemberState.Alive, `member-${i}`, 1));
    for (let nowMs = 0; nowMs < 20_000; nowMs += 100) {
      for (const effect of swim.step({ kind: 'tick' }, nowMs)) {
        if (effect.kind === 'send') expect(effect.frame.length).toBeLessThanOrEqual(MEMBERSHIP_FRAME_BYTES);
      }
    }
  });
});
