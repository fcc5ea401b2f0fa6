import type { AlertMetric, AlertRuleView, AlertSeverity, AlertView } from '@drvs/contracts';
import type { Alert, AlertRule } from '../gen/client.js';

type Named = { tenant: { name: string } | null };
export const WITH_TENANT = { tenant: { select: { name: true } } } as const;

const iso = (at: Date | null): string | null => at?.toISOString() ?? null;

export function ruleView(row: AlertRule & Named): AlertRuleView {
  return {
    id: row.id,
    name: row.name,
    tenant: row.tenant?.name ?? null,
    metric: row.metric as AlertMetric,
    comparison: row.comparison as AlertRuleView['comparison'],
    threshold: row.threshold,
    clearThreshold: row.clearThreshold,
    forSeconds: row.forSeconds,
    severity: row.severity as AlertSeverity,
    subject: row.subject,
    mailTo: row.mailTo,
    webhooks: row.webhookIds,
    enabled: row.enabled,
    isDefault: row.isDefault,
    createdBy: row.createdBy,
    createdAt: row.createdAt.toISOString(),
  };
}

export function alertView(row: Alert & Named, rule: AlertRule): AlertView {
  return {
    id: row.id,
    rule: rule.name,
    metric: rule.metric as AlertMetric,
    severity: rule.severity as AlertSeverity,
    tenant: row.tenant?.name ?? null,
    subject: row.subject,
    state: row.state as AlertView['state'],
    value: row.value,
    threshold: rule.threshold,
    since: row.since.toISOString(),
    firedAt: iso(row.firedAt),
    resolvedAt: iso(row.resolvedAt),
    silencedUntil: iso(row.silencedUntil),
  };
}
