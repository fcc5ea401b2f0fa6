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
 * cheaper. All over typed arrays, without allocation inside; bounded by SWAPS_PER_ROUND and EXHAUSTIVE_SETS.
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
/** Swaps looked at in a round: with 1,000 nodes and 8 slices, each node is tried in each place once. */
const SWAPS_PER_ROUND = 8_000;
/** Rounds beyond the candidates wanted, since some find a set again. */
const EXTRA_ROUNDS = 3;
/** Sizes tried where the request names no number of nodes, and what is tried either side where these give nothing. */
const SIZES_TRIED = 3;
const OTHER_SIZES_TRIED = 16;
/** As in the choice by taste: `spread` left to itself makes slices of at least this. */
const SPREAD_SLICE = { cpuMilli: 250, memoryMiB: 256 };
/** What a node costs more in a round for each earlier candidate that has it, so that candidates differ. */
const USED_BEFORE_COST = 0.15;
const NOISE_COST = 0.05;

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
  readonly #order: Int32Array;
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
      (this.#weightSum * this.count);
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
    for (let at = 0; at < this.#size; at++) {
      const disturbed = number === 0 ? 0 : NOISE_COST * random();
      const before = USED_BEFORE_COST * (this.#timesUsed[at] as number);
      this.#roundCost[at] = (this.#cost[at] as number) + (disturbed + before) / this.count;
    }
    const costs = this.#roundCost;
    this.#order.sort((a, b) => (costs[a] as number) - (costs[b] as number) || a - b);
    this.#start(this.#order.subarray(0, this.count));
    let swaps = SWAPS_PER_ROUND;
    for (let missing = this.#shortage(); missing > 0; ) {
      if (swaps <= 0) return null;
      const less = this.#mend(missing);
      swaps -= this.count * this.#size;
      if (less >= missing) return null;
      missing = less;
    }
    this.#cheapen(random, SWAPS_PER_ROUND);
    return this.#members.slice();
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
    let missing = 0;
    const leaves = out * this.#classes;
    const comes = into * this.#classes;
    for (let name = 0; name < this.#classes; name++) {
      const asked = this.#asked[name] as number;
      const sum =
        (this.#sum[name] as number) -
        (this.#free[leaves + name] as number) +
        (this.#free[comes + name] as number);
      if (sum < asked) missing += (asked - sum) / asked;
    }
    if (this.#apart) {
      const from = this.#apart[out] as number;
      const to = this.#apart[into] as number;
      for (const at of this.#members) {
        if (at === out) continue;
        const domain = this.#apart[at] as number;
        let together = this.#inApart[domain] as number;
        if (domain === from) together--;
        if (domain === to) together++;
        if (together > 1) missing += (together - 1) / together;
      }
      const last = (this.#inApart[to] as number) + 1 - (to === from ? 1 : 0);
      if (last > 1) missing += (last - 1) / last;
    }
    return missing;
  }

  /** The swap that lessens the shortage most, and of those the cheapest. @returns what is then missing */
  #mend(missing: number): number {
    let bestOut = -1;
    let bestIn = -1;
    let least = missing;
    let leastCost = Number.POSITIVE_INFINITY;
    for (const out of this.#members) {
      for (let into = 0; into < this.#size; into++) {
        if (this.#place[into] !== -1) continue;
        const after = this.#shortageAfter(out, into);
        if (after > least) continue;
        const cost = (this.#roundCost[into] as number) - (this.#roundCost[out] as number);
        if (after === least && cost >= leastCost) continue;
        if (after === missing) continue;
        least = after;
        leastCost = cost;
        bestOut = out;
        bestIn = into;
      }
    }
    if (bestOut >= 0) this.#swap(bestOut, bestIn);
    return least;
  }

  /** Swaps while the set stays good and gets cheaper. */
  #cheapen(random: () => number, budget: number): void {
    let since = 0;
    for (let swaps = 0; swaps < budget && since < this.#size; swaps++) {
      // The cheap ones are tried most: the order is by cost, and the square draws towards its beginning.
      const chance = random();
      const into = this.#order[Math.floor(chance * chance * this.#size)] as number;
      const out = this.#members[Math.floor(random() * this.count)] as number;
      since++;
      if (this.#place[into] !== -1) continue;
      const gain =
        (this.#roundCost[into] as number) - (this.#roundCost[out] as number) + this.#pairsAfter(out, into);
      if (gain >= -1e-12 || this.#shortageAfter(out, into) > 0) continue;
      this.#swap(out, into);
      since = 0;
    }
  }

  /** What the pairs of the set cost more after a swap. */
  #pairsAfter(out: number, into: number): number {
    if (this.count < 2) return 0;
    const before = this.#network() * this.#weights.network - this.#domains() * this.#weights.domains;
    const rackOut = this.#rack[out] as number;
    const rackIn = this.#rack[into] as number;
    const siteOut = this.#site[out] as number;
    const siteIn = this.#site[into] as number;
    this.#inRack[rackOut] = (this.#inRack[rackOut] as number) - 1;
    this.#inRack[rackIn] = (this.#inRack[rackIn] as number) + 1;
    this.#inSite[siteOut] = (this.#inSite[siteOut] as number) - 1;
    this.#inSite[siteIn] = (this.#inSite[siteIn] as number) + 1;
    const place = this.#place[out] as number;
    this.#members[place] = into;
    const after = this.#network() * this.#weights.network - this.#domains() * this.#weights.domains;
    this.#members[place] = out;
    this.#inRack[rackOut] = (this.#inRack[rackOut] as number) + 1;
    this.#inRack[rackIn] = (this.#inRack[rackIn] as number) - 1;
    this.#inSite[siteOut] = (this.#inSite[siteOut] as number) + 1;
    this.#inSite[siteIn] = (this.#inSite[siteIn] as number) - 1;
    return (after - before) / this.#weightSum;
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
