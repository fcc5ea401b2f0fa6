import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  type ClusterSnapshot,
  ClusterState,
  type Departure,
  type Plan,
  type PlanInput,
  planDrain,
  plannerPolicy,
  planRestore,
  planUndo,
} from '../index.js';
import type { PlanStep } from '../plan/plan.js';
import { totalsOf, violationsOf } from '../testing/invariants.js';
import { randomCluster } from '../testing/random-cluster.js';

const RUNS = Number(process.env.DRVS_PROPERTY_RUNS ?? 60);
const policy = plannerPolicy();

function carryOut(snapshot: ClusterSnapshot, steps: readonly PlanStep[]): ClusterSnapshot {
  const state = new ClusterState(snapshot);
  const before = violationsOf(snapshot);
  for (const step of steps) {
    state.apply(step);
    expect(violationsOf(state.snapshot()).filter((violation) => !before.includes(violation))).toEqual([]);
  }
  expect(totalsOf(state.snapshot())).toEqual(totalsOf(snapshot));
  return state.snapshot();
}

const departuresOf = ({ steps }: Plan): Departure[] =>
  steps.flatMap((step) => (step.action === 'move-slice' ? [step] : []));

const anyDrain = fc
  .record({ seed: fc.nat(), nodes: fc.integer({ min: 2, max: 8 }), drvms: fc.integer({ min: 1, max: 12 }) })
  .map(({ seed, nodes, drvms }) => {
    const snapshot = randomCluster({ seed, nodes, drvms, heat: 0.5, hasOff: false });
    const node = snapshot.nodes.find(({ state, isCordoned }) => state === 'up' && !isCordoned);
    return { snapshot, node: node?.id ?? null };
  })
  .filter((drain): drain is { snapshot: ClusterSnapshot; node: string } => drain.node !== null);

/** What each DRVM is guaranteed where. */
const guarantees = ({ slices }: ClusterSnapshot): string[] =>
  slices.map(({ drvmId, nodeId, guaranteed }) => `${drvmId}@${nodeId} ${JSON.stringify(guaranteed)}`).sort();

describe('a node after its maintenance', () => {
  it('gets back what a drain moved off it, each step valid, and what cannot come is named', () => {
    let whole = 0;
    fc.assert(
      fc.property(anyDrain, ({ snapshot, node }) => {
        const input: PlanInput = { snapshot, policy, seed: 1 };
        const drain = planDrain(input, node);
        const drained = carryOut(snapshot, drain.steps);
        const restore = planRestore({ ...input, snapshot: drained }, node, departuresOf(drain), 'return');
        expect(
          JSON.stringify(planRestore({ ...input, snapshot: drained }, node, departuresOf(drain), 'return')),
        ).toBe(JSON.stringify(restore));
        const back = carryOut(drained, restore.steps);
        expect(back.nodes.find(({ id }) => id === node)?.isCordoned).toBe(false);
        const came = restore.steps.filter(({ action }) => action === 'move-slice').length;
        expect(came + restore.rejected.length).toBe(departuresOf(drain).length);
        if (restore.rejected.length === 0 && !departuresOf(drain).some(({ merges }) => merges)) {
          expect(guarantees(back)).toEqual(guarantees(snapshot));
          whole++;
        }
      }),
      { numRuns: RUNS },
    );
    expect(whole).toBeGreaterThan(0);
  });

  it('is only opened when what left is to stay, and is switched on first where it is off', () => {
    const snapshot = randomCluster({ seed: 3, nodes: 3, drvms: 3, heat: 0.2, hasOff: false });
    const closed = {
      ...snapshot,
      slices: snapshot.slices.filter(({ nodeId }) => nodeId !== 'n1'),
      processes: snapshot.processes.filter(({ nodeId }) => nodeId !== 'n1'),
      nodes: snapshot.nodes.map((node) => (node.id === 'n1' ? { ...node, isCordoned: true } : node)),
    };
    const input = { snapshot: closed, policy, seed: 1 };
    expect(planRestore(input, 'n1', [], 'stay').steps.map(({ action }) => action)).toEqual(['uncordon']);
    const off = {
      ...closed,
      nodes: closed.nodes.map((node) =>
        node.id === 'n1' ? { ...node, state: 'off' as const, isCordoned: false } : node,
      ),
    };
    const plan = planRestore({ ...input, snapshot: off }, 'n1', [], 'rebalance');
    expect(plan.steps[0]).toMatchObject({ action: 'power-on', node: 'n1' });
    const down = {
      ...closed,
      nodes: closed.nodes.map((node) => (node.id === 'n1' ? { ...node, state: 'down' as const } : node)),
    };
    expect(() => planRestore({ ...input, snapshot: down }, 'n1', [], 'stay')).toThrow('down');
    expect(() => planRestore(input, 'nowhere', [], 'stay')).toThrow('no node');
  });

  it('leaves alone what was deleted or has gone elsewhere since', () => {
    const snapshot = randomCluster({ seed: 3, nodes: 3, drvms: 3, heat: 0.2, hasOff: false });
    const amounts = { cpuMilli: 100, memoryMiB: 256, diskGiB: 0, networkMbps: 0 };
    const departure = { from: 'n1', guaranteed: amounts, ceiling: amounts, pids: [], merges: false };
    const open = { ...snapshot, nodes: snapshot.nodes.map((node) => ({ ...node, isCordoned: false })) };
    const plan = planRestore(
      { snapshot: open, policy, seed: 1 },
      'n1',
      [
        { ...departure, drvm: 'deleted', to: 'n0' },
        { ...departure, drvm: 'd0', to: 'gone' },
      ],
      'return',
    );
    expect(plan.steps).toEqual([]);
    expect(plan.rejected.map(({ rule }) => rule)).toEqual(['moved-on', 'moved-on']);
  });
});

describe('the way back from a plan', () => {
  it('is valid after each step and, where nothing merged, leads to the cluster as it was', () => {
    let same = 0;
    fc.assert(
      fc.property(anyDrain, ({ snapshot, node }) => {
        const input: PlanInput = { snapshot, policy, seed: 1 };
        const drain = planDrain(input, node);
        const drained = carryOut(snapshot, drain.steps);
        const undo = planUndo({ ...input, snapshot: drained }, drain.steps);
        const back = carryOut(drained, undo.steps);
        if (undo.rejected.length > 0 || departuresOf(drain).some(({ merges }) => merges)) return;
        expect(guarantees(back)).toEqual(guarantees(snapshot));
        expect(back.nodes.map(({ isCordoned }) => isCordoned)).toEqual(
          snapshot.nodes.map(({ isCordoned }) => isCordoned),
        );
        same++;
      }),
      { numRuns: RUNS },
    );
    expect(same).toBeGreaterThan(0);
  });
});
