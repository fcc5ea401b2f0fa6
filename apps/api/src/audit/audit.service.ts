import type { Page } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { type Actor, actorLabel } from '../auth/actor.js';
import { requirePermission } from '../auth/permissions.js';
import { Database, type Transaction } from '../database/database.js';
import type { AuditEntry, Prisma } from '../gen/client.js';
import { decodeCursor, type PageQuery, pageOf } from '../http/paging.js';

export interface AuditView {
  id: string;
  at: string;
  actor: string;
  action: string;
  object: string;
  tenant: string | null;
  details: unknown;
  hash: string;
}

export interface AuditVerification {
  intact: boolean;
  entries: number;
  /** Of the newest entry: written down elsewhere, it proves that nothing was cut off at the end. */
  headHash: string | null;
  /** The first entry that does not fit the one before it. */
  firstBroken: string | null;
}

const DIGITS = z.string().regex(/^\d{1,18}$/);

/** Who did what: a chain of hashes made by the database itself. */
@Injectable()
export class AuditService {
  constructor(private readonly database: Database) {}

  /**
   * Adds an entry in the caller's transaction: it stands if and only if the change stands. It takes the chain's lock
   * until the end of the transaction, so it should be the last thing in it.
   */
  async append(
    tx: Transaction,
    actor: Actor,
    action: string,
    object: string,
    tenantId: string | null,
    details: Prisma.InputJsonObject,
  ): Promise<void> {
    await tx.$queryRaw`SELECT audit_append(${actorLabel(actor)}, ${action}, ${object}, ${tenantId}::uuid,
      ${JSON.stringify(details)}::jsonb)`;
  }

  /** The newest first. */
  async list(actor: Actor, { limit, cursor }: PageQuery): Promise<Page<AuditView>> {
    requirePermission(actor, 'audit:read');
    const before = decodeCursor(cursor, DIGITS);
    const rows = await this.database.as(actor, (tx) =>
      tx.auditEntry.findMany({
        where: before === null ? {} : { id: { lt: BigInt(before) } },
        orderBy: { id: 'desc' },
        take: limit + 1,
      }),
    );
    return pageOf(rows, limit, (row) => String(row.id), viewOf);
  }

  /** Computes every hash again, in the database. A tenant's administrator may ask too: the answer names nobody. */
  async verify(actor: Actor): Promise<AuditVerification> {
    requirePermission(actor, 'audit:read');
    const [row] = await this.database.unrestricted.$queryRaw<
      { entries: bigint; head: string | null; broken: bigint | null }[]
    >`
      WITH chain AS (
        SELECT id, hash, previous_hash,
          row_number() OVER (ORDER BY id) AS place,
          lag(hash, 1, repeat('0', 64)) OVER (ORDER BY id) AS before,
          audit_hash(previous_hash, id, at, actor, action, object, tenant_id, tenant, details) AS computed
        FROM audit_entry
      )
      SELECT count(*) AS entries,
        (SELECT hash FROM chain ORDER BY id DESC LIMIT 1) AS head,
        min(id) FILTER (WHERE id <> place OR previous_hash <> before OR hash <> computed) AS broken
      FROM chain`;
    const broken = row?.broken ?? null;
    return {
      intact: broken === null,
      entries: Number(row?.entries ?? 0),
      headHash: row?.head ?? null,
      firstBroken: broken === null ? null : String(broken),
    };
  }
}

function viewOf(row: AuditEntry): AuditView {
  const { id, at, actor, action, object, tenant, details, hash } = row;
  return { id: String(id), at: at.toISOString(), actor, action, object, tenant, details, hash };
}
