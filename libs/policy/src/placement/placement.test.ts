import { DrvsError, NO_RESOURCES, RESOURCE_CLASSES, type ResourceAmounts } from '@drvs/contracts';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  MIN_SLICE,
  type NodeSnapshot,
  type PlacementRefusal,
  type PlacementRequest,
  placeDrvm,
} from '../index.js';
import { placeable as amounts, freeNode as node, requestOf as request } from '../testing/placement-words.js';

function refusal(ask: PlacementRequest, snapshot: NodeSnapshot[]): DrvsError & { details: PlacementRefusal } {
  try {
    placeDrvm(ask, snapshot);
  } catch (error) {
    if (error instanceof DrvsError) return error as DrvsError & { details: PlacementRefusal };
    throw error;
  }
  throw new Error('it was not refused');
}

const three = [1, 2, 3].map((n) => node(`node${n}`, amounts(1000, 1024, 10)));

describe('placement', () => {
  it('gives a DRVM larger than any node a slice on several', () => {
    const { slices } = placeDrvm(request(amounts(2500, 2000, 20)), three);
    expect(slices).toHaveLength(3);
    expect(slices.reduce((sum, slice) => sum + slice.amounts.cpuMilli, 0)).toBe(2500);
  });

  it('tells a node that somebody closed from one that is held out, and from one that is away', () => {
    const states: Partial<NodeSnapshot>[] = [
      { state: 'drained' },
      { state: 'drained', heldOut: 'it came back 3 times within an hour' },
      { state: 'down' },
    ];
    const nodes = three.map((each, at) => ({ ...each, ...states[at] }));
    const { details, message } = refusal(request(amounts(100, 256)), nodes);
    expect(details.rejected.map(({ rule }) => rule)).toEqual(['cordoned', 'held-out', 'not-up']);
    expect(details.rejected[1]?.reason).toBe('it is held out: it came back 3 times within an hour');
    expect(message).toContain('1 node is held out for coming and going');
    expect(details.rules.find(({ rule }) => rule === 'held-out')?.change).toContain('drvs node release');
    // Time alone may change it.
    expect(details.verdict).not.toBe('never');
  });

  it('spreads evenly over the nodes asked for, and the first named is the home', () => {
    const { slices } = placeDrvm(
      request(amounts(900, 600, 3), { nodes: ['node3', 'node1', 'node2'], policy: 'spread' }),
      three,
    );
    expect(
      slices.map(({ node, index, amounts }) => [node, index, amounts.cpuMilli, amounts.memoryMiB]),
    ).toEqual([
      ['node3', 0, 300, 200],
      ['node1', 1, 300, 200],
      ['node2', 2, 300, 200],
    ]);
  });

  it('packs into the node that just suffices and leaves the large holes whole', () => {
    const snapshot = [
      node('big', amounts(8000, 8192)),
      node('small', amounts(600, 512)),
      node('mid', amounts(2000, 2048)),
    ];
    expect(placeDrvm(request(amounts(500, 400)), snapshot).slices.map((slice) => slice.node)).toEqual([
      'small',
    ]);
  });

  it('finds the one pair that suffices where greed would not', () => {
    const snapshot = [
      node('cpu', amounts(3000, 200)),
      node('memory', amounts(60, 4000)),
      node('even1', amounts(1500, 1500)),
      node('even2', amounts(1400, 1400)),
    ];
    const { slices } = placeDrvm(request(amounts(3050, 4100), { nodes: 2, policy: 'spread' }), snapshot);
    expect(slices.map((slice) => slice.node).sort()).toEqual(['cpu', 'memory']);
  });

  it('says which class is short, by how much, and what would fit', () => {
    const error = refusal(request(amounts(2000, 4096, 5)), three);
    expect(error.code).toBe('InsufficientResources');
    expect(error.message).toContain(
      'short by 1024 MiB of memory: 4096 MiB of memory asked for, 3072 MiB of memory free on 3 nodes',
    );
    expect(error.details.short).toEqual([
      { class: 'memoryMiB', requested: 4096, available: 3072, missing: 1024 },
    ]);
    expect(error.details.nearest).toEqual({
      cpuMilli: 2000,
      memoryMiB: 3072,
      diskGiB: 5,
      networkMbps: 0,
      nodes: 3,
    });
    expect(error.hint).toContain('This would fit: 2 vCPU, 3072 MiB of memory, 5 GiB of disk on 3 nodes');
  });

  it('counts on how many nodes which rule failed', () => {
    const snapshot = [
      node('a', amounts(1000, 1024), { state: 'down' }),
      node('b', amounts(1000, 1024), { isExclusive: true, slices: 1 }),
      node('c', amounts(1000, 1024), { slices: 2 }),
      node('d', amounts(20, 1024)),
    ];
    const error = refusal(request(amounts(500, 512), { exclusive: true }), snapshot);
    expect(error.details.rules.map(({ rule }) => rule).sort()).toEqual([
      'cpu',
      'exclusive-to-another',
      'not-empty',
      'not-up',
    ]);
    expect(error.message).toContain('none of 4 nodes qualifies');
    expect(error.details.nearest).toBeNull();
  });

  it('refuses what no cluster could hold, and unknown or doubled names', () => {
    expect(refusal(request(amounts(1000, 300), { nodes: 2 }), three)).toMatchObject({
      code: 'InvalidInput',
      field: 'memoryMiB',
    });
    expect(refusal(request(amounts(1000, 400), { nodes: ['nowhere'] }), three)).toMatchObject({
      code: 'NotFound',
    });
    expect(refusal(request(amounts(1000, 400), { nodes: ['node1', 'node1'] }), three)).toMatchObject({
      code: 'InvalidInput',
    });
    expect(refusal(request(amounts(1000, 800), { nodes: 4 }), three).message).toContain(
      '4 nodes were asked for and 3 of 3 qualify',
    );
  });

  it('places and refuses on a thousand nodes, with the sums that were asked for', () => {
    const many = Array.from({ length: 1000 }, (_, n) =>
      node(`n${n}`, amounts(100 + ((n * 37) % 900), 200 + ((n * 91) % 3000), n % 50)),
    );
    const { slices } = placeDrvm(request(amounts(60_000, 160_000, 900), { policy: 'spread' }), many);
    const sum = (pick: (given: ResourceAmounts) => number) =>
      slices.reduce((total, { amounts: given }) => total + pick(given), 0);
    expect([sum((each) => each.cpuMilli), sum((each) => each.memoryMiB)]).toEqual([60_000, 160_000]);
    expect(refusal(request(amounts(6_000_000, 160_000_000, 900)), many).code).toBe('InsufficientResources');
  });
});

