import {
  DurableLog,
  type RecoveredLog,
  recoverLog,
  type StorageOperation,
} from '../consensus/durable-log.js';
import { type ReplicaId } from '../consensus/log-entry.js';
import { LogCorrupt, RecordReader } from '../consensus/log-record.js';
import {
  type ConfigurationChange,
  Raft,
  type RaftOptions,
  RaftRole,
  type RaftTiming,
} from '../consensus/raft.js';
import { SyncMachine } from '../sync/sync-machine.js';
import { SyncService, type SyncServiceEvent, type SyncServiceOptions } from '../sync/sync-service.js';
import { ConsensusAudit } from './consensus-audit.js';
import { SyncWorkload } from './sync-workload.js';
import { VirtualDisk } from './virtual-disk.js';
import { Alarm, type SimulatedNode, type World } from './world.js';

/** What a group is made of; others are given by tests, to see that the simulator finds what is wrong with them. */
export interface GroupParts {
  createRaft(options: RaftOptions): Raft;
  createLog(group: number, recovered: RecoveredLog): DurableLog;
  createReader(): RecordReader;
  createMachine(): SyncMachine;
  createService(options: SyncServiceOptions): SyncService;
}

export const PRODUCTION_PARTS: GroupParts = {
  createRaft: (options) => new Raft(options),
  createLog: (group, recovered) => new DurableLog(group, recovered),
  createReader: () => new RecordReader(),
  createMachine: () => new SyncMachine(),
  createService: (options) => new SyncService(options),
};

export const SIMULATED_RAFT_TIMING: RaftTiming = {
  heartbeatMs: 40,
  electionTimeoutMinMs: 200,
  electionTimeoutMaxMs: 400,
  clockDriftMax: 0.05,
};
const CLIENT_LEASE_MS = 1_500;
/** Small, so that snapshots are made and installed often. */
const COMPACT_AFTER_BYTES = 8_000;
const TRAILING_ENTRIES = 8;
const APPEND_BYTES = 200;
const ROOM_RETRY_MS = 60;

/** One synchronization group on some of the nodes: replicas with their disks, clients, and those who watch. */
export class GroupSimulation {
  readonly #hosts: ReplicaHost[];
  readonly audit: ConsensusAudit;
  readonly workload: SyncWorkload;
  /** Called once, right after the next election. */
  onElection: (() => void) | null = null;

