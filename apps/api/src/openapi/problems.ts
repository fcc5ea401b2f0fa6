import { ERROR_CODES, type ErrorCode } from '@drvs/contracts';

/** What a route takes, as far as it says which errors it can answer. */
export interface RouteTraits {
  isPublic: boolean;
  /** It takes path parameters, a query or a body. */
  takesInput: boolean;
  takesBody: boolean;
  honoursIfMatch: boolean;
  honoursIdempotencyKey: boolean;
}

/** What goes through a container of a DRVM can meet one that is not there. */
export const THROUGH_CONTAINER = [
  'StateConflict',
  'ContainerUnreachable',
  'NodeUnreachable',
  'Timeout',
  'Cancelled',
] as const satisfies readonly ErrorCode[];

/** A change of what a DRVM holds is refused where the ledger or the quota is too small. */
export const FROM_LEDGER = ['InsufficientResources', 'QuotaExceeded'] as const satisfies readonly ErrorCode[];

/** The codes that follow from what a route takes, and those that it names itself; in the order of the table. */
export function problemCodesOf(traits: RouteTraits, own: readonly ErrorCode[] = []): ErrorCode[] {
  const codes = new Set<ErrorCode>([...own, 'TooManyRequests', 'Internal', 'Timeout']);
  // What is put in may name something that is not there.
  if (traits.takesInput) codes.add('InvalidInput').add('NotFound');
  if (traits.takesBody) codes.add('PayloadTooLarge');
  if (!traits.isPublic) codes.add('NotAuthenticated').add('NotAllowed');
  if (traits.honoursIfMatch) codes.add('StaleGeneration');
  if (traits.honoursIdempotencyKey) codes.add('StateConflict').add('OperationUnderWay');
  return (Object.keys(ERROR_CODES) as ErrorCode[]).filter((code) => codes.has(code));
}
