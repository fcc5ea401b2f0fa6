import { type DrvmView, DrvsError, type OperationView, type WaitingView } from '@drvs/contracts';
import { fairOrder, type PlacementRefusal, type WaitingDemand } from '@drvs/policy';
import { Injectable, Logger } from '@nestjs/common';
import { fromAmounts } from '../allocations/amounts.js';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';
import { violates } from '../database/sql-state.js';
import { EventsService } from '../events/events.service.js';
import type { Prisma, WaitingRequest } from '../gen/client.js';
import { isId } from '../http/reference.js';
import { LedgerSession } from '../jobs/ledger-session.js';
import { Recurring } from '../jobs/recurring.js';
import { RecurringService } from '../jobs/recurring-service.js';
import { leaseColumns } from '../leases/lease-request.js';
import { clusterTotals } from '../tenants/cluster-totals.js';
import { devicesByTenant } from '../tenants/device-quota.js';
import { findTenant, usedByTenant } from '../tenants/tenants.service.js';
import { NewDrvm } from './drvm-request.js';
import { DrvmsService } from './drvms.service.js';
import { devicesAsked } from './placement-terms.js';
import { afterRefusal, isDue, isHolding, type WaitingTurn } from './queue-rule.js';

const LOOK_EVERY_MS = 2_000;
/** Requests looked at in one pass; the rest is looked at in the next. */
const LOOKS_PER_PASS = 50;
const WAITING_PER_TENANT_MOST = 200;
/** Requests that no longer wait are shown for so long. */
const ENDED_SHOWN_MS = 7 * 86_400_000;
const REASON_LENGTH = 500;

type Created = { operation: OperationView; drvm: DrvmView };

/**
 * Creations that wait for room, let in by dominant-resource fairness (`fairOrder`) and by the rule in `queue-rule.ts`.
 * Durable: one API process at a time looks at them, and another goes on where it died.
 */
@Injectable()
export class QueueService extends RecurringService {
  readonly #logger = new Logger('Queue');
  protected readonly rounds = new Recurring(
    LOOK_EVERY_MS,
    () => this.#lookOnce(),
    ({ message }) => this.#logger.warn(message),
  );
  #ledgerSeen = '';

  constructor(
    private readonly database: Database,
    private readonly session: LedgerSession,
    private readonly drvms: DrvmsService,
    private readonly events: EventsService,
    private readonly audit: AuditService,
  ) {
    super();
  }

