import type { ClusterFieldsFragment } from '@/gen/graphql';
import { byName } from '@/parts/by-name';

/** The DRVMs that hold something of these nodes, by name. */
export function drvmsOf(
  nodes: readonly ClusterFieldsFragment[],
): { id: string; name: string; tenant: string }[] {
  const drvms = new Map<string, { id: string; name: string; tenant: string }>();
  for (const node of nodes) {
    for (const { drvmId, drvm, tenant } of node.slices) drvms.set(drvmId, { id: drvmId, name: drvm, tenant });
  }
  return [...drvms.values()].sort((a, b) => byName(a.name, b.name));
}
