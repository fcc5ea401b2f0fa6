import { DrvsError, type ResourceAmounts } from '@drvs/contracts';
import { addAmounts, amountsFit, capacityOf, mapAmounts, subtractAmounts } from '../snapshot/amounts.js';
import type {
  ClusterSnapshot,
  DrvmRecord,
  NodeRecord,
  ProcessRecord,
  SliceRecord,
} from '../snapshot/cluster-snapshot.js';
import type { PlanStep } from './plan.js';

const MIB = 1 << 20;

/**
 * A cluster to which steps are applied one by one, each checked against what must hold while it is under way and
 * after. It knows nothing of how plans are made: it is what plans are judged by, and what the simulator runs on.
 */
export class ClusterState {
  atMs: number;
  movesLastHour: number;
  readonly nodes = new Map<string, NodeRecord>();
  readonly drvms = new Map<string, DrvmRecord>();
  /** By node, then by DRVM. */
  readonly #slices = new Map<string, Map<string, SliceRecord>>();
  readonly #processes = new Map<string, Map<number, ProcessRecord>>();
  readonly #id: string;
  #changes = 0;

  constructor(snapshot: ClusterSnapshot) {
    this.#id = snapshot.id;
    this.atMs = snapshot.atMs;
    this.movesLastHour = snapshot.movesLastHour;
    for (const node of snapshot.nodes) {
      this.nodes.set(node.id, { ...node });
      this.#slices.set(node.id, new Map());
    }
    for (const drvm of snapshot.drvms) this.addDrvm(drvm);
    for (const slice of snapshot.slices)
      this.addSlice({ ...slice, wanted: { ...slice.wanted }, used: { ...slice.used } });
    for (const process of snapshot.processes) this.addProcess({ ...process });
  }

  addDrvm(drvm: DrvmRecord): void {
    this.drvms.set(drvm.id, drvm);
    this.#processes.set(drvm.id, new Map());
  }

  addSlice(slice: SliceRecord): void {
    this.#on(slice.nodeId).set(slice.drvmId, slice);
    this.#changes++;
  }

  addProcess(process: ProcessRecord): void {
    this.#of(process.drvmId).set(process.pid, process);
    this.#changes++;
  }

