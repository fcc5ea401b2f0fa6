import {
  DrvsError,
  type NodePowerView,
  type OperationView,
  type PowerDriverName,
  type PowerReadingView,
} from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { SecretBox } from '../config/secret-box.js';
import { Database, type Transaction } from '../database/database.js';
import { NodeDraws, type SeenNode } from '../energy/node-draws.js';
import { EventsService } from '../events/events.service.js';
import { Prisma } from '../gen/client.js';
import { requireGeneration } from '../http/etag.js';
import { findNode } from '../nodes/nodes.service.js';
import { OperationsService } from '../operations/operations.service.js';
import { CALL_WITHIN_MS } from './drivers/power-driver.js';
import { LocalNodes } from './local-nodes.js';
import { type PoweredNode, PowerService, requireMayGoOff } from './power.service.js';
import { checkedSecret, checkedSettings, noDriverError, secretContext } from './power-config.js';
import { cpusOf, modelOf } from './power-model.js';
import type { PowerChange, PowerSwitch } from './power-requests.js';
import { recordOf } from './power-rows.js';

/** Who may see, set and switch the power of nodes. */
@Injectable()
export class PowerAdmin {
  constructor(
    private readonly database: Database,
    private readonly power: PowerService,
    private readonly draws: NodeDraws,
    private readonly localNodes: LocalNodes,
    private readonly operations: OperationsService,
    private readonly secrets: SecretBox,
    private readonly events: EventsService,
    private readonly audit: AuditService,
  ) {}

  async show(actor: Actor, reference: string): Promise<NodePowerView> {
    const { id } = await this.#find(actor, reference, 'power:read');
    return this.#view(id);
  }

  async list(actor: Actor): Promise<NodePowerView[]> {
    requirePermission(actor, 'power:read');
    const nodes = await this.database.as(actor, (tx) =>
      tx.node.findMany({ orderBy: { name: 'asc' }, select: { id: true } }),
    );
    const draws = await this.#drawn();
    const views: NodePowerView[] = [];
    for (const { id } of nodes) views.push(await this.#view(id, draws));
    return views;
  }

  /** @param generation of the power, not of the node; null asks for none */
  async set(
    actor: Actor,
    reference: string,
    change: PowerChange,
    generation: number | null,
  ): Promise<NodePowerView> {
    const node = await this.#find(actor, reference, 'power:write');
    await this.database.system(async (tx) => {
      const row = await this.power.rowOf(tx, node.id);
      requireGeneration(`the power of ${node.name}`, generation, row.generation);
      if (row.state === 'powering-off' || row.state === 'powering-on') {
        throw new DrvsError('StateConflict', `${node.name} is ${row.state}; its driver is at work`, {
          hint: 'Wait until it has ended.',
        });
      }
      const driver = change.driver ?? (row.driver as PowerDriverName);
      const isOther = driver !== row.driver;
      const settings =
        change.settings !== undefined || isOther
          ? checkedSettings(driver, change.settings)
          : (row.settings as Record<string, unknown>);
      const data: Prisma.NodePowerUpdateInput = {
        driver,
        settings: settings as Prisma.InputJsonObject,
        generation: { increment: 1 },
      };
      if (change.automatic !== undefined) data.automatic = change.automatic;
      if (change.model !== undefined) data.model = change.model ?? Prisma.DbNull;
      if (change.secret) data.secret = this.#sealed(node.id, driver, change.secret);
      else if (change.secret === null || isOther) data.secret = null;
      await tx.nodePower.update({ where: { nodeId: node.id }, data });
      const { secret, ...told } = change;
      await this.events.record(tx, {
        kind: 'node.power-set',
        nodeId: node.id,
        node: node.name,
        text: `${actorLabel(actor)} set how ${node.name} is switched: ${driver}`,
      });
      await this.audit.append(tx, actor, 'node.power-set', `node/${node.name}`, null, {
        ...(told as Prisma.InputJsonObject),
        ...(secret === undefined ? {} : { secret: secret === null ? 'removed' : 'set' }),
      });
    });
    return this.#view(node.id);
  }

  /** Reads the node's power by its driver, as a switch would reach it; nothing is switched. */
  async test(actor: Actor, reference: string): Promise<PowerReadingView> {
    const { id, name } = await this.#find(actor, reference, 'power:write');
    const { driver } = await this.power.driver(id);
    if (driver.name === 'none') throw noDriverError(name);
    const began = performance.now();
    const reading = await driver.status(AbortSignal.timeout(CALL_WITHIN_MS));
    return {
      node: name,
      driver: driver.name,
      ...reading,
      milliseconds: Math.round(performance.now() - began),
    };
  }

  /** As an operation. @throws DrvsError OperationUnderWay while another one switches the node */
  async switch(actor: Actor, reference: string, { power, force, open }: PowerSwitch): Promise<OperationView> {
    const { id, name } = await this.#find(actor, reference, 'power:write');
    if (force !== undefined && force !== name) {
      throw new DrvsError(
        'InvalidInput',
        `to switch ${name} off with what is on it, write its name, not "${force}"`,
        {
          field: 'force',
          hint: 'What runs there stops. See `drvs node show`.',
        },
      );
    }
    const { node, driver } = await this.power.driver(id);
    if (driver.name === 'none') throw noDriverError(name);
    if (power === 'off') requireMayGoOff(node, force !== undefined);
    const operationId = await this.database.system(async (tx) => {
      await this.power.rowOf(tx, id);
      await requireAlone(tx, name);
      const operation = await this.operations.start(tx, {
        kind: power === 'off' ? 'node.power-off' : 'node.power-on',
        subject: `node/${name}`,
        tenantId: null,
        drvmId: null,
        params: {
          nodeId: id,
          node: name,
          ...(force === undefined || power === 'on' ? {} : { force: true }),
          ...(open === undefined ? {} : { reopens: open }),
        },
        actor,
      });
      await this.audit.append(tx, actor, `node.power-${power}`, `node/${name}`, null, {
        operation: operation.id,
        forced: force !== undefined,
      });
      return operation.id;
    });
    return this.operations.show(actor, operationId);
  }

  #sealed(nodeId: string, driver: PowerDriverName, secret: Record<string, unknown>): Uint8Array<ArrayBuffer> {
    const checked = checkedSecret(driver, secret);
    return this.secrets.seal(Buffer.from(JSON.stringify(checked)), secretContext(nodeId));
  }

