import {
  DrvsError,
  type NewWebhookView,
  type Page,
  type WebhookDeliveryView,
  type WebhookTestView,
  type WebhookView,
} from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { SecretBox } from '../config/secret-box.js';
import { Database, type Transaction } from '../database/database.js';
import type { Prisma } from '../gen/client.js';
import { decodeCursor, type PageQuery, pageOf } from '../http/paging.js';
import { isId } from '../http/reference.js';
import { SettingsService } from '../settings/settings.service.js';
import { findTenant } from '../tenants/tenants.service.js';
import { newWebhookSecret, signedHeaders } from './signature.js';
import { post } from './webhook-client.js';
import { type Backlog, deliveryView, type WebhookRow, webhookView } from './webhook-view.js';

const MAX_PER_TENANT = 50;
const MAX_URL_CHARACTERS = 2_000;
const Uuid = z.uuid();
const DeliveryNumber = z.string().regex(/^\d{1,18}$/);

const Url = z
  .url({ protocol: /^https?$/ })
  .max(MAX_URL_CHARACTERS)
  .refine((text) => URL.canParse(text) && new URL(text).username === '' && new URL(text).password === '', {
    message: 'an address without a name and password in it: what is sent is signed with the secret instead',
  });
const EventPattern = z
  .string()
  .max(100)
  .regex(
    /^(\*|[a-z0-9][a-z0-9.-]*\*?)$/,
    'a kind of event such as drvm.created, or the beginning of kinds such as drvm.*',
  );

export const NewWebhook = z.strictObject({
  url: Url,
  events: z.array(EventPattern).min(1).max(50).default(['*']),
  description: z.string().max(500).default(''),
  /** By name or id; null: the whole cluster. Without it the actor's own. */
  tenant: z.string().max(100).nullable().optional(),
  /** One's own, or `whsec_` and base64; without it one is made. */
  secret: z.string().min(16).max(200).optional(),
});
export type NewWebhook = z.infer<typeof NewWebhook>;
export const WebhookChange = z.strictObject({
  url: Url.optional(),
  events: z.array(EventPattern).min(1).max(50).optional(),
  description: z.string().max(500).optional(),
  enabled: z.boolean().optional(),
});
export type WebhookChange = z.infer<typeof WebhookChange>;

export const DELIVERY_STATES = ['pending', 'delivered', 'dead'] as const;
export interface DeliveryFilter extends PageQuery {
  state?: (typeof DELIVERY_STATES)[number];
}

export const webhookSecretContext = (id: string): string => `webhook/${id}`;
const WITH_TENANT = { tenant: { select: { name: true } } } as const;

/** Where events are sent to. */
@Injectable()
export class WebhooksService {
  constructor(
    private readonly database: Database,
    private readonly audit: AuditService,
    private readonly secrets: SecretBox,
    private readonly settings: SettingsService,
  ) {}

  async list(actor: Actor, { limit, cursor }: PageQuery): Promise<Page<WebhookView>> {
    requirePermission(actor, 'webhook:read');
    const after = decodeCursor(cursor, Uuid);
    return this.database.as(actor, async (tx) => {
      const rows = await tx.webhook.findMany({
        where: after === null ? {} : { id: { gt: after } },
        include: WITH_TENANT,
        orderBy: { id: 'asc' },
        take: limit + 1,
      });
      const backlogs = await backlogsOf(tx, rows);
      return pageOf(
        rows,
        limit,
        ({ id }) => id,
        (row) => webhookView(row, backlogs.get(row.id) ?? NOTHING),
      );
    });
  }

  async show(actor: Actor, id: string): Promise<WebhookView> {
    requirePermission(actor, 'webhook:read');
    return this.database.as(actor, async (tx) => {
      const row = await find(tx, id);
      return webhookView(row, (await backlogsOf(tx, [row])).get(row.id) ?? NOTHING);
    });
  }

