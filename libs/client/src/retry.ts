/**
 * When a request that failed is sent again. An API that restarts comes back; a node behind it may; a refusal stays what
 * it is. Changes carry an Idempotency-Key, so that sending one again does not make it twice.
 */
import { DrvsError } from '@drvs/contracts';

export interface RetryLimits {
  /** How long a first request is tried again while nobody answers: an API that restarts needs about ten seconds. */
  firstMs: number;
  /** Once the API has answered it is known to be there, and to come back. */
  laterMs: number;
  /** Agents need some seconds to find an API again that was restarted; a node that is down is said to be so after that. */
  nodeMs: number;
  /** A change whose first sending died with the API is held to be under way there for two minutes. */
  underWayMs: number;
  /** After this long, who waits is told so. */
  tellAfterMs: number;
  firstPauseMs: number;
  longestPauseMs: number;
}

export const RETRY_LIMITS: RetryLimits = {
  firstMs: 15_000,
  laterMs: 60_000,
  nodeMs: 10_000,
  underWayMs: 150_000,
  tellAfterMs: 1_000,
  firstPauseMs: 100,
  longestPauseMs: 2_000,
};

/** How long something that follows (an operation, events) waits for the API to come back. */
export const FOLLOW_RETRY_MS = 10 * 60_000;

export interface RetryOptions {
  signal?: AbortSignal;
  /** How long nobody may answer; 0 for no second try at all. */
  retryMs?: number;
}

/** The requests of one client: what is known of the API (has it ever answered?) is known to all of them. */
export class Retries {
  #hasAnswered = false;

  /**
   * @param onSilence told after a second that a request waits for an API that does not answer, and (null) when it does
   *   again or is given up
   */
  constructor(
    private readonly onSilence: (isSilent: true | null) => void = () => undefined,
    private readonly limits: RetryLimits = RETRY_LIMITS,
  ) {}

  /**
   * Attempts until one succeeds or it is of no use.
   * @throws what the last attempt threw
   */
  async run<T>(attempt: () => Promise<T>, { signal, retryMs }: RetryOptions = {}): Promise<T> {
    const { tellAfterMs, firstPauseMs, longestPauseMs } = this.limits;
    const began = performance.now();
    let isTold = false;
    const tell = (): void => {
      if (isTold) this.onSilence(null);
    };
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      try {
        const answer = await attempt();
        this.#hasAnswered = true;
        tell();
        return answer;
      } catch (error) {
        signal?.throwIfAborted();
        const patienceMs = retryMs === 0 ? 0 : this.#patienceMs(error, retryMs);
        if (performance.now() + pauseMs > began + patienceMs) {
          tell();
          throw error;
        }
        if (performance.now() - began > tellAfterMs) {
          isTold = true;
          this.onSilence(true);
        }
        await sleep(pauseMs, signal);
      }
    }
  }

  /** How long this failure may be tried again; 0 for an answer that would be the same. */
  #patienceMs(error: unknown, wanted: number | undefined): number {
    const { firstMs, laterMs, nodeMs, underWayMs } = this.limits;
    if (isPassing(error)) return wanted ?? (this.#hasAnswered ? laterMs : firstMs);
    if (isNodeAway(error)) return nodeMs;
    const isUnderWay = error instanceof DrvsError && typeof error.details?.retryAfterSeconds === 'number';
    return isUnderWay && error.code === 'OperationUnderWay' ? underWayMs : 0;
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

/** What stands before the API (a proxy) says that it is not there now. */
export class NotReady extends Error {
  override readonly name = 'NotReady';
}

/** True for failures of the way to the API, which say nothing about what was asked. */
export function isPassing(error: unknown): boolean {
  if (error instanceof NotReady) return true;
  if (typeof error !== 'object' || error === null || error instanceof DrvsError) return false;
  // By their shape: an error of the network may be of another realm than this module.
  const { code, message, cause, errors } = error as NodeJS.ErrnoException & { errors?: unknown };
  if (code !== undefined && PASSING_CODES.has(code)) return true;
  if (/^(terminated|other side closed|aborted)$/.test(message)) return true;
  if (Array.isArray(errors) && errors.some(isPassing)) return true;
  return isPassing(cause);
}

/** The API is there, the node behind it is not (yet). */
export const isNodeAway = (error: unknown): boolean =>
  error instanceof DrvsError && (error.code === 'NodeUnreachable' || error.code === 'ContainerUnreachable');
