/**
 * Calls of PM: MINIX 3's numbers where it has the call, new ones from 128 on (`calls.ts` has those of VFS and TTY).
 * Words 2.. of the request and of the reply are given beside each; a reply's type is 0 or more, or a negative status.
 */

/** The children of the caller: [2] pid or -1 for any, [3] options (WNOHANG). Reply: type pid (0: none has ended yet), [2] exit code as the shell shows it. */
export const PM_WAITPID = 11;
/** Reply: type pid, [2] parent's pid. */
export const PM_GETPID = 20;
/** [2] pid, [3] signal's number (0: only ask whether it exists). Reply: type OK. */
export const PM_KILL = 37;
/** Start a program: data is JSON {program, args, env, node?}. Reply: type pid. */
export const PM_SPAWN = 128;
/** Move the caller (or [2] pid, 0 for itself) to the node named by the data. Reply: type OK when under way. */
export const PM_MIGRATE = 129;
/** [2] pid, 0 for the caller. Reply: type OK, [2] endpoint. */
export const PM_GETPROCNR = 80;

/** Option of PM_WAITPID: do not wait. */
export const WNOHANG = 1;
