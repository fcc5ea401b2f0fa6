import { NO_RESOURCES } from '@drvs/contracts';
import {
  MIN_SLICE,
  type NodeSnapshot,
  type PlacementRequest,
  type RejectedNode,
  type RejectionRule,
} from './placement-request.js';

/**
 * Whether a node may get a slice of this request, whatever its other nodes are; null when it may.
 * @param isEver asks of the node as it would be empty, up and open: what is left are the rules that time does not lift
 */
export function reject(node: NodeSnapshot, request: PlacementRequest, isEver = false): RejectedNode | null {
  return (
    (isEver ? null : rejectNow(node, request)) ?? rejectByRules(node, request) ?? rejectByRoom(node, isEver)
  );
}

/** Which rules of a request a node breaks by its traits and taints, whether or not it has room. */
export function brokenTerms(
  node: NodeSnapshot,
  { require, forbid, tolerate }: Pick<PlacementRequest, 'require' | 'forbid' | 'tolerate'>,
): RejectedNode | null {
  return rejectByRules(node, {
    total: NO_RESOURCES,
    nodes: null,
    exclusive: false,
    policy: 'spread',
    require,
    forbid,
    tolerate,
  });
}

/** Whether a node may get a slice of this request. */
export function isEligible(node: NodeSnapshot, request: PlacementRequest): boolean {
  return reject(node, request) === null;
}

const because = (node: NodeSnapshot, rule: RejectionRule, reason: string): RejectedNode => ({
  node: node.name,
  rule,
  reason,
});

function rejectNow(node: NodeSnapshot, { exclusive, apartFrom = [] }: PlacementRequest): RejectedNode | null {
  const isClosed = node.state === 'draining' || node.state === 'drained';
  if (isClosed && node.heldOut) return because(node, 'held-out', `it is held out: ${node.heldOut}`);
  if (isClosed)
    return because(node, 'cordoned', `it is ${node.state} and takes nothing new until it is restored`);
  if (node.state !== 'up') return because(node, 'not-up', `it is ${node.state}`);
  if (node.isOnProbation) return because(node, 'probation', 'its burn-in check has not been passed');
  if (node.isExclusive) return because(node, 'exclusive-to-another', 'it is exclusive to another DRVM');
  if (exclusive && node.slices > 0)
    return because(node, 'not-empty', 'it holds other DRVMs and cannot become exclusive');
  if (apartFrom.some((id) => node.drvmIds?.includes(id)))
    return because(node, 'not-apart', 'it holds a DRVM that this one is to be apart from');
  return null;
}

function rejectByRules(node: NodeSnapshot, request: PlacementRequest): RejectedNode | null {
  const { require = [], forbid = [], tolerate = [], togetherWith = [] } = request;
  const traits = node.traits ?? [];
  const missing = require.filter((trait) => !traits.includes(trait));
  if (missing.length > 0) return because(node, 'trait-missing', `it has not ${missing.join(', ')}`);
  const unwanted = forbid.filter((trait) => traits.includes(trait));
  if (unwanted.length > 0) return because(node, 'trait-forbidden', `it has ${unwanted.join(', ')}`);
  const taint = node.taints?.find((each) => !isTolerated(each, tolerate));
  if (taint !== undefined) return because(node, 'tainted', `its taint ${taint} is not tolerated`);
  if (togetherWith.some((id) => !node.drvmIds?.includes(id)))
    return because(node, 'not-together', 'it does not hold the DRVM that this one is to be with');
  return null;
}

function rejectByRoom(node: NodeSnapshot, isEver: boolean): RejectedNode | null {
  const free = isEver ? (node.capacity ?? node.free) : node.free;
  if (free.cpuMilli < MIN_SLICE.cpuMilli) {
    return because(
      node,
      'cpu',
      `${Math.max(0, free.cpuMilli)} thousandths of a vCPU are free, a slice needs ${MIN_SLICE.cpuMilli}`,
    );
  }
  if (free.memoryMiB < MIN_SLICE.memoryMiB) {
    return because(
      node,
      'memory',
      `${Math.max(0, free.memoryMiB)} MiB are free, a slice needs ${MIN_SLICE.memoryMiB}`,
    );
  }
  return null;
}

/** A toleration is `key`, `key=value`, or `*`; a taint `key=value:NoSchedule`. */
export function isTolerated(taint: string, tolerations: readonly string[]): boolean {
  const mark = taint.replace(/:NoSchedule$/, '');
  const key = mark.replace(/=.*$/, '');
  return tolerations.some((each) => each === '*' || each === mark || each === key);
}
