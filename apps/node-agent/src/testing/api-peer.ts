import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type AgentMethod,
  type AgentMethods,
  type ContainerEvent,
  type ContainerMethod,
  type ContainerMethods,
  Enrolment,
  Heartbeat,
  NodeInventory,
  type RpcCallOptions,
  RpcPeer,
  type RpcReply,
} from '@drvs/contracts';
import { type WebSocket, WebSocketServer } from 'ws';
import type { z } from 'zod';
import { WebSocketPipe } from '../pipes/web-socket-pipe.js';

/** The API's side of enrolment and channel, with real sockets, for tests of the agent as a process. */
export class ApiPeer {
  readonly #server: Server;
  readonly #webSockets = new WebSocketServer({ noServer: true });
  readonly #sockets = new Set<WebSocket>();
  /** One-time tokens that are still good. */
  readonly tokens = new Set<string>();
  readonly credentials = new Map<string, string>();
  readonly enrolments: Enrolment[] = [];
  readonly inventories: NodeInventory[] = [];
  readonly heartbeats: Heartbeat[] = [];
  readonly events: ContainerEvent[] = [];
  refusedChannels = 0;
  connections = 0;
  agent: RpcPeer | null = null;
  url = '';

  private constructor() {
    this.#server = createServer((request, response) => {
      void body(request).then((text) => {
        const enrolment = Enrolment.parse(JSON.parse(text));
        if (!this.tokens.delete(enrolment.token)) {
          response.writeHead(401, { 'content-type': 'application/problem+json' });
          response.end(JSON.stringify({ code: 'NotAuthenticated', detail: 'the token is not valid' }));
          return;
        }
        this.enrolments.push(enrolment);
        const credential = `credential-of-${enrolment.name}`;
        this.credentials.set(credential, enrolment.name);
        response.writeHead(201, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ nodeId: `id-of-${enrolment.name}`, credential }));
      });
    });
    this.#server.on('upgrade', (request, socket, head) => {
      const credential = request.headers.authorization?.replace(/^Bearer /, '') ?? '';
      if (request.url !== '/agent/v1/channel' || !this.credentials.has(credential)) {
        this.refusedChannels++;
        socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
        return;
      }
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => this.#connected(webSocket));
    });
  }

  static async start(): Promise<ApiPeer> {
    const api = new ApiPeer();
    await new Promise<void>((resolve) => api.#server.listen(0, '127.0.0.1', resolve));
    api.url = `http://127.0.0.1:${(api.#server.address() as AddressInfo).port}`;
    return api;
  }

  #connected(socket: WebSocket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    const peer = new RpcPeer(new WebSocketPipe(socket), 'the agent');
    peer.onEvent('inventory', (params) => this.inventories.push(NodeInventory.parse(params)));
    peer.onEvent('heartbeat', (params) => this.heartbeats.push(Heartbeat.parse(params)));
    peer.onEvent('container.event', (params) => this.events.push(params as ContainerEvent));
    peer.onClosed(() => {
      if (this.agent === peer) this.agent = null;
    });
    this.agent = peer;
    this.connections++;
  }

  async connected(): Promise<RpcPeer> {
    await until('the agent is connected', () => this.agent !== null);
    return this.agent as RpcPeer;
  }

  async call<M extends AgentMethod>(
    method: M,
    params: z.input<(typeof AgentMethods)[M]['params']>,
    options?: RpcCallOptions,
  ): Promise<RpcReply<z.output<(typeof AgentMethods)[M]['result']>>> {
    return (await this.connected()).call(method, params, options);
  }

  container<M extends ContainerMethod>(
    drvmId: string,
    method: M,
    params: z.input<(typeof ContainerMethods)[M]['params']>,
    options?: RpcCallOptions,
  ): Promise<RpcReply<z.output<(typeof ContainerMethods)[M]['result']>>> {
    return this.call('container.call', { drvmId, method, params }, options) as Promise<
      RpcReply<z.output<(typeof ContainerMethods)[M]['result']>>
    >;
  }

  dropConnections(): void {
    for (const socket of this.#sockets) socket.terminate();
  }

  async close(): Promise<void> {
    this.dropConnections();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function body(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString('utf8');
}

/** Waits until `isSo` holds. @throws Error that names `what` when it does not in time. */
export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not after ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