  removeDrvm(drvmId: string): void {
    for (const slices of this.#slices.values()) slices.delete(drvmId);
    this.#processes.delete(drvmId);
    this.drvms.delete(drvmId);
    this.#changes++;
  }

  slicesOn(nodeId: string): Iterable<SliceRecord> {
    return this.#on(nodeId).values();
  }

  sliceOf(drvmId: string, nodeId: string): SliceRecord {
    const slice = this.#on(nodeId).get(drvmId);
    if (!slice) throw conflict(`${drvmId} has no slice on ${nodeId}`);
    return slice;
  }

  /** The present state; its records are those of this object, good until the next change. */
  snapshot(): ClusterSnapshot {
    return {
      id: this.#changes === 0 ? this.#id : `${this.#id}+${this.#changes}`,
      atMs: this.atMs,
      nodes: [...this.nodes.values()],
      drvms: [...this.drvms.values()],
      slices: [...this.#slices.values()].flatMap((slices) => [...slices.values()]),
      processes: [...this.#processes.values()].flatMap((processes) => [...processes.values()]),
      movesLastHour: this.movesLastHour,
    };
  }

  /**
   * Carries a step out.
   * @throws DrvsError StateConflict when what it needs is not so: then nothing has changed
   */
  apply(step: PlanStep): void {
    switch (step.action) {
      case 'migrate-process':
        this.#migrate(step);
        break;
      case 'move-slice':
      case 'rebuild-slice':
        this.#move(step);
        break;
      case 'resize-slice':
        this.#resize(step);
        break;
      case 'cordon':
        this.#node(step.node).isCordoned = true;
        break;
      case 'uncordon':
        this.#node(step.node).isCordoned = false;
        break;
      case 'power-off':
        this.#powerOff(step.node);
        break;
      case 'power-on':
        this.#powerOn(step.node);
        break;
    }
    this.#changes++;
  }

  processesOf(drvmId: string): Iterable<ProcessRecord> {
    return this.#of(drvmId).values();
  }

  findSlice(drvmId: string, nodeId: string): SliceRecord | undefined {
    return this.#on(nodeId).get(drvmId);
  }

  freeOn(nodeId: string): ResourceAmounts {
    let free = capacityOf(this.#node(nodeId));
    for (const { held } of this.#on(nodeId).values()) free = subtractAmounts(free, held);
    return free;
  }

  #migrate({ drvm, pid, from, to }: Extract<PlanStep, { action: 'migrate-process' }>): void {
    const process = this.#of(drvm).get(pid);
    const source = this.#on(from).get(drvm);
    const target = this.#on(to).get(drvm);
    if (!process || process.nodeId !== from || !source)
      throw conflict(`process ${pid} of ${drvm} is not on ${from}`);
    if (!target) throw conflict(`${drvm} has no slice on ${to}`);
    if (process.isPinned) throw conflict(`process ${pid} of ${drvm} is bound to ${from}`);
    const memoryMiB = Math.ceil(process.imageBytes / MIB);
    if (target.used.memoryMiB + memoryMiB > target.held.memoryMiB) {
      throw conflict(`process ${pid} of ${drvm} does not fit into the memory of its slice on ${to}`);
    }
    this.#keepReplicasApart(drvm, [process], to);
    const carried = { cpuMilli: 0, memoryMiB, diskGiB: 0, networkMbps: 0 };
    const wanted = { ...carried, cpuMilli: process.cpuMilli };
    source.used = subtractAmounts(source.used, carried);
    source.wanted = subtractAmounts(source.wanted, wanted);
    target.used = addAmounts(target.used, carried);
    target.wanted = addAmounts(target.wanted, wanted);
    // The slices too have changed: another move of them would build on what nobody has measured yet.
    source.movedAtMs = this.atMs;
    target.movedAtMs = this.atMs;
    process.nodeId = to;
    process.movedAtMs = this.atMs;
    this.movesLastHour++;
  }

  #move(step: Extract<PlanStep, { action: 'move-slice' | 'rebuild-slice' }>): void {
    const { drvm, from, to } = step;
    const source = this.#on(from).get(drvm);
    const node = this.#node(to);
    if (!source) throw conflict(`${drvm} has no slice on ${from}`);
    if (node.state !== 'up') throw conflict(`${to} is ${node.state}`);
    const isLost = step.action === 'rebuild-slice';
    if (isLost && !this.#node(from).isFenced) throw conflict(`${from} is not fenced`);
    if (!isLost && this.#node(from).state !== 'up') throw conflict(`${from} is ${this.#node(from).state}`);
    if (!amountsFit(step.guaranteed, source.guaranteed) || !amountsFit(step.ceiling, source.ceiling)) {
      throw conflict(`the slice of ${drvm} on ${from} has less than is to be moved`);
    }
    // Both nodes hold it while it moves: the target must have room before the source gives anything up.
    if (!amountsFit(step.held, this.freeOn(to)))
      throw conflict(`${to} has too little free for a slice of ${drvm}`);
    this.#keepExclusive(drvm, to);
    const processes = step.pids.map((pid) => {
      const process = this.#of(drvm).get(pid);
      if (!process || process.nodeId !== from) throw conflict(`process ${pid} of ${drvm} is not on ${from}`);
      if (process.isPinned && !isLost) throw conflict(`process ${pid} of ${drvm} is bound to ${from}`);
      return process;
    });
    this.#keepReplicasApart(drvm, processes, to);
    const isAll =
      amountsFit(source.guaranteed, step.guaranteed) && step.pids.length === this.#countOn(drvm, from);
    const part = isAll ? source : partOf(source, step, processes);
    const present = this.#on(to).get(drvm);
    if ((present !== undefined) !== step.merges)
      throw conflict(`whether ${drvm} has a slice on ${to} has changed`);
    const arrived: SliceRecord = {
      drvmId: drvm,
      nodeId: to,
      guaranteed: step.guaranteed,
      ceiling: step.ceiling,
      held: step.held,
      used: part.used,
      wanted: part.wanted,
      idleSinceMs: source.idleSinceMs,
      movedAtMs: this.atMs,
      ...(isAll && source.stateBytes !== undefined ? { stateBytes: source.stateBytes } : {}),
    };
    if (isAll) this.#on(from).delete(drvm);
    else reduce(source, arrived);
    this.#on(to).set(drvm, present ? merged(present, arrived) : arrived);
    for (const process of processes) {
      process.nodeId = to;
      process.movedAtMs = this.atMs;
    }
    this.movesLastHour++;
  }

  #resize({ drvm, node, before, after }: Extract<PlanStep, { action: 'resize-slice' }>): void {
    const slice = this.#on(node).get(drvm);
    if (!slice) throw conflict(`${drvm} has no slice on ${node}`);
    if (!amountsFit(before, slice.held) || !amountsFit(slice.held, before)) {
      throw conflict(`what ${drvm} holds on ${node} has changed`);
    }
    if (!amountsFit(slice.guaranteed, after))
      throw conflict(`${drvm} on ${node} would fall below its guarantee`);
    if (!amountsFit(after, slice.ceiling)) throw conflict(`${drvm} on ${node} would rise above its ceiling`);
    const more = mapAmounts((name) => Math.max(0, after[name] - before[name]));
    const free = this.freeOn(node);
    if (
      !amountsFit(
        more,
        mapAmounts((name) => (more[name] > 0 ? free[name] : 0)),
      )
    ) {
      throw conflict(`${node} has too little free for more to ${drvm}`);
    }
    if (after.memoryMiB < before.memoryMiB && after.memoryMiB < slice.used.memoryMiB) {
      throw conflict(`${drvm} on ${node} uses more memory than it would keep`);
    }
    slice.held = after;
    slice.idleSinceMs = null;
  }

  #powerOff(nodeId: string): void {
    const node = this.#node(nodeId);
    if (node.state !== 'up') throw conflict(`${nodeId} is ${node.state}`);
    if (this.#on(nodeId).size > 0) throw conflict(`${nodeId} is not empty`);
    Object.assign(node, { state: 'off', isCordoned: false, hotSinceMs: null, coldSinceMs: null });
  }

  #powerOn(nodeId: string): void {
    const node = this.#node(nodeId);
    if (node.state !== 'off') throw conflict(`${nodeId} is ${node.state}, not off`);
    Object.assign(node, { state: 'up', isCordoned: false, hotSinceMs: null, coldSinceMs: null });
  }

  #keepExclusive(drvm: string, nodeId: string): void {
    const own = this.#drvm(drvm);
    for (const otherId of this.#on(nodeId).keys()) {
      if (otherId === drvm) continue;
      const other = this.#drvm(otherId);
      if (
        own.isExclusive ||
        other.isExclusive ||
        own.avoids.includes(otherId) ||
        other.avoids.includes(drvm)
      ) {
        throw conflict(`${drvm} and ${otherId} may not share ${nodeId}`);
      }
    }
  }

  #keepReplicasApart(drvmId: string, moving: readonly ProcessRecord[], to: string): void {
    const groups = new Set(moving.flatMap(({ replicaGroup }) => replicaGroup ?? []));
    if (groups.size === 0) return;
    const pids = new Set(moving.map(({ pid }) => pid));
    const apart = this.#drvm(drvmId).replicasApart;
    const place = (nodeId: string): string => (apart === 'domain' ? this.#node(nodeId).domain : nodeId);
    const from = moving[0].nodeId;
    if (place(from) === place(to)) return;
    for (const { pid, nodeId, replicaGroup } of this.#of(drvmId).values()) {
      if (replicaGroup === null || !groups.has(replicaGroup) || pids.has(pid)) continue;
      if (place(nodeId) === place(to))
        throw conflict(`two replicas of ${drvmId}/${replicaGroup} would meet on ${to}`);
    }
  }

  #countOn(drvmId: string, nodeId: string): number {
    let count = 0;
    for (const process of this.#of(drvmId).values()) if (process.nodeId === nodeId) count++;
    return count;
  }

  #node(id: string): NodeRecord {
    const node = this.nodes.get(id);
    if (!node) throw conflict(`there is no node ${id}`);
    return node;
  }

  #drvm(id: string): DrvmRecord {
    const drvm = this.drvms.get(id);
    if (!drvm) throw conflict(`there is no DRVM ${id}`);
    return drvm;
  }