  /** Creates it, or puts it in the queue when it does not fit now, or when its lease begins later. */
  async createOrWait(actor: Actor, input: NewDrvm): Promise<Created | { waiting: WaitingView }> {
    const startsAt = input.lease ? leaseColumns(input.lease, new Date()).startsAt : null;
    if (startsAt !== null && startsAt.getTime() > Date.now()) {
      requirePermission(actor, 'drvm:write');
      return {
        waiting: await this.#enqueue(actor, input, startsAt, `its lease begins at ${startsAt.toISOString()}`),
      };
    }
    try {
      return await this.drvms.create(actor, input);
    } catch (error) {
      if (input.whenFull !== 'wait' || !isForNow(error)) throw error;
      return { waiting: await this.#enqueue(actor, input, null, (error as DrvsError).message) };
    }
  }

  /** Those that wait, in the order in which they would be let in, then those that ended lately. */
  async list(actor: Actor): Promise<WaitingView[]> {
    requirePermission(actor, 'drvm:read');
    const rows = await this.database.as(actor, (tx) =>
      tx.waitingRequest.findMany({
        where: { OR: [{ state: 'waiting' }, { endedAt: { gt: new Date(Date.now() - ENDED_SHOWN_MS) } }] },
        orderBy: { createdAt: 'asc' },
        take: 1_000,
      }),
    );
    const order = (await this.#inOrder(await this.#waiting())).map(({ id }) => id);
    const views = await this.#views(rows, order);
    return views.sort(
      (a, b) => (a.position ?? Number.POSITIVE_INFINITY) - (b.position ?? Number.POSITIVE_INFINITY) || 0,
    );
  }

  async show(actor: Actor, id: string): Promise<WaitingView> {
    requirePermission(actor, 'drvm:read');
    const row = isId(id)
      ? await this.database.as(actor, (tx) => tx.waitingRequest.findUnique({ where: { id } }))
      : null;
    if (!row) throw noSuch(id);
    const order = (await this.#inOrder(await this.#waiting())).map((each) => each.id);
    return (await this.#views([row], order))[0] as WaitingView;
  }

  async cancel(actor: Actor, id: string): Promise<WaitingView> {
    requirePermission(actor, 'drvm:write');
    const before = await this.show(actor, id);
    const count = await this.database.as(actor, async (tx) => {
      const done = await tx.waitingRequest.updateMany({
        where: { id: before.id, state: 'waiting' },
        data: { state: 'cancelled', endedAt: new Date(), reason: `cancelled by ${actorLabel(actor)}` },
      });
      if (done.count > 0) {
        const row = await tx.waitingRequest.findUniqueOrThrow({ where: { id: before.id } });
        await this.audit.append(tx, actor, 'queue.cancel', `drvm/${row.name}`, row.tenantId, { request: id });
      }
      return done.count;
    });
    if (count === 0) {
      throw new DrvsError(
        'StateConflict',
        `the request for ${before.name} is ${before.state}: it no longer waits`,
        {
          hint: before.drvm ? `The DRVM is there: \`drvs drvm show ${before.drvm}\`.` : 'Ask for it anew.',
        },
      );
    }
    return this.show(actor, id);
  }

  async #enqueue(actor: Actor, input: NewDrvm, notBefore: Date | null, reason: string): Promise<WaitingView> {
    if (input.candidate !== undefined) {
      throw new DrvsError('InvalidInput', 'a candidate is for now, and cannot wait', {
        field: 'candidate',
        hint: 'Leave the candidate out, or do not wait.',
      });
    }
    const reference = input.tenant ?? actor.tenantId ?? '';
    const tenant = await this.database.as(actor, (tx) => findTenant(tx, reference));
    try {
      const id = await this.database.as(actor, async (tx) => {
        const waiting = await tx.waitingRequest.count({ where: { tenantId: tenant.id, state: 'waiting' } });
        if (waiting >= WAITING_PER_TENANT_MOST) {
          throw new DrvsError('StateConflict', `${waiting} requests of ${tenant.name} wait already`, {
            hint: 'Cancel some: `drvs queue list`.',
          });
        }
        const taken = await tx.drvm.findUnique({
          where: { tenantId_name: { tenantId: tenant.id, name: input.name } },
          select: { id: true },
        });
        if (taken) throw nameWaits(tenant.name, input.name);
        const row = await tx.waitingRequest.create({
          data: {
            tenantId: tenant.id,
            name: input.name,
            input: JSON.parse(JSON.stringify({ ...input, tenant: tenant.name })) as Prisma.InputJsonObject,
            actor: { ...actor },
            requestedBy: actorLabel(actor),
            notBefore,
            reason: reason.slice(0, REASON_LENGTH),
          },
        });
        await this.events.record(tx, {
          kind: 'drvm.queued',
          tenantId: tenant.id,
          tenant: tenant.name,
          text: `${actorLabel(actor)} asked for ${input.name}, which waits: ${reason}`.slice(
            0,
            REASON_LENGTH,
          ),
        });
        await this.audit.append(tx, actor, 'drvm.queue', `drvm/${input.name}`, tenant.id, {
          request: row.id,
        });
        return row.id;
      });
      return await this.show(actor, id);
    } catch (error) {
      if (violates(error, 'waiting_request_name')) throw nameWaits(tenant.name, input.name);
      throw error;
    }
  }

  #waiting(): Promise<WaitingRequest[]> {
    return this.database.unrestricted.waitingRequest.findMany({
      where: { state: 'waiting' },
      orderBy: { createdAt: 'asc' },
    });
  }

  /** One pass, in this process while in no other. */
  async #lookOnce(): Promise<void> {
    const now = new Date();
    const some = await this.database.unrestricted.waitingRequest.count({
      where: { state: 'waiting', OR: [{ notBefore: null }, { notBefore: { lte: now } }] },
    });
    if (some > 0) await this.session.alone('queue', () => this.#letIn());
  }

  async #letIn(): Promise<void> {
    const ledger = await this.#ledgerStamp();
    const hasChanged = ledger !== this.#ledgerSeen;
    this.#ledgerSeen = ledger;
    const now = Date.now();
    const due = (await this.#waiting()).filter(
      ({ notBefore }) => notBefore === null || notBefore.getTime() <= now,
    );
    const refused: WaitingRequest[] = [];
    const letInAfter = new Map<string, number>();
    let looks = 0;
    for (const row of await this.#inOrder(due)) {
      const turn = turnOf(row);
      if (looks >= LOOKS_PER_PASS || !isDue(turn, now, hasChanged)) continue;
      looks++;
      const wasLetIn = await this.#tryOne(row);
      if (wasLetIn) for (const { id } of refused) letInAfter.set(id, (letInAfter.get(id) ?? 0) + 1);
      else {
        refused.push(row);
        if (isHolding(turn, now)) break;
      }
    }
    for (const row of refused) {
      const turn = afterRefusal(turnOf(row), letInAfter.get(row.id) ?? 0, now);
      await this.database.unrestricted.waitingRequest.updateMany({
        where: { id: row.id, state: 'waiting' },
        data: {
          attempts: turn.attempts,
          passedOver: turn.passedOver,
          nextLookAt: new Date(turn.nextLookAtMs),
          holdUntil: turn.holdUntilMs === null ? null : new Date(turn.holdUntilMs),
        },
      });
    }
  }

  /** Whether it no longer waits for room: it was let in, or can never be. */
  async #tryOne(row: WaitingRequest): Promise<boolean> {
    try {
      const actor = await this.#stillAllowed(row);
      const input = NewDrvm.parse(row.input);
      const { drvm, operation } = await this.drvms.create(actor, input);
      await this.#end(row, 'admitted', 'there was room', drvm.id, operation.id);
      return true;
    } catch (error) {
      const { message } = DrvsError.from(error);
      if (!(error instanceof DrvsError)) throw error;
      if (isForNow(error)) {
        await this.database.unrestricted.waitingRequest.updateMany({
          where: { id: row.id, state: 'waiting' },
          data: { reason: message.slice(0, REASON_LENGTH) },
        });
        return false;
      }
      if (error.code === 'AlreadyExists' && (await this.#wasCreated(row))) return true;
      await this.#end(row, 'refused', message, null, null);
      return true;
    }
  }

  /** A process that died between creating the DRVM and saying so left its name taken by this very request. */
  async #wasCreated(row: WaitingRequest): Promise<boolean> {
    const drvm = await this.database.unrestricted.drvm.findUnique({
      where: { tenantId_name: { tenantId: row.tenantId, name: row.name } },
      include: { operations: { where: { kind: 'drvm.create' }, select: { id: true }, take: 1 } },
    });
    if (!drvm || drvm.createdAt < row.createdAt || drvm.operations[0] === undefined) return false;
    await this.#end(row, 'admitted', 'there was room', drvm.id, drvm.operations[0].id);
    return true;
  }

  async #end(
    row: WaitingRequest,
    state: 'admitted' | 'refused',
    reason: string,
    drvmId: string | null,
    operationId: string | null,
  ): Promise<void> {
    await this.database.system(async (tx: Transaction) => {
      const { count } = await tx.waitingRequest.updateMany({
        where: { id: row.id, state: 'waiting' },
        data: { state, reason: reason.slice(0, REASON_LENGTH), endedAt: new Date(), drvmId, operationId },
      });
      if (count === 0) return;
      const tenant = await tx.tenant.findUnique({ where: { id: row.tenantId }, select: { name: true } });
      await this.events.record(tx, {
        kind: `drvm.queue-${state}`,
        tenantId: row.tenantId,
        tenant: tenant?.name ?? null,
        drvmId,
        drvm: drvmId === null ? null : row.name,
        text: `${row.name}, which ${row.requestedBy} asked for, was ${state === 'admitted' ? 'let in' : `given up: ${reason}`}`,
      });
    });
  }

