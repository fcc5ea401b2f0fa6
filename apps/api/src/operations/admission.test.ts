import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { admit, type UnderWay, type Waiting } from './admission.js';

const places = { atOnce: 100, perTenant: 100, perNode: 100 };
const op = (id: string, tenantId: string | null, nodeIds: string[] = [], isUrgent = false): Waiting => ({
  id,
  tenantId,
  nodeIds,
  isUrgent,
});

describe('places for operations', () => {
  test('one department that asks for much does not keep another from its one', () => {
    const waiting = [op('a1', 'a'), op('a2', 'a'), op('a3', 'a'), op('b1', 'b')];
    expect(admit(waiting, [], { ...places, atOnce: 2 })).toEqual(['a1', 'b1']);
    const underWay = [
      { tenantId: 'b', nodeIds: [] },
      { tenantId: 'b', nodeIds: [] },
    ];
    expect(admit(waiting, underWay, { ...places, atOnce: 5 })).toEqual(['a1', 'a2', 'a3']);
  });

  test('a department has its own limit, and the cluster itself has none', () => {
    const waiting = [op('1', 'a'), op('2', 'a'), op('3', null), op('4', null), op('5', null)];
    expect(admit(waiting, [], { ...places, perTenant: 1 })).toEqual(['1', '3', '4', '5']);
  });

  test('a node that is busy lets wait, and who waits for it is not passed by smaller ones for ever', () => {
    const underWay = [{ tenantId: 'a', nodeIds: ['n1'] }];
    const waiting = [op('1', 'a', ['n1', 'n2']), op('2', 'b', ['n2']), op('3', 'b', ['n3'])];
    expect(admit(waiting, underWay, { ...places, perNode: 1 })).toEqual(['2', '3']);
    expect(admit(waiting.slice(0, 1), [], { ...places, perNode: 1 })).toEqual(['1']);
    const sameTenant = [op('1', 'a', ['n1', 'n2']), op('2', 'a', ['n2'])];
    expect(admit(sameTenant, underWay, { ...places, perNode: 1 })).toEqual([]);
  });

  test('what ends something does not wait', () => {
    const underWay = Array.from({ length: 5 }, () => ({ tenantId: 'a', nodeIds: ['n'] }));
    const full = { atOnce: 5, perTenant: 5, perNode: 5 };
    expect(admit([op('1', 'a', ['n']), op('2', 'a', ['n'], true)], underWay, full)).toEqual(['2']);
  });

  test('no limit is ever passed, and nothing waits that could begin', () => {
    const tenant = fc.constantFrom('a', 'b', 'c', null);
    const nodes = fc.uniqueArray(fc.constantFrom<string>('n1', 'n2', 'n3'), { maxLength: 3 });
    const shape = fc.record({ tenantId: tenant, nodeIds: nodes });
    const limit = fc.integer({ min: 1, max: 6 });
    fc.assert(
      fc.property(
        fc.array(shape, { maxLength: 30 }),
        fc.record({ atOnce: limit, perTenant: limit, perNode: limit }),
        (asked, limits) => {
          const underWay: UnderWay[] = [];
          let waiting = asked.map((one, index) => ({
            ...one,
            id: String(index).padStart(4, '0'),
            isUrgent: false,
          }));
          for (let round = 0; waiting.length > 0; round++) {
            expect(round).toBeLessThan(asked.length + 1);
            const ids = new Set(admit(waiting, underWay, limits));
            // With nothing under way somebody always begins.
            expect(ids.size).toBeGreaterThan(0);
            const begun = waiting.filter(({ id }) => ids.has(id));
            expect(begun.length).toBeLessThanOrEqual(limits.atOnce);
            for (const t of ['a', 'b', 'c'])
              expect(begun.filter(({ tenantId }) => tenantId === t).length).toBeLessThanOrEqual(
                limits.perTenant,
              );
            for (const n of ['n1', 'n2', 'n3'])
              expect(begun.filter(({ nodeIds }) => nodeIds.includes(n)).length).toBeLessThanOrEqual(
                limits.perNode,
              );
            waiting = waiting.filter(({ id }) => !ids.has(id));
          }
        },
      ),
    );
  });
});
