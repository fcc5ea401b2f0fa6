import { randomUUID } from 'node:crypto';
import { DrvsError, ERROR_CODES, type ErrorCode, type Problem } from '@drvs/contracts';
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Logger } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { ZodError } from 'zod';
import type { $ZodIssue } from 'zod/v4/core';
import {
  FOREIGN_KEY_VIOLATION,
  isDatabaseAway,
  sqlState,
  UNIQUE_VIOLATION,
  violates,
} from '../database/sql-state.js';

/** Any thrown value as the error that the user is told; what the system did wrong is told without its insides. */
export function toDrvsError(thrown: unknown): DrvsError {
  if (thrown instanceof DrvsError) return thrown;
  if (thrown instanceof ZodError) return fromZod(thrown);
  if (thrown instanceof HttpException) return fromStatus(thrown.getStatus(), thrown.message, thrown);
  if (violates(thrown, 'operation_one_migration_per_process')) {
    return new DrvsError('MigrationUnderWay', 'this process is already migrating', {
      hint: 'Wait for that migration to end (`drvs op list`), or cancel it.',
      cause: thrown,
    });
  }
  if (violates(thrown, 'operation_one_per_drvm')) {
    return new DrvsError('OperationUnderWay', 'another operation on this DRVM is under way', {
      hint: 'Wait for it to end (`drvs op list`), or cancel it.',
      cause: thrown,
    });
  }
  if (isDatabaseAway(thrown)) {
    return new DrvsError('Timeout', 'the database does not answer in time', {
      hint: 'Nothing was changed. Try again in a moment; see /readyz. DRVMs run on without it.',
      details: { retryAfterSeconds: 2 },
      cause: thrown,
    });
  }
  const state = sqlState(thrown);
  if (state === UNIQUE_VIOLATION) {
    return new DrvsError('AlreadyExists', 'something of this name exists already', {
      hint: 'Choose another name.',
      field: 'name',
      cause: thrown,
    });
  }
  if (state === FOREIGN_KEY_VIOLATION) {
    return new DrvsError('StateConflict', 'something else still refers to it', {
      hint: 'Remove what belongs to it first.',
      cause: thrown,
    });
  }
  const status = (thrown as { statusCode?: unknown } | null)?.statusCode;
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return fromStatus(status, (thrown as Error).message, thrown);
  }
  return DrvsError.from(thrown);
}

export function fromZod(error: ZodError): DrvsError {
  const faults = error.issues.map((issue) => ({ field: issue.path.join('.'), message: told(issue) }));
  const field = faults[0]?.field || undefined;
  return new DrvsError(
    'InvalidInput',
    field ? `${field}: ${faults[0]?.message}` : (faults[0]?.message ?? 'not well formed'),
    { field, hint: 'See /api/v1/openapi.json for what this call takes.', details: { faults }, cause: error },
  );
}

/** What is none of several shapes is told by what each of them misses. */
function told(issue: $ZodIssue): string {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return issue.message;
  const shapes = issue.errors.flatMap(([first]) =>
    first ? [[...first.path.map(String), told(first)].join(': ')] : [],
  );
  return [...new Set(shapes)].join('; or ') || issue.message;
}

const CODE_OF_STATUS: Record<number, ErrorCode> = {
  401: 'NotAuthenticated',
  403: 'NotAllowed',
  404: 'NotFound',
  413: 'PayloadTooLarge',
  429: 'TooManyRequests',
  503: 'NodeUnreachable',
  504: 'Timeout',
};

function fromStatus(status: number, message: string, cause: unknown): DrvsError {
  return new DrvsError(CODE_OF_STATUS[status] ?? (status < 500 ? 'InvalidInput' : 'Internal'), message, {
    hint: status === 400 ? 'Send a body as the call takes it: see /api/v1/openapi.json.' : undefined,
    cause,
  });
}

/** RFC 9457. */
export function toProblem(error: DrvsError): Problem {
  const { status, title } = ERROR_CODES[error.code];
  return {
    type: `urn:drvs:problem:${error.code}`,
    title,
    status,
    code: error.code,
    detail: error.message,
    hint: error.hint,
    field: error.field,
    details: error.details,
  };
}

/** Answers every error of REST as application/problem+json. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  readonly #log = new Logger('Problem');

  catch(thrown: unknown, host: ArgumentsHost): void {
    // GraphQL reports errors in its own way.
    if (host.getType<'http' | 'graphql'>() !== 'http') throw thrown;
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    sendProblem(reply, thrown, (message, cause) => this.#log.error(message, cause));
  }
}

export function sendProblem(
  reply: FastifyReply,
  thrown: unknown,
  log: (message: string, cause: string) => void,
): void {
  let error = toDrvsError(thrown);
  if (error.code === 'Internal') {
    const reference = randomUUID();
    const cause = error.cause instanceof Error ? error.cause : error;
    log(`internal error ${reference}`, cause.stack ?? cause.message);
    error = new DrvsError('Internal', `an error that DRVS did not foresee (reference ${reference})`, {
      hint: 'Try again; if it stays, look for the reference in the log of the API and report it.',
    });
  }
  if (reply.sent || reply.raw.headersSent) {
    reply.raw.destroy();
    return;
  }
  if (error.code === 'NotAuthenticated') reply.header('www-authenticate', 'Bearer realm="drvs"');
  const retryAfter = error.details?.retryAfterSeconds;
  if (typeof retryAfter === 'number') reply.header('retry-after', String(retryAfter));
  void reply
    .status(error.status)
    .header('content-type', 'application/problem+json; charset=utf-8')
    .header('cache-control', 'no-store')
    .send(JSON.stringify(toProblem(error)));
}
