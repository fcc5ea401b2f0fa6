import { DrvsError, type OperationView, type Page } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import type { Actor } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database } from '../database/database.js';
import { type DrvmRow, WITH_SLICES } from '../drvms/drvm-view.js';
import { DrvmsService } from '../drvms/drvms.service.js';
import { decodeCursor, type PageQuery, pageOf } from '../http/paging.js';
import { type NodeRow, nodeDetailViewOf, nodeViewOf } from '../nodes/node-view.js';
import { findNode, NodesService } from '../nodes/nodes.service.js';
import { ProcessesService } from '../processes/processes.service.js';
import type { Drvm, Node, Operation, Process, Slice } from './object-types.js';

/** The reads that GraphQL answers in one go where REST takes several: the map of the cluster, a DRVM with its slices. */
@Injectable()
export class GraphReads {
  constructor(
    private readonly database: Database,
    private readonly nodesService: NodesService,
    private readonly drvms: DrvmsService,
    private readonly processes: ProcessesService,
  ) {}

  nodes(actor: Actor, page: PageQuery): Promise<Page<Node>> {
    return this.nodesService.listAs(actor, page, nodeObject);
  }

  /** All that the actor may see, for a live map. */
  telemetry(actor: Actor): Promise<Node[]> {
    return this.nodesService.all(actor, nodeObject);
  }

  node(actor: Actor, name: string): Promise<Node | null> {
    requirePermission(actor, 'node:read');
    return orNull(async () => nodeObject(await this.database.as(actor, (tx) => findNode(tx, name)), actor));
  }

  async drvmList(actor: Actor, { limit, cursor }: PageQuery): Promise<Page<Drvm>> {
    requirePermission(actor, 'drvm:read');
    const after = decodeCursor(cursor);
    const rows = await this.database.as(actor, (tx) =>
      tx.drvm.findMany({
        where: after === null ? {} : { id: { gt: after } },
        orderBy: { id: 'asc' },
        take: limit + 1,
        include: WITH_SLICES,
      }),
    );
    return pageOf(rows, limit, ({ id }) => id, drvmObject);
  }

  drvm(actor: Actor, reference: string): Promise<Drvm | null> {
    return orNull(async () => drvmObject(await this.drvms.resolve(actor, reference)));
  }

  async requireDrvm(actor: Actor, reference: string): Promise<Drvm> {
    return drvmObject(await this.drvms.resolve(actor, reference));
  }

  /** Of a DRVM that is not up, none. */
  async processesOf(actor: Actor, { id, state }: Drvm): Promise<Process[]> {
    if (state !== 'running' && state !== 'degraded') return [];
    return this.processes.list(actor, id);
  }
}

async function orNull<T>(read: () => Promise<T>): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof DrvsError && error.code === 'NotFound') return null;
    throw error;
  }
}

function nodeObject(row: NodeRow, actor: Actor): Node {
  const view = nodeViewOf(row, actor);
  const { interfaces, devices, enforcement } = nodeDetailViewOf(row, actor);
  const { cpu, memory, namespaces, user, notes } = enforcement;
  return {
    ...view,
    allocated: view.allocated ?? view.reserved,
    labels: Object.entries(view.labels).map(([key, value]) => ({ key, value })),
    isolation: [
      `cpu: ${cpu}`,
      `memory: ${memory}`,
      `namespaces: ${namespaces.join('+') || 'none'}`,
      user,
      ...notes,
    ].join(', '),
    interfaces,
    devices,
    slices: row.slices.map((slice) => sliceObject(slice, row.name, slice.drvm.name, slice.tenant.name)),
  };
}

export function drvmObject(row: DrvmRow): Drvm {
  return {
    id: row.id,
    name: row.name,
    tenant: row.tenant.name,
    tenantId: row.tenantId,
    dvos: row.dvos,
    state: row.state,
    detail: row.detail,
    createdAt: row.createdAt.toISOString(),
    generation: row.generation,
    slices: row.slices.map((slice) => sliceObject(slice, slice.node.name, row.name, row.tenant.name)),
  };
}

function sliceObject(
  slice: Omit<DrvmRow['slices'][number], 'node'>,
  node: string,
  drvm: string,
  tenant: string,
): Slice {
  return {
    id: slice.id,
    node,
    nodeId: slice.nodeId,
    drvm,
    drvmId: slice.drvmId,
    tenant,
    index: slice.index,
    cpu: slice.cpuMilli / 1_000,
    memoryMiB: slice.memoryMiB,
    diskGiB: slice.diskGiB,
    exclusive: slice.exclusive,
    state: slice.containerState,
    isolation: slice.isolation,
    isHome: slice.isHome,
    ceilingCpu: slice.ceilingCpuMilli / 1000,
    heldCpu: slice.heldCpuMilli / 1000,
    usedCpu: slice.usedCpuMilli / 1_000,
    usedMemoryMiB: slice.usedMemoryMiB,
    processes: slice.processes,
  };
}

export function operationObject({ result, ...view }: OperationView): Operation {
  return { ...view, result: result === null || result === undefined ? null : JSON.stringify(result) };
}
