/** They are in the inodes of /dev, so they never change their meaning. */
export const DEVICE_NULL = 1;
export const DEVICE_ZERO = 2;
export const DEVICE_RANDOM = 3;
/** The controlling terminal of whoever opens it. */
export const DEVICE_TTY = 4;
