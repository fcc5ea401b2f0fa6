import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  type Endpoint,
  IpcKernel,
  Message,
  makeEndpoint,
  OK,
  type Owner,
  SERVER_PRIVILEGES,
  SUSPENDED,
  USER_PRIVILEGES,
  VFS,
} from '../index.js';

const CONTAINERS = 3;
const user = (slot: number): Endpoint => makeEndpoint(slot, 1);

/** What moves with home in these tests: who has asked, and how often. */
interface ServerState {
  count: number;
  /** Every third call of an asker waits for something that does not come. */
  isWaiting: boolean;
  readonly seen: string[];
}

/** Answers each request with how many there were before it, but those that wait. */
class Counting implements Owner {
  #waiting: Message[] = [];

  constructor(
    private readonly kernel: IpcKernel,
    private readonly state: ServerState,
  ) {}

  onMessage(self: Endpoint, message: Message): void {
    if (this.state.isWaiting && message.words[2]! % 3 === 0) {
      const kept = new Message();
      kept.copyFrom(message);
      this.#waiting.push(kept);
      return;
    }
    this.state.seen.push(`${message.source}:${message.words[2]}`);
    message.words[2] = this.state.count++;
    this.kernel.reply(self, message.source, message);
  }

  putBack(): void {
    for (const message of this.#waiting)
      expect(this.kernel.putBack(VFS, message.source, message, new Uint8Array(0))).toBe(true);
    this.#waiting = [];
  }

  goOn(): void {
    this.state.isWaiting = false;
    for (const message of this.#waiting.splice(0)) this.onMessage(VFS, message);
  }
}

/** Makes one call after another, as a guest does. */
class Asking implements Owner {
  calls = 0;
  readonly failures: number[] = [];
  #isWaiting = false;

  constructor(
    private readonly kernel: IpcKernel,
    readonly endpoint: Endpoint,
  ) {}

  ask(): void {
    if (this.#isWaiting) return;
    const message = new Message();
    message.words[2] = ++this.calls;
    const status = this.kernel.sendrec(this.endpoint, VFS, message);
    if (status === SUSPENDED) this.#isWaiting = true;
    else if (status !== OK) this.failures.push(status);
  }

  onComplete(_self: Endpoint, status: number): void {
    this.#isWaiting = false;
    if (status !== OK) this.failures.push(status);
  }

  get isIdle(): boolean {
    return !this.#isWaiting;
  }
}

/** Three kernels with queues between them that deliver one frame at a time, when told. */
class World {
  readonly kernels: IpcKernel[] = [];
  readonly askers: Asking[] = [];
  readonly state: ServerState;
  readonly servers: Counting[] = [];
  readonly #wires = new Map<string, Uint8Array[]>();

  constructor(isWaiting = false) {
    this.state = { count: 0, isWaiting, seen: [] };
    for (let index = 0; index < CONTAINERS; index++) {
      this.kernels.push(
        new IpcKernel({
          index,
          network: { send: (peer, frame) => this.#wire(index, peer).push(frame) },
        }),
      );
    }
    for (const [index, kernel] of this.kernels.entries()) {
      for (let peer = 0; peer < CONTAINERS; peer++) if (peer !== index) kernel.peerUp(peer);
    }
    this.bindServer(0);
    for (const [index, kernel] of this.kernels.entries()) {
      const asker = new Asking(kernel, user(100 + index));
      this.kernels[0]!.setLocation(asker.endpoint, index, 1);
      kernel.bind(asker.endpoint, 'process', asker, USER_PRIVILEGES);
      this.askers.push(asker);
    }
  }

  bindServer(index: number): void {
    const kernel = this.kernels[index]!;
    this.servers[index] = new Counting(kernel, this.state);
    kernel.bind(VFS, 'server', this.servers[index], SERVER_PRIVILEGES);
  }

  #wire(from: number, to: number): Uint8Array[] {
    const key = `${from}>${to}`;
    const wire = this.#wires.get(key) ?? [];
    this.#wires.set(key, wire);
    return wire;
  }

  deliver(from: number, to: number): boolean {
    const frame = this.#wire(from, to).shift();
    if (frame === undefined) return false;
    this.kernels[to]!.deliver(from, frame);
    return true;
  }

  settle(): void {
    for (let isDone = false; !isDone; ) {
      isDone = true;
      for (let from = 0; from < CONTAINERS; from++)
        for (let to = 0; to < CONTAINERS; to++)
          if (from !== to) while (this.deliver(from, to)) isDone = false;
    }
  }

  get places(): [number, number, number][] {
    return this.askers.map(({ endpoint }, index) => [endpoint, index, 1]);
  }
}

const noise = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('ask' as const), who: fc.nat(CONTAINERS - 1) }),
    fc.record({
      kind: fc.constant('deliver' as const),
      from: fc.nat(CONTAINERS - 1),
      to: fc.nat(CONTAINERS - 1),
    }),
  ),
  { maxLength: 25 },
);

