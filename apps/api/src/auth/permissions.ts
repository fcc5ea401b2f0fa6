import { DrvsError, type Role } from '@drvs/contracts';
import type { Actor } from './actor.js';

/**
 * Who may do what, in one place; the database repeats the part about tenants (row-level security).
 * `read` of a role without a tenant is the whole cluster, of a role with one its own tenant.
 */
const PERMISSIONS = {
  'node:read': ['supra-admin', 'tenant-admin', 'member', 'auditor'],
  'node:write': ['supra-admin'],
  'tenant:read': ['supra-admin', 'tenant-admin', 'member', 'auditor'],
  'tenant:write': ['supra-admin'],
  'user:read': ['supra-admin', 'tenant-admin', 'auditor'],
  'user:write': ['supra-admin', 'tenant-admin'],
  'token:read': ['supra-admin', 'tenant-admin', 'auditor'],
  'token:write': ['supra-admin', 'tenant-admin'],
  'drvm:read': ['supra-admin', 'tenant-admin', 'member', 'auditor'],
  'drvm:write': ['supra-admin', 'tenant-admin'],
  'process:read': ['supra-admin', 'tenant-admin', 'member', 'auditor'],
  'process:write': ['supra-admin', 'tenant-admin', 'member'],
  'file:read': ['supra-admin', 'tenant-admin', 'member', 'auditor'],
  'file:write': ['supra-admin', 'tenant-admin', 'member'],
  'template:read': ['supra-admin', 'tenant-admin', 'member', 'auditor'],
  'template:write': ['supra-admin', 'tenant-admin'],
  'operation:read': ['supra-admin', 'tenant-admin', 'member', 'auditor'],
  'operation:write': ['supra-admin', 'tenant-admin', 'member'],
  'plan:read': ['supra-admin', 'tenant-admin', 'member', 'auditor'],
  'plan:write': ['supra-admin', 'tenant-admin', 'member'],
  'policy:read': ['supra-admin', 'auditor'],
  'policy:write': ['supra-admin'],
  'schedule:read': ['supra-admin', 'auditor'],
  'schedule:write': ['supra-admin'],
  'power:read': ['supra-admin', 'auditor'],
  'power:write': ['supra-admin'],
  'energy:read': ['supra-admin', 'tenant-admin', 'member', 'auditor'],
  'event:read': ['supra-admin', 'tenant-admin', 'member', 'auditor'],
  'setting:read': ['supra-admin', 'auditor'],
  'setting:write': ['supra-admin'],
  'webhook:read': ['supra-admin', 'tenant-admin', 'auditor'],
  'webhook:write': ['supra-admin', 'tenant-admin'],
  'alert:read': ['supra-admin', 'tenant-admin', 'member', 'auditor'],
  'alert:write': ['supra-admin', 'tenant-admin'],
  'usage:read': ['supra-admin', 'tenant-admin', 'auditor'],
  'telemetry:read': ['supra-admin', 'tenant-admin', 'member', 'auditor'],
  'audit:read': ['supra-admin', 'tenant-admin', 'auditor'],
} as const satisfies Record<string, readonly Role[]>;

export type Permission = keyof typeof PERMISSIONS;

export function mayDo(actor: Actor, permission: Permission): boolean {
  return (PERMISSIONS[permission] as readonly Role[]).includes(actor.role);
}

/** @throws DrvsError NotAllowed. What belongs to another tenant is not judged here: it is not found. */
export function requirePermission(actor: Actor, permission: Permission): void {
  if (mayDo(actor, permission)) return;
  throw new DrvsError('NotAllowed', `the role ${actor.role} does not include ${permission}`, {
    hint: `Ask ${actor.tenantId === null ? 'a supra-administrator' : 'the administrator of your department'}.`,
    details: { permission, role: actor.role },
  });
}

export function seesWholeCluster(actor: Actor): boolean {
  return actor.tenantId === null;
}

/** Roles that an actor may give to others, and to which tenant. @throws DrvsError NotAllowed or InvalidInput. */
export function requireGrantable(actor: Actor, role: Role, tenantId: string | null): void {
  if (role === 'supra-admin' && tenantId !== null) {
    throw new DrvsError('InvalidInput', 'a supra-admin belongs to no tenant', { field: 'tenant' });
  }
  if ((role === 'tenant-admin' || role === 'member') && tenantId === null) {
    throw new DrvsError('InvalidInput', `a ${role} belongs to a tenant`, {
      field: 'tenant',
      hint: 'Name the tenant.',
    });
  }
  if (actor.role === 'supra-admin') return;
  if (tenantId === null || tenantId !== actor.tenantId) {
    throw new DrvsError('NotAllowed', `the role ${actor.role} may give roles in its own tenant only`);
  }
}
