import { MemberState } from '../membership/membership-frame.js';
import { type Member, Swim, type SwimEvent, type SwimOptions, type SwimTiming } from '../membership/swim.js';
import { Alarm, type SimulatedNode, type World } from './world.js';

export type CreateSwim = (options: SwimOptions) => Swim;

/** Nodes that everyone joins through. */
const SEEDS = 3;

/** Membership on all nodes of a world, and what must hold of what they believe. */
export class MembershipSimulation {
  readonly #hosts: SwimHost[];
  /** By name: the highest incarnation that it gave itself. */
  readonly #incarnations = new Map<string, number>();
  frames = 0;
  bytes = 0;

  constructor(
    readonly world: World,
    readonly timing: SwimTiming,
    readonly createSwim: CreateSwim = (options) => new Swim(options),
  ) {
    this.#hosts = world.nodes.map((node) => new SwimHost(this, node));
    for (const host of this.#hosts) host.start();
  }

  get hosts(): readonly SwimHost[] {
    return this.#hosts;
  }

  at(address: string): SwimHost {
    return this.#hosts[Number(address.slice(1))]!;
  }

  /** What nobody but the member itself may do: raise its incarnation. */
  audit(host: SwimHost, member: Readonly<Member>, before: MemberState | null): void {
    if (member.name === host.name) {
      this.#incarnations.set(host.name, Math.max(member.incarnation, this.#incarnations.get(host.name) ?? 0));
      return;
    }
    const own = this.#incarnations.get(member.name) ?? 0;
    const seen = host.seen.get(member.name) ?? -1;
    const isBack =
      (before === MemberState.Dead || before === MemberState.Left) && member.state === MemberState.Alive;
    if (member.incarnation < seen || (isBack && member.incarnation === seen)) {
      this.world.violation(
        `membership: ${host.name} goes back to incarnation ${member.incarnation} of ${member.name}`,
      );
    }
    host.seen.set(member.name, member.incarnation);
    if (member.incarnation > own + 1) {
      this.world.violation(
        `membership: ${host.name} has incarnation ${member.incarnation} of ${member.name}, which gave ${own}`,
      );
    }
    if (member.state === MemberState.Dead) {
      this.world.count('deathsSeen');
      if (this.at(member.name).node.isUp) this.world.count('falseDeathsSeen');
    }
  }

  /** How many (who, of whom) beliefs are wrong: about those that are up, by those that are up. */
  wrongBeliefs(): string[] {
    const wrong: string[] = [];
    for (const { swim, node, name } of this.#hosts) {
      if (!node.isUp || swim === null) continue;
      for (const other of this.#hosts) {
        if (other === this.at(name)) continue;
        const state = swim.members.get(other.name)?.state;
        const isThought = state === MemberState.Alive || state === MemberState.Suspect;
        if (isThought !== other.node.isUp)
          wrong.push(`${name} takes ${other.name} for ${state && MemberState[state]}`);
      }
    }
    return wrong;
  }
}

export class SwimHost {
  swim: Swim | null = null;
  /** The incarnation last seen of each in this life. */
  readonly seen = new Map<string, number>();
  #alarm: Alarm | null = null;

  constructor(
    readonly simulation: MembershipSimulation,
    readonly node: SimulatedNode,
  ) {}

  get name(): string {
    return `n${this.node.index}`;
  }

  start(): void {
    const { world, timing, createSwim } = this.simulation;
    const swim = createSwim({
      name: this.name,
      address: this.name,
      metadata: new Uint8Array(0),
      timing,
      random: world.random.next,
      nowMs: world.localMs(this.node),
    });
    this.swim = swim;
    this.#alarm = new Alarm(
      world,
      this.node,
      () => swim.nextDeadlineMs,
      () => this.step({ kind: 'tick' }),
    );
    this.step({ kind: 'join', addresses: world.nodes.slice(0, SEEDS).map(({ index }) => `n${index}`) });
  }

  crash(): void {
    this.swim = null;
    this.seen.clear();
    this.#alarm = null;
  }

  step(event: SwimEvent): void {
    const { simulation, swim, node } = this;
    if (swim === null || !node.isUp) return;
    const { world } = simulation;
    for (const effect of swim.step(event, world.localMs(node))) {
      if (effect.kind === 'changed') {
        simulation.audit(this, effect.member, effect.before);
        continue;
      }
      simulation.frames++;
      simulation.bytes += effect.frame.length;
      const target = simulation.at(effect.to);
      world.send(node, target.node, effect.frame, (frame) => target.step({ kind: 'frame', frame }));
    }
    this.#alarm?.set();
  }
}
