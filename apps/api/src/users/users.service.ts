import { DrvsError, type Page, ROLES, type UserView } from '@drvs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { AuditService } from '../audit/audit.service.js';
import type { Actor } from '../auth/actor.js';
import { roleOf } from '../auth/auth.service.js';
import { hashPassword, MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH, verifyPassword } from '../auth/password.js';
import { mayDo, requireGrantable, requirePermission } from '../auth/permissions.js';
import { newPassword } from '../auth/secrets.js';
import { Database, type Transaction } from '../database/database.js';
import { sqlState, UNIQUE_VIOLATION } from '../database/sql-state.js';
import type { Tenant, User } from '../gen/client.js';
import { requireGeneration } from '../http/etag.js';
import { decodeCursor, type PageQuery, pageOf } from '../http/paging.js';
import { byReference } from '../http/reference.js';
import { findTenant } from '../tenants/tenants.service.js';

const Password = z.string().min(MIN_PASSWORD_LENGTH).max(MAX_PASSWORD_LENGTH);
const UserName = z
  .string()
  .regex(
    /^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$/,
    'a user name has 1 to 63 of the characters a-z, 0-9, ., _ and -',
  );

export const NewUser = z.strictObject({
  name: UserName,
  /** By name or id; without it the actor's own. */
  tenant: z.string().max(100).nullable().optional(),
  role: z.enum(ROLES),
  /** Without it a random one is made, and answered once. */
  password: Password.optional(),
});
export const UserChange = z.strictObject({
  role: z.enum(ROLES).optional(),
  tenant: z.string().max(100).nullable().optional(),
  password: Password.optional(),
  /** To set one's own password. */
  currentPassword: z.string().max(MAX_PASSWORD_LENGTH).optional(),
});

type UserRow = User & { tenant: Tenant | null };
const WITH_TENANT = { tenant: true } as const;

@Injectable()
export class UsersService {
  constructor(
    private readonly database: Database,
    private readonly audit: AuditService,
  ) {}

  async list(actor: Actor, { limit, cursor }: PageQuery): Promise<Page<UserView>> {
    requirePermission(actor, 'user:read');
    const after = decodeCursor(cursor);
    const rows = await this.database.as(actor, (tx) =>
      tx.user.findMany({
        where: after === null ? {} : { name: { gt: after } },
        orderBy: { name: 'asc' },
        take: limit + 1,
        include: WITH_TENANT,
      }),
    );
    return pageOf(rows, limit, (row) => row.name, viewOf);
  }

  async show(actor: Actor, reference: string): Promise<UserView> {
    if (!mayDo(actor, 'user:read') && reference !== actor.userId && reference !== actor.name) {
      requirePermission(actor, 'user:read');
    }
    return this.database.as(actor, async (tx) => viewOf(await findUser(tx, reference)));
  }

  async create(actor: Actor, input: z.infer<typeof NewUser>): Promise<UserView> {
    requirePermission(actor, 'user:write');
    const made = input.password === undefined ? newPassword() : undefined;
    const passwordHash = await hashPassword(input.password ?? made ?? '');
    try {
      return await this.database.as(actor, async (tx) => {
        const tenantId = await this.#tenantId(tx, actor, input.tenant, input.role);
        requireGrantable(actor, input.role, tenantId);
        const row = await tx.user.create({
          data: { name: input.name, role: input.role, tenantId, passwordHash },
          include: WITH_TENANT,
        });
        await this.audit.append(tx, actor, 'user.create', `user/${row.name}`, tenantId, { role: input.role });
        return { ...viewOf(row), ...(made === undefined ? {} : { password: made }) };
      });
    } catch (error) {
      if (sqlState(error) !== UNIQUE_VIOLATION) throw error;
      throw new DrvsError('AlreadyExists', `the user name ${input.name} is taken`, {
        field: 'name',
        cause: error,
      });
    }
  }

