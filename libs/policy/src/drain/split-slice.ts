import { DVOS_MEMORY_MIB, RESOURCE_CLASSES } from '@drvs/contracts';
import { MIN_SLICE } from '../placement/placement-request.js';
import { splitEvenly } from '../placement/split.js';
import { CLASS_COUNT, MEMORY } from '../snapshot/amounts.js';
import type { Ledger } from '../snapshot/ledger.js';

const MIB = 1 << 20;
/** A slice is cut into so many parts at most: each one that is new takes memory for itself. */
const PARTS_MAX = 4;

export interface SlicePart {
  target: number;
  /** By class. */
  amounts: number[];
  processes: number[];
}

/**
 * Where a slice could go in parts when no node takes it whole: as few parts as suffice, on the nodes that could take
 * most of it. Null when there is no such way. A machine that spans nodes may span one more.
 */
export function partsFor(ledger: Ledger, slice: number): SlicePart[] | null {
  if (ledger.partsLeft < PARTS_MAX) return null;
  const floor = ledger.sliceFloor.subarray(slice * CLASS_COUNT, (slice + 1) * CLASS_COUNT);
  const least = RESOURCE_CLASSES.map((name) => MIN_SLICE[name]);
  const roomOf = (node: number): number[] =>
    RESOURCE_CLASSES.map((_, c) => Math.max(0, ledger.floorFree[node * CLASS_COUNT + c]));
  const share = (node: number): number =>
    Math.min(...roomOf(node).map((room, c) => (floor[c] > 0 ? Math.min(1, room / floor[c]) : 1)));
  const eligible = ledger.eligibleFor(ledger.sliceDrvm[slice]);
  const targets: { node: number; share: number }[] = [];
  for (let node = 0; node < ledger.nodeCount; node++) {
    if (node === ledger.sliceNode[slice] || ledger.isOpen[node] === 0 || eligible[node] === 0) continue;
    if (roomOf(node).some((room, c) => room < least[c])) continue;
    if (ledger.isKeptOut(slice, node) || !ledger.keepsReplicasApart(slice, node)) continue;
    targets.push({ node, share: share(node) });
  }
  targets.sort((a, b) => b.share - a.share || a.node - b.node);
  for (let count = 2; count <= Math.min(PARTS_MAX, targets.length); count++) {
    const parts = cut(
      ledger,
      slice,
      targets.slice(0, count).map(({ node }) => node),
      least,
      roomOf,
    );
    if (parts !== null) return parts;
  }
  return null;
}

function cut(
  ledger: Ledger,
  slice: number,
  targets: readonly number[],
  least: readonly number[],
  roomOf: (node: number) => number[],
): SlicePart[] | null {
  const parts: SlicePart[] = targets.map((target) => ({ target, amounts: [], processes: [] }));
  for (let c = 0; c < CLASS_COUNT; c++) {
    const total = ledger.sliceFloor[slice * CLASS_COUNT + c];
    const room = targets.map((node) => roomOf(node)[c]);
    if (total < least[c] * targets.length || total > room.reduce((a, b) => a + b, 0)) return null;
    for (const [place, amount] of splitEvenly(total, room, least[c], 1).entries())
      parts[place].amounts[c] = amount;
  }
  const { processes } = ledger.snapshot;
  const sizeMiB = (process: number): number => Math.ceil(processes[process].imageBytes / MIB);
  const inside = ledger.processesIn[slice];
  const images = inside.reduce((sum, process) => sum + sizeMiB(process), 0);
  // What is in use besides images stays with the part that goes last.
  const rest = Math.max(DVOS_MEMORY_MIB, ledger.sliceUsedMiB[slice] - images);
  const room = parts.map(({ amounts }, place) =>
    place === parts.length - 1 ? amounts[MEMORY] - rest : amounts[MEMORY] - DVOS_MEMORY_MIB,
  );
  for (const process of [...inside].sort((a, b) => sizeMiB(b) - sizeMiB(a) || a - b)) {
    const place = room.indexOf(Math.max(...room));
    if (room[place] < sizeMiB(process)) return null;
    room[place] -= sizeMiB(process);
    parts[place].processes.push(process);
  }
  // Until the last part has gone, what is left behind must still hold the memory that is in use there.
  let spare = ledger.sliceHeld[slice * CLASS_COUNT + MEMORY] - ledger.sliceUsedMiB[slice];
  for (const { amounts, processes: moving } of parts.slice(0, -1)) {
    spare -= amounts[MEMORY] - moving.reduce((sum, process) => sum + sizeMiB(process), 0);
    if (spare < 0) return null;
  }
  return parts;
}
