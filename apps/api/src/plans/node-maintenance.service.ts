import { DrvsError, type OperationView } from '@drvs/contracts';
import { Injectable, type OnModuleInit } from '@nestjs/common';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';
import type { Prisma } from '../gen/client.js';
import { nodeState } from '../nodes/node-view.js';
import { findNode } from '../nodes/nodes.service.js';
import { awaitedOf } from '../operations/maintenance-awaits.js';
import { type MaintenanceWork, maintenanceOf } from '../operations/maintenance-work.js';
import { NodePlans } from '../operations/node-plans.js';
import { OperationsService } from '../operations/operations.service.js';
import { PowerService } from '../power/power.service.js';
import type { ContinueRequest, MaintenanceRequest } from './maintenance-request.js';
import { PlansService } from './plans.service.js';

/** Each waits in a place of the queue for as long as people take. */
const UNDER_WAY_MAX = 16;

/** Has a list of nodes maintained, so many at a time, by an operation that lasts as long as that takes. */
@Injectable()
export class NodeMaintenance implements OnModuleInit {
  constructor(
    private readonly database: Database,
    private readonly operations: OperationsService,
    private readonly plans: PlansService,
    private readonly power: PowerService,
    private readonly audit: AuditService,
    private readonly door: NodePlans,
  ) {}

  onModuleInit(): void {
    this.door.use(this.plans);
  }

  /**
   * @throws DrvsError StateConflict for a node that is not up, or that is to be switched and has no driver;
   * OperationUnderWay when one of them is being maintained already
   */
  async begin(actor: Actor, { nodes, atOnce, work, mode }: MaintenanceRequest): Promise<OperationView> {
    requirePermission(actor, 'node:write');
    const found = await this.database.as(actor, async (tx) => {
      const rows = [];
      for (const reference of nodes) rows.push(await findNode(tx, reference));
      return rows;
    });
    const twice = found.find(({ id }, index) => found.findIndex((node) => node.id === id) !== index);
    if (twice) throw new DrvsError('InvalidInput', `${twice.name} is named twice`, { field: 'nodes' });
    const now = Date.now();
    const away = found
      .map((node) => ({ name: node.name, state: nodeState(node, 0, now) }))
      .filter(({ state }) => state === 'down' || state === 'off');
    if (away.length > 0) {
      const told = away.map(({ name, state }) => `${name} is ${state}`).join(', ');
      throw new DrvsError('StateConflict', `${told}: only nodes that are up can be drained`, {
        hint: 'Name the others only, or bring these back first.',
        details: { nodes: away },
      });
    }
    if (work.kind === 'power-cycle') await this.#requireDrivers(found);
    const { userId, tokenId, name } = actor;
    const maintenance: MaintenanceWork = {
      nodes: found.map((node) => ({ id: node.id, name: node.name })),
      atOnce,
      work,
      mode,
      by: { userId, tokenId, name },
    };
    const names = maintenance.nodes.map((node) => node.name);
    const id = await this.database.system(async (tx) => {
      await tx.$queryRaw`SELECT pg_advisory_xact_lock(hashtext('drvs.maintenance'))::text`;
      await requireNotMaintained(tx, maintenance);
      const operation = await this.operations.start(tx, {
        kind: 'node.maintain',
        subject: names.length === 1 ? `node/${names[0]}` : `maintenance/${names.length} nodes`,
        tenantId: null,
        drvmId: null,
        params: { maintenance } as unknown as Prisma.InputJsonObject,
        actor,
      });
      await this.audit.append(tx, actor, 'node.maintain', `operation/${operation.id}`, null, {
        nodes: names,
        atOnce,
        work: work.kind,
        mode,
      });
      return operation.id;
    });
    return this.operations.show(actor, id);
  }

  /**
   * Tells that the work on nodes is done, or why it failed.
   * @throws DrvsError StateConflict when it does not wait for that
   */
  async proceed(actor: Actor, id: string, { nodes, failure }: ContinueRequest): Promise<OperationView> {
    requirePermission(actor, 'node:write');
    await this.operations.show(actor, id);
    await this.database.system(async (tx) => {
      await tx.$queryRaw`SELECT 1 FROM operation WHERE id = ${id}::uuid FOR UPDATE`;
      const row = await tx.operation.findUniqueOrThrow({
        where: { id },
        include: { steps: { orderBy: { position: 'asc' } } },
      });
      const awaited = awaitedOf(row);
      const told =
        nodes === undefined
          ? awaited
          : nodes.map((reference) => {
              const node = awaited.find((one) => one.name === reference || one.id === reference);
              if (node) return node;
              throw new DrvsError('StateConflict', `It does not wait for the work on ${reference}`, {
                hint:
                  awaited.length === 0
                    ? `See how far it is: drvs op show ${id}`
                    : `It waits for ${awaited.map(({ name }) => name).join(', ')}.`,
              });
            });
      if (told.length === 0) {
        throw new DrvsError('StateConflict', `The operation is ${row.state} and waits for nobody`, {
          hint: `See how far it is: drvs op show ${id}`,
        });
      }
      const answer = {
        by: actorLabel(actor),
        at: new Date().toISOString(),
        ...(failure === undefined ? {} : { failure }),
      };
      const answers = JSON.stringify(Object.fromEntries(told.map((node) => [node.id, answer])));
      await tx.$executeRaw`UPDATE operation SET answers = answers || ${answers}::jsonb WHERE id = ${id}::uuid`;
      await this.audit.append(tx, actor, 'operation.continue', `operation/${id}`, null, {
        nodes: told.map(({ name }) => name),
        ...(failure === undefined ? {} : { failure }),
      });
    });
    return this.operations.show(actor, id);
  }

  async #requireDrivers(nodes: readonly { id: string; name: string }[]): Promise<void> {
    const without: string[] = [];
    for (const { id, name } of nodes) {
      const { driver } = await this.power.driver(id);
      if (driver.name === 'none') without.push(name);
    }
    if (without.length === 0) return;
    throw new DrvsError(
      'StateConflict',
      `${without.join(', ')}: no way is known to switch ${without.length === 1 ? 'it' : 'them'}`,
      {
        hint: 'Say how: drvs node power set NODE --driver …; or have the work done by hand.',
        details: { nodes: without },
      },
    );
  }
}

async function requireNotMaintained(tx: Transaction, { nodes }: MaintenanceWork): Promise<void> {
  const open = await tx.operation.findMany({
    where: { kind: 'node.maintain', state: { in: ['queued', 'running'] } },
    select: { id: true, params: true },
    orderBy: { id: 'asc' },
  });
  for (const { id, params } of open) {
    const other = maintenanceOf(params);
    const common = nodes.find((node) => other?.nodes.some((one) => one.id === node.id));
    if (!common) continue;
    throw new DrvsError('OperationUnderWay', `${common.name} is being maintained already`, {
      hint: `Wait for it (\`drvs op wait ${id}\`) or stop it (\`drvs op cancel ${id}\`).`,
      details: { operation: id, node: common.name },
    });
  }
  if (open.length < UNDER_WAY_MAX) return;
  throw new DrvsError('StateConflict', `${open.length} maintenances are under way, and more are not begun`, {
    hint: 'Wait until one has ended: drvs op list --kind node.maintain --state running',
  });
}
