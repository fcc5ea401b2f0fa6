import { DrvsError, RESOURCE_CLASSES, type ResourceAmounts } from '@drvs/contracts';
import { bareDrvm, bareNode, type ClusterSnapshot, Ledger, type NodeSnapshot } from '@drvs/policy';

export const amounts = (
  cpuMilli: number,
  memoryMiB: number,
  diskGiB: number,
  networkMbps: number,
): ResourceAmounts => ({ cpuMilli, memoryMiB, diskGiB, networkMbps });
const NOTHING = amounts(0, 0, 0, 0);
const EACH = amounts(1, 1, 1, 1);

/**
 * What the API's ledger in PostgreSQL should hold, kept with the planners' pure Ledger: a snapshot that the test
 * changes step by step, and from which the ledger is made anew after each.
 */
export class LedgerModel {
  readonly snapshot: ClusterSnapshot;

  constructor(nodes: readonly { id: string; name: string; total: ResourceAmounts }[]) {
    this.snapshot = {
      id: 'model',
      atMs: 0,
      nodes: nodes.map(({ id, name, total }) => bareNode(id, total, name)),
      drvms: [],
      slices: [],
      processes: [],
      movesLastHour: 0,
    };
  }

  get ledger(): Ledger {
    return new Ledger(this.snapshot);
  }

  node(id: string): ClusterSnapshot['nodes'][number] {
    const node = this.snapshot.nodes.find((one) => one.id === id);
    if (!node) throw new Error(`no node ${id}`);
    return node;
  }

  create(id: string, isExclusive: boolean): void {
    this.snapshot.drvms.push({ ...bareDrvm(id, 't'), isExclusive });
  }

  remove(id: string): void {
    this.snapshot.drvms = this.snapshot.drvms.filter((drvm) => drvm.id !== id);
    this.snapshot.slices = this.snapshot.slices.filter(({ drvmId }) => drvmId !== id);
  }

  put(drvmId: string, nodeId: string, guaranteed: ResourceAmounts): void {
    this.take(drvmId, nodeId);
    this.snapshot.slices.push({
      drvmId,
      nodeId,
      guaranteed,
      ceiling: guaranteed,
      held: guaranteed,
      used: NOTHING,
      wanted: NOTHING,
      idleSinceMs: null,
      movedAtMs: null,
    });
  }

  take(drvmId: string, nodeId: string): void {
    this.snapshot.slices = this.snapshot.slices.filter(
      (slice) => slice.drvmId !== drvmId || slice.nodeId !== nodeId,
    );
  }

  slicesOf(drvmId: string): ClusterSnapshot['slices'] {
    return this.snapshot.slices.filter((slice) => slice.drvmId === drvmId);
  }

  /** Whether a slice may grow or come by these amounts: a class that gets no more is never an obstacle. */
  hasRoom(nodeId: string, more: ResourceAmounts): boolean {
    const { ledger } = this;
    const at = this.snapshot.nodes.findIndex(({ id }) => id === nodeId) * RESOURCE_CLASSES.length;
    return RESOURCE_CLASSES.every((name, c) => more[name] <= 0 || more[name] <= (ledger.free[at + c] ?? 0));
  }

  /** Whether another DRVM keeps the node for itself, or this one would and is not alone there. */
  isBarred(nodeId: string, drvmId: string, isExclusive: boolean): boolean {
    const others = this.snapshot.slices.filter((slice) => slice.nodeId === nodeId && slice.drvmId !== drvmId);
    return others.some(
      (slice) =>
        isExclusive || this.snapshot.drvms.find(({ id }) => id === slice.drvmId)?.isExclusive === true,
    );
  }

  /** The nodes as placement sees them. */
  nodeSnapshots(): NodeSnapshot[] {
    const { ledger } = this;
    return this.snapshot.nodes.map((node, n) => {
      const here = this.snapshot.slices.filter(({ nodeId }) => nodeId === node.id);
      const at = (array: Float64Array, c: number): number => array[n * RESOURCE_CLASSES.length + c] ?? 0;
      const read = (array: Float64Array): ResourceAmounts =>
        amounts(at(array, 0), at(array, 1), at(array, 2), at(array, 3));
      return {
        id: node.id,
        name: node.name,
        state: 'up',
        free: read(ledger.free),
        capacity: read(ledger.capacity),
        step: EACH,
        slices: here.length,
        isExclusive: here.some(({ drvmId }) => ledger.drvms.find(({ id }) => id === drvmId)?.isExclusive),
        drvmIds: here.map(({ drvmId }) => drvmId),
      };
    });
  }
}

/** What `work` did, or the code of the error with which it was refused. */
export async function outcomeOf<T>(work: () => T | Promise<T>): Promise<{ value: T } | { code: string }> {
  try {
    return { value: await work() };
  } catch (error) {
    const { code, cause } = DrvsError.from(error);
    if (code === 'Internal') throw cause ?? error;
    return { code };
  }
}
