import type { ErrorCode } from '@drvs/contracts';

/** Errors that may go away by themselves: what met one is tried again while there is time. */
export const PASSING_ERRORS: ReadonlySet<ErrorCode> = new Set([
  'NodeUnreachable',
  'ContainerUnreachable',
  'Timeout',
]);
