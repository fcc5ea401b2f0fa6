import { movesLeft } from '../plan/churn-budget.js';
import { completePlan, type PlanInput } from '../plan/complete-plan.js';
import type { Plan, PlanStep } from '../plan/plan.js';
import { Rejections } from '../plan/rejections.js';
import { rankBySeed } from '../plan/seed.js';
import { Ledger } from '../snapshot/ledger.js';
import { mendRules } from './mend.js';
import { moveProcesses } from './processes.js';
import { moveSlices } from './slices.js';

/** What both halves of balancing work on. */
export interface Balancing {
  ledger: Ledger;
  input: PlanInput;
  rank: Uint32Array;
  /** 1 for slices that moved in this plan, or with a process that came or went: they stay where they are. */
  movedSlices: Uint8Array;
  movedProcesses: Set<number>;
  budget: { moves: number };
  rejections: Rejections;
}

/**
 * Moves load from where it waits to where it does not. First processes between the slices of one DRVM, which sends
 * the fewest bytes; then slices between nodes. Each move must lower the number of waiting processes (`strainOf`) by
 * enough to earn its cost within the horizon, so that nothing moves for nothing and no move can be worth taking
 * back. What is balanced stays alone: equal load on all nodes is no aim. What breaks a rule is mended first.
 * `slices` false moves processes only.
 */
export function planBalance(input: PlanInput, { slices = true }: { slices?: boolean } = {}): Plan {
  const { snapshot, policy, seed } = input;
  const balancing: Balancing = {
    ledger: new Ledger(snapshot),
    input,
    rank: rankBySeed(snapshot.nodes.length, seed),
    movedSlices: new Uint8Array(snapshot.slices.length),
    movedProcesses: new Set(),
    budget: { moves: movesLeft(snapshot, policy) },
    rejections: new Rejections(),
  };
  const steps: PlanStep[] = [];
  for (let before = -1; steps.length > before; ) {
    // A slice that left makes room for processes, and the other way round: until neither finds anything more.
    before = steps.length;
    balancing.rejections = new Rejections();
    if (slices) steps.push(...mendRules(balancing));
    steps.push(...moveProcesses(balancing));
    if (slices) steps.push(...moveSlices(balancing));
  }
  return completePlan('balance', input, steps, balancing.rejections);
}
