/** What one part may get of an amount that is distributed: whole numbers, `least` <= `most`. */
export interface Share {
  least: number;
  most: number;
  /** Its part in proportion to the others', as far as the bounds allow. */
  weight: number;
}

/** Halvings until two proportions give the same whole numbers, for any amount that a ledger can hold. */
const HALVINGS = 100;

/**
 * Distributes a total over parts in proportion to their weights, each within its bounds; null when the bounds do not
 * allow the total. What rounding leaves goes to those that it took the most from, the first of equals first.
 */
export function distribute(total: number, shares: readonly Share[]): number[] | null {
  const least = sum(shares.map((share) => share.least));
  const most = sum(shares.map((share) => share.most));
  if (total < least || total > most) return null;
  const at = (factor: number): number[] =>
    shares.map(({ least: low, most: high, weight }) => Math.max(low, Math.min(high, factor * weight)));
  let low = 0;
  let high = 1;
  for (let doublings = 0; doublings < HALVINGS && sum(at(high)) < total; doublings++) high *= 2;
  for (let halvings = 0; halvings < HALVINGS; halvings++) {
    const middle = (low + high) / 2;
    if (sum(at(middle)) < total) low = middle;
    else high = middle;
  }
  const exact = at(high);
  const parts = exact.map((part, index) => Math.max(shares[index]!.least, Math.floor(part + 1e-6)));
  settle(parts, exact, total, shares);
  return parts;
}

function settle(parts: number[], exact: readonly number[], total: number, shares: readonly Share[]): void {
  let missing = total - sum(parts);
  const byLoss = parts
    .map((_, index) => index)
    .sort((a, b) => exact[b]! - parts[b]! - (exact[a]! - parts[a]!) || a - b);
  for (const index of byLoss) {
    if (missing <= 0) break;
    if (parts[index]! >= shares[index]!.most) continue;
    parts[index]!++;
    missing--;
  }
  // Parts of no weight, when those with one are full; and, downwards, what rounding gave too much of.
  for (const index of byLoss) {
    const room = missing > 0 ? shares[index]!.most - parts[index]! : shares[index]!.least - parts[index]!;
    const change = missing > 0 ? Math.min(room, missing) : Math.max(room, missing);
    parts[index]! += change;
    missing -= change;
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
