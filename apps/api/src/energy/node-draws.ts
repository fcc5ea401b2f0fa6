import { NODE_DOWN_AFTER_MS, type NodePowerView, type PowerState } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';
import type { NodePower } from '../gen/client.js';
import { modelOf, wattsAt } from '../power/power-model.js';
import type { NodeDraw } from './energy-account.js';

/** A reading of a driver is a minute's, one of an agent a heartbeat's; older than this they say nothing of now. */
const DRIVER_FRESH_MS = 180_000;
const AGENT_FRESH_MS = 30_000;

export interface SeenNode extends NodeDraw {
  nodeId: string;
  name: string;
  state: PowerState;
  source: NodePowerView['source'];
  driver: string;
}

export interface SeenHolder {
  drvmId: string;
  drvm: string;
  tenantId: string;
}

interface NodeRow {
  id: string;
  name: string;
  last_seen_at: Date | null;
  cpus_milli: number | null;
  used_milli: number | null;
  offered_milli: number | null;
  state: PowerState | null;
  driver: string | null;
  model: unknown;
  watts: number | null;
  watts_source: NodePowerView['source'] | null;
  watts_at: Date | null;
}

interface SliceRow {
  node_id: string;
  drvm_id: string;
  drvm: string;
  tenant_id: string;
  cpu_milli: number;
  used_cpu_milli: number;
}

/** What every node draws now, with who holds what of it. */
@Injectable()
export class NodeDraws {
  constructor(private readonly database: Database) {}

  async look(nowMs = Date.now()): Promise<{ nodes: SeenNode[]; holders: ReadonlyMap<string, SeenHolder> }> {
    const { unrestricted } = this.database;
    const nodes = await unrestricted.$queryRaw<NodeRow[]>`
      SELECT n.id, n.name, n.last_seen_at, (n.inventory -> 'host' ->> 'cpuMilli')::float8 AS cpus_milli,
        (n.used ->> 'cpuMilli')::float8 AS used_milli, i.total::float8 AS offered_milli,
        p.state, p.driver, p.model, p.watts, p.watts_source, p.watts_at
      FROM node n LEFT JOIN node_power p ON p.node_id = n.id
      LEFT JOIN inventory i ON i.node_id = n.id AND i.class = 'cpuMilli' ORDER BY n.name`;
    const slices = await unrestricted.$queryRaw<SliceRow[]>`
      SELECT s.node_id, s.drvm_id, d.name AS drvm, s.tenant_id, s.cpu_milli, s.used_cpu_milli
      FROM slice s JOIN drvm d ON d.id = s.drvm_id`;
    const onNode = Map.groupBy(slices, ({ node_id }) => node_id);
    const holders = new Map(
      slices.map(({ drvm_id, drvm, tenant_id }) => [drvm_id, { drvmId: drvm_id, drvm, tenantId: tenant_id }]),
    );
    return { nodes: nodes.map((row) => seen(row, onNode.get(row.id) ?? [], nowMs)), holders };
  }
}

function seen(row: NodeRow, slices: readonly SliceRow[], nowMs: number): SeenNode {
  const state = row.state ?? 'on';
  const model = modelOf({ model: row.model as NodePower['model'] }, (row.cpus_milli ?? 1_000) / 1_000);
  const isOff = state === 'off' || state === 'quarantined';
  const isHeard = row.last_seen_at !== null && nowMs - row.last_seen_at.getTime() <= NODE_DOWN_AFTER_MS;
  const freshMs = row.watts_source === 'driver' ? DRIVER_FRESH_MS : AGENT_FRESH_MS;
  const isRead = row.watts !== null && row.watts_at !== null && nowMs - row.watts_at.getTime() <= freshMs;
  const use = isHeard && row.cpus_milli ? (row.used_milli ?? 0) / row.cpus_milli : 0;
  // What an agent counted last says nothing of a machine that is off.
  const isMeasured = isRead && (!isOff || row.watts_source === 'driver');
  return {
    nodeId: row.id,
    name: row.name,
    state,
    driver: row.driver ?? 'none',
    isOff,
    watts: isMeasured ? (row.watts ?? 0) : isOff ? model.offWatts : wattsAt(model, use),
    source: isMeasured ? (row.watts_source ?? 'model') : 'model',
    isMeasured,
    idleWatts: model.idleWatts,
    offeredMilli: row.offered_milli ?? 0,
    holders: slices.map(({ drvm_id, cpu_milli, used_cpu_milli }) => ({
      drvmId: drvm_id,
      givenMilli: cpu_milli,
      usedMilli: used_cpu_milli,
    })),
  };
}
