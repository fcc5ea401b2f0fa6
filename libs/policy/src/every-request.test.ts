import { DrvsError, RESOURCE_CLASSES, type ResourceAmounts } from '@drvs/contracts';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  type ClusterSnapshot,
  ClusterState,
  Ledger,
  listCandidates,
  type NodeSnapshot,
  type PlacementRequest,
  placeDrvm,
  planBalance,
  planConsolidation,
  planDrain,
  planEvacuation,
  plannerPolicy,
  planReallocation,
  planResize,
  planWake,
  type ResizableSlice,
} from './index.js';
import { read } from './snapshot/ledger.js';
import { violationsOf } from './testing/invariants.js';
import { randomCluster } from './testing/random-cluster.js';

/** Sequences of requests; set DRVS_PROPERTY_RUNS for a longer hunt. */
const RUNS = Number(process.env.DRVS_PROPERTY_RUNS ?? 120);
const STEPS_MAX = 12;
/** Refusals: what the cluster cannot do, said with a code of its own. */
const REFUSALS: ReadonlySet<string> = new Set(['InsufficientResources', 'InvalidInput', 'StateConflict']);
const policy = plannerPolicy({
  hotHoldSeconds: 0,
  coldHoldSeconds: 0,
  coolDownSeconds: 60,
  power: { offSeconds: 3600 },
});

const anyTotal = fc
  .record({
    cpu: fc.integer({ min: 1, max: 200 }),
    memory: fc.integer({ min: 192, max: 24_000 }),
    disk: fc.integer({ min: 0, max: 60 }),
    network: fc.integer({ min: 0, max: 900 }),
  })
  .map(
    ({ cpu, memory, disk, network }): ResourceAmounts => ({
      cpuMilli: cpu * 50,
      memoryMiB: memory,
      diskGiB: disk,
      networkMbps: network,
    }),
  );
const anyRequest: fc.Arbitrary<PlacementRequest> = fc.record({
  total: anyTotal,
  nodes: fc.option(fc.integer({ min: 1, max: 4 })),
  exclusive: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  policy: fc.constantFrom('spread' as const, 'pack' as const),
  require: fc.constantFrom([], ['ssd']),
});
const anyStep = fc.oneof(
  fc.record({ kind: fc.constant('create' as const), request: anyRequest }),
  fc.record({
    kind: fc.constant('candidate' as const),
    request: anyRequest,
    nth: fc.nat(5),
    seed: fc.nat(99),
  }),
  fc.record({ kind: fc.constant('delete' as const), drvm: fc.nat(99) }),
  fc.record({ kind: fc.constant('resize' as const), drvm: fc.nat(99), total: anyTotal }),
  fc.record({ kind: fc.constant('drain' as const), node: fc.nat(99) }),
  fc.record({ kind: fc.constant('lose' as const), node: fc.nat(99) }),
  fc.record({
    kind: fc.constantFrom('balance' as const, 'consolidate' as const, 'reallocate' as const, 'wake' as const),
  }),
);
type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never;

function nodesOf(snapshot: ClusterSnapshot): NodeSnapshot[] {
  const ledger = new Ledger(snapshot);
  return snapshot.nodes.map((node, n) => {
    const here = snapshot.slices.filter(({ nodeId }) => nodeId === node.id);
    return {
      id: node.id,
      name: node.name,
      state: node.state !== 'up' ? 'down' : node.isCordoned ? 'drained' : 'up',
      free: read(ledger.free, n),
      capacity: read(ledger.capacity, n),
      step: { cpuMilli: 1, memoryMiB: 1, diskGiB: 1, networkMbps: 1 },
      slices: here.length,
      isExclusive: here.some(({ drvmId }) => snapshot.drvms.find(({ id }) => id === drvmId)?.isExclusive),
      traits: node.traits,
      drvmIds: here.map(({ drvmId }) => drvmId),
    };
  });
}

function create(
  state: ClusterState,
  name: string,
  request: PlacementRequest,
  nth: number | null,
  seed: number,
): void {
  const nodes = nodesOf(state.snapshot());
  const slices =
    nth === null
      ? placeDrvm(request, nodes).slices
      : (({ candidates }) => candidates[nth % candidates.length]?.slices ?? [])(
          listCandidates(request, nodes, { seed, wanted: 6 }),
        );
  // All of it, in every class, and no node twice.
  for (const c of RESOURCE_CLASSES)
    expect(slices.reduce((sum, { amounts }) => sum + amounts[c], 0)).toBe(request.total[c]);
  expect(new Set(slices.map(({ nodeId }) => nodeId)).size).toBe(slices.length);
  if (typeof request.nodes === 'number') expect(slices).toHaveLength(request.nodes);
  state.addDrvm({
    id: name,
    name,
    tenant: 't',
    weight: 1,
    isExclusive: request.exclusive,
    requires: [...(request.require ?? [])],
    tolerates: [],
    avoids: [],
    replicasApart: 'node',
  });
  for (const { nodeId, amounts } of slices) {
    const zero = { cpuMilli: 0, memoryMiB: 0, diskGiB: 0, networkMbps: 0 };
    state.addSlice({
      drvmId: name,
      nodeId,
      guaranteed: { ...amounts },
      ceiling: { ...amounts, cpuMilli: amounts.cpuMilli * 2 },
      held: { ...amounts },
      used: { ...zero },
      wanted: { ...zero, cpuMilli: amounts.cpuMilli + 100 },
      idleSinceMs: null,
      movedAtMs: null,
    });
  }
}

