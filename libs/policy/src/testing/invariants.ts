import { RESOURCE_CLASSES } from '@drvs/contracts';
import type { ClusterSnapshot } from '../snapshot/cluster-snapshot.js';

/**
 * Everything that must never be so in a cluster, written without the ledger that the planners use: over-allocation, a
 * broken guarantee, DRVMs or replicas together that may not be, slices on nodes that do not run.
 */
export function violationsOf(snapshot: ClusterSnapshot): string[] {
  const found: string[] = [];
  const nodes = new Map(snapshot.nodes.map((node) => [node.id, node]));
  const drvms = new Map(snapshot.drvms.map((drvm) => [drvm.id, drvm]));
  for (const node of snapshot.nodes) {
    const here = snapshot.slices.filter(({ nodeId }) => nodeId === node.id);
    if (node.state === 'off' && here.length > 0) found.push(`${node.id} is off and has slices`);
    for (const name of RESOURCE_CLASSES) {
      const held = here.reduce((sum, slice) => sum + slice.held[name], 0);
      const capacity = Math.floor((node.total[name] - node.reserved[name]) * node.ratio[name]);
      if (held > Math.max(0, capacity)) found.push(`${node.id} gives too much ${name}`);
    }
    for (const a of here) {
      const drvm = drvms.get(a.drvmId);
      if (!drvm?.requires.every((trait) => node.traits.includes(trait)))
        found.push(`${a.drvmId} lacks a trait`);
      if (!node.taints.every((taint) => drvm?.tolerates.includes(taint)))
        found.push(`${a.drvmId} meets a taint`);
      for (const b of here) {
        if (a === b) continue;
        if (a.drvmId === b.drvmId) found.push(`${a.drvmId} has two slices on ${node.id}`);
        if (drvm?.isExclusive || drvm?.avoids.includes(b.drvmId)) found.push(`${a.drvmId} meets ${b.drvmId}`);
      }
    }
  }
  for (const { drvmId, nodeId, guaranteed, held, ceiling, used } of snapshot.slices) {
    for (const name of RESOURCE_CLASSES) {
      if (held[name] < guaranteed[name]) found.push(`${drvmId}@${nodeId} holds less ${name} than guaranteed`);
      if (held[name] > ceiling[name]) found.push(`${drvmId}@${nodeId} holds more ${name} than its ceiling`);
    }
    if (used.memoryMiB > held.memoryMiB) found.push(`${drvmId}@${nodeId} uses more memory than it holds`);
  }
  const replicas = new Set<string>();
  for (const { drvmId, nodeId, replicaGroup } of snapshot.processes) {
    if (!snapshot.slices.some((slice) => slice.drvmId === drvmId && slice.nodeId === nodeId))
      found.push(`a process of ${drvmId} is on ${nodeId}, where its DRVM is not`);
    if (replicaGroup === null) continue;
    const apart = drvms.get(drvmId)?.replicasApart === 'domain' ? nodes.get(nodeId)?.domain : nodeId;
    const key = `${drvmId}/${replicaGroup}/${apart}`;
    if (replicas.has(key)) found.push(`two replicas of ${key}`);
    replicas.add(key);
  }
  return found;
}

/** What is held on each node above its capacity, where hardware was lost: no step may make it more. */
export function excessOf(snapshot: ClusterSnapshot): Map<string, number> {
  const excess = new Map<string, number>();
  for (const node of snapshot.nodes) {
    for (const name of RESOURCE_CLASSES) {
      const held = snapshot.slices.reduce(
        (sum, slice) => sum + (slice.nodeId === node.id ? slice.held[name] : 0),
        0,
      );
      const capacity = Math.max(0, Math.floor((node.total[name] - node.reserved[name]) * node.ratio[name]));
      excess.set(`${node.id} ${name}`, Math.max(0, held - capacity));
    }
  }
  return excess;
}

/** Sums that no plan may change. */
export function totalsOf(snapshot: ClusterSnapshot): unknown {
  const guaranteed = new Map<string, number[]>();
  for (const slice of snapshot.slices) {
    const sums = guaranteed.get(slice.drvmId) ?? RESOURCE_CLASSES.map(() => 0);
    guaranteed.set(
      slice.drvmId,
      RESOURCE_CLASSES.map((name, c) => sums[c] + slice.guaranteed[name]),
    );
  }
  const processes = snapshot.processes
    .map(({ drvmId, pid, imageBytes }) => `${drvmId}/${pid}/${imageBytes}`)
    .sort();
  return { guaranteed: [...guaranteed].sort(([a], [b]) => a.localeCompare(b)), processes };
}
