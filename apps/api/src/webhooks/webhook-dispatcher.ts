import { DrvsError } from '@drvs/contracts';
import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { SecretBox } from '../config/secret-box.js';
import { Database, type Transaction } from '../database/database.js';
import { LedgerSession } from '../jobs/ledger-session.js';
import { SettingsService } from '../settings/settings.service.js';
import { MAX_ATTEMPTS, pauseMs } from './retry.js';
import { type PostOutcome, post } from './webhook-client.js';
import { deliveryBody, deliveryHeaders, webhookSecretContext } from './webhooks.service.js';

/** It is looked this often, should a notice be lost, or an event not have been settled when it was told. */
const LOOK_EVERY_MS = 250;
/** Several events that come close together are looked for together. */
const GATHER_MS = 20;
/** Webhooks that this process serves at once; each is one request under way. */
const WEBHOOKS_AT_ONCE = 32;
/** Deliveries of one webhook read at once. */
const BATCH = 100;
/** Deliveries that arrived are noted so many at a time, and at the end of a batch. */
const NOTED_TOGETHER = 10;
/** With more than this waiting, the oldest are given up: a receiver that is away for long does not fill the ledger. */
const MAX_BACKLOG = 10_000;

interface DueRow {
  id: string;
}
interface DeliveryRow {
  id: bigint;
  kind: string;
  event: unknown;
  attempts: number;
}
interface Delivered {
  id: bigint;
  status: number | null;
}
interface Hook {
  id: string;
  tenantId: string | null;
  tenantName: string | null;
  url: string;
  secret: Uint8Array;
}

/**
 * Brings the outbox to its receivers: at least once, of each webhook one after another in the order of the events. A
 * delivery that fails is tried again and keeps those behind it waiting; after the last attempt it is given up (dead) and
 * the next one gets its turn. A webhook is served by one process at a time, the one that holds its lock, which ends
 * with the process: what was not written down as delivered is delivered by another.
 */
