import type { WebhookDeliveryView, WebhookView } from '@drvs/contracts';
import type { Webhook, WebhookDelivery } from '../gen/client.js';

export interface Backlog {
  pending: number;
  dead: number;
}

export type WebhookRow = Webhook & { tenant: { name: string } | null };

export function webhookView(row: WebhookRow, { pending, dead }: Backlog): WebhookView {
  return {
    id: row.id,
    tenant: row.tenant?.name ?? null,
    url: row.url,
    events: row.events,
    description: row.description,
    enabled: row.enabled,
    state: row.enabled ? (row.failures > 0 ? 'retrying' : 'ok') : 'disabled',
    pending,
    dead,
    failures: row.failures,
    lastSuccessAt: row.lastSuccessAt?.toISOString() ?? null,
    lastError: row.lastError,
    createdBy: row.createdBy,
    createdAt: row.createdAt.toISOString(),
  };
}

export function deliveryView(row: WebhookDelivery): WebhookDeliveryView {
  return {
    id: String(row.id),
    webhook: row.webhookId,
    event: String(row.eventId),
    kind: row.kind,
    state: row.state as WebhookDeliveryView['state'],
    attempts: row.attempts,
    status: row.status,
    error: row.error,
    createdAt: row.createdAt.toISOString(),
    endedAt: row.endedAt?.toISOString() ?? null,
  };
}
