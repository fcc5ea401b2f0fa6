/**
 * A client of DRVS for programs, typed by what the API publishes.
 *
 *     const drvs = new DrvsClient({ url: 'https://drvs.example.org', token });
 *     const { data } = await drvs.rest.POST('/api/v1/drvms', { body: { name: 'aula', cpu: 2, memoryMiB: 1024 } });
 *     if ('operation' in data) await drvs.waitForOperation(data.operation);
 *     for await (const node of drvs.each('/api/v1/nodes')) console.log(node.name, node.state);
 *     for await (const event of drvs.events()) console.log(event.text);
 *
 * What the API refuses is thrown as one of the classes of problem.ts. A change gets an Idempotency-Key unless it brings
 * its own, so that it is made once, also when its answer is lost and it is sent again.
 */
import type { EventView, OperationView } from '@drvs/contracts';
import type { DocumentTypeDecoration } from '@graphql-typed-document-node/core';
import createClient, { type Client, type ClientOptions } from 'openapi-fetch';
import { graphqlProblem } from './graphql-problem.js';
import type { ItemOf, ListPath, PathParametersOf, Paths, QueryOf } from './paths.js';
import { ApiUnreachable, NotAnApi, problemIn } from './problem.js';
import {
  FOLLOW_RETRY_MS,
  isPassing,
  NotReady,
  Retries,
  type RetryLimits,
  type RetryOptions,
  sleep,
} from './retry.js';
import { linesIn, serverSentEvents } from './server-sent-events.js';

export interface DrvsClientOptions {
  /** The portal's address, for instance https://drvs.example.org */
  url: string;
  /** An API token (`drvs token create`); or a function, where it changes. */
  token?: string | (() => string | Promise<string>);
  /** In place of the global one: proxies, agents, tests. */
  fetch?: (request: Request) => Promise<Response>;
  /** Told (true) when a request waits for an API that does not answer, and (null) when that is over. */
  onSilence?: (isSilent: true | null) => void;
  retryLimits?: RetryLimits;
}

/** Pages are this large unless a query says otherwise. */
const PAGE_SIZE = 500;
/** One request waits so long for an operation; then the next one does. */
const WAIT_SECONDS = 20;
/** Between two connections of a stream. */
const RECONNECT_PAUSE_MS = 500;
const CHANGES = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);
const NOT_READY = new Set([502, 503, 504]);

/** An operation that has ended otherwise than it should. */
export class OperationFailed extends Error {
  override readonly name = 'OperationFailed';
  readonly code: string;
  readonly hint?: string;

  constructor(readonly operation: OperationView) {
    const { kind, subject, state, error } = operation;
    super(error?.message ?? `${kind} of ${subject} is ${state}`);
    this.code = error?.code ?? 'OperationFailed';
    this.hint = error?.hint;
  }
}

export class DrvsClient {
  readonly url: string;
  /** Every route of REST, typed. Answers have `data`; problems are thrown. */
  readonly rest: Client<Paths>;
  readonly #retries: Retries;
  readonly #fetch: (request: Request) => Promise<Response>;
  readonly #token: DrvsClientOptions['token'];

  constructor({ url, token, fetch = globalThis.fetch, onSilence, retryLimits }: DrvsClientOptions) {
    this.url = url.replace(/\/+$/, '');
    this.#token = token;
    this.#fetch = fetch;
    this.#retries = new Retries(onSilence, retryLimits);
    const options: ClientOptions = { baseUrl: this.url, fetch: (request) => this.send(request) };
    this.rest = createClient<Paths>(options);
  }

