import { DrvsError, NO_RESOURCES, RESOURCE_CLASSES, type ResourceAmounts } from '@drvs/contracts';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  listCandidates,
  type NodeSnapshot,
  type PlacementRefusal,
  type PlacementRequest,
  placeDrvm,
} from '../index.js';
import { placeable as amounts, freeNode, requestOf as request } from '../testing/placement-words.js';
import { reject } from './eligibility.js';
import { splitStepped } from './split.js';

const node = (name: string, free: ResourceAmounts, more: Partial<NodeSnapshot> = {}): NodeSnapshot =>
  freeNode(name, free, { capacity: free, ...more });

const gpu = (id: string, traits: string[] = [], isFree = true) => ({
  id,
  key: id,
  type: 'gpu',
  traits,
  isFree,
});

function refusal(ask: PlacementRequest, snapshot: NodeSnapshot[]): DrvsError & { details: PlacementRefusal } {
  try {
    listCandidates(ask, snapshot, { seed: 1, wanted: 3 });
  } catch (error) {
    if (error instanceof DrvsError) return error as DrvsError & { details: PlacementRefusal };
    throw error;
  }
  throw new Error('it was not refused');
}

describe('candidates', () => {
  it('are several sets over several nodes, scored, the best first and each once', () => {
    const snapshot = Array.from({ length: 6 }, (_, n) =>
      node(`node${n}`, amounts(1000 + 100 * n, 2048), { rack: `r${n % 2}`, site: 's' }),
    );
    const { candidates } = listCandidates(request(amounts(2400, 3000), { nodes: 2 }), snapshot, {
      seed: 7,
      wanted: 5,
    });
    expect(candidates).toHaveLength(5);
    const totals = candidates.map(({ scores }) => scores.total);
    expect(totals).toEqual([...totals].sort((a, b) => b - a));
    const sets = candidates.map(({ slices }) =>
      slices
        .map((slice) => slice.node)
        .sort()
        .join(),
    );
    expect(new Set(sets).size).toBe(5);
    // Packed, near each other is liked.
    expect(candidates[0]?.scores.network).toBe(1);
  });

  it('are the same for the same seed', () => {
    const snapshot = Array.from({ length: 300 }, (_, n) => node(`node${n}`, amounts(1000, 2048)));
    const list = (seed: number) =>
      listCandidates(request(amounts(4000, 8000), { nodes: 8 }), snapshot, { seed, wanted: 4 }).candidates;
    expect(list(3)).toEqual(list(3));
    expect(list(3)).not.toEqual(list(4));
  });

  it('put no two slices in one rack when that was asked for, also where the roomy nodes share one', () => {
    const snapshot = [
      node('a1', amounts(4000, 4096), { rack: 'a' }),
      node('a2', amounts(4000, 4096), { rack: 'a' }),
      node('b1', amounts(600, 600), { rack: 'b' }),
    ];
    const plan = placeDrvm(
      request(amounts(2000, 2000), { nodes: 2, spreadOver: 'rack', policy: 'spread' }),
      snapshot,
    );
    expect(plan.slices.map((slice) => slice.node).sort()).toContain('b1');
    const error = refusal(request(amounts(2000, 2000), { nodes: 3, spreadOver: 'rack' }), snapshot);
    expect(error.message).toContain('no two slices in one rack: 3 asked for, 2 racks qualify');
    expect(error.details.verdict).toBe('never');
    expect(error.details.nearest).toMatchObject({ nodes: 2 });
  });

  it('give each need its device even where one device suits two needs', () => {
    const snapshot = [
      node('a', amounts(1000, 1024), { devices: [gpu('any'), gpu('big', ['large'])] }),
      node('b', amounts(1000, 1024)),
    ];
    const { slices } = placeDrvm(
      request(amounts(500, 500), {
        devices: [
          { type: 'gpu', count: 1, traits: [] },
          { type: 'gpu', count: 1, traits: ['large'] },
        ],
      }),
      snapshot,
    );
    expect(slices.flatMap(({ devices = [] }) => devices.map(({ id }) => id)).sort()).toEqual(['any', 'big']);
  });

  it('say how many devices are missing, and whether the cluster will ever have them', () => {
    const taken = [node('a', amounts(1000, 1024), { devices: [gpu('one', [], false)] })];
    const ask = (count: number) =>
      refusal(request(amounts(500, 500), { devices: [{ type: 'gpu', count, traits: [] }] }), taken);
    expect(ask(1).message).toContain('1 device gpu asked for, 0 free');
    expect(ask(1).details.verdict).toBe('not-now');
    expect(ask(2).details.verdict).toBe('never');
    expect(ask(1).details.nearest).toMatchObject({ cpuMilli: 500, devices: [{ count: 0 }] });
  });

  it('keep out nodes by trait, taint, burn-in and affinity, and say what would change it', () => {
    const snapshot = [
      node('plain', amounts(1000, 1024)),
      node('fast', amounts(1000, 1024), { traits: ['ssd'] }),
      node('lab', amounts(1000, 1024), { traits: ['ssd'], taints: ['lab=chemistry:NoSchedule'] }),
      node('new', amounts(1000, 1024), { traits: ['ssd'], isOnProbation: true }),
      node('other', amounts(1000, 1024), { traits: ['ssd'], drvmIds: ['rival'] }),
    ];
    const ask = request(amounts(500, 500), { require: ['ssd'], apartFrom: ['rival'] });
    expect(placeDrvm(ask, snapshot).slices.map((slice) => slice.node)).toEqual(['fast']);
    const error = refusal({ ...ask, total: amounts(1800, 2000), nodes: 2 }, snapshot);
    expect(error.details.rules.map(({ rule }) => rule).sort()).toEqual([
      'not-apart',
      'probation',
      'tainted',
      'trait-missing',
    ]);
    expect(error.details.rules.find(({ rule }) => rule === 'tainted')?.change).toContain('tolerate');
    expect(error.details.verdict).toBe('not-now');
    const tolerant = { ...ask, total: amounts(1800, 2000), nodes: 2, tolerate: ['lab'] };
    expect(
      placeDrvm(tolerant, snapshot)
        .slices.map((slice) => slice.node)
        .sort(),
    ).toEqual(['fast', 'lab']);
  });

  it('keep a share of the ceiling on each slice, and refuse one below the guarantee', () => {
    const snapshot = [node('a', amounts(1000, 1024)), node('b', amounts(1000, 1024))];
    const ask = request(amounts(1000, 1000), { nodes: 2, policy: 'spread', ceiling: amounts(3000, 1000) });
    for (const { amounts: own, ceiling } of placeDrvm(ask, snapshot).slices)
      expect(ceiling?.cpuMilli).toBe(own.cpuMilli * 3);
    expect(refusal({ ...ask, ceiling: amounts(900, 1000) }, snapshot).field).toBe('ceiling');
  });
});

