import { DrvsError, type NewTokenView, type Page, ROLES, type TokenView } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { AuditService } from '../audit/audit.service.js';
import type { Actor } from '../auth/actor.js';
import { roleOf } from '../auth/auth.service.js';
import { mayDo, requireGrantable, requirePermission } from '../auth/permissions.js';
import { newApiToken } from '../auth/secrets.js';
import { Database, type Transaction } from '../database/database.js';
import type { ApiToken, Tenant } from '../gen/client.js';
import { decodeCursor, type PageQuery, pageOf } from '../http/paging.js';
import { findTenant } from '../tenants/tenants.service.js';

const MAX_TOKEN_DAYS = 3650;
const MAX_TOKENS_PER_MAKER = 200;
const DAY_MS = 86_400_000;

export const NewToken = z.strictObject({
  name: z.string().min(1).max(100),
  /** By name or id; without it the actor's own. */
  tenant: z.string().max(100).nullable().optional(),
  role: z.enum(ROLES),
  /** Without it the token does not expire. */
  expiresInDays: z.number().positive().max(MAX_TOKEN_DAYS).nullable().optional(),
});

/** API tokens. Only the answer to its creation ever holds one. */
@Injectable()
export class TokensService {
  constructor(
    private readonly database: Database,
    private readonly audit: AuditService,
  ) {}

  async list(actor: Actor, { limit, cursor }: PageQuery): Promise<Page<TokenView>> {
    const after = decodeCursor(cursor);
    const rows = await this.database.as(actor, (tx) =>
      tx.apiToken.findMany({
        where: { revokedAt: null, ...ownOnly(actor), ...(after === null ? {} : { id: { gt: after } }) },
        orderBy: { id: 'asc' },
        take: limit + 1,
        include: { tenant: true },
      }),
    );
    return pageOf(rows, limit, (row) => row.id, viewOf);
  }

  /** Administrators make tokens for their tenant; everybody may make one with the own role for the own use. */
  async create(actor: Actor, input: z.infer<typeof NewToken>): Promise<NewTokenView> {
    const { id, token, hash } = newApiToken();
    const expiresAt = input.expiresInDays ? new Date(Date.now() + input.expiresInDays * DAY_MS) : null;
    return this.database.as(actor, async (tx) => {
      const tenantId = await tenantOf(tx, actor, input);
      if (!mayDo(actor, 'token:write') && (input.role !== actor.role || tenantId !== actor.tenantId)) {
        requirePermission(actor, 'token:write');
      }
      if (mayDo(actor, 'token:write')) requireGrantable(actor, input.role, tenantId);
      else if (actor.role === 'auditor') requirePermission(actor, 'token:write');
      const made = await tx.apiToken.count({ where: { createdById: actor.userId, revokedAt: null } });
      if (actor.userId !== null && made >= MAX_TOKENS_PER_MAKER) {
        throw new DrvsError('StateConflict', `${actor.name} has ${made} tokens already`, {
          hint: 'Revoke those that are not used: `drvs token list`, `drvs token revoke ID`.',
        });
      }
      await tx.apiToken.create({
        data: {
          id,
          hash,
          name: input.name,
          role: input.role,
          tenantId,
          expiresAt,
          createdById: actor.userId,
        },
      });
      await this.audit.append(tx, actor, 'token.create', `token/${id}`, tenantId, {
        name: input.name,
        role: input.role,
        expiresAt: expiresAt?.toISOString() ?? null,
      });
      return { token, id, expiresAt: expiresAt?.toISOString() ?? null };
    });
  }

  async revoke(actor: Actor, id: string): Promise<void> {
    await this.database.as(actor, async (tx) => {
      const row = await tx.apiToken.findFirst({ where: { id, revokedAt: null, ...ownOnly(actor) } });
      if (!row)
        throw new DrvsError('NotFound', `there is no token ${id}`, { hint: 'See `drvs token list`.' });
      if (actor.role === 'auditor') requirePermission(actor, 'token:write');
      await tx.apiToken.update({ where: { id }, data: { revokedAt: new Date() } });
      await this.audit.append(tx, actor, 'token.revoke', `token/${id}`, row.tenantId, { name: row.name });
    });
  }
}

/** Who does not administer tokens sees those made by the same user. */
function ownOnly(actor: Actor): { createdById?: string; id?: string } {
  if (mayDo(actor, 'token:read')) return {};
  return actor.userId === null ? { id: actor.tokenId ?? '' } : { createdById: actor.userId };
}

async function tenantOf(
  tx: Transaction,
  actor: Actor,
  input: z.infer<typeof NewToken>,
): Promise<string | null> {
  if (input.tenant) return (await findTenant(tx, input.tenant)).id;
  return input.tenant === null || input.role === 'supra-admin' ? null : actor.tenantId;
}

function viewOf(row: ApiToken & { tenant: Tenant | null }): TokenView {
  return {
    id: row.id,
    name: row.name,
    tenant: row.tenant?.name ?? null,
    role: roleOf(row.role),
    createdAt: row.createdAt.toISOString(),
    expiresAt: row.expiresAt?.toISOString() ?? null,
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
  };
}
