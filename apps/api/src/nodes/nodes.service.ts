import { DrvsError, type NodeDetailView, type NodeView, type Page } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { newEnrolmentToken } from '../auth/secrets.js';
import { scopeOf } from '../database/actor-statements.js';
import { Database, type Transaction } from '../database/database.js';
import { Gathered } from '../database/gathered.js';
import { EventsService } from '../events/events.service.js';
import { requireGeneration } from '../http/etag.js';
import { decodeCursor, type PageQuery, pageOf } from '../http/paging.js';
import { byReference } from '../http/reference.js';
import { loseSlices, requireLost } from './lost-node.js';
import { labelsOf, type NodeRow, nodeDetailViewOf, nodeViewOf, WITH_LEDGER } from './node-view.js';

const DEFAULT_ENROLMENT_SECONDS = 3_600;
const MAX_ENROLMENT_SECONDS = 30 * 86_400;
const MAX_LABELS = 64;

export const EnrolmentRequest = z.strictObject({
  /** Seconds. */
  expiresIn: z.int().min(1).max(MAX_ENROLMENT_SECONDS).default(DEFAULT_ENROLMENT_SECONDS),
});
const LabelKey = z.string().regex(/^[a-zA-Z0-9]([a-zA-Z0-9._/-]{0,61}[a-zA-Z0-9])?$/);
/** A label that is left out stays; null removes it. */
export const NodeChange = z.strictObject({ labels: z.record(LabelKey, z.string().max(200).nullable()) });

