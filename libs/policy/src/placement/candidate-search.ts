import { RESOURCE_CLASSES, type ResourceAmounts } from '@drvs/contracts';
import { randomFrom } from '../plan/seed.js';
import { matchDevices } from './device-match.js';
import { compareNames } from './node-choice.js';
import {
  MAX_SLICES,
  MIN_SLICE,
  type NodeSnapshot,
  type PlacementRequest,
  type PlannedSlice,
} from './placement-request.js';
import { ceilingOf, splitStepped } from './split.js';

/**
 * Candidates: sets of slices over several nodes, the best first.
 *
 * A set of nodes is good if and only if in each class its free amounts add up to what is asked (devices that match a
 * need are one more class each) and no two of its nodes share a failure domain that is to be spread over. Among good
 * sets the cheaper one wins; the cost of a set is a sum over its nodes (fit, fragmentation, energy) and over its pairs
 * (network, failure domains), so that the cost after swapping one node for another is known in a few steps.
 *
 * Search: small clusters are looked at whole; else each round starts greedily from the cost by node, disturbed a little
 * by the seed and by what earlier rounds used, and is mended by swaps, first until it is good and then while it gets
 * cheaper. All over typed arrays, without allocation inside; bounded by the constants below.
 */
export interface CandidateSet {
  slices: PlannedSlice[];
  scores: CandidateScores;
}

/** Each from 0 (worst) to 1 (best). */
export interface CandidateScores {
  /** `pack`: how full its nodes become; `spread`: how much room is left on them. */
  fit: number;
  /** How many racks its slices are in, of as many as they could be in. */
  domains: number;
  /** How near its slices are to each other. */
  network: number;
  /** How evenly the classes are left over: CPU without memory beside it is lost to others. */
  fragmentation: number;
  /** How few nodes it wakes that held nothing, by their draw. */
  energy: number;
  /** The weighted mean by which they are ordered. */
  total: number;
}

export interface SearchOptions {
  /** Decides between equals, and where the search begins. */
  seed: number;
  wanted: number;
}

const EXHAUSTIVE_SETS = 5_000;
/** Swaps looked at in a round while the set is not good yet: with 1,000 nodes and 8 slices, each node in each place thrice. */
const MENDING_SWAPS = 24_000;
/** Swaps looked at in a round to make it cheaper. */
const CHEAPENING_SWAPS = 6_000;
/** A round makes cheaper with the cheapest nodes only: at least so many, and so many for each slice. */
const POOL_LEAST = 64;
const POOL_PER_SLICE = 6;
/** Rounds beyond the candidates wanted, since some find a set again. */
const EXTRA_ROUNDS = 2;
/** Sizes tried where the request names no number of nodes, and what is tried either side where these give nothing. */
const SIZES_TRIED = 3;
const OTHER_SIZES_TRIED = 16;
/** As in the choice by taste: `spread` left to itself makes slices of at least this. */
const SPREAD_SLICE = { cpuMilli: 250, memoryMiB: 256 };
/** What a node costs more in a round for each earlier candidate that has it, so that candidates differ. */
const USED_BEFORE_COST = 0.15;
const NOISE_COST = 0.05;
/** What a node costs more that cannot hold an even share: sets of such nodes alone would have to be mended first. */
const SHORT_COST = 1;

const WEIGHTS = {
  pack: { fit: 3, domains: 0.5, network: 2, fragmentation: 2, energy: 2 },
  spread: { fit: 3, domains: 2, network: 0.5, fragmentation: 1, energy: 0.5 },
} as const;

/** Steps between two nodes: within a rack, within a site, and beyond. */
const DISTANCE_RACK = 1;
const DISTANCE_SITE = 2;
const DISTANCE_FAR = 3;