  /** A new password ends the user's sessions; a new role or tenant ends the tokens made under the old one too. */
  async change(
    actor: Actor,
    reference: string,
    change: z.infer<typeof UserChange>,
    generation: number | null,
  ): Promise<UserView> {
    const passwordHash = change.password === undefined ? undefined : await hashPassword(change.password);
    const before = await this.database.as(actor, (tx) => findUser(tx, reference));
    const isOwn = before.id === actor.userId && actor.tokenId === null;
    const changesRole = change.role !== undefined || change.tenant !== undefined;
    if (changesRole || !isOwn) requirePermission(actor, 'user:write');
    // Whoever sits down at a browser left open must not be able to take the account over.
    if (
      isOwn &&
      passwordHash !== undefined &&
      !(await verifyPassword(before.passwordHash, change.currentPassword ?? ''))
    ) {
      throw new DrvsError('NotAllowed', 'the current password is missing or wrong', {
        field: 'currentPassword',
      });
    }
    return this.database.system(async (tx) => {
      await tx.$queryRaw`SELECT 1 FROM app_user WHERE id = ${before.id}::uuid FOR UPDATE`;
      const row = await findUser(tx, before.id);
      requireGeneration(`the user ${row.name}`, generation, row.generation);
      const role = change.role ?? roleOf(row.role);
      const tenantId = changesRole
        ? await this.#tenantId(tx, actor, change.tenant === undefined ? row.tenantId : change.tenant, role)
        : row.tenantId;
      if (changesRole) {
        requireGrantable(actor, roleOf(row.role), row.tenantId);
        requireGrantable(actor, role, tenantId);
        if (row.role === 'supra-admin' && role !== 'supra-admin') await requireAnotherSupraAdmin(tx, row.id);
        await tx.apiToken.deleteMany({ where: { createdById: row.id } });
      }
      const after = await tx.user.update({
        where: { id: row.id },
        data: { role, tenantId, passwordHash, generation: { increment: 1 } },
        include: WITH_TENANT,
      });
      if (changesRole || passwordHash !== undefined)
        await tx.session.deleteMany({ where: { userId: row.id } });
      await this.audit.append(tx, actor, 'user.change', `user/${row.name}`, tenantId, {
        role,
        password: passwordHash === undefined ? 'kept' : 'changed',
      });
      return viewOf(after);
    });
  }

  async remove(actor: Actor, reference: string, generation: number | null): Promise<void> {
    requirePermission(actor, 'user:write');
    const { id } = await this.database.as(actor, (tx) => findUser(tx, reference));
    await this.database.system(async (tx) => {
      await tx.$queryRaw`SELECT 1 FROM app_user WHERE id = ${id}::uuid FOR UPDATE`;
      const row = await findUser(tx, id);
      requireGeneration(`the user ${row.name}`, generation, row.generation);
      if (actor.role !== 'supra-admin') requireGrantable(actor, roleOf(row.role), row.tenantId);
      if (row.role === 'supra-admin') await requireAnotherSupraAdmin(tx, row.id);
      await tx.user.delete({ where: { id: row.id } });
      await this.audit.append(tx, actor, 'user.delete', `user/${row.name}`, row.tenantId, {});
    });
  }

  /** The tenant that is meant: as named, or the actor's own where the role needs one. */
  async #tenantId(
    tx: Transaction,
    actor: Actor,
    reference: string | null | undefined,
    role: UserView['role'],
  ): Promise<string | null> {
    if (reference === null || role === 'supra-admin')
      return reference ? (await findTenant(tx, reference)).id : null;
    if (reference === undefined) return actor.tenantId;
    const tenant = await findTenant(tx, reference);
    // Outside row-level security too, another tenant is one that does not exist.
    if (actor.tenantId !== null && tenant.id !== actor.tenantId) {
      throw new DrvsError('NotFound', `there is no tenant ${reference}`, { field: 'tenant' });
    }
    return tenant.id;
  }
}

async function findUser(tx: Transaction, reference: string): Promise<UserRow> {
  const row = await tx.user.findFirst({ where: byReference(reference), include: WITH_TENANT });
  if (row) return row;
  throw new DrvsError('NotFound', `there is no user ${reference}`, { hint: 'See `drvs user list`.' });
}

async function requireAnotherSupraAdmin(tx: Transaction, id: string): Promise<void> {
  // Locked in one order: two removals at once cannot each count on the other's administrator.
  const rows = await tx.$queryRaw<{ id: string }[]>`
    SELECT id FROM app_user WHERE role = 'supra-admin' ORDER BY id FOR UPDATE`;
  if (rows.some((row) => row.id !== id)) return;
  throw new DrvsError('StateConflict', 'this is the last supra-administrator', {
    hint: 'Make another one first: nobody could administer the cluster.',
  });
}

function viewOf({ id, name, tenant, role, createdAt, generation }: UserRow): UserView {
  return {
    id,
    name,
    tenant: tenant?.name ?? null,
    role: roleOf(role),
    createdAt: createdAt.toISOString(),
    generation,
  };
}
