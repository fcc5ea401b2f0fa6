import { CLASS_COUNT } from '../snapshot/amounts.js';
import type { Ledger } from '../snapshot/ledger.js';

/**
 * What each DRVM has borrowed: by class, the part of the whole cluster that it holds above its guarantees; the largest
 * of these, divided by its weight, is its share.
 */
export class BorrowedShares {
  readonly #ledger: Ledger;
  readonly #borrowed: Float64Array;
  readonly #total = new Float64Array(CLASS_COUNT);

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
    this.#borrowed = new Float64Array(ledger.drvms.length * CLASS_COUNT);
    for (let at = 0; at < ledger.capacity.length; at++) this.#total[at % CLASS_COUNT] += ledger.capacity[at];
    for (let at = 0; at < ledger.sliceHeld.length; at++) {
      const drvm = ledger.sliceDrvm[Math.floor(at / CLASS_COUNT)];
      this.#borrowed[drvm * CLASS_COUNT + (at % CLASS_COUNT)] +=
        ledger.sliceHeld[at] - ledger.sliceGuaranteed[at];
    }
  }

  add(drvm: number, c: number, amount: number): void {
    this.#borrowed[drvm * CLASS_COUNT + c] += amount;
  }

  /** Of the slices, that of the DRVM with the least share; the first of equals. */
  poorest(slices: readonly number[]): number {
    return this.#extreme(slices, -1);
  }

  richest(slices: readonly number[]): number {
    return this.#extreme(slices, 1);
  }

  /** Whether `poor` still has no more than `rich` when so much of a class has gone from one to the other. */
  wouldBeFair(rich: number, poor: number, c: number, amount: number): boolean {
    const from = this.#ledger.sliceDrvm[rich];
    const to = this.#ledger.sliceDrvm[poor];
    return from !== to && this.#share(to, c, amount) <= this.#share(from, c, -amount);
  }

  #extreme(slices: readonly number[], sign: number): number {
    let found = slices[0];
    let extreme = sign * this.#share(this.#ledger.sliceDrvm[found]);
    for (const slice of slices) {
      const share = sign * this.#share(this.#ledger.sliceDrvm[slice]);
      if (share <= extreme) continue;
      found = slice;
      extreme = share;
    }
    return found;
  }

  #share(drvm: number, changed = -1, amount = 0): number {
    let share = 0;
    for (let c = 0; c < CLASS_COUNT; c++) {
      if (this.#total[c] === 0) continue;
      const borrowed = this.#borrowed[drvm * CLASS_COUNT + c] + (c === changed ? amount : 0);
      share = Math.max(share, borrowed / this.#total[c]);
    }
    return share / Math.max(this.#ledger.drvms[drvm].weight, WEIGHT_LEAST);
  }
}

/** A weight of nothing would make every share infinite: such a DRVM simply comes last. */
const WEIGHT_LEAST = 1e-6;
