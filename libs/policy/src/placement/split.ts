import { RESOURCE_CLASSES, type ResourceAmounts } from '@drvs/contracts';
import type { PlacementRequest } from './placement-request.js';

/**
 * Splits `total` over places that can take at most `free[i]` and must take at least `least`, in multiples of `step`
 * where the bounds allow. The caller has seen to it that `n · least ≤ total ≤ Σ free` and `free[i] ≥ least`.
 */

/** As equal as the bounds allow (water-filling); the earlier places get what does not divide. */
export function splitEvenly(total: number, free: readonly number[], least: number, step: number): number[] {
  const parts = free.map(() => least);
  let left = total - least * free.length;
  // Places that are not full share what is left; each round fills one at least, or ends.
  while (left > 0) {
    const open = openPlaces(parts, free);
    if (open.length === 0) break;
    const share = Math.floor(left / open.length / step) * step;
    if (share === 0) {
      for (const place of open) {
        const more = Math.min(step, left, (free[place] as number) - (parts[place] as number));
        parts[place] = (parts[place] as number) + more;
        left -= more;
      }
      continue;
    }
    for (const place of open) {
      const more = Math.min(share, (free[place] as number) - (parts[place] as number));
      parts[place] = (parts[place] as number) + more;
      left -= more;
    }
  }
  return parts;
}

/** The first place full, then the second, and so on. */
export function splitPacked(total: number, free: readonly number[], least: number, _step: number): number[] {
  const parts = free.map(() => least);
  let left = total - least * free.length;
  for (const [place, most] of free.entries()) {
    const more = Math.min(left, most - least);
    parts[place] = least + more;
    left -= more;
  }
  return parts;
}

function openPlaces(parts: readonly number[], free: readonly number[]): number[] {
  const open: number[] = [];
  for (const [place, part] of parts.entries()) if (part < (free[place] as number)) open.push(place);
  return open;
}

/** A slice's part of the ceiling, as its part of what is guaranteed. */
export function ceilingOf(
  amounts: ResourceAmounts,
  { total, ceiling }: PlacementRequest,
): { ceiling?: ResourceAmounts } {
  if (!ceiling) return {};
  const part = { ...amounts };
  for (const name of RESOURCE_CLASSES) {
    if (total[name] === 0) continue;
    part[name] = Math.max(amounts[name], Math.floor((ceiling[name] * amounts[name]) / total[name]));
  }
  return { ceiling: part };
}

/**
 * As `splitEvenly` or `splitPacked`, but each place has a step of its own and takes multiples of it only; null when it
 * does not come out even. Places with the largest steps are filled first, so that those with small ones take the rest.
 */
export function splitStepped(
  total: number,
  free: readonly number[],
  least: number,
  step: readonly number[],
  isPacked: boolean,
): number[] | null {
  const parts = free.map((_, place) => Math.ceil(least / (step[place] as number)) * (step[place] as number));
  const room = (place: number) => {
    const by = step[place] as number;
    return Math.floor((free[place] as number) / by) * by - (parts[place] as number);
  };
  let left = total;
  for (const part of parts) left -= part;
  const order = free.map((_, place) => place);
  // A stable sort: places of one step stay in the order of taste.
  order.sort((a, b) => (step[b] as number) - (step[a] as number));
  if (left < 0 || order.some((place) => room(place) < 0)) return null;
  for (const [turn, place] of order.entries()) {
    const by = step[place] as number;
    const wanted = isPacked ? left : left / (order.length - turn);
    const share = Math.min(room(place), Math.floor(wanted / by) * by);
    parts[place] = (parts[place] as number) + share;
    left -= share;
  }
  // What rounding and full places left over goes where there is room, small steps first.
  for (const place of order.reverse()) {
    const by = step[place] as number;
    const more = Math.min(room(place), Math.floor(left / by) * by);
    parts[place] = (parts[place] as number) + more;
    left -= more;
  }
  return left === 0 ? parts : null;
}
