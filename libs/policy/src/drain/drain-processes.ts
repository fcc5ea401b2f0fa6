import { completePlan, type PlanInput } from '../plan/complete-plan.js';
import { migrationCost } from '../plan/migration-cost.js';
import type { Plan, PlanStep } from '../plan/plan.js';
import { Rejections } from '../plan/rejections.js';
import { CLASS_COUNT, CPU, MEMORY } from '../snapshot/amounts.js';
import { Ledger } from '../snapshot/ledger.js';
import { drainableNode } from './drainable-node.js';

const MIB = 1 << 20;

/**
 * Empties a node of processes and of nothing else: each goes to another slice of its DRVM, the largest first, to where
 * the CPU will be used least. What a slice is given stays as it is. For clusters in which slices cannot move.
 * @throws DrvsError NotFound, or StateConflict when the node is not up
 */
export function planProcessDrain(input: PlanInput, nodeId: string): Plan {
  const { snapshot, policy } = input;
  const { node, cordon, because } = drainableNode(snapshot, nodeId);
  const ledger = new Ledger(snapshot);
  ledger.isOpen[node] = 0;
  const steps: PlanStep[] = [...cordon];
  const rejections = new Rejections();
  for (const source of [...ledger.slicesOn[node]]) {
    const inside = [...ledger.processesIn[source]].sort(
      (a, b) => snapshot.processes[b].imageBytes - snapshot.processes[a].imageBytes || a - b,
    );
    for (const process of inside) {
      const { drvmId, pid, imageBytes, cpuMilli, isPinned } = snapshot.processes[process];
      const what = `${ledger.drvms[ledger.sliceDrvm[source]].name}/${pid}`;
      if (isPinned) {
        rejections.add(what, 'pinned-process');
        continue;
      }
      const target = targetFor(ledger, process, source, rejections, what);
      if (target < 0) continue;
      const cost = migrationCost([imageBytes], 0, cpuMilli, policy.migration);
      const to = ledger.nodes[ledger.sliceNode[target]];
      ledger.moveProcess(process, source, target);
      steps.push({
        action: 'migrate-process',
        drvm: drvmId,
        pid,
        from: nodeId,
        to: to.id,
        bytes: cost.bytes,
        pauseMs: cost.pauseMs,
        seconds: cost.seconds,
        reason: `${because.reason}; ${to.name} is the least busy node of its DRVM with room for it`,
        why: because.why,
      });
    }
  }
  return completePlan('drain', input, steps, rejections);
}

/** The slice of the same DRVM that will be used least with the process in it; -1 when there is none, and why. */
function targetFor(
  ledger: Ledger,
  process: number,
  source: number,
  rejections: Rejections,
  what: string,
): number {
  const { imageBytes, cpuMilli } = ledger.snapshot.processes[process];
  const memoryMiB = Math.ceil(imageBytes / MIB);
  const drvm = ledger.sliceDrvm[source];
  const others = ledger.slicesOn
    .flatMap((slices, node) => (ledger.isOpen[node] === 1 ? slices : []))
    .filter((slice) => ledger.sliceDrvm[slice] === drvm && slice !== source);
  if (others.length === 0) {
    rejections.add(what, 'no-other-slice');
    return -1;
  }
  const apart = others.filter((slice) =>
    ledger.mayReplicaMove(process, ledger.sliceNode[source], ledger.sliceNode[slice]),
  );
  const roomy = apart.filter(
    (slice) => ledger.sliceUsedMiB[slice] + memoryMiB <= ledger.sliceHeld[slice * CLASS_COUNT + MEMORY],
  );
  if (roomy.length === 0) {
    if (apart.length === 0) rejections.add(what, 'replicas-together');
    else rejections.add(what, 'no-room', `${memoryMiB} MiB of memory needed`, { memoryMiB });
    return -1;
  }
  const busy = (slice: number): number => {
    const at = slice * CLASS_COUNT + CPU;
    return (ledger.sliceLoad[at] + cpuMilli) / Math.max(1, ledger.sliceHeld[at]);
  };
  return roomy.reduce((best, slice) => (busy(slice) < busy(best) ? slice : best));
}
