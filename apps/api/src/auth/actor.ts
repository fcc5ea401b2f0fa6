import type { Role } from '@drvs/contracts';

/** Who asks. Every method of a service takes one first. */
export interface Actor {
  /** The user, or the one who made the token; null for the system's own work and for tokens without one. */
  readonly userId: string | null;
  readonly tokenId: string | null;
  readonly name: string;
  readonly role: Role;
  /** Null: the whole cluster. */
  readonly tenantId: string | null;
}

/** Who acts for the system itself, under this name. */
export const systemActor = (name: string): Actor => ({
  userId: null,
  tokenId: null,
  name,
  role: 'supra-admin',
  tenantId: null,
});
export const SYSTEM = systemActor('system');

/** How an actor is written in operations, events and the audit. */
export function actorLabel(actor: Actor): string {
  return actor.tokenId === null ? `user/${actor.name}` : `token/${actor.name}`;
}
