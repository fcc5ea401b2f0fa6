import {
  ALERT_METRICS,
  ALERT_SEVERITIES,
  type AlertRuleView,
  type AlertView,
  DrvsError,
  type Page,
} from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';
import { sqlState, UNIQUE_VIOLATION } from '../database/sql-state.js';
import type { Alert, AlertRule, Prisma } from '../gen/client.js';
import { decodeCursor, type PageQuery, pageOf } from '../http/paging.js';
import { isId } from '../http/reference.js';
import { findTenant, Name } from '../tenants/tenants.service.js';
import { alertView, ruleView, WITH_TENANT } from './alert-view.js';

const MAX_RULES_PER_TENANT = 100;
const LONGEST_SILENCE_SECONDS = 365 * 86_400;
const Uuid = z.uuid();

const RuleFields = {
  metric: z.enum(ALERT_METRICS),
  comparison: z.enum(['above', 'below']).default('above'),
  threshold: z.number(),
  /** Without it the threshold itself. */
  clearThreshold: z.number().optional(),
  forSeconds: z.int().min(0).max(604_800).default(0),
  severity: z.enum(ALERT_SEVERITIES).default('warning'),
  subject: z.string().max(300).nullable().default(null),
  mailTo: z.array(z.email().max(320)).max(20).default([]),
  webhooks: z.array(z.uuid()).max(20).default([]),
};
export const NewAlertRule = z.strictObject({
  name: Name,
  /** By name or id; without it the actor's own, of a supra-administrator the whole cluster. */
  tenant: z.string().max(100).nullable().optional(),
  ...RuleFields,
});
export type NewAlertRule = z.infer<typeof NewAlertRule>;
export const AlertRuleChange = z.strictObject({
  threshold: z.number().optional(),
  clearThreshold: z.number().optional(),
  forSeconds: z.int().min(0).max(604_800).optional(),
  severity: z.enum(ALERT_SEVERITIES).optional(),
  mailTo: z.array(z.email().max(320)).max(20).optional(),
  webhooks: z.array(z.uuid()).max(20).optional(),
  enabled: z.boolean().optional(),
});
export type AlertRuleChange = z.infer<typeof AlertRuleChange>;
export const Silence = z.strictObject({
  /** 0 ends a silence. */
  seconds: z.int().min(0).max(LONGEST_SILENCE_SECONDS),
});

export const ALERT_STATES = ['pending', 'firing', 'resolved'] as const;
export interface AlertFilter extends PageQuery {
  state?: (typeof ALERT_STATES)[number];
}

/** Rules, and what they have found. */
@Injectable()
export class AlertsService {
  constructor(
    private readonly database: Database,
    private readonly audit: AuditService,
  ) {}

  /** The newest first; without `state` those that are not resolved. */
  async list(actor: Actor, { state, limit, cursor }: AlertFilter): Promise<Page<AlertView>> {
    requirePermission(actor, 'alert:read');
    const before = decodeCursor(cursor, Uuid);
    const rows = await this.database.as(actor, (tx) =>
      tx.alert.findMany({
        where: {
          state: state ?? { not: 'resolved' },
          ...(before === null ? {} : { id: { lt: before } }),
        },
        include: WITH_TENANT,
        orderBy: { id: 'desc' },
        take: limit + 1,
      }),
    );
    const rules = await this.#rulesOf(rows);
    return pageOf(
      rows,
      limit,
      ({ id }) => id,
      (row) => alertView(row, rules.get(row.ruleId)!),
    );
  }

