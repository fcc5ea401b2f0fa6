import {
  DrvsError,
  type Enrolment,
  type EnrolmentAnswer,
  NODE_DOWN_AFTER_MS,
  type NodeInventory,
  RESOURCE_CLASSES,
} from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, systemActor } from '../auth/actor.js';
import { newSecret, sha256 } from '../auth/secrets.js';
import { Database, type Transaction } from '../database/database.js';
import type { Prisma } from '../gen/client.js';
import { recordFound } from '../nodes/found-devices.js';
import { AgentLinks } from './agent-links.js';

/**
 * Lets an agent join the cluster, once per token. Under a name that is known the node keeps its id and what it holds,
 * and its agent a new credential; the old one ends. That is refused while the old agent is connected or was so just
 * now, so that a stolen token cannot push a living node aside.
 */
@Injectable()
export class EnrolmentService {
  constructor(
    private readonly database: Database,
    private readonly audit: AuditService,
    private readonly links: AgentLinks,
  ) {}

  async enrol({ token, name, inventory }: Enrolment): Promise<EnrolmentAnswer> {
    const credential = newSecret();
    const nodeId = await this.database.system(async (tx) => {
      await this.#useToken(tx, token);
      const node = await this.#join(tx, name, sha256(credential), inventory);
      await tx.enrolmentToken.update({ where: { hash: sha256(token) }, data: { nodeId: node } });
      await this.audit.append(tx, agentActor(name), 'node.enrol', `node/${name}`, null, {
        hostname: inventory.hostname,
      });
      await tx.event.create({
        data: {
          kind: 'node.enrolled',
          nodeId: node,
          node: name,
          text: `${name} (${inventory.hostname}) has joined`,
        },
      });
      return node;
    });
    return { nodeId, credential };
  }

  async #useToken(tx: Transaction, token: string): Promise<void> {
    const now = new Date();
    const { count } = await tx.enrolmentToken.updateMany({
      where: { hash: sha256(token), usedAt: null, expiresAt: { gt: now } },
      data: { usedAt: now },
    });
    if (count === 1) return;
    throw new DrvsError(
      'NotAuthenticated',
      'The enrolment token is not known, was used already, or has expired',
      {
        hint: 'Make a new one with `drvs node enroll-token`; each is good for one agent.',
        field: 'token',
      },
    );
  }

  async #join(
    tx: Transaction,
    name: string,
    credentialHash: string,
    inventory: NodeInventory,
  ): Promise<string> {
    const known = await tx.node.findUnique({ where: { name }, select: { id: true, lastSeenAt: true } });
    const shared = { credentialHash, inventory: asJson(inventory), agentVersion: inventory.agentVersion };
    if (!known) {
      const { id } = await tx.node.create({
        data: { name, ...shared, probation: 'pending' },
        select: { id: true },
      });
      await applyInventory(tx, id, inventory);
      return id;
    }
    const seenMs =
      known.lastSeenAt === null ? Number.POSITIVE_INFINITY : Date.now() - known.lastSeenAt.getTime();
    if (this.links.get(known.id) || seenMs < NODE_DOWN_AFTER_MS) {
      throw new DrvsError('AlreadyExists', `A node named ${name} is connected`, {
        hint: 'Choose another name; or, if this agent replaces that one, stop the old agent first.',
        field: 'name',
      });
    }
    await tx.node.update({ where: { id: known.id }, data: { ...shared, generation: { increment: 1 } } });
    await applyInventory(tx, known.id, inventory);
    return known.id;
  }
}

const asJson = (inventory: NodeInventory) => inventory as unknown as Prisma.InputJsonObject;

/** The agent's own deeds in the audit. */
const agentActor = (name: string): Actor => ({
  ...systemActor(`enrolment of ${name}`),
  tokenId: 'enrolment',
});

/**
 * Brings the ledger to what the node offers now. A node may offer less than it has given away: what it has given stays
 * given, and nothing more is until enough has been given back. Answers the classes that are so.
 */
export async function applyInventory(
  tx: Transaction,
  nodeId: string,
  inventory: NodeInventory,
): Promise<string[]> {
  await recordFound(tx, nodeId, inventory);
  const short: string[] = [];
  for (const resourceClass of RESOURCE_CLASSES) {
    const total = inventory.offered[resourceClass];
    const row = await tx.inventory.findUnique({ where: { nodeId_class: { nodeId, class: resourceClass } } });
    if (!row) {
      await tx.inventory.create({ data: { nodeId, class: resourceClass, total } });
      continue;
    }
    if (row.used > Math.floor((total - row.reserved) * row.allocationRatio)) short.push(resourceClass);
    if (row.total === total) continue;
    await tx.inventory.update({
      where: { nodeId_class: { nodeId, class: resourceClass } },
      data: { total, generation: { increment: 1 } },
    });
  }
  return short;
}