  async #find(
    actor: Actor,
    reference: string,
    permission: 'power:read' | 'power:write',
  ): Promise<{ id: string; name: string }> {
    requirePermission(actor, permission);
    return this.database.as(actor, (tx) => findNode(tx, reference));
  }

  async #drawn(): Promise<ReadonlyMap<string, SeenNode>> {
    return new Map((await this.draws.look()).nodes.map((node) => [node.nodeId, node]));
  }

  async #view(nodeId: string, draws?: ReadonlyMap<string, SeenNode>): Promise<NodePowerView> {
    const node = await this.power.node(this.database.unrestricted, nodeId);
    const drawn = (draws ?? (await this.#drawn())).get(nodeId);
    const isLocal = (node.power?.driver ?? 'none') === 'none' && (await this.localNodes.has(node.name));
    return viewOf(node, isLocal, drawn ?? { watts: 0, source: 'model' });
  }
}

async function requireAlone(tx: Transaction, name: string): Promise<void> {
  const other = await tx.operation.findFirst({
    where: {
      subject: `node/${name}`,
      kind: { in: ['node.power-off', 'node.power-on'] },
      state: { in: ['queued', 'running'] },
    },
    select: { id: true, kind: true },
  });
  if (!other) return;
  throw new DrvsError('OperationUnderWay', `${name} is being switched already (${other.kind})`, {
    hint: `See \`drvs op show ${other.id}\`.`,
    details: { operation: other.id },
  });
}

function viewOf(
  node: PoweredNode,
  isLocal: boolean,
  drawn: Pick<NodePowerView, 'watts' | 'source'>,
): NodePowerView {
  const { power: row } = node;
  const record = row ? recordOf(row) : null;
  return {
    node: node.name,
    state: record?.state ?? 'on',
    since: new Date(record?.sinceMs ?? node.createdAt).toISOString(),
    deadline:
      record === null || record.leftMs === null
        ? null
        : new Date(record.lookedAtMs + record.leftMs).toISOString(),
    attempts: record?.attempts ?? 0,
    failures: record?.failures ?? 0,
    reason: record?.reason ?? '',
    driver: isLocal ? 'local' : ((row?.driver ?? 'none') as PowerDriverName),
    settings: (row?.settings ?? {}) as Record<string, unknown>,
    hasSecret: row?.secret != null,
    automatic: row?.automatic ?? true,
    model: modelOf(row, cpusOf(node.inventory)),
    watts: Math.round(drawn.watts * 10) / 10,
    source: drawn.source,
    generation: row?.generation ?? 1,
  };
}
