import { DrvsError, type ResourceAmounts } from '@drvs/contracts';
import { CLASS_COUNT, CPU, capacityOf, floorOf, MEMORY } from './amounts.js';
import type { ClusterSnapshot, DrvmRecord, NodeRecord, SliceRecord } from './cluster-snapshot.js';
import { strainOf } from './strain.js';

const MIB = 1 << 20;

/** What `undo` needs to take a relocation back. */
export interface Relocation {
  slice: number;
  source: number;
  held: Float64Array;
}

/**
 * A fork of the allocations, from which a plan deducts as it goes. Nodes, slices and processes are numbers here, and
 * amounts lie in flat arrays (`index * CLASS_COUNT + class`): a search looks at 1,000 nodes in microseconds.
 * All amounts are integers, so sums are exact, whatever the order in which they were added and taken away.
 *
 * Kept at all times, for each node and class: free = capacity - sum of held, floorFree = capacity - sum of floors.
 * Two slices of one DRVM may lie on one node here; the step that brings them together says that they merge.
 */
export class Ledger {
  readonly nodes: readonly NodeRecord[];
  readonly drvms: readonly DrvmRecord[];
  readonly capacity: Float64Array;
  readonly free: Float64Array;
  /** What would be free if every borrower gave back what can be taken back at once. */
  readonly floorFree: Float64Array;
  /** What the slices on a node want, each up to its ceiling. */
  readonly load: Float64Array;
  /** 1 where new slices may come. */
  readonly isOpen: Uint8Array;
  /** Index of the DRVM that has the node to itself, or -1. */
  readonly exclusiveTo: Int32Array;
  readonly slicesOn: number[][];
  readonly sliceNode: Int32Array;
  readonly sliceDrvm: Int32Array;
  readonly sliceGuaranteed: Float64Array;
  readonly sliceCeiling: Float64Array;
  readonly sliceHeld: Float64Array;
  readonly sliceFloor: Float64Array;
  readonly sliceLoad: Float64Array;
  readonly sliceUsedMiB: Float64Array;
  /** Indexes of the processes of each slice. */
  readonly processesIn: number[][];
  readonly #sliceWanted: Float64Array;
  #sliceCount: number;
  /** Reckoned when asked for, and again after a change (NaN): a power is dear. */
  readonly #nodeStrain: Float64Array;
  readonly #sliceStrain: Float64Array;
  readonly #domain: Int32Array;
  readonly #domainCount: number;
  readonly #inverse: Float64Array;
  readonly #avoids: number[][];
  readonly #group: Int32Array;
  readonly #groupApart: Uint8Array;
  /** Replicas by group and place (node, or domain beyond the nodes). */
  readonly #replicasAt = new Map<number, number>();
  readonly #eligible = new Map<string, Uint8Array>();
  readonly #eligibleOf: (Uint8Array | undefined)[];

