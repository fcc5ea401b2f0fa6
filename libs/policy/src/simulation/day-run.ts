import { RESOURCE_CLASSES, type ResourceAmounts } from '@drvs/contracts';
import { planBalance } from '../balance/balance.js';
import { planConsolidation } from '../consolidate/consolidate.js';
import { planEvacuation } from '../evacuate/evacuate.js';
import { ClusterState } from '../plan/cluster-state.js';
import type { PlanInput } from '../plan/complete-plan.js';
import type { Plan, PlanStep } from '../plan/plan.js';
import { makeRoom } from '../plan/slice-step.js';
import type { PlannerPolicy } from '../planner-policy.js';
import { seasonalForecast } from '../power/forecast.js';
import { planWake } from '../power/wake.js';
import { planReallocation } from '../reallocate/reallocate.js';
import { capacityOf } from '../snapshot/amounts.js';
import type { NodeRecord, ProcessRecord } from '../snapshot/cluster-snapshot.js';
import { Ledger } from '../snapshot/ledger.js';
import type { Contender } from './contenders.js';
import { type DayLaws, levelAt, type SliceShape, type Workload, wanderAt } from './laws.js';
import { type DayResult, Meter } from './meter.js';

const TICK_S = 600;
const DAY_SLOTS = 86_400 / TICK_S;
const HOUR_MS = 3_600_000;
/** Nodes are emptied less often than load is balanced: it is the greater upheaval. */
const CONSOLIDATE_EVERY_TICKS = 3;
/** Past days that the forecast knows. */
const PAST_DAYS = 3;
/** From the moment that a need shows until a new limit is in force. */
const REACTION_S = 5;
/** From a node's failure until it is proven and its slices start elsewhere. */
const DETECTION_S = 60;
const NOTHING = new Float64Array(RESOURCE_CLASSES.length);
/** A batch that has waited for so long is refused. */
const PATIENCE_MS = HOUR_MS;

type Batch = DayLaws['batches'][number];

/** One contender's day. */
export class DayRun {
  readonly #laws: DayLaws;
  readonly #contender: Contender;
  readonly #hours: number;
  readonly #seed: number;
  readonly #policy: PlannerPolicy;
  readonly #state: ClusterState;
  readonly #meter = new Meter();
  readonly #present = new Map<
    string,
    { workload: Workload; processes: ProcessRecord[]; shares: number[]; untilMs: number }
  >();
  readonly #booting = new Map<string, number>();
  readonly #history: number[][];
  readonly #movesAt: { atMs: number; moves: number }[] = [];
  #waiting: Batch[] = [];
  #nextBatch = 0;
  #nextFailure = 0;
  #nextNode = 0;

