import {
  DrvsError,
  type InventoryView,
  type NodeCheckItem,
  type NodeInventoryView,
  type NodeRulesView,
  RESOURCE_CLASSES,
  type TopologyView,
} from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';
import { EventsService } from '../events/events.service.js';
import type { Inventory, Prisma } from '../gen/client.js';
import { requireGeneration } from '../http/etag.js';
import { cordon } from './cordon.js';
import {
  type InventoryChange,
  MAX_TAINTS,
  MAX_TRAITS,
  type TaintChange,
  type TraitChange,
} from './inventory-request.js';
import { placeOf, probationOf } from './node-rules.js';
import { type NodeRow, nodeState, occupies } from './node-view.js';
import { findNode } from './nodes.service.js';
import { uncordon } from './uncordon.js';

/** What a node offers of each class, by which rules, and where it stands. */
@Injectable()
export class InventoryService {
  constructor(
    private readonly database: Database,
    private readonly audit: AuditService,
    private readonly events: EventsService,
  ) {}

  async show(actor: Actor, reference: string): Promise<NodeInventoryView> {
    requirePermission(actor, 'node:read');
    return this.database.as(actor, async (tx) => inventoryViewOf(await findNode(tx, reference)));
  }

  /**
   * Refused where it would make an over-full class worse, or make one over-full; what does not worsen is allowed, so
   * that one can always go back towards what fits.
   */
  async set(
    actor: Actor,
    reference: string,
    change: InventoryChange,
    generation: number | null,
  ): Promise<NodeInventoryView> {
    requirePermission(actor, 'node:write');
    const { id } = await this.database.as(actor, (tx) => findNode(tx, reference));
    return this.database.system(async (tx) => {
      await tx.$queryRaw`SELECT 1 FROM inventory WHERE node_id = ${id}::uuid ORDER BY class FOR UPDATE`;
      const node = await findNode(tx, id);
      const before = inventoryViewOf(node);
      requireGeneration(`the inventory of ${node.name}`, generation, before.generation);
      for (const name of RESOURCE_CLASSES) {
        const wanted = change[name];
        const row = node.inventories.find((each) => each.class === name);
        if (!wanted || !row) continue;
        const after = {
          reserved: wanted.reserved ?? row.reserved,
          allocationRatio: wanted.ratio ?? row.allocationRatio,
          step: wanted.step ?? row.step,
        };
        requireNotWorse(node.name, row, { ...row, ...after });
        await tx.inventory.update({
          where: { nodeId_class: { nodeId: id, class: name } },
          data: { ...after, generation: { increment: 1 } },
        });
      }
      await this.#tell(tx, actor, 'node.inventory', node, `changed what ${node.name} offers`, { ...change });
      return inventoryViewOf(await findNode(tx, id));
    });
  }

  async rules(actor: Actor, reference: string): Promise<NodeRulesView> {
    requirePermission(actor, 'node:read');
    return this.database.as(actor, async (tx) => rulesViewOf(await findNode(tx, reference)));
  }

