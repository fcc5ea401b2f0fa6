import {
  DrvsError,
  TELEMETRY_METRICS,
  type TelemetryMetric,
  type TelemetrySeries,
  type TelemetryView,
} from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database } from '../database/database.js';
import type { Column, Resolution } from './resolutions.js';
import { planQuery, type QueryPlan } from './telemetry-query.js';

const MAX_SERIES = 600;
/** Without a beginning: an hour, or so many steps of the step asked for. */
const DEFAULT_SPAN_SECONDS = 3_600;
const DEFAULT_POINTS = 240;

export const TelemetryQuery = z.object({
  node: z.string().max(100).optional(),
  /** By id, name, or `tenant~name`. */
  drvm: z.string().max(200).optional(),
  /** One or several, with commas between them; without it all. */
  metric: z.string().max(200).optional(),
  from: z.coerce.date().optional(),
  to: z.coerce.date().optional(),
  /** Seconds. */
  step: z.coerce
    .number()
    .int()
    .min(1)
    .max(31 * 86_400)
    .optional(),
});
export type TelemetryQuery = z.infer<typeof TelemetryQuery>;

interface Subject {
  id: number;
  node: string;
  drvm: string | null;
}
interface PointRow {
  subject: number;
  at: Date;
  mean: number;
  max: number;
}

const COLUMN: Readonly<Record<TelemetryMetric, { column: Column; scale: number }>> = {
  cpu: { column: 'cpu', scale: 1 / 1_000 },
  memoryMiB: { column: 'memory', scale: 1 },
  diskGiB: { column: 'disk', scale: 1 },
  networkMbps: { column: 'network', scale: 1 },
  load: { column: 'load', scale: 1 },
  processes: { column: 'processes', scale: 1 },
};
/** What is measured of a DRVM's part of a node; the rest only of the node as a whole. */
const OF_DRVMS: ReadonlySet<TelemetryMetric> = new Set(['cpu', 'memoryMiB', 'networkMbps', 'processes']);

/** What was measured, over time. */
@Injectable()
export class TelemetryService {
  constructor(private readonly database: Database) {}

  /**
   * Nodes by themselves without `drvm`; with it, its parts on each node. A department sees its own DRVMs and no node as
   * a whole: what others use of it is not its business.
   */
  async history(actor: Actor, query: TelemetryQuery): Promise<TelemetryView> {
    requirePermission(actor, 'telemetry:read');
    const metrics = metricsOf(query.metric);
    const subjects = await this.#subjects(actor, query);
    const wanted = metrics.filter((metric) => query.drvm === undefined || OF_DRVMS.has(metric));
    if (subjects.length * wanted.length > MAX_SERIES) {
      throw new DrvsError(
        'InvalidInput',
        `that is ${subjects.length * wanted.length} series; ${MAX_SERIES} are answered at most`,
        {
          field: 'metric',
          hint: 'Name a node, a DRVM or one metric.',
        },
      );
    }
    const plan = await this.#plan(query);
    const series: TelemetrySeries[] = [];
    for (const metric of wanted) series.push(...(await this.#read(plan, subjects, metric)));
    return {
      from: new Date(plan.from * 1_000).toISOString(),
      to: new Date(plan.to * 1_000).toISOString(),
      stepSeconds: plan.stepSeconds,
      resolutionSeconds: plan.resolutionSeconds,
      series: series.sort((a, b) => order(a).localeCompare(order(b))),
    };
  }

  async #subjects(actor: Actor, { node, drvm }: TelemetryQuery): Promise<Subject[]> {
    const [tenant, name] = drvm?.includes('~') ? drvm.split('~', 2) : [null, drvm ?? null];
    const isWhole = drvm === undefined;
    const found = await this.database.as(
      actor,
      (tx) => tx.$queryRaw<Subject[]>`
        SELECT s.id, s.node, s.drvm FROM telemetry_subject s LEFT JOIN tenant t ON t.id = s.tenant_id
        WHERE (s.drvm_id IS NULL) = ${isWhole}
          AND (${node ?? null}::text IS NULL OR s.node = ${node ?? null} OR s.node_id::text = ${node ?? null})
          AND (${name}::text IS NULL OR s.drvm = ${name} OR s.drvm_id::text = ${name})
          AND (${tenant}::text IS NULL OR t.name = ${tenant})
        ORDER BY s.id LIMIT ${MAX_SERIES + 1}`,
    );
    if (found.length > 0 || (node === undefined && drvm === undefined)) return found;
    throw new DrvsError('NotFound', `nothing was measured of ${[drvm, node].filter(Boolean).join(' on ')}`, {
      hint:
        isWhole && actor.tenantId !== null
          ? 'Name one of your DRVMs.'
          : 'See `drvs node list` and `drvs drvm list`.',
    });
  }

  async #plan({ from, to, step }: TelemetryQuery): Promise<QueryPlan> {
    const { rows } = await this.database.pool.query<{ now: number; upto: Record<string, number> }>(
      `SELECT extract(epoch FROM now())::float8 AS now, coalesce((SELECT jsonb_object_agg(resolution,
        extract(epoch FROM upto)) FROM telemetry_progress), '{}') AS upto`,
    );
    const { now, upto } = rows[0]!;
    const end = to ? to.getTime() / 1_000 : Math.floor(now) + 1;
    const begin = from
      ? from.getTime() / 1_000
      : end - (step === undefined ? DEFAULT_SPAN_SECONDS : step * DEFAULT_POINTS);
    return planQuery(
      { from: begin, to: end, stepSeconds: step, now },
      ({ name }: Resolution) => upto[name] ?? 0,
    );
  }

