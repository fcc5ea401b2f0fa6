import { DrvsError, type ErrorBody } from './errors.js';

/**
 * Calls in both directions over any pipe that keeps frames whole and in order: the channel between API and agent
 * (WebSocket), the control socket of a container (Unix socket), and the control lane between containers (TLS link).
 *
 * A frame is `u32 length of header | header (JSON) | body (bytes)`. Bodies carry what JSON should not: programs,
 * files, output, process images. A request may be answered by chunks before its result; chunks are flow-controlled
 * (at most WINDOW_BYTES unacknowledged), so that a slow reader slows the writer and nobody's memory fills.
 */
export interface FramePipe {
  /** Sends one whole frame; the bytes belong to the pipe from then on. */
  send(frame: Uint8Array): void;
  /** Called by the pipe's owner for each whole frame that arrives. Set by RpcPeer. */
  onFrame: ((frame: Uint8Array) => void) | null;
  /** Called once when the pipe is gone. Set by RpcPeer. */
  onClose: ((reason: string) => void) | null;
  close(reason?: string): void;
}

export interface RpcReply<R = unknown> {
  result: R;
  body: Uint8Array;
}

export interface RpcContext {
  readonly method: string;
  readonly body: Uint8Array;
  /** Aborted when the caller cancels or the pipe closes. */
  readonly signal: AbortSignal;
  /** Sends a chunk to the caller; resolves when the caller's window has room for the next. */
  chunk(params: unknown, body?: Uint8Array): Promise<void>;
}

/** Returns the result, or `withBody(result, bytes)`. */
export type RpcHandler = (params: unknown, context: RpcContext) => unknown | Promise<unknown>;

export interface RpcCallOptions {
  body?: Uint8Array;
  signal?: AbortSignal;
  /** Default 30 s; Infinity for calls that wait on purpose. */
  timeoutMs?: number;
  /** Chunks are acknowledged when the returned promise resolves. */
  onChunk?: (params: unknown, body: Uint8Array) => void | Promise<void>;
}

/** A frame larger than this closes the pipe: garbage, or an attack. */
export const MAX_FRAME_BYTES = 80 * 1024 * 1024;
/** Header bytes at most; parameters are small, what is large travels in the body. */
export const MAX_HEADER_BYTES = 4 * 1024 * 1024;
/** Unacknowledged chunk bytes at most per call. */
export const WINDOW_BYTES = 1024 * 1024;
/** Requests of one peer under way at most; more are refused with TooManyRequests. */
export const MAX_REQUESTS_UNDER_WAY = 4096;

const NO_BYTES = new Uint8Array(0);
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

class WithBody {
  constructor(
    readonly result: unknown,
    readonly body: Uint8Array,
  ) {}
}

/** A handler's result together with bytes. */
export function withBody(result: unknown, body: Uint8Array): unknown {
  return new WithBody(result, body);
}

type Header =
  | { t: 'req'; id: number; m: string; p?: unknown }
  | { t: 'res'; id: number; r?: unknown }
  | { t: 'err'; id: number; e: ErrorBody }
  | { t: 'str'; id: number; p?: unknown }
  | { t: 'ack'; id: number; n: number }
  | { t: 'cancel'; id: number }
  | { t: 'evt'; m: string; p?: unknown };

export function encodeFrame(header: object, body: Uint8Array = NO_BYTES): Uint8Array {
  const head = encoder.encode(JSON.stringify(header));
  const frame = new Uint8Array(4 + head.length + body.length);
  new DataView(frame.buffer).setUint32(0, head.length);
  frame.set(head, 4);
  frame.set(body, 4 + head.length);
  return frame;
}

/** @throws Error when the frame is not well formed. The body is a view of the frame. */
export function decodeFrame(frame: Uint8Array): { header: unknown; body: Uint8Array } {
  if (frame.length < 4) throw new Error(`frame of ${frame.length} bytes has no header`);
  const length = new DataView(frame.buffer, frame.byteOffset, 4).getUint32(0);
  if (length > MAX_HEADER_BYTES || 4 + length > frame.length) throw new Error(`header of ${length} bytes`);
  const header: unknown = JSON.parse(decoder.decode(frame.subarray(4, 4 + length)));
  return { header, body: frame.subarray(4 + length) };
}

