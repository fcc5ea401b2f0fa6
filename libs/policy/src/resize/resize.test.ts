import { DrvsError, type ResourceAmounts } from '@drvs/contracts';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { distribute } from './distribute.js';
import { planResize, type ResizableSlice, type ResizeNode, type ResizeRequest } from './resize.js';

const amounts = (cpuMilli: number, memoryMiB: number, diskGiB = 1, networkMbps = 0): ResourceAmounts => ({
  cpuMilli,
  memoryMiB,
  diskGiB,
  networkMbps,
});

const slice = (
  node: string,
  cpu: number,
  memory: number,
  more: Partial<ResizableSlice> = {},
): ResizableSlice => ({
  nodeId: node,
  node,
  guaranteed: amounts(cpu, memory),
  ceiling: amounts(cpu, memory),
  inUse: amounts(0, 0, 0),
  processes: 0,
  isHome: node === 'a',
  ...more,
});

const node = (id: string, free = amounts(1000, 1000, 10, 100), closed: string | null = null): ResizeNode => ({
  id,
  name: id,
  free,
  capacity: amounts(4000, 4000, 40, 400),
  closed,
});

const wish = (more: Partial<ResizeRequest>): ResizeRequest => ({
  total: {},
  ceiling: {},
  nodes: null,
  ...more,
});

function refusal(work: () => unknown): DrvsError {
  try {
    work();
  } catch (error) {
    if (error instanceof DrvsError) return error;
  }
  throw new Error('it was not refused');
}

