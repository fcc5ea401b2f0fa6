import { DrvsError } from '@drvs/contracts';

/** Exit codes that scripts may rely on. */
const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
/** 128 + SIGINT, as the shell has it. */
export const EXIT_INTERRUPTED = 130;

/** What a user is told when a command cannot do what was asked; the codes are stable. */
export interface FailureBody {
  code: string;
  message: string;
  hint?: string;
  field?: string;
  details?: Record<string, unknown>;
}

/** A failure that is the command line's own (no answer of the API): usage, the local stack, the connection. */
export class Failure extends Error {
  readonly hint?: string;
  readonly field?: string;
  readonly details?: Record<string, unknown>;
  readonly exitCode: number;

  constructor(
    readonly code: string,
    message: string,
    more: {
      hint?: string;
      field?: string;
      details?: Record<string, unknown>;
      exitCode?: number;
      cause?: unknown;
    } = {},
  ) {
    super(message, { cause: more.cause });
    this.name = code;
    this.hint = more.hint;
    this.field = more.field;
    this.details = more.details;
    this.exitCode = more.exitCode ?? EXIT_FAILED;
  }
}

/** Wrong usage: exit 2. */
export const usage = (message: string, hint?: string): Failure =>
  new Failure('WrongUsage', message, { hint, exitCode: EXIT_USAGE });

/** Ends the command with this exit code and says nothing more (all is said already). */
export class Exit extends Error {
  constructor(readonly exitCode: number) {
    super(`exit ${exitCode}`);
  }
}

export function bodyOf(thrown: unknown): FailureBody {
  if (thrown instanceof Failure || thrown instanceof DrvsError) {
    const { code, message, hint, field, details } = thrown;
    return { code, message, hint, field, details };
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return {
    code: 'Internal',
    message,
    hint: 'This is a fault of the command line itself; DRVS_DEBUG=1 shows where.',
  };
}

export function exitCodeOf(thrown: unknown): number {
  return thrown instanceof Failure || thrown instanceof Exit ? thrown.exitCode : EXIT_FAILED;
}
