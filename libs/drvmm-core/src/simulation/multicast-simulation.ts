import { crc32c } from '../codec/crc32c.js';
import { GroupOrder } from '../groups/group-frame.js';
import { groupMemberId } from '../groups/member-id.js';
import {
  type GroupEffect,
  type GroupEvent,
  type GroupTiming,
  ProcessGroup,
  type ProcessGroupOptions,
} from '../groups/process-group.js';
import { MulticastAudit } from './multicast-audit.js';
import { Alarm, type SimulatedNode, type World } from './world.js';

export type CreateProcessGroup = (options: ProcessGroupOptions) => ProcessGroup;

const TIMING: GroupTiming = {
  beatMs: 40,
  silenceMs: 250,
  settleMs: 40,
  patienceMs: 150,
  proposalMs: 120,
};
/** Small, so that states take several frames. */
const CHUNK_BYTES = 64;
const ORDERS = [
  GroupOrder.Unordered,
  GroupOrder.Fifo,
  GroupOrder.Causal,
  GroupOrder.Total,
  GroupOrder.Total,
  GroupOrder.Safe,
];

/** One process group on some of the nodes: members that multicast, leave, crash and come back, and who watches. */
export class MulticastSimulation {
  readonly audit: MulticastAudit;
  readonly #hosts: MulticastHost[];
  isOpen = true;

  constructor(
    readonly world: World,
    readonly group: number,
    readonly nodes: readonly SimulatedNode[],
    readonly create: CreateProcessGroup = (options) => new ProcessGroup(options),
  ) {
    this.audit = new MulticastAudit(world, group);
    this.#hosts = nodes.map((node) => new MulticastHost(this, node));
    for (const host of this.#hosts) host.start();
  }

  get hosts(): readonly MulticastHost[] {
    return this.#hosts;
  }

  at(place: number): MulticastHost | undefined {
    return this.#hosts.find(({ node }) => node.index === place);
  }

  /** Somebody leaves, or stops taking what it is given for a while. */
  disturb(): void {
    const host = this.world.random.pick(this.#hosts);
    if (this.world.random.isLucky(0.5)) host.step({ kind: 'leave' });
    else {
      host.step({ kind: 'pause' });
      this.world.after(this.world.random.between(20, 600), () => host.step({ kind: 'resume' }));
    }
  }

  heal(): void {
    this.isOpen = false;
    for (const host of this.#hosts) host.step({ kind: 'resume' });
  }

  /** Why it is not as it should be when all faults are over; null when it is. */
  unhealed(): string | null {
    const [first] = this.#hosts;
    for (const host of this.#hosts) {
      const { process } = host;
      if (process === null || !process.isInView) return `${host.node.index} is in no view`;
      if (process.members.length !== this.#hosts.length)
        return `${host.node.index} is in a view of ${process.members.length}`;
      if (process.isBlocked) return `${host.node.index} is on its way into another view`;
      if (host.state !== first!.state) return `${host.node.index} is of another mind`;
      if (host.isWaiting) return `${host.node.index} waits to send`;
    }
    return null;
  }
}

/** A member on a node, and what it does with what it is given: its state is a digest of all totally ordered messages. */
export class MulticastHost {
  process: ProcessGroup | null = null;
  state = 0;
  #life = 0;
  #alarm: Alarm | null = null;
  #lastId = 0;
  readonly #asked = new Map<number, string>();

  constructor(
    readonly simulation: MulticastSimulation,
    readonly node: SimulatedNode,
  ) {}

  get isWaiting(): boolean {
    return this.#asked.size > 0;
  }

  start(): void {
    const { world, group, hosts, create, nodes } = this.simulation;
    const hasAnyState = hosts.some(({ process }) => process?.isInView === true);
    this.state = 0;
    this.#asked.clear();
    const process = create({
      group,
      id: groupMemberId(this.node.index, ++this.#life),
      // When all are gone somebody founds it anew; in the beginning all do.
      isFounder: !hasAnyState || this.#life === 1,
      hasState: true,
      electorate: nodes.map(({ index }) => index),
      timing: TIMING,
      random: world.random.next,
      nowMs: world.localMs(this.node),
      chunkBytes: CHUNK_BYTES,
    });
    this.process = process;
    this.#alarm = new Alarm(
      world,
      this.node,
      () => process.nextDeadlineMs,
      () => this.step({ kind: 'tick' }),
    );
    this.#carryOut(process.start());
    this.step({ kind: 'contacts', places: nodes.map(({ index }) => index) });
    this.#act(process);
  }

  crash(): void {
    if (this.process !== null) this.simulation.audit.crashed(this.process.id);
    this.process = null;
    this.#alarm = null;
  }

  step(event: GroupEvent): void {
    const { process, node } = this;
    if (process === null || !node.isUp) return;
    this.#carryOut(process.step(event, this.simulation.world.localMs(node)));
    this.#alarm?.set();
  }

  #carryOut(effects: readonly GroupEffect[]): void {
    const { world, audit } = this.simulation;
    const { id } = this.process!;
    let captured: (GroupEvent & { kind: 'captured' }) | null = null;
    let hasLeft = false;
    for (const effect of effects) {
      switch (effect.kind) {
        case 'send': {
          const target = this.simulation.at(effect.to);
          if (target !== undefined)
            world.send(this.node, target.node, effect.frame, (frame) =>
              target.step({ kind: 'frame', frame }),
            );
          break;
        }
        case 'sent':
          audit.observe(id, effect, this.#asked.get(effect.id)!, this.state);
          this.#asked.delete(effect.id);
          break;
        case 'refused':
          this.#asked.delete(effect.id);
          break;
        case 'deliver': {
          audit.observe(id, effect, Buffer.from(effect.data).toString(), this.state);
          if (effect.order >= GroupOrder.Total)
            this.state = crc32c(effect.data, 0, effect.data.length, this.state);
          break;
        }
        case 'restore':
          world.count('statesTaken');
          this.state = Buffer.from(effect.state).readUInt32LE(0);
          break;
        case 'capture': {
          const state = Buffer.alloc(4 + world.random.below(6 * CHUNK_BYTES));
          state.writeUInt32LE(this.state, 0);
          captured = { kind: 'captured', view: effect.view, state };
          break;
        }
        case 'left':
          hasLeft = true;
          audit.observe(id, effect, '', this.state);
          break;
        default:
          audit.observe(id, effect, '', this.state);
      }
    }
    if (captured !== null) this.step(captured);
    if (hasLeft) this.#comeBack();
  }

  #comeBack(): void {
    const { world } = this.simulation;
    world.count('membersLeft');
    this.process = null;
    this.#alarm = null;
    world.afterOn(this.node, world.random.between(10, 800), () => this.start());
  }

  /** Multicasts something now and then, alone or a few at once. */
  #act(process: ProcessGroup): void {
    const { world, audit } = this.simulation;
    world.afterOn(this.node, world.random.between(5, 120), () => {
      if (process !== this.process) return;
      const count = this.simulation.isOpen && this.#asked.size < 20 ? world.random.pick([1, 1, 1, 4]) : 0;
      for (let i = 0; i < count; i++) {
        const order = world.random.pick(ORDERS);
        const id = ++this.#lastId;
        const name = `${process.id}:${id}`;
        this.#asked.set(id, name);
        audit.asked(process.id, name, order);
        this.step({ kind: 'multicast', id, order, data: Buffer.from(name) });
        if (process !== this.process) return;
      }
      this.#act(process);
    });
  }
}
