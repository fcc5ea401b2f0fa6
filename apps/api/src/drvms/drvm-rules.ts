import type { DrvmRulesView } from '@drvs/contracts';
import { brokenTerms, type NodeSnapshot } from '@drvs/policy';
import { z } from 'zod';
import { PLACEMENT_TERMS } from './placement-terms.js';

const { affinity, antiAffinity, require, forbid, tolerate } = PLACEMENT_TERMS;

/** Each list anew; what is left out stays as it is, and an empty one takes the rule away. */
export const DrvmRulesChange = z
  .strictObject({ affinity, antiAffinity, require, forbid, tolerate })
  .refine((change) => Object.values(change).some((list) => list !== undefined), 'nothing is to be changed');
export type DrvmRulesChange = z.infer<typeof DrvmRulesChange>;

/** Of what a DRVM was asked for as, what binds its nodes by their traits and taints. */
const Terms = z.object({
  require: z.array(z.string()).catch([]).default([]),
  forbid: z.array(z.string()).catch([]).default([]),
  tolerate: z.array(z.string()).catch([]).default([]),
});
export type NodeTerms = z.infer<typeof Terms>;

export function nodeTermsOf(request: unknown): NodeTerms {
  const parsed = Terms.safeParse(request);
  return parsed.success ? parsed.data : { require: [], forbid: [], tolerate: [] };
}

/** Another DRVM that a rule names, or whose own rule names this one. */
export interface RuledOther {
  id: string;
  name: string;
  kind: 'together' | 'apart';
}

/** Which rules the slices of a DRVM break where they are. @param nodes those that hold one of its slices */
export function brokenRules(
  terms: NodeTerms,
  others: readonly RuledOther[],
  nodes: readonly Pick<NodeSnapshot, 'name' | 'traits' | 'taints' | 'drvmIds'>[],
): DrvmRulesView['broken'] {
  return nodes.flatMap((node) => {
    const broken = brokenTerms(node as NodeSnapshot, terms);
    const holds = (id: string): boolean => node.drvmIds?.includes(id) ?? false;
    return [
      ...(broken === null ? [] : [{ node: node.name, rule: broken.rule, reason: broken.reason }]),
      ...others
        .filter(({ id, kind }) => kind === 'together' && !holds(id))
        .map(({ name }) => ({ node: node.name, rule: 'not-together', reason: `${name} is not there` })),
      ...others
        .filter(({ id, kind }) => kind === 'apart' && holds(id))
        .map(({ name }) => ({ node: node.name, rule: 'not-apart', reason: `${name} is there too` })),
    ];
  });
}

export interface AffinityRule {
  drvmId: string;
  otherId: string;
  kind: string;
}

/**
 * Two DRVMs that by the rules would have to be on one node and apart, because of a DRVM or of one that is to be with
 * it: whoever is with a DRVM is also with those that it is with. Null when there are none.
 */
export function contradictionIn(rules: readonly AffinityRule[], drvmId: string): [string, string] | null {
  const isTogether = rules.filter(({ kind }) => kind === 'together');
  const withOf = Map.groupBy(isTogether, (rule) => rule.drvmId);
  const boundTo = Map.groupBy(isTogether, (rule) => rule.otherId);
  const isApart = rules.filter(({ kind }) => kind === 'apart');
  for (const from of reached(drvmId, (id) => boundTo.get(id)?.map((rule) => rule.drvmId))) {
    const together = reached(from, (id) => withOf.get(id)?.map((rule) => rule.otherId));
    const clash = isApart.find((rule) => together.has(rule.drvmId) && together.has(rule.otherId));
    if (clash) return [clash.drvmId, clash.otherId];
  }
  return null;
}

/** All that is reached from there, itself too. */
function reached(from: string, next: (id: string) => readonly string[] | undefined): Set<string> {
  const found = new Set([from]);
  // A set grows while it is walked: what is added is walked too.
  for (const id of found) for (const other of next(id) ?? []) found.add(other);
  return found;
}
