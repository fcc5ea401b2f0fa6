import { DrvsError, type LeaseView } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { AuditService } from '../audit/audit.service.js';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';
import { type DrvmRow, findDrvm } from '../drvms/drvm-view.js';
import { aboutDrvm } from '../events/about-drvm.js';
import { EventsService } from '../events/events.service.js';
import type { Lease } from '../gen/client.js';
import { requireGeneration } from '../http/etag.js';
import { marksBehind } from './lease-machine.js';
import { type LeaseExtension, type LeaseTerms, leaseColumns } from './lease-request.js';

const EXTENSIONS_MOST = 1_000;

/** For how long DRVMs may be had. */
@Injectable()
export class LeasesService {
  constructor(
    private readonly database: Database,
    private readonly audit: AuditService,
    private readonly events: EventsService,
  ) {}

  async show(actor: Actor, reference: string): Promise<LeaseView> {
    requirePermission(actor, 'drvm:read');
    return this.database.as(actor, async (tx) => {
      const drvm = await findDrvm(tx, reference);
      const lease = await tx.lease.findUnique({ where: { drvmId: drvm.id } });
      if (!lease) throw noLease(drvm.name);
      return leaseViewOf(lease, drvm);
    });
  }

  /** Gives it a lease, or another one. One that had ended goes on. */
  set(actor: Actor, reference: string, terms: LeaseTerms, generation: number | null): Promise<LeaseView> {
    return this.#change(actor, reference, generation, async (tx, drvm, before) => {
      const now = new Date();
      if (terms.startsAt !== undefined && Date.parse(terms.startsAt) > now.getTime()) {
        throw new DrvsError('InvalidInput', `${drvm.name} is there already: its lease begins now`, {
          field: 'startsAt',
          hint: 'Leave startsAt out.',
        });
      }
      const columns = leaseColumns(terms, now);
      if (columns.endsAt <= now) {
        throw new DrvsError('InvalidInput', 'the lease would have ended already', { field: 'endsAt' });
      }
      const fresh = { ...columns, state: 'active', endedAt: null, idleSince: null, idleActedAt: null };
      await tx.lease.upsert({
        where: { drvmId: drvm.id },
        create: { drvmId: drvm.id, tenantId: drvm.tenantId, ...columns },
        update: { ...fresh, startsAt: before?.startsAt ?? columns.startsAt, generation: { increment: 1 } },
      });
      return { kind: 'lease.set', text: `gave ${drvm.name} a lease until ${columns.endsAt.toISOString()}` };
    });
  }

  /** From its end, or from now if that has passed: the DRVM may then be started again. */
  extend(
    actor: Actor,
    reference: string,
    { bySeconds }: z.infer<typeof LeaseExtension>,
    generation: number | null,
  ): Promise<LeaseView> {
    return this.#change(actor, reference, generation, async (tx, drvm, before) => {
      if (!before) throw noLease(drvm.name);
      if (before.extensions >= EXTENSIONS_MOST) {
        throw new DrvsError(
          'StateConflict',
          `the lease of ${drvm.name} was extended ${before.extensions} times`,
          {
            hint: 'Give it a new lease.',
          },
        );
      }
      const endsAt = new Date(Math.max(before.endsAt.getTime(), Date.now()) + bySeconds * 1000);
      await tx.lease.update({
        where: { drvmId: drvm.id },
        data: {
          endsAt,
          state: 'active',
          endedAt: null,
          warnedSeconds: marksBehind((endsAt.getTime() - Date.now()) / 1000),
          extensions: { increment: 1 },
          generation: { increment: 1 },
        },
      });
      return {
        kind: 'lease.extended',
        text: `extended the lease of ${drvm.name} until ${endsAt.toISOString()}`,
      };
    });
  }

  /** It may then be had without end. */
  async remove(actor: Actor, reference: string, generation: number | null): Promise<void> {
    requirePermission(actor, 'drvm:write');
    await this.database.as(actor, async (tx) => {
      const drvm = await findDrvm(tx, reference);
      const before = await tx.lease.findUnique({ where: { drvmId: drvm.id } });
      if (!before) throw noLease(drvm.name);
      requireGeneration(`the lease of ${drvm.name}`, generation, before.generation);
      await tx.lease.delete({ where: { drvmId: drvm.id } });
      await this.#tell(
        tx,
        actor,
        drvm,
        'lease.removed',
        `took the lease of ${drvm.name} away: it has no end`,
      );
    });
  }

  async #change(
    actor: Actor,
    reference: string,
    generation: number | null,
    change: (tx: Transaction, drvm: DrvmRow, before: Lease | null) => Promise<{ kind: string; text: string }>,
  ): Promise<LeaseView> {
    requirePermission(actor, 'drvm:write');
    return this.database.as(actor, async (tx) => {
      const drvm = await findDrvm(tx, reference);
      await tx.$queryRaw`SELECT 1 FROM drvm WHERE id = ${drvm.id}::uuid FOR UPDATE`;
      const before = await tx.lease.findUnique({ where: { drvmId: drvm.id } });
      if (before) requireGeneration(`the lease of ${drvm.name}`, generation, before.generation);
      const { kind, text } = await change(tx, drvm, before);
      await this.#tell(tx, actor, drvm, kind, text);
      return leaseViewOf(await tx.lease.findUniqueOrThrow({ where: { drvmId: drvm.id } }), drvm);
    });
  }

  async #tell(tx: Transaction, actor: Actor, drvm: DrvmRow, kind: string, text: string): Promise<void> {
    await this.events.record(tx, {
      kind,
      ...aboutDrvm(drvm),
      text: `${actorLabel(actor)} ${text}`,
    });
    await this.audit.append(tx, actor, kind, `drvm/${drvm.name}`, drvm.tenantId, {});
  }
}

function leaseViewOf(lease: Lease, drvm: { id: string; name: string; tenant: { name: string } }): LeaseView {
  const { endedAt, keepSeconds } = lease;
  return {
    drvm: drvm.name,
    drvmId: drvm.id,
    tenant: drvm.tenant.name,
    state: lease.state === 'ended' ? 'ended' : 'active',
    startsAt: lease.startsAt.toISOString(),
    endsAt: lease.endsAt.toISOString(),
    filesUntil: endedAt === null ? null : new Date(endedAt.getTime() + keepSeconds * 1000).toISOString(),
    keepSeconds,
    idleAction: lease.idleAction as LeaseView['idleAction'],
    idleAfterSeconds: lease.idleAfterSeconds,
    idleSince: lease.idleSince?.toISOString() ?? null,
    extensions: lease.extensions,
    generation: lease.generation,
  };
}

function noLease(name: string): DrvsError {
  return new DrvsError('NotFound', `${name} has no lease: it may be had without end`, {
    hint: `Give it one: \`drvs drvm lease ${name} --for 30d\`.`,
  });
}
