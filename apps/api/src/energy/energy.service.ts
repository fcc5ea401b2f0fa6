import type { EnergyRecommendationsView, EnergyReportView, EnergySpan } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import type { Actor } from '../auth/actor.js';
import { requirePermission, seesWholeCluster } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';
import { clusterPlan } from '../plans/cluster-plan.js';
import { LiveStates } from '../plans/live-state.service.js';
import { policyOf } from '../plans/planner-settings.js';
import { PlannerSettings } from '../plans/planner-settings.service.js';
import { DemandForecast } from '../power/demand-forecast.js';
import { JOULES_PER_KWH, SAVED_FORMULA } from './energy-account.js';
import { NodeDraws } from './node-draws.js';

const FORECAST_HOURS = 12;
const DRVMS_MAX = 500;

interface Sums {
  joules: number;
  all_on: number;
  measured: number;
}

/** What was drawn, what was saved, whose it was, and what could be saved. Days and months begin in UTC. */
@Injectable()
export class EnergyService {
  constructor(
    private readonly database: Database,
    private readonly draws: NodeDraws,
    private readonly forecast: DemandForecast,
    private readonly states: LiveStates,
    private readonly settings: PlannerSettings,
  ) {}

  /** A department sees its own part and nothing of the nodes. */
  async report(actor: Actor, nowMs = Date.now()): Promise<EnergyReportView> {
    requirePermission(actor, 'energy:read');
    const now = new Date(nowMs);
    const day = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate()));
    const month = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1));
    const isWhole = seesWholeCluster(actor);
    const { nodes } = isWhole ? await this.draws.look(nowMs) : { nodes: [] };
    const seen = await this.database.as(actor, async (tx) => ({
      today: await spanOf(tx, day, now, isWhole),
      month: await spanOf(tx, month, now, isWhole),
      byNode: await byNode(tx, day, month),
      byDrvm: await byDrvm(tx, day, month),
      shared: await sharedSince(tx, month),
    }));
    const expected = isWhole ? await this.forecast.hours(FORECAST_HOURS, nowMs) : [];
    const tenants = new Map<string, { todayKWh: number; monthKWh: number }>();
    for (const { tenant, today, month: whole } of seen.byDrvm) {
      const sum = tenants.get(tenant) ?? { todayKWh: 0, monthKWh: 0 };
      tenants.set(tenant, { todayKWh: sum.todayKWh + kWh(today), monthKWh: sum.monthKWh + kWh(whole) });
    }
    return {
      now: {
        watts: round(
          nodes.reduce((sum, { watts }) => sum + watts, 0),
          1,
        ),
        nodesOn: nodes.filter(({ isOff }) => !isOff).length,
        nodesOff: nodes.filter(({ isOff }) => isOff).length,
      },
      today: seen.today,
      month: seen.month,
      nodes: nodes.map(({ nodeId, name, state, watts, source }) => {
        const sums = seen.byNode.get(nodeId);
        return {
          node: name,
          state,
          watts: round(watts, 1),
          source,
          todayKWh: round(kWh(sums?.today ?? 0)),
          monthKWh: round(kWh(sums?.month ?? 0)),
          savedKWh: round(kWh((sums?.all_on ?? 0) - (sums?.month ?? 0))),
        };
      }),
      drvms: seen.byDrvm.slice(0, DRVMS_MAX).map(({ drvm, tenant, today, month: whole }) => ({
        drvm,
        tenant,
        todayKWh: round(kWh(today)),
        monthKWh: round(kWh(whole)),
      })),
      tenants: [...tenants].map(([tenant, sum]) => ({
        tenant,
        todayKWh: round(sum.todayKWh),
        monthKWh: round(sum.monthKWh),
      })),
      unallocatedKWh: isWhole ? round(Math.max(0, seen.month.kWh - kWh(seen.shared))) : 0,
      formula: SAVED_FORMULA,
      forecast: expected.map(({ hourMs, cpuMilli, basis }) => ({
        at: new Date(hourMs).toISOString(),
        cpu: cpuMilli / 1_000,
        basis,
      })),
    };
  }

  /** The plan to consolidate as it would be made now, without keeping it. It looks at the running cluster for a second. */
  async recommendations(actor: Actor): Promise<EnergyRecommendationsView> {
    requirePermission(actor, 'power:read');
    const policy = policyOf(await this.settings.kept());
    const forecastCpuMilli = await this.forecast.ahead(policy.power.offSeconds);
    const seen = await this.states.observe(actor);
    const plan = clusterPlan(seen, policy, { kind: 'consolidate', forecastCpuMilli }, true);
    return {
      recommendations: plan.steps.flatMap((step) => {
        if (step.action !== 'power-off') return [];
        const moves = plan.steps.filter(
          (other) => other.action === 'move-slice' && other.fromId === step.nodeId,
        );
        return [{ node: step.node, savedWatts: step.watts, moves: moves.length, reason: step.reason }];
      }),
      rejected: plan.rejected.map(({ what, reason }) => ({ what, reason })),
      summary: plan.gain.summary,
    };
  }
}