  /** In whose name it is made may have lost the right meanwhile. */
  async #stillAllowed(row: WaitingRequest): Promise<Actor> {
    const actor = row.actor as unknown as Actor;
    const { unrestricted } = this.database;
    const user =
      actor.userId === null ? null : await unrestricted.user.findUnique({ where: { id: actor.userId } });
    const token =
      actor.tokenId === null
        ? null
        : await unrestricted.apiToken.findUnique({ where: { id: actor.tokenId } });
    const now = new Date();
    const isGone =
      (actor.userId !== null &&
        actor.tokenId === null &&
        (user?.role !== actor.role || user.tenantId !== actor.tenantId)) ||
      (actor.tokenId !== null &&
        (!token || token.revokedAt !== null || (token.expiresAt !== null && token.expiresAt <= now)));
    if (!isGone) return actor;
    throw new DrvsError('NotAllowed', `${row.requestedBy} may no longer create it`, {
      hint: 'Ask for it anew.',
    });
  }

  async #ledgerStamp(): Promise<string> {
    const [row] = await this.database.unrestricted.$queryRaw<{ stamp: string }[]>`
      SELECT concat_ws('/', (SELECT sum(generation) FROM inventory), (SELECT sum(generation) FROM node),
        (SELECT sum(generation) FROM device), (SELECT sum(generation) FROM tenant),
        (SELECT count(*) FROM node WHERE last_seen_at > now() - interval '8 seconds')) AS stamp`;
    return row?.stamp ?? '';
  }

  async #inOrder(rows: readonly WaitingRequest[]): Promise<WaitingRequest[]> {
    if (rows.length < 2) return [...rows];
    const { unrestricted: tx } = this.database;
    const ids = [...new Set(rows.map(({ tenantId }) => tenantId))];
    const tenants = await tx.tenant.findMany({
      where: { id: { in: ids } },
      select: { id: true, weight: true },
    });
    const used = await usedByTenant(tx, ids);
    const devices = await devicesByTenant(tx, ids);
    const holders = tenants.map(({ id, weight }) => ({
      id,
      weight,
      used: { ...used.get(id), ...devices.get(id) },
    }));
    const demands = rows.map((row): WaitingDemand & { row: WaitingRequest } => {
      const parsed = NewDrvm.safeParse(row.input);
      const asked = parsed.success ? { ...fromAmounts(parsed.data), ...devicesAsked(parsed.data) } : {};
      return { id: row.id, tenant: row.tenantId, asked, sinceMs: row.createdAt.getTime(), row };
    });
    return fairOrder(demands, holders, await clusterTotals(tx)).map(({ row }) => row);
  }

  async #views(rows: readonly WaitingRequest[], order: readonly string[]): Promise<WaitingView[]> {
    const { unrestricted: tx } = this.database;
    const tenants = await tx.tenant.findMany({
      where: { id: { in: rows.map(({ tenantId }) => tenantId) } },
      select: { id: true, name: true },
    });
    const drvms = await tx.drvm.findMany({
      where: { id: { in: rows.flatMap(({ drvmId }) => (drvmId === null ? [] : [drvmId])) } },
      select: { id: true, name: true },
    });
    return rows.map((row) => ({
      id: row.id,
      tenant: tenants.find(({ id }) => id === row.tenantId)?.name ?? '',
      name: row.name,
      state: row.state as WaitingView['state'],
      position: row.state === 'waiting' ? order.indexOf(row.id) + 1 : null,
      reason: row.reason,
      attempts: row.attempts,
      notBefore: row.notBefore?.toISOString() ?? null,
      nextLookAt: row.state === 'waiting' ? row.nextLookAt.toISOString() : null,
      requestedBy: row.requestedBy,
      createdAt: row.createdAt.toISOString(),
      endedAt: row.endedAt?.toISOString() ?? null,
      drvm: drvms.find(({ id }) => id === row.drvmId)?.name ?? null,
      operation: row.operationId,
    }));
  }
}

