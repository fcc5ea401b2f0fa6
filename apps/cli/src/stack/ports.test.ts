import { createServer } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import { freePort, holderOf, portNear, whyNotFree } from './ports.js';

describe('ports', () => {
  test('one that is in use is known with who uses it', async () => {
    const port = await freePort();
    expect(await whyNotFree(port)).toBeNull();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    expect(await whyNotFree(port)).toBe('EADDRINUSE');
    expect(holderOf(port)?.pid).toBe(process.pid);
    expect(await portNear(port)).not.toBe(port);
    await new Promise((resolve) => server.close(resolve));
    expect(await portNear(port)).toBe(port);
    expect(holderOf(port)).toBeNull();
  });
});