const someAmounts = fc.record({
  cpuMilli: fc.integer({ min: 0, max: 2000 }),
  memoryMiB: fc.integer({ min: 0, max: 2000 }),
  diskGiB: fc.integer({ min: 0, max: 20 }),
  networkMbps: fc.integer({ min: 0, max: 100 }),
});
const someNodes = (maxLength: number) =>
  fc
    .array(
      fc.record({
        free: someAmounts,
        more: fc.integer({ min: 0, max: 500 }),
        state: fc.constantFrom('up' as const, 'up' as const, 'up' as const, 'draining' as const),
        slices: fc.integer({ min: 0, max: 2 }),
        rack: fc.constantFrom('r1', 'r2', 'r3', null),
        traits: fc.subarray(['ssd', 'fast']),
        taints: fc.constantFrom([], [], ['lab=x:NoSchedule']),
        drvmIds: fc.subarray(['d1', 'd2']),
        step: fc.constantFrom(1, 1, 1, 50),
        gpus: fc.integer({ min: 0, max: 2 }),
        isOnProbation: fc.boolean(),
      }),
      { maxLength },
    )
    .map((rows) =>
      rows.map(({ free, more, step, gpus, isOnProbation, ...rest }, n) =>
        node(`node${n}`, free, {
          ...rest,
          isOnProbation: isOnProbation && n % 4 === 0,
          capacity: { ...free, cpuMilli: free.cpuMilli + more },
          step: amounts(step, 1, 1, 1),
          devices: Array.from({ length: gpus }, (_, g) => gpu(`g${n}-${g}`, g === 0 ? ['large'] : [])),
        }),
      ),
    );