  /** It gets what happens from now on. */
  async create(actor: Actor, input: NewWebhook): Promise<NewWebhookView> {
    requirePermission(actor, 'webhook:write');
    const secret = input.secret ?? newWebhookSecret();
    return this.database.as(actor, async (tx) => {
      const tenantId = input.tenant ? (await findTenant(tx, input.tenant)).id : actor.tenantId;
      if (input.tenant === null && actor.tenantId !== null) {
        throw new DrvsError(
          'NotAllowed',
          'only a supra-administrator may send the events of the whole cluster',
          {
            field: 'tenant',
          },
        );
      }
      if ((await tx.webhook.count({ where: { tenantId } })) >= MAX_PER_TENANT) {
        throw new DrvsError('StateConflict', `there are ${MAX_PER_TENANT} webhooks already`, {
          hint: 'Delete those that are not used: `drvs webhook list`.',
        });
      }
      const made = await tx.webhook.create({
        data: {
          tenantId,
          url: input.url,
          events: input.events,
          description: input.description,
          // With the id in it, what is sealed cannot be moved to another row; the id comes with the row.
          secret: new Uint8Array(),
          createdBy: actorLabel(actor),
        },
        include: WITH_TENANT,
      });
      await tx.webhook.update({
        where: { id: made.id },
        data: { secret: this.secrets.seal(Buffer.from(secret), webhookSecretContext(made.id)) },
      });
      await this.#audit(tx, actor, 'webhook.create', made, { url: made.url, events: made.events });
      return { ...webhookView(made, NOTHING), secret };
    });
  }

  async change(actor: Actor, id: string, change: WebhookChange): Promise<WebhookView> {
    requirePermission(actor, 'webhook:write');
    return this.database.as(actor, async (tx) => {
      await find(tx, id);
      const row = await tx.webhook.update({
        where: { id },
        // What was changed may be what kept it from succeeding.
        data: { ...change, retryAt: null },
        include: WITH_TENANT,
      });
      await this.#audit(tx, actor, 'webhook.change', row, change);
      return webhookView(row, (await backlogsOf(tx, [row])).get(row.id) ?? NOTHING);
    });
  }

  /** With its deliveries, those that were still to go out too. */
  async remove(actor: Actor, id: string): Promise<void> {
    requirePermission(actor, 'webhook:write');
    await this.database.as(actor, async (tx) => {
      const row = await find(tx, id);
      await tx.webhook.delete({ where: { id } });
      await this.#audit(tx, actor, 'webhook.delete', row, { url: row.url });
    });
  }

  /** Sends an event `webhook.test` at once, past the line, and says what came of it. Tried once. */
  async test(actor: Actor, id: string): Promise<WebhookTestView> {
    requirePermission(actor, 'webhook:write');
    const row = await this.database.as(actor, (tx) => find(tx, id));
    const at = Date.now();
    const event = {
      id: '0',
      at: new Date(at).toISOString(),
      kind: 'webhook.test',
      tenant: row.tenant?.name ?? null,
      drvm: null,
      node: null,
      text: `a test, asked for by ${actorLabel(actor)}`,
    };
    const secret = this.secrets.open(row.secret, webhookSecretContext(id)).toString('utf8');
    const body = deliveryBody(id, event);
    const began = performance.now();
    const outcome = await post(new URL(row.url), {
      body,
      headers: deliveryHeaders(secret, `test-${at}`, at, body),
      allowPrivate: await this.settings.get('webhooks.allowPrivateAddresses'),
    });
    return {
      delivered: outcome.isDelivered,
      status: outcome.status,
      error: outcome.error,
      milliseconds: Math.round(performance.now() - began),
    };
  }

