import type { FastifyInstance } from 'fastify';

const EVERY_MS = 100;

/**
 * A server that closes ends the connections that are idle at that moment, but a request that was under way then leaves
 * its connection to be kept alive for a minute more, and the process with it. So until it is closed, those that have
 * become idle are ended too.
 */
export function closeIdleConnections(fastify: FastifyInstance): void {
  fastify.addHook('preClose', async () => {
    const { server } = fastify;
    const timer = setInterval(() => server.closeIdleConnections(), EVERY_MS);
    server.once('close', () => clearInterval(timer));
  });
}
