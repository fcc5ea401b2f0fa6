import type { ClusterState } from '../plan/cluster-state.js';
import { wattsOf } from '../plan/score.js';
import { capacityOf } from '../snapshot/amounts.js';
import type { SliceRecord } from '../snapshot/cluster-snapshot.js';

const HOUR_S = 3600;

/** What one contender's day came to. */
export interface DayResult {
  /** CPU time delivered, of that which the nodes that were on could give, 0 to 1. */
  utilisation: number;
  energyKWh: number;
  nodeHoursOn: number;
  cpuHours: { wanted: number; delivered: number };
  /** vCPU hours that slices wanted within their guarantees and did not get. */
  guaranteeMissedCpuHours: number;
  /** Ticks and nodes at which more was held than there is. */
  overAllocations: number;
  moves: { slices: number; processes: number; gib: number; pauseSeconds: number };
  resizes: number;
  switches: { on: number; off: number };
  batches: { placed: number; refused: number; meanWaitSeconds: number };
  steps: number;
}

/** Adds up a day, tick by tick. Amounts are inside kept in vCPU seconds and joules. */
export class Meter {
  readonly #result: DayResult = {
    utilisation: 0,
    energyKWh: 0,
    nodeHoursOn: 0,
    cpuHours: { wanted: 0, delivered: 0 },
    guaranteeMissedCpuHours: 0,
    overAllocations: 0,
    moves: { slices: 0, processes: 0, gib: 0, pauseSeconds: 0 },
    resizes: 0,
    switches: { on: 0, off: 0 },
    batches: { placed: 0, refused: 0, meanWaitSeconds: 0 },
    steps: 0,
  };
  #wanted = 0;
  #delivered = 0;
  #missed = 0;
  #offered = 0;
  #joules = 0;
  #onSeconds = 0;
  #waited = 0;

  get counts(): Pick<DayResult, 'moves' | 'resizes' | 'switches' | 'batches' | 'steps'> {
    return this.#result;
  }

  waitedFor(seconds: number): void {
    this.#waited += seconds;
  }

  /** What was delivered a moment late, or paused: `cpuSeconds` of it, `guaranteed` of them within a guarantee. */
  late(cpuSeconds: number, guaranteed: number): void {
    this.#delivered -= cpuSeconds;
    this.#missed += guaranteed;
  }

  tick(state: ClusterState, seconds: number, sharesIdle: boolean): void {
    for (const node of state.nodes.values()) {
      const capacityMilli = capacityOf(node).cpuMilli;
      const capacity = capacityMilli / 1000;
      const isUp = node.state === 'up';
      let delivered = 0;
      let heldMilli = 0;
      const slices = [...state.slicesOn(node.id)];
      const given = sharesIdle && isUp ? shared(slices, capacity) : null;
      for (const [place, slice] of slices.entries()) {
        const wanted = Math.min(slice.wanted.cpuMilli, slice.ceiling.cpuMilli) / 1000;
        const got = !isUp ? 0 : given ? given[place] : Math.min(wanted, slice.held.cpuMilli / 1000);
        heldMilli += slice.held.cpuMilli;
        delivered += got;
        this.#wanted += wanted * seconds;
        this.#missed += Math.max(0, Math.min(wanted, slice.guaranteed.cpuMilli / 1000) - got) * seconds;
      }
      if (heldMilli > capacityMilli) this.#result.overAllocations++;
      this.#delivered += delivered * seconds;
      this.#joules += wattsOf(node, capacity > 0 ? delivered / capacity : 0) * seconds;
      if (node.state !== 'up' && node.state !== 'powering-on') continue;
      this.#onSeconds += seconds;
      if (isUp) this.#offered += capacity * seconds;
    }
  }

  result(): DayResult {
    const { batches } = this.#result;
    return {
      ...this.#result,
      utilisation: this.#offered > 0 ? this.#delivered / this.#offered : 0,
      energyKWh: this.#joules / 3.6e6,
      nodeHoursOn: this.#onSeconds / HOUR_S,
      cpuHours: { wanted: this.#wanted / HOUR_S, delivered: this.#delivered / HOUR_S },
      guaranteeMissedCpuHours: this.#missed / HOUR_S,
      batches: { ...batches, meanWaitSeconds: batches.placed > 0 ? this.#waited / batches.placed : 0 },
    };
  }
}

/** Each its guarantee if wanted, then what is left in proportion to guarantees, up to what is wanted (water-filling). */
function shared(slices: readonly SliceRecord[], capacity: number): number[] {
  const wanted = slices.map((slice) => Math.min(slice.wanted.cpuMilli, slice.ceiling.cpuMilli) / 1000);
  const weights = slices.map((slice) => Math.max(1, slice.guaranteed.cpuMilli) / 1000);
  const given = slices.map((_, place) => Math.min(wanted[place], weights[place]));
  let left = capacity - given.reduce((a, b) => a + b, 0);
  let open = slices.map((_, place) => place).filter((place) => given[place] < wanted[place]);
  while (left > 1e-9 && open.length > 0) {
    const weight = open.reduce((sum, place) => sum + weights[place], 0);
    const each = left / weight;
    for (const place of open) {
      const more = Math.min(each * weights[place], wanted[place] - given[place]);
      given[place] += more;
      left -= more;
    }
    open = open.filter((place) => given[place] < wanted[place] - 1e-9);
  }
  return given;
}
