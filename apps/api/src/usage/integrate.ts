/**
 * What was held, integrated over time. Pure, and exact: amounts are whole numbers, times whole milliseconds, and their
 * products are summed as big integers; only the result is divided into hours.
 */
export interface HeldSpan {
  tenant: string;
  drvm: string;
  cpuMilli: number;
  memoryMiB: number;
  diskGiB: number;
  networkMbps: number;
  /** Milliseconds since 1970; null: it is held still. */
  from: number;
  to: number | null;
}

export type UsageBy = 'tenant' | 'drvm' | 'day';

export interface UsageKey {
  tenant: string;
  drvm: string | null;
  /** `2026-11-24`, in UTC. */
  day: string | null;
}

export interface Held {
  coreHours: number;
  memoryGiBHours: number;
  diskGiBHours: number;
  networkMbpsHours: number;
}

interface Sums {
  key: UsageKey;
  cpu: bigint;
  memory: bigint;
  disk: bigint;
  network: bigint;
}

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

export const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
export const keyText = ({ tenant, drvm, day }: UsageKey): string => JSON.stringify([tenant, drvm, day]);
export function keyOf(by: UsageBy, tenant: string, drvm: string, day: string): UsageKey {
  return { tenant, drvm: by === 'drvm' ? drvm : null, day: by === 'day' ? day : null };
}

/** Takes spans in any order and any number of parts. */
export class HeldIntegral {
  readonly #sums = new Map<string, Sums>();

  /**
   * @param window milliseconds since 1970; its end is not part of it
   * @param now what is held still is counted up to here: a clock that was set back counts nothing twice and never
   * less than nothing
   */
  constructor(
    readonly window: { from: number; to: number },
    readonly by: UsageBy,
    readonly now: number,
  ) {}

  add(span: HeldSpan): void {
    const begin = Math.max(span.from, this.window.from);
    const end = Math.min(span.to ?? this.now, this.window.to);
    if (this.by !== 'day') {
      this.#count(span, begin, end);
      return;
    }
    for (let at = begin; at < end; ) {
      const midnight = (Math.floor(at / DAY_MS) + 1) * DAY_MS;
      const until = Math.min(end, midnight);
      this.#count(span, at, until);
      at = until;
    }
  }

  #count(span: HeldSpan, from: number, to: number): void {
    if (!(to > from)) return;
    const key = keyOf(this.by, span.tenant, span.drvm, dayOf(from));
    const name = keyText(key);
    let sums = this.#sums.get(name);
    if (!sums) {
      sums = { key, cpu: 0n, memory: 0n, disk: 0n, network: 0n };
      this.#sums.set(name, sums);
    }
    const ms = BigInt(to - from);
    sums.cpu += BigInt(span.cpuMilli) * ms;
    sums.memory += BigInt(span.memoryMiB) * ms;
    sums.disk += BigInt(span.diskGiB) * ms;
    sums.network += BigInt(span.networkMbps) * ms;
  }

  rows(): { key: UsageKey; held: Held }[] {
    return [...this.#sums.values()].map(({ key, cpu, memory, disk, network }) => ({
      key,
      held: {
        coreHours: quotient(cpu, 1_000 * HOUR_MS),
        memoryGiBHours: quotient(memory, 1_024 * HOUR_MS),
        diskGiBHours: quotient(disk, HOUR_MS),
        networkMbpsHours: quotient(network, HOUR_MS),
      },
    }));
  }
}

/** The whole part is exact; the rest has the precision of a number. */
function quotient(sum: bigint, unit: number): number {
  const divisor = BigInt(unit);
  return Number(sum / divisor) + Number(sum % divisor) / unit;
}
