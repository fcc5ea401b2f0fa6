import type { PlannerPolicy } from '@drvs/policy';
import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.js';

/**
 * Notes since when a node has been hot or cold, and since when a slice has used clearly less than it holds, from what
 * the agents measured last. So that no plan acts on a moment: a mark that is left is gone at once, and begins anew.
 */
@Injectable()
export class LoadMarks {
  constructor(private readonly database: Database) {}

  async look({ hotUtilisation, coldUtilisation, reallocate }: PlannerPolicy): Promise<void> {
    await this.database.unrestricted.$executeRaw`
      WITH load AS (
        SELECT n.id, n.hot_since, n.cold_since,
          coalesce(sum(s.used_cpu_milli), 0)
            / greatest(1, floor((i.total - i.reserved) * i.allocation_ratio)) AS utilisation
        FROM node n
        JOIN inventory i ON i.node_id = n.id AND i.class = 'cpuMilli'
        LEFT JOIN slice s ON s.node_id = n.id
        GROUP BY n.id, i.total, i.reserved, i.allocation_ratio
      ), marks AS (
        SELECT id,
          CASE WHEN utilisation > ${hotUtilisation} THEN coalesce(hot_since, now()) END AS hot_since,
          CASE WHEN utilisation < ${coldUtilisation} THEN coalesce(cold_since, now()) END AS cold_since
        FROM load
      )
      UPDATE node SET hot_since = marks.hot_since, cold_since = marks.cold_since FROM marks
      WHERE node.id = marks.id
        AND (node.hot_since, node.cold_since) IS DISTINCT FROM (marks.hot_since, marks.cold_since)`;
    await this.database.unrestricted.$executeRaw`
      WITH marks AS (
        SELECT id, CASE
          WHEN used_cpu_milli * (1 + ${reallocate.margin}::float8) + ${reallocate.cpuStepMilli}::float8 < held_cpu_milli
          THEN coalesce(idle_since, now()) END AS idle_since
        FROM slice
      )
      UPDATE slice SET idle_since = marks.idle_since FROM marks
      WHERE slice.id = marks.id AND slice.idle_since IS DISTINCT FROM marks.idle_since`;
  }
}
