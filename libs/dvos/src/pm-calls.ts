/**
 * Calls of PM: MINIX 3's numbers where it has the call, new ones from 128 on (`calls.ts` has those of VFS and TTY).
 * The words of the request and of the reply are given beside each; a reply's type is 0 or more, or a negative status.
 */

/** Reply: type the caller's pid, [2] its parent's pid (0: started from outside). */
export const PM_GETPID = 20;
/** [2] pid, [3] the signal's number (0: only asks whether it exists). Reply: type OK, ESRCH or EINVAL. */
export const PM_KILL = 37;
/**
 * [2] pid, 0 for the caller; [3] index of the node to move to. Reply, when it is there (or stays where it was):
 * type OK, EINVAL (no such node), ESRCH, EBUSY (a migration of it is under way), EIO (failed, it stays).
 */
export const PM_MIGRATE = 97;
