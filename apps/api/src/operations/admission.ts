/**
 * Which of the waiting operations get a place. Pure.
 *
 * Places are counted over the cluster, by tenant and by node. Whoever has the fewest under way comes first, and of one
 * tenant the oldest: a department that asks for a thousand things at once does not keep another from its one. An
 * operation that must wait for a node holds its place in line there: those that come after it and need less do not pass
 * it for ever.
 */
export interface Waiting {
  id: string;
  /** Null: of the cluster itself. */
  tenantId: string | null;
  nodeIds: readonly string[];
  /** Takes no place: it ends something, or it must not wait behind what it is to put in order. */
  isUrgent: boolean;
}

export type UnderWay = Pick<Waiting, 'tenantId' | 'nodeIds'>;

export interface Places {
  atOnce: number;
  perTenant: number;
  perNode: number;
}

/** @param waiting the oldest first. @returns the ids of those to begin, in the order in which they got their places */
export function admit(waiting: readonly Waiting[], underWay: readonly UnderWay[], places: Places): string[] {
  const urgent = waiting.filter(({ isUrgent }) => isUrgent).map(({ id }) => id);
  const byTenant = new Map<string | null, number>();
  const byNode = new Map<string, number>();
  for (const { tenantId, nodeIds } of underWay) {
    add(byTenant, tenantId);
    for (const nodeId of nodeIds) add(byNode, nodeId);
  }
  const lines = Map.groupBy(
    waiting.filter(({ isUrgent }) => !isUrgent),
    ({ tenantId }) => tenantId,
  );
  const admitted: string[] = [];
  let free = places.atOnce - underWay.length;
  while (free > 0) {
    const tenantId = next(lines, byTenant);
    if (tenantId === undefined) break;
    const line = lines.get(tenantId)!;
    const first = line.shift()!;
    // The cluster's own work is not held to what one department may have at once.
    if (tenantId !== null && (byTenant.get(tenantId) ?? 0) >= places.perTenant) {
      lines.delete(tenantId);
      continue;
    }
    const fits = first.nodeIds.every((nodeId) => (byNode.get(nodeId) ?? 0) < places.perNode);
    for (const nodeId of first.nodeIds) add(byNode, nodeId);
    if (!fits) continue;
    add(byTenant, tenantId);
    admitted.push(first.id);
    free--;
  }
  return [...urgent, ...admitted];
}

/** The tenant with the fewest under way; of equals the one that has waited longest. */
function next(
  lines: ReadonlyMap<string | null, readonly Waiting[]>,
  byTenant: ReadonlyMap<string | null, number>,
): string | null | undefined {
  let best: { tenantId: string | null; count: number; id: string } | undefined;
  for (const [tenantId, [first]] of lines) {
    if (!first) continue;
    const count = byTenant.get(tenantId) ?? 0;
    if (!best || count < best.count || (count === best.count && first.id < best.id))
      best = { tenantId, count, id: first.id };
  }
  return best?.tenantId;
}

function add<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
