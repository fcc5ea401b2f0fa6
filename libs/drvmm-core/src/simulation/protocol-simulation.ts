import { DEFAULT_SWIM_TIMING, type SwimTiming } from '../membership/swim.js';
import {
  type GroupParts,
  GroupSimulation,
  PRODUCTION_PARTS,
  SIMULATED_RAFT_TIMING,
} from './group-simulation.js';
import { type CreateSwim, MembershipSimulation } from './membership-simulation.js';
import { type CreateProcessGroup, MulticastSimulation } from './multicast-simulation.js';
import { CALM, World } from './world.js';

/**
 * The protocols of the DRVMM, the very code that runs on nodes, under faults in virtual time: membership over all
 * nodes, and synchronization groups by consensus on five nodes each, with clients that use them. Faults come and go
 * until the events are used up; then they end, and all must heal.
 */
export const FAULT_KINDS = [
  'loss',
  'duplication',
  'reordering',
  'corruption',
  'partition',
  'crash',
  'pause',
  'disk',
  'skew',
  'change',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export interface ProtocolSimulationOptions {
  readonly nodes: number;
  readonly seed: number;
  /** Events until the faults end. */
  readonly events: number;
  readonly faults: readonly FaultKind[];
  /** Mean time between two faults. */
  readonly faultEveryMs?: number;
  readonly parts?: Partial<GroupParts>;
  readonly createSwim?: CreateSwim;
  readonly withMembership?: boolean;
  readonly createProcessGroup?: CreateProcessGroup;
  /** Process groups on the nodes of the consensus groups. */
  readonly withProcessGroups?: boolean;
  /** Is told of the progress now and then, 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

export interface ProtocolSimulationReport {
  readonly seed: number;
  readonly nodes: number;
  readonly groups: number;
  readonly virtualSeconds: number;
  readonly events: number;
  readonly violations: readonly string[];
  /** Two runs with one digest were the same run. */
  readonly digest: string;
  readonly faults: readonly FaultKind[];
  readonly counters: Readonly<Record<string, number>>;
}

export const NODES_PER_GROUP = 5;
export const MAX_SIMULATED_NODES = 1_000;
const FAULT_EVERY_MS = 300;
/** Quick to suspect, so that members are wrongly taken for dead and come back. */
const SWIM_TIMING: SwimTiming = { ...DEFAULT_SWIM_TIMING, probeIntervalMs: 300, probeTimeoutMs: 100 };
const HEAL_MS = 30_000;
const HEAL_CHECK_MS = 500;
const JUDGE_EVERY_EVENTS = 200_000;

export function simulateProtocols(options: ProtocolSimulationOptions): ProtocolSimulationReport {
  return new ProtocolSimulation(options).run();
}

class ProtocolSimulation {
  readonly #options: ProtocolSimulationOptions;
  readonly #world: World;
  readonly #groups: GroupSimulation[] = [];
  readonly #membership: MembershipSimulation | null;
  readonly #processGroups: MulticastSimulation[] = [];
  #areFaultsOver = false;

  constructor(options: ProtocolSimulationOptions) {
    this.#options = options;
    const drift = options.faults.includes('skew') ? SIMULATED_RAFT_TIMING.clockDriftMax : 0;
    const world = new World(options.seed, options.nodes, drift);
    this.#world = world;
    this.#membership =
      options.withMembership === false
        ? null
        : new MembershipSimulation(world, SWIM_TIMING, options.createSwim);
    const parts = { ...PRODUCTION_PARTS, ...options.parts };
    const groups = Math.max(1, Math.floor(options.nodes / NODES_PER_GROUP));
    for (let group = 0; group < groups; group++) {
      const nodes = world.nodes.slice(group * NODES_PER_GROUP, (group + 1) * NODES_PER_GROUP);
      this.#groups.push(new GroupSimulation(world, group + 1, nodes, parts));
      if (options.withProcessGroups === false) continue;
      this.#processGroups.push(new MulticastSimulation(world, group + 1, nodes, options.createProcessGroup));
    }
  }

  run(): ProtocolSimulationReport {
    const world = this.#world;
    const { events, onProgress } = this.#options;
    this.#setNetwork();
    this.#scheduleFault();
    while (world.events < events && world.violations.length === 0 && world.advance()) {
      if (world.events % JUDGE_EVERY_EVENTS === 0) onProgress?.(world.events / events);
    }
    if (world.violations.length === 0) this.#heal();
    for (const { workload } of this.#groups) workload.judge();
    const { seed, nodes, faults } = this.#options;
    const commits = this.#groups.reduce((sum, { audit }) => sum + audit.commits, 0);
    return {
      seed,
      nodes,
      groups: this.#groups.length,
      virtualSeconds: Math.round(world.nowMs) / 1000,
      events: world.events,
      violations: world.violations,
      digest: world.digest.toString(16).padStart(8, '0'),
      faults,
      counters: { ...world.counters, commits },
    };
  }

  // ── faults ────────────────────────────────────────────────────────────────────────────────────────────────────

  #has(kind: FaultKind): boolean {
    return this.#options.faults.includes(kind);
  }

  #setNetwork(): void {
    this.#world.network = {
      loss: this.#has('loss') ? 0.03 : 0,
      duplication: this.#has('duplication') ? 0.03 : 0,
      corruption: this.#has('corruption') ? 0.01 : 0,
      delayMsMax: this.#has('reordering') ? 150 : 0,
    };
  }

  #scheduleFault(): void {
    const { random } = this.#world;
    const mean = this.#options.faultEveryMs ?? FAULT_EVERY_MS;
    // The more groups, the more often, so that each gets its share.
    const delayMs = (-Math.log(1 - random.next()) * mean) / this.#groups.length;
    this.#world.after(delayMs, () => {
      if (this.#areFaultsOver) return;
      this.#inject();
      this.#scheduleFault();
    });
  }

  #inject(): void {
    const { random } = this.#world;
    const kinds = (['crash', 'partition', 'pause', 'disk', 'change', 'loss'] as const).filter((kind) =>
      this.#has(kind),
    );
    if (kinds.length === 0) return;
    const kind = random.pick(kinds);
    this.#world.count(`fault.${kind}`);
    const group = random.pick(this.#groups);
    switch (kind) {
      case 'crash':
        this.#injectCrash(group);
        return;
      case 'partition':
        this.#partition(group);
        return;
      case 'pause':
        random.pick(this.#world.nodes).pausedUntilMs = this.#world.nowMs + random.between(50, 1_200);
        return;
      case 'disk': {
        const host = random.pick(group.hosts);
        if (random.isLucky(0.5)) host.isSlow = true;
        else host.disk.isFull = true;
        this.#world.after(random.between(100, 1_500), () => {
          host.isSlow = false;
          host.disk.isFull = false;
        });
        return;
      }
      case 'change': {
        const processGroup = this.#processGroups[group.group - 1];
        if (processGroup !== undefined && random.isLucky(0.5)) processGroup.disturb();
        else group.disturb();
        return;
      }
      case 'loss': {
        this.#world.network.loss = random.between(0.1, 0.5);
        this.#world.after(random.between(100, 600), () => {
          if (!this.#areFaultsOver) this.#setNetwork();
        });
        return;
      }
    }
  }

  /** At any time, or at the worst of times. */
  #injectCrash(group: GroupSimulation): void {
    const { random } = this.#world;
    const isPowerCut = random.isLucky(0.7);
    const downMs = random.between(10, random.isLucky(0.4) ? 100 : 1_500);
    const host = random.pick(group.hosts);
    const all = (): void => {
      for (const { node } of group.hosts) this.#crash(node.index, true, random.between(10, 800));
    };
    switch (random.below(5)) {
      case 0:
      case 1:
        this.#crash(host.node.index, isPowerCut, downMs);
        return;
      case 2:
        all();
        return;
      case 3:
        group.onElection = () => this.#world.after(random.between(0, 1), all);
        return;
      case 4: {
        const kind = random.pick(['write', 'sync', 'syncFolder', 'syncFolder', 'remove'] as const);
        host.onStorage = { kind, run: () => this.#crash(host.node.index, true, downMs) };
        return;
      }
    }
  }

  #crash(index: number, isPowerCut: boolean, downMs: number): void {
    const node = this.#world.nodes[index]!;
    if (!node.isUp) return;
    node.isUp = false;
    node.life++;
    node.pausedUntilMs = 0;
    const hosts = this.#groups.flatMap((group) => group.hosts.filter((host) => host.node === node));
    for (const host of hosts) host.crash(isPowerCut);
    const member = this.#membership?.hosts[index];
    member?.crash();
    const processes = this.#processGroups.flatMap(({ hosts: all }) => all.filter((one) => one.node === node));
    for (const one of processes) one.crash();
    this.#world.after(downMs, () => {
      node.isUp = true;
      node.life++;
      for (const host of hosts) host.start();
      member?.start();
      for (const one of processes) one.start();
      for (const { workload } of this.#groups) {
        for (const client of workload.clients) if (client.node === node) client.resume();
      }
    });
  }

  #partition(group: GroupSimulation): void {
    const world = this.#world;
    const { random } = world;
    const { leader } = group;
    const inside = group.hosts.map(({ node }) => node.index).filter(() => random.isLucky(0.4));
    // A leader with few or none is what leases and reads are tried by.
    if (leader !== undefined && random.isLucky(0.6)) {
      inside.splice(random.below(2));
      if (!inside.includes(leader.node.index)) inside.push(leader.node.index);
    }
    const way = random.below(3);
    for (const { index } of world.nodes) {
      if (inside.includes(index)) continue;
      for (const other of inside) {
        // Symmetric, one way only, or some pairs.
        if (way === 2 && random.isLucky(0.5)) continue;
        world.block(other, index);
        if (way !== 1) world.block(index, other);
      }
    }
    world.after(random.between(200, 2_500), () => world.unblockAll());
  }

  // ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** All faults end; within HEAL_MS everyone is served again and of one mind. */
  #heal(): void {
    const world = this.#world;
    this.#areFaultsOver = true;
    world.network = CALM;
    world.unblockAll();
    for (const group of this.#groups) {
      group.workload.isOpen = false;
      group.onElection = null;
      for (const host of group.hosts) {
        host.onStorage = null;
        host.disk.isFull = false;
        host.isSlow = false;
      }
    }
    for (const one of this.#processGroups) one.heal();
    const endMs = world.nowMs + HEAL_MS;
    let nextCheckMs = world.nowMs + HEAL_CHECK_MS;
    let wrong: string[] = ['nobody looked'];
    while (world.nowMs < endMs && world.violations.length === 0 && world.advance()) {
      if (world.nowMs < nextCheckMs) continue;
      nextCheckMs = world.nowMs + HEAL_CHECK_MS;
      wrong = this.#unhealed();
      if (wrong.length === 0) return;
    }
    if (world.violations.length > 0) return;
    for (const one of wrong.slice(0, 5)) world.violation(`not healed after ${HEAL_MS / 1000} s: ${one}`);
  }

  #unhealed(): string[] {
    const wrong: string[] = [];
    if (this.#world.nodes.some(({ isUp }) => !isUp)) wrong.push('a node is down');
    for (const group of this.#groups) {
      const reason = group.unhealed();
      if (reason !== null) wrong.push(`group ${group.group}: ${reason}`);
    }
    for (const group of this.#processGroups) {
      const reason = group.unhealed();
      if (reason !== null) wrong.push(`process group ${group.group}: ${reason}`);
    }
    wrong.push(...(this.#membership?.wrongBeliefs() ?? []));
    return wrong;
  }
}
