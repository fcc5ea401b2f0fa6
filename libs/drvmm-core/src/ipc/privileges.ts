/** What a process may do in IPC (MINIX struct priv: trap mask, send mask, kernel-call mask). */
export interface Privileges {
  /** Whom it may address: every endpoint, servers only (slots 0..28), or the slots of the set. */
  readonly sendTo: 'all' | 'servers' | ReadonlySet<number>;
  /** send, receive, notify and post too, and not only sendrec. */
  readonly maySend: boolean;
  /** May address tasks (SYSTASK): not at all, with any call, or with the calls (message types) of the set. */
  readonly kernelCalls: boolean | ReadonlySet<number>;
  /** To whom it may give grants; everybody when it is not said. */
  readonly grantTo?: 'all' | 'servers' | ReadonlySet<number>;
  /** May grant the memory of other processes (MINIX: VFS alone). Believed of servers. */
  readonly mayGrantOthers?: boolean;
}

/** The default of user slots: sendrec to servers, nothing else. */
export const USER_PRIVILEGES: Privileges = { sendTo: 'servers', maySend: false, kernelCalls: false };
/** A user that exchanges messages with other users too. */
export const PEER_PRIVILEGES: Privileges = { sendTo: 'all', maySend: true, kernelCalls: false };
/** The default of tasks and servers. */
export const SERVER_PRIVILEGES: Privileges = { sendTo: 'all', maySend: true, kernelCalls: true };