  /** Of `rack=` and `site=` a node has one each: another one takes its place. */
  setTraits(
    actor: Actor,
    reference: string,
    { add, remove }: z.infer<typeof TraitChange>,
    generation: number | null,
  ): Promise<NodeRulesView> {
    return this.#change(actor, reference, generation, 'node.traits', (node) => {
      const missing = remove.find((each) => !node.traits.includes(each));
      if (missing !== undefined) {
        const isFound = node.foundTraits.includes(missing);
        throw new DrvsError(
          isFound ? 'StateConflict' : 'NotFound',
          `${node.name} ${isFound ? `has ${missing} by itself: its agent found it` : `has no trait ${missing}`}`,
          { field: 'remove', hint: `See \`drvs node show ${node.name}\`.` },
        );
      }
      const single = (trait: string) => /^(rack|site)=/.exec(trait)?.[0];
      const taken = new Set(add.map(single).filter((key) => key !== undefined));
      const kept = node.traits.filter((each) => !remove.includes(each) && !taken.has(single(each) ?? 'none'));
      const traits = [...new Set([...kept, ...add])].sort();
      if (traits.length > MAX_TRAITS) {
        throw new DrvsError('InvalidInput', `a node has at most ${MAX_TRAITS} traits set by hand`, {
          field: 'add',
        });
      }
      return {
        data: { traits },
        text: `set the traits of ${node.name}: ${traits.join(', ') || 'none'}`,
        details: { add, remove },
      };
    });
  }

  /** Keeps what is there, and nothing new comes that does not tolerate it. */
  setTaints(
    actor: Actor,
    reference: string,
    { add, remove }: z.infer<typeof TaintChange>,
    generation: number | null,
  ): Promise<NodeRulesView> {
    return this.#change(actor, reference, generation, 'node.taints', (node) => {
      const matches = (taint: string, word: string) =>
        taint === word || taint.replace(/(=.*)?:NoSchedule$/, '') === word;
      const missing = remove.find((word) => !node.taints.some((taint) => matches(taint, word)));
      if (missing !== undefined) {
        throw new DrvsError('NotFound', `${node.name} has no taint ${missing}`, {
          field: 'remove',
          hint: node.taints.length > 0 ? `It has ${node.taints.join(', ')}.` : 'It has none.',
        });
      }
      const kept = node.taints.filter((taint) => !remove.some((word) => matches(taint, word)));
      const taints = [...new Set([...kept, ...add])].sort();
      if (taints.length > MAX_TAINTS) {
        throw new DrvsError('InvalidInput', `a node has at most ${MAX_TAINTS} taints`, { field: 'add' });
      }
      return {
        data: { taints },
        text: `set the taints of ${node.name}: ${taints.join(', ') || 'none'}`,
        details: { add, remove },
      };
    });
  }

  /** Overrides a burn-in check that failed, or was not made. */
  accept(actor: Actor, reference: string, generation: number | null): Promise<NodeRulesView> {
    return this.#change(actor, reference, generation, 'node.accept', (node) => {
      const probation = probationOf(node);
      if (probation === 'passed' || probation === 'accepted') {
        throw new DrvsError('StateConflict', `${node.name} is not on probation: its check is ${probation}`);
      }
      return {
        data: { probation: 'accepted' },
        text: `accepted ${node.name} though its check was ${probation}`,
        details: { probation },
      };
    });
  }

  /** Asks for the burn-in check to be made again; until it has passed the node gets nothing new. */
  recheck(actor: Actor, reference: string, generation: number | null): Promise<NodeRulesView> {
    return this.#change(actor, reference, generation, 'node.check', (node) => ({
      data: { probation: 'pending' },
      text: `asked for the check of ${node.name}`,
      details: {},
    }));
  }

  /** What is on it stays, and nothing new comes. */
  async cordon(actor: Actor, reference: string): Promise<NodeRulesView> {
    return this.#door(actor, reference, 'node.cordon', cordon);
  }

  async uncordon(actor: Actor, reference: string): Promise<NodeRulesView> {
    return this.#door(actor, reference, 'node.uncordon', uncordon);
  }

  async #door(
    actor: Actor,
    reference: string,
    action: string,
    move: (tx: Transaction, nodeId: string, by: string) => Promise<boolean>,
  ): Promise<NodeRulesView> {
    requirePermission(actor, 'node:write');
    const { id, name, wantedState } = await this.database.as(actor, (tx) => findNode(tx, reference));
    if (wantedState === 'off') {
      throw new DrvsError('StateConflict', `${name} is to be off`, {
        hint: `Switch it on first: \`drvs node power ${name} on\`.`,
      });
    }
    return this.database.system(async (tx) => {
      if (await move(tx, id, actorLabel(actor)))
        await this.audit.append(tx, actor, action, `node/${name}`, null, {});
      return rulesViewOf(await findNode(tx, id));
    });
  }

  /** Sites, racks and nodes, as far as the actor may see them. */
  async topology(actor: Actor): Promise<TopologyView> {
    requirePermission(actor, 'node:read');
    const rows = await this.database.as(actor, (tx) =>
      tx.node.findMany({
        orderBy: { name: 'asc' },
        select: {
          id: true,
          name: true,
          traits: true,
          labels: true,
          taints: true,
          wantedState: true,
          lastSeenAt: true,
          slices: { select: { isHome: true, processes: true } },
        },
      }),
    );
    const now = Date.now();
    const nodes = rows.map((row) => ({
      ...placeOf(row),
      node: {
        name: row.name,
        id: row.id,
        state: nodeState(row, row.slices.filter(occupies).length, now),
        taints: row.taints,
      },
    }));
    const sites = [...Map.groupBy(nodes, ({ site }) => site)].sort(([a], [b]) => unnamedLast(a, b));
    return {
      sites: sites.map(([site, inSite]) => ({
        site,
        racks: [...Map.groupBy(inSite, ({ rack }) => rack)]
          .sort(([a], [b]) => unnamedLast(a, b))
          .map(([rack, inRack]) => ({ rack, nodes: inRack.map(({ node }) => node) })),
      })),
    };
  }

  async #change(
    actor: Actor,
    reference: string,
    generation: number | null,
    action: string,
    change: (node: NodeRow) => {
      data: { traits?: string[]; taints?: string[]; probation?: string };
      text: string;
      details: Record<string, unknown>;
    },
  ): Promise<NodeRulesView> {
    requirePermission(actor, 'node:write');
    const { id } = await this.database.as(actor, (tx) => findNode(tx, reference));
    return this.database.system(async (tx) => {
      // Placements that counted on the node as it was have ended when this goes on: they hold its inventory.
      await tx.$queryRaw`SELECT 1 FROM inventory WHERE node_id = ${id}::uuid ORDER BY class FOR UPDATE`;
      await tx.$queryRaw`SELECT 1 FROM node WHERE id = ${id}::uuid FOR UPDATE`;
      const node = await findNode(tx, id);
      requireGeneration(`the node ${node.name}`, generation, node.generation);
      const { data, text, details } = change(node);
      await tx.node.update({ where: { id }, data: { ...data, generation: { increment: 1 } } });
      await this.#tell(tx, actor, action, node, text, details);
      return rulesViewOf(await findNode(tx, id));
    });
  }

  async #tell(
    tx: Transaction,
    actor: Actor,
    kind: string,
    node: NodeRow,
    text: string,
    details: Record<string, unknown>,
  ): Promise<void> {
    await this.events.record(tx, {
      kind,
      nodeId: node.id,
      node: node.name,
      text: `${actorLabel(actor)} ${text}`,
    });
    await this.audit.append(tx, actor, kind, `node/${node.name}`, null, details as Prisma.InputJsonObject);
  }
}

