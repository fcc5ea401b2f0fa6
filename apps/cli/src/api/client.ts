/**
 * One client of the REST interface for all commands.
 *
 * Changes carry an Idempotency-Key, so that a request whose answer was lost can be sent again; connections that fail
 * are tried again for a bounded time, since the API may be restarting while DRVMs go on.
 */
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { FOLLOW_RETRY_MS, isPassing, NotReady, problemIn, Retries } from '@drvs/client';
import { DrvsError, type OperationView, type Page } from '@drvs/contracts';
import { Agent, type Dispatcher, request } from 'undici';
import type { Credentials } from '../config-file.js';
import { Failure } from '../failure.js';

export { FOLLOW_RETRY_MS, isNodeAway, isPassing, sleep } from '@drvs/client';

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
  readonly #retries: Retries;

  /** @param onSilence told when a request waits for an API that does not answer, and (null) when it does again */
  constructor(
    readonly credentials: Credentials,
    onSilence: (text: string | null) => void = () => undefined,
    private readonly deadlineSeconds: number | null = null,
  ) {
    this.#retries = new Retries((isSilent) =>
      onSilence(isSilent && `${this.url} does not answer; trying again`),
    );
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
  put = async <T>(path: string, body: unknown, options: RequestOptions = {}): Promise<T> =>
    (await this.send<T>('PUT', path, { ...options, body })).value;
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
    if (method !== 'GET' && this.deadlineSeconds !== null)
      headers['operation-deadline'] = String(this.deadlineSeconds);
    if (options.bytes) headers['content-type'] = 'application/octet-stream';
    else if (options.body !== undefined) headers['content-type'] = 'application/json';
    const json = options.body === undefined ? undefined : JSON.stringify(options.body);

    const attempt = async (): Promise<Dispatcher.ResponseData> => {
      const response = await request(url, {
        method,
        headers,
        body: options.bytes ? options.bytes() : json,
        signal: options.signal,
        dispatcher: this.#dispatcher,
      });
      if (response.statusCode >= 400) throw await problemOf(response, this.url);
      return response;
    };
    try {
      return await this.#retries.run(attempt, options);
    } catch (error) {
      options.signal?.throwIfAborted();
      throw isPassing(error) ? unreachable(this.url, error) : error;
    }
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
    }: { signal?: AbortSignal; onProgress?: (view: OperationView) => unknown; pollSeconds?: number },
  ): Promise<OperationView> {
    for (;;) {
      const view = await this.get<OperationView>(`/operations/${encodeURIComponent(id)}/wait`, {
        query: { timeoutSeconds: pollSeconds },
        signal,
        retryMs: FOLLOW_RETRY_MS,
      });
      await onProgress?.(view);
      if (view.state !== 'queued' && view.state !== 'running') return view;
    }
  }
}

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
  const problem = problemIn(statusCode, text);
  if (problem?.code === 'NotAuthenticated' && problem.hint === undefined) {
    return new DrvsError('NotAuthenticated', problem.message, { hint: signInHint, cause: problem });
  }
  if (problem) return problem;
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
