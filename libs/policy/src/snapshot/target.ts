import { RESOURCE_CLASSES } from '@drvs/contracts';
import type { RejectionRule } from '../plan/reasons.js';
import { CLASS_COUNT, CPU } from './amounts.js';
import type { Ledger } from './ledger.js';

export interface TargetWish {
  /** `tightest` leaves large holes whole; `coolest` goes where the least is wanted. */
  taste: 'tightest' | 'coolest';
  /** No target above this CPU utilisation after the move; infinite where the move must be made anyway. */
  utilisationMax: number;
  /** `free` is free now; `floorFree` would be, if borrowers gave back. */
  room: 'free' | 'floorFree';
  /** Also what a slice has borrowed and wants must be free there, so that it loses nothing. */
  isGentle: boolean;
  /** 1 for nodes that are no targets, for instance because they are being emptied. */
  except?: Uint8Array;
  /** Which of equals comes first. */
  rank: Uint32Array;
}

/** The best node for a slice to move to, or -1. Looks at every node once. */
export function findTarget(ledger: Ledger, slice: number, wish: TargetWish): number {
  const room = wish.room === 'free' ? ledger.free : ledger.floorFree;
  const drvm = ledger.sliceDrvm[slice];
  const eligible = ledger.eligibleFor(drvm);
  const source = ledger.sliceNode[slice];
  const load = ledger.sliceLoad[slice * CLASS_COUNT + CPU];
  let best = -1;
  let bestScore = Number.POSITIVE_INFINITY;
  for (let node = 0; node < ledger.nodeCount; node++) {
    if (node === source || ledger.isOpen[node] === 0 || eligible[node] === 0) continue;
    if (wish.except?.[node] === 1 || !ledger.fits(slice, node, room)) continue;
    const at = node * CLASS_COUNT + CPU;
    const utilisation = ledger.capacity[at] > 0 ? (ledger.load[at] + load) / ledger.capacity[at] : 1;
    if (utilisation > wish.utilisationMax) continue;
    if (wish.isGentle && Math.min(load, ledger.sliceHeld[slice * CLASS_COUNT + CPU]) > ledger.free[at])
      continue;
    const score = wish.taste === 'tightest' ? ledger.leftAfter(slice, node) : utilisation;
    if (score > bestScore || (score === bestScore && wish.rank[node] >= wish.rank[best])) continue;
    if (ledger.isKeptOut(slice, node) || !ledger.keepsReplicasApart(slice, node)) continue;
    best = node;
    bestScore = score;
  }
  return best;
}

export interface NoTarget {
  /** The rule that keeps most nodes from it, those that can change before those that cannot. */
  rule: RejectionRule;
  /** On how many nodes each rule failed, in words and by name. */
  words: string;
  counts: Record<string, number>;
}

/** Why there is no target: each node is counted under the first rule that it fails. */
export function explainNoTarget(ledger: Ledger, slice: number, wish: TargetWish): NoTarget {
  const counts = new Map<RejectionRule, number>();
  const eligible = ledger.eligibleFor(ledger.sliceDrvm[slice]);
  for (let node = 0; node < ledger.nodeCount; node++) {
    if (node === ledger.sliceNode[slice]) continue;
    const rule = firstRule(ledger, slice, node, wish, eligible);
    counts.set(rule, (counts.get(rule) ?? 0) + 1);
  }
  const sorted = [...counts].sort((a, b) => b[1] - a[1]);
  const passing = sorted.find(([rule]) => rule !== 'too-large' && rule !== 'not-eligible');
  return {
    rule: (passing ?? sorted[0])?.[0] ?? 'no-room',
    words:
      sorted.length === 0
        ? 'there is no other node'
        : sorted.map(([rule, count]) => `${rule} on ${count} node${count === 1 ? '' : 's'}`).join(', '),
    counts: Object.fromEntries(sorted),
  };
}

function firstRule(
  ledger: Ledger,
  slice: number,
  node: number,
  wish: TargetWish,
  eligible: Uint8Array,
): RejectionRule {
  if (eligible[node] === 0) return 'not-eligible';
  for (let c = 0; c < RESOURCE_CLASSES.length; c++) {
    const needed = ledger.sliceFloor[slice * CLASS_COUNT + c];
    if (needed > ledger.capacity[node * CLASS_COUNT + c]) return 'too-large';
  }
  if (ledger.isOpen[node] === 0 || wish.except?.[node] === 1) return 'not-up';
  if (ledger.isKeptOut(slice, node)) return 'exclusive';
  if (!ledger.fits(slice, node, wish.room === 'free' ? ledger.free : ledger.floorFree)) return 'no-room';
  if (!ledger.keepsReplicasApart(slice, node)) return 'replicas-together';
  return 'would-be-hot';
}
