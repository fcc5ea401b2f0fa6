import { DrvsError } from '@drvs/contracts';
import type { Actor } from '../auth/actor.js';
import type { GraphqlContext, GraphqlSession } from './session.js';

/** While a subscription is open, the rights of whoever opened it are looked at again this often. */
export const RECHECK_MS = 5_000;
/** The WebSocket closes with this code when they are gone: not to be connected again as it was. */
export const SESSION_ENDED_CODE = 4401;

/**
 * A subscription: what `work` yields for as long as the client listens and its session holds. `work` must end when its
 * signal aborts.
 */
export function live<T>(
  { session }: GraphqlContext,
  work: (actor: Actor, signal: AbortSignal) => AsyncGenerator<T>,
): AsyncIterableIterator<T> {
  const { actor } = session.requireAuthenticated();
  const stop = new AbortController();
  const recheck = setInterval(() => void endWhenSessionEnded(session, actor, stop), RECHECK_MS);
  stop.signal.addEventListener('abort', () => clearInterval(recheck), { once: true });
  const generator = work(actor, stop.signal);
  const ended: IteratorResult<T> = { done: true, value: undefined };
  return {
    async next() {
      try {
        const result = await generator.next();
        if (result.done) stop.abort();
        return result;
      } catch (error) {
        const isStopped = stop.signal.aborted;
        stop.abort();
        if (isStopped) return ended;
        throw error;
      }
    },
    // Does not wait for the generator: it may itself be waiting, and sees by its signal that it is over.
    async return() {
      stop.abort();
      void generator.return(undefined).catch(() => undefined);
      return ended;
    },
    async throw(error: unknown) {
      stop.abort();
      throw error;
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

async function endWhenSessionEnded(
  session: GraphqlSession,
  actor: Actor,
  stop: AbortController,
): Promise<void> {
  await session.reauthenticate();
  const now = session.authenticated?.actor;
  if (now?.role === actor.role && now.tenantId === actor.tenantId) return;
  stop.abort(new DrvsError('NotAuthenticated', 'the session has ended'));
  session.socket?.close(SESSION_ENDED_CODE, 'the session has ended');
}
