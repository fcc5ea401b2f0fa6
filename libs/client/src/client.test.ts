import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { OperationView } from '@drvs/contracts';
import { afterEach, describe, expect, test } from '@jest/globals';
import {
  ApiUnreachable,
  Conflict,
  DrvsClient,
  InvalidRequest,
  NotAnApi,
  OperationFailed,
  RETRY_LIMITS,
  Refused,
} from './index.js';

type Answering = (request: IncomingMessage, response: ServerResponse, asked: number) => void;

const open: { close(): void }[] = [];
afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

/** A client of an HTTP server that answers so; the requests that it got. */
async function clientOf(
  answer: Answering,
  limits: Partial<typeof RETRY_LIMITS> = {},
): Promise<{ drvs: DrvsClient; asked: IncomingMessage[] }> {
  const asked: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    asked.push(request);
    request.resume().on('end', () => answer(request, response, asked.length));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  open.push({
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const retryLimits = { ...RETRY_LIMITS, firstPauseMs: 5, longestPauseMs: 20, ...limits };
  return { drvs: new DrvsClient({ url: `${url}/`, token: 'secret', retryLimits }), asked };
}

function json(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

function problem(response: ServerResponse, status: number, code: string, details?: object): void {
  response.writeHead(status, { 'content-type': 'application/problem+json' }).end(
    JSON.stringify({
      type: `urn:drvs:problem:${code}`,
      title: code,
      status,
      code,
      detail: `why ${code}`,
      hint: 'do this',
      details,
    }),
  );
}

describe('a request', () => {
  test('carries the token, and a change an Idempotency-Key that stays the same when it is sent again', async () => {
    const { drvs, asked } = await clientOf((_, response, times) => {
      if (times === 1) response.socket?.destroy();
      else json(response, { id: '1', name: 'fisica', quota: {}, used: {}, generation: 1 }, 201);
    });
    const { data } = await drvs.rest.POST('/api/v1/tenants', { body: { name: 'fisica' } });
    expect(data?.name).toBe('fisica');
    expect(asked).toHaveLength(2);
    const keys = asked.map(({ headers }) => headers['idempotency-key']);
    expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/);
    expect(keys[1]).toBe(keys[0]);
    expect(asked[0]?.headers.authorization).toBe('Bearer secret');
  });

  test('that only reads has no key, and keeps to the one that a change brings', async () => {
    const { drvs, asked } = await clientOf((_, response) => json(response, {}));
    await drvs.rest.GET('/api/v1/auth/me');
    await drvs.rest.POST('/api/v1/tenants', {
      body: { name: 'x' },
      headers: { 'Idempotency-Key': 'mine' },
    });
    expect(asked.map(({ headers }) => headers['idempotency-key'])).toEqual([undefined, 'mine']);
  });

  test('that is refused is thrown as its class, with what to do, and is not sent again', async () => {
    const { drvs, asked } = await clientOf((_, response) => problem(response, 422, 'QuotaExceeded'));
    const refusal = drvs.rest.POST('/api/v1/drvms', { body: { name: 'a', cpu: 1, memoryMiB: 512 } });
    await expect(refusal).rejects.toBeInstanceOf(Refused);
    await expect(refusal).rejects.toMatchObject({ code: 'QuotaExceeded', status: 422, hint: 'do this' });
    expect(asked).toHaveLength(1);
  });

  test('meets a code of a newer API by its status', async () => {
    const { drvs } = await clientOf((_, response) => problem(response, 409, 'NotInvented'));
    const refusal = drvs.rest.GET('/api/v1/auth/me');
    await expect(refusal).rejects.toBeInstanceOf(Conflict);
    await expect(refusal).rejects.toMatchObject({ code: 'NotInvented', status: 409 });
  });

  test('is sent again while the first one with its key is under way, and while a node is away', async () => {
    const { drvs, asked } = await clientOf((_, response, times) => {
      if (times === 1) problem(response, 409, 'OperationUnderWay', { retryAfterSeconds: 1 });
      else if (times === 2) problem(response, 503, 'NodeUnreachable');
      else if (times === 3) response.writeHead(502).end('<html>');
      else json(response, {}, 201);
    });
    await drvs.rest.POST('/api/v1/tenants', { body: { name: 'x' } });
    expect(asked).toHaveLength(4);
  });

  test('to where nobody listens, or something else does, says so', async () => {
    const limits = { ...RETRY_LIMITS, firstMs: 50 };
    const { drvs } = await clientOf((_, response) => response.writeHead(404).end('<html>'));
    await expect(drvs.rest.GET('/api/v1/auth/me')).rejects.toBeInstanceOf(NotAnApi);
    for (const each of open.splice(0)) each.close();
    const away = new DrvsClient({ url: drvs.url, retryLimits: limits });
    await expect(away.rest.GET('/api/v1/auth/me')).rejects.toBeInstanceOf(ApiUnreachable);
  });
});

test('a list is read page after page, and no further than it is wanted', async () => {
  const { drvs, asked } = await clientOf(({ url }, response) => {
    const from = Number(new URL(url ?? '', 'http://x').searchParams.get('cursor') ?? 0);
    json(response, {
      items: [{ name: `n${from}` }, { name: `n${from + 1}` }],
      nextCursor: from >= 4 ? null : String(from + 2),
    });
  });
  const names: string[] = [];
  for await (const { name } of drvs.each('/api/v1/nodes')) names.push(name);
  expect(names).toEqual(['n0', 'n1', 'n2', 'n3', 'n4', 'n5']);
  asked.length = 0;
  for await (const _ of drvs.each('/api/v1/drvms/{drvm}/processes', { path: { drvm: 'a/b' } })) break;
  expect(asked.map(({ url }) => url)).toEqual(['/api/v1/drvms/a%2Fb/processes?limit=500']);
});

describe('an operation', () => {
  const view = (state: string): Partial<OperationView> => ({
    id: 'o1',
    kind: 'drvm.start',
    subject: 'drvm/aula',
    state: state as OperationView['state'],
    error: state === 'failed' ? { code: 'NodeUnreachable', message: 'node1 is away', hint: 'wait' } : null,
  });

  test('is waited for over a restart of the API', async () => {
    const { drvs } = await clientOf((_, response, times) => {
      if (times === 2) response.socket?.destroy();
      else json(response, view(times < 4 ? 'running' : 'succeeded'));
    });
    const seen: string[] = [];
    const ended = await drvs.waitForOperation('o1', { onProgress: ({ state }) => seen.push(state) });
    expect(ended.state).toBe('succeeded');
    expect(seen).toEqual(['running', 'running', 'succeeded']);
  });

  test('that fails is thrown with its own reason', async () => {
    const { drvs } = await clientOf((_, response) => json(response, view('failed')));
    const failure = drvs.waitForOperation({ id: 'o1' });
    await expect(failure).rejects.toBeInstanceOf(OperationFailed);
    await expect(failure).rejects.toMatchObject({ code: 'NodeUnreachable', message: 'node1 is away' });
  });
});

test('events go on after the last one seen when the connection breaks', async () => {
  const event = (id: number): string => `id: ${id}\nevent: x\ndata: {"id":"${id}","text":"e${id}"}\n\n`;
  const { drvs, asked } = await clientOf((_, response, times) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    if (times > 1) {
      response.write(event(3));
      return;
    }
    // The third breaks off in the middle.
    response.write(`: connected\n\n${event(1)}${event(2)}id: 3\ndata: {"id"`, () =>
      response.socket?.destroy(),
    );
  });
  const abort = new AbortController();
  const seen: string[] = [];
  for await (const { text } of drvs.events({ since: '0', signal: abort.signal })) {
    seen.push(text);
    if (seen.length === 3) abort.abort();
  }
  expect(seen).toEqual(['e1', 'e2', 'e3']);
  expect(asked.map(({ headers }) => headers['last-event-id'])).toEqual(['0', '2']);
});

describe('GraphQL', () => {
  test('answers the data, and throws the same classes as REST', async () => {
    const { drvs } = await clientOf((_, response, times) => {
      if (times === 1) json(response, { data: { me: { name: 'ana' } } });
      else
        json(response, {
          data: null,
          errors: [{ message: 'cpu: too small', extensions: { code: 'InvalidInput', field: 'cpu' } }],
        });
    });
    expect(await drvs.graphql('{ me { name } }')).toEqual({ me: { name: 'ana' } });
    const refusal = drvs.graphql('mutation { x }');
    await expect(refusal).rejects.toBeInstanceOf(InvalidRequest);
    await expect(refusal).rejects.toMatchObject({ code: 'InvalidInput', field: 'cpu' });
  });
});
