import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createClient } from 'graphql-ws';
import { WebSocket, WebSocketServer } from 'ws';
import { startApi, type TestApi } from '../support/api.js';
import { TestCluster } from '../support/cluster.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';

let postgres: TestPostgres;
let portal: Server;
let api: TestApi;
let cluster: TestCluster;

beforeAll(async () => {
  postgres = await startPostgres();
  portal = createServer((_, response) => response.end('the portal'));
  const echo = new WebSocketServer({ server: portal });
  echo.on('connection', (socket) => socket.on('message', (data) => socket.send(`portal: ${data}`)));
  portal.listen(0, '127.0.0.1');
  await once(portal, 'listening');
  const { port } = portal.address() as AddressInfo;
  api = await startApi(await postgres.createDatabase(), { portalUrl: `http://127.0.0.1:${port}` });
  cluster = new TestCluster(api);
});

afterAll(async () => {
  cluster?.stop();
  await api?.stop();
  portal?.closeAllConnections();
  portal?.close();
  await postgres?.stop();
});

test('the portal’s pages and WebSockets, the agents’ channel and GraphQL share one port', async () => {
  expect(await (await fetch(`${api.url}/en/nodes`)).text()).toBe('the portal');

  const agent = await cluster.node('node1');
  expect(agent.isConnected).toBe(true);

  const page = new WebSocket(`${api.url.replace('http', 'ws')}/_next/webpack-hmr`);
  await once(page, 'open');
  page.send('hello');
  const [said] = (await once(page, 'message')) as [Buffer];
  expect(said.toString()).toBe('portal: hello');

  const token = await cluster.token('supra-admin');
  const client = createClient({
    url: `${api.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${token}` },
    retryAttempts: 0,
  });
  const pictures = client.iterate<{ telemetry: { name: string }[] }>({
    query: 'subscription{telemetry{name}}',
  });
  expect((await pictures.next()).value?.data).toEqual({ telemetry: [{ name: 'node1' }] });
  await client.dispose();

  expect(page.readyState).toBe(WebSocket.OPEN);
  expect(agent.isConnected).toBe(true);
  page.terminate();
});

test('an unknown WebSocket below the API’s own paths is refused, not handed on', async () => {
  const socket = new WebSocket(`${api.url.replace('http', 'ws')}/api/v1/nonsense`);
  const outcome = await new Promise((resolve) => {
    socket.once('unexpected-response', (_, response) => resolve(response.statusCode));
    socket.once('open', () => resolve('open'));
    socket.once('error', () => resolve('refused'));
  });
  expect([404, 'refused']).toContain(outcome);
});
