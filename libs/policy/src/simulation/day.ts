import { DrvsError } from '@drvs/contracts';
import type { PlannerPolicy } from '../planner-policy.js';
import { CONTENDERS, type Contender, type ContenderName } from './contenders.js';
import { DayRun } from './day-run.js';
import { dayLaws } from './laws.js';
import type { DayResult } from './meter.js';
import { traceLaws } from './trace/trace-laws.js';
import type { Trace } from './trace/trace-reader.js';

export interface DayOptions {
  nodes: number;
  hours: number;
  seed: number;
  policy: PlannerPolicy;
  /** All, when left out. */
  contenders?: readonly ContenderName[];
  /** What runs, in place of the synthetic laws; nodes and their failures stay those of the laws. */
  trace?: Trace;
}

export interface DayReport {
  seed: number;
  nodes: number;
  virtualSeconds: number;
  drvms: { residents: number; batches: number };
  failures: number;
  /** Where the load came from a trace. */
  trace?: { format: string; lines: number; unused: number };
  /** Steps of plans that were carried out, of all contenders. */
  events: number;
  /** Broken invariants: anything here is a defect. */
  violations: string[];
  contenders: ({ name: ContenderName } & DayResult)[];
}

export const NODES_MAX = 20_000;
export const HOURS_MAX = 24 * 7;

/**
 * Lets each contender manage the same day of the same cluster, in virtual time, and compares. The same options give
 * the same report.
 * @throws DrvsError InvalidInput for a cluster or a time that is out of bounds
 */
export function simulateDay(options: DayOptions): DayReport {
  const { nodes, hours, seed, policy } = options;
  requireWhole('nodes', nodes, 1, NODES_MAX);
  requireWhole('hours', hours, 1, HOURS_MAX);
  requireWhole('seed', seed, 0, 2 ** 32 - 1);
  const { trace } = options;
  const laws = trace ? traceLaws(nodes, hours, seed, trace.jobs) : dayLaws(nodes, hours, seed);
  const wanted = options.contenders ?? CONTENDERS.map(({ name }) => name);
  const violations: string[] = [];
  const results = wanted.map((name) => {
    const contender = CONTENDERS.find((candidate) => candidate.name === name) as Contender;
    const run = new DayRun(laws, contender, { hours, seed, policy });
    const result = run.run();
    if (result.overAllocations > 0)
      violations.push(`${name} gave more than there was ${result.overAllocations} times`);
    return { name, ...result };
  });
  return {
    seed,
    nodes,
    virtualSeconds: hours * 3600,
    drvms: { residents: laws.residents.length, batches: laws.batches.length },
    failures: laws.failures.length,
    ...(trace ? { trace: { format: trace.format, lines: trace.lines, unused: trace.unused } } : {}),
    events: results.reduce((sum, { steps }) => sum + steps, 0),
    violations,
    contenders: results,
  };
}

function requireWhole(field: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new DrvsError('InvalidInput', `${field} is a whole number from ${least} to ${most}, not ${value}`, {
    field,
  });
}