function resize(state: ClusterState, drvmId: string, total: ResourceAmounts): void {
  const snapshot = state.snapshot();
  const own = snapshot.slices.filter((slice) => slice.drvmId === drvmId);
  const slices: ResizableSlice[] = own.map(({ nodeId, guaranteed, ceiling, used }, n) => ({
    nodeId,
    node: nodeId,
    guaranteed,
    ceiling,
    inUse: { cpuMilli: 0, memoryMiB: used.memoryMiB, diskGiB: used.diskGiB, networkMbps: 0 },
    processes: 0,
    isHome: n === 0,
  }));
  const nodes = nodesOf(snapshot).map(({ id, name, free, capacity }) => ({
    id,
    name,
    free,
    capacity: capacity ?? free,
    closed: null,
  }));
  const plan = planResize({ total, ceiling: {}, nodes: null }, slices, nodes);
  for (const { nodeId, after } of plan.slices) {
    if (after === null) throw new Error('nobody asked for a slice to go');
    const slice = state.sliceOf(drvmId, nodeId);
    Object.assign(slice, {
      guaranteed: after.guaranteed,
      ceiling: after.ceiling,
      held: { ...after.guaranteed },
    });
  }
  const held = state.snapshot().slices.filter((slice) => slice.drvmId === drvmId);
  for (const c of RESOURCE_CLASSES)
    expect(held.reduce((sum, { guaranteed }) => sum + guaranteed[c], 0)).toBe(total[c]);
}

function carryOut(state: ClusterState, step: Step, name: string): void {
  const snapshot = state.snapshot();
  const input = { snapshot, policy, seed: 1 };
  const nodeId = 'node' in step ? (snapshot.nodes[step.node % snapshot.nodes.length]?.id ?? '') : '';
  const drvmId =
    'drvm' in step ? snapshot.drvms[step.drvm % Math.max(1, snapshot.drvms.length)]?.id : undefined;
  switch (step.kind) {
    case 'create':
      create(state, name, step.request, null, 0);
      break;
    case 'candidate':
      create(state, name, step.request, step.nth, step.seed);
      break;
    case 'delete':
      if (drvmId !== undefined) state.removeDrvm(drvmId);
      break;
    case 'resize':
      if (snapshot.slices.some((slice) => slice.drvmId === drvmId)) resize(state, drvmId ?? '', step.total);
      break;
    case 'drain':
      for (const each of planDrain(input, nodeId).steps) state.apply(each);
      break;
    case 'lose':
      Object.assign(state.nodes.get(nodeId) ?? {}, { state: 'down', isFenced: true });
      for (const each of planEvacuation({ ...input, snapshot: state.snapshot() }, nodeId).steps)
        state.apply(each);
      break;
    default: {
      const planners = {
        balance: planBalance,
        consolidate: planConsolidation,
        reallocate: planReallocation,
        wake: planWake,
      };
      for (const each of planners[step.kind](input).steps) state.apply(each);
    }
  }
}

describe('every sequence of requests', () => {
  it('leaves a valid cluster after each of them, or is refused with a reason and changes nothing', () => {
    const anyCluster = fc.record({
      seed: fc.nat(),
      nodes: fc.integer({ min: 1, max: 8 }),
      drvms: fc.integer({ min: 0, max: 6 }),
      heat: fc.double({ min: 0, max: 1.5, noNaN: true }),
      hasOff: fc.boolean(),
    });
    fc.assert(
      fc.property(anyCluster, fc.array(anyStep, { minLength: 1, maxLength: STEPS_MAX }), (shape, steps) => {
        const cluster = randomCluster(shape);
        // Taints are written otherwise by placement; they have tests of their own.
        for (const node of cluster.nodes) node.taints = [];
        const state = new ClusterState(cluster);
        for (const [nth, step] of steps.entries()) {
          const before = JSON.stringify(state.snapshot());
          try {
            carryOut(state, step, `new${nth}`);
          } catch (error) {
            if (!(error instanceof DrvsError) || !REFUSALS.has(error.code)) throw error;
            expect(error.message).not.toBe('');
            if (step.kind !== 'lose') expect(JSON.stringify(state.snapshot())).toBe(before);
          }
          // A node that is lost keeps what could not be evacuated: it runs nothing, and is off to nobody.
          expect(violationsOf(state.snapshot())).toEqual([]);
        }
      }),
      { numRuns: RUNS },
    );
  });
});
