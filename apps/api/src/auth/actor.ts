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

/** How an actor is written in operations, events and the audit. */
export function actorLabel(actor: Actor): string {
  return actor.tokenId === null ? `user/${actor.name}` : `token/${actor.name}`;
}