const someRequest = fc
  .record({
    total: fc.record({
      cpuMilli: fc.integer({ min: 1, max: 80 }).map((many) => many * 50),
      memoryMiB: fc.integer({ min: 192, max: 4000 }),
      diskGiB: fc.integer({ min: 0, max: 30 }),
      networkMbps: fc.integer({ min: 0, max: 150 }),
    }),
    nodes: fc.constantFrom(null, 1, 2, 3),
    exclusive: fc.boolean(),
    policy: fc.constantFrom('spread' as const, 'pack' as const),
    require: fc.subarray(['ssd']),
    tolerate: fc.subarray(['lab']),
    apartFrom: fc.subarray(['d1']),
    spreadOver: fc.constantFrom('node' as const, 'rack' as const),
    gpus: fc.integer({ min: 0, max: 2 }),
  })
  .map(
    ({ gpus, ...rest }): PlacementRequest => ({
      ...rest,
      devices: gpus === 0 ? [] : [{ type: 'gpu', count: gpus, traits: [] }],
    }),
  );

function domainOf({ rack, id }: NodeSnapshot): string {
  return rack ?? id;
}

/** Every rule, looked at from outside. */
function requireValid(
  ask: PlacementRequest,
  snapshot: readonly NodeSnapshot[],
  slices: ReturnType<typeof placeDrvm>['slices'],
) {
  const sum = { ...NO_RESOURCES };
  const domains: string[] = [];
  const devices: string[] = [];
  expect(slices.map(({ index }) => index)).toEqual(slices.map((_, place) => place));
  for (const { nodeId, amounts: own, devices: given = [] } of slices) {
    const on = snapshot.find(({ id }) => id === nodeId);
    if (!on) throw new Error('a node that is not there');
    expect(reject(on, ask)).toBeNull();
    for (const name of RESOURCE_CLASSES) {
      sum[name] += own[name];
      expect(own[name]).toBeLessThanOrEqual(Math.max(0, on.free[name]));
      expect(own[name] % on.step[name]).toBe(0);
    }
    expect(own.cpuMilli).toBeGreaterThanOrEqual(50);
    expect(own.memoryMiB).toBeGreaterThanOrEqual(192);
    domains.push(domainOf(on));
    for (const { id } of given) {
      expect(on.devices?.some((device) => device.id === id && device.isFree)).toBe(true);
      devices.push(id);
    }
  }
  expect(sum).toEqual(ask.total);
  if (typeof ask.nodes === 'number') expect(slices).toHaveLength(ask.nodes);
  if (ask.spreadOver === 'rack') expect(new Set(domains).size).toBe(domains.length);
  expect(new Set(devices).size).toBe(devices.length);
  expect(devices).toHaveLength((ask.devices ?? []).reduce((all, { count }) => all + count, 0));
}

function subsets<T>(items: readonly T[], size: number): T[][] {
  if (size === 0) return [[]];
  return items.flatMap((item, at) => subsets(items.slice(at + 1), size - 1).map((rest) => [item, ...rest]));
}

/** Whether these nodes together could hold it; steps of CPU are a multiple of 50 here, and so are the requests. */
function holds(ask: PlacementRequest, set: readonly NodeSnapshot[]): boolean {
  if (ask.spreadOver === 'rack' && new Set(set.map(domainOf)).size < set.length) return false;
  const gpus = set.reduce((all, { devices = [] }) => all + devices.length, 0);
  if (gpus < (ask.devices?.[0]?.count ?? 0)) return false;
  return RESOURCE_CLASSES.every((name) => {
    const usable = set.map(({ free, step }) => Math.floor(Math.max(0, free[name]) / step[name]) * step[name]);
    return usable.reduce((all, amount) => all + amount, 0) >= ask.total[name];
  });
}

