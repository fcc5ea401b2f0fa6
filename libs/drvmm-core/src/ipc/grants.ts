import { ANY, type Endpoint, FIRST_USER_SLOT, isEndpoint, isServerEndpoint, slotOf } from './endpoint.js';
import { EAGAIN, EBADSRCDST, ECALLDENIED, EINVAL, EPERM, OK } from './errors.js';
import type { LocalProcess } from './local-process.js';
import { GRANT_READ, GRANT_WRITE, type GrantMemory } from './owner.js';
import type { ProcessTable } from './process-table.js';

/** Grants of one process. */
const MAX_GRANTS_PER_PROCESS = 65_536;
const LAST_ID = 0x7fff_ffff;

interface GrantEntry {
  readonly to: Endpoint;
  /** Bits GRANT_READ, GRANT_WRITE. */
  readonly access: number;
}

/** A region of the granter's own memory. */
export interface DirectGrant extends GrantEntry {
  readonly memory: GrantMemory;
}

/** What another process granted to the granter, handed on. */
export interface IndirectGrant extends GrantEntry {
  readonly from: Endpoint;
  readonly grant: number;
}

/** A region of a third process's memory, which did not ask for it. */
export interface MagicGrant extends GrantEntry {
  readonly subject: Endpoint;
  readonly offset: number;
  readonly length: number;
}

export type Grant = DirectGrant | IndirectGrant | MagicGrant;

/** The tables of who opens what to whom (MINIX: cpf_grant_direct, _indirect, _magic, _revoke). */
export class Grants {
  constructor(private readonly table: ProcessTable) {}

  direct(owner: Endpoint, to: Endpoint, memory: GrantMemory, access: number): number {
    return this.#enter(owner, { to, access, memory });
  }

  indirect(owner: Endpoint, to: Endpoint, from: Endpoint, grant: number, access: number): number {
    if (!isEndpoint(from) || from === owner) return EBADSRCDST;
    return this.#enter(owner, { to, access, from, grant });
  }

  magic(
    owner: Endpoint,
    to: Endpoint,
    subject: Endpoint,
    offset: number,
    length: number,
    access: number,
  ): number {
    const granter = this.table.find(owner);
    if (granter === undefined || !isEndpoint(subject) || subject === owner) return EBADSRCDST;
    if (granter.privileges.mayGrantOthers !== true || !isServerEndpoint(owner)) return EPERM;
    if (!Number.isInteger(offset) || !Number.isInteger(length)) return EINVAL;
    if (offset < 0 || length < 0 || offset + length > 0x1_0000_0000) return EINVAL;
    return this.#enter(owner, { to, access, subject, offset, length });
  }

  /** Whoever got it indirectly has it no more either: each copy asks anew. */
  revoke(owner: Endpoint, id: number): number {
    const granter = this.table.find(owner);
    if (granter === undefined) return EBADSRCDST;
    return granter.grants.delete(id) ? OK : EINVAL;
  }

  #enter(owner: Endpoint, grant: Grant): number {
    const granter = this.table.find(owner);
    if (granter === undefined) return EBADSRCDST;
    if (granter.grants.size >= MAX_GRANTS_PER_PROCESS) return EAGAIN;
    if ((grant.access & ~(GRANT_READ | GRANT_WRITE)) !== 0 || grant.access === 0) return EINVAL;
    if (!mayGrantTo(granter, grant.to)) return ECALLDENIED;
    const id = granter.nextGrant;
    granter.nextGrant = id >= LAST_ID ? 1 : id + 1;
    if (granter.grants.has(id)) return EAGAIN;
    granter.grants.set(id, grant);
    return id;
  }
}

function mayGrantTo({ privileges }: LocalProcess, to: Endpoint): boolean {
  const { grantTo = 'all' } = privileges;
  if (grantTo === 'all') return true;
  if (to === ANY) return false;
  const slot = slotOf(to);
  return grantTo === 'servers' ? slot < FIRST_USER_SLOT : grantTo.has(slot);
}

/** The grant `id` of `granter`, where `by` may use it so. */
export function grantFor(granter: LocalProcess, by: number, id: number, access: number): Grant | undefined {
  const grant = granter.grants.get(id);
  if (grant === undefined || (grant.to !== by && grant.to !== ANY) || (grant.access & access) === 0)
    return undefined;
  return grant;
}

/** `length` bytes from `offset` of what the grant opens, or EINVAL. */
export function regionOf(memory: GrantMemory, offset: number, length: number): Uint8Array | number {
  if (offset + length > memory.length) return EINVAL;
  const bytes = memory.bytes();
  const start = memory.offset + offset;
  return start + length > bytes.length ? EINVAL : bytes.subarray(start, start + length);
}
