import { RESOURCE_CLASSES } from '@drvs/contracts';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { plannerPolicy } from '../planner-policy.js';
import { aCluster, aNode } from '../testing/cluster-builder.js';
import { randomCluster } from '../testing/random-cluster.js';
import { CLASS_COUNT } from './amounts.js';
import { Ledger } from './ledger.js';
import { strainOf } from './strain.js';

describe('the ledger', () => {
  it('finds the same best fit as a plain search over what is free', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.integer({ min: 100, max: 8000 }),
        fc.integer({ min: 100, max: 9000 }),
        (seed, cpu, memory) => {
          const ledger = new Ledger(randomCluster({ seed, nodes: 8, drvms: 8, heat: 1, hasOff: true }));
          const wanted = Float64Array.of(cpu, memory, 1, 0);
          const mask = ledger.eligibleFor(0);
          let best = -1;
          let least = Number.POSITIVE_INFINITY;
          for (const [n, node] of ledger.nodes.entries()) {
            const free = RESOURCE_CLASSES.map((_, c) => ledger.free[n * CLASS_COUNT + c] - wanted[c]);
            if (node.state !== 'up' || node.isCordoned || mask[n] === 0 || free.some((left) => left < 0))
              continue;
            const left = free.reduce((sum, amount, c) => {
              const capacity = ledger.capacity[n * CLASS_COUNT + c];
              return sum + (capacity > 0 ? amount * (1 / capacity) : 0);
            }, 0);
            if (left >= least) continue;
            least = left;
            best = n;
          }
          expect(ledger.tightestFit(wanted, 0, mask)).toBe(best);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('is as before when relocations are undone', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const ledger = new Ledger(randomCluster({ seed, nodes: 6, drvms: 8, heat: 1, hasOff: false }));
        const before = [ledger.free, ledger.floorFree, ledger.load, ledger.sliceHeld].map((array) =>
          array.slice(),
        );
        const done = [...ledger.sliceNode.keys()].map((slice) => ledger.relocate(slice, (slice * 5) % 6));
        for (const relocation of done.reverse()) ledger.undo(relocation);
        expect([ledger.free, ledger.floorFree, ledger.load, ledger.sliceHeld]).toEqual(before);
      }),
      { numRuns: 200 },
    );
  });

  it('keeps DRVMs to nodes with the traits that they require and taints that they tolerate', () => {
    const nodes = [
      aNode('a'),
      aNode('b', { traits: ['ssd'] }),
      aNode('c', { traits: ['ssd'], taints: ['old'] }),
    ];
    const snapshot = aCluster(
      nodes,
      [
        { drvm: 'x', node: 'b' },
        { drvm: 'y', node: 'c' },
      ],
      {
        x: { requires: ['ssd'] },
        y: { requires: ['ssd'], tolerates: ['old'] },
      },
    );
    const ledger = new Ledger(snapshot);
    expect([...ledger.eligibleFor(0)]).toEqual([0, 1, 0]);
    expect([...ledger.eligibleFor(1)]).toEqual([0, 1, 1]);
  });

  it('refuses a snapshot that does not hold together', () => {
    const snapshot = aCluster([aNode('a')], [{ drvm: 'x', node: 'a' }]);
    expect(() => new Ledger({ ...snapshot, nodes: [] })).toThrow('the snapshot has no node a');
    for (const cpuMilli of [-1, 0.5, 1e300, Number.NaN, 5000]) {
      const [slice] = snapshot.slices;
      const broken = { ...slice, guaranteed: { ...slice.guaranteed, cpuMilli } };
      expect(() => new Ledger({ ...snapshot, slices: [broken] })).toThrow('the slice of x on a is not sound');
    }
    expect(() => new Ledger({ ...snapshot, nodes: [aNode('a'), aNode('a')] })).toThrow('twice');
  });
});

describe('strain', () => {
  it('is close to the exact queue of M/M/c, and rises without a break', () => {
    // Exact by Erlang C: one server at 50 %: 0.5; four at 80 %: 2.386.
    expect(strainOf(500, 1000)).toBeCloseTo(0.5, 6);
    expect(strainOf(3200, 4000)).toBeGreaterThan(2.386 * 0.9);
    expect(strainOf(3200, 4000)).toBeLessThan(2.386 * 1.1);
    for (let load = 10; load < 8000; load += 10) {
      expect(strainOf(load, 4000)).toBeGreaterThan(strainOf(load - 10, 4000));
    }
  });
});

describe('a policy', () => {
  it('takes values in place of the defaults and refuses those that contradict each other', () => {
    expect(plannerPolicy({ power: { headroomKept: 0.3 } }).power).toMatchObject({
      headroomKept: 0.3,
      headroomLeast: 0.08,
    });
    expect(() => plannerPolicy({ coldUtilisation: 0.9 })).toThrow('contradicts itself');
    expect(() => plannerPolicy({ power: { headroomKept: 0.05 } })).toThrow('nodes are woken below');
    expect(() => plannerPolicy({ hotUtilisation: 1.5 })).toThrow('from 0 to 1');
    expect(() => plannerPolicy({ power: { nodesMin: 1.5 } })).toThrow('power.nodesMin is a whole number');
    expect(() => plannerPolicy({ reallocate: { cpuStepMilli: 0.5 } })).toThrow('is a whole number');
    expect(() => plannerPolicy({ nodez: 1 } as never)).toThrow('a policy has no nodez');
    expect(() => plannerPolicy({ power: 3 } as never)).toThrow('power is an object');
    expect(() => plannerPolicy({ coolDownSeconds: Number.NaN })).toThrow('coolDownSeconds');
  });
});
