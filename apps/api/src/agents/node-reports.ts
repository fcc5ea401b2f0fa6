import { isDeepStrictEqual } from 'node:util';
import type { ContainerEvent, ContainerState, Heartbeat, NodeInventory } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import type { Prisma } from '../gen/client.js';
import { HeartbeatEnergy } from '../power/heartbeat-energy.js';
import { DrvmConditions } from './drvm-conditions.js';
import { applyInventory } from './enrolment.service.js';
import { HeartbeatBatch } from './heartbeat-batch.js';

interface CpuReading {
  cpuMs: number;
  at: number;
}

interface Beat {
  used: Record<string, number>;
  report: Report;
}

/** What a node holds, and when that came in, by this process's own clock. */
interface Report {
  containers: readonly ContainerState[];
  receivedAt: number;
}

const SEEN = {
  name: 'heartbeats-nodes',
  text: `UPDATE node SET last_seen_at = $2, heard_at = NULL, used = beat.used
    FROM jsonb_to_recordset($1::jsonb) AS beat (node_id uuid, used jsonb) WHERE node.id = beat.node_id
    RETURNING node.id::text`,
};
/**
 * One statement for all slices of these nodes; answers the DRVMs that are to be judged again. What came in before the
 * ledger learned better is passed over.
 */
const CONTAINERS = {
  name: 'heartbeats-containers',
  text: `WITH beats AS (
      SELECT node_id, statement_timestamp() - make_interval(secs => age_ms / 1000) AS received_at
      FROM jsonb_to_recordset($1::jsonb) AS b (node_id uuid, age_ms float8)
    ), reports AS (
      SELECT * FROM jsonb_to_recordset($2::jsonb)
        AS r (node_id uuid, drvm_id uuid, state text, isolation text, used_cpu_milli int, used_memory_mib int,
          processes int, applied_generation bigint)
    ), seen AS (
      SELECT s.id, s.drvm_id, s.container_state AS was, coalesce(r.state, 'absent') AS state,
        coalesce(r.isolation, s.isolation) AS isolation, coalesce(r.used_cpu_milli, 0) AS used_cpu_milli,
        coalesce(r.used_memory_mib, 0) AS used_memory_mib, coalesce(r.processes, 0) AS processes,
        coalesce(r.applied_generation, 0) AS applied_generation, b.received_at
      FROM slice s JOIN beats b ON b.node_id = s.node_id
        LEFT JOIN reports r ON r.drvm_id = s.drvm_id AND r.node_id = s.node_id
      WHERE s.reported_at <= b.received_at
    ), written AS (
      UPDATE slice SET container_state = seen.state, isolation = seen.isolation,
        used_cpu_milli = seen.used_cpu_milli, used_memory_mib = seen.used_memory_mib, processes = seen.processes,
        applied_generation = seen.applied_generation, reported_at = seen.received_at
      FROM seen WHERE slice.id = seen.id AND slice.reported_at <= seen.received_at
        AND (slice.container_state, slice.isolation, slice.used_cpu_milli, slice.used_memory_mib, slice.processes, slice.applied_generation)
          IS DISTINCT FROM (seen.state, seen.isolation, seen.used_cpu_milli, seen.used_memory_mib, seen.processes, seen.applied_generation)
    )
    SELECT DISTINCT seen.drvm_id::text FROM seen JOIN drvm d ON d.id = seen.drvm_id
    WHERE seen.was <> seen.state
      OR d.wanted_state::text <> d.state::text`,
};

/** Writes what agents tell into the ledger. */
@Injectable()
export class NodeReports {
  readonly #readings = new Map<string, CpuReading>();
  readonly #beats = new HeartbeatBatch<Beat>((beats) => this.#write(beats));

  constructor(
    private readonly database: Database,
    private readonly conditions: DrvmConditions,
    private readonly energy: HeartbeatEnergy,
  ) {}

  async seen(nodeId: string): Promise<void> {
    await this.database.unrestricted.node.updateMany({
      where: { id: nodeId },
      data: { lastSeenAt: new Date(), heardAt: null },
    });
  }

