import type { AllocationView, Page } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import type { Actor } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database } from '../database/database.js';
import { findDrvm } from '../drvms/drvm-view.js';
import { decodeCursor, PageQuery, pageOf } from '../http/paging.js';
import { allocationViewOf } from '../nodes/node-view.js';
import { findNode } from '../nodes/nodes.service.js';

export const AllocationQuery = PageQuery.extend({
  node: z.string().max(100).optional(),
  drvm: z.string().max(200).optional(),
});

/** What each DRVM holds on each node. */
@Injectable()
export class AllocationsService {
  constructor(private readonly database: Database) {}

  async list(actor: Actor, query: z.infer<typeof AllocationQuery>): Promise<Page<AllocationView>> {
    requirePermission(actor, 'drvm:read');
    const after = decodeCursor(query.cursor, z.uuid());
    return this.database.as(actor, async (tx) => {
      const nodeId = query.node === undefined ? undefined : (await findNode(tx, query.node)).id;
      const drvmId = query.drvm === undefined ? undefined : (await findDrvm(tx, query.drvm)).id;
      const rows = await tx.slice.findMany({
        where: { nodeId, drvmId, ...(after === null ? {} : { id: { gt: after } }) },
        orderBy: { id: 'asc' },
        take: query.limit + 1,
        include: {
          drvm: { select: { name: true } },
          tenant: { select: { name: true } },
          node: { select: { name: true } },
        },
      });
      return pageOf(
        rows,
        query.limit,
        (row) => row.id,
        (row) => allocationViewOf(row, row.node.name),
      );
    });
  }
}