  /** The newest first. */
  async deliveries(actor: Actor, id: string, filter: DeliveryFilter): Promise<Page<WebhookDeliveryView>> {
    requirePermission(actor, 'webhook:read');
    const before = decodeCursor(filter.cursor, DeliveryNumber);
    return this.database.as(actor, async (tx) => {
      await find(tx, id);
      const rows = await tx.webhookDelivery.findMany({
        where: {
          webhookId: id,
          state: filter.state,
          ...(before === null ? {} : { id: { lt: BigInt(before) } }),
        },
        orderBy: { id: 'desc' },
        take: filter.limit + 1,
      });
      return pageOf(rows, filter.limit, (row) => String(row.id), deliveryView);
    });
  }

  /** Puts an ended delivery back in the line, at the place of its event. `all-dead`: all that were given up. */
  async redeliver(actor: Actor, id: string, delivery: string): Promise<{ queued: number }> {
    requirePermission(actor, 'webhook:write');
    return this.database.as(actor, async (tx) => {
      const row = await find(tx, id);
      const which: Prisma.WebhookDeliveryWhereInput =
        delivery === 'all-dead' ? { state: 'dead' } : { id: numberOf(delivery), state: { not: 'pending' } };
      const { count } = await tx.webhookDelivery.updateMany({
        where: { AND: [{ webhookId: id }, which] },
        data: { state: 'pending', attempts: 0, endedAt: null, status: null, error: null },
      });
      if (count === 0 && delivery !== 'all-dead') {
        throw new DrvsError(
          'NotFound',
          `there is no ended delivery ${delivery.slice(0, 30)} of this webhook`,
          {
            hint: `See \`drvs webhook deliveries ${id}\`.`,
          },
        );
      }
      await tx.webhook.update({ where: { id }, data: { retryAt: null } });
      await this.#audit(tx, actor, 'webhook.redeliver', row, { delivery, count });
      await tx.$executeRaw`SELECT pg_notify('drvs_event', '0')`;
      return { queued: count };
    });
  }

  async #audit(
    tx: Transaction,
    actor: Actor,
    action: string,
    { id, tenantId }: WebhookRow,
    details: Prisma.InputJsonObject,
  ): Promise<void> {
    await this.audit.append(tx, actor, action, `webhook/${id}`, tenantId, details);
  }
}

/** What is sent. The signature is over these very bytes. */
export function deliveryBody(webhook: string, event: unknown): string {
  return JSON.stringify({ webhook, event });
}

export function deliveryHeaders(
  secret: string,
  id: string,
  at: number,
  body: string,
): Record<string, string> {
  return {
    'content-type': 'application/json',
    'user-agent': 'drvs-webhooks',
    ...signedHeaders(secret, id, at, body),
  };
}

const NOTHING: Backlog = { pending: 0, dead: 0 };

async function backlogsOf(tx: Transaction, rows: readonly { id: string }[]): Promise<Map<string, Backlog>> {
  const counts = await tx.webhookDelivery.groupBy({
    by: ['webhookId', 'state'],
    where: { webhookId: { in: rows.map(({ id }) => id) }, state: { in: ['pending', 'dead'] } },
    _count: true,
  });
  const backlogs = new Map<string, Backlog>();
  for (const { webhookId, state, _count } of counts) {
    const known = backlogs.get(webhookId) ?? { ...NOTHING };
    known[state as keyof Backlog] = _count;
    backlogs.set(webhookId, known);
  }
  return backlogs;
}

async function find(tx: Transaction, id: string): Promise<WebhookRow> {
  const row = isId(id) ? await tx.webhook.findUnique({ where: { id }, include: WITH_TENANT }) : null;
  if (row) return row;
  throw new DrvsError('NotFound', `there is no webhook ${id.slice(0, 64)}`, {
    hint: 'See `drvs webhook list`.',
  });
}

function numberOf(text: string): bigint {
  if (DeliveryNumber.safeParse(text).success) return BigInt(text);
  throw new DrvsError('InvalidInput', 'a delivery is named by its number, or it is `all-dead`', {
    field: 'delivery',
  });
}
