import { DrvsError, NODE_DOWN_AFTER_MS, type NodeFailureView } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database } from '../database/database.js';
import type { NodeFailure } from '../gen/client.js';
import { findNode } from '../nodes/nodes.service.js';
import { PowerService } from '../power/power.service.js';
import { recordOf } from './failure-rows.js';
import { fenceAsked, releasedBy, WELL } from './failure-state.js';
import { FailureWatch } from './failure-watch.js';

export const FenceRequest = z.strictObject({
  /** The operator has seen that it is off. Without, its driver cuts the power. */
  confirmed: z.boolean().default(false),
});
export type FenceRequest = z.infer<typeof FenceRequest>;

/** What operators see of failed nodes, and what they decide about them. */
@Injectable()
export class FailuresService {
  constructor(
    private readonly database: Database,
    private readonly power: PowerService,
    private readonly watch: FailureWatch,
    private readonly audit: AuditService,
  ) {}

  /** Nodes about which something is known: those that are not well, and those that came back lately. */
  async list(actor: Actor): Promise<NodeFailureView[]> {
    requirePermission(actor, 'power:read');
    const rows = await this.database.as(actor, (tx) =>
      tx.nodeFailure.findMany({
        where: { OR: [{ phase: { not: 'well' } }, { NOT: { returns: { equals: [] } } }] },
        include: { node: { select: { name: true } } },
        orderBy: { since: 'desc' },
      }),
    );
    return rows.map((row) => viewOf(row, row.node.name));
  }

  async show(actor: Actor, reference: string): Promise<NodeFailureView> {
    requirePermission(actor, 'power:read');
    return this.database.as(actor, async (tx) => {
      const { id, name } = await findNode(tx, reference);
      return viewOf(await tx.nodeFailure.findUnique({ where: { nodeId: id } }), name);
    });
  }

  /**
   * Has the power of a silent node cut, or takes the operator's word that it is off.
   * @throws DrvsError StateConflict when the node is heard, or nothing can cut its power
   */
  async fence(actor: Actor, reference: string, { confirmed }: FenceRequest): Promise<NodeFailureView> {
    requirePermission(actor, 'power:write');
    const node = await this.database.as(actor, (tx) => findNode(tx, reference));
    const now = Date.now();
    if (node.lastSeenAt !== null && now - node.lastSeenAt.getTime() <= NODE_DOWN_AFTER_MS) {
      throw new DrvsError('StateConflict', `${node.name} is heard: only a node that is silent is fenced`, {
        hint: `To switch it off: drvs node drain ${node.name}, then drvs node power off ${node.name}`,
      });
    }
    const { driver } = await this.power.driver(node.id);
    if (!confirmed && !driver.canCut) {
      throw new DrvsError(
        'StateConflict',
        `nothing can cut the power of ${node.name} and read that it is off (${driver.name})`,
        {
          hint: `See for yourself that it is off, then: drvs node fence ${node.name} --confirmed`,
        },
      );
    }
    const before = await this.database.unrestricted.nodeFailure.findUnique({ where: { nodeId: node.id } });
    const record = before ? recordOf(before) : { ...WELL, sinceMs: now, lookedAtMs: now };
    if (['fenced', 'evacuating', 'evacuated'].includes(record.phase)) return viewOf(before, node.name);
    const step = fenceAsked(record, node.name, actorLabel(actor), confirmed, now);
    if (!(await this.watch.write(node, before, step))) {
      throw new DrvsError('StaleGeneration', `something about ${node.name} changed at this moment`, {
        hint: 'Ask again.',
      });
    }
    await this.database.system((tx) =>
      this.audit.append(tx, actor, 'node.fence', `node/${node.name}`, null, { confirmed }),
    );
    for (const action of step.actions) this.watch.begin(action, node.id);
    return this.show(actor, node.id);
  }

  /** Lets a node in again that is held out or quarantined. @throws DrvsError StateConflict when it is neither */
  async release(actor: Actor, reference: string): Promise<NodeFailureView> {
    requirePermission(actor, 'power:write');
    const node = await this.database.as(actor, (tx) => findNode(tx, reference));
    const before = await this.database.unrestricted.nodeFailure.findUnique({ where: { nodeId: node.id } });
    const power = await this.database.unrestricted.nodePower.findUnique({ where: { nodeId: node.id } });
    const isHeldOut = before?.phase === 'held-out';
    const isQuarantined =
      power !== null && (power.state === 'quarantined' || power.state === 'failed' || power.failures > 0);
    if (!isHeldOut && !isQuarantined) {
      throw new DrvsError('StateConflict', `${node.name} is neither held out nor quarantined`, {
        hint: 'See `drvs node failures`.',
      });
    }
    const by = actorLabel(actor);
    if (before && isHeldOut) {
      await this.watch.write(node, before, releasedBy(recordOf(before), node.name, by, Date.now()));
    }
    await this.database.system(async (tx) => {
      if (isQuarantined) {
        const state = await this.power.release(tx, node.id, by);
        await tx.event.create({
          data: {
            kind: 'node.released',
            nodeId: node.id,
            node: node.name,
            text: `${by} released ${node.name}; its power counts as ${state}`,
          },
        });
      }
      await this.audit.append(tx, actor, 'node.release', `node/${node.name}`, null, {});
    });
    return this.show(actor, node.id);
  }
}

function viewOf(row: NodeFailure | null, node: string): NodeFailureView {
  const record = row ? recordOf(row) : WELL;
  const at = (ms: number): string => new Date(ms).toISOString();
  const until = record.leftMs === null ? null : at(record.lookedAtMs + record.leftMs);
  return {
    node,
    phase: record.phase,
    since: at(row ? record.sinceMs : 0),
    deadline: record.phase === 'held-out' ? null : until,
    reason: record.reason,
    evidence: record.evidence.map(({ atMs, by, says }) => ({ at: at(atMs), by, says })),
    returns: record.returnsMs.map(at),
    heldUntil: record.phase === 'held-out' ? until : null,
    operation: row?.operationId ?? null,
  };
}
