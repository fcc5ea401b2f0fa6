import { Client, cacheExchange, fetchExchange, subscriptionExchange } from '@urql/core';
import { createClient } from 'graphql-ws';

/**
 * The portal's one connection to the API: GraphQL over HTTP for questions and changes, one WebSocket
 * (graphql-transport-ws) for what is live. It reconnects for ever; pages show the age of what they show meanwhile.
 */
export type LiveState = 'connecting' | 'live' | 'lost';

let csrfToken: string | null = null;
export const setCsrfToken = (token: string | null): void => {
  csrfToken = token;
};

let state: LiveState = 'connecting';
const listeners = new Set<() => void>();
const setState = (next: LiveState): void => {
  state = next;
  for (const listener of listeners) listener();
};
export const liveState = {
  get: (): LiveState => state,
  subscribe: (listener: () => void): (() => void) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};

const RETRY_MS_MAX = 5_000;

export function connect(): Client {
  const socket = createClient({
    url: () => `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/graphql`,
    lazy: true,
    lazyCloseTimeout: 5_000,
    keepAlive: 10_000,
    retryAttempts: Number.POSITIVE_INFINITY,
    retryWait: (attempt) =>
      new Promise((resolve) =>
        setTimeout(resolve, Math.min(RETRY_MS_MAX, 300 * 2 ** attempt) * (0.7 + Math.random() * 0.6)),
      ),
    shouldRetry: () => true,
    on: {
      connected: () => setState('live'),
      closed: () => setState('lost'),
    },
  });
  return new Client({
    url: '/graphql',
    preferGetMethod: false,
    requestPolicy: 'cache-and-network',
    fetchOptions: () => {
      const headers: Record<string, string> = csrfToken === null ? {} : { 'x-csrf-token': csrfToken };
      return { credentials: 'same-origin', headers };
    },
    exchanges: [
      cacheExchange,
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: ({ query, variables }) => ({
          subscribe: (sink) => ({
            unsubscribe: socket.subscribe({ query: query ?? '', variables }, sink as never),
          }),
        }),
      }),
    ],
  });
}