describe('every list of candidates', () => {
  it('holds only sets that keep every rule, over two thousand random clusters', () => {
    fc.assert(
      fc.property(someRequest, someNodes(12), fc.nat(1000), (ask, snapshot, seed) => {
        let found: ReturnType<typeof listCandidates>;
        try {
          found = listCandidates(ask, snapshot, { seed, wanted: 4 });
        } catch (error) {
          expect(error).toBeInstanceOf(DrvsError);
          return;
        }
        for (const { slices, scores } of found.candidates) {
          requireValid(ask, snapshot, slices);
          for (const score of Object.values(scores)) {
            expect(score).toBeGreaterThanOrEqual(0);
            expect(score).toBeLessThanOrEqual(1);
          }
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('is not empty whenever some set could hold the request, over two thousand random clusters', () => {
    fc.assert(
      fc.property(someRequest, someNodes(6), (ask, snapshot) => {
        const eligible = snapshot.filter((each) => reject(each, ask) === null);
        const most = Math.min(Math.floor(ask.total.cpuMilli / 50), Math.floor(ask.total.memoryMiB / 192));
        const sizes = typeof ask.nodes === 'number' ? [ask.nodes] : [1, 2, 3, 4, 5, 6];
        const exists = sizes.some(
          (size) => size <= most && subsets(eligible, size).some((set) => holds(ask, set)),
        );
        let found = true;
        try {
          placeDrvm(ask, snapshot);
        } catch (error) {
          if (!(error instanceof DrvsError)) throw error;
          found = false;
        }
        // Steps may leave a remainder that no node of the set takes: then one less is found, never one more.
        const even = snapshot.every(({ step }) => step.cpuMilli === 1);
        if (even) expect(found).toBe(exists);
        else if (found) expect(exists).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it('says never only of what an empty cluster could not hold either, and offers only what fits', () => {
    fc.assert(
      fc.property(someRequest, someNodes(6), (ask, snapshot) => {
        let details: PlacementRefusal;
        try {
          placeDrvm(ask, snapshot);
          return;
        } catch (error) {
          if (!(error instanceof DrvsError) || error.code !== 'InsufficientResources') return;
          details = error.details as PlacementRefusal;
        }
        const { nearest } = details;
        if (nearest) {
          const { nodes, devices, ...total } = nearest;
          expect(() => placeDrvm({ ...ask, total, nodes, devices: devices ?? [] }, snapshot)).not.toThrow();
        }
        const empty = snapshot.map((each) => ({
          ...each,
          state: 'up' as const,
          free: each.capacity ?? each.free,
          slices: 0,
          isExclusive: false,
          isOnProbation: false,
          drvmIds: [],
        }));
        if (details.verdict === 'never') expect(() => placeDrvm(ask, empty)).toThrow(DrvsError);
      }),
      { numRuns: 2_000 },
    );
  });

  it('exists for eight slices over a thousand nodes with every rule at once', () => {
    const many = Array.from({ length: 1000 }, (_, n) =>
      node(`n${n}`, amounts(200 + ((n * 37) % 900), 300 + ((n * 91) % 3000), n % 50), {
        rack: `r${n % 40}`,
        site: `s${n % 3}`,
        traits: n % 2 === 0 ? ['ssd'] : [],
        devices: n % 25 === 0 ? [gpu(`g${n}`)] : [],
        slices: n % 3,
      }),
    );
    const ask = request(amounts(4000, 8000, 40), {
      nodes: 8,
      require: ['ssd'],
      spreadOver: 'rack',
      devices: [{ type: 'gpu', count: 2, traits: [] }],
    });
    const { candidates } = listCandidates(ask, many, { seed: 1, wanted: 5 });
    expect(candidates.length).toBeGreaterThanOrEqual(3);
    for (const { slices } of candidates) requireValid(ask, many, slices);
  });
});

describe('a split in steps', () => {
  it('adds up, keeps to each step and to what is free, or is not made', () => {
    const place = fc.record({ free: fc.integer({ min: 0, max: 900 }), step: fc.constantFrom(1, 10, 64) });
    fc.assert(
      fc.property(
        fc.array(place, { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 0, max: 2500 }),
        fc.boolean(),
        (places, total, isPacked) => {
          const free = places.map((each) => each.free);
          const step = places.map((each) => each.step);
          const parts = splitStepped(total, free, 0, step, isPacked);
          if (parts === null) return;
          expect(parts.reduce((sum, part) => sum + part, 0)).toBe(total);
          for (const [at, part] of parts.entries()) {
            expect(part % (step[at] as number)).toBe(0);
            expect(part).toBeGreaterThanOrEqual(0);
            expect(part).toBeLessThanOrEqual(free[at] as number);
          }
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