const kWh = (joules: number): number => joules / JOULES_PER_KWH;
const round = (value: number, digits = 6): number => Number(value.toFixed(digits));

async function spanOf(tx: Transaction, from: Date, to: Date, isWhole: boolean): Promise<EnergySpan> {
  const [sums] = isWhole
    ? await tx.$queryRaw<Sums[]>`
        SELECT coalesce(sum(joules), 0) AS joules, coalesce(sum(all_on_joules), 0) AS all_on,
          coalesce(sum(measured_joules), 0) AS measured
        FROM energy_hour WHERE hour >= ${from}::timestamptz`
    : await tx.$queryRaw<Sums[]>`
        SELECT coalesce(sum(joules), 0) AS joules, coalesce(sum(joules), 0) AS all_on, 0::float8 AS measured
        FROM energy_share WHERE hour >= ${from}::timestamptz`;
  const { joules = 0, all_on = 0, measured = 0 } = sums ?? {};
  return {
    from: from.toISOString(),
    to: to.toISOString(),
    kWh: round(kWh(joules)),
    allOnKWh: round(kWh(all_on)),
    savedKWh: round(kWh(all_on - joules)),
    measured: joules > 0 ? round(measured / joules, 3) : 0,
  };
}

async function byNode(
  tx: Transaction,
  day: Date,
  month: Date,
): Promise<ReadonlyMap<string, { today: number; month: number; all_on: number }>> {
  const rows = await tx.$queryRaw<{ node_id: string; today: number; month: number; all_on: number }[]>`
    SELECT node_id, coalesce(sum(joules) FILTER (WHERE hour >= ${day}::timestamptz), 0) AS today,
      coalesce(sum(joules), 0) AS month, coalesce(sum(all_on_joules), 0) AS all_on
    FROM energy_hour WHERE hour >= ${month}::timestamptz GROUP BY node_id`;
  return new Map(rows.map((row) => [row.node_id, row]));
}

function byDrvm(
  tx: Transaction,
  day: Date,
  month: Date,
): Promise<{ drvm: string; tenant: string; today: number; month: number }[]> {
  return tx.$queryRaw`
    SELECT max(s.drvm) AS drvm, max(t.name) AS tenant,
      coalesce(sum(s.joules) FILTER (WHERE s.hour >= ${day}::timestamptz), 0) AS today, coalesce(sum(s.joules), 0) AS month
    FROM energy_share s JOIN tenant t ON t.id = s.tenant_id WHERE s.hour >= ${month}::timestamptz
    GROUP BY s.drvm_id ORDER BY month DESC, drvm`;
}

async function sharedSince(tx: Transaction, month: Date): Promise<number> {
  const [row] = await tx.$queryRaw<{ joules: number }[]>`
    SELECT coalesce(sum(joules), 0) AS joules FROM energy_share WHERE hour >= ${month}::timestamptz`;
  return row?.joules ?? 0;
}