const anyAmounts = fc.record({
  cpuMilli: fc.integer({ min: -100, max: 2000 }),
  memoryMiB: fc.integer({ min: -100, max: 2000 }),
  diskGiB: fc.integer({ min: -5, max: 20 }),
  networkMbps: fc.integer({ min: 0, max: 100 }),
});
const anySnapshot = fc
  .array(
    fc.record({
      free: anyAmounts,
      state: fc.constantFrom('up' as const, 'up' as const, 'up' as const, 'down' as const),
      slices: fc.integer({ min: 0, max: 2 }),
      isExclusive: fc.boolean(),
    }),
    { maxLength: 8 },
  )
  .map((nodes) =>
    nodes.map(({ isExclusive, ...rest }, n) =>
      node(`node${n}`, rest.free, { ...rest, isExclusive: isExclusive && rest.slices === 1 }),
    ),
  );
const anyRequest = fc.record({
  total: fc.record({
    cpuMilli: fc.integer({ min: 50, max: 6000 }),
    memoryMiB: fc.integer({ min: 192, max: 6000 }),
    diskGiB: fc.integer({ min: 0, max: 40 }),
    networkMbps: fc.integer({ min: 0, max: 200 }),
  }),
  nodes: fc.oneof(fc.constant(null), fc.integer({ min: 1, max: 8 })),
  exclusive: fc.boolean(),
  policy: fc.constantFrom('spread' as const, 'pack' as const),
});

describe('every plan', () => {
  it('adds up exactly, exceeds no node, has no slice too small and no node twice', () => {
    fc.assert(
      fc.property(anyRequest, anySnapshot, (ask, snapshot) => {
        let plan: ReturnType<typeof placeDrvm>;
        try {
          plan = placeDrvm(ask, snapshot);
        } catch {
          return;
        }
        const sum = { ...NO_RESOURCES };
        for (const [place, slice] of plan.slices.entries()) {
          const on = snapshot.find(({ name }) => name === slice.node);
          expect(on?.state).toBe('up');
          expect(on?.isExclusive).toBe(false);
          if (ask.exclusive) expect(on?.slices).toBe(0);
          expect(slice.index).toBe(place);
          for (const name of RESOURCE_CLASSES) {
            expect(slice.amounts[name]).toBeGreaterThanOrEqual(MIN_SLICE[name]);
            expect(slice.amounts[name]).toBeLessThanOrEqual(Math.max(0, on?.free[name] ?? -1));
            sum[name] += slice.amounts[name];
          }
        }
        expect(sum).toEqual(ask.total);
        expect(new Set(plan.slices.map((slice) => slice.node)).size).toBe(plan.slices.length);
        if (ask.nodes !== null) expect(plan.slices).toHaveLength(ask.nodes);
      }),
      { numRuns: 2000 },
    );
  });

  it('exists whenever some set of nodes could hold the request', () => {
    fc.assert(
      fc.property(anyRequest, anySnapshot, (ask, snapshot) => {
        const usable = snapshot.filter(
          (one) =>
            one.state === 'up' &&
            !one.isExclusive &&
            (!ask.exclusive || one.slices === 0) &&
            one.free.cpuMilli >= MIN_SLICE.cpuMilli &&
            one.free.memoryMiB >= MIN_SLICE.memoryMiB,
        );
        let possible = false;
        for (let bits = 1; bits < 1 << usable.length; bits++) {
          const set = usable.filter((_, n) => bits & (1 << n));
          if (ask.nodes !== null && set.length !== ask.nodes) continue;
          possible ||= RESOURCE_CLASSES.every(
            (name) =>
              MIN_SLICE[name] * set.length <= ask.total[name] &&
              set.reduce((sum, one) => sum + Math.max(0, one.free[name]), 0) >= ask.total[name],
          );
        }
        const placed = (() => {
          try {
            placeDrvm(ask, snapshot);
            return true;
          } catch {
            return false;
          }
        })();
        expect(placed).toBe(possible);
      }),
      { numRuns: 1500 },
    );
  });

  it('that is refused names a nearest request, and that one fits', () => {
    fc.assert(
      fc.property(anyRequest, anySnapshot, (ask, snapshot) => {
        let error: DrvsError;
        try {
          placeDrvm(ask, snapshot);
          return;
        } catch (thrown) {
          error = thrown as DrvsError;
        }
        if (error.code !== 'InsufficientResources') return;
        const { nearest } = error.details as PlacementRefusal;
        if (nearest === null) return;
        const { nodes, ...total } = nearest;
        expect(placeDrvm({ ...ask, total, nodes }, snapshot).slices).toHaveLength(nodes);
      }),
      { numRuns: 2000 },
    );
  });
});
