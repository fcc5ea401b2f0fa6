import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';

export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/** The proxy plugin marks its listener on the server under a symbol with this description. */
const PROXY_LISTENER = 'wsUpgradeListener';
const GRAPHQL_PATH = '/graphql';

/**
 * Several parts of this process take WebSockets on one port: the agents' channel, GraphQL, and the portal behind the
 * proxy. The last two come as plugins that each listen to every upgrade of the server, and both would dispatch one
 * request. This puts one listener in their place, so that each upgrade has exactly one taker: a claimed path its
 * handler, `/graphql` the WebSocket plugin, everything else the proxy, where there is one.
 *
 * To be called when all plugins are loaded.
 */
export function routeUpgrades(server: Server, claimed: ReadonlyMap<string, UpgradeHandler>): void {
  const plugins = server.listeners('upgrade') as UpgradeHandler[];
  const proxy = proxyListener(server);
  const others = plugins.filter((listener) => listener !== proxy);
  server.removeAllListeners('upgrade');
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    const handler = claimed.get(path);
    const takers = handler ? [handler] : path === GRAPHQL_PATH || !proxy ? others : [proxy];
    if (takers.length === 0) refuseUpgrade(socket, 404, 'Not Found');
    for (const taker of takers) taker.call(server, request, socket, head);
  });
}

function proxyListener(server: Server): UpgradeHandler | undefined {
  const symbol = Object.getOwnPropertySymbols(server).find(
    ({ description }) => description === PROXY_LISTENER,
  );
  return symbol && (server as unknown as Record<symbol, UpgradeHandler>)[symbol];
}

/** Answers an upgrade with an HTTP status and closes. */
export function refuseUpgrade(socket: Duplex, status: number, title: string, body = ''): void {
  socket.on('error', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
