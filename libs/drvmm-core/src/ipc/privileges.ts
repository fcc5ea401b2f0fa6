/** What a process may do in IPC (MINIX struct priv: trap mask, send mask, kernel-call mask). */
export interface Privileges {
  /** Whom it may address: every endpoint, servers only (slots 0..28), or the slots of the set. */
  readonly sendTo: 'all' | 'servers' | ReadonlySet<number>;
  /** send, receive, notify and post too, and not only sendrec. */
  readonly maySend: boolean;
  /** May address tasks (SYSTASK). */
  readonly kernelCalls: boolean;
}

/** The default of user slots: sendrec to servers, nothing else. */
export const USER_PRIVILEGES: Privileges = { sendTo: 'servers', maySend: false, kernelCalls: false };
/** A user that exchanges messages with other users too. */
export const PEER_PRIVILEGES: Privileges = { sendTo: 'all', maySend: true, kernelCalls: false };
/** The default of tasks and servers. */
export const SERVER_PRIVILEGES: Privileges = { sendTo: 'all', maySend: true, kernelCalls: true };