describe('a resize', () => {
  it('keeps the proportions between the slices, and the sums exact', () => {
    const { slices } = planResize(
      wish({ total: { cpuMilli: 901 } }),
      [slice('a', 200, 300), slice('b', 400, 300)],
      [node('a'), node('b')],
    );
    expect(slices.map(({ after }) => after?.guaranteed.cpuMilli)).toEqual([300, 601]);
    expect(slices[0]?.reason).toContain('0.2 vCPU → 0.3 vCPU');
  });

  it('changes nothing where nothing is asked for', () => {
    expect(planResize(wish({}), [slice('a', 200, 300)], [node('a')]).slices).toEqual([]);
  });

  it('gives more where there is room when a node is full', () => {
    const { slices } = planResize(
      wish({ total: { cpuMilli: 1200 } }),
      [slice('a', 300, 300), slice('b', 300, 300)],
      [node('a', amounts(100, 0, 0)), node('b')],
    );
    expect(slices.map(({ after }) => after?.guaranteed.cpuMilli)).toEqual([400, 800]);
  });

  it('is refused with what would fit when its nodes have not enough', () => {
    const error = refusal(() =>
      planResize(wish({ total: { memoryMiB: 9000 } }), [slice('a', 300, 300)], [node('a')]),
    );
    expect([error.code, error.message]).toEqual([
      'InsufficientResources',
      '9000 MiB of memory asked for, and its nodes have room for 1300 MiB of memory',
    ]);
    expect(error.details).toMatchObject({ class: 'memoryMiB', requested: 9000, fits: 1300 });
  });

  it('is refused below what is in use, with the figures and what would fit', () => {
    const error = refusal(() =>
      planResize(
        wish({ total: { memoryMiB: 400 } }),
        [slice('a', 300, 500, { inUse: amounts(0, 450, 0) }), slice('b', 300, 500)],
        [node('a'), node('b')],
      ),
    );
    expect([error.code, error.details]).toEqual([
      'StateConflict',
      expect.objectContaining({ fits: 642, inUse: { a: 450, b: 0 } }),
    ]);
    expect(error.message).toBe('400 MiB of memory is less than is in use: 450 MiB of memory on a');
  });

  it('is refused below the least slices', () => {
    const error = refusal(() =>
      planResize(
        wish({ total: { cpuMilli: 60 } }),
        [slice('a', 100, 300), slice('b', 100, 300)],
        [node('a'), node('b')],
      ),
    );
    expect([error.code, error.details?.fits]).toEqual(['InvalidInput', 100]);
  });

  it('brings a node in with an average part, and takes the rest back from the others', () => {
    const { slices } = planResize(
      wish({ nodes: { add: ['c'], remove: [] } }),
      [slice('a', 600, 600), slice('b', 600, 600)],
      [node('a'), node('b'), node('c')],
    );
    expect(
      slices.map(({ node: name, before, after }) => [
        name,
        before?.guaranteed.cpuMilli,
        after?.guaranteed.cpuMilli,
      ]),
    ).toEqual([
      ['c', undefined, 400],
      ['a', 600, 400],
      ['b', 600, 400],
    ]);
  });

  it('chooses the nodes with the most free CPU by itself, and says why not the others', () => {
    const { slices, rejected } = planResize(
      wish({ nodes: 2 }),
      [slice('a', 600, 600)],
      [node('a'), node('b', amounts(500, 900)), node('c'), node('d', amounts(900, 900), 'it is drained')],
    );
    expect(slices[0]).toMatchObject({ nodeId: 'c', before: null });
    expect(rejected).toEqual([
      { node: 'd', reason: 'it is drained' },
      { node: 'b', reason: 'others have more CPU free' },
    ]);
  });

  it('lets the emptiest go first and the home last', () => {
    const slices = [
      slice('a', 100, 300),
      slice('b', 900, 300, { processes: 2 }),
      slice('c', 900, 300, { processes: 1 }),
    ];
    const nodes = [node('a'), node('b'), node('c')];
    const gone = (count: number) =>
      planResize(wish({ nodes: count, total: { cpuMilli: 900, memoryMiB: 600 } }), slices, nodes)
        .slices.filter(({ after }) => after === null)
        .map(({ node: name }) => name);
    expect(gone(2)).toEqual(['c']);
    expect(gone(1)).toEqual(['b', 'c']);
  });

  it('refuses nodes that are unknown, doubled, closed, or not its own, and to be left with none', () => {
    const refused = (nodes: ResizeRequest['nodes']) =>
      refusal(() =>
        planResize(wish({ nodes }), [slice('a', 300, 300)], [node('a'), node('b', undefined, 'it is down')]),
      ).message;
    expect(refused({ add: ['a'], remove: [] })).toContain('is on a already');
    expect(refused({ add: ['b'], remove: [] })).toContain('it is down');
    expect(refused({ add: ['x'], remove: [] })).toContain('not known');
    expect(refused({ add: [], remove: ['b'] })).toContain('not on b');
    expect(refused({ add: [], remove: ['a'] })).toContain('would have 0');
    expect(refused(5)).toContain('4 more nodes asked for');
  });

  it('spreads a ceiling over the slices, and refuses one below the guarantee or above the nodes', () => {
    const slices = [slice('a', 200, 300), slice('b', 600, 300)];
    const nodes = [node('a'), node('b')];
    const planned = planResize(wish({ ceiling: { cpuMilli: 1600 } }), slices, nodes);
    expect(planned.slices.map(({ after }) => after?.ceiling.cpuMilli)).toEqual([400, 1200]);
    expect(refusal(() => planResize(wish({ ceiling: { cpuMilli: 700 } }), slices, nodes)).field).toBe(
      'ceiling.cpuMilli',
    );
    expect(
      refusal(() => planResize(wish({ ceiling: { cpuMilli: 9000 } }), slices, nodes)).details?.fits,
    ).toBe(8000);
  });

  it('keeps what a slice may borrow when its guarantee changes', () => {
    const { slices } = planResize(
      wish({ total: { cpuMilli: 400 } }),
      [slice('a', 200, 300, { ceiling: amounts(700, 300) })],
      [node('a')],
    );
    expect(slices[0]?.after).toMatchObject({ guaranteed: { cpuMilli: 400 }, ceiling: { cpuMilli: 900 } });
  });
});

describe('a distribution', () => {
  it('has the exact sum, stays within the bounds, and is refused only when these do not allow it', () => {
    const share = fc
      .record({ least: fc.nat(1000), room: fc.nat(1000), weight: fc.nat(50) })
      .map(({ least, room, weight }) => ({ least, most: least + room, weight }));
    fc.assert(
      fc.property(fc.array(share, { minLength: 1, maxLength: 12 }), fc.nat(15_000), (shares, total) => {
        const parts = distribute(total, shares);
        const least = shares.reduce((sum, part) => sum + part.least, 0);
        const most = shares.reduce((sum, part) => sum + part.most, 0);
        if (total < least || total > most) return parts === null;
        return (
          parts !== null &&
          parts.reduce((sum, part) => sum + part, 0) === total &&
          parts.every((part, index) => part >= shares[index]!.least && part <= shares[index]!.most)
        );
      }),
      { numRuns: 500 },
    );
  });
});
