import {
  type Endpoint,
  IpcKernel,
  Message,
  makeEndpoint,
  OK,
  type Owner,
  PEER_PRIVILEGES,
} from '../../index.js';

export const user = (slot: number, generation = 1): Endpoint => makeEndpoint(slot, generation);
export const bytes = (text: string) => new TextEncoder().encode(text);
export const message = (type: number): Message => {
  const made = new Message();
  made.type = type;
  return made;
};

/** Remembers how its suspended calls ended. */
export class Caller implements Owner {
  readonly ends: [status: number, type: number, source: number, data: string][] = [];
  onComplete(_self: Endpoint, status: number, { type, source }: Message, data: Uint8Array): void {
    this.ends.push([status, type, source, Buffer.from(data).toString()]);
  }
}

/** Kernels joined by queues that deliver when told, on one clock. Guests are bound at their containers and known at home. */
export class Cluster {
  nowMs = 0;
  readonly kernels: IpcKernel[];
  readonly #wires: { from: number; to: number; frame: Uint8Array }[] = [];

  constructor(count: number) {
    this.kernels = Array.from(
      { length: count },
      (_, index) =>
        new IpcKernel({
          index,
          nowMs: () => this.nowMs,
          network: { send: (peer, frame) => this.#wires.push({ from: index, to: peer, frame }) },
        }),
    );
    for (const a of this.kernels) for (const b of this.kernels) if (a !== b) a.peerUp(b.index);
  }

  guest(at: number, slot: number, owner = new Caller()): { endpoint: Endpoint; owner: Caller } {
    this.kernels[0]!.setLocation(user(slot), at, 1);
    this.kernels[at]!.bind(user(slot), 'process', owner, PEER_PRIVILEGES);
    return { endpoint: user(slot), owner };
  }

  /** How many frames are under way. */
  get underWay(): number {
    return this.#wires.length;
  }

  /** Delivers all frames, and those that come of them. */
  settle(): void {
    for (let next = this.#wires.shift(); next !== undefined; next = this.#wires.shift()) {
      this.kernels[next.to]!.deliver(next.from, next.frame);
    }
  }

  move(endpoint: Endpoint, from: number, to: number, owner: Owner, epoch: number): void {
    const source = this.kernels[from]!;
    const status = source.freeze(endpoint);
    if (status !== OK) throw new Error(`it is not frozen: ${status}`);
    this.kernels[to]!.install(endpoint, owner, PEER_PRIVILEGES, source.extract(endpoint));
    this.kernels[0]!.setLocation(endpoint, to, epoch);
    this.kernels[to]!.activate(endpoint, epoch);
    source.commitAway(endpoint, to, epoch);
  }
}
