import { describe, expect, it } from '@jest/globals';
import { MEMBERSHIP_FRAME_BYTES } from '../membership/membership-frame.js';
import { DEFAULT_SWIM_TIMING, Swim } from '../membership/swim.js';
import { MembershipSimulation } from '../simulation/membership-simulation.js';
import { World } from '../simulation/world.js';
import { DecayingAverage } from './decaying-average.js';
import { LoadBoard, MAX_KNOWN_LOADS, type NodeLoad } from './load-board.js';

const loadOf = (cpuMilli: number): NodeLoad => ({
  cpuMilli,
  memoryMiB: 100,
  diskKiBps: 0,
  networkKiBps: 0,
  ipcPerSecond: 0,
  ipcLatencyUs: 0,
  cpuPressure: 0,
  memoryPressure: 0,
  ioPressure: 0,
});

const SAMPLE_MS = 1_000;

/** Nodes that sample themselves every second: CPU is a thousand times their number, and one for every second. */
function cluster(nodes: number, seed = 1) {
  const world = new World(seed, nodes, 0.01);
  const boards = new Map<string, LoadBoard>();
  for (const node of world.nodes) boards.set(`n${node.index}`, new LoadBoard({ name: `n${node.index}` }));
  let largestFrame = 0;
  const membership = new MembershipSimulation(world, DEFAULT_SWIM_TIMING, (options) => {
    const swim = new Swim({ ...options, rider: boards.get(options.name)! });
    const step = swim.step.bind(swim);
    swim.step = (event, nowMs) => {
      const effects = step(event, nowMs);
      for (const effect of effects)
        if (effect.kind === 'send') largestFrame = Math.max(largestFrame, effect.frame.length);
      return effects;
    };
    return swim;
  });
  for (const node of world.nodes) {
    const sample = (): void => {
      if (node.isUp) boards.get(`n${node.index}`)!.sample(loadOf(node.index * 1_000), world.localMs(node));
      world.after(SAMPLE_MS, sample);
    };
    world.after(node.index, sample);
  }
  const run = (untilMs: number): void => {
    while (world.nowMs < untilMs && world.advance());
  };
  const known = (index: number) => boards.get(`n${index}`)!.known(world.localMs(world.nodes[index]!));
  return { world, boards, membership, run, known, largestFrame: () => largestFrame };
}

describe('a decaying average', () => {
  it('is the first sample at first, and what the figure stays at in the end', () => {
    const average = new DecayingAverage(1_000);
    average.add(10, 0);
    expect(average.value).toBe(10);
    for (let ms = 100; ms <= 10_000; ms += 100) average.add(50, ms);
    expect(average.value).toBeCloseTo(50, 2);
  });

  it('comes to the same however often a steady figure is sampled', () => {
    const [often, seldom] = [new DecayingAverage(1_000), new DecayingAverage(1_000)];
    often.add(0, 0);
    seldom.add(0, 0);
    for (let ms = 10; ms <= 1_000; ms += 10) often.add(100, ms);
    seldom.add(100, 1_000);
    expect(often.value).toBeCloseTo(seldom.value, 6);
    expect(seldom.value).toBeCloseTo(100 * (1 - Math.exp(-1)), 6);
  });
});

describe('what a node knows of the loads of others', () => {
  it('is recent, of many of them, and right, on a network that loses and delays', () => {
    const { world, run, known, largestFrame } = cluster(40);
    world.network = { loss: 0.05, duplication: 0.02, corruption: 0.01, delayMsMax: 100 };
    run(30_000);
    for (const { index } of world.nodes) {
      const all = known(index);
      const recent = all.filter(({ ageMs }) => ageMs <= 10_000);
      expect(recent.length).toBeGreaterThanOrEqual(10);
      for (const { name, load } of all) expect(load.cpuMilli).toBe(Number(name.slice(1)) * 1_000);
    }
    expect(largestFrame()).toBeLessThanOrEqual(MEMBERSHIP_FRAME_BYTES);
    expect(world.violations).toEqual([]);
  });

  it('is not of nodes that are gone for long', () => {
    const { world, membership, run, known } = cluster(12);
    run(10_000);
    world.nodes[3]!.isUp = false;
    world.nodes[3]!.life++;
    membership.hosts[3]!.crash();
    run(40_000);
    for (const { index, isUp } of world.nodes) {
      if (isUp) expect(known(index).map(({ name }) => name)).not.toContain('n3');
    }
  });

  it('is never said to be younger than it is, by more than the way takes', () => {
    const { world, boards, run, known } = cluster(20);
    run(20_000);
    // From now on nobody samples node 0, and all figures of it age.
    boards.get('n0')!.sample = () => undefined;
    const sinceMs = world.nowMs;
    run(28_000);
    for (const { index } of world.nodes.slice(1)) {
      const first = known(index).find(({ name }) => name === 'n0');
      if (first !== undefined) expect(first.ageMs).toBeGreaterThan((world.nowMs - sinceMs) * 0.9 - 100);
    }
  });

  it('is bounded, and garbage is counted', () => {
    const board = new LoadBoard({ name: 'me' });
    for (let i = 0; i < MAX_KNOWN_LOADS + 50; i++) {
      const other = new LoadBoard({ name: `other${i}` });
      other.sample(loadOf(i), i);
      board.receive(other.take(600, i), i);
    }
    expect(board.known(400)).toHaveLength(MAX_KNOWN_LOADS);
    expect(board.known(400)[0]!.name).toBe(`other${MAX_KNOWN_LOADS + 49}`);
    board.receive(Buffer.of(9, 9, 9), 400);
    expect(board.damaged).toBe(1);
  });
});
