import { randomUUID } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { actorLabel } from '../auth/actor.js';

const READS = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * One line for each request: at `info` for changes, at `warn` for what failed here, at `debug` for reads. Its id is
 * answered as X-Request-Id, so that a user's report leads to the line. Never the query or the body: they may hold secrets.
 */
export function logAccess(fastify: FastifyInstance, log: Logger): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    done();
  });
  fastify.addHook('onResponse', (request, reply, done) => {
    done();
    const level = reply.statusCode >= 500 ? 'warn' : READS.has(request.method) ? 'debug' : 'info';
    if (!log.isLevelEnabled(level)) return;
    log[level](
      {
        requestId: request.id,
        method: request.method,
        path: request.url.split('?', 1)[0],
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
        actor: request.actor ? actorLabel(request.actor) : undefined,
        address: request.ip,
      },
      'request',
    );
  });
}

export function newRequestId(): string {
  return randomUUID();
}