interface CallUnderWay {
  resolve(reply: RpcReply): void;
  reject(error: DrvsError): void;
  onChunk?: RpcCallOptions['onChunk'];
  /** Chunks are handed over one after another. */
  chunks: Promise<void>;
}

interface RequestUnderWay {
  abort: AbortController;
  unacknowledged: number;
  wake: (() => void) | null;
}

/**
 * One end of a pipe. Handlers may be added at any time; a method without one is answered with `NotFound`.
 * When the pipe closes, calls under way fail with `NodeUnreachable` and handlers' signals abort.
 */
export class RpcPeer {
  readonly #calls = new Map<number, CallUnderWay>();
  readonly #requests = new Map<number, RequestUnderWay>();
  readonly #handlers = new Map<string, RpcHandler>();
  readonly #eventHandlers = new Map<string, (params: unknown) => void>();
  readonly #closedListeners: ((reason: string) => void)[] = [];
  #nextId = 1;
  #closed: string | null = null;

  constructor(
    readonly pipe: FramePipe,
    readonly name: string = 'peer',
  ) {
    pipe.onFrame = (frame) => this.#receive(frame);
    pipe.onClose = (reason) => this.#close(reason);
  }

  get isClosed(): boolean {
    return this.#closed !== null;
  }

  handle(method: string, handler: RpcHandler): this {
    this.#handlers.set(method, handler);
    return this;
  }

  onEvent(name: string, listener: (params: unknown) => void): this {
    this.#eventHandlers.set(name, listener);
    return this;
  }

  onClosed(listener: (reason: string) => void): this {
    if (this.#closed !== null) listener(this.#closed);
    else this.#closedListeners.push(listener);
    return this;
  }

  emit(name: string, params?: unknown): void {
    if (this.#closed === null) this.#send({ t: 'evt', m: name, p: params });
  }

  close(reason = 'closed here'): void {
    if (this.#closed !== null) return;
    this.pipe.close(reason);
    this.#close(reason);
  }

  async call<R = unknown>(
    method: string,
    params?: unknown,
    options: RpcCallOptions = {},
  ): Promise<RpcReply<R>> {
    if (this.#closed !== null) throw this.#gone(method);
    options.signal?.throwIfAborted();
    const id = this.#nextId++;
    const timeoutMs = options.timeoutMs ?? 30_000;
    let timer: NodeJS.Timeout | undefined;
    let onAbort: (() => void) | undefined;
    try {
      return await new Promise<RpcReply<R>>((resolve, reject) => {
        const giveUp = (error: DrvsError) => {
          if (this.#closed === null) this.#send({ t: 'cancel', id });
          reject(error);
        };
        if (Number.isFinite(timeoutMs)) {
          timer = setTimeout(
            () =>
              giveUp(
                new DrvsError('Timeout', `${this.name} did not answer ${method} within ${timeoutMs} ms`),
              ),
            timeoutMs,
          );
        }
        onAbort = () => giveUp(new DrvsError('Cancelled', `${method} was cancelled`));
        options.signal?.addEventListener('abort', onAbort, { once: true });
        this.#calls.set(id, {
          resolve: resolve as (reply: RpcReply) => void,
          reject,
          onChunk: options.onChunk,
          chunks: Promise.resolve(),
        });
        this.#send({ t: 'req', id, m: method, p: params }, options.body);
      });
    } finally {
      clearTimeout(timer);
      if (onAbort) options.signal?.removeEventListener('abort', onAbort);
      this.#calls.delete(id);
    }
  }

  #send(header: Header, body?: Uint8Array): void {
    this.pipe.send(encodeFrame(header, body));
  }

  #gone(method: string): DrvsError {
    return new DrvsError(
      'NodeUnreachable',
      `${this.name} is not connected (${this.#closed}); ${method} was not done`,
      {
        hint: 'Try again when it is back; see `drvs node list` or `drvs status`.',
      },
    );
  }

  #receive(frame: Uint8Array): void {
    if (this.#closed !== null) return;
    let header: Header;
    let body: Uint8Array;
    try {
      const decoded = decodeFrame(frame);
      header = decoded.header as Header;
      body = decoded.body;
      if (typeof header !== 'object' || header === null) throw new Error('header is not an object');
    } catch (error) {
      this.close(`garbage received: ${(error as Error).message}`);
      return;
    }
    switch (header.t) {
      case 'req':
        void this.#serve(header.id, String(header.m), header.p, body);
        return;
      case 'res':
        this.#finish(header.id, (call) => call.resolve({ result: header.r, body }));
        return;
      case 'err':
        this.#finish(header.id, (call) => call.reject(DrvsError.fromBody(header.e)));
        return;
      case 'str':
        this.#chunk(header.id, header.p, body);
        return;
      case 'ack': {
        const request = this.#requests.get(header.id);
        if (!request) return;
        request.unacknowledged -= Number(header.n) || 0;
        if (request.unacknowledged < WINDOW_BYTES) {
          request.wake?.();
          request.wake = null;
        }
        return;
      }
      case 'cancel':
        this.#requests.get(header.id)?.abort.abort();
        return;
      case 'evt':
        this.#eventHandlers.get(header.m)?.(header.p);
        return;
      default:
        this.close(`garbage received: frame of unknown kind`);
    }
  }

  /** The result waits until the chunks before it have been taken. */
  #finish(id: number, end: (call: CallUnderWay) => void): void {
    const call = this.#calls.get(id);
    if (!call) return;
    void call.chunks.then(
      () => end(call),
      (error: unknown) => call.reject(DrvsError.from(error)),
    );
  }