@Injectable()
export class NodesService {
  /** The same page asked for by many at once is read, and made, once for all of them. */
  readonly #pages = new Gathered<Actor, Page<NodeView>>((actor, keys) =>
    this.database.as(actor, async (tx) => {
      const pages = new Map<string, Page<NodeView>>();
      for (const key of keys) {
        const [limit, after] = JSON.parse(key) as [number, string | null];
        pages.set(key, pageOfNodes(await nodesAfter(tx, limit, after), limit, actor, nodeViewOf));
      }
      return pages;
    }),
  );

  constructor(
    private readonly database: Database,
    private readonly audit: AuditService,
    private readonly events: EventsService,
  ) {}

  async list(actor: Actor, { limit, cursor }: PageQuery): Promise<Page<NodeView>> {
    requirePermission(actor, 'node:read');
    const after = decodeCursor(cursor);
    const page = await this.#pages.load(scopeOf(actor), actor, JSON.stringify([limit, after]));
    return page ?? { items: [], nextCursor: null };
  }

  /** @param view what is made of each node's row */
  async listAs<T>(
    actor: Actor,
    { limit, cursor }: PageQuery,
    view: (row: NodeRow, actor: Actor) => T,
  ): Promise<Page<T>> {
    requirePermission(actor, 'node:read');
    const after = decodeCursor(cursor);
    const rows = await this.database.as(actor, (tx) => nodesAfter(tx, limit, after));
    return pageOfNodes(rows, limit, actor, view);
  }

  async show(actor: Actor, reference: string): Promise<NodeDetailView> {
    requirePermission(actor, 'node:read');
    return this.database.as(actor, async (tx) => nodeDetailViewOf(await findNode(tx, reference), actor));
  }

  /** Every node the actor may see, in one read. */
  async all<T>(actor: Actor, view: (row: NodeRow, actor: Actor) => T): Promise<T[]> {
    requirePermission(actor, 'node:read');
    const rows = await this.database.as(actor, (tx) =>
      tx.node.findMany({ orderBy: { name: 'asc' }, include: WITH_LEDGER }),
    );
    return rows.map((row) => view(row, actor));
  }

  async createEnrolmentToken(
    actor: Actor,
    { expiresIn }: z.infer<typeof EnrolmentRequest>,
  ): Promise<{ token: string; expiresAt: string }> {
    requirePermission(actor, 'node:write');
    const { token, hash } = newEnrolmentToken();
    const expiresAt = new Date(Date.now() + expiresIn * 1000);
    await this.database.as(actor, async (tx) => {
      await tx.enrolmentToken.create({ data: { hash, expiresAt, createdBy: actorLabel(actor) } });
      await this.audit.append(tx, actor, 'node.enrolment-token', 'node', null, {
        expiresAt: expiresAt.toISOString(),
      });
    });
    return { token, expiresAt: expiresAt.toISOString() };
  }

  async change(
    actor: Actor,
    reference: string,
    { labels }: z.infer<typeof NodeChange>,
    generation: number | null,
  ): Promise<NodeDetailView> {
    requirePermission(actor, 'node:write');
    return this.database.as(actor, async (tx) => {
      const { id } = await findNode(tx, reference);
      await tx.$queryRaw`SELECT 1 FROM node WHERE id = ${id}::uuid FOR UPDATE`;
      const before = await findNode(tx, id);
      requireGeneration(`the node ${before.name}`, generation, before.generation);
      const after: Record<string, string> = labelsOf(before);
      for (const [key, value] of Object.entries(labels)) {
        if (value === null) delete after[key];
        else after[key] = value;
      }
      if (Object.keys(after).length > MAX_LABELS) {
        throw new DrvsError('InvalidInput', `a node has at most ${MAX_LABELS} labels`, { field: 'labels' });
      }
      await tx.node.update({ where: { id }, data: { labels: after, generation: { increment: 1 } } });
      await this.audit.append(tx, actor, 'node.label', `node/${before.name}`, null, { labels });
      return nodeDetailViewOf(await findNode(tx, id), actor);
    });
  }

  /**
   * For good: its agent's credential ends with it. A node that holds something is removed only by force, when it is
   * lost: its slices go with it, and the DRVMs that had them are told so.
   */
  async remove(
    actor: Actor,
    reference: string,
    generation: number | null,
    loss: { force: boolean; confirm: string | null } = { force: false, confirm: null },
  ): Promise<void> {
    requirePermission(actor, 'node:write');
    const { id } = await this.database.as(actor, (tx) => findNode(tx, reference));
    await this.database.system(async (tx) => {
      await tx.$queryRaw`SELECT 1 FROM inventory WHERE node_id = ${id}::uuid ORDER BY class FOR UPDATE`;
      const row = await findNode(tx, id);
      requireGeneration(`the node ${row.name}`, generation, row.generation);
      const holders = [...new Set(row.slices.map(({ drvm }) => drvm.name))];
      if (holders.length > 0) {
        requireLost(row, holders, loss);
        await loseSlices(tx, row, actorLabel(actor));
      }
      await tx.node.delete({ where: { id } });
      await this.events.record(tx, {
        kind: 'node.removed',
        nodeId: id,
        node: row.name,
        text: `${actorLabel(actor)} removed the node ${row.name}${holders.length > 0 ? `, with what was left there of ${holders.join(', ')}` : ''}`,
      });
      await this.audit.append(tx, actor, 'node.remove', `node/${row.name}`, null, {
        ...(holders.length > 0 ? { lost: holders } : {}),
      });
    });
  }
}

/** One more than the page holds, where there are more. */
function nodesAfter(tx: Transaction, limit: number, after: string | null): Promise<NodeRow[]> {
  return tx.node.findMany({
    where: after === null ? {} : { name: { gt: after } },
    orderBy: { name: 'asc' },
    take: limit + 1,
    include: WITH_LEDGER,
  });
}

function pageOfNodes<T>(
  rows: NodeRow[],
  limit: number,
  actor: Actor,
  view: (row: NodeRow, actor: Actor) => T,
): Page<T> {
  return pageOf(
    rows,
    limit,
    (row) => row.name,
    (row) => view(row, actor),
  );
}

/** @throws DrvsError NotFound, also for a node that the transaction's actor may not see. */
export async function findNode(tx: Transaction, reference: string): Promise<NodeRow> {
  const row = await tx.node.findFirst({ where: byReference(reference), include: WITH_LEDGER });
  if (row) return row;
  throw new DrvsError('NotFound', `there is no node ${reference}`, { hint: 'See `drvs node list`.' });
}