  /** A plan that moves nothing needs no processes: `moves` false leaves them out, which is most of the work.
   * `parts` is how many parts slices may be cut into with `splitOff`. */
  constructor(
    readonly snapshot: ClusterSnapshot,
    { moves = true, parts = 0 }: { moves?: boolean; parts?: number } = {},
  ) {
    const { nodes, drvms, slices } = snapshot;
    const processes = moves ? snapshot.processes : [];
    this.nodes = nodes;
    this.drvms = drvms;
    const nodeIndex = indexBy(nodes, ({ id }) => id, 'node');
    const drvmIndex = indexBy(drvms, ({ id }) => id, 'DRVM');
    const n = nodes.length;
    this.#sliceCount = slices.length;
    const s = slices.length + parts;
    this.capacity = new Float64Array(n * CLASS_COUNT);
    this.#inverse = new Float64Array(n * CLASS_COUNT);
    this.isOpen = new Uint8Array(n);
    this.exclusiveTo = new Int32Array(n).fill(-1);
    this.slicesOn = Array.from({ length: n }, () => []);
    this.load = new Float64Array(n * CLASS_COUNT);
    this.#domain = new Int32Array(n);
    const domains = new Map<string, number>();
    for (let node = 0; node < n; node++) {
      const record = nodes[node];
      write(this.capacity, node, capacityOf(record));
      this.isOpen[node] = record.state === 'up' && !record.isCordoned ? 1 : 0;
      const domain = domains.get(record.domain) ?? domains.size;
      domains.set(record.domain, domain);
      this.#domain[node] = domain;
    }
    this.#domainCount = domains.size;
    for (let at = 0; at < this.capacity.length; at++)
      this.#inverse[at] = this.capacity[at] > 0 ? 1 / this.capacity[at] : 0;
    this.free = this.capacity.slice();
    this.floorFree = this.capacity.slice();
    this.#avoids = drvms.map(({ avoids }) =>
      avoids.map((id) => drvmIndex.get(id)).filter((index) => index !== undefined),
    );
    for (let drvm = 0; drvm < drvms.length; drvm++)
      for (const other of this.#avoids[drvm])
        if (!this.#avoids[other].includes(drvm)) this.#avoids[other].push(drvm);
    this.#eligibleOf = new Array(drvms.length);

    this.sliceNode = new Int32Array(s);
    this.sliceDrvm = new Int32Array(s);
    this.sliceGuaranteed = new Float64Array(s * CLASS_COUNT);
    this.sliceCeiling = new Float64Array(s * CLASS_COUNT);
    this.sliceHeld = new Float64Array(s * CLASS_COUNT);
    this.sliceFloor = new Float64Array(s * CLASS_COUNT);
    this.sliceLoad = new Float64Array(s * CLASS_COUNT);
    this.#sliceWanted = new Float64Array(s * CLASS_COUNT);
    this.#nodeStrain = new Float64Array(n).fill(Number.NaN);
    this.#sliceStrain = new Float64Array(s).fill(Number.NaN);
    this.sliceUsedMiB = new Float64Array(s);
    this.processesIn = Array.from({ length: s }, () => []);
    const sliceAt = new Map<number, number>();
    for (let slice = 0; slice < slices.length; slice++) {
      const record = slices[slice];
      requireSound(record);
      const node = known(nodeIndex, record.nodeId, 'node');
      const drvm = known(drvmIndex, record.drvmId, 'DRVM');
      this.sliceNode[slice] = node;
      this.sliceDrvm[slice] = drvm;
      sliceAt.set(drvm * n + node, slice);
      write(this.sliceGuaranteed, slice, record.guaranteed);
      write(this.sliceCeiling, slice, record.ceiling);
      write(this.sliceHeld, slice, record.held);
      write(this.sliceFloor, slice, floorOf(record));
      this.sliceUsedMiB[slice] = record.used.memoryMiB;
      write(this.#sliceWanted, slice, record.wanted);
      for (let at = slice * CLASS_COUNT; at < (slice + 1) * CLASS_COUNT; at++)
        this.sliceLoad[at] = Math.min(this.#sliceWanted[at], this.sliceCeiling[at]);
    }
    this.#group = new Int32Array(processes.length).fill(-1);
    const groups = new Map<string, number>();
    const apart: number[] = [];
    // Processes of one slice tend to come one after another: most look-ups are those of the one before.
    let lastDrvm = '';
    let lastNode = '';
    let drvm = -1;
    let slice: number | undefined;
    for (let process = 0; process < processes.length; process++) {
      const { drvmId, nodeId, replicaGroup } = processes[process];
      if (drvmId !== lastDrvm || nodeId !== lastNode || slice === undefined) {
        drvm = known(drvmIndex, drvmId, 'DRVM');
        slice = sliceAt.get(drvm * n + known(nodeIndex, nodeId, 'node'));
        lastDrvm = drvmId;
        lastNode = nodeId;
      }
      if (slice === undefined) {
        throw new DrvsError(
          'InvalidInput',
          `process ${processes[process].pid} is where its DRVM has no slice`,
        );
      }
      this.processesIn[slice].push(process);
      if (replicaGroup === null) continue;
      const key = `${drvm}/${replicaGroup}`;
      const group = groups.get(key) ?? groups.size;
      groups.set(key, group);
      apart[group] = drvms[drvm].replicasApart === 'domain' ? 1 : 0;
      this.#group[process] = group;
    }
    this.#groupApart = Uint8Array.from(apart);
    for (let slice = 0; slice < slices.length; slice++) this.#put(slice, this.sliceNode[slice]);
  }

  get nodeCount(): number {
    return this.nodes.length;
  }

  /** Into how many parts slices may still be cut. */
  get partsLeft(): number {
    return this.sliceNode.length - this.#sliceCount;
  }

  utilisationOf(node: number): number {
    return this.load[node * CLASS_COUNT + CPU] * this.#inverse[node * CLASS_COUNT + CPU];
  }

  nodeStrain(node: number): number {
    const known = this.#nodeStrain[node];
    if (!Number.isNaN(known)) return known;
    const at = node * CLASS_COUNT + CPU;
    const strain = strainOf(this.load[at], this.capacity[at]);
    this.#nodeStrain[node] = strain;
    return strain;
  }

  sliceStrain(slice: number): number {
    const known = this.#sliceStrain[slice];
    if (!Number.isNaN(known)) return known;
    const at = slice * CLASS_COUNT + CPU;
    const strain = strainOf(this.sliceLoad[at], this.sliceHeld[at]);
    this.#sliceStrain[slice] = strain;
    return strain;
  }

  /** The CPU that a slice would want, within its ceiling, with so much more. */
  wantedAfter(slice: number, moreCpuMilli: number): number {
    const at = slice * CLASS_COUNT + CPU;
    return Math.min(this.#sliceWanted[at] + moreCpuMilli, this.sliceCeiling[at]);
  }

  /** Which nodes' traits and taints suit a DRVM: 1 where they do. The same for all with the same demands. */
  eligibleFor(drvm: number): Uint8Array {
    const known = this.#eligibleOf[drvm];
    if (known) return known;
    const { requires, tolerates } = this.drvms[drvm];
    const key = JSON.stringify([[...requires].sort(), [...tolerates].sort()]);
    let mask = this.#eligible.get(key);
    if (!mask) {
      mask = Uint8Array.from(this.nodes, ({ traits, taints }) =>
        requires.every((trait) => traits.includes(trait)) &&
        taints.every((taint) => tolerates.includes(taint))
          ? 1
          : 0,
      );
      this.#eligible.set(key, mask);
    }
    this.#eligibleOf[drvm] = mask;
    return mask;
  }

  /**
   * The node among those with mask 1 where `amounts` (one number per class, at `offset`) leaves the least free, as
   * a sum over the classes of the part of the node that stays free; -1 where it fits nowhere. The first of equals.
   * With `floorFree` as the fourth argument, what borrowers would give back counts as free.
   */
  tightestFit(amounts: Float64Array, offset: number, mask: Uint8Array, free = this.free): number {
    const { capacity, isOpen } = this;
    const inverse = this.#inverse;
    const cpu = amounts[offset];
    const memory = amounts[offset + 1];
    const disk = amounts[offset + 2];
    const network = amounts[offset + 3];
    let best = -1;
    let least = Number.POSITIVE_INFINITY;
    for (let node = 0, at = 0; at < capacity.length; node++, at += CLASS_COUNT) {
      const cpuLeft = free[at] - cpu;
      if (cpuLeft < 0) continue;
      const memoryLeft = free[at + 1] - memory;
      const diskLeft = free[at + 2] - disk;
      const networkLeft = free[at + 3] - network;
      if (memoryLeft < 0 || diskLeft < 0 || networkLeft < 0) continue;
      const left =
        cpuLeft * inverse[at] +
        memoryLeft * inverse[at + 1] +
        diskLeft * inverse[at + 2] +
        networkLeft * inverse[at + 3];
      if (left >= least || (mask[node] & isOpen[node]) === 0) continue;
      least = left;
      best = node;
    }
    return best;
  }

  /** Deducts amounts from a node for what is no slice of the snapshot, for instance one just asked for. */
  deduct(node: number, amounts: Float64Array, offset: number): void {
    for (let c = 0; c < CLASS_COUNT; c++) {
      this.free[node * CLASS_COUNT + c] -= amounts[offset + c];
      this.floorFree[node * CLASS_COUNT + c] -= amounts[offset + c];
    }
  }

  /** Whether the floor of a slice fits into `room`, which is `free` or `floorFree`. */
  fits(slice: number, node: number, room: Float64Array): boolean {
    const from = slice * CLASS_COUNT;
    const at = node * CLASS_COUNT;
    for (let c = 0; c < CLASS_COUNT; c++) if (this.sliceFloor[from + c] > room[at + c]) return false;
    return true;
  }

  /** The part of a node that stays free, summed over the classes, if a slice's floor came to it. */
  leftAfter(slice: number, node: number): number {
    let left = 0;
    for (let c = 0; c < CLASS_COUNT; c++) {
      const at = node * CLASS_COUNT + c;
      left += (this.free[at] - this.sliceFloor[slice * CLASS_COUNT + c]) * this.#inverse[at];
    }
    return left;
  }

  /** Whether exclusive use, or DRVMs that avoid each other, keep a slice from a node. */
  isKeptOut(slice: number, node: number): boolean {
    const drvm = this.sliceDrvm[slice];
    const owner = this.exclusiveTo[node];
    if (owner >= 0 && owner !== drvm) return true;
    const avoided = this.#avoids[drvm];
    if (!this.drvms[drvm].isExclusive && avoided.length === 0) return false;
    return this.slicesOn[node].some((other) => {
      const otherDrvm = this.sliceDrvm[other];
      return otherDrvm !== drvm && (this.drvms[drvm].isExclusive || avoided.includes(otherDrvm));
    });
  }

  /** Whether all processes of a slice may come to a node without meeting a replica of their groups. */
  keepsReplicasApart(slice: number, node: number): boolean {
    for (const process of this.processesIn[slice]) {
      if (!this.mayReplicaMove(process, this.sliceNode[slice], node)) return false;
    }
    return true;
  }

  mayReplicaMove(process: number, source: number, target: number): boolean {
    const group = this.#group[process];
    if (group < 0 || source === target) return true;
    const sourcePlace = this.#placeOf(group, source);
    const targetPlace = this.#placeOf(group, target);
    if (sourcePlace === targetPlace) return true;
    return !this.#replicasAt.get(this.#replicaKey(group, targetPlace));
  }

  /** Why a slice cannot move, whatever else is so; null when it can. */
  whyItStays(slice: number): NonNullable<SliceRecord['stays']> | null {
    const { stays } = this.snapshot.slices[slice] ?? {};
    if (stays !== undefined) return stays;
    const isPinned = this.processesIn[slice].some((process) => this.snapshot.processes[process].isPinned);
    return isPinned ? 'pinned-process' : null;
  }

  /**
   * Moves a slice with all that is in it. It keeps what it held as far as the target has that free, and its floor in
   * any case: the caller has asked `fits`.
   */
  relocate(slice: number, target: number): Relocation {
    const source = this.sliceNode[slice];
    const from = slice * CLASS_COUNT;
    const held = this.sliceHeld.slice(from, from + CLASS_COUNT);
    this.#take(slice, source);
    for (let c = 0; c < CLASS_COUNT; c++) {
      const most = Math.min(this.sliceHeld[from + c], this.free[target * CLASS_COUNT + c]);
      this.sliceHeld[from + c] = Math.max(this.sliceFloor[from + c], most);
    }
    this.#put(slice, target);
    return { slice, source, held };
  }

  undo({ slice, source, held }: Relocation): void {
    this.#take(slice, this.sliceNode[slice]);
    this.sliceHeld.set(held, slice * CLASS_COUNT);
    this.#put(slice, source);
  }

  /** Changes what a slice holds of one class. */
  hold(slice: number, c: number, amount: number): void {
    const at = slice * CLASS_COUNT + c;
    this.free[this.sliceNode[slice] * CLASS_COUNT + c] += this.sliceHeld[at] - amount;
    this.sliceHeld[at] = amount;
    this.#sliceStrain[slice] = Number.NaN;
  }

  /**
   * Cuts a part off a slice, which lies on the same node until it is relocated: so much of the floor, with these
   * processes and a like part of what may be borrowed. What has been borrowed is given up.
   */
  splitOff(slice: number, amounts: readonly number[], processes: readonly number[]): number {
    const part = this.#sliceCount;
    if (part >= this.sliceNode.length) throw new RangeError('the ledger was made for fewer parts');
    this.#sliceCount++;
    const node = this.sliceNode[slice];
    this.#take(slice, node);
    this.sliceDrvm[part] = this.sliceDrvm[slice];
    for (let c = 0; c < CLASS_COUNT; c++) {
      const from = slice * CLASS_COUNT + c;
      const to = part * CLASS_COUNT + c;
      const share = this.sliceFloor[from] > 0 ? amounts[c] / this.sliceFloor[from] : 0;
      const spare = this.sliceCeiling[from] - this.sliceFloor[from];
      this.sliceGuaranteed[to] = wholePart(this.sliceGuaranteed[from] * share);
      this.sliceFloor[to] = amounts[c];
      this.sliceHeld[to] = amounts[c];
      this.sliceCeiling[to] = amounts[c] + wholePart(spare * share);
      this.sliceGuaranteed[from] -= this.sliceGuaranteed[to];
      this.sliceFloor[from] -= amounts[c];
      this.sliceCeiling[from] -= this.sliceCeiling[to];
      this.sliceHeld[from] = Math.min(
        this.sliceCeiling[from],
        Math.max(this.sliceFloor[from], this.sliceHeld[from] - amounts[c]),
      );
    }
    this.processesIn[part] = [...processes];
    this.processesIn[slice] = this.processesIn[slice].filter((process) => !processes.includes(process));
    for (const process of processes) {
      const { cpuMilli, imageBytes } = this.snapshot.processes[process];
      const memoryMiB = Math.ceil(imageBytes / MIB);
      this.#want(slice, -cpuMilli, -memoryMiB);
      this.#want(part, cpuMilli, memoryMiB);
    }
    this.#put(slice, node);
    this.#put(part, node);
    return part;
  }

  /** Moves one process between two slices of its DRVM: its CPU, its memory, its place among replicas. */
  moveProcess(process: number, source: number, target: number): void {
    const { cpuMilli, imageBytes } = this.snapshot.processes[process];
    const memoryMiB = Math.ceil(imageBytes / MIB);
    this.#take(source, this.sliceNode[source]);
    this.#take(target, this.sliceNode[target]);
    this.#want(source, -cpuMilli, -memoryMiB);
    this.#want(target, cpuMilli, memoryMiB);
    const list = this.processesIn[source];
    list.splice(list.indexOf(process), 1);
    this.processesIn[target].push(process);
    this.#put(source, this.sliceNode[source]);
    this.#put(target, this.sliceNode[target]);
  }

  #want(slice: number, cpuMilli: number, memoryMiB: number): void {
    const at = slice * CLASS_COUNT;
    this.#sliceWanted[at + CPU] += cpuMilli;
    this.#sliceWanted[at + MEMORY] += memoryMiB;
    this.sliceUsedMiB[slice] += memoryMiB;
    for (const c of [CPU, MEMORY])
      this.sliceLoad[at + c] = Math.min(this.#sliceWanted[at + c], this.sliceCeiling[at + c]);
    this.sliceFloor[at + MEMORY] = Math.max(
      this.sliceGuaranteed[at + MEMORY],
      Math.min(this.sliceUsedMiB[slice], this.sliceHeld[at + MEMORY]),
    );
  }

  #put(slice: number, node: number): void {
    this.#account(slice, node, 1);
    this.sliceNode[slice] = node;
    this.slicesOn[node].push(slice);
    if (this.drvms[this.sliceDrvm[slice]].isExclusive) this.exclusiveTo[node] = this.sliceDrvm[slice];
  }

  #take(slice: number, node: number): void {
    this.#account(slice, node, -1);
    const list = this.slicesOn[node];
    list.splice(list.indexOf(slice), 1);
    if (list.length === 0) this.exclusiveTo[node] = -1;
  }

  #account(slice: number, node: number, sign: number): void {
    const from = slice * CLASS_COUNT;
    const at = node * CLASS_COUNT;
    this.#nodeStrain[node] = Number.NaN;
    this.#sliceStrain[slice] = Number.NaN;
    for (let c = 0; c < CLASS_COUNT; c++) {
      this.free[at + c] -= sign * this.sliceHeld[from + c];
      this.floorFree[at + c] -= sign * this.sliceFloor[from + c];
      this.load[at + c] += sign * this.sliceLoad[from + c];
    }
    for (const process of this.processesIn[slice]) {
      const group = this.#group[process];
      if (group < 0) continue;
      const key = this.#replicaKey(group, this.#placeOf(group, node));
      this.#replicasAt.set(key, (this.#replicasAt.get(key) ?? 0) + sign);
    }
  }

  #placeOf(group: number, node: number): number {
    return this.#groupApart[group] === 1 ? this.nodeCount + this.#domain[node] : node;
  }