  #chunk(id: number, params: unknown, body: Uint8Array): void {
    const call = this.#calls.get(id);
    const size = body.length + 64;
    if (!call?.onChunk) {
      this.#send({ t: 'ack', id, n: size });
      return;
    }
    const { onChunk } = call;
    call.chunks = call.chunks.then(async () => {
      await onChunk(params, body);
      if (this.#closed === null) this.#send({ t: 'ack', id, n: size });
    });
    call.chunks.catch((error: unknown) => {
      if (this.#closed === null) this.#send({ t: 'cancel', id });
      call.reject(DrvsError.from(error));
    });
  }

  async #serve(id: number, method: string, params: unknown, body: Uint8Array): Promise<void> {
    const request: RequestUnderWay = { abort: new AbortController(), unacknowledged: 0, wake: null };
    try {
      const handler = this.#handlers.get(method);
      if (!handler) throw new DrvsError('NotFound', `${this.name}: there is no call named ${method}`);
      if (this.#requests.size >= MAX_REQUESTS_UNDER_WAY) {
        throw new DrvsError('TooManyRequests', `more than ${MAX_REQUESTS_UNDER_WAY} requests are under way`);
      }
      this.#requests.set(id, request);
      const result = await handler(params, {
        method,
        body,
        signal: request.abort.signal,
        chunk: async (chunkParams, chunkBody = NO_BYTES) => {
          request.abort.signal.throwIfAborted();
          request.unacknowledged += chunkBody.length + 64;
          this.#send({ t: 'str', id, p: chunkParams }, chunkBody);
          while (request.unacknowledged >= WINDOW_BYTES) {
            await new Promise<void>((resolve) => {
              request.wake = resolve;
              request.abort.signal.addEventListener('abort', () => resolve(), { once: true });
            });
            request.abort.signal.throwIfAborted();
          }
        },
      });
      if (this.#closed !== null) return;
      if (result instanceof WithBody) this.#send({ t: 'res', id, r: result.result }, result.body);
      else this.#send({ t: 'res', id, r: result });
    } catch (error) {
      if (this.#closed === null) this.#send({ t: 'err', id, e: DrvsError.from(error).toBody() });
    } finally {
      this.#requests.delete(id);
    }
  }

  #close(reason: string): void {
    if (this.#closed !== null) return;
    this.#closed = reason;
    for (const call of this.#calls.values()) call.reject(this.#gone('the call'));
    this.#calls.clear();
    for (const request of this.#requests.values()) request.abort.abort();
    for (const listener of this.#closedListeners) listener(reason);
  }
}