  /** The rule may be the cluster's, which a department does not see; of its own alerts it sees what they are about. */
  async #rulesOf(rows: readonly Alert[]): Promise<Map<string, AlertRule>> {
    const ids = [...new Set(rows.map(({ ruleId }) => ruleId))];
    const rules = await this.database.unrestricted.alertRule.findMany({ where: { id: { in: ids } } });
    return new Map(rules.map((rule) => [rule.id, rule]));
  }

  async rules(actor: Actor, { limit, cursor }: PageQuery): Promise<Page<AlertRuleView>> {
    requirePermission(actor, 'alert:read');
    const after = decodeCursor(cursor, Uuid);
    const rows = await this.database.as(actor, (tx) =>
      tx.alertRule.findMany({
        where: after === null ? {} : { id: { gt: after } },
        include: WITH_TENANT,
        orderBy: { id: 'asc' },
        take: limit + 1,
      }),
    );
    return pageOf(rows, limit, ({ id }) => id, ruleView);
  }

  async create(actor: Actor, input: NewAlertRule): Promise<AlertRuleView> {
    requirePermission(actor, 'alert:write');
    const clearThreshold = input.clearThreshold ?? input.threshold;
    requireSides(input.comparison, input.threshold, clearThreshold);
    try {
      return await this.database.as(actor, async (tx) => {
        const tenantId = input.tenant ? (await findTenant(tx, input.tenant)).id : actor.tenantId;
        if (tenantId === null && actor.role !== 'supra-admin') requirePermission(actor, 'setting:write');
        if (tenantId !== null && /^(node|power)\./.test(input.metric)) {
          throw new DrvsError('InvalidInput', `${input.metric} is of nodes, which no department has`, {
            field: 'metric',
          });
        }
        if ((await tx.alertRule.count({ where: { tenantId } })) >= MAX_RULES_PER_TENANT) {
          throw new DrvsError('StateConflict', `there are ${MAX_RULES_PER_TENANT} rules already`);
        }
        await requireWebhooks(tx, input.webhooks, tenantId);
        const { webhooks, tenant: _, ...fields } = input;
        const row = await tx.alertRule.create({
          data: { ...fields, clearThreshold, tenantId, webhookIds: webhooks, createdBy: actorLabel(actor) },
          include: WITH_TENANT,
        });
        await this.#audit(tx, actor, 'alert-rule.create', row, {
          metric: row.metric,
          threshold: row.threshold,
        });
        return ruleView(row);
      });
    } catch (error) {
      if (sqlState(error) !== UNIQUE_VIOLATION) throw error;
      throw new DrvsError('AlreadyExists', `there is a rule ${input.name} already`, {
        field: 'name',
        cause: error,
      });
    }
  }

  async change(actor: Actor, reference: string, change: AlertRuleChange): Promise<AlertRuleView> {
    requirePermission(actor, 'alert:write');
    return this.database.as(actor, async (tx) => {
      const before = await findRule(tx, reference);
      requireWritable(actor, before);
      const { webhooks, ...fields } = change;
      const after = { ...before, ...fields };
      requireSides(before.comparison, after.threshold, after.clearThreshold);
      if (webhooks) await requireWebhooks(tx, webhooks, before.tenantId);
      const row = await tx.alertRule.update({
        where: { id: before.id },
        data: { ...fields, ...(webhooks ? { webhookIds: webhooks } : {}) },
        include: WITH_TENANT,
      });
      await this.#audit(tx, actor, 'alert-rule.change', row, change);
      return ruleView(row);
    });
  }

  /** With its alerts. A default rule is switched off instead: it would come back at the next start. */
  async remove(actor: Actor, reference: string): Promise<void> {
    requirePermission(actor, 'alert:write');
    await this.database.as(actor, async (tx) => {
      const row = await findRule(tx, reference);
      requireWritable(actor, row);
      if (row.isDefault) {
        throw new DrvsError('StateConflict', `${row.name} is a rule that every installation has`, {
          hint: `Switch it off: \`drvs alert change ${row.name} --off\`.`,
        });
      }
      await tx.alertRule.delete({ where: { id: row.id } });
      await this.#audit(tx, actor, 'alert-rule.delete', row, {});
    });
  }

  /** Nobody is told of it until then; it goes on being watched. */
  async silence(actor: Actor, id: string, seconds: number, now = Date.now()): Promise<AlertView> {
    requirePermission(actor, 'alert:write');
    const silenced = await this.database.as(actor, async (tx) => {
      const found = isId(id) ? await tx.alert.findUnique({ where: { id } }) : null;
      if (!found) {
        throw new DrvsError('NotFound', `there is no alert ${id.slice(0, 64)}`, {
          hint: 'See `drvs alert list`.',
        });
      }
      if (found.state === 'resolved') {
        throw new DrvsError('StateConflict', 'the alert is resolved: there is nothing to silence');
      }
      const silencedUntil = seconds === 0 ? null : new Date(now + seconds * 1_000);
      const row = await tx.alert.update({
        where: { id },
        data: { silencedUntil, silencedBy: silencedUntil && actorLabel(actor) },
        include: WITH_TENANT,
      });
      await this.audit.append(tx, actor, 'alert.silence', `alert/${id}`, row.tenantId, { seconds });
      return row;
    });
    return alertView(silenced, (await this.#rulesOf([silenced])).get(silenced.ruleId)!);
  }

  async #audit(
    tx: Transaction,
    actor: Actor,
    action: string,
    { name, tenantId }: AlertRule,
    details: Prisma.InputJsonObject,
  ): Promise<void> {
    await this.audit.append(tx, actor, action, `alert-rule/${name}`, tenantId, details);
  }
}

async function findRule(tx: Transaction, reference: string): Promise<AlertRule> {
  const row = isId(reference)
    ? await tx.alertRule.findUnique({ where: { id: reference } })
    : await tx.alertRule.findFirst({ where: { name: reference }, orderBy: { tenantId: 'asc' } });
  if (row) return row;
  throw new DrvsError('NotFound', `there is no alert rule ${reference.slice(0, 64)}`, {
    hint: 'See `drvs alert rules`.',
  });
}

function requireWritable(actor: Actor, { tenantId }: AlertRule): void {
  if (tenantId === null && actor.role !== 'supra-admin') requirePermission(actor, 'setting:write');
}

function requireSides(comparison: string, threshold: number, clearThreshold: number): void {
  if (comparison === 'above' ? clearThreshold <= threshold : clearThreshold >= threshold) return;
  throw new DrvsError(
    'InvalidInput',
    `an alert that fires ${comparison} ${threshold} cannot end ${comparison} ${clearThreshold} only`,
    { field: 'clearThreshold' },
  );
}

async function requireWebhooks(
  tx: Transaction,
  ids: readonly string[],
  tenantId: string | null,
): Promise<void> {
  const found = await tx.webhook.findMany({
    where: { id: { in: [...ids] }, tenantId },
    select: { id: true },
  });
  const missing = ids.find((id) => !found.some((row) => row.id === id));
  if (missing === undefined) return;
  throw new DrvsError('NotFound', `there is no webhook ${missing} of the same department`, {
    field: 'webhooks',
    hint: 'See `drvs webhook list`.',
  });
}
