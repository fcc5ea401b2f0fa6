import type { PlanStep } from '../plan/plan.js';
import { moveSlice, sliceMoveCost } from '../plan/slice-step.js';
import type { Ledger } from '../snapshot/ledger.js';
import { sliceName } from '../snapshot/order.js';
import { explainNoTarget, findTarget, type TargetWish } from '../snapshot/target.js';
import type { Balancing } from './balance.js';

/**
 * Brings slices that break a rule of their DRVM to nodes that keep it. Rules may change after slices have come, and so
 * may nodes and neighbours. Such a move earns no load and need not; but it makes no node hot, takes nothing from anybody
 * and counts as any other. Of two that are to be apart the one that costs less moves.
 */
export function mendRules({
  ledger,
  input,
  rank,
  movedSlices,
  movedProcesses,
  budget,
  rejections,
}: Balancing) {
  const { snapshot, policy } = input;
  const steps: PlanStep[] = [];
  const breaking = [...snapshot.slices.keys()].filter((slice) => brokenBy(ledger, slice) !== null);
  if (breaking.length === 0) return steps;
  const costs = new Map(
    breaking.map((slice) => [slice, sliceMoveCost(ledger, slice, policy.migration).bytes]),
  );
  breaking.sort((a, b) => costs.get(a)! - costs.get(b)! || a - b);
  for (const slice of breaking) {
    // The other of a pair may have moved in between.
    const broken = brokenBy(ledger, slice);
    if (broken === null || movedSlices[slice] === 1) continue;
    const name = sliceName(ledger, slice);
    const stays = ledger.whyItStays(slice);
    if (stays !== null) {
      rejections.add(name, stays, `it breaks a rule and stays: ${broken}`);
      continue;
    }
    const wish: TargetWish = {
      taste: 'coolest',
      utilisationMax: policy.hotUtilisation,
      room: 'free',
      isGentle: true,
      except: nodesOf(ledger, ledger.sliceDrvm[slice]),
      rank,
    };
    const target = findTarget(ledger, slice, wish);
    if (target < 0) {
      const { rule, words } = explainNoTarget(ledger, slice, wish);
      rejections.add(name, rule, `it breaks a rule and stays: ${broken}; ${words}`);
      continue;
    }
    if (budget.moves === 0) {
      rejections.add(name, 'churn-budget');
      return steps;
    }
    budget.moves--;
    const { name: node } = ledger.nodes[ledger.sliceNode[slice]];
    const reason = `${ledger.drvms[ledger.sliceDrvm[slice]].name} breaks a rule on ${node} (${broken}), and none on ${ledger.nodes[target].name}`;
    steps.push(
      moveSlice(ledger, slice, target, policy.migration, {
        reason,
        why: { code: 'rule-broken', data: { node } },
      }),
    );
    movedSlices[slice] = 1;
    for (const process of ledger.processesIn[slice]) movedProcesses.add(process);
  }
  return steps;
}

/** Which rule a slice breaks where it is, in words; null when it breaks none. */
function brokenBy(ledger: Ledger, slice: number): string | null {
  const node = ledger.sliceNode[slice];
  const drvm = ledger.sliceDrvm[slice];
  if (ledger.eligibleFor(drvm)[node] === 0) return 'traits, taints or the DRVMs there do not suit it';
  if (!ledger.isKeptOut(slice, node)) return null;
  const others = ledger.slicesOn[node].filter((other) => ledger.sliceDrvm[other] !== drvm);
  const names = [...new Set(others.map((other) => ledger.drvms[ledger.sliceDrvm[other]].name))];
  return `it meets ${names.length === 1 ? names[0] : 'a DRVM that it is to be apart from'}`;
}

/** 1 for the nodes on which a DRVM has a slice. */
function nodesOf(ledger: Ledger, drvm: number): Uint8Array {
  return Uint8Array.from(ledger.slicesOn, (slices) =>
    slices.some((slice) => ledger.sliceDrvm[slice] === drvm) ? 1 : 0,
  );
}
