/** They are in the inodes of /dev, so they never change their meaning. */
export const DEVICE_NULL = 1;
export const DEVICE_ZERO = 2;
export const DEVICE_RANDOM = 3;
/** The controlling terminal of whoever opens it. */
export const DEVICE_TTY = 4;
/** A device that is always full: for trying what a program does then. */
export const DEVICE_FULL = 5;
/** Each reading gives the time as text, a line. */
export const DEVICE_CLOCK = 6;
/* From FIRST_ATTACHED_DEVICE on they are devices of hosts. */
