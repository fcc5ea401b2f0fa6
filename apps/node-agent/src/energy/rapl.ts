import { join } from 'node:path';
import { listNames, readText } from '../inventory/sysfs.js';

/** A counter of microjoules that begins again at nought after `rangeMicrojoules`. */
export interface EnergyZone {
  path: string;
  name: string;
  rangeMicrojoules: number;
}

/**
 * The zones of the processors' running average power limit (RAPL, Documentation/power/powercap/powercap.rst of Linux)
 * that together count each joule once: the platform zone where there is one, else the packages, and memory where it
 * is counted beside its package. What lies inside of a package (core, uncore) is in its figure already.
 */
export function raplZones(powercap: string): EnergyZone[] {
  const all = listNames(powercap)
    .filter((entry) => /^(intel|amd)-rapl:\d+(:\d+)?$/.test(entry))
    .flatMap((entry): (EnergyZone & { isTop: boolean })[] => {
      const path = join(powercap, entry);
      const name = readText(join(path, 'name'));
      const range = Number(readText(join(path, 'max_energy_range_uj')));
      // Since 2020 the counters are root's alone: an agent without that right counts nothing.
      if (name === null || readText(join(path, 'energy_uj')) === null) return [];
      return [
        {
          path,
          name,
          rangeMicrojoules: Number.isFinite(range) ? range : 0,
          isTop: entry.split(':').length === 2,
        },
      ];
    });
  const platform = all.filter(({ name }) => name.startsWith('psys'));
  if (platform.length > 0) return platform;
  return all.filter(({ name, isTop }) => (isTop ? name.startsWith('package') : name === 'dram'));
}

/** Adds up what zones count, over their wraps. */
export class EnergyCounter {
  readonly #last = new Map<string, number>();
  #microjoules = 0;

  constructor(private readonly zones: readonly Pick<EnergyZone, 'path' | 'rangeMicrojoules'>[]) {}

  /**
   * @param read the counter of a zone, or null when it cannot be read just now
   * @returns joules since the first look; a zone that is missed for a while is made up for when it is seen again
   */
  look(read: (path: string) => number | null): number {
    for (const { path, rangeMicrojoules } of this.zones) {
      const now = read(path);
      if (now === null || !Number.isFinite(now) || now < 0) continue;
      const before = this.#last.get(path);
      this.#last.set(path, now);
      if (before === undefined) continue;
      // It has begun again: what was left of its range, and what it has counted since.
      if (now >= before) this.#microjoules += now - before;
      else if (rangeMicrojoules > 0 && before <= rangeMicrojoules)
        this.#microjoules += rangeMicrojoules - before + now;
    }
    return this.#microjoules / 1_000_000;
  }
}
