import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { createLog } from '../log.js';
import { shutDownHost } from './shutdown.js';
import { witness } from './witness.js';

const log = createLog('error', 'node1');

describe('a witness', () => {
  test('tells one who listens from one who does not, and from nobody', async () => {
    const server = createServer((socket) => socket.on('error', () => undefined));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const host = '127.0.0.1';
    expect(await witness({ host, port }, 20_000)).toEqual({ host, port, met: 'connected' });
    await new Promise((resolve) => server.close(resolve));
    expect((await witness({ host, port }, 20_000)).met).toBe('refused');
    expect((await witness({ host: 'no-such-host.invalid', port }, 20_000)).met).toBe('unreachable');
    // Documentation's network (RFC 5737): whatever the gateway makes of it, nobody listens there.
    expect((await witness({ host: '192.0.2.1', port: 9 }, 200)).met).not.toBe('connected');
  });
});

describe('shutting the host down', () => {
  test('is refused where the owner has set no command', async () => {
    await expect(shutDownHost(undefined, log)).rejects.toMatchObject({ code: 'StateConflict' });
  });

  test('runs the command without a shell, and says when it fails at once', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'drvs-shutdown-'));
    await shutDownHost(['/usr/bin/touch', join(folder, 'a b; c')], log);
    expect(existsSync(join(folder, 'a b; c'))).toBe(true);
    await expect(shutDownHost(['/bin/false'], log)).rejects.toMatchObject({ code: 'PowerFailed' });
    await expect(shutDownHost([join(folder, 'none')], log)).rejects.toMatchObject({ code: 'PowerFailed' });
    await rm(folder, { recursive: true });
  });
});
