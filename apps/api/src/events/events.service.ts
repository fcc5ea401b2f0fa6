import type { EventView } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import type { Actor } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';

export interface NewEvent {
  kind: string;
  text: string;
  tenantId?: string | null;
  tenant?: string | null;
  drvmId?: string | null;
  drvm?: string | null;
  nodeId?: string | null;
  node?: string | null;
}

interface EventRow {
  id: bigint;
  at: Date;
  kind: string;
  tenant: string | null;
  drvm: string | null;
  node: string | null;
  text: string;
}

/** What happened, for people. The database announces each on the channel `drvs_event` with its number. */
@Injectable()
export class EventsService {
  constructor(private readonly database: Database) {}

  async record(tx: Transaction, event: NewEvent): Promise<void> {
    await tx.event.create({ data: event, select: { id: true } });
  }

  /**
   * What the actor may see after the event `after` (its number; null for all that is kept), oldest first. Only
   * settled events: one with a lower number never turns up later, so a reader may go on from the last one it got.
   */
  async since(actor: Actor, after: string | null, limit: number): Promise<EventView[]> {
    requirePermission(actor, 'event:read');
    const rows = await this.database.as(
      actor,
      (tx) => tx.$queryRaw<EventRow[]>`
        SELECT id, at, kind, tenant, drvm, node, text FROM event
        WHERE id > ${BigInt(after ?? 0)} AND written_by < event_settled()
        ORDER BY id LIMIT ${limit}`,
    );
    return rows.map(viewOf);
  }

  /** The newest first, before the event `before`, and after `since`. */
  async latest(
    actor: Actor,
    before: string | null,
    limit: number,
    since: string | null = null,
  ): Promise<EventView[]> {
    requirePermission(actor, 'event:read');
    const rows = await this.database.as(actor, (tx) =>
      tx.event.findMany({
        where: {
          id: {
            ...(before === null ? {} : { lt: BigInt(before) }),
            ...(since === null ? {} : { gt: BigInt(since) }),
          },
        },
        orderBy: { id: 'desc' },
        take: limit,
      }),
    );
    return rows.map(viewOf);
  }
}

function viewOf({ id, at, kind, tenant, drvm, node, text }: EventRow): EventView {
  return { id: String(id), at: at.toISOString(), kind, tenant, drvm, node, text };
}
