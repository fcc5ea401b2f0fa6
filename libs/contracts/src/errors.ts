/**
 * The one table of error codes that users and their scripts see: code, HTTP status, and a title.
 * The message says what happened with the values that prove it; the hint says what to do.
 */
export const ERROR_CODES = {
  InvalidInput: { status: 400, title: 'The request is not well formed' },
  NotAuthenticated: { status: 401, title: 'You are not signed in' },
  NotAllowed: { status: 403, title: 'Your role does not allow this' },
  NotFound: { status: 404, title: 'There is no such thing, or you may not see it' },
  AlreadyExists: { status: 409, title: 'The name is taken' },
  StateConflict: { status: 409, title: 'Not possible in the present state' },
  MigrationUnderWay: { status: 409, title: 'The process is already migrating' },
  OperationUnderWay: { status: 409, title: 'Another operation on this object is under way' },
  StaleGeneration: { status: 412, title: 'The object has changed since you read it' },
  PayloadTooLarge: { status: 413, title: 'The request is too large' },
  InsufficientResources: { status: 422, title: 'The free resources do not suffice' },
  QuotaExceeded: { status: 422, title: 'The quota of the department does not suffice' },
  NotWebAssembly: { status: 422, title: 'The program is not a WebAssembly module' },
  UnsupportedModule: { status: 422, title: 'The program cannot run here' },
  ProgramTooLarge: { status: 422, title: 'The program asks for more memory than there is' },
  TooManyRequests: { status: 429, title: 'Too many requests' },
  Internal: { status: 500, title: 'DRVS failed' },
  MigrationFailed: { status: 502, title: 'The process stays where it was' },
  PowerFailed: { status: 502, title: 'The node was not switched as asked' },
  NodeUnreachable: { status: 503, title: 'A node does not answer' },
  ContainerUnreachable: { status: 503, title: 'The DRVM does not answer on this node' },
  Timeout: { status: 504, title: 'It took too long' },
  Cancelled: { status: 499, title: 'Cancelled' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** What crosses a process boundary when something fails. */
export interface ErrorBody {
  code: ErrorCode;
  message: string;
  hint?: string;
  field?: string;
  details?: Record<string, unknown>;
}

/** The error every part throws when a user or a peer must be told; anything else thrown becomes `Internal`. */
export class DrvsError extends Error {
  readonly hint?: string;
  readonly field?: string;
  readonly details?: Record<string, unknown>;

  constructor(
    readonly code: ErrorCode,
    message: string,
    more: { hint?: string; field?: string; details?: Record<string, unknown>; cause?: unknown } = {},
  ) {
    super(message, { cause: more.cause });
    this.name = code;
    this.hint = more.hint;
    this.field = more.field;
    this.details = more.details;
  }

  get status(): number {
    return ERROR_CODES[this.code].status;
  }

  toBody(): ErrorBody {
    const { code, message, hint, field, details } = this;
    return { code, message, hint, field, details };
  }

  static fromBody(body: ErrorBody): DrvsError {
    const code = body.code in ERROR_CODES ? body.code : 'Internal';
    return new DrvsError(code, body.message, body);
  }

  /** Any thrown value as a DrvsError; foreign ones become `Internal` and keep their cause. */
  static from(thrown: unknown): DrvsError {
    if (thrown instanceof DrvsError) return thrown;
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new DrvsError('Internal', message, { cause: thrown });
  }
}