const capacityOf = ({ total, reserved, allocationRatio }: Inventory): number =>
  Math.floor((total - reserved) * allocationRatio);

function requireNotWorse(node: string, before: Inventory, after: Inventory): void {
  const capacity = capacityOf(after);
  if (after.reserved > after.total && after.reserved > before.reserved) {
    throw new DrvsError(
      'InvalidInput',
      `${after.reserved} of ${after.class} cannot be held back of ${after.total}`,
      {
        field: `${after.class}.reserved`,
        hint: 'Hold back at most all of it.',
      },
    );
  }
  if (capacity >= after.used || capacity >= capacityOf(before)) return;
  throw new DrvsError(
    'StateConflict',
    `${node} has given ${after.used} of ${after.class}; with this change it could give ${Math.max(0, capacity)}`,
    {
      field: after.class,
      hint: 'Move something off the node first (`drvs plan drain`), or change less.',
      details: { class: after.class, given: after.used, capacity },
    },
  );
}

function inventoryViewOf(node: NodeRow): NodeInventoryView {
  const classes = RESOURCE_CLASSES.flatMap((name): InventoryView[] => {
    const row = node.inventories.find((each) => each.class === name);
    if (!row) return [];
    const capacity = capacityOf(row);
    return [
      {
        class: name,
        total: row.total,
        reserved: row.reserved,
        ratio: row.allocationRatio,
        step: row.step,
        capacity: Math.max(0, capacity),
        given: row.used,
        free: Math.max(0, capacity - row.used),
        generation: row.generation,
      },
    ];
  });
  return {
    node: node.name,
    nodeId: node.id,
    classes,
    generation: classes.reduce((sum, { generation }) => sum + generation, 0),
  };
}

function rulesViewOf(node: NodeRow): NodeRulesView {
  return {
    node: node.name,
    nodeId: node.id,
    found: node.foundTraits,
    set: node.traits,
    taints: node.taints,
    ...placeOf(node),
    probation: probationOf(node),
    check:
      node.checkedAt === null
        ? null
        : { at: node.checkedAt.toISOString(), items: (node.checkResult ?? []) as unknown as NodeCheckItem[] },
    generation: node.generation,
  };
}

function unnamedLast(a: string | null, b: string | null): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  return a < b ? -1 : 1;
}