/** Refused for now: room may come, a quota may be raised or freed. What can never be is not waited for. */
function isForNow(error: unknown): boolean {
  if (!(error instanceof DrvsError)) return false;
  if (error.code === 'InsufficientResources')
    return (error.details as Partial<PlacementRefusal> | undefined)?.verdict !== 'never';
  if (error.code !== 'QuotaExceeded') return false;
  const over = (error.details?.over ?? []) as { requested: number; quota: number }[];
  return over.every(({ requested, quota }) => requested <= quota);
}

function turnOf(row: WaitingRequest): WaitingTurn {
  return {
    attempts: row.attempts,
    passedOver: row.passedOver,
    nextLookAtMs: row.nextLookAt.getTime(),
    holdUntilMs: row.holdUntil?.getTime() ?? null,
  };
}

function nameWaits(tenant: string, name: string): DrvsError {
  return new DrvsError('AlreadyExists', `${tenant} has a DRVM named ${name}, or a request for one waits`, {
    field: 'name',
    hint: 'Choose another name; see `drvs drvm list` and `drvs queue list`.',
  });
}

function noSuch(id: string): DrvsError {
  return new DrvsError('NotFound', `there is no request ${id.slice(0, 64)} in the queue`, {
    hint: 'See `drvs queue list`.',
  });
}
