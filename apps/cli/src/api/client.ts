/**
 * One client of the REST interface for all commands.
 *
 * Changes carry an Idempotency-Key, so that a request whose answer was lost can be sent again; connections that fail
 * are tried again for a bounded time, since the API may be restarting while DRVMs go on.
 */
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  DrvsError,
  ERROR_CODES,
  type ErrorCode,
  type OperationView,
  type Page,
  type Problem,
} from '@drvs/contracts';
import { Agent, type Dispatcher, errors, request } from 'undici';
import type { Credentials } from '../config-file.js';
import { Failure } from '../failure.js';

/** How long a first request is tried again while nobody answers: an API that restarts needs about ten seconds. */
const FIRST_RETRY_MS = 15_000;
/** Once the API has answered it is known to be there, and to come back. */
const RETRY_MS = 60_000;
/** Agents need some seconds to find an API again that was restarted; a node that is down is said to be so after that. */
const NODE_RETRY_MS = 10_000;
/** A change whose first sending died with the API is held to be under way there for two minutes. */
const UNDER_WAY_RETRY_MS = 150_000;
/** After this long who waits is told so. */
const TELL_AFTER_MS = 1_000;
/** How long something that follows (output, an operation, events) waits for the API to come back. */
export const FOLLOW_RETRY_MS = 10 * 60_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;
/** Answers in JSON are small; more than this is not an answer of the API. */
const JSON_BYTES_MAX = 64 * 1024 * 1024;
const HEADERS_TIMEOUT_MS = 60_000;

export type Query = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface RequestOptions {
  query?: Query;
  body?: unknown;
  /** Bytes instead of JSON; a function, so that a second try can read them again. */
  bytes?: () => Readable | Buffer;
  headers?: Readonly<Record<string, string>>;
  signal?: AbortSignal;
  idempotencyKey?: string;
  /** 0 for no second try. */
  retryMs?: number;
}

export interface Answer<T> {
  status: number;
  value: T;
  headers: Readonly<Record<string, string | string[] | undefined>>;
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export class ApiClient {
  readonly #dispatcher: Agent;
  #hasAnswered = false;

  /** @param onSilence told when a request waits for an API that does not answer, and (null) when it does again */
  constructor(
    readonly credentials: Credentials,
    readonly onSilence: (text: string | null) => void = () => undefined,
  ) {
    this.#dispatcher = new Agent({
      headersTimeout: HEADERS_TIMEOUT_MS,
      bodyTimeout: 0,
      connect: { timeout: 5_000 },
    });
  }

  get url(): string {
    return this.credentials.url;
  }

  close(): Promise<void> {
    return this.#dispatcher.destroy();
  }

  get = async <T>(path: string, options: RequestOptions = {}): Promise<T> =>
    (await this.send<T>('GET', path, options)).value;
  post = async <T>(path: string, body: unknown = {}, options: RequestOptions = {}): Promise<T> =>
    (await this.send<T>('POST', path, { ...options, body })).value;
  patch = async <T>(path: string, body: unknown, options: RequestOptions = {}): Promise<T> =>
    (await this.send<T>('PATCH', path, { ...options, body })).value;
  delete = async <T>(path: string, options: RequestOptions = {}): Promise<T> =>
    (await this.send<T>('DELETE', path, options)).value;

  /** All items of a list, page after page; answers that are plain arrays too. */
  async list<T>(path: string, query: Query = {}, limit = Number.POSITIVE_INFINITY): Promise<T[]> {
    const items: T[] = [];
    let cursor: string | null = null;
    do {
      const size = Math.min(500, limit - items.length);
      const page: Page<T> | T[] = await this.get<Page<T> | T[]>(path, {
        query: { ...query, limit: size, cursor },
      });
      if (Array.isArray(page)) return page;
      items.push(...page.items);
      cursor = page.nextCursor;
    } while (cursor !== null && items.length < limit);
    return items;
  }

  /** The answer in JSON (null for 204). @throws DrvsError for a problem, Failure ApiUnreachable when nobody answers. */
  async send<T>(method: Method, path: string, options: RequestOptions = {}): Promise<Answer<T>> {
    const response = await this.open(method, path, options);
    const text = await readAll(response.body);
    if (text === '') return { status: response.statusCode, value: null as T, headers: response.headers };
    try {
      return { status: response.statusCode, value: JSON.parse(text) as T, headers: response.headers };
    } catch {
      throw new Failure('NotDrvs', `${this.url} answered something that is not JSON`, {
        hint: 'Is this the address of a DRVS? `drvs login URL` sets another.',
      });
    }
  }

  /** The open answer with its body unread; statuses from 400 on are thrown. */
  async open(method: Method, path: string, options: RequestOptions = {}): Promise<Dispatcher.ResponseData> {
    const url = new URL(`${this.url}/api/v1${path}`);
    for (const [name, value] of Object.entries(options.query ?? {})) {
      if (value !== null && value !== undefined) url.searchParams.set(name, String(value));
    }
    const headers: Record<string, string> = { accept: 'application/json', ...options.headers };
    if (this.credentials.token) headers.authorization = `Bearer ${this.credentials.token}`;
    else if (this.credentials.session) {
      headers.cookie = this.credentials.session.cookie;
      if (method !== 'GET') headers['x-csrf-token'] = this.credentials.session.csrfToken;
    }
    if (method !== 'GET') headers['idempotency-key'] = options.idempotencyKey ?? randomUUID();
    if (options.bytes) headers['content-type'] = 'application/octet-stream';
    else if (options.body !== undefined) headers['content-type'] = 'application/json';
    const json = options.body === undefined ? undefined : JSON.stringify(options.body);

    return this.#retrying(options, async () => {
      const response = await request(url, {
        method,
        headers,
        body: options.bytes ? options.bytes() : json,
        signal: options.signal,
        dispatcher: this.#dispatcher,
      });
      if (response.statusCode >= 400) throw await problemOf(response, this.url);
      return response;
    });
  }

  async #retrying<T>(options: RequestOptions, attempt: () => Promise<T>): Promise<T> {
    const began = performance.now();
    let isTold = false;
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      try {
        const answer = await attempt();
        this.#hasAnswered = true;
        if (isTold) this.onSilence(null);
        return answer;
      } catch (error) {
        options.signal?.throwIfAborted();
        const patienceMs = options.retryMs === 0 ? 0 : this.#patienceMs(error, options.retryMs);
        if (performance.now() + pause > began + patienceMs) {
          if (isTold) this.onSilence(null);
          throw isPassing(error) ? unreachable(this.url, error) : error;
        }
        if (performance.now() - began > TELL_AFTER_MS) {
          isTold = true;
          this.onSilence(`${this.url} does not answer; trying again`);
        }
        await sleep(pause, options.signal);
      }
    }
  }

  /** How long this failure may be tried again; 0 for an answer that would be the same. */
  #patienceMs(error: unknown, wanted: number | undefined): number {
    if (isPassing(error)) return wanted ?? (this.#hasAnswered ? RETRY_MS : FIRST_RETRY_MS);
    if (isNodeAway(error)) return NODE_RETRY_MS;
    const isUnderWay = error instanceof DrvsError && typeof error.details?.retryAfterSeconds === 'number';
    return isUnderWay && error.code === 'OperationUnderWay' ? UNDER_WAY_RETRY_MS : 0;
  }

  /**
   * Waits until an operation has ended, telling of its progress.
   * @returns the operation as it ended, whatever its state
   */
  async wait(
    id: string,
    {
      signal,
      onProgress,
      pollSeconds = 20,
    }: { signal?: AbortSignal; onProgress?: (view: OperationView) => void; pollSeconds?: number },
  ): Promise<OperationView> {
    for (;;) {
      const view = await this.get<OperationView>(`/operations/${encodeURIComponent(id)}/wait`, {
        query: { timeoutSeconds: pollSeconds },
        signal,
        retryMs: FOLLOW_RETRY_MS,
      });
      onProgress?.(view);
      if (view.state !== 'queued' && view.state !== 'running') return view;
    }
  }
}