/** @param eligible nodes that may get a slice, each by itself. @returns at most `wanted`, none when none was found */
export function searchSets(
  request: PlacementRequest,
  eligible: readonly NodeSnapshot[],
  { seed, wanted }: SearchOptions,
): CandidateSet[] {
  const found = new Map<string, CandidateSet>();
  const named = request.nodes === null || typeof request.nodes === 'number' ? null : request.nodes.length;
  if (named !== null && eligible.length !== named) return [];
  let sizesTried = 0;
  for (const count of named === null ? sizes(request, eligible) : [named]) {
    const table = new NodeTable(request, eligible, count);
    const keep = (members: Int32Array) => {
      const key = `${count}:${[...members].sort((a, b) => a - b).join()}`;
      if (found.has(key)) return true;
      const slices = table.slicesOf(members);
      if (slices === null) return false;
      found.set(key, { slices, scores: table.scoresOf(members) });
      return true;
    };
    if (named !== null || table.sets() <= EXHAUSTIVE_SETS) table.each(keep, wanted);
    else {
      const random = randomFrom(seed + count);
      for (let round = 0; round < wanted + EXTRA_ROUNDS; round++) {
        const members = table.round(random, round);
        if (members !== null && keep(members)) table.used(members);
      }
    }
    if (found.size >= wanted || (found.size > 0 && ++sizesTried >= SIZES_TRIED)) break;
  }
  const tie = randomFrom(seed);
  return [...found.values()]
    .map((set) => ({ set, rank: tie() }))
    .sort((a, b) => b.set.scores.total - a.set.scores.total || a.rank - b.rank)
    .slice(0, wanted)
    .map(({ set }) => set);
}

/** How many nodes to try, the liked first. */
function sizes({ nodes, total, policy }: PlacementRequest, eligible: readonly NodeSnapshot[]): number[] {
  if (typeof nodes === 'number') return eligible.length < nodes ? [] : [nodes];
  const most = Math.min(
    eligible.length,
    MAX_SLICES,
    Math.floor(total.cpuMilli / MIN_SLICE.cpuMilli),
    Math.floor(total.memoryMiB / MIN_SLICE.memoryMiB),
  );
  if (most < 1) return [];
  const liked =
    policy === 'pack'
      ? 1
      : Math.floor(
          Math.min(total.cpuMilli / SPREAD_SLICE.cpuMilli, total.memoryMiB / SPREAD_SLICE.memoryMiB),
        );
  const first = Math.min(most, Math.max(1, liked, fewest(eligible, total)));
  const least = fewest(eligible, total);
  const liking = Array.from({ length: SIZES_TRIED }, (_, more) => first + more);
  const smaller = Array.from({ length: OTHER_SIZES_TRIED }, (_, less) => first - 1 - less);
  const larger = Array.from({ length: OTHER_SIZES_TRIED }, (_, more) => first + SIZES_TRIED + more);
  const all = [...liking, ...smaller, ...larger, most];
  return [...new Set(all.filter((count) => count >= least && count <= most))];
}

/** No set smaller than this can do: in each class even the nodes with the most free would not add up. */
function fewest(eligible: readonly NodeSnapshot[], total: ResourceAmounts): number {
  let least = 1;
  for (const name of RESOURCE_CLASSES) {
    if (total[name] === 0) continue;
    const free = Float64Array.from(eligible, (node) => Math.max(0, node.free[name])).sort();
    let sum = 0;
    let count = 0;
    while (count < free.length && sum < total[name]) sum += free[free.length - 1 - count++] as number;
    least = Math.max(least, count);
  }
  return least;
}