  async #read(
    plan: QueryPlan,
    subjects: readonly Subject[],
    metric: TelemetryMetric,
  ): Promise<TelemetrySeries[]> {
    const { column, scale } = COLUMN[metric];
    const values: unknown[] = [subjects.map(({ id }) => id), plan.stepSeconds];
    const parts = plan.segments.map(({ resolution, from, to }) => {
      values.push(from, to);
      const [mean, max, samples] =
        resolution.seconds === 1
          ? [`"${column}"`, `"${column}"`, '1']
          : [`"${column}"`, `"${column}_max"`, 'samples'];
      return `SELECT subject, at, ${samples}::float8 AS n, ${mean}::float8 AS mean, ${max}::float8 AS greatest
        FROM ${resolution.table} WHERE subject = ANY($1)
        AND at >= to_timestamp($${values.length - 1}) AND at < to_timestamp($${values.length})`;
    });
    const rows =
      parts.length === 0
        ? []
        : (
            await this.database.pool.query<PointRow>(
              `SELECT subject, date_bin(make_interval(secs => $2), at, 'epoch') AS at,
                sum(mean * n) / sum(n) AS mean, max(greatest) AS max
               FROM (${parts.join(' UNION ALL ')}) AS samples GROUP BY 1, 2 ORDER BY 1, 2`,
              values,
            )
          ).rows;
    const bySubject = Map.groupBy(rows, ({ subject }) => subject);
    return subjects.map(({ id, node, drvm }) => ({
      node,
      drvm,
      metric,
      points: (bySubject.get(id) ?? []).map(({ at, mean, max }) => ({
        at: at.toISOString(),
        mean: rounded(mean * scale),
        max: rounded(max * scale),
      })),
    }));
  }
}

const rounded = (value: number): number => Math.round(value * 1_000) / 1_000;
const order = ({ node, drvm, metric }: TelemetrySeries): string => `${drvm ?? ''}/${node}/${metric}`;

function metricsOf(text: string | undefined): TelemetryMetric[] {
  if (text === undefined || text === '') return [...TELEMETRY_METRICS];
  return text.split(',').map((name) => {
    const metric = TELEMETRY_METRICS.find((known) => known === name.trim());
    if (metric) return metric;
    throw new DrvsError('InvalidInput', `${name.slice(0, 40)} is not measured`, {
      field: 'metric',
      hint: `Measured are ${TELEMETRY_METRICS.join(', ')}.`,
    });
  });
}