export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** Nobody there, or there and not ready: worth another try. */
const PASSING_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'UND_ERR_SOCKET',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_CLOSED',
  'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH',
]);

class NotReady extends Error {}

/** True for failures of the way to the API, which say nothing about what was asked. */
export function isPassing(error: unknown): boolean {
  if (error instanceof NotReady) return true;
  if (error instanceof AggregateError) return error.errors.some(isPassing);
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return (
    error instanceof errors.SocketError ||
    (code !== undefined && PASSING_CODES.has(code)) ||
    (error instanceof Error && /^(terminated|other side closed|aborted)$/.test(error.message))
  );
}

/** The API is there, the node behind it is not (yet). */
export const isNodeAway = (error: unknown): boolean =>
  error instanceof DrvsError && (error.code === 'NodeUnreachable' || error.code === 'ContainerUnreachable');

function unreachable(url: string, cause: unknown): Failure {
  const reason = cause instanceof AggregateError ? cause.errors[0] : cause;
  const text = (reason as NodeJS.ErrnoException).code ?? (reason as Error).message;
  return new Failure('ApiUnreachable', `${url} does not answer (${text})`, {
    hint: 'Is it running? See `./drvs status`; start it with `./drvs up`, or sign in elsewhere with `drvs login URL`.',
    cause,
  });
}

/** The body as text. The stream is counted by hand: a wrong address may answer without end. */
async function readAll(body: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > JSON_BYTES_MAX) {
      body.destroy();
      throw new Failure('NotDrvs', `the answer is larger than ${JSON_BYTES_MAX} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function problemOf(response: Dispatcher.ResponseData, url: string): Promise<Error> {
  const { statusCode } = response;
  const text = await readAll(response.body).catch(() => '');
  let problem: Partial<Problem> = {};
  try {
    problem = JSON.parse(text) as Partial<Problem>;
  } catch {
    // A proxy's page, not ours.
  }
  if (typeof problem.code === 'string' && problem.code in ERROR_CODES) {
    const hint = problem.code === 'NotAuthenticated' ? (problem.hint ?? signInHint) : problem.hint;
    return new DrvsError(
      problem.code as ErrorCode,
      problem.detail ?? problem.title ?? `status ${statusCode}`,
      {
        ...problem,
        hint,
      },
    );
  }
  if (statusCode === 502 || statusCode === 503 || statusCode === 504) {
    return new NotReady(`status ${statusCode}`);
  }
  if (statusCode === 401) {
    return new DrvsError('NotAuthenticated', `${url} does not know you`, { hint: signInHint });
  }
  return new Failure('NotDrvs', `${url} answered with status ${statusCode}`, {
    hint: 'Is this the address of a DRVS of this version? `drvs login URL` sets another.',
    details: { body: text.slice(0, 500) },
  });
}

const signInHint = 'The token may be expired or revoked. Sign in again: `drvs login URL`, or set DRVS_TOKEN.';