  #on(nodeId: string): Map<string, SliceRecord> {
    const slices = this.#slices.get(nodeId);
    if (!slices) throw conflict(`there is no node ${nodeId}`);
    return slices;
  }

  #of(drvmId: string): Map<number, ProcessRecord> {
    const processes = this.#processes.get(drvmId);
    if (!processes) throw conflict(`there is no DRVM ${drvmId}`);
    return processes;
  }
}

const conflict = (message: string): DrvsError => new DrvsError('StateConflict', message);

/** What goes with the processes when only a part of a slice moves: their memory and CPU, and no more. */
function partOf(
  source: SliceRecord,
  step: { guaranteed: ResourceAmounts },
  processes: readonly ProcessRecord[],
): { used: ResourceAmounts; wanted: ResourceAmounts } {
  const memoryMiB = processes.reduce((sum, { imageBytes }) => sum + Math.ceil(imageBytes / MIB), 0);
  const cpuMilli = processes.reduce((sum, process) => sum + process.cpuMilli, 0);
  const diskGiB = Math.min(source.used.diskGiB, step.guaranteed.diskGiB);
  return {
    used: { cpuMilli: Math.min(source.used.cpuMilli, cpuMilli), memoryMiB, diskGiB, networkMbps: 0 },
    wanted: { cpuMilli: Math.min(source.wanted.cpuMilli, cpuMilli), memoryMiB, diskGiB, networkMbps: 0 },
  };
}

function reduce(source: SliceRecord, part: SliceRecord): void {
  source.guaranteed = subtractAmounts(source.guaranteed, part.guaranteed);
  source.ceiling = subtractAmounts(source.ceiling, part.ceiling);
  source.held = mapAmounts((name) =>
    Math.min(source.ceiling[name], Math.max(source.guaranteed[name], source.held[name] - part.held[name])),
  );
  source.used = subtractAmounts(source.used, part.used);
  source.wanted = subtractAmounts(source.wanted, part.wanted);
}

function merged(present: SliceRecord, arrived: SliceRecord): SliceRecord {
  return {
    ...present,
    guaranteed: addAmounts(present.guaranteed, arrived.guaranteed),
    ceiling: addAmounts(present.ceiling, arrived.ceiling),
    held: addAmounts(present.held, arrived.held),
    used: addAmounts(present.used, arrived.used),
    wanted: addAmounts(present.wanted, arrived.wanted),
    movedAtMs: arrived.movedAtMs,
  };
}
