import type { OperationView } from '@drvs/contracts';
import { describe, expect, test } from '@jest/globals';
import { type Answering, HttpPeer, json, problem } from '../testing/http-peer.js';
import { ApiClient } from './client.js';
import { followOutput } from './output-stream.js';

async function withPeer(
  answer: Answering,
  work: (client: ApiClient, peer: HttpPeer) => Promise<void>,
  session: { cookie: string; csrfToken: string } | null = null,
): Promise<void> {
  await using peer = await HttpPeer.start(answer);
  const client = new ApiClient({ url: peer.url, token: session ? null : 'secret', session });
  try {
    await work(client, peer);
  } finally {
    await client.close();
  }
}

describe('the client of the REST interface', () => {
  test('a problem becomes an error with its code, message, hint and field', async () => {
    await withPeer(
      (_, response) => problem(response, 422, 'InsufficientResources', 'cpu is short by 2', 'Ask for 1.'),
      async (client) => {
        await expect(client.post('/drvms', {})).rejects.toMatchObject({
          code: 'InsufficientResources',
          message: 'cpu is short by 2',
          hint: 'Ask for 1.',
        });
      },
    );
  });

  test('a change whose answer was lost is sent again with the same key', async () => {
    let tries = 0;
    await withPeer(
      (_, response) => {
        if (++tries === 1) response.socket?.destroy();
        else json(response, { ok: true }, 201);
      },
      async (client, peer) => {
        expect(await client.post('/tenants', { name: 'a' })).toEqual({ ok: true });
        const keys = peer.asked.map(({ headers }) => headers['idempotency-key']);
        expect(keys).toHaveLength(2);
        expect(keys[0]).toBe(keys[1]);
        expect(peer.asked[0]!.headers.authorization).toBe('Bearer secret');
      },
    );
  });

  test('a refusal is not tried again', async () => {
    await withPeer(
      (_, response) => problem(response, 409, 'AlreadyExists', 'taken'),
      async (client, peer) => {
        await expect(client.post('/tenants', {})).rejects.toMatchObject({ code: 'AlreadyExists' });
        expect(peer.asked).toHaveLength(1);
      },
    );
  });

  test('when nobody listens the user is told so within the time', async () => {
    const client = new ApiClient({ url: 'http://127.0.0.1:1', token: null, session: null });
    await expect(client.get('/nodes', { retryMs: 300 })).rejects.toMatchObject({ code: 'ApiUnreachable' });
    await client.close();
  });

  test('a session sends its cookie, and its CSRF token with changes only', async () => {
    await withPeer(
      (_, response) => json(response, {}),
      async (client, peer) => {
        await client.get('/auth/me');
        await client.post('/auth/logout');
        expect(peer.asked.map(({ headers }) => [headers.cookie, headers['x-csrf-token']])).toEqual([
          ['drvs=1', undefined],
          ['drvs=1', 'token'],
        ]);
      },
      { cookie: 'drvs=1', csrfToken: 'token' },
    );
  });

  test('lists are read page after page', async () => {
    await withPeer(
      ({ query }, response) => {
        const from = Number(query.get('cursor') ?? 0);
        json(response, { items: [from, from + 1], nextCursor: from >= 4 ? null : String(from + 2) });
      },
      async (client) => expect(await client.list('/nodes')).toEqual([0, 1, 2, 3, 4, 5]),
    );
  });

  test('an operation is waited for over a restart of the API', async () => {
    let asked = 0;
    const states = ['running', 'break', 'running', 'succeeded'];
    await withPeer(
      (_, response) => {
        const state = states[asked++]!;
        if (state === 'break') response.socket?.destroy();
        else json(response, { id: 'op', state, progress: asked / 4, steps: [] });
      },
      async (client) => {
        const seen: number[] = [];
        const view: OperationView = await client.wait('op', {
          onProgress: ({ progress }) => seen.push(progress),
        });
        expect(view.state).toBe('succeeded');
        expect(seen).toEqual([0.25, 0.75, 1]);
      },
    );
  });

  test('a page that is not ours is not taken for an answer', async () => {
    await withPeer(
      (_, response) => response.end('<html>router login</html>') && undefined,
      async (client) => {
        await expect(client.get('/nodes')).rejects.toMatchObject({ code: 'NotDrvs' });
      },
    );
  });
});

describe('the output of a process', () => {
  const text = Buffer.from('The quick brown fox jumps over the lazy dog. ñ漢\u0000\xff end\n', 'latin1');
  const line = (from: number, to: number, stream = 'stdout'): string =>
    `${JSON.stringify({ stream, offset: from, base64: text.subarray(from, to).toString('base64') })}\n`;
  const last = `${JSON.stringify({
    exit: { exitCode: 3, signal: null, reason: null },
    nextOffset: text.length,
    lost: 0,
  })}\n`;

  const follow = async (
    answer: Answering,
  ): Promise<{ bytes: Buffer; peer: HttpPeer; exitCode: number | undefined }> => {
    await using peer = await HttpPeer.start(answer);
    const client = new ApiClient({ url: peer.url, token: null, session: null });
    const parts: Buffer[] = [];
    const end = await followOutput(
      client,
      '/drvms/a/processes/1/output',
      {
        write: async (_stream, bytes) => {
          parts.push(Buffer.from(bytes));
        },
      },
      { follow: true },
    );
    await client.close();
    return { bytes: Buffer.concat(parts), peer, exitCode: end.exit?.exitCode };
  };

  test('goes on at the offset reached when the connection breaks anywhere, also within a line', async () => {
    let asked = 0;
    const { bytes, peer, exitCode } = await follow(({ query }, response) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      const from = Number(query.get('offset'));
      if (++asked === 1) {
        response.write(line(from, 10) + line(10, 20).slice(0, 15), () => response.socket?.destroy());
      } else if (asked === 2) {
        response.end(line(from, 30)); // It ends well and says nothing of the process: the API was stopped.
      } else response.end(line(from, text.length) + last);
    });
    expect(bytes).toEqual(text);
    expect(exitCode).toBe(3);
    expect(peer.asked.map(({ query }) => query.get('offset'))).toEqual(['0', '10', '30']);
  });

  test('bytes that are sent again are not said again', async () => {
    const { bytes } = await follow((_, response) => {
      response.end(line(0, 20) + line(10, 30) + line(0, 5) + line(30, text.length) + last);
    });
    expect(bytes).toEqual(text);
  });
});