  /**
   * Sends a request with the token and, for a change, an Idempotency-Key; again where that is of use.
   * @throws ApiProblem for a refusal, ApiUnreachable when nobody answers, NotAnApi when something else does
   */
  async send(request: Request, options: RetryOptions = {}): Promise<Response> {
    const isChange = CHANGES.has(request.method);
    if (isChange && !request.headers.has('idempotency-key')) {
      request.headers.set('idempotency-key', crypto.randomUUID());
    }
    if (!request.headers.has('accept')) request.headers.set('accept', 'application/json');
    const signal = options.signal ?? request.signal;
    try {
      return await this.#retries.run(
        async () => {
          const token = typeof this.#token === 'function' ? await this.#token() : this.#token;
          if (token !== undefined) request.headers.set('authorization', `Bearer ${token}`);
          // The body can be read once only; the original stays for another try.
          const response = await this.#fetch(request.clone());
          if (response.status >= 400) throw await this.#failureOf(response);
          return response;
        },
        { ...options, signal },
      );
    } catch (error) {
      if (!isPassing(error) || signal.aborted) throw error;
      throw new ApiUnreachable(`${this.url} does not answer: ${(error as Error).message}`, { cause: error });
    }
  }

  async #failureOf(response: Response): Promise<Error> {
    const text = await response.text().catch(() => '');
    const problem = problemIn(response.status, text);
    if (problem) return problem;
    if (NOT_READY.has(response.status)) return new NotReady(`status ${response.status}`);
    return new NotAnApi(this.url, response.status, text.slice(0, 500));
  }

  /** The items of a list, page after page, read as they are wanted. */
  async *each<Path extends ListPath>(
    path: Path,
    options: {
      path?: PathParametersOf<Path>;
      query?: Omit<QueryOf<Path>, 'cursor'>;
      signal?: AbortSignal;
    } = {},
  ): AsyncGenerator<ItemOf<Path>, void, undefined> {
    const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
      encodeURIComponent(String((options.path as Record<string, unknown> | undefined)?.[name])),
    );
    for (let cursor: string | null = null; ; ) {
      const url = new URL(this.url + filled);
      const query = { limit: PAGE_SIZE, ...options.query, cursor } as Record<string, unknown>;
      for (const [name, value] of Object.entries(query)) {
        if (value !== null && value !== undefined) url.searchParams.set(name, String(value));
      }
      const response = await this.send(new Request(url, { signal: options.signal }));
      const page = (await response.json()) as { items: ItemOf<Path>[]; nextCursor: string | null };
      yield* page.items;
      if (page.nextCursor === null || page.nextCursor === cursor) return;
      cursor = page.nextCursor;
    }
  }

  /**
   * Waits until an operation has ended, over restarts of the API, too.
   * @param onProgress told each time it has gone on
   * @throws OperationFailed when it did not succeed; the signal's reason when it is aborted (the operation goes on)
   */
  async waitForOperation(
    operation: string | { id: string },
    { signal, onProgress }: { signal?: AbortSignal; onProgress?: (operation: OperationView) => void } = {},
  ): Promise<OperationView> {
    const id = typeof operation === 'string' ? operation : operation.id;
    const url = `${this.url}/api/v1/operations/${encodeURIComponent(id)}/wait?timeoutSeconds=${WAIT_SECONDS}`;
    for (;;) {
      const response = await this.send(new Request(url, { signal }), { signal, retryMs: FOLLOW_RETRY_MS });
      const view = (await response.json()) as OperationView;
      onProgress?.(view);
      if (view.state === 'queued' || view.state === 'running') continue;
      if (view.state !== 'succeeded') throw new OperationFailed(view);
      return view;
    }
  }

  /**
   * What happens, as it happens; going on after the last event seen when the connection breaks or the API restarts.
   * Without `since` it begins with what happens from now. Ends when the signal is aborted.
   */
  async *events({ since, signal }: { since?: string; signal?: AbortSignal } = {}): AsyncGenerator<EventView> {
    let last = since;
    for (let heardAt = performance.now(); ; ) {
      try {
        const headers: Record<string, string> = { accept: 'text/event-stream' };
        if (last !== undefined) headers['last-event-id'] = last;
        const request = new Request(`${this.url}/api/v1/events`, { headers, signal });
        const response = await this.send(request, { signal, retryMs: FOLLOW_RETRY_MS });
        for await (const { id, data } of serverSentEvents(
          linesIn(response.body as AsyncIterable<Uint8Array>),
        )) {
          heardAt = performance.now();
          const event = JSON.parse(data) as EventView;
          last = id ?? event.id;
          yield event;
        }
      } catch (error) {
        if (signal?.aborted) return;
        if (!isPassing(error)) throw error;
        if (performance.now() - heardAt > FOLLOW_RETRY_MS) {
          throw new ApiUnreachable('the API does not answer; events cannot be followed', { cause: error });
        }
      }
      if (signal?.aborted) return;
      await sleep(RECONNECT_PAUSE_MS);
    }
  }

  /**
   * A query or mutation of GraphQL; the typed documents are in `@drvs/client/graphql`.
   * @throws ApiProblem for the first error of the answer
   */
  graphql<Result, Variables>(
    document: DocumentTypeDecoration<Result, Variables>,
    ...variables: Variables extends Record<string, never> ? [] : [Variables]
  ): Promise<Result>;
  graphql<Result>(document: string, variables?: Readonly<Record<string, unknown>>): Promise<Result>;
  async graphql<Result>(document: object | string, variables?: unknown): Promise<Result> {
    const request = new Request(`${this.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: String(document), variables }),
    });
    const response = await this.send(request, { retryMs: isMutation(String(document)) ? 0 : undefined });
    const answer = (await response.json()) as { data: Result | null; errors?: unknown[] };
    if (answer.errors?.length) throw graphqlProblem(answer.errors[0]);
    return answer.data as Result;
  }
}

/** GraphQL keeps no Idempotency-Keys: a mutation whose answer is lost is not sent again. */
const isMutation = (document: string): boolean => /^\s*mutation\b/m.test(document);
