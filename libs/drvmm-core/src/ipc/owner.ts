import type { Endpoint } from './endpoint.js';
import type { Message } from './message.js';

/**
 * What runs behind an endpoint. The kernel calls it synchronously; it may call the kernel back at once.
 *
 * `server`: always receiving from ANY; `process`: receives when it says so.
 */
export interface Owner {
  /**
   * (server) A message, or a notification (type NOTIFY_MESSAGE). Message and data are valid until the owner replies
   * or returns, whichever is first. Never entered twice at a time: what comes meanwhile waits its turn.
   */
  onMessage?(self: Endpoint, message: Message, data: Uint8Array): void;
  /**
   * A call of `self` that returned SUSPENDED has ended. For sendrec and receive with status OK, message holds the
   * reply or message; message and data are valid only during the call.
   */
  onComplete?(self: Endpoint, status: number, message: Message, data: Uint8Array): void;
  /** (server) `caller`, to whom `self` owes a reply, no longer waits (cancelled, dead, its node lost). */
  onCancelled?(self: Endpoint, caller: Endpoint): void;
  /** Gives the memory of a grant again after `self` was installed on this node by a migration. */
  grantMemory?(self: Endpoint, offset: number, length: number): GrantMemory;
}

/** The region that a grant opens: `length` bytes from `offset` of the granter's memory. */
export interface GrantMemory {
  readonly offset: number;
  readonly length: number;
  /** The granter's whole memory as it is now (it may have grown since the grant). */
  bytes(): Uint8Array;
}

/** Bits of a grant's access. */
export const GRANT_READ = 1;
export const GRANT_WRITE = 2;
