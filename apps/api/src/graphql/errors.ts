import { randomUUID } from 'node:crypto';
import { DrvsError, ERROR_CODES } from '@drvs/contracts';
import { type ExecutionResult, GraphQLError } from 'graphql';
import { toDrvsError } from '../http/problem.filter.js';

/** A document can be wrong in very many places; the first ones tell enough. */
const FAULTS_MAX = 10;

/**
 * Errors as GraphQL answers them: the message, and in `extensions` the same code, hint and field as REST. What the
 * system did wrong is told by a reference into the log.
 */
export function formatErrors(
  { data, errors, extensions }: ExecutionResult,
  log: (message: string, cause: string) => void,
): { statusCode: number; response: ExecutionResult } {
  const formatted = (errors ?? []).flatMap(faultsIn).map((error) => formatOne(error, log));
  return {
    statusCode: 200,
    response: { data: data ?? null, errors: formatted, ...(extensions && { extensions }) },
  };
}

/** The server wraps what it finds in a document that it does not carry out; what is told is what it found. */
function faultsIn(error: GraphQLError): GraphQLError[] {
  const { errors } = (error.originalError ?? {}) as { errors?: unknown };
  const faults = Array.isArray(errors)
    ? errors.filter((fault): fault is GraphQLError => fault instanceof GraphQLError).slice(0, FAULTS_MAX)
    : [];
  return faults.length === 0 ? [error] : faults;
}

function formatOne(error: GraphQLError, log: (message: string, cause: string) => void): GraphQLError {
  const told = tell(error, log);
  const { code, message, hint, field, details } = told.toBody();
  return new GraphQLError(message, {
    nodes: error.nodes,
    source: error.source,
    positions: error.positions,
    path: error.path,
    extensions: { code, status: ERROR_CODES[code].status, hint, field, details },
  });
}

function tell(error: GraphQLError, log: (message: string, cause: string) => void): DrvsError {
  const { originalError } = error;
  // What graphql-js and the server themselves say about a document is about the document.
  if (!originalError || originalError instanceof GraphQLError)
    return new DrvsError('InvalidInput', error.message, {
      hint: 'See docs/api/graphql.md, or the schema by introspection, for what there is and what it takes.',
    });
  const known = toDrvsError(originalError);
  if (known.code !== 'Internal') return known;
  const reference = randomUUID();
  const cause = known.cause instanceof Error ? known.cause : known;
  log(`internal error ${reference}`, cause.stack ?? cause.message);
  return new DrvsError('Internal', `an error that DRVS did not foresee (reference ${reference})`, {
    hint: 'Try again; if it stays, look for the reference in the log of the API and report it.',
  });
}
