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