  /** False when there is no such node any more. */
  async heartbeat(
    nodeId: string,
    { used, containers, energy }: Heartbeat,
    receivedAt: number,
  ): Promise<boolean> {
    const rounded = Object.fromEntries(Object.entries(used).map(([key, value]) => [key, Math.round(value)]));
    const report = { containers, receivedAt };
    if (!(await this.#beats.add(nodeId, { used: rounded, report }))) return false;
    await this.energy.note(nodeId, energy);
    return true;
  }

  async #write(beats: ReadonlyMap<string, Beat>): Promise<ReadonlySet<string>> {
    const nodes = [...beats].map(([node_id, { used }]) => ({ node_id, used }));
    const { rows } = await this.database.pool.query<{ id: string }>({
      ...SEEN,
      values: [JSON.stringify(nodes), new Date()],
    });
    const known = new Set(rows.map(({ id }) => id));
    const reports = [...beats].map(([nodeId, { report }]) => [nodeId, report] as const);
    await this.#writeReports(reports.filter(([nodeId]) => known.has(nodeId)));
    return known;
  }

  /** DRVMs of which a container changed its state are judged again. */
  async containers(nodeId: string, report: Report): Promise<void> {
    await this.#writeReports([[nodeId, report]]);
  }

  async #writeReports(beats: readonly (readonly [string, Report])[]): Promise<void> {
    const now = Date.now();
    const reports = beats.flatMap(([nodeId, { containers }]) =>
      containers.map((container) => ({
        node_id: nodeId,
        drvm_id: container.drvmId,
        state: container.state,
        isolation: container.isolation,
        used_cpu_milli: this.#cpuMilli(`${nodeId}/${container.drvmId}`, container.cpuMs, now),
        used_memory_mib: Math.round(container.residentBytes / 1_048_576),
        processes: container.processes,
        applied_generation: container.generation,
      })),
    );
    // Ages are taken when a connection is there: the wait for one is a part of them.
    const client = await this.database.pool.connect();
    let changed: { drvm_id: string }[];
    try {
      const ages = beats.map(([node_id, { receivedAt }]) => ({
        node_id,
        age_ms: performance.now() - receivedAt,
      }));
      ({ rows: changed } = await client.query<{ drvm_id: string }>({
        ...CONTAINERS,
        values: [JSON.stringify(ages), JSON.stringify(reports)],
      }));
    } finally {
      client.release();
    }
    await this.conditions.refresh(changed.map(({ drvm_id }) => drvm_id));
  }

  /** Milli-vCPU used since the reading before; a container that was started anew begins at nought. */
  #cpuMilli(key: string, cpuMs: number, now: number): number {
    const before = this.#readings.get(key);
    this.#readings.set(key, { cpuMs, at: now });
    if (!before || cpuMs < before.cpuMs || now <= before.at) return 0;
    return Math.round(((cpuMs - before.cpuMs) / (now - before.at)) * 1_000);
  }

  async inventory(nodeId: string, nodeName: string, inventory: NodeInventory): Promise<void> {
    // An agent tells it at each connection: a node that was switched on has joined.
    await this.database.unrestricted.nodePower.updateMany({
      where: { nodeId },
      data: { inventoryAt: new Date() },
    });
    await this.database.system(async (tx) => {
      const node = await tx.node.findUnique({ where: { id: nodeId }, select: { inventory: true } });
      if (!node || isDeepStrictEqual(node.inventory, JSON.parse(JSON.stringify(inventory)))) return;
      await tx.node.update({
        where: { id: nodeId },
        data: {
          inventory: inventory as unknown as Prisma.InputJsonObject,
          agentVersion: inventory.agentVersion,
          generation: { increment: 1 },
        },
      });
      const short = await applyInventory(tx, nodeId, inventory);
      if (short.length === 0) return;
      await tx.event.create({
        data: {
          kind: 'node.overcommitted',
          nodeId,
          node: nodeName,
          text: `${nodeName} offers less ${short.join(', ')} than it has given away; nothing more is given of it until that is freed`,
        },
      });
    });
  }

  /** A container's event is believed about a DRVM that the node holds a part of, and about no other. */
  async containerEvent(nodeId: string, event: ContainerEvent): Promise<void> {
    const slice = await this.database.unrestricted.slice.findUnique({
      where: { drvmId_nodeId: { drvmId: event.drvmId, nodeId } },
      select: { drvm: { select: { name: true, tenantId: true, tenant: { select: { name: true } } } } },
    });
    if (!slice) return;
    await this.database.unrestricted.event.create({
      data: {
        kind: event.kind,
        at: new Date(event.at),
        tenantId: slice.drvm.tenantId,
        tenant: slice.drvm.tenant.name,
        drvmId: event.drvmId,
        drvm: slice.drvm.name,
        nodeId,
        node: event.node,
        text: event.text,
      },
    });
  }
}
