import { CLASS_COUNT } from './amounts.js';
import type { Ledger } from './ledger.js';

/** The part of an average node that a slice's floor takes, by its largest class. */
export function sizeOf(ledger: Ledger, slice: number): number {
  const node = ledger.sliceNode[slice];
  let size = 0;
  for (let c = 0; c < CLASS_COUNT; c++) {
    const capacity = ledger.capacity[node * CLASS_COUNT + c];
    if (capacity > 0) size = Math.max(size, ledger.sliceFloor[slice * CLASS_COUNT + c] / capacity);
  }
  return size;
}

/** First-fit and best-fit need the largest first (Johnson 1973); of equals, those that come first in the snapshot. */
export function bySizeDescending(ledger: Ledger, slices: readonly number[]): number[] {
  const sizes = new Map(slices.map((slice) => [slice, sizeOf(ledger, slice)]));
  return [...slices].sort((a, b) => (sizes.get(b) ?? 0) - (sizes.get(a) ?? 0) || a - b);
}

/** A slice, for people: `drvm@node`. */
export const sliceName = (ledger: Ledger, slice: number): string =>
  `${ledger.drvms[ledger.sliceDrvm[slice]].name}@${ledger.nodes[ledger.sliceNode[slice]].name}`;