  constructor(
    readonly world: World,
    readonly group: number,
    nodes: readonly SimulatedNode[],
    readonly parts: GroupParts,
  ) {
    this.audit = new ConsensusAudit(world, group);
    const founders = nodes.slice(0, world.random.pick([3, 3, nodes.length])).map(replicaOn);
    this.#hosts = nodes.map((node) => new ReplicaHost(this, node, founders));
    this.workload = new SyncWorkload(
      world,
      group,
      nodes,
      {
        replicas: nodes.map(replicaOn),
        leaseMs: CLIENT_LEASE_MS,
        clockDriftMax: SIMULATED_RAFT_TIMING.clockDriftMax,
      },
      (from, to, frame) => {
        const host = this.hostOf(to);
        world.send(from, host.node, frame, (bytes) => host.step({ kind: 'client', frame: bytes }));
      },
    );
    for (const host of this.#hosts) host.start();
  }

  get hosts(): readonly ReplicaHost[] {
    return this.#hosts;
  }

  hostOf(id: ReplicaId): ReplicaHost {
    return this.#hosts.find(({ node }) => replicaOn(node) === id)!;
  }

  get leader(): ReplicaHost | undefined {
    let leader: ReplicaHost | undefined;
    for (const host of this.#hosts) {
      const raft = host.service?.replica.raft;
      if (!host.node.isUp || raft?.role !== RaftRole.Leader) continue;
      if (leader === undefined || raft.term > leader.service!.replica.raft.term) leader = host;
    }
    return leader;
  }

  /** Asks the leader for a change of members, or to hand over. */
  disturb(): void {
    const { random } = this.world;
    const { leader } = this;
    if (leader === undefined) return;
    if (random.isLucky(0.4)) {
      leader.step({ kind: 'transfer', to: replicaOn(random.pick(this.#hosts).node) });
      return;
    }
    // Several at once: all but the first are to be refused.
    for (let changes = random.pick([1, 1, 3]); changes > 0; changes--) this.#changeMembers(leader);
  }

  #changeMembers(leader: ReplicaHost): void {
    const { random } = this.world;
    const id = replicaOn(random.pick(this.#hosts).node);
    const { voters, learners } = leader.service!.replica.raft.configuration;
    let change: ConfigurationChange = { kind: 'addLearner', id };
    if (learners.includes(id)) change = { kind: random.isLucky(0.8) ? 'promote' : 'remove', id };
    else if (voters.includes(id)) {
      if (voters.length <= 2) return;
      change = { kind: random.isLucky(0.5) ? 'remove' : 'demote', id };
    }
    this.world.count('changesAsked');
    leader.step({ kind: 'configure', id: leader.nextId(), change });
  }

  elected(): void {
    const { onElection } = this;
    this.onElection = null;
    onElection?.();
  }

  /** Why it is not as it should be when all faults are over; null when it is. */
  unhealed(): string | null {
    const { leader } = this;
    if (leader === undefined) return 'it has no leader';
    const { raft } = leader.service!.replica;
    for (const id of [...raft.configuration.voters, ...raft.configuration.learners]) {
      const applied = this.hostOf(id).service?.replica.appliedIndex ?? 0;
      if (applied + 50 < raft.commit) return `replica ${id} has applied ${applied} of ${raft.commit}`;
    }
    if (this.workload.clients.some(({ isIdle }) => !isIdle)) return 'a client waits for an answer';
    return null;
  }
}

export const replicaOn = (node: SimulatedNode): ReplicaId => node.index + 1;

/** A replica on a node with its disk. */
export class ReplicaHost {
  readonly disk: VirtualDisk;
  service: SyncService | null = null;
  #alarm: Alarm | null = null;
  #lastId = 0;
  /** Called once, in the middle of the next operation of this kind. */
  onStorage: { kind: StorageOperation['kind']; run: () => void } | null = null;
  isSlow = false;

  constructor(
    readonly simulation: GroupSimulation,
    readonly node: SimulatedNode,
    readonly founders: readonly ReplicaId[],
  ) {
    this.disk = new VirtualDisk(simulation.world.random);
  }

  nextId(): number {
    return ++this.#lastId;
  }

  start(): void {
    const { world, parts, group, audit } = this.simulation;
    const { node, disk } = this;
    const id = replicaOn(node);
    let recovered: RecoveredLog;
    try {
      const founders = this.founders.includes(id) ? this.founders : [];
      recovered = recoverLog(group, disk.files(), founders, parts.createReader());
    } catch (error) {
      if (!(error instanceof LogCorrupt)) throw error;
      world.violation(`group ${group}: durability: ${error.message}`);
      return;
    }
    audit.recovered(id, recovered.state.entries);
    for (const operation of recovered.repairs) disk.perform(operation);
    let raft!: Raft;
    const service = parts.createService({
      id,
      group,
      recovered,
      machine: parts.createMachine(),
      timing: SIMULATED_RAFT_TIMING,
      random: world.random.next,
      nowMs: world.localMs(node),
      compactAfterBytes: COMPACT_AFTER_BYTES,
      trailingEntries: TRAILING_ENTRIES,
      appendBytes: APPEND_BYTES,
      createRaft: (options) => {
        raft = parts.createRaft(options);
        return raft;
      },
      createLog: (ofGroup, from) => parts.createLog(ofGroup, from),
      observe: (effect) => {
        audit.observe(raft, effect, service.replica.appliedIndex);
        if (effect.kind === 'role' && effect.role === RaftRole.Leader) this.simulation.elected();
      },
    });
    this.service = service;
    this.#alarm = new Alarm(
      world,
      node,
      () => service.nextDeadlineMs,
      () => this.step({ kind: 'tick' }),
    );
    this.#carryOut(service.start());
    this.#alarm.set();
  }

  /** isPowerCut: what was not synced is at the mercy of the disk; else the host's memory still has it. */
  crash(isPowerCut: boolean): void {
    this.service = null;
    this.#alarm = null;
    if (isPowerCut) this.disk.powerCut();
  }

  step(event: SyncServiceEvent): void {
    const { service } = this;
    if (service === null || !this.node.isUp) return;
    this.#carryOut(service.step(event, this.simulation.world.localMs(this.node)));
    this.#alarm?.set();
  }

  #carryOut(effects: ReturnType<SyncService['step']>): void {
    const { world, workload } = this.simulation;
    for (const effect of effects) {
      switch (effect.kind) {
        case 'send': {
          const target = this.simulation.hostOf(effect.to);
          world.send(this.node, target.node, effect.frame, (frame) => target.step({ kind: 'frame', frame }));
          break;
        }
        case 'reply': {
          const client = workload.clients[effect.client - 1];
          if (client !== undefined)
            world.send(this.node, client.node, effect.frame, (frame) => client.receive(frame));
          break;
        }
        case 'storage':
          this.#perform(effect.operations, 0);
          break;
        case 'answer':
        case 'refuse':
          break;
      }
    }
  }

  #perform(operations: readonly StorageOperation[], at: number): void {
    const { world } = this.simulation;
    const operation = operations[at];
    if (operation === undefined) {
      this.step({ kind: 'stored' });
      return;
    }
    const isSlow = this.isSlow || world.random.isLucky(0.02);
    const delayMs = operation.kind === 'sync' ? world.random.between(0.2, isSlow ? 80 : 2) : 0.05;
    if (this.onStorage?.kind === operation.kind) {
      const { run } = this.onStorage;
      this.onStorage = null;
      world.afterOn(this.node, world.random.between(0, delayMs), run);
    }
    world.afterOn(this.node, delayMs, () => {
      if (this.disk.perform(operation)) {
        this.#perform(operations, at + 1);
        return;
      }
      world.count('disksFull');
      this.step({ kind: 'noRoom' });
      world.afterOn(this.node, ROOM_RETRY_MS, () => this.step({ kind: 'room' }));
    });
  }
}
