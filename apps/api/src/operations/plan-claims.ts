import type { ClusterPlanStep } from '@drvs/contracts';

/**
 * What a plan that is being carried out counts on nobody else changing: the DRVMs of which it moves something; the
 * nodes that it closes, opens, switches, or of which it gives and takes room; and those that its processes come to or
 * leave, which must stay open but may be shared with other plans that move processes of other DRVMs.
 */
export interface PlanClaims {
  /** By id. */
  drvms: ReadonlySet<string>;
  /** By name. */
  nodes: ReadonlySet<string>;
  visits: ReadonlySet<string>;
}

/** @param node that the plan is about, also when no step names it */
export function claimsOf(steps: readonly ClusterPlanStep[], node: string | null): PlanClaims {
  const drvms = new Set<string>();
  const nodes = new Set<string>(node === null ? [] : [node]);
  const visits = new Set<string>();
  for (const step of steps) {
    if ('drvmId' in step) drvms.add(step.drvmId);
    if ('node' in step) nodes.add(step.node);
    if ('from' in step) {
      const into = step.action === 'migrate-process' ? visits : nodes;
      into.add(step.from);
      into.add(step.to);
    }
  }
  return { drvms, nodes, visits };
}

/** Why two plans cannot be carried out at the same time: what both claim; nulls where there is nothing. */
export function clashOf(a: PlanClaims, b: PlanClaims): { drvmId: string } | { node: string } | null {
  const drvmId = common(a.drvms, b.drvms);
  if (drvmId !== null) return { drvmId };
  const node = common(a.nodes, b.nodes) ?? common(a.nodes, b.visits) ?? common(a.visits, b.nodes);
  return node === null ? null : { node };
}

function common(a: ReadonlySet<string>, b: ReadonlySet<string>): string | null {
  for (const name of a) if (b.has(name)) return name;
  return null;
}