@Injectable()
export class WebhookDispatcher implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #logger = new Logger('Webhooks');
  readonly #stop = new AbortController();
  readonly #served = new Map<string, Promise<void>>();
  #loop: Promise<void> = Promise.resolve();

  constructor(
    private readonly database: Database,
    private readonly session: LedgerSession,
    private readonly secrets: SecretBox,
    private readonly settings: SettingsService,
  ) {}

  onApplicationBootstrap(): void {
    this.#loop = this.#run();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stop.abort(new DrvsError('NodeUnreachable', 'The API is going down'));
    await this.#loop;
    await Promise.allSettled(this.#served.values());
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const next = this.session.nextOf('drvs_event', LOOK_EVERY_MS, signal).catch(() => undefined);
      try {
        for (const { id } of await this.#due()) this.#serve(id);
      } catch (error) {
        if (!signal.aborted) this.#logger.warn((error as Error).message);
      }
      await next;
      if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
    }
  }

  /** Webhooks whose first delivery may go out now. */
  #due(): Promise<DueRow[]> {
    const room = WEBHOOKS_AT_ONCE - this.#served.size;
    if (room <= 0) return Promise.resolve([]);
    const busy = [...this.#served.keys()];
    return this.database.unrestricted.$queryRaw<DueRow[]>`
      SELECT w.id::text FROM webhook w
      WHERE w.enabled AND (w.retry_at IS NULL OR w.retry_at <= now()) AND NOT w.id = ANY(${busy}::uuid[])
        AND EXISTS (SELECT FROM webhook_delivery d
          WHERE d.webhook_id = w.id AND d.state = 'pending' AND d.written_by < event_settled())
      ORDER BY w.retry_at NULLS FIRST LIMIT ${room}`;
  }

  #serve(id: string): void {
    const serving = this.#serveAlone(id)
      .catch((error: unknown) => {
        if (!this.#stop.signal.aborted) this.#logger.warn(`webhook ${id}: ${(error as Error).message}`);
      })
      .finally(() => this.#served.delete(id));
    this.#served.set(id, serving);
  }

  async #serveAlone(id: string): Promise<void> {
    await this.session.alone(`webhook/${id}`, async () => {
      while (!this.#stop.signal.aborted && (await this.#batch(id)));
    });
  }

  /** False when there is nothing more to do now. */
  async #batch(id: string): Promise<boolean> {
    const row = await this.database.unrestricted.webhook.findUnique({
      where: { id },
      include: { tenant: { select: { name: true } } },
    });
    if (!row?.enabled || (row.retryAt !== null && row.retryAt.getTime() > Date.now())) return false;
    const hook: Hook = { ...row, tenantName: row.tenant?.name ?? null };
    const secret = this.secrets.open(hook.secret, webhookSecretContext(hook.id)).toString('utf8');
    const allowPrivate = await this.settings.get('webhooks.allowPrivateAddresses');
    const batch = await this.database.unrestricted.$queryRaw<DeliveryRow[]>`
      SELECT id, kind, event, attempts FROM webhook_delivery
      WHERE webhook_id = ${id}::uuid AND state = 'pending' AND written_by < event_settled()
      ORDER BY event_id LIMIT ${BATCH}`;
    let delivered: Delivered[] = [];
    try {
      for (const delivery of batch) {
        if (this.#stop.signal.aborted) return false;
        const outcome = await this.#post(hook, delivery, secret, allowPrivate);
        if (!outcome.isDelivered) {
          // Whether it arrived is not known: it goes out again.
          if (this.#stop.signal.aborted || !(await this.#failed(hook, delivery, outcome))) return false;
          continue;
        }
        delivered.push({ id: delivery.id, status: outcome.status });
        if (delivered.length < NOTED_TOGETHER) continue;
        await this.#noteDelivered(hook, delivered);
        delivered = [];
      }
    } finally {
      await this.#noteDelivered(hook, delivered);
    }
    return batch.length === BATCH;
  }

  #post(hook: Hook, delivery: DeliveryRow, secret: string, allowPrivate: boolean): Promise<PostOutcome> {
    const body = deliveryBody(hook.id, delivery.event);
    return post(new URL(hook.url), {
      body,
      headers: deliveryHeaders(secret, String(delivery.id), Date.now(), body),
      allowPrivate,
      signal: this.#stop.signal,
    });
  }

  /** Several in one transaction: a process that dies before it sends only these again. */
  async #noteDelivered(hook: Hook, delivered: readonly Delivered[]): Promise<void> {
    if (delivered.length === 0) return;
    const ids = delivered.map(({ id }) => id);
    const statuses = delivered.map(({ status }) => status ?? 0);
    await this.database.unrestricted.$executeRaw`
      WITH noted AS (
        UPDATE webhook_delivery d SET state = 'delivered', attempts = d.attempts + 1, status = n.status, error = NULL,
          ended_at = clock_timestamp()
        FROM unnest(${ids}::bigint[], ${statuses}::int[]) AS n (id, status) WHERE d.id = n.id AND d.state = 'pending'
      )
      UPDATE webhook SET failures = 0, retry_at = NULL, last_success_at = clock_timestamp(), last_error = NULL
      WHERE id = ${hook.id}::uuid`;
  }

  /** False when it is to be tried again later; true when it is given up. */
  async #failed(hook: Hook, delivery: DeliveryRow, outcome: PostOutcome): Promise<boolean> {
    const attempts = delivery.attempts + 1;
    const now = new Date();
    const isDead = attempts >= MAX_ATTEMPTS;
    await this.database.system(async (tx) => {
      await tx.webhookDelivery.updateMany({
        where: { id: delivery.id, state: 'pending' },
        data: {
          attempts,
          status: outcome.status,
          error: outcome.error,
          ...(isDead ? { state: 'dead', endedAt: now } : {}),
        },
      });
      await tx.webhook.updateMany({
        where: { id: hook.id },
        data: {
          failures: { increment: 1 },
          retryAt: isDead ? null : new Date(now.getTime() + pauseMs(attempts, Math.random())),
          lastError: outcome.error,
        },
      });
      await this.#trim(tx, hook);
      if (!isDead || delivery.kind.startsWith('webhook.')) return;
      await this.#tell(
        tx,
        hook,
        `the event ${delivery.kind} could not be delivered to ${hook.url} in ${attempts} attempts (${outcome.error}); send it again with \`drvs webhook redeliver ${hook.id} ${delivery.id}\``,
      );
    });
    return isDead;
  }

  async #trim(tx: Transaction, hook: Hook): Promise<void> {
    const dropped = await tx.$executeRaw`
      UPDATE webhook_delivery SET state = 'dead', ended_at = now(), error = 'too many were waiting'
      WHERE webhook_id = ${hook.id}::uuid AND state = 'pending' AND event_id <= (
        SELECT event_id FROM webhook_delivery WHERE webhook_id = ${hook.id}::uuid AND state = 'pending'
        ORDER BY event_id DESC OFFSET ${MAX_BACKLOG} LIMIT 1)`;
    if (dropped > 0) {
      await this.#tell(
        tx,
        hook,
        `${dropped} deliveries to ${hook.url} were given up because more than ${MAX_BACKLOG} were waiting; send them again with \`drvs webhook redeliver ${hook.id} all-dead\``,
      );
    }
  }

  async #tell(tx: Transaction, { tenantId, tenantName }: Hook, text: string): Promise<void> {
    await tx.event.create({ data: { kind: 'webhook.failed', tenantId, tenant: tenantName, text } });
  }
}
