import { type CandidateSet, searchSets } from './candidate-search.js';
import { reject } from './eligibility.js';
import { namedNodes, placeDrvm, requireSound } from './placement.js';
import type { NodeSnapshot, PlacementRequest, RejectedNode } from './placement-request.js';

export interface CandidateList {
  /** The best first. */
  candidates: CandidateSet[];
  /** The nodes that may have no slice of it, and why. */
  rejected: RejectedNode[];
}

/** Candidates asked for at most. */
export const MAX_CANDIDATES = 20;

/**
 * Several ways of holding a DRVM, the best first. The same for the same request, snapshot and seed.
 * @throws DrvsError as `placeDrvm`
 */
export function listCandidates(
  request: PlacementRequest,
  snapshot: readonly NodeSnapshot[],
  options: { seed: number; wanted: number },
): CandidateList {
  requireSound(request);
  const rejected: RejectedNode[] = [];
  const eligible: NodeSnapshot[] = [];
  for (const node of namedNodes(request, snapshot) ?? snapshot) {
    const rejection = reject(node, request);
    if (rejection) rejected.push(rejection);
    else eligible.push(node);
  }
  const candidates = searchSets(request, eligible, {
    seed: options.seed,
    wanted: Math.min(options.wanted, MAX_CANDIDATES),
  });
  if (candidates.length > 0) return { candidates, rejected };
  // The choice by taste looks at other sets than the search; where it finds none either, it says why.
  const { slices } = placeDrvm(request, snapshot);
  const chosen = slices.map(({ node }) => eligible.find(({ name }) => name === node) as NodeSnapshot);
  const named = { ...request, nodes: chosen.map(({ name }) => name) };
  return { candidates: searchSets(named, chosen, { seed: options.seed, wanted: 1 }), rejected };
}
