import { type ContainerPeer, DrvsError } from '@drvs/contracts';
import type { SystaskPort } from './kernel/systask.js';

/** A node of the DRVM as home sees it. */
export interface DrvmNode {
  readonly index: number;
  readonly name: string;
  readonly systask: SystaskPort;
}

/** The DRVM's nodes by index and by name; the spec's peers say which there are. */
export class Nodes {
  readonly #byIndex = new Map<number, DrvmNode>();

  constructor(
    private readonly portOf: (index: number, name: string) => SystaskPort,
    private readonly isUpNow: (index: number) => boolean,
  ) {}

  setPeers(peers: readonly ContainerPeer[]): void {
    const wanted = new Set(peers.map(({ index }) => index));
    for (const index of this.#byIndex.keys()) if (!wanted.has(index)) this.#byIndex.delete(index);
    for (const { index, nodeName } of peers) {
      if (this.#byIndex.get(index)?.name === nodeName) continue;
      this.#byIndex.set(index, { index, name: nodeName, systask: this.portOf(index, nodeName) });
    }
  }

  get count(): number {
    return this.#byIndex.size;
  }

  has(index: number): boolean {
    return this.#byIndex.has(index);
  }

  isUp(index: number): boolean {
    return this.#byIndex.has(index) && this.isUpNow(index);
  }

  /** Also for a node that has left the DRVM: its name then is `node <index>`. */
  nameOf(index: number): string {
    return this.#byIndex.get(index)?.name ?? `node ${index}`;
  }

  /** @throws DrvsError ContainerUnreachable when the DRVM no longer has the node. */
  at(index: number): DrvmNode {
    const node = this.#byIndex.get(index);
    if (node === undefined) {
      throw new DrvsError('ContainerUnreachable', `the DRVM has no node of index ${index} any more`);
    }
    return node;
  }

  /** @throws DrvsError NotFound that lists the nodes there are. */
  named(name: string): DrvmNode {
    for (const node of this.#byIndex.values()) if (node.name === name) return node;
    throw new DrvsError('NotFound', `the DRVM has no node named ${name}`, {
      hint: `Its nodes are: ${this.names().join(', ')}.`,
      details: { nodes: this.names() },
    });
  }

  names(): string[] {
    return [...this.#byIndex.values()].sort((a, b) => a.index - b.index).map(({ name }) => name);
  }

  all(): DrvmNode[] {
    return [...this.#byIndex.values()];
  }

  up(): DrvmNode[] {
    return [...this.#byIndex.values()].filter(({ index }) => this.isUpNow(index));
  }
}