const moves = fc.array(fc.tuple(noise, noise, noise, noise, noise), { maxLength: 3 });

describe('home changes', () => {
  it('every call is served once, in order for each caller, whatever frames are under way, also one that waits and is given back', () => {
    fc.assert(
      fc.property(moves, fc.boolean(), (each, isWaiting) => {
        const world = new World(isWaiting);
        const make = (steps: (typeof each)[number][number]) => {
          for (const step of steps) {
            if (step.kind === 'ask') world.askers[step.who]!.ask();
            else if (step.from !== step.to) world.deliver(step.from, step.to);
          }
        };
        let home = 0;
        for (const [before, frozen, bound, decided, told] of each) {
          const to = (home + 1) % CONTAINERS;
          const other = (home + 2) % CONTAINERS;
          const former = world.kernels[home]!;
          const next = world.kernels[to]!;
          make(before);
          former.pauseServers();
          world.servers[home]!.putBack();
          expect(former.owedByServers()).toBe(0);
          let isReached = false;
          former.barrier(() => {
            isReached = true;
          });
          make(frozen);
          world.settle();
          expect(isReached).toBe(true);
          world.bindServer(to);
          next.pauseServers();
          make(bound);
          former.dropServers(to);
          make(decided);
          next.becomeHome(world.places);
          next.resumeServers();
          make(told);
          world.kernels[other]!.setHome(to);
          home = to;
        }
        world.settle();
        world.servers[home]!.goOn();
        world.settle();
        const asked = world.askers.flatMap(({ endpoint, calls }) =>
          Array.from({ length: calls }, (_, call) => `${endpoint}:${call + 1}`),
        );
        expect([...world.state.seen].sort()).toEqual(asked.sort());
        for (const asker of world.askers) {
          expect(asker.failures).toEqual([]);
          expect(asker.isIdle).toBe(true);
          const own = world.state.seen.filter((seen) => seen.startsWith(`${asker.endpoint}:`));
          expect(own).toEqual(Array.from({ length: asker.calls }, (_, at) => `${asker.endpoint}:${at + 1}`));
        }
      }),
      { numRuns: 500 },
    );
  });

  it('a move that is called off leaves every call at the home there is', () => {
    fc.assert(
      fc.property(noise, noise, (frozen, bound) => {
        const world = new World();
        const make = (steps: typeof frozen) => {
          for (const step of steps) {
            if (step.kind === 'ask') world.askers[step.who]!.ask();
            else if (step.from !== step.to) world.deliver(step.from, step.to);
          }
        };
        world.kernels[0]!.pauseServers();
        make(frozen);
        world.bindServer(1);
        world.kernels[1]!.pauseServers();
        make(bound);
        world.kernels[1]!.dropServers();
        world.kernels[0]!.resumeServers();
        world.settle();
        expect(world.state.seen).toHaveLength(world.askers.reduce((sum, { calls }) => sum + calls, 0));
        for (const { failures, isIdle } of world.askers) expect([failures, isIdle]).toEqual([[], true]);
      }),
      { numRuns: 300 },
    );
  });

  it('a barrier does not wait for a container that is lost', () => {
    const world = new World();
    let isReached = false;
    world.kernels[0]!.barrier(() => {
      isReached = true;
    });
    world.deliver(0, 1);
    world.deliver(1, 0);
    expect(isReached).toBe(false);
    world.kernels[0]!.peerLost(2);
    expect(isReached).toBe(true);
  });
});
