/**
 * Energy of a node over a time, and whose it was. Pure.
 *
 * What a node draws has two parts: what it draws idle, and what its work adds. The idle part is divided by what each
 * DRVM is given of the node's CPUs, whether it uses them or not; what is given to nobody is nobody's. The part that
 * work adds is divided by the CPU that each used. The parts add up to the whole.
 */
export interface NodeDraw {
  watts: number;
  isMeasured: boolean;
  isOff: boolean;
  /** Of its model. */
  idleWatts: number;
  /** CPUs that the node offers. */
  offeredMilli: number;
  holders: readonly { drvmId: string; givenMilli: number; usedMilli: number }[];
}

export interface NodeEnergy {
  joules: number;
  measuredJoules: number;
  /** Had no node been switched off, this one would have stood idle in that time. */
  allOnJoules: number;
  onSeconds: number;
  offSeconds: number;
  byDrvm: ReadonlyMap<string, number>;
  /** What is nobody's. */
  restJoules: number;
}

export function energyOf(draw: NodeDraw, seconds: number): NodeEnergy {
  const joules = draw.watts * seconds;
  const byDrvm = new Map<string, number>();
  let shared = 0;
  if (!draw.isOff) {
    const idle = Math.min(draw.watts, draw.idleWatts);
    const work = draw.watts - idle;
    const given = draw.holders.reduce((sum, { givenMilli }) => sum + givenMilli, 0);
    const used = draw.holders.reduce((sum, { usedMilli }) => sum + usedMilli, 0);
    const whole = Math.max(given, draw.offeredMilli);
    for (const { drvmId, givenMilli, usedMilli } of draw.holders) {
      const part = (whole > 0 ? (idle * givenMilli) / whole : 0) + (used > 0 ? (work * usedMilli) / used : 0);
      byDrvm.set(drvmId, (byDrvm.get(drvmId) ?? 0) + part * seconds);
      shared += part * seconds;
    }
  }
  return {
    joules,
    measuredJoules: draw.isMeasured ? joules : 0,
    allOnJoules: draw.isOff ? Math.max(draw.watts, draw.idleWatts) * seconds : joules,
    onSeconds: draw.isOff ? 0 : seconds,
    offSeconds: draw.isOff ? seconds : 0,
    byDrvm,
    restJoules: Math.max(0, joules - shared),
  };
}

const HOUR_MS = 3_600_000;

/** The parts of a time by the hours in which they lie. */
export function byHour(fromMs: number, toMs: number): { hourMs: number; seconds: number }[] {
  const parts: { hourMs: number; seconds: number }[] = [];
  for (let from = fromMs; from < toMs; ) {
    const hourMs = Math.floor(from / HOUR_MS) * HOUR_MS;
    const to = Math.min(toMs, hourMs + HOUR_MS);
    parts.push({ hourMs, seconds: (to - from) / 1_000 });
    from = to;
  }
  return parts;
}

export const JOULES_PER_KWH = 3_600_000;

/** What is shown with every report: how "saved" was reckoned. */
export const SAVED_FORMULA =
  'saved = Σ over nodes and hours of (idle draw − off draw) × time switched off. What nodes drew while they were on is ' +
  'the same in both: their work would have been done elsewhere at the same cost per CPU. kWh = J / 3,600,000.';
