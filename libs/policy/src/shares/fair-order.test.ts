import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { dominantShare, fairOrder, type WaitingDemand } from './fair-order.js';

const total = { cpu: 9, memory: 18 };
const demand = (id: string, tenant: string, cpu: number, memory: number, sinceMs = 0): WaitingDemand => ({
  id,
  tenant,
  asked: { cpu, memory },
  sinceMs,
});

describe('dominant-resource fairness', () => {
  it('finds the class in which a tenant has most of the cluster', () => {
    expect(dominantShare({ cpu: 3, memory: 12 }, total)).toEqual({ share: 12 / 18, class: 'memory' });
    expect(dominantShare({}, total)).toEqual({ share: 0, class: null });
    expect(dominantShare({ gpu: 1 }, total)).toEqual({ share: 0, class: null });
  });

  it('gives the example of its paper: three tasks to the one who needs memory, two to the one who needs CPU', () => {
    const demands = Array.from({ length: 5 }, (_, n) => [
      demand(`a${n}`, 'a', 1, 4, n),
      demand(`b${n}`, 'b', 3, 1, n),
    ]).flat();
    const order = fairOrder(demands, [], total);
    const free = { ...total };
    const given = { a: 0, b: 0 };
    for (const { tenant, asked } of order) {
      if ((asked.cpu ?? 0) > free.cpu || (asked.memory ?? 0) > free.memory) break;
      free.cpu -= asked.cpu ?? 0;
      free.memory -= asked.memory ?? 0;
      given[tenant as 'a' | 'b']++;
    }
    expect(given).toEqual({ a: 3, b: 2 });
  });

  it('lets weight 2 have twice as much', () => {
    const demands = Array.from({ length: 9 }, (_, n) => [
      demand(`a${n}`, 'a', 1, 0, n),
      demand(`b${n}`, 'b', 1, 0, n),
    ]).flat();
    const holders = [
      { id: 'a', weight: 2, used: {} },
      { id: 'b', weight: 1, used: {} },
    ];
    const first = fairOrder(demands, holders, total).slice(0, 9);
    expect(first.filter(({ tenant }) => tenant === 'a')).toHaveLength(6);
  });

  it('names each demand once, the oldest of a tenant first, in whatever order they come', () => {
    const some = fc.array(
      fc.record({
        tenant: fc.constantFrom('a', 'b', 'c'),
        cpu: fc.integer({ min: 0, max: 5 }),
        memory: fc.integer({ min: 0, max: 5 }),
        sinceMs: fc.integer({ min: 0, max: 20 }),
      }),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(some, (rows) => {
        const demands = rows.map(({ tenant, cpu, memory, sinceMs }, n) =>
          demand(`d${String(n).padStart(2, '0')}`, tenant, cpu, memory, sinceMs),
        );
        const order = fairOrder(demands, [], total);
        expect(order.map(({ id }) => id).sort()).toEqual(demands.map(({ id }) => id));
        expect(fairOrder([...demands].reverse(), [], total)).toEqual(order);
        for (const tenant of ['a', 'b', 'c']) {
          const times = order.filter((each) => each.tenant === tenant).map(({ sinceMs }) => sinceMs);
          expect(times).toEqual([...times].sort((x, y) => x - y));
        }
      }),
      { numRuns: 500 },
    );
  });
});
