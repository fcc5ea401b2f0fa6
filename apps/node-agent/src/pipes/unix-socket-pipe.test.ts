import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RpcPeer, withBody } from '@drvs/contracts';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { connectSocket, SocketPipe, withSocketPath } from './unix-socket-pipe.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'drvs-pipe-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function pair(path: string): Promise<{ server: RpcPeer; client: RpcPeer; close(): void }> {
  const peers: RpcPeer[] = [];
  const listener = createServer((socket) => peers.push(new RpcPeer(new SocketPipe(socket), 'client')));
  await withSocketPath(path, (short, done) =>
    new Promise<void>((resolve) => listener.listen({ path: short }, resolve)).finally(done),
  );
  const client = new RpcPeer(new SocketPipe(await connectSocket(path)), 'server');
  client.emit('hello');
  while (peers.length === 0) await new Promise((resolve) => setImmediate(resolve));
  return { server: peers[0] as RpcPeer, client, close: () => listener.close() };
}

test('calls with bodies and chunks go over a socket whose path is longer than the kernel allows', async () => {
  const deep = join(folder, 'x'.repeat(80), 'y'.repeat(80));
  mkdirSync(deep, { recursive: true });
  const { server, client, close } = await pair(join(deep, 'control.sock'));
  server.handle('double', async (params, context) => {
    await context.chunk({ part: 1 }, new Uint8Array([7]));
    return withBody(params, Buffer.concat([context.body, context.body]));
  });
  const chunks: unknown[] = [];
  const reply = await client.call(
    'double',
    { n: 1 },
    {
      body: Buffer.alloc(300_000, 5),
      onChunk: (params, body) => {
        chunks.push([params, ...body]);
      },
    },
  );
  expect(reply.result).toEqual({ n: 1 });
  expect(reply.body).toHaveLength(600_000);
  expect(chunks).toEqual([[{ part: 1 }, 7]]);
  client.close();
  close();
});

test('when one end closes, calls of the other end fail at once', async () => {
  const { server, client, close } = await pair(join(folder, 's'));
  server.handle('never', () => new Promise(() => {}));
  const call = client.call('never').catch((error: Error) => error);
  server.close('bye');
  expect(await call).toMatchObject({ code: 'NodeUnreachable' });
  close();
});