/** The eligible nodes as columns, and one set that is being changed. */
class NodeTable {
  readonly #size: number;
  readonly #classes: number;
  /** Row by row: the free amount in each class, then how many devices match each need. */
  readonly #free: Float64Array;
  readonly #asked: Float64Array;
  /** Cost of a node in a set of this size, and in this round. */
  readonly #cost: Float64Array;
  readonly #roundCost: Float64Array;
  readonly #timesUsed: Uint16Array;
  readonly #rack: Int32Array;
  readonly #site: Int32Array;
  /** What no two may share; null when nodes are enough. */
  readonly #apart: Int32Array | null;
  readonly #racks: number;
  readonly #inRack: Int32Array;
  readonly #inSite: Int32Array;
  readonly #inApart: Int32Array;
  readonly #sum: Float64Array;
  readonly #members: Int32Array;
  readonly #place: Int32Array;
  /** All nodes, the cheapest first, and those of them that a round swaps with. */
  readonly #order: Int32Array;
  readonly #pool: Int32Array;
  readonly #fitOf: Float64Array;
  readonly #fragmentationOf: Float64Array;
  readonly #energyOf: Float64Array;
  readonly #weights: (typeof WEIGHTS)['pack' | 'spread'];
  readonly #weightSum: number;

  constructor(
    private readonly request: PlacementRequest,
    private readonly nodes: readonly NodeSnapshot[],
    private readonly count: number,
  ) {
    const { total, devices = [], policy } = request;
    const size = nodes.length;
    this.#size = size;
    this.#classes = RESOURCE_CLASSES.length + devices.length;
    this.#weights = WEIGHTS[policy];
    this.#weightSum = Object.values(this.#weights).reduce((sum, weight) => sum + weight, 0);
    this.#asked = Float64Array.from([
      ...RESOURCE_CLASSES.map((name) => total[name]),
      ...devices.map(({ count: many }) => many),
    ]);
    this.#free = new Float64Array(size * this.#classes);
    this.#cost = new Float64Array(size);
    this.#roundCost = new Float64Array(size);
    this.#timesUsed = new Uint16Array(size);
    this.#fitOf = new Float64Array(size);
    this.#fragmentationOf = new Float64Array(size);
    this.#energyOf = new Float64Array(size);
    this.#rack = numbered(nodes.map(({ rack, id }) => (rack ? `r/${rack}` : `n/${id}`)));
    this.#site = numbered(nodes.map(({ site, id, rack }) => (site ? `s/${site}` : rack ? 'all' : `n/${id}`)));
    const { spreadOver = 'node' } = request;
    this.#apart =
      spreadOver === 'rack'
        ? this.#rack
        : spreadOver === 'site'
          ? numbered(nodes.map(({ site, id }) => (site ? `s/${site}` : `n/${id}`)))
          : null;
    this.#racks = new Set(this.#rack).size;
    this.#inRack = new Int32Array(size);
    this.#inSite = new Int32Array(size);
    this.#inApart = new Int32Array(size);
    this.#sum = new Float64Array(this.#classes);
    this.#members = new Int32Array(count);
    this.#place = new Int32Array(size).fill(-1);
    this.#order = Int32Array.from({ length: size }, (_, at) => at);
    const watts = nodes.reduce((most, node) => Math.max(most, node.idleWatts ?? 1), 1);
    for (let at = 0; at < size; at++) this.#rate(at, nodes[at] as NodeSnapshot, watts);
    const costs = this.#cost;
    this.#order.sort((a, b) => (costs[a] as number) - (costs[b] as number) || a - b);
    this.#pool = new Int32Array(Math.min(size, Math.max(POOL_LEAST, POOL_PER_SLICE * count)));
  }

  #rate(at: number, node: NodeSnapshot, mostWatts: number): void {
    const { devices = [], total, policy } = this.request;
    const base = at * this.#classes;
    for (const [name, by] of RESOURCE_CLASSES.entries()) {
      const step = node.step[by];
      this.#free[base + name] = Math.floor(Math.max(0, node.free[by]) / step) * step;
    }
    for (const [need, { type, traits }] of devices.entries()) {
      let matching = 0;
      for (const device of node.devices ?? []) {
        if (device.isFree && device.type === type && traits.every((trait) => device.traits.includes(trait)))
          matching++;
      }
      this.#free[base + RESOURCE_CLASSES.length + need] = matching;
    }
    const capacity = node.capacity ?? node.free;
    const cpuLeft = left(node.free.cpuMilli, total.cpuMilli / this.count, capacity.cpuMilli);
    const memoryLeft = left(node.free.memoryMiB, total.memoryMiB / this.count, capacity.memoryMiB);
    const room = Math.min(cpuLeft, memoryLeft);
    this.#fitOf[at] = policy === 'pack' ? 1 - room : room;
    this.#fragmentationOf[at] = 1 - Math.abs(cpuLeft - memoryLeft);
    this.#energyOf[at] = node.slices > 0 ? 1 : 1 - (node.idleWatts ?? mostWatts) / mostWatts;
    const { fit, fragmentation, energy } = this.#weights;
    this.#cost[at] =
      (fit * (1 - (this.#fitOf[at] as number)) +
        fragmentation * (1 - (this.#fragmentationOf[at] as number)) +
        energy * (1 - (this.#energyOf[at] as number))) /
        (this.#weightSum * this.count) +
      (SHORT_COST * this.#missingOfShare(base)) / this.count;
  }

  /** The part of an even share, 0 to 1, that a node lacks in its scarcest class. */
  #missingOfShare(base: number): number {
    let most = 0;
    for (let name = 0; name < RESOURCE_CLASSES.length; name++) {
      const share = (this.#asked[name] as number) / this.count;
      if (share > 0) most = Math.max(most, (share - (this.#free[base + name] as number)) / share);
    }
    return most;
  }

  /** How many sets of this size there are; EXHAUSTIVE_SETS + 1 for more than that. */
  sets(): number {
    let sets = 1;
    for (let factor = 0; factor < Math.min(this.count, this.#size - this.count); factor++) {
      sets = (sets * (this.#size - factor)) / (factor + 1);
      if (sets > EXHAUSTIVE_SETS) return EXHAUSTIVE_SETS + 1;
    }
    return sets;
  }

  /** Every good set, the cheapest first; `keep` says whether it could be used, and the first `wanted` of these are. */
  each(keep: (members: Int32Array) => boolean, wanted: number): void {
    const good: { members: Int32Array; cost: number }[] = [];
    const places = Int32Array.from({ length: this.count }, (_, place) => place);
    for (;;) {
      this.#start(places);
      if (this.#shortage() === 0)
        good.push({ members: places.slice(), cost: this.#costOf(places, this.#cost) });
      let moved = this.count - 1;
      while (moved >= 0 && places[moved] === this.#size - this.count + moved) moved--;
      if (moved < 0) break;
      places[moved] = (places[moved] as number) + 1;
      for (let later = moved + 1; later < this.count; later++)
        places[later] = (places[later - 1] as number) + 1;
    }
    good.sort((a, b) => a.cost - b.cost);
    let kept = 0;
    for (const { members } of good) if (kept < wanted && keep(members)) kept++;
  }

  /** One search from one beginning; null when it found no good set. */
  round(random: () => number, number: number): Int32Array | null {
    const costs = this.#roundCost;
    const noise = number === 0 ? 0 : NOISE_COST / this.count;
    for (let at = 0; at < this.#size; at++) {
      const before = (USED_BEFORE_COST / this.count) * (this.#timesUsed[at] as number);
      costs[at] = (this.#cost[at] as number) + noise * random() + before;
    }
    this.#pool.set(this.#order.subarray(0, this.#pool.length));
    this.#pool.sort((a, b) => (costs[a] as number) - (costs[b] as number) || a - b);
    this.#start(this.#beginning());
    let swaps = MENDING_SWAPS;
    for (let missing = this.#shortage(); missing > 0; ) {
      if (swaps <= 0) return null;
      const less = this.#mend(missing);
      swaps -= this.count * this.#size;
      if (less >= missing) return null;
      missing = less;
    }
    this.#cheapen(CHEAPENING_SWAPS);
    return this.#members.slice();
  }

  /** The cheapest nodes, each in a failure domain of its own as far as that goes. */
  #beginning(): Int32Array {
    const apart = this.#apart;
    if (apart === null) return this.#pool;
    const taken = new Set<number>();
    const chosen: number[] = [];
    const rest: number[] = [];
    for (const column of [this.#pool, this.#order]) {
      for (let place = 0; place < column.length && chosen.length < this.count; place++) {
        const at = column[place] as number;
        const domain = apart[at] as number;
        if (!taken.has(domain)) {
          taken.add(domain);
          chosen.push(at);
        } else if (column === this.#pool) rest.push(at);
      }
    }
    return Int32Array.from([...chosen, ...rest.filter((at) => !chosen.includes(at))].slice(0, this.count));
  }

  used(members: Int32Array): void {
    for (const at of members) this.#timesUsed[at] = (this.#timesUsed[at] as number) + 1;
  }

  #start(members: Int32Array): void {
    for (const at of this.#members) this.#place[at] = -1;
    this.#inRack.fill(0);
    this.#inSite.fill(0);
    this.#inApart.fill(0);
    this.#sum.fill(0);
    for (let place = 0; place < this.count; place++) {
      const at = members[place] as number;
      this.#members[place] = at;
      this.#place[at] = place;
      this.#count(at, 1);
    }
  }

  #count(at: number, by: 1 | -1): void {
    const rack = this.#rack[at] as number;
    const site = this.#site[at] as number;
    this.#inRack[rack] = (this.#inRack[rack] as number) + by;
    this.#inSite[site] = (this.#inSite[site] as number) + by;
    if (this.#apart) {
      const domain = this.#apart[at] as number;
      this.#inApart[domain] = (this.#inApart[domain] as number) + by;
    }
    const base = at * this.#classes;
    for (let name = 0; name < this.#classes; name++)
      this.#sum[name] = (this.#sum[name] as number) + by * (this.#free[base + name] as number);
  }

  #swap(out: number, into: number): void {
    const place = this.#place[out] as number;
    this.#count(out, -1);
    this.#count(into, 1);
    this.#place[out] = -1;
    this.#place[into] = place;
    this.#members[place] = into;
  }

  /** What the set is short of, as a sum of missing parts, and one for each slice too many in a failure domain. */
  #shortage(): number {
    let missing = 0;
    for (let name = 0; name < this.#classes; name++) {
      const asked = this.#asked[name] as number;
      const sum = this.#sum[name] as number;
      if (sum < asked) missing += (asked - sum) / asked;
    }
    if (this.#apart) {
      for (const at of this.#members) {
        const together = this.#inApart[this.#apart[at] as number] as number;
        if (together > 1) missing += (together - 1) / together;
      }
    }
    return missing;
  }

  #shortageAfter(out: number, into: number): number {
    const free = this.#free;
    const sums = this.#sum;
    const askedFor = this.#asked;
    const classes = this.#classes;
    const leaves = out * classes;
    const comes = into * classes;
    let missing = 0;
    for (let name = 0; name < classes; name++) {
      const asked = askedFor[name] as number;
      const sum = (sums[name] as number) - (free[leaves + name] as number) + (free[comes + name] as number);
      if (sum < asked) missing += (asked - sum) / asked;
    }
    const apart = this.#apart;
    if (apart === null) return missing;
    const from = apart[out] as number;
    const to = apart[into] as number;
    const members = this.#members;
    for (let place = 0; place < members.length; place++) {
      const at = members[place] as number;
      if (at === out) continue;
      const domain = apart[at] as number;
      let together = this.#inApart[domain] as number;
      if (domain === from) together--;
      if (domain === to) together++;
      if (together > 1) missing += (together - 1) / together;
    }
    const last = (this.#inApart[to] as number) + (to === from ? 0 : 1);
    return last > 1 ? missing + (last - 1) / last : missing;
  }

  /** The swap that lessens the shortage most, and of those the cheapest. @returns what is then missing */
  #mend(missing: number): number {
    let bestOut = -1;
    let bestIn = -1;
    let least = missing;
    let leastCost = Number.POSITIVE_INFINITY;
    const costs = this.#roundCost;
    for (let place = 0; place < this.count; place++) {
      const out = this.#members[place] as number;
      for (let turn = 0; turn < this.#size; turn++) {
        const into = this.#order[turn] as number;
        if (this.#place[into] !== -1) continue;
        const after = this.#shortageAfter(out, into);
        if (after > least || after === missing) continue;
        const cost = (costs[into] as number) - (costs[out] as number);
        if (after === least && cost >= leastCost) continue;
        least = after;
        leastCost = cost;
        bestOut = out;
        bestIn = into;
        // Dearer ones follow: for this place there is none better.
        if (after === 0) break;
      }
    }
    if (bestOut >= 0) this.#swap(bestOut, bestIn);
    return least;
  }

  /** Swaps with the pool while the set stays good and gets cheaper: each place in turn, until none gains. */
  #cheapen(budget: number): void {
    const costs = this.#roundCost;
    const pool = this.#pool;
    let left = budget;
    let idle = 0;
    for (let place = 0; idle < this.count && left > 0; place = (place + 1) % this.count) {
      const out = this.#members[place] as number;
      let best = -1;
      let most = -1e-12;
      for (let at = 0; at < pool.length; at++) {
        const into = pool[at] as number;
        if (this.#place[into] !== -1) continue;
        left--;
        const gain = (costs[into] as number) - (costs[out] as number) + this.#pairsAfter(out, into);
        if (gain >= most || this.#shortageAfter(out, into) > 0) continue;
        most = gain;
        best = into;
      }
      if (best < 0) idle++;
      else {
        this.#swap(out, best);
        idle = 0;
      }
    }
  }

  /** What the pairs of the set cost more after a swap, in a few steps. */
  #pairsAfter(out: number, into: number): number {
    if (this.count < 2) return 0;
    const rackOut = this.#rack[out] as number;
    const rackIn = this.#rack[into] as number;
    const siteOut = this.#site[out] as number;
    const siteIn = this.#site[into] as number;
    const withOut = this.#inRack[rackOut] as number;
    const withIn = (this.#inRack[rackIn] as number) - (rackIn === rackOut ? 1 : 0);
    const nearOut = Math.max(withOut, this.#inSite[siteOut] as number);
    const nearIn = Math.max(withIn, (this.#inSite[siteIn] as number) - (siteIn === siteOut ? 1 : 0));
    const others = this.count - 1;
    const before =
      (withOut - 1) * DISTANCE_RACK +
      (nearOut - withOut) * DISTANCE_SITE +
      (others + 1 - nearOut) * DISTANCE_FAR;
    const after =
      withIn * DISTANCE_RACK + (nearIn - withIn) * DISTANCE_SITE + (others - nearIn) * DISTANCE_FAR;
    // Each pair counts from both its ends.
    const network = (2 * (after - before)) / (this.count * others) / (DISTANCE_FAR - DISTANCE_RACK);
    const mostRacks = Math.min(this.count, this.#racks);
    const racks = (withIn === 0 ? 1 : 0) - (withOut === 1 ? 1 : 0);
    const domains = mostRacks < 2 ? 0 : racks / (mostRacks - 1);
    return (network * this.#weights.network - domains * this.#weights.domains) / this.#weightSum;
  }

  /** Mean distance between two of its nodes, 0 (one rack) to 1 (none in the same site). */
  #network(): number {
    if (this.count < 2) return 0;
    let distance = 0;
    for (const at of this.#members) {
      const rack = this.#inRack[this.#rack[at] as number] as number;
      const site = Math.max(rack, this.#inSite[this.#site[at] as number] as number);
      distance +=
        (rack - 1) * DISTANCE_RACK + (site - rack) * DISTANCE_SITE + (this.count - site) * DISTANCE_FAR;
    }
    return (distance / (this.count * (this.count - 1)) - DISTANCE_RACK) / (DISTANCE_FAR - DISTANCE_RACK);
  }

  /** In how many racks it is, of as many as it could be in: 0 to 1. */
  #domains(): number {
    const most = Math.min(this.count, this.#racks);
    if (most < 2) return 1;
    let racks = 0;
    for (const at of this.#members) racks += 1 / (this.#inRack[this.#rack[at] as number] as number);
    return (racks - 1) / (most - 1);
  }

  #costOf(members: Int32Array, cost: Float64Array): number {
    let sum = 0;
    for (const at of members) sum += cost[at] as number;
    return (
      sum +
      (this.#network() * this.#weights.network - this.#domains() * this.#weights.domains) / this.#weightSum
    );
  }

  scoresOf(members: Int32Array): CandidateScores {
    this.#start(members);
    const mean = (column: Float64Array) => {
      let sum = 0;
      for (const at of members) sum += column[at] as number;
      return sum / this.count;
    };
    const scores = {
      fit: mean(this.#fitOf),
      domains: this.#domains(),
      network: 1 - this.#network(),
      fragmentation: mean(this.#fragmentationOf),
      energy: mean(this.#energyOf),
    };
    let total = 0;
    for (const name of Object.keys(scores) as (keyof typeof scores)[]) {
      total += scores[name] * this.#weights[name];
      scores[name] = rounded(scores[name]);
    }
    return { ...scores, total: rounded(total / this.#weightSum) };
  }

  /** The slices of a good set; null when steps or devices do not come out even on it. */
  slicesOf(members: Int32Array): PlannedSlice[] | null {
    const { total, policy, exclusive, devices = [] } = this.request;
    const isNamed = this.request.nodes !== null && typeof this.request.nodes !== 'number';
    const chosen = [...members].map((at) => this.nodes[at] as NodeSnapshot);
    if (!isNamed) chosen.sort((a, b) => b.free.memoryMiB - a.free.memoryMiB || compareNames(a.name, b.name));
    const amounts = chosen.map(() => ({ cpuMilli: 0, memoryMiB: 0, diskGiB: 0, networkMbps: 0 }));
    for (const name of RESOURCE_CLASSES) {
      const parts = splitStepped(
        total[name],
        chosen.map((node) => Math.max(0, node.free[name])),
        MIN_SLICE[name],
        chosen.map((node) => node.step[name]),
        policy === 'pack',
      );
      if (parts === null) return null;
      for (const [place, part] of parts.entries()) (amounts[place] as ResourceAmounts)[name] = part;
    }
    const given = matchDevices(devices, chosen);
    if (given === null) return null;
    return chosen
      .map((node, place) => ({
        node,
        amounts: amounts[place] as ResourceAmounts,
        devices: given.get(node.id),
      }))
      .sort((a, b) => (isNamed ? 0 : b.amounts.memoryMiB - a.amounts.memoryMiB))
      .map(({ node, amounts: own, devices: attached }, index) => ({
        nodeId: node.id,
        node: node.name,
        index,
        amounts: own,
        ...ceilingOf(own, this.request),
        ...(attached ? { devices: attached } : {}),
        exclusive,
        reason: isNamed ? 'asked for by name' : `best of the sets of ${this.count} that were weighed`,
      }));
  }
}

/** What is left of a node when its share is taken, of what it could give: 0 to 1. */
function left(free: number, share: number, capacity: number): number {
  return capacity <= 0 ? 0 : Math.min(1, Math.max(0, (free - share) / capacity));
}

function numbered(names: readonly string[]): Int32Array {
  const numbers = new Map<string, number>();
  return Int32Array.from(names, (name) => {
    const known = numbers.get(name) ?? numbers.size;
    numbers.set(name, known);
    return known;
  });
}

const rounded = (score: number): number => Math.round(score * 10_000) / 10_000;