  #replicaKey(group: number, place: number): number {
    return group * (this.nodeCount + this.#domainCount) + place;
  }
}

/** Rounded down, but not for want of the last bit. */
const wholePart = (amount: number): number => Math.floor(amount + 1e-6);

function indexBy<T>(items: readonly T[], key: (item: T) => string, what: string): Map<string, number> {
  const index = new Map<string, number>();
  for (const [place, item] of items.entries()) {
    if (index.has(key(item))) {
      throw new DrvsError('InvalidInput', `the snapshot has the ${what} ${key(item)} twice`);
    }
    index.set(key(item), place);
  }
  return index;
}

function known(index: Map<string, number>, id: string, what: string): number {
  const place = index.get(id);
  if (place === undefined) throw new DrvsError('InvalidInput', `the snapshot has no ${what} ${id}`);
  return place;
}

// The classes are written out here and below: a ledger is made anew for every plan, and names looked up in a loop take
// three times as long.
function write(array: Float64Array, index: number, amounts: ResourceAmounts): void {
  const at = index * CLASS_COUNT;
  array[at] = amounts.cpuMilli;
  array[at + 1] = amounts.memoryMiB;
  array[at + 2] = amounts.diskGiB;
  array[at + 3] = amounts.networkMbps;
}

/** Sums are exact only of whole numbers, and a slice out of its bounds would be carried on from plan to plan. */
function requireSound({ drvmId, nodeId, guaranteed, held, ceiling, used, wanted }: SliceRecord): void {
  if (
    isRising(guaranteed.cpuMilli, held.cpuMilli, ceiling.cpuMilli) &&
    isRising(guaranteed.memoryMiB, held.memoryMiB, ceiling.memoryMiB) &&
    isRising(guaranteed.diskGiB, held.diskGiB, ceiling.diskGiB) &&
    isRising(guaranteed.networkMbps, held.networkMbps, ceiling.networkMbps) &&
    areWhole(used) &&
    areWhole(wanted)
  ) {
    return;
  }
  throw new DrvsError(
    'InvalidInput',
    `the slice of ${drvmId} on ${nodeId} is not sound: guaranteed, held and ceiling are whole numbers that rise in this order, used and wanted whole numbers from 0`,
    { details: { guaranteed, held, ceiling, used, wanted } },
  );
}

const isWhole = (amount: number): boolean => Number.isSafeInteger(amount) && amount >= 0;

const isRising = (guaranteed: number, held: number, ceiling: number): boolean =>
  isWhole(guaranteed) && isWhole(held) && isWhole(ceiling) && guaranteed <= held && held <= ceiling;

const areWhole = ({ cpuMilli, memoryMiB, diskGiB, networkMbps }: ResourceAmounts): boolean =>
  isWhole(cpuMilli) && isWhole(memoryMiB) && isWhole(diskGiB) && isWhole(networkMbps);

/** The amounts at `index` of one of the ledger's arrays. */
export function read(array: Float64Array, index: number): ResourceAmounts {
  const at = index * CLASS_COUNT;
  return {
    cpuMilli: array[at],
    memoryMiB: array[at + 1],
    diskGiB: array[at + 2],
    networkMbps: array[at + 3],
  };
}
