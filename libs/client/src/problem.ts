import { DrvsError, ERROR_CODES, type ErrorCode, type Problem } from '@drvs/contracts';

/**
 * An error that the API answered (problem+json). `code` is stable; `hint` says what to do. The classes below are by what
 * a program does about it; every code, also one of a newer API, becomes one of them by its status.
 */
export class ApiProblem extends DrvsError {
  readonly #status: number;

  constructor(problem: Problem) {
    super(problem.code as ErrorCode, problem.detail || problem.title, problem);
    this.#status = problem.status;
  }

  override get status(): number {
    return this.#status;
  }
}

/** 400, 413: the request itself is at fault; `field` names where. */
export class InvalidRequest extends ApiProblem {}
/** 401: no token, or one that is expired or revoked. */
export class NotAuthenticated extends ApiProblem {}
/** 403: the role does not allow it. */
export class NotAllowed extends ApiProblem {}
/** 404: not there, or not yours to see. */
export class NotFound extends ApiProblem {}
/** 409: not in the present state. */
export class Conflict extends ApiProblem {}
/** 412: somebody changed it since it was read. */
export class StaleGeneration extends ApiProblem {}
/** 422: well formed, and refused: resources, quotas, programs. */
export class Refused extends ApiProblem {}
/** 429: too often; `retryAfterSeconds` says when it may be tried again. */
export class TooManyRequests extends ApiProblem {
  get retryAfterSeconds(): number | null {
    const seconds = this.details?.retryAfterSeconds;
    return typeof seconds === 'number' ? seconds : null;
  }
}
/** 502, 503, 504: a node or a DRVM does not answer. */
export class Unavailable extends ApiProblem {}

const BY_STATUS: Readonly<Record<number, new (problem: Problem) => ApiProblem>> = {
  400: InvalidRequest,
  401: NotAuthenticated,
  403: NotAllowed,
  404: NotFound,
  409: Conflict,
  412: StaleGeneration,
  413: InvalidRequest,
  422: Refused,
  429: TooManyRequests,
  502: Unavailable,
  503: Unavailable,
  504: Unavailable,
};

/** The API could not be reached, or what answers is no DRVS; nothing is known of what was asked. */
export class ApiUnreachable extends Error {
  override readonly name = 'ApiUnreachable';
}

/** Something answered that is not the API. */
export class NotAnApi extends Error {
  override readonly name = 'NotAnApi';

  constructor(
    readonly url: string,
    readonly status: number,
    readonly body: string,
  ) {
    super(`${url} answered with status ${status} and something that is not of DRVS`);
  }
}

/** The problem that an answer's text holds; null when it holds none. */
export function problemIn(status: number, text: string): ApiProblem | null {
  let problem: Partial<Problem>;
  try {
    problem = JSON.parse(text) as Partial<Problem>;
  } catch {
    return null; // A proxy's page, not ours.
  }
  const isOurs =
    typeof problem?.code === 'string' &&
    (problem.code in ERROR_CODES || String(problem.type).startsWith('urn:drvs:problem:'));
  if (!isOurs) return null;
  const { title = '', detail = title || `status ${status}` } = problem;
  return new (BY_STATUS[status] ?? ApiProblem)({ ...(problem as Problem), title, detail, status });
}
