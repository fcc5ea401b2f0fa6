import { type DrvmView, DrvsError, type OperationView, type ResourceAmounts } from '@drvs/contracts';
import type { PlacementPlan, PlacementRequest } from '@drvs/policy';
import { sumAmounts } from '../allocations/amounts.js';
import { newId } from '../database/new-id.js';
import type { Prisma } from '../gen/client.js';
import type { PlannedSlice } from '../operations/operation-plan.js';
import { acceptedView, type OperationRows } from '../operations/operation-view.js';
import type { SealedNode } from './cluster-snapshot.js';
import type { PlacedMember } from './drvm-batch.js';
import { type DrvmViewRow, drvmViewOf } from './drvm-view.js';
import type { Affinities } from './placement-terms.js';
import { ceilingColumns } from './placement-writes.js';
import { requireQuota } from './quota.js';

/** The statement that writes planned DRVMs down: the function of the database says what it looks at before. */
export const LEDGER_CREATE = {
  name: 'ledger-create',
  text: 'SELECT ledger_create($1::jsonb) AS answer',
};

/** The plan was overtaken: what it counted on has been given to somebody else meanwhile. */
export class PlanOvertaken extends Error {}

type SliceAnswer = Omit<DrvmViewRow['slices'][number], 'node'> & { nodeId: string };
type Quota = Record<keyof ResourceAmounts, number | null>;
export type LedgerAnswer =
  | { refused: 'tenant' }
  | { refused: 'name'; name: string }
  | { refused: 'quota'; tenant: string; quota: Quota; used: ResourceAmounts }
  | { refused: 'overtaken'; name: string }
  | { refused?: undefined; slices: SliceAnswer[]; createdAtMs: number };

export interface CreationTenant {
  id: string;
  name: string;
}

export interface CreatorNames {
  /** As the audit and events name the actor. */
  label: string;
  action: 'drvm.create' | 'drvm.create-many';
  object: string;
  details: Prisma.InputJsonObject;
}

type ChosenSlice = PlacementPlan['slices'][number] & { sliceId: string };

interface DrvmRows {
  id: string;
  name: string;
  dvos: string;
  request: Prisma.InputJsonObject;
  detail: string;
}

/** DRVMs that have their places and are yet to be written down: all their rows, with their ids. */
export class Creation {
  readonly drvms: readonly (DrvmRows & { slices: readonly ChosenSlice[]; operation: OperationRows })[];
  readonly #total: ResourceAmounts;

  /** @param operationOf the operation that builds a DRVM with these slices, as rows */
  constructor(
    readonly tenant: CreationTenant,
    placed: readonly PlacedMember[],
    operationOf: (drvm: { id: string; name: string }, slices: PlannedSlice[]) => OperationRows,
  ) {
    this.#total = sumAmounts(placed.map(({ request: { total } }) => total));
    this.drvms = placed.map(({ input, request, plan }) => {
      const id = newId();
      const slices = plan.slices.map((slice) => ({ ...slice, sliceId: newId(), nodeName: slice.node }));
      const operation = operationOf({ id, name: input.name }, slices);
      const drvm = { id, name: input.name, dvos: input.dvos, request: requestColumn(request) };
      return { ...drvm, detail: 'being created', slices, operation };
    });
  }

  /** The argument of `ledger_create`. @param seen the nodes as they were when the places were chosen */
  toJson(
    seen: readonly SealedNode[],
    seenSinceMs: number,
    affinities: Affinities,
    { label, action, object, details }: CreatorNames,
  ): string {
    const used = new Set(this.drvms.flatMap((drvm) => drvm.slices.map(({ nodeId }) => nodeId)));
    const slices = this.drvms
      .flatMap((drvm) =>
        drvm.slices.map(({ sliceId, nodeId, index, amounts, ceiling, exclusive }) => ({
          id: sliceId,
          drvmId: drvm.id,
          nodeId,
          index,
          ...amounts,
          ...ceilingColumns(ceiling),
          exclusive,
        })),
      )
      // In the order of the nodes' ids, as everybody takes their locks.
      .sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
    return JSON.stringify({
      tenantId: this.tenant.id,
      asked: this.#total,
      nodes: seen.filter(({ id }) => used.has(id)).map(({ id, name, seal }) => ({ id, name, seal })),
      seenSince: new Date(seenSinceMs).toISOString(),
      drvms: this.drvms.map(({ id, name, dvos, request, detail }) => ({ id, name, dvos, request, detail })),
      affinities: this.drvms.flatMap(({ id }) => [
        ...affinities.together.map((otherId) => ({ drvmId: id, otherId, kind: 'together' })),
        ...affinities.apart.map((otherId) => ({ drvmId: id, otherId, kind: 'apart' })),
      ]),
      slices,
      operations: this.drvms.map(({ operation }) => operation.operation),
      steps: this.drvms.flatMap(({ operation }) => operation.steps),
      events: this.drvms.map((drvm) => ({
        drvmId: drvm.id,
        drvm: drvm.name,
        text: `${label} creates ${drvm.name} on ${drvm.slices.map(({ node }) => node).join(', ')}`,
      })),
      audit: { actor: label, action, object, details },
    });
  }

  /**
   * What was made, as it is shown.
   * @throws PlanOvertaken; DrvsError AlreadyExists, QuotaExceeded, NotFound when the ledger did not take it
   */
  made(answer: LedgerAnswer): { operation: OperationView; drvm: DrvmView }[] {
    switch (answer.refused) {
      case 'tenant':
        throw new DrvsError('NotFound', 'the tenant was removed meanwhile', { field: 'tenant' });
      case 'name':
        throw nameTaken(this.tenant, answer.name);
      case 'quota':
        requireQuota(answer.tenant, answer.quota, answer.used, this.#total);
        throw new Error('the ledger refused what the quota allows');
      case 'overtaken':
        throw new PlanOvertaken(`node ${answer.name} is no longer as the plan counted on`);
    }
    const createdAt = new Date(answer.createdAtMs);
    const slicesOf = Map.groupBy(answer.slices, ({ drvmId }) => drvmId);
    return this.drvms.map(({ id, name, dvos, detail, slices: chosen, operation }) => {
      const nameOf = new Map(chosen.map(({ nodeId, node }) => [nodeId, node]));
      const slices = (slicesOf.get(id) ?? []).map((slice) => ({
        ...slice,
        node: { name: nameOf.get(slice.nodeId) ?? '' },
      }));
      const row = { id, name, dvos, detail, state: 'creating' as const, createdAt, generation: 1 };
      return {
        operation: acceptedView(operation, createdAt),
        drvm: drvmViewOf({ ...row, tenant: this.tenant, slices }),
      };
    });
  }
}

export function nameTaken(tenant: CreationTenant, name: string): DrvsError {
  return new DrvsError('AlreadyExists', `the tenant ${tenant.name} has a DRVM named ${name}`, {
    field: 'name',
    hint: 'Choose another name, or delete that one first.',
  });
}

/** What was asked for, as it is kept with the DRVM. */
function requestColumn(request: PlacementRequest): Prisma.InputJsonObject {
  const { policy, nodes, exclusive, total, ceiling, require, forbid, tolerate, spreadOver } = request;
  return {
    ...total,
    policy,
    exclusive,
    nodes: nodes === null ? null : typeof nodes === 'number' ? nodes : [...nodes],
    ...(JSON.parse(JSON.stringify({ ceiling, require, forbid, tolerate, spreadOver })) as object),
  };
}
