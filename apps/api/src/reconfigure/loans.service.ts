import type { LoanView } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database } from '../database/database.js';
import { findDrvm } from '../drvms/drvm-view.js';
import { findNode } from '../nodes/nodes.service.js';

export const LoanQuery = z.object({
  node: z.string().max(100).optional(),
  drvm: z.string().max(200).optional(),
});
export type LoanQuery = z.infer<typeof LoanQuery>;

interface LoanRow {
  slice: string;
  node: string;
  drvm: string;
  drvm_id: string;
  tenant: string;
  guaranteed: number;
  held: number;
  ceiling: number;
  since: Date;
}

/** What is lent and borrowed now: a slice is on one side or the other, or on none. */
@Injectable()
export class LoansService {
  constructor(private readonly database: Database) {}

  async list(actor: Actor, { node, drvm }: LoanQuery): Promise<LoanView[]> {
    requirePermission(actor, 'drvm:read');
    return this.database.as(actor, async (tx) => {
      const nodeId = node === undefined ? null : (await findNode(tx, node)).id;
      const drvmId = drvm === undefined ? null : (await findDrvm(tx, drvm)).id;
      const rows = await tx.$queryRaw<LoanRow[]>`
        SELECT s.id::text AS slice, n.name AS node, d.name AS drvm, d.id::text AS drvm_id, t.name AS tenant,
          s.cpu_milli AS guaranteed, s.held_cpu_milli AS held, s.ceiling_cpu_milli AS ceiling, s.held_since AS since
        FROM slice s JOIN node n ON n.id = s.node_id JOIN drvm d ON d.id = s.drvm_id JOIN tenant t ON t.id = s.tenant_id
        WHERE s.held_cpu_milli <> s.cpu_milli AND (${nodeId}::uuid IS NULL OR s.node_id = ${nodeId}::uuid)
          AND (${drvmId}::uuid IS NULL OR s.drvm_id = ${drvmId}::uuid)
        ORDER BY n.name, s.held_cpu_milli - s.cpu_milli DESC, d.name`;
      return rows.map(({ slice, drvm_id: drvmId, guaranteed, held, ceiling, since, ...names }) => ({
        id: slice,
        ...names,
        drvmId,
        side: held > guaranteed ? 'borrows' : 'lends',
        cpu: Math.abs(held - guaranteed) / 1000,
        guaranteedCpu: guaranteed / 1000,
        heldCpu: held / 1000,
        ceilingCpu: ceiling / 1000,
        since: since.toISOString(),
      }));
    });
  }
}
