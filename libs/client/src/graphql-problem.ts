import { ERROR_CODES, type ErrorCode, type Problem } from '@drvs/contracts';
import { ApiProblem, problemIn } from './problem.js';

interface GraphqlError {
  message: string;
  extensions?: { code?: string; hint?: string; field?: string; details?: Record<string, unknown> };
}

/** The same classes as for REST: an error of GraphQL carries the same code. */
export function graphqlProblem(error: unknown): ApiProblem {
  const { message, extensions = {} } = error as GraphqlError;
  const code = extensions.code ?? 'InvalidInput';
  const { status, title } = ERROR_CODES[code as ErrorCode] ?? { status: 400, title: code };
  const problem: Problem = {
    ...extensions,
    type: `urn:drvs:problem:${code}`,
    title,
    status,
    code: code as ErrorCode,
    detail: message,
  };
  return problemIn(status, JSON.stringify(problem)) ?? new ApiProblem(problem);
}