  constructor(
    laws: DayLaws,
    contender: Contender,
    day: { hours: number; seed: number; policy: PlannerPolicy },
  ) {
    this.#laws = laws;
    this.#contender = contender;
    this.#hours = day.hours;
    this.#seed = day.seed;
    this.#policy = day.policy;
    this.#state = new ClusterState({
      id: `day-${day.seed}`,
      atMs: 0,
      nodes: laws.nodes,
      drvms: [],
      slices: [],
      processes: [],
      movesLastHour: 0,
    });
    this.#history = contender.isPlanned && laws.hasPast ? this.#pastDays() : [];
    const { placement } = contender;
    // What was there before the day was placed one by one, with no thought of the morrow.
    const ledger = new Ledger(this.#state.snapshot(), { moves: false });
    for (const workload of laws.residents) this.#place(workload, placement, Number.POSITIVE_INFINITY, ledger);
  }

  run(): DayResult {
    for (let tick = 0; tick < (this.#hours * 3600) / TICK_S; tick++) {
      this.#state.atMs = tick * TICK_S * 1000;
      this.#comeAndGo();
      this.#fail();
      this.#want();
      if (this.#contender.isPlanned) this.#manage(tick);
      this.#meter.tick(this.#state, TICK_S, this.#contender.sharesIdle);
    }
    return this.#meter.result();
  }

  #comeAndGo(): void {
    const { atMs } = this.#state;
    const { batches } = this.#laws;
    for (const [id, { untilMs }] of this.#present) {
      if (untilMs > atMs) continue;
      this.#state.removeDrvm(id);
      this.#present.delete(id);
    }
    for (; this.#nextBatch < batches.length && batches[this.#nextBatch].fromMs <= atMs; this.#nextBatch++)
      this.#waiting.push(batches[this.#nextBatch]);
    if (this.#waiting.length === 0) return;
    const counts = this.#meter.counts.batches;
    const ledger = new Ledger(this.#state.snapshot(), { moves: false });
    this.#waiting = this.#waiting.filter((batch) => {
      if (this.#place(batch, this.#contender.placement, atMs + batch.durationMs, ledger)) {
        counts.placed++;
        this.#meter.waitedFor((atMs - batch.fromMs) / 1000);
        return false;
      }
      if (atMs - batch.fromMs < PATIENCE_MS) return true;
      counts.refused++;
      return false;
    });
  }

  #fail(): void {
    const { atMs } = this.#state;
    const { failures } = this.#laws;
    for (const { nodeId, repairedAtMs } of failures.slice(0, this.#nextFailure)) {
      const node = this.#state.nodes.get(nodeId) as NodeRecord;
      if (node.state === 'down' && repairedAtMs <= atMs)
        Object.assign(node, { state: 'up', isFenced: false });
    }
    for (
      ;
      this.#nextFailure < failures.length && failures[this.#nextFailure].atMs <= atMs;
      this.#nextFailure++
    ) {
      const node = this.#state.nodes.get(failures[this.#nextFailure].nodeId) as NodeRecord;
      // What is off cannot fail.
      if (node.state !== 'up') continue;
      Object.assign(node, { state: 'down', isFenced: true, hotSinceMs: null, coldSinceMs: null });
      if (this.#contender.isPlanned) this.#carryOut(planEvacuation(this.#input(), node.id));
    }
  }

  /** What everything wants now, and since when nodes have been hot or cold and slices idle. */
  #want(): void {
    const { atMs, nodes } = this.#state;
    const { hotUtilisation, coldUtilisation, reallocate } = this.#policy;
    for (const node of nodes.values()) {
      for (const slice of this.#state.slicesOn(node.id)) slice.wanted.cpuMilli = 0;
    }
    for (const [id, { workload, processes, shares }] of this.#present) {
      const level = levelAt(workload, atMs, this.#seed);
      const slices = new Map<string, { wanted: ResourceAmounts }>();
      for (const [place, process] of processes.entries()) {
        const wander = wanderAt(workload.number, process.pid, atMs, this.#seed);
        process.cpuMilli = Math.round(shares[place] * level * wander);
        let slice = slices.get(process.nodeId);
        if (slice === undefined) {
          slice = this.#state.sliceOf(id, process.nodeId);
          slices.set(process.nodeId, slice);
        }
        slice.wanted.cpuMilli += process.cpuMilli;
      }
    }
    for (const node of nodes.values()) {
      let load = 0;
      for (const slice of this.#state.slicesOn(node.id)) {
        const wanted = Math.min(slice.wanted.cpuMilli, slice.ceiling.cpuMilli);
        load += wanted;
        slice.used.cpuMilli = Math.min(wanted, slice.held.cpuMilli);
        const isIdle = slice.held.cpuMilli - wanted * (1 + reallocate.margin) >= reallocate.cpuStepMilli;
        slice.idleSinceMs = isIdle ? (slice.idleSinceMs ?? atMs) : null;
      }
      if (node.state !== 'up') continue;
      const utilisation = load / Math.max(1, capacityOf(node).cpuMilli);
      node.hotSinceMs = utilisation > hotUtilisation ? (node.hotSinceMs ?? atMs) : null;
      node.coldSinceMs = utilisation < coldUtilisation ? (node.coldSinceMs ?? atMs) : null;
    }
  }

  #manage(tick: number): void {
    const { atMs } = this.#state;
    for (const [id, readyAtMs] of this.#booting) {
      if (readyAtMs > atMs) continue;
      (this.#state.nodes.get(id) as NodeRecord).state = 'up';
      this.#booting.delete(id);
    }
    while (this.#movesAt.length > 0 && this.#movesAt[0].atMs <= atMs - HOUR_MS) {
      this.#state.movesLastHour -= (this.#movesAt.shift() as { moves: number }).moves;
    }
    let present = 0;
    for (const node of this.#state.nodes.values())
      for (const slice of this.#state.slicesOn(node.id))
        present += Math.min(slice.wanted.cpuMilli, slice.ceiling.cpuMilli);
    const expect = (seconds: number): number | null =>
      seasonalForecast(this.#history, tick, present, tick, tick + Math.ceil(seconds / TICK_S));
    const bootSeconds = TICK_S;
    const waiting = this.#waiting.map(({ slices }) => slices.map(({ guaranteed }) => guaranteed));
    this.#carryOut(planWake({ ...this.#input(), forecastCpuMilli: expect(bootSeconds), waiting }));
    this.#carryOut(planReallocation(this.#input()));
    const moved = this.#carryOut(planBalance(this.#input()));
    if (moved > 0) this.#carryOut(planReallocation(this.#input()));
    if (tick % CONSOLIDATE_EVERY_TICKS !== 0) return;
    const forecastCpuMilli = expect(this.#policy.power.offSeconds);
    this.#carryOut(planConsolidation({ ...this.#input(), forecastCpuMilli }));
  }

  #input(): PlanInput {
    return { snapshot: this.#state.snapshot(), policy: this.#policy, seed: this.#seed };
  }

  /** Carries a plan out, counts what it costs, and says how many steps it had. */
  #carryOut({ steps }: Plan): number {
    const { atMs } = this.#state;
    const { counts } = this.#meter;
    const movesBefore = this.#state.movesLastHour;
    let bootSeconds = 0;
    for (const step of steps) {
      counts.steps++;
      if (step.action === 'resize-slice') this.#countResize(step);
      else if (step.action === 'power-on') {
        counts.switches.on++;
        bootSeconds = step.seconds;
      } else if (step.action === 'power-off') counts.switches.off++;
      else if ('bytes' in step) {
        if (step.action === 'migrate-process') counts.moves.processes++;
        else counts.moves.slices++;
        counts.moves.gib += step.bytes / 2 ** 30;
        counts.moves.pauseSeconds += step.pauseMs / 1000;
      }
      if (step.action === 'rebuild-slice') {
        const { wanted, guaranteed } = this.#state.sliceOf(step.drvm, step.from);
        const lost = Math.min(wanted.cpuMilli, guaranteed.cpuMilli) / 1000;
        const seconds = DETECTION_S + step.seconds + bootSeconds;
        this.#meter.late(lost * seconds, lost * seconds);
      }
      this.#state.apply(step);
      if (step.action === 'power-on') {
        const node = this.#state.nodes.get(step.node) as NodeRecord;
        const isAwaited = steps.some((other) => 'to' in other && other.to === step.node);
        if (isAwaited) continue;
        node.state = 'powering-on';
        this.#booting.set(step.node, atMs + step.seconds * 1000);
      }
    }
    const moves = this.#state.movesLastHour - movesBefore;
    if (moves > 0) this.#movesAt.push({ atMs, moves });
    return steps.length;
  }

  #countResize({ drvm, node, before, after }: Extract<PlanStep, { action: 'resize-slice' }>): void {
    this.#meter.counts.resizes++;
    const { wanted, ceiling } = this.#state.sliceOf(drvm, node);
    const needed = Math.min(wanted.cpuMilli, ceiling.cpuMilli) - before.cpuMilli;
    const late = Math.max(0, Math.min(needed, after.cpuMilli - before.cpuMilli)) / 1000;
    this.#meter.late(late * REACTION_S, 0);
  }

  /** Places all slices of a workload, each on a node of its own, or none. */
  #place(workload: Workload, placement: Contender['placement'], untilMs: number, ledger: Ledger): boolean {
    const taken = new Set<number>();
    const targets: number[] = [];
    for (const { guaranteed } of workload.slices) {
      const amounts = Float64Array.from(RESOURCE_CLASSES, (name) => guaranteed[name]);
      const node = this.#choose(ledger, amounts, placement, taken);
      if (node < 0) break;
      taken.add(node);
      targets.push(node);
      ledger.deduct(node, amounts, 0);
    }
    if (targets.length < workload.slices.length) {
      for (const [place, node] of targets.entries()) {
        const { guaranteed } = workload.slices[place];
        ledger.deduct(
          node,
          Float64Array.from(RESOURCE_CLASSES, (name) => -guaranteed[name]),
          0,
        );
      }
      return false;
    }
    for (const node of targets) {
      // The guarantee of the newcomer has been deducted: borrowers give back until nothing is below zero.
      for (const step of makeRoom(ledger, node, NOTHING, 0)) {
        this.#state.apply(step);
        this.#meter.counts.resizes++;
      }
    }
    this.#state.addDrvm(workload.drvm);
    const entry = { workload, processes: [] as ProcessRecord[], shares: [] as number[], untilMs };
    for (const [place, shape] of workload.slices.entries()) {
      this.#add(entry, shape, ledger.nodes[targets[place]].id);
    }
    this.#present.set(workload.drvm.id, entry);
    return true;
  }

  #add(
    entry: { workload: Workload; processes: ProcessRecord[]; shares: number[] },
    shape: SliceShape,
    nodeId: string,
  ): void {
    const drvmId = entry.workload.drvm.id;
    const { guaranteed, ceiling, usedMiB } = shape;
    this.#state.addSlice({
      drvmId,
      nodeId,
      guaranteed,
      ceiling,
      held: guaranteed,
      used: { cpuMilli: 0, memoryMiB: usedMiB, diskGiB: guaranteed.diskGiB, networkMbps: 0 },
      wanted: { cpuMilli: 0, memoryMiB: usedMiB, diskGiB: guaranteed.diskGiB, networkMbps: 0 },
      idleSinceMs: null,
      movedAtMs: null,
    });
    for (const { share, imageBytes } of shape.processes) {
      const process: ProcessRecord = {
        drvmId,
        pid: entry.processes.length,
        nodeId,
        cpuMilli: 0,
        imageBytes,
        replicaGroup: null,
        isPinned: false,
        movedAtMs: null,
      };
      entry.processes.push(process);
      entry.shares.push(share * guaranteed.cpuMilli);
      this.#state.addProcess(process);
    }
  }

  #choose(
    ledger: Ledger,
    amounts: Float64Array,
    placement: Contender['placement'],
    taken: Set<number>,
  ): number {
    const mask = new Uint8Array(ledger.nodeCount).fill(1);
    for (const node of taken) mask[node] = 0;
    if (placement === 'tightest') return ledger.tightestFit(amounts, 0, mask, ledger.floorFree);
    let best = -1;
    let most = -1;
    for (let tried = 0; tried < ledger.nodeCount; tried++) {
      const node = placement === 'next' ? (this.#nextNode + tried) % ledger.nodeCount : tried;
      if (mask[node] === 0 || ledger.isOpen[node] === 0) continue;
      const at = node * RESOURCE_CLASSES.length;
      if (amounts.some((amount, c) => amount > ledger.free[at + c])) continue;
      if (placement === 'next') this.#nextNode = node + 1;
      if (placement !== 'emptiest') return node;
      if (ledger.free[at] <= most) continue;
      most = ledger.free[at];
      best = node;
    }
    return best;
  }

  /** What was wanted on the days before, by slot: the same laws, other chances. Known to the forecast alone. */
  #pastDays(): number[][] {
    return Array.from({ length: PAST_DAYS }, (_, day) => {
      const slots = Array.from({ length: DAY_SLOTS }, () => 0);
      for (const workload of [...this.#laws.residents, ...this.#laws.batches]) {
        const guaranteed = workload.slices.reduce((sum, slice) => sum + slice.guaranteed.cpuMilli, 0);
        const isBatch = 'fromMs' in workload;
        const { fromMs, durationMs } = workload as Batch;
        // Yesterday's batches came as many, but not at the same minute.
        const shift = (day - 1) * 2 * TICK_S * 1000;
        for (let slot = 0; slot < DAY_SLOTS; slot++) {
          const atMs = slot * TICK_S * 1000;
          if (isBatch && (atMs < fromMs + shift || atMs >= fromMs + shift + durationMs)) continue;
          slots[slot] += guaranteed * levelAt(workload, atMs, this.#seed + 7919 * (day + 1));
        }
      }
      return slots;
    });
  }
}
