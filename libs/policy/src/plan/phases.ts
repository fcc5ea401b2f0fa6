import type { ClusterSnapshot } from '../snapshot/cluster-snapshot.js';
import type { PlanStep } from './plan.js';

/** How much of a plan may be under way at once. */
export interface PhaseLimits {
  /** Slices that come to or leave one node. */
  slicesPerNode: number;
  /** Processes that come to or leave one node. */
  processesPerNode: number;
}

/**
 * Groups the steps of a plan into phases: those of one phase may run beside each other, and the next begins when all
 * have ended. Gives the phase of each step, from 0.
 *
 * Two steps may change places when neither takes what the other gives: one that only takes room of a node leaves no
 * less to whoever takes of it after than the plan reckoned, in any order, since in sum it sufficed; the same for two that
 * only give. So steps are kept apart when
 * - one frees room on a node and the other needs room there, also where that room is a place free of others (exclusive use);
 * - one closes, opens or switches a node that the other touches;
 * - both change slices of the same DRVM, or one does and the other moves a process of it;
 * - both move processes of one DRVM, and one comes to where the other leaves (memory, and the place of a replica).
 * Then every order of the steps of a phase, finished or half done, is an order that the plan could have had: the cluster
 * is valid after each step in any interleaving.
 */
export function phasesOfSteps(
  snapshot: Pick<ClusterSnapshot, 'nodes' | 'drvms'>,
  steps: readonly PlanStep[],
  limits: PhaseLimits,
): number[] {
  const domainOf = new Map(snapshot.nodes.map(({ id, domain }) => [id, domain]));
  const byDomain = new Set(
    snapshot.drvms.flatMap(({ id, replicasApart }) => (replicasApart === 'domain' ? [id] : [])),
  );
  const place = (drvm: string, node: string): string =>
    `${drvm}/${byDomain.has(drvm) ? `domain ${domainOf.get(node)}` : node}`;
  const last = new LastPhases();
  const counts = new Map<string, number>();
  return steps.map((step) => {
    const { before, leaves, nodes, most } = footprintOf(step, place, limits);
    let phase = last.after(before);
    const full = (): boolean => nodes.some((node) => (counts.get(`${phase}/${node}`) ?? 0) >= most);
    while (full()) phase++;
    for (const node of nodes) counts.set(`${phase}/${node}`, (counts.get(`${phase}/${node}`) ?? 0) + 1);
    last.note(leaves, phase);
    return phase;
  });
}

interface Footprint {
  /** Marks of earlier steps after whose phase this one comes. */
  before: string[];
  /** Marks that it leaves itself. */
  leaves: string[];
  /** Nodes on which it counts against the limit `most`, by kind of step. */
  nodes: string[];
  most: number;
}

const UNLIMITED = Number.POSITIVE_INFINITY;

function footprintOf(
  step: PlanStep,
  place: (drvm: string, node: string) => string,
  { slicesPerNode, processesPerNode }: PhaseLimits,
): Footprint {
  switch (step.action) {
    case 'cordon':
    case 'uncordon':
    case 'power-off':
    case 'power-on':
      return {
        before: [`touch ${step.node}`, `switch ${step.node}`],
        leaves: [`switch ${step.node}`],
        nodes: [],
        most: UNLIMITED,
      };
    case 'migrate-process': {
      const { drvm, pid, from, to } = step;
      return {
        before: [
          `switch ${from}`,
          `switch ${to}`,
          `slices ${drvm}`,
          `process ${drvm}/${pid}`,
          `comes ${place(drvm, from)}`,
          `leaves ${place(drvm, to)}`,
        ],
        leaves: [
          `touch ${from}`,
          `touch ${to}`,
          `processes ${drvm}`,
          `process ${drvm}/${pid}`,
          `leaves ${place(drvm, from)}`,
          `comes ${place(drvm, to)}`,
        ],
        nodes: [`process ${from}`, `process ${to}`],
        most: Math.max(1, processesPerNode),
      };
    }
    case 'move-slice':
    case 'rebuild-slice': {
      const { drvm, from, to } = step;
      return sliceFootprint(drvm, [from], [to], slicesPerNode);
    }
    case 'resize-slice': {
      const { drvm, node, before, after } = step;
      const changes = Object.keys(before).map(
        (name) => after[name as keyof typeof after] - before[name as keyof typeof before],
      );
      const gives = changes.some((change) => change < 0) ? [node] : [];
      const takes = changes.some((change) => change > 0) ? [node] : [];
      return sliceFootprint(drvm, gives, takes, UNLIMITED);
    }
  }
}

function sliceFootprint(
  drvm: string,
  gives: readonly string[],
  takes: readonly string[],
  most: number,
): Footprint {
  const touched = [...new Set([...gives, ...takes])];
  return {
    before: [
      `slices ${drvm}`,
      `processes ${drvm}`,
      ...touched.map((node) => `switch ${node}`),
      ...gives.map((node) => `take ${node}`),
      ...takes.map((node) => `give ${node}`),
    ],
    leaves: [
      `slices ${drvm}`,
      ...touched.map((node) => `touch ${node}`),
      ...gives.map((node) => `give ${node}`),
      ...takes.map((node) => `take ${node}`),
    ],
    nodes: most === UNLIMITED ? [] : touched.map((node) => `slice ${node}`),
    most,
  };
}

/** The last phase in which a step left each mark. */
class LastPhases {
  readonly #phases = new Map<string, number>();

  after(marks: readonly string[]): number {
    let phase = 0;
    for (const mark of marks) phase = Math.max(phase, (this.#phases.get(mark) ?? -1) + 1);
    return phase;
  }

  note(marks: readonly string[], phase: number): void {
    for (const mark of marks) this.#phases.set(mark, Math.max(phase, this.#phases.get(mark) ?? -1));
  }
}
